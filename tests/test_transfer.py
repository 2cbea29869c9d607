"""Starting from trained weights: what is taken, what it computes, frozen layers, and the command line."""

import csv

import pytest
import torch
import yaml

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.__main__ import run
from stylegan2.errors import InputError
from stylegan2.training.transfer import freeze, transfer

SMALL = {"channel_base": 64, "channel_max": 8, "mapping_layers": 2}
TINY = """
data: {resolution: 8}
kimg: 0.016
batch: 8
accelerator: cpu
snapshot_kimg: 0
sample_kimg: 0
model:
  generator: {z_dim: 8, w_dim: 8, mapping_layers: 2, channel_base: 64, channel_max: 8}
  discriminator: {channel_base: 64, channel_max: 8, mapping_layers: 2}
"""
TIGHT = {"rtol": 1e-12, "atol": 1e-12}


def generator(resolution=16, seed=0, **options):
    torch.manual_seed(seed)
    made = Generator(resolution, z_dim=8, w_dim=8, **SMALL | options).double().eval()
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # biases and noise are 0 at first
    made.mapping.w_avg.normal_()
    return made


def discriminator(resolution=16, seed=0, **options):
    torch.manual_seed(seed)
    made = Discriminator(resolution, **SMALL | options).double().eval()
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made


def latents(n=4):
    return torch.randn(n, 8, generator=torch.Generator().manual_seed(5)).double()


def images(channels=3, n=4, resolution=16):
    return torch.randn(
        n, channels, resolution, resolution, generator=torch.Generator().manual_seed(6)
    ).double()


def fates(rows):
    return {name: fate for name, fate, _ in rows}


def test_networks_of_the_same_kind_are_copied():
    source, target = generator(), generator(seed=1)
    assert set(fates(transfer(source, target)).values()) == {"taken"}
    options = {"noise": "const", "psi": 0.7}
    assert torch.equal(source(latents(), **options), target(latents(), **options))


@pytest.mark.parametrize("before, after", [(16, 32), (32, 16)])
def test_another_resolution_takes_the_blocks_in_common(before, after):
    source, target = generator(before), generator(after, seed=1)
    drawn = {name: value.clone() for name, value in target.state_dict().items()}
    found = fates(transfer(source, target))
    own = {name for name in drawn if name.startswith("synthesis.b32.")}
    other = {name for name in source.state_dict() if name.startswith("synthesis.b32.")}
    assert {name for name, fate in found.items() if fate == "newly drawn"} == own
    assert {name for name, fate in found.items() if fate == "skipped"} == other
    for name, value in target.state_dict().items():
        expected = drawn if name in own else source.state_dict()
        assert torch.equal(value, expected[name])


def test_a_smaller_discriminator_draws_the_layer_from_images_anew():
    found = fates(transfer(discriminator(32), discriminator(16, seed=1)))
    assert {n for n, f in found.items() if f == "newly drawn"} == {"b16.fromrgb.weight", "b16.fromrgb.bias"}
    assert (
        found["b32.conv0.weight"] == "skipped"
        and found["b16.conv0.weight"] == found["b4.out.weight"] == "taken"
    )


def test_a_network_that_gets_labels_ignores_them_at_first():
    source, target = generator(), generator(seed=1, num_classes=5)
    found = fates(transfer(source, target))
    assert found["mapping.fc0.weight"] == "converted" and found["mapping.embed.weight"] == "newly drawn"
    made = [target(latents(), torch.eye(5).double()[[k] * 4], noise="const") for k in (0, 3)]
    assert torch.equal(*made)
    torch.testing.assert_close(made[0], source(latents(), noise="const"), **TIGHT)


def test_a_network_that_loses_its_labels_keeps_the_part_of_the_latent():
    source, target = generator(num_classes=5), generator(seed=1)
    found = fates(transfer(source, target))
    assert (found["mapping.fc0.weight"], found["mapping.embed.weight"]) == ("converted", "skipped")
    gains = [network.mapping.fc0.weight_gain for network in (source, target)]
    effective = [network.mapping.fc0.weight * gain for network, gain in zip((source, target), gains)]
    torch.testing.assert_close(effective[1], effective[0][:, :8], **TIGHT)


@pytest.mark.parametrize("scalings", [Scalings(weight_scaling="kaiming"), Scalings(mapping_lr_multiplier=1)])
def test_other_gains_of_the_layers_leave_what_is_computed(scalings):
    source, target = generator(), generator(seed=1, scalings=scalings)
    transfer(source, target)
    torch.testing.assert_close(target(latents(), noise="const"), source(latents(), noise="const"), **TIGHT)


