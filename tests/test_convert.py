"""`stylegan2 convert`: round trips are exact, and what the result does is what the source does."""

import json
from dataclasses import replace

import foreign_files as theirs
import pytest
import torch
from conftest import GOLDEN, load_golden

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.__main__ import main, run
from stylegan2.errors import InputError
from stylegan2.formats import Networks, formats, load, native

SMALL = {"channel_base": 128, "channel_max": 8, "mapping_layers": 2}


def same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


def convert(*args):
    return main(["convert", *map(str, args)])


@pytest.fixture
def source(tmp_path):
    """A checkpoint of both networks and the average, in our own format."""
    g, raw = (Generator(16, z_dim=16, w_dim=16, **SMALL) for _ in range(2))
    for network in (g, raw):
        network.mapping.w_avg.normal_()
        for name, parameter in network.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                torch.nn.init.normal_(parameter, 0.5, 0.2)
    raw.mapping.w_avg.copy_(g.mapping.w_avg)  # as training does
    d = Discriminator(16, **SMALL)
    about = {"images": 25_000, "iteration": 1, "class_names": [], "data": {"path": "cats", "images": 10}}
    networks = Networks(generator=g, raw_generator=raw, discriminator=d, about=about)
    formats["native"].write(networks, tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


@pytest.mark.parametrize("to", ["native", "safetensors", "official", "rosinality"])
def test_a_round_trip_gives_identical_tensors_and_images(to, source, tmp_path, capsys):
    there, back = tmp_path / f"b{formats[to].suffix}x", tmp_path / "c.ckpt"
    assert convert(source, there, "--to", to, "--verify") == 0
    assert "difference of pixels is 0, of logits 0" in capsys.readouterr().out
    assert convert(there, back) == 0
    before, after = load(source), load(back)
    same(before.tensors(), after.tensors())
    for name, network in after.named().items():
        expected = before.named()[name].config
        if to == "rosinality" and name == "discriminator":  # without labels, the number has no meaning
            expected = replace(expected, mapping_layers=8)
        assert network.config == expected
    z = torch.randn(2, 16, dtype=torch.float64)
    images = [n.generator.double()(z, noise="const", psi=0.7) for n in (before, after)]
    assert (images[0] - images[1]).abs().max() <= 1e-12


def test_float64_stays_float64(tmp_path):
    g = Generator(16, z_dim=16, w_dim=16, **SMALL).double()
    with torch.no_grad():
        g.synthesis.b4.const.add_(1e-12)
    for name in ("native", "safetensors", "official", "rosinality"):
        formats[name].write(Networks(generator=g), tmp_path / name)
        same(g.state_dict(), load(tmp_path / name).generator.state_dict())


def test_nvidias_networks_come_back_under_their_names(tmp_path):
    """G.load_state_dict of the official code takes the result: names, shapes and filters are all there."""
    g = load_golden("net_g_skip_32_cond", dtype=torch.float32)
    d = load_golden("net_d_resnet_32_cond", dtype=torch.float32)
    options = {"fp16": 2, "clamp": 256}
    pickled = theirs.nvidia_pickle(
        G=theirs.nvidia_network(g.weights(), True, **options),
        D=theirs.nvidia_network(d.weights(), False, **options),
        G_ema=theirs.nvidia_network(g.weights(), True, **options),
    )
    (tmp_path / "n.pkl").write_bytes(pickled)
    assert convert(tmp_path / "n.pkl", tmp_path / "o.pt", "--to", "official", "--verify") == 0
    found = torch.load(tmp_path / "o.pt", weights_only=True)
    same(found["G_ema"], g.weights())
    same(found["G"], g.weights())
    same(found["D"], d.weights())
    again = load(tmp_path / "o.pt")
    for network in again.named().values():
        assert (network.config.low_precision_blocks, network.scalings.clamp) == (2, 256)


def test_a_generator_alone_can_be_converted(tmp_path):
    g = load_golden("net_g_skip_4", dtype=torch.float32)
    torch.save(g.weights(), tmp_path / "g.pt")
    for name in ("n.ckpt", "n.safetensors"):
        assert convert(tmp_path / "g.pt", tmp_path / name, "--verify") == 0
        networks = load(tmp_path / name)
        assert networks.discriminator is None and networks.raw_generator is None
        g.check("image_const", networks.generator(g["z"], noise="const"))


def test_generate_takes_the_result(source, tmp_path):
    assert convert(source, tmp_path / "b.safetensors") == 0
    for file in (source, tmp_path / "b.safetensors"):
        args = ["--checkpoint", str(file), "--seeds", "3", "--out", str(tmp_path / file.suffix)]
        assert run("generate", args, "generate.py") == 0
    name = "seed0003.png"
    assert (tmp_path / ".ckpt" / name).read_bytes() == (tmp_path / ".safetensors" / name).read_bytes()


def test_training_refuses_a_converted_checkpoint_with_the_reason(source, tmp_path):
    g = load_golden("net_g_skip_16", dtype=torch.float32)
    torch.save(g.weights(), tmp_path / "g.pt")
    assert convert(tmp_path / "g.pt", tmp_path / "alone.ckpt") == 0
    with pytest.raises(InputError, match="generator alone"):
        native.read(tmp_path / "alone.ckpt")
    assert native.read(source)["stylegan2"]["images"] == 25_000


def test_a_checkpoint_without_average_keeps_its_names(tmp_path):
    contents = torch.load(GOLDEN / "v0.1" / "last.ckpt", weights_only=True)
    native.upgrade(contents)
    contents["stylegan2"]["samples_from"] = "generator"
    contents["state_dict"] = {
        k: v for k, v in contents["state_dict"].items() if not k.startswith("generator_ema")
    }
    torch.save(contents, tmp_path / "a.ckpt")
    assert convert(tmp_path / "a.ckpt", tmp_path / "b.ckpt") == 0
    found = torch.load(tmp_path / "b.ckpt", weights_only=True)["state_dict"]
    same(found, {k: contents["state_dict"][k] for k in found})
    assert {name.split(".")[0] for name in found} == {"generator", "discriminator"}


def test_a_model_card_travels_with_the_result(source, tmp_path):
    run_folder = tmp_path / "runs" / "cats"
    (run_folder / "checkpoints").mkdir(parents=True)
    checkpoint = source.rename(run_folder / "checkpoints" / "last.ckpt")
    (run_folder / "metrics.csv").write_text(
        "kimg,metric_fid,loss\n20,9.5,1\n25,7.25,1\n30,6,1\n", encoding="utf-8"
    )
    assert convert(checkpoint, tmp_path / "b.safetensors", "--license", "CC BY 4.0") == 0
    card = json.loads((tmp_path / "b.safetensors.json").read_text(encoding="utf-8"))
    assert card["license"] == "CC BY 4.0"
    assert card["kimg"] == 25
    assert card["metrics"] == {"fid": 7.25}
    assert card["data"]["path"] == "cats"
    assert card["generator"]["resolution"] == 16
    text = (tmp_path / "b.safetensors.md").read_text(encoding="utf-8")
    for words in ("**License:** CC BY 4.0", "fid 7.25", "25.0 kimg", "16×16"):
        assert words in text


def test_what_is_not_known_is_said(tmp_path, capsys):
    g = load_golden("net_g_skip_16", dtype=torch.float32)
    torch.save(g.weights(), tmp_path / "g.pt")
    assert convert(tmp_path / "g.pt", tmp_path / "n.safetensors") == 0
    assert "does not show a clamp" in capsys.readouterr().out
    card = json.loads((tmp_path / "n.safetensors.json").read_text(encoding="utf-8"))
    assert [card[key] for key in ("license", "kimg", "metrics", "data")] == ["not known"] * 4
    assert any("does not show a clamp" in remark for remark in card["remarks"])


@pytest.mark.parametrize(
    "args,words",
    [
        (["missing.pkl", "x.ckpt"], "no such file"),
        (["a.ckpt", "x.pt"], "official, rosinality"),
        (["a.ckpt", "x"], "--to"),
        (["a.ckpt", "x", "--to", "tensorflow"], "expects one of"),
        (["a.ckpt", "a.ckpt"], "not the source itself"),
        (["a.ckpt", "nowhere/x.ckpt"], "existing folder"),
        (["a.ckpt"], "--destination|destination"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    args, words, source, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    try:
        status = convert(*args)
    except SystemExit as end:
        status = end.code
    error = capsys.readouterr().err
    assert status == 2 and "Traceback" not in error
    assert any(word in error for word in words.split("|"))
    assert sorted(tmp_path.iterdir()) == before


def test_scalings_that_others_do_not_know_are_refused(tmp_path):
    g = Generator(16, scalings=Scalings(style_normalization="none"), z_dim=16, w_dim=16, **SMALL)
    for name in ("official", "rosinality"):
        with pytest.raises(InputError, match="style_normalization"):
            formats[name].write(Networks(generator=g), tmp_path / "x")


def test_networks_of_images_that_are_not_square_stay_in_our_formats(tmp_path):
    networks = Networks(generator=Generator((24, 40), z_dim=16, w_dim=16, **SMALL))
    for name in ("native", "safetensors"):
        formats[name].write(networks, tmp_path / name)
        again = load(tmp_path / name).generator
        assert again.image_size == (24, 40)
        same(networks.generator.state_dict(), again.state_dict())
    for name in ("official", "rosinality"):
        with pytest.raises(InputError, match="square"):
            formats[name].write(networks, tmp_path / "x")


@pytest.mark.parametrize(
    "contents,words",
    [
        ({"GAN": {"G.blocks.0.to_style1.weight": torch.zeros(2)}, "version": "1.8.9"}, "lucidrains"),
        ({"initial_constant": torch.zeros(2), "style_block.scale_noise": torch.zeros(1)}, "labml"),
    ],
)
def test_other_architectures_are_refused_by_name(contents, words, tmp_path):
    torch.save(contents, tmp_path / "x.pt")
    with pytest.raises(InputError, match=f"{words}.*architecture"):
        load(tmp_path / "x.pt")


def test_settings_that_ask_for_more_than_the_tensors_cost_nothing(source):
    contents = torch.load(source, weights_only=True)
    for key, value in (
        ("mapping_layers", 10**9),
        ("channel_max", 10**6),
        ("resolution", 2**40),
        ("w_dim", 2**40),
    ):
        spoilt = {**contents, "stylegan2": json.loads(json.dumps(contents["stylegan2"]))}
        spoilt["stylegan2"]["generator"] |= {key: value, "channel_base": 2**50}
        torch.save(spoilt, source)
        with pytest.raises(InputError):
            load(source)


def test_a_few_lines_that_stand_for_billions_are_not_written_out(source, tmp_path):
    value = [0]
    for _ in range(12):
        value = [value] * 10
    contents = torch.load(source, weights_only=True)
    for place, key in (("stylegan2", "class_names"), ("stylegan2", "data"), ("generator", "w_avg_beta")):
        state = dict(contents["stylegan2"])
        if place == "stylegan2":
            state[key] = value
        else:
            state[place] = {**state[place], key: value}
        torch.save({**contents, "stylegan2": state}, tmp_path / "b.ckpt")
        assert convert(tmp_path / "b.ckpt", tmp_path / "b.safetensors") == (0 if place == "stylegan2" else 2)


def test_an_archive_that_expands_is_refused_before_it_does(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 2**26)
    with pytest.raises(InputError, match="larger than the file"):
        load(tmp_path / "bomb.ckpt")
