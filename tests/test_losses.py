"""The losses against official numbers, and the traps that other ports fell into."""

import math

import pytest
import torch
from conftest import parametrize_golden

from stylegan2 import Generator
from stylegan2.formats.official import from_official
from stylegan2.training.config import TrainingConfig
from stylegan2.training.draws import Draws
from stylegan2.training.losses import losses as adversarial_losses
from stylegan2.training.losses.logistic import discriminator_loss, generator_loss
from stylegan2.training.module import StyleGAN2
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1, default_gamma, gradient_penalty


class Setting:
    """The networks, inputs and weights of a golden loss file."""

    def __init__(self, golden):
        self.golden, args = golden, golden.args
        self.generator = from_official(golden.weights("wG:"), clamp=args["generator"]["clamp"])
        self.discriminator = from_official(
            golden.weights("wD:"),
            clamp=args["discriminator"]["clamp"],
            minibatch_group=args["discriminator"]["minibatch_std_group"],
        )
        self.z, self.c, self.real = golden["z"], golden.get("c"), golden["real"]

    def synthesis(self, ws):
        return self.generator.synthesis(ws, noise="const")

    def score(self, images):
        return self.discriminator(images, self.c)

    def model(self):
        config = TrainingConfig(ema=None)
        return StyleGAN2(self.generator, self.discriminator, config, batch=len(self.z))

    def check(self, case, value, network):
        self.golden.check(f"{case}/value", value)
        parameters = dict(network.named_parameters())
        grads = torch.autograd.grad(
            value, list(parameters.values()), allow_unused=True, materialize_grads=True
        )
        for name, grad in zip(parameters, grads):
            self.golden.check(f"{case}/g:{name}", grad)


@pytest.fixture
def setting(golden):
    return Setting(golden)


losses = parametrize_golden("loss_uncond", "loss_cond")


@losses
def test_generator_loss_equals_the_official_one(golden, setting):
    logits = setting.score(setting.synthesis(setting.generator.mapping(setting.z, setting.c)))
    golden.check("g_main/logits", logits)
    setting.check("g_main", generator_loss(logits), setting.generator)


@losses
def test_style_mixing_equals_the_official_one(golden, setting):
    model, cutoff = setting.model(), golden.args["mix_cutoff"]
    latents = iter([golden["z"], golden["z2"]])
    model.draws.z = lambda n, like, width: next(latents)
    model.draws.crossover = lambda num_ws, probability: cutoff
    c = torch.zeros(len(golden["z"]), 0, dtype=golden.dtype) if setting.c is None else setting.c
    logits = setting.score(setting.synthesis(model.ws(c)))
    golden.check("g_main_mixing/logits", logits)
    setting.check("g_main_mixing", generator_loss(logits), setting.generator)


@losses
def test_discriminator_loss_and_r1_equal_the_official_ones(golden, setting):
    with torch.no_grad():
        fake = setting.synthesis(setting.generator.mapping(setting.z, setting.c))
    fake_logits, real_logits = setting.score(fake), setting.score(setting.real)
    golden.check("d_main/logits_fake", fake_logits)
    golden.check("d_main/logits_real", real_logits)
    main = discriminator_loss(fake_logits, real_logits)
    penalty = R1(gamma=golden.args["r1_gamma"])(setting.score, setting.real)
    golden.check("d_r1/penalty", gradient_penalty(setting.score, setting.real))
    setting.check("d_both", main + penalty, setting.discriminator)
    penalty = R1(gamma=golden.args["r1_gamma"])(setting.score, setting.real)
    setting.check("d_r1", penalty, setting.discriminator)
    main = discriminator_loss(setting.score(fake), setting.score(setting.real))
    setting.check("d_main", main, setting.discriminator)


@losses
@pytest.mark.parametrize("shrink", [1, 2])
def test_path_length_equals_the_official_one(golden, setting, shrink):
    n = len(setting.z) // shrink
    c = None if setting.c is None else setting.c[:n]
    ws = setting.generator.mapping(setting.z[:n], c)
    before = torch.tensor(golden.args["pl_mean_before"], dtype=golden.dtype)
    loss = PathLength(weight=golden.args["pl_weight"], decay=golden.args["pl_decay"])
    penalty, mean, lengths = loss(
        setting.synthesis, ws, before, draw=lambda images: golden[f"pl_noise_{shrink}"]
    )
    golden.check(f"g_path_{shrink}/lengths", lengths)
    golden.check(f"g_path_{shrink}/pl_mean_new", mean)
    assert not mean.requires_grad
    setting.check(f"g_path_{shrink}", penalty, setting.generator)


def test_path_length_averages_the_jacobian_over_layers_not_over_the_batch():
    """Images a_n · w_n: the length of sample n is |a_n| · √dim, whatever the other samples are."""
    a = torch.tensor([1.0, 10.0, 100.0])
    ws = torch.ones(3, 4, 1, requires_grad=True)
    lengths = PathLength().lengths(
        lambda ws: (ws.sum(dim=1) * a[:, None])[:, :, None, None], ws, torch.ones_like
    )
    torch.testing.assert_close(lengths, a)


def test_a_dead_generator_gets_a_finite_path_length_gradient():
    weight = torch.zeros([], requires_grad=True)
    ws = torch.ones(2, 4, 3, requires_grad=True)
    images = lambda ws: (ws.sum(dim=(1, 2)) * weight)[:, None, None, None].expand(-1, 1, 4, 4)  # noqa: E731
    penalty, _, lengths = PathLength()(images, ws, torch.zeros([]))
    assert lengths.tolist() == [0, 0]
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert gradient.item() == 0


