"""The constants of residual sums, against their formulas, in float64."""

import math

import pytest
import torch

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.errors import InputError
from stylegan2.networks.residual import magnitude_preserving

SMALL = {"channel_base": 256, "channel_max": 16}
L = 3  # residual blocks of a network for 32×32
KINDS = ["inverse_depth", "fixup", "skip_init"]


def discriminator(**scalings):
    torch.manual_seed(0)
    return Discriminator(32, scalings=Scalings(**scalings), **SMALL).double()


def formula(block, x, skip, branch, hidden=1.0, alpha=1.0):
    """y = skip · S(x) + branch · α · f₁(hidden · f₀(x)), by layers with gain 1."""
    return skip * block.skip(x) + branch * alpha * block.conv1(hidden * block.conv0(x))


@pytest.mark.parametrize(
    "scalings,factors",
    [
        ({}, (math.sqrt(0.5), math.sqrt(0.5))),
        ({"residual_gain": 1.0}, (1, 1)),
        ({"residual_gain": 0.35}, (0.35, 0.35)),
        ({"residual_balance": 0.3}, (0.7 / math.sqrt(0.58), 0.3 / math.sqrt(0.58))),
        ({"residual_gain": 1.0, "residual_balance": 0.3}, (1.4 / math.sqrt(1.16), 0.6 / math.sqrt(1.16))),
        ({"residual_balance": 0.0}, (1, 0)),
        ({"residual_gain": "inverse_depth"}, (1, 1 / math.sqrt(L))),
        ({"residual_gain": "fixup"}, (1, 1, 1 / math.sqrt(L))),
        ({"residual_gain": "skip_init"}, (1, 1, 1, 0.25)),
    ],
)
def test_a_block_of_the_discriminator_is_the_formula(scalings, factors):
    d = discriminator(**scalings)
    with torch.no_grad():
        for name, p in d.named_parameters():
            if name.endswith("alpha"):
                p.fill_(0.25)
            elif not p.any():  # weights and biases that start at 0
                p.normal_()
    x = torch.randn(2, 16, 16, 16).double()
    (y, _), expected = d.b16(x, None), formula(d.b16, x, *factors)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)


def test_a_block_of_a_residual_generator_is_the_formula():
    torch.manual_seed(0)
    scalings = Scalings(residual_gain="skip_init")
    g = Generator(32, scalings, architecture="resnet", z_dim=8, w_dim=8, mapping_layers=1, **SMALL).double()
    block, x, ws = g.synthesis.b16, torch.randn(2, 16, 8, 8).double(), torch.randn(2, 3, 8).double()
    torch.testing.assert_close(block(x, None, ws, "none")[0], block.skip(x))
    block.alpha.data.fill_(0.25)
    branch = block.conv1(block.conv0(x, ws[:, 0], "none"), ws[:, 1], "none")
    torch.testing.assert_close(block(x, None, ws, "none")[0], block.skip(x) + 0.25 * branch)


@pytest.mark.parametrize("t", [0.0, 0.1, 0.3, 0.5, 0.8, 1.0])
def test_the_magnitude_preserving_sum_keeps_the_variance(t):
    a, b = magnitude_preserving(t)
    total = math.sqrt((1 - t) ** 2 + t**2)
    assert (a, b) == pytest.approx(((1 - t) / total, t / total), rel=1e-14)
    assert a * a + b * b == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("gain", [math.sqrt(0.5), 1.0, 0.35, 0.7071, 1.4, 2 / 3])
def test_a_number_is_the_factor_of_both_branches_to_the_last_bit(gain):
    assert Scalings(residual_gain=gain).residual(5)[:2] == (gain, gain)


@pytest.mark.parametrize("kind", ["fixup", "skip_init"])
def test_a_branch_that_starts_at_zero_is_no_branch_and_learns(kind):
    d = discriminator(residual_gain=kind)
    x = torch.randn(2, 16, 16, 16).double()
    y, _ = d.b16(x, None)
    torch.testing.assert_close(y, d.b16.skip(x), rtol=0, atol=0)
    y.square().sum().backward()
    learned = d.b16.conv1.weight if kind == "fixup" else d.b16.alpha
    assert learned.grad.abs().max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_changes_no_other_initial_value(kind):
    default, changed = (discriminator(**options).state_dict() for options in ({}, {"residual_gain": kind}))
    differing = {n for n in changed if n not in default or not torch.equal(changed[n], default[n])}
    starts = {"inverse_depth": None, "fixup": "conv1.weight", "skip_init": "alpha"}[kind]
    assert differing == ({f"b{r}.{starts}" for r in (32, 16, 8)} if starts else set())


@pytest.mark.parametrize("kind", KINDS)
def test_low_precision_blocks_stay_close(kind):
    def logits(blocks):
        torch.manual_seed(0)
        d = Discriminator(32, Scalings(residual_gain=kind), low_precision_blocks=blocks, **SMALL)
        for r in d.resolutions if kind == "skip_init" else ():
            getattr(d, f"b{r}").alpha.data.fill_(0.5)
        return d(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)))

    exact, low = logits(0), logits(2)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, exact, rtol=0.02, atol=0.02)


def test_a_generator_without_residual_blocks_takes_every_kind():
    for kind in KINDS:
        for resolution in (4, 8):
            Generator(resolution, Scalings(residual_gain=kind), z_dim=8, w_dim=8, **SMALL)


@pytest.mark.parametrize(
    "options,words",
    [
        ({"residual_balance": 1.5}, "from 0 to 1"),
        ({"residual_balance": 0.3, "residual_gain": "fixup"}, "Leave one"),
        ({"residual_gain": "fix_up"}, "fixup"),
    ],
)
def test_wrong_settings_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        Scalings(**options)


def test_weights_that_start_at_zero_are_refused_where_they_are_normalized():
    fixup = Scalings(residual_gain="fixup")
    with pytest.raises(InputError, match="found demodulation"):
        Generator(16, fixup, architecture="resnet", z_dim=8, w_dim=8, **SMALL)
    with pytest.raises(InputError, match="found forced_weight"):
        Discriminator(16, fixup, weight_normalization="forced_weight", **SMALL)
