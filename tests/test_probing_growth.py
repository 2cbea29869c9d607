"""The growth of weights: sizes, and angles between kernels, in float64."""

import math

import pytest
import torch

from stylegan2 import Discriminator, Generator
from stylegan2.networks.layers import EqualizedConv2d
from stylegan2.networks.scalings import Scalings
from stylegan2.probing.measure.growth import GrowthMeter

SMALL = {"channel_base": 128, "channel_max": 8}


def layer(kind="none"):
    torch.manual_seed(0)
    return EqualizedConv2d(4, 5, 3, scalings=Scalings(), normalization=kind).double()


def test_scaled_kernels_grow_and_do_not_turn():
    conv = layer()
    meter, before = GrowthMeter(conv), conv.weight.square().mean().sqrt().item()
    conv.weight.data *= 3
    found = meter.measure()
    assert found.size == pytest.approx(3 * before, rel=1e-12)
    assert found.angle == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("angle", [1e-6, 0.3, 2.0])
def test_the_angle_is_that_of_a_rotation_in_a_plane_since_the_previous_measurement(angle):
    conv = layer()
    w = conv.weight.data.flatten(1)
    other = torch.randn_like(w)
    other -= w * (other * w).sum(1, keepdim=True) / w.square().sum(1, keepdim=True)
    other *= w.norm(dim=1, keepdim=True) / other.norm(dim=1, keepdim=True)
    meter = GrowthMeter(conv)
    conv.weight.data = (math.cos(angle) * w + math.sin(angle) * other).reshape_as(conv.weight)
    meter._kernels = [conv.weight]
    assert meter.measure().angle == pytest.approx(angle, rel=1e-6)
    assert meter.measure().angle == pytest.approx(0, abs=1e-9)


def test_only_forced_normalization_keeps_size_and_angle_of_equal_steps():
    """With steps of equal length across the kernel, w grows by Pythagoras and the angle falls, unless w is held."""
    found = {}
    for kind in ("weight", "forced_weight"):
        conv = layer(kind)
        x = torch.randn(1, 4, 3, 3, dtype=torch.float64)
        conv(x)  # in training mode, which brings forced weights to rms 1
        with torch.no_grad():
            if kind == "weight":
                conv.weight /= conv.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        meter = GrowthMeter(conv)
        for _ in range(8):
            with torch.no_grad():
                w = conv.weight.flatten(1)
                step = torch.randn_like(w)
                step -= w * (step * w).sum(1, keepdim=True) / w.square().sum(1, keepdim=True)
                conv.weight += (0.5 * 6 * step / step.norm(dim=1, keepdim=True)).reshape_as(conv.weight)
            last = meter.measure()
            conv(x)
        found[kind] = (conv.weight.square().mean().sqrt().item(), last.angle)
    # After n steps of length ½ relative to the start, the size is √(1 + n/4). Step 8 turns by atan(½/√(1 + 7/4)).
    assert found["weight"] == pytest.approx((math.sqrt(3), math.atan(0.5 / math.sqrt(2.75))), rel=1e-9)
    assert found["forced_weight"] == pytest.approx((1, math.atan(0.5)), rel=1e-9)


def test_both_networks_have_kernels_and_a_linear_layer_has_none():
    for network in (Generator(8, z_dim=8, w_dim=8, **SMALL), Discriminator(8, **SMALL)):
        assert GrowthMeter(network).measure().size == pytest.approx(1, abs=0.2)
    with pytest.raises(ValueError, match="1×1"):
        GrowthMeter(torch.nn.Linear(2, 2))