def test_path_length_does_not_grow_with_the_image_only_if_normalized():
    """An image that is w everywhere: J of a pixel is 1, so ‖Jᵀy‖ is N(0, 1)·√(H·W), or N(0, 1) normalized."""

    def mean_square(height, width, channels=1, **options):
        ws = torch.ones(4000, 1, 1, requires_grad=True)
        flat = lambda ws: ws[:, :, :, None].expand(-1, channels, height, width)  # noqa: E731
        return PathLength(**options).lengths(flat, ws).square().mean().item()

    assert mean_square(4, 4) == pytest.approx(1, rel=0.1)
    assert mean_square(16, 16) == pytest.approx(1, rel=0.1)
    assert mean_square(6, 16, channels=3) == pytest.approx(3, rel=0.1)
    assert mean_square(16, 16, normalize_by_image_size=False) == pytest.approx(256, rel=0.1)
    assert mean_square(6, 16, channels=3, normalize_by_image_size=False) == pytest.approx(288, rel=0.1)
    # The square of a random direction's sum is 1 on average, whatever the number of its entries.
    for shape in ((4, 4, 1), (16, 16, 3), (6, 16, 3)):
        assert mean_square(*shape, normalize_by_image_size="unit_length") == pytest.approx(1, rel=0.1)


def test_y_of_unit_length_is_y_over_its_own_length_in_each_sample():
    y = torch.randn(3, 3, 4, 6, dtype=torch.float64)
    ws = torch.randn(3, 2, 5, dtype=torch.float64, requires_grad=True)
    images = lambda ws: (ws.sum(dim=(1, 2)) ** 2)[:, None, None, None] * torch.ones(3, 3, 4, 6).double()  # noqa: E731
    found = PathLength(normalize_by_image_size="unit_length").lengths(images, ws, lambda _: y)
    slope = 2 * ws.detach().sum(dim=(1, 2)) * y.sum(dim=(1, 2, 3)) / y.flatten(1).norm(dim=1)
    torch.testing.assert_close(found, slope.abs() * 5**0.5)  # five equal entries of each row


def test_style_mixing_starts_anywhere_from_the_second_row_to_the_last():
    assert {Draws().crossover(6, 1.0) for _ in range(200)} == {1, 2, 3, 4, 5}


def test_style_mixing_happens_with_its_probability():
    mixed = [Draws().crossover(6, 0.9) < 6 for _ in range(2000)]
    assert sum(mixed) / len(mixed) == pytest.approx(0.9, abs=0.02)
    assert all(Draws().crossover(6, 0.0) == 6 for _ in range(20))


def test_default_gamma_is_the_auto_recipe():
    assert default_gamma(256, 32) == pytest.approx(0.0002 * 256 * 256 / 32)


def test_r1_without_a_weight_is_refused():
    with pytest.raises(ValueError, match="gamma"):
        R1()(lambda images: images.mean(dim=(1, 2, 3)), torch.zeros(2, 1, 4, 4))


@pytest.mark.parametrize("resolution", [8, 64, 256])
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_there_is_a_row_of_ws_for_every_layer_and_each_is_used(resolution, architecture):
    g = Generator(
        resolution,
        z_dim=8,
        w_dim=8,
        mapping_layers=1,
        channel_base=512,
        channel_max=8,
        architecture=architecture,
    )
    assert g.num_ws == 2 * int(math.log2(resolution)) - 2
    ws = torch.randn(1, g.num_ws, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(g.synthesis(ws, noise="none").sum(), ws)
    assert gradient.square().sum(dim=2).min() > 0


@pytest.mark.parametrize("rows", [5, 7])
def test_ws_with_another_number_of_rows_are_refused(rows):
    g = Generator(16, z_dim=8, w_dim=8, mapping_layers=1, channel_base=64)
    with pytest.raises(ValueError, match=r"\(N, 6, w_dim\)"):
        g.synthesis(torch.zeros(1, rows, 8))


def naive(name, fake, real):
    """(G's loss, D's loss) sample by sample, from the papers' formulas."""
    softplus, g, d = lambda x: math.log1p(math.exp(x)), [], []
    for f, r in zip(fake.flatten().tolist(), real.flatten().tolist()):
        if name == "logistic":
            g.append(softplus(-f)), d.append(softplus(f) + softplus(-r))
        elif name == "hinge":
            g.append(-f), d.append(max(0, 1 + f) + max(0, 1 - r))
        elif name == "wasserstein":
            g.append(-f), d.append(f - r)
        elif name == "relativistic":
            g.append(softplus(r - f)), d.append(softplus(f - r))
    return sum(g) / len(g), sum(d) / len(d)


@pytest.mark.parametrize("name", ["logistic", "hinge", "wasserstein", "relativistic"])
def test_each_adversarial_loss_is_its_papers_formula(name):
    fake, real = torch.randn(2, 16, 1, dtype=torch.float64).unbind()
    loss, (g, d) = adversarial_losses[name], naive(name, fake, real)
    assert loss.generator(fake, real).item() == pytest.approx(g)
    assert loss.discriminator(fake, real).item() == pytest.approx(d)


def test_the_loss_package_has_no_other_entry_than_those_tested():
    assert set(adversarial_losses) == {"logistic", "hinge", "wasserstein", "relativistic"}
