"""`probe_gan`, the penalties and `audit`: no false alarm on sound networks, and what they refuse."""

import json

import pytest
import torch
import torch.nn.functional as F
from faults import official
from faults.training import Training
from test_faults import audited, outcome, reals, ws_of
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import stylegan2
from stylegan2.__main__ import main
from stylegan2.blackbox import check_path_length, check_r1, probe_gan
from stylegan2.errors import InputError
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1


class DCGenerator(nn.Module):
    """DCGAN (Radford et al. 2016): batch norm, ReLU and weights N(0, 0.02)."""

    def __init__(self, width=32):
        super().__init__()
        torch.manual_seed(0)
        layers, widths = [], [64, 4 * width, 2 * width, width]
        for i, (a, b) in enumerate(zip(widths, widths[1:])):
            up = nn.ConvTranspose2d(a, b, 4, 2 if i else 1, 1 if i else 0, bias=False)
            layers += [up, nn.BatchNorm2d(b), nn.ReLU(True)]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())
        self.layers.apply(small)

    def forward(self, z):
        return self.layers(z[:, :, None, None])


def small(layer):
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, std=0.02)


def dc_discriminator(width=32):
    torch.manual_seed(0)
    layers = []
    for a, b in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, True)]
    network = nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 4), nn.Flatten())
    network.apply(small)
    return network


class SNBlock(nn.Module):
    """A residual block of the spectrally normalized discriminator (Miyato et al. 2018): no factor on the sum."""

    def __init__(self, a, b):
        super().__init__()
        self.c0, self.c1 = (spectral_norm(nn.Conv2d(x, b, 3, padding=1)) for x in (a, b))
        self.skip = spectral_norm(nn.Conv2d(a, b, 1))

    def forward(self, x):
        return F.avg_pool2d(self.skip(x) + self.c1(F.relu(self.c0(F.relu(x)))), 2)


def sn_discriminator():
    torch.manual_seed(0)
    return nn.Sequential(
        SNBlock(3, 32), SNBlock(32, 64), SNBlock(64, 64), nn.Flatten(), nn.Linear(64 * 16, 1)
    )


def faults_of(found):
    return [str(f) for f in found.findings if f.fault]


def test_official_networks_and_ours_have_no_fault():
    assert not faults_of(probe_gan(official.Generator(), official.Discriminator(), 64))
    options = {"channel_base": 1024, "channel_max": 32}
    g, d = stylegan2.Generator(32, z_dim=64, w_dim=64, **options), stylegan2.Discriminator(32, **options)
    found = probe_gan(g, d, 64)
    assert not faults_of(found) and not [f for f in found.findings if f.name != "no noise"]
    assert 0.4 < found.generator.share < 1 and found.discriminator.images_seen == 4  # its group
    json.dumps(found.to_dict())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("g", "d"), [("skip", "resnet"), ("resnet", "skip"), ("orig", "orig")])
def test_networks_of_ours_have_no_fault_for_any_seed(g, d, seed):
    torch.manual_seed(seed)
    options = {"channel_base": 1024, "channel_max": 64}
    pair = (
        stylegan2.Generator(64, z_dim=128, w_dim=128, architecture=g, **options),
        stylegan2.Discriminator(64, architecture=d, **options),
    )
    assert not faults_of(probe_gan(*pair, 128, seed=seed))


def test_networks_of_other_gans_have_no_fault():
    found = probe_gan(DCGenerator(), dc_discriminator(), 64)
    assert not faults_of(found)
    assert "samples depend on each other" in {f.name for f in found.findings}  # batch norm in training mode
    assert not faults_of(probe_gan(discriminator=sn_discriminator(), image_size=(3, 32, 32)))


def test_functions_of_z_are_probed_like_modules():
    g = official.Generator()
    found = probe_gan(lambda z: [g([z][0]), None], sample_z=lambda n: torch.randn(n, 64))
    assert not faults_of(found) and found.generator.layers[0].place.startswith("g.mapping.layers.0")


def test_probing_leaves_networks_and_random_state_as_they_were():
    g, d = official.Generator(), dc_discriminator()
    before = {k: v.clone() for k, v in (*g.state_dict().items(), *d.state_dict().items())}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    probe_gan(g, d, 64)
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(v, before[k]) for k, v in (*g.state_dict().items(), *d.state_dict().items()))
    assert not any(m._forward_hooks or m._forward_pre_hooks for net in (g, d) for m in net.modules())


