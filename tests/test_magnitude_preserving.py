"""Magnitude-preserving layers (EDM2): gains against scipy's integral, and the rms of a signal through a network."""

import math

import pytest
import torch
import yaml
from scipy import integrate

from stylegan2 import Scalings
from stylegan2.cli import CONFIGS
from stylegan2.errors import InputError
from stylegan2.networks.config import DiscriminatorConfig, GeneratorConfig
from stylegan2.networks.layers import EqualizedConv2d, SynthesisLayer
from stylegan2.ops import activations

MODEL = yaml.safe_load(
    (CONFIGS / "normalizations" / "magnitude_preserving.yaml").read_text(encoding="utf-8")
)["model"]
BLOCKS = 8


@pytest.mark.parametrize("name", activations)
def test_the_gain_is_the_inverse_rms_of_the_activation_of_a_normal_variable(name):
    def power(z):
        y = activations[name].function(torch.tensor(z, dtype=torch.float64), activations[name].alpha)
        return y.item() ** 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    expected = integrate.quad(power, -12, 0)[0] + integrate.quad(power, 0, 12)[0]
    assert Scalings(activation_gain="magnitude_preserving").gain(name) == pytest.approx(
        expected**-0.5, rel=1e-6
    )


def test_the_gains_of_the_paper():
    gain = Scalings(activation_gain="magnitude_preserving").gain
    assert 1 / gain("swish") == pytest.approx(0.596, abs=5e-4)
    assert gain("lrelu") == pytest.approx(math.sqrt(2 / (1 + 0.2**2)), rel=1e-9)


def test_another_word_is_refused_with_the_choices():
    with pytest.raises(InputError, match="magnitude_preserving"):
        Scalings(activation_gain="preserving")


def independent(x):
    """Features with random signs: the derivation assumes uncorrelated ones, and activations have a mean above 0."""
    return x * torch.randn_like(x).sign()


def rms_after_blocks_of_d(scalings, channels=256):
    """Rms after each residual block, for kernels of 1×1, which need no padding."""
    torch.manual_seed(0)
    plan = DiscriminatorConfig(resolution=8, **MODEL["discriminator"]).plan()
    common, g = {"scalings": scalings, "normalization": plan}, scalings.residual_gain
    x, found = torch.randn(64, channels, 1, 1), []
    for _ in range(BLOCKS):
        conv0, conv1 = (
            EqualizedConv2d(channels, channels, 1, activation="lrelu", **common) for _ in range(2)
        )
        skip = EqualizedConv2d(channels, channels, 1, bias=False, scalings=scalings)
        x = independent(x)
        x = conv1(independent(conv0(x)), gain=g) + skip(x, gain=g)
        found.append(x.square().mean().sqrt().item())
    return found


def rms_after_blocks_of_g(scalings, channels=128):
    """Rms after each block of two synthesis layers, of the pixels that padding has not reached."""
    torch.manual_seed(0)
    plan = GeneratorConfig(resolution=8, **MODEL["generator"]).plan(scalings)
    side = 2 * 2 * BLOCKS + 12
    x, w, found = torch.randn(2, channels, side, side), torch.randn(2, 8), []
    for _ in range(BLOCKS):
        for _ in range(2):
            layer = SynthesisLayer(channels, channels, 8, x.shape[-1], scalings=scalings, normalization=plan)
            x = layer(independent(x), w, "none")[..., 1:-1, 1:-1]
        found.append(x.square().mean().sqrt().item())
    return found


@pytest.mark.parametrize("rms_after_blocks", [rms_after_blocks_of_d, rms_after_blocks_of_g])
@torch.no_grad()
def test_a_signal_keeps_its_rms_through_8_blocks_with_the_overlay_and_not_without(rms_after_blocks):
    assert rms_after_blocks(Scalings(**MODEL["scalings"])) == pytest.approx([1.0] * BLOCKS, abs=0.05)
    assert rms_after_blocks(Scalings())[-1] > 1.1


def test_stored_kernels_are_forced_to_rms_1_in_training_alone_and_used_at_length_1():
    torch.manual_seed(0)
    plan = DiscriminatorConfig(resolution=8, **MODEL["discriminator"]).plan()
    layer = EqualizedConv2d(4, 6, 3, scalings=Scalings(), bias=False, normalization=plan).double()
    layer.weight.data *= 3
    stored = layer.weight.detach().clone()
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    used = stored / stored.flatten(1).norm(dim=1)[:, None, None, None]
    expected = torch.nn.functional.conv2d(x, used, padding=1)
    torch.testing.assert_close(layer.eval()(x), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(layer.weight, stored)
    torch.testing.assert_close(layer.train()(x), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(layer.weight.detach(), used * 6, rtol=1e-6, atol=1e-6)  # √(4·3·3) = 6
