"""Convolutions with derivatives of their own, Winograd's among them, against PyTorch's in float64."""

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylegan2.generator import Generator
from stylegan2.ops import build, fixed_weights, once, winograd
from stylegan2.ops.conv2d import conv2d, conv_transpose2d

pytestmark = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
CONVOLUTIONS = {  # name: x, kernel, ours, PyTorch's
    "plain": ((2, 6, 7, 9), (4, 6, 3, 3), lambda f, x, w: f.conv2d(x, w, padding=(1, 1))),
    "strided": ((2, 6, 8, 10), (4, 6, 3, 3), lambda f, x, w: f.conv2d(x, w, stride=2)),
    "strided, with a rest": ((2, 6, 9, 11), (4, 6, 4, 2), lambda f, x, w: f.conv2d(x, w, stride=3)),
    "in groups": ((2, 6, 5, 5), (4, 3, 3, 3), lambda f, x, w: f.conv2d(x, w, padding=(2, 0), groups=2)),
    "1×1": ((3, 6, 4, 4), (5, 6, 1, 1), lambda f, x, w: f.conv2d(x, w)),
    "transposed": ((2, 6, 4, 5), (6, 4, 3, 3), lambda f, x, w: f.conv_transpose2d(x, w, stride=2)),
    "transposed in groups": (
        (2, 6, 4, 5),
        (6, 2, 3, 3),
        lambda f, x, w: f.conv_transpose2d(x, w, stride=2, groups=3),
    ),
}
WINOGRAD = {  # name: x, kernel, padding
    "one pass": ((1, 64, 32, 32), (64, 64, 3, 3), 1),
    "tiles over the edge": ((2, 64, 30, 33), (80, 64, 3, 3), 1),
    "several passes": ((3, 64, 66, 70), (64, 64, 3, 3), 1),
    "no padding": ((1, 64, 41, 38), (96, 64, 3, 3), 0),
    "much padding": ((1, 64, 29, 30), (64, 64, 3, 3), 3),
}


class Ours:
    conv2d, conv_transpose2d = staticmethod(conv2d), staticmethod(conv_transpose2d)


def derivatives(function, library, x, weight):
    """y, its two first derivatives, and what two random functionals of those give as second ones."""
    torch.manual_seed(1)
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    y = function(library, x, weight)
    cot = torch.randn(y.shape, dtype=torch.float64).to(y).requires_grad_()
    first = torch.autograd.grad(y, [x, weight], cot, create_graph=True)
    along = [torch.randn(t.shape, dtype=torch.float64).to(t) for t in first]
    second = torch.autograd.grad(sum((a * b).sum() for a, b in zip(first, along)), [x, weight, cot])
    return [y, *first, *second]


def relative_error(a, exact):
    a, exact = a.detach().double(), exact.detach()
    return float((a - exact).norm() / exact.norm())


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_values_and_two_derivatives_equal_pytorchs(name, form):
    x_shape, w_shape, function = CONVOLUTIONS[name]
    x = torch.randn(x_shape, dtype=torch.float64).contiguous(memory_format=FORMATS[form])
    weight = torch.randn(w_shape, dtype=torch.float64)
    for ours, theirs in zip(derivatives(function, Ours, x, weight), derivatives(function, F, x, weight)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_a_third_derivative_is_right():
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)

    def gradient(x, weight):
        y = conv2d(x, weight, padding=(1, 1))
        return torch.autograd.grad(y.square().sum(), [x, weight], create_graph=True)

    assert torch.autograd.gradgradcheck(gradient, (x, weight))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", WINOGRAD)
def test_winograds_values_and_two_derivatives_have_float32_errors(name, form, monkeypatch):
    monkeypatch.setattr(winograd, "MIN_PRODUCTS", 1)
    x_shape, w_shape, padding = WINOGRAD[name]
    x = torch.randn(x_shape).contiguous(memory_format=FORMATS[form])
    weight = torch.randn(w_shape) / (9 * w_shape[1]) ** 0.5
    size = [n + 2 * padding - 2 for n in x_shape[2:]]
    assert winograd.pays(w_shape, x, x_shape[0], *size)

    def function(library, x, weight):
        return library.conv2d(x, weight, padding=(padding, padding))

    ours, theirs = derivatives(function, Ours, x, weight), derivatives(function, F, x, weight)
    exact = derivatives(function, F, x.double(), weight.double())
    assert not torch.equal(ours[0], theirs[0])  # it really is another way
    for a, b, c in zip(ours, theirs, exact):
        assert relative_error(a, c) < 2.5e-6
        assert relative_error(a, c) < 10 * relative_error(b, c)


def test_winograd_is_right_for_any_number_of_channels(monkeypatch):
    monkeypatch.setattr(winograd, "MIN_CHANNELS", 1)
    monkeypatch.setattr(winograd, "MIN_TILES", 1)
    monkeypatch.setattr(winograd, "MIN_PRODUCTS", 1)
    monkeypatch.setattr(winograd, "CHUNK", 3)
    x, weight = torch.randn(2, 3, 5, 9), torch.randn(19, 3, 3, 3)

    def function(library, x, weight):
        return library.conv2d(x, weight, padding=(1, 1))

    for a, b in zip(
        derivatives(function, Ours, x, weight), derivatives(function, F, x.double(), weight.double())
    ):
        assert relative_error(a, b) < 1e-6