@pytest.mark.parametrize(
    ("name", "part"),
    [("g_latent_l2", "1/√64"), ("d_no_residual_gain", "1/√2"), ("d_one_layer_root_two", "√2 in this layer")],
)
def test_a_finding_names_place_number_and_likely_factor(name, part):
    found, named, said = outcome(name)
    assert found and named and any(part in text for text in said)


def test_the_gain_that_keeps_a_sum_follows_from_its_correlation():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = nn.Conv2d(3, 8, 1)

        def forward(self, x):
            y = self.c(x)
            return (y + y * 1.0).mean((1, 2, 3))

    (found,) = probe_gan(discriminator=Twice(), image_size=(3, 8, 8)).discriminator.sums
    assert found.correlation == pytest.approx(1, abs=1e-4) and found.gain == pytest.approx(0.5, abs=1e-4)


def test_penalties_of_ours_are_the_definitions():
    d, g = official.Discriminator(), official.Generator(width=16, resolution=16, layers=2)
    ours = R1(gamma=10.0)
    assert not check_r1(ours, d, reals(), gamma=10.0)
    assert check_r1(lambda f, x: ours(f, x) * 2, d, reals(), gamma=10.0)[0].name == "R1 differs"
    length = PathLength()

    def penalty(images, ws, mean):
        return length(lambda _: images, ws, mean)

    assert not check_path_length(penalty, g.synthesis, ws_of(g))


def test_a_sound_training_step_has_no_fault():
    assert not audited(Training(), iterations=9).findings


def test_ours_is_audited_without_a_fault():
    from probing_cases import make

    model = make(8, base=64, batch=4)
    opt_g, opt_d = model.configure_optimizers()
    x = torch.rand(4, 3, 8, 8) * 2 - 1
    found = stylegan2.audit(
        lambda: model.iterate(x, torch.zeros(4, 0), opt_g, opt_d),
        generator=model.generator,
        discriminator=model.discriminator,
        average=model.generator_ema,
        optimizers=[opt_g, opt_d],
        iterations=9,
    )
    assert not faults_of(found), faults_of(found)


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="found neither"):
        probe_gan()
    with pytest.raises(InputError, match="sample_z"):
        probe_gan(official.Generator())
    with pytest.raises(InputError, match="image_size"):
        probe_gan(discriminator=official.Discriminator())
    with pytest.raises(InputError, match=r"images \(N, C, H, W\)"):
        probe_gan(nn.Linear(4, 4), sample_z=4)
    with pytest.raises(InputError, match="optimizers"):
        stylegan2.audit(lambda: None, generator=nn.Linear(1, 1), discriminator=nn.Linear(1, 1))


NETWORKS = """
import torch, stylegan2
def make_generator():
    torch.manual_seed(0)
    return stylegan2.Generator(8, z_dim=16, w_dim=16, channel_base=64)
def make_discriminator():
    torch.manual_seed(0)
    return stylegan2.Discriminator(8, channel_base=64)
generator, discriminator = make_generator(), make_discriminator()
optimizers = [torch.optim.Adam(n.parameters(), betas=(0.0, 0.99)) for n in (generator, discriminator)]
def step():
    for optimizer in optimizers:
        optimizer.zero_grad()
        discriminator(generator(torch.randn(4, 16))).mean().backward()
        optimizer.step()
"""


def test_the_commands_print_findings_and_tell_them_by_their_status(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(NETWORKS, encoding="utf-8")
    args = [
        f"{path}:make_generator",
        f"{path}:make_discriminator",
        "--z_dim",
        "16",
        "--out",
        str(tmp_path / "o.json"),
    ]
    assert main(["probe-gan", *args]) == 0
    assert "No fault found" in capsys.readouterr().out
    assert json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))["generator"]["rms"] > 0
    assert main(["audit", "--step", f"{path}:step", "--iterations", "3"]) == 1
    assert "no real images" in capsys.readouterr().out
    for wrong in (["nowhere"], [f"{path}:nothing"], ["no_module_of_this_name:f"]):
        assert main(["probe-gan", *wrong]) == 2
        assert capsys.readouterr().err.startswith("error: Expected")