AS_GRAY = [lambda x: x.mean(1, keepdim=True), lambda x: x.expand(-1, 3, -1, -1)]
WITH_ALPHA = [lambda x: torch.cat([x, torch.ones_like(x[:, :1])], 1), lambda x: x[:, :3]]
CONVERSIONS = {(3, 1): AS_GRAY, (1, 3): AS_GRAY[::-1], (3, 4): WITH_ALPHA, (4, 3): [lambda x: x[:, :3], None]}


@pytest.mark.parametrize("before, after", CONVERSIONS)
def test_other_color_channels_are_converted(before, after):
    new_from_old, old_from_new = CONVERSIONS[before, after]
    source, target = generator(8, img_channels=before), generator(8, seed=1, img_channels=after)
    transfer(source, target)
    made = target(latents(), noise="const")
    expected = new_from_old(source(latents(), noise="const"))
    torch.testing.assert_close(made[:, :3], expected[:, :3], **TIGHT)
    if old_from_new is not None:  # an image of the new kind gives the logit of its conversion to the old kind
        source, target = discriminator(img_channels=before), discriminator(seed=1, img_channels=after)
        transfer(source, target)
        new = images(after)
        torch.testing.assert_close(target(new), source(old_from_new(new)), **TIGHT)


def test_new_alpha_is_opaque_at_4x4():
    target = generator(4, seed=1, img_channels=4)
    transfer(generator(4), target)
    torch.testing.assert_close(target(latents(), noise="const")[:, 3], torch.ones(4, 4, 4).double(), **TIGHT)


def test_frozen_layers_are_the_first_of_the_forward_pass():
    d = discriminator(16, img_channels=1)
    freeze(d, 5)
    trained = {name for name, parameter in d.named_parameters() if parameter.requires_grad}
    frozen = {name.rpartition(".")[0] for name, _ in d.named_parameters()} - {
        n.rpartition(".")[0] for n in trained
    }
    assert frozen == {"b16.fromrgb", "b16.conv0", "b16.conv1", "b16.skip", "b8.conv0"}
    with pytest.raises(InputError, match="from 0 to 9, found 10"):
        freeze(d, 10)


@pytest.fixture
def train(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")

    def command(name, *args):
        base = ["--config", str(tmp_path / "tiny.yaml"), "--runs", str(tmp_path / "runs"), "--name", name]
        return run("train", [*base, *map(str, args)], "train.py")

    command.checkpoint = lambda name: tmp_path / "runs" / name / "checkpoints" / "last.ckpt"
    return command


@pytest.mark.filterwarnings("ignore")
def test_a_run_starts_from_the_weights_of_another_and_resumes_without_its_file(train, capsys):
    assert train("first") == 0
    source = train.checkpoint("first")
    options = ["--init_from", source, "--freeze_d", 3, "--data.resolution", 16, "--data.classes", "folders"]
    assert train("second", *options) == 0
    out = capsys.readouterr().out
    assert f"From       {source}" in out and "newly drawn (synthesis.b16, mapping.embed)" in out
    folder = train.checkpoint("second").parent.parent
    with (folder / "init_from.csv").open(encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    new = torch.load(train.checkpoint("second"), weights_only=True)
    assert {f"{row['network']}.{row['tensor']}" for row in listed} >= {
        name for name in new["state_dict"] if name.startswith(("generator", "discriminator"))
    }
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    assert config["init_from"] == str(source) and config["model"]["ema"]["rampup"] is None
    source.unlink()
    config = str(folder / "config.yaml")
    assert run("train", ["--config", config, "--ckpt_path", "last", "--kimg", "0.032"], "train.py") == 0
    after = torch.load(train.checkpoint("second"), weights_only=True)
    before, after = new["state_dict"], after["state_dict"]
    for name in ("b16.fromrgb.weight", "b16.conv0.weight", "b16.conv1.weight"):
        assert torch.equal(before[f"discriminator.{name}"], after[f"discriminator.{name}"])
    assert not torch.equal(before["discriminator.b16.skip.weight"], after["discriminator.b16.skip.weight"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "options, message",
    [
        (["--freeze_d", "4"], "Expected init_from beside freeze_d 4"),
        (["--init_from", "missing.ckpt"], "missing.ckpt"),
        (["--init_from", "{first}", "--freeze_d", "40"], "Expected freeze_d from 0 to"),
        (
            ["--init_from", "{first}", "--model.generator.w_dim", "4", "--model.generator.channel_max", "4"]
            + ["--model.discriminator.channel_max", "2", "--model.generator.z_dim", "4"],
            "layers in common",
        ),
    ],
)
def test_what_cannot_be_transferred_is_refused_before_the_run(train, capsys, options, message):
    first = train.checkpoint("first")
    if "{first}" in options:
        assert train("first") == 0
    assert train("second", *[option.format(first=first) for option in options]) == 2
    assert message in capsys.readouterr().err
    assert not train.checkpoint("second").parent.parent.exists()