def test_winograds_weights_are_polynomials_at_its_points():
    """Cook and Toom: G w evaluates w's polynomial at each point, divided by what interpolation leaves."""
    points = np.array([0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)])
    rest = [np.prod([p - q for q in points if q != p]) for p in points]
    g = np.vstack([np.stack([points**k for k in range(3)], axis=1) / np.array(rest)[:, None], [0, 0, 1]])
    weight = np.random.default_rng(0).standard_normal((2, 5, 3, 3))
    expected = np.einsum("ak,bl,oikl->aboi", g, g, weight).reshape(36, 2, 5)
    assert build.available("cpu")
    found = winograd._weight(torch.tensor(weight, dtype=torch.float32), False)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "changed",
    [dict(dtype=torch.float64), dict(dtype=torch.bfloat16), dict(device="meta")],
    ids=["float64", "bfloat16", "meta"],
)
def test_winograd_keeps_to_float32_on_the_cpu(changed):
    assert winograd.pays((64, 64, 3, 3), torch.empty(1), 1, 128, 128)
    assert not winograd.pays((64, 64, 3, 3), torch.empty(1, **changed), 1, 128, 128)


def test_channels_that_do_not_fit_are_refused():
    with pytest.raises(RuntimeError, match="to have 64 channels, but got 80 channels"):
        conv2d(torch.randn(1, 80, 128, 128), torch.randn(64, 64, 3, 3), padding=(1, 1))


def test_autocast_leaves_convolutions_and_their_gradients_to_pytorch():
    x, weight = torch.randn(1, 64, 128, 128), torch.randn(64, 64, 3, 3, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = conv2d(x, weight, padding=(1, 1))
        assert torch.equal(y, F.conv2d(x, weight, padding=1)) and y.dtype == torch.bfloat16
    y.sum().backward()
    assert weight.grad is not None


def test_without_kernels_convolutions_are_pytorchs():
    x, weight = torch.randn(1, 64, 128, 128), torch.randn(64, 64, 3, 3, requires_grad=True)
    assert not torch.equal(conv2d(x, weight, padding=(1, 1)), F.conv2d(x, weight, padding=1))
    with build.off():
        y = conv2d(x, weight, padding=(1, 1))
        assert torch.equal(y, F.conv2d(x, weight, padding=1))
    assert type(y.grad_fn).__name__ == "ConvolutionBackward0"


@pytest.mark.parametrize(
    "kernel,batch,size,pays",
    [
        ((512, 512), 1, 32, True),
        ((512, 512), 1, 16, False),  # the kernels' maps
        ((64, 64), 1, 256, True),
        ((64, 64), 16, 16, False),
        ((32, 32), 1, 1024, False),  # the features' maps
        ((128, 48), 1, 1024, False),
    ],
)
def test_winograd_serves_where_it_was_measured_to_be_faster(kernel, batch, size, pays):
    assert winograd.pays((*kernel, 3, 3), torch.empty(1), batch, size, size) == pays


def test_the_gradient_of_a_kernel_lies_in_memory_as_the_kernel_does():
    """Otherwise every step copies every gradient."""
    g = Generator(64, channel_base=4096, channel_max=64, w_dim=16, z_dim=16, mapping_layers=1)
    g(torch.randn(2, 16)).square().mean().backward()
    kernels = [p for p in g.synthesis.parameters() if p.ndim == 4 and p.shape[2] == 3]
    assert len(kernels) == 9
    for kernel in kernels:
        assert kernel.grad.stride() == kernel.stride()


def test_fixed_weights_give_the_same_images_and_notice_a_change():
    g = Generator(32, w_dim=16, z_dim=16, mapping_layers=1).eval()
    z = torch.randn(1, 16)
    with torch.no_grad(), fixed_weights():
        first = g(z, noise="const")
        assert torch.equal(g(z, noise="const"), first)
        g.synthesis.b16.conv1.weight.mul_(-1)
        changed = g(z, noise="const")
    with torch.no_grad():
        assert torch.equal(g(z, noise="const"), changed)
    assert not torch.allclose(first, changed)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_fixed_weights_keep_the_kernels_of_low_precision(dtype):
    g = Generator(
        16,
        w_dim=8,
        z_dim=8,
        mapping_layers=1,
        channel_max=8,
        low_precision_blocks=2,
        low_precision_dtype=dtype,
    ).eval()
    z = torch.randn(2, 8)
    with torch.no_grad(), fixed_weights() as fixed:
        first = g(z, noise="const")
        kept = {id(entry[2]) for entry in fixed.kept.values()}
        low = [entry[2] for entry in fixed.kept.values() if entry[2].dtype == getattr(torch, dtype)]
        assert len(low) == 6  # two convolutions and an image layer a block
        assert torch.equal(g(z, noise="const"), first)
        assert {id(entry[2]) for entry in fixed.kept.values()} == kept


def test_networks_made_in_inference_mode_generate_with_fixed_weights():
    with torch.inference_mode(), fixed_weights():
        g = Generator(8, w_dim=8, z_dim=8, mapping_layers=1, channel_max=8).eval()
        assert g(torch.randn(1, 8)).shape == (1, 3, 8, 8)


def test_within_fixed_weights_a_weight_is_worked_on_once_unless_a_gradient_is_wanted():
    calls = []

    def double(weight):
        calls.append(weight)
        return weight * 2

    weight = torch.nn.Parameter(torch.ones(2))
    with torch.no_grad():
        once(double, weight)
        once(double, weight)
        assert len(calls) == 2
        fixed = fixed_weights()
        for _ in range(2):
            with fixed:
                once(double, weight)
                once(double, weight)
        assert len(calls) == 3
        with fixed, torch.enable_grad():
            assert once(double, weight).requires_grad and len(calls) == 4
        once(double, weight)
        assert len(calls) == 5
