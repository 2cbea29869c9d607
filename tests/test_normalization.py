"""Normalizations by name: values against oracles, what they ignore, their state, their place in both
networks."""

import copy

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.errors import InputError
from stylegan2.networks.layers import EqualizedConv2d, SynthesisLayer, demodulation_coefficients
from stylegan2.networks.normalization import Normalization, normalizations

FEATURES = ["instance", "group"]
SHIPPED = ["demodulation", "group", "instance", "none", "spectral"]
"""Kinds in the place of `scalings.style_normalization`. test_normalization_catalogue.py tests all."""


def make(name, shape=(6, 4, 3, 3)):
    torch.manual_seed(0)
    return normalizations[name](torch.randn(shape, dtype=torch.float64) / 6).double()


def loop_instance(x):
    """From the paper: every channel of every sample by itself."""
    y = torch.empty_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            values = [float(v) for v in x[n, c].flatten()]
            mean = sum(values) / len(values)
            variance = sum((v - mean) ** 2 for v in values) / len(values)
            y[n, c] = (x[n, c] - mean) / (variance + 1e-5) ** 0.5
    return y


def test_instance_normalization_is_its_definition():
    x = torch.randn(3, 6, 4, 5, dtype=torch.float64) * 3 + 2
    torch.testing.assert_close(make("instance").features(x), loop_instance(x))


def test_group_normalization_is_its_definition_and_instance_where_each_channel_is_a_group():
    x = torch.randn(2, 64, 3, 3, dtype=torch.float64) + 1
    grouped = make("group", (64, 4, 3, 3))
    assert grouped.norm.num_groups == 32
    pairs = x.reshape(2, 32, -1)
    expected = (pairs - pairs.mean(2, keepdim=True)) / (
        pairs.var(2, unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    torch.testing.assert_close(grouped.features(x), expected.reshape(x.shape))
    few = x[:, :6]
    torch.testing.assert_close(make("group").features(few), loop_instance(few))


def test_spectral_normalization_divides_by_the_largest_singular_value():
    spectral, weight = make("spectral"), torch.randn(6, 4, 3, 3, dtype=torch.float64)
    for _ in range(200):
        spectral.weight(weight)
    sigma = torch.linalg.svdvals(weight.flatten(1))[0]
    torch.testing.assert_close(spectral.weight(weight), weight / sigma)


def test_spectral_normalization_takes_a_power_step_in_training_only_and_keeps_its_state():
    spectral, weight = make("spectral"), torch.randn(6, 4, 3, 3, dtype=torch.float64)
    before = copy.deepcopy(spectral.state_dict())
    assert set(before) == {"u", "v"}
    spectral.eval().weight(weight)
    assert torch.equal(spectral.u, before["u"])
    spectral.train().weight(weight)
    assert not torch.equal(spectral.u, before["u"])


@pytest.mark.parametrize("name", FEATURES)
def test_features_pass_two_derivatives_and_constant_and_single_pixels_stay_finite(name):
    norm = make(name)
    x = torch.randn(2, 6, 3, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(norm.features, x) and gradgradcheck(norm.features, x)
    for y in (torch.full((2, 6, 3, 3), 7.0).double(), torch.randn(2, 6, 1, 1).double()):
        assert norm.features(y).isfinite().all()


def test_spectral_normalization_passes_two_derivatives_with_fixed_vectors():
    spectral = make("spectral").eval()
    weight = torch.randn(6, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(spectral.weight, weight) and gradgradcheck(spectral.weight, weight)


def test_demodulation_brings_every_modulated_kernel_to_length_one():
    weight, styles = torch.randn(5, 4, 3, 3, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    d = demodulation_coefficients(weight, styles)
    for n in range(3):
        for o in range(5):
            kernel = weight[o] * styles[n][:, None, None] * d[n, o]
            assert kernel.square().sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_kind_works_in_the_generators_place_in_low_precision_too(name, dtype):
    torch.manual_seed(0)
    layer = SynthesisLayer(8, 6, 5, 8, scalings=Scalings(style_normalization=name)).eval()
    x, w = torch.randn(2, 8, 8, 8), torch.randn(2, 5)
    with torch.no_grad():
        exact, low = layer(x, w, noise="none"), layer(x.to(dtype), w, noise="none")
    assert low.dtype == dtype
    assert (low.float() - exact).abs().max() / exact.abs().max() < 0.05


@pytest.mark.parametrize("name", SHIPPED)
def test_generators_train_with_every_kind_through_path_length(name):
    g = Generator(8, z_dim=4, w_dim=4, mapping_layers=1, channel_base=64, channel_max=8,
                  scalings=Scalings(style_normalization=name))  # fmt: skip
    ws = g.mapping(torch.randn(2, 4))
    images = g.synthesis(ws, noise="none")
    (jacobian,) = torch.autograd.grad(images.square().sum(), ws, create_graph=True)
    jacobian.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in g.parameters())


@pytest.mark.parametrize("name", ["none", "instance", "group", "spectral"])
def test_discriminators_train_with_every_kind_through_r1(name):
    d = Discriminator(8, channel_base=64, channel_max=8, normalization=name)
    images = torch.randn(4, 3, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(d(images).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert d.b8.conv0.weight.grad.isfinite().all()


def test_a_kind_that_needs_styles_is_refused_in_the_discriminator():
    with pytest.raises(ValueError, match="needs styles"):
        Discriminator(8, normalization="demodulation")


def test_an_unknown_kind_is_refused_with_the_names():
    with pytest.raises(InputError, match="instance"):
        Discriminator(8, normalization="instanze")


def test_a_kind_of_ones_own_works_in_a_layer():
    class Halved(Normalization):
        def features(self, x):
            return x / 2

    normalizations.register("halved_in_a_test")(Halved)
    torch.manual_seed(0)
    plain = EqualizedConv2d(3, 4, 3, scalings=Scalings())
    torch.manual_seed(0)
    halved = EqualizedConv2d(3, 4, 3, scalings=Scalings(), normalization="halved_in_a_test")
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(halved(x), plain(x) / 2)
    del normalizations._entries["halved_in_a_test"]
