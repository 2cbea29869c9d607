"""`probe_gan`, the penalties and `audit`: no false alarm on sound networks, and what they refuse."""

import json

import pytest
import torch
import torch.nn.functional as F
from faults import foreign, official
from faults.training import Training
from test_faults import audited, outcome, reals, ws_of
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import stylegan2
from stylegan2.__main__ import main
from stylegan2.blackbox import audit, check_path_length, check_r1, probe_gan
from stylegan2.blackbox.events import repeated
from stylegan2.blackbox.means import MeanOfW
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


def test_foreign_networks_without_their_planted_faults_have_no_fault():
    assert not faults_of(probe_gan(foreign.DCGAN(), foreign.SNDiscriminator(), 64))
    for network in (foreign.UNet(), foreign.DictGenerator()):
        assert not faults_of(probe_gan(network, sample_z=64))


class Enlarged(nn.Module):
    """A linear layer makes a 16×16 map, and a convolution follows, with a map of places added on request."""

    def __init__(self, padding, enlarge, places=False):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.enlarge = nn.Linear(8, 3 * 256), enlarge
        self.conv = nn.Conv2d(3, 3, 3, padding=1, padding_mode=padding)
        self.places = nn.Parameter(torch.randn(3, 32, 32)) if places else None

    def forward(self, z):
        x = self.enlarge(self.fc(z).reshape(len(z), 3, 16, 16))
        return self.conv(x if self.places is None else x + self.places.expand(len(z), 3, 32, 32))


def test_a_shift_of_features_is_one_of_the_image_if_nothing_knows_the_border():
    nearest = nn.Upsample(scale_factor=2)
    error = {
        p: probe_gan(Enlarged(p, nearest), sample_z=8).generator.shift.error for p in ("circular", "zeros")
    }
    assert error["circular"] < 1e-5 < 0.01 < error["zeros"] < 1
    assert (
        probe_gan(Enlarged("zeros", nearest, places=True), sample_z=8).generator.shift is None
    )  # a second first map


def test_constant_features_show_the_gain_and_the_checkerboard_of_up_sampling():
    ones = nn.ConvTranspose2d(3, 3, 3, 2, 1, output_padding=1, bias=False, groups=3)
    nn.init.ones_(ones.weight)  # 1 or 2 taps along each axis meet a pixel: 1, 2, 2 and 4 in the four phases
    for layer, gain, phases in ((nn.Upsample(scale_factor=2), 1, 0), (ones, 2.5, 1.1875**0.5 / 2.5)):
        found = probe_gan(Enlarged("circular", layer), sample_z=8).generator.upsampling
        (inner,) = [u for u in found if u.place == "enlarge"]
        assert (inner.gain, inner.phases) == pytest.approx((gain, phases), abs=1e-5)


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


class Together(Training):
    """R1 is added to the loss of the same backward pass."""

    def step(self):
        self.lazy, self.r1_every = self.r1_every, 10**9
        try:
            super().step()
        finally:
            self.r1_every = self.lazy

    def loss_d(self, real, fake):
        self.r1_every = self.lazy
        penalty = self.r1(self.latest, None) if (self.iteration - 1) % self.lazy == 0 else 0
        self.r1_every = 10**9
        return super().loss_d(real, fake) + penalty

    def reals(self):
        self.latest = super().reals()
        return self.latest


def test_the_weight_of_a_penalty_is_the_same_in_a_backward_pass_of_its_own_and_together_with_the_loss():
    for case in (Training(), Together()):
        case.iteration = 1  # Training fires R1 at iteration 0 whatever its interval
        summary = audited(case, iterations=9).summary
        assert summary["weight of R1"].startswith("40 every 4"), summary
        assert summary["weight of path length"].startswith("8 every 4")


def test_a_weight_is_judged_only_if_it_is_known():
    case = Training()
    networks = {"generator": case.generator, "discriminator": case.discriminator}
    found = audit(case.step, **networks, optimizers=[case.opt_g, case.opt_d], iterations=5, gamma=1.0)
    assert [f.name for f in found.findings] == ["R1 weight"] and "×10" in str(found.findings[0])


def test_a_running_mean_is_told_from_a_running_sum_by_its_changes():
    random = torch.Generator().manual_seed(0)
    for factor in (1.0, 4.0):
        mean = MeanOfW(torch.zeros(16), torch.zeros(16), True)
        value = mean.start.double()
        for _ in range(5):
            a, b = torch.randn(2, 16, generator=random, dtype=torch.float64) + 1
            value = value + 0.1 * (factor * a - value)  # b is also seen, and is not tracked
            mean.step(value, [a, b])
        assert mean.totals == pytest.approx([factor] * 4) and mean.moves == pytest.approx([0.1] * 4)


def test_repeated_inputs_are_those_that_were_all_there_before():
    a, b, c = (torch.full((3,), float(i)) for i in range(3))
    assert repeated({0: [a, b], 1: [a], 2: [b], 3: [a, b]})
    assert not repeated({0: [a], 1: [a], 2: [a]})  # too few to tell
    assert not repeated({0: [a], 1: [a, b], 2: [a], 3: [c]})


def test_ours_is_audited_without_a_fault():
    from probing_cases import make

    model = make(8, base=64, batch=4)
    opt_g, opt_d = model.configure_optimizers()
    found = stylegan2.audit(
        lambda: model.iterate(torch.rand(4, 3, 8, 8) * 2 - 1, torch.zeros(4, 0), opt_g, opt_d),
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
