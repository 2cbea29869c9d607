"""Convolutions with derivatives of their own, Winograd's among them, against PyTorch's in float64."""

import shutil

import pytest
import torch
import torch.nn.functional as F

from stylegan2 import kernels as package
from stylegan2.kernels import fixed_weights, winograd
from stylegan2.kernels.weight_cache import cached
from stylegan2.networks.generator import Generator
from stylegan2.ops import conv2d, conv_transpose2d

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
PLAIN = lambda f, x, w: f.conv2d(x, w, padding=(1, 1))  # noqa: E731
STRIDED = lambda f, x, w: f.conv2d(x, w, stride=2)  # noqa: E731
TRANSPOSED = lambda f, x, w: f.conv_transpose2d(x, w, stride=2)  # noqa: E731
WINOGRAD = {  # name: x, kernel, the convolution
    "one block": ((1, 64, 32, 32), (64, 64, 3, 3), PLAIN),
    "several blocks": ((3, 64, 66, 70), (64, 64, 3, 3), PLAIN),
    "tiles over the edge": ((2, 64, 30, 33), (80, 64, 3, 3), PLAIN),
    "several panels": ((2, 140, 21, 17), (200, 140, 3, 3), PLAIN),
    "single channels left over": ((2, 3, 21, 29), (19, 3, 3, 3), PLAIN),
    "no padding": ((1, 64, 41, 38), (96, 64, 3, 3), lambda f, x, w: f.conv2d(x, w)),
    "much padding": ((1, 64, 29, 30), (64, 64, 3, 3), lambda f, x, w: f.conv2d(x, w, padding=(3, 3))),
    "strided": ((2, 64, 33, 33), (130, 64, 3, 3), STRIDED),
    "strided, with a rest": ((3, 35, 66, 40), (19, 35, 3, 3), STRIDED),
    "transposed": ((2, 64, 16, 20), (64, 130, 3, 3), TRANSPOSED),
    "transposed, several blocks": ((3, 35, 33, 27), (35, 19, 3, 3), TRANSPOSED),
}


@pytest.fixture
def always_winograd(monkeypatch):
    monkeypatch.setattr(winograd, "MINIMUM_SIZE", dict.fromkeys(winograd.MINIMUM_SIZE, (1, 1, 1)))


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
def test_winograds_values_and_two_derivatives_have_float32_errors(name, form, always_winograd):
    x_shape, w_shape, function = WINOGRAD[name]
    x = torch.randn(x_shape).contiguous(memory_format=FORMATS[form])
    weight = torch.randn(w_shape) / (9 * w_shape[1]) ** 0.5
    ours, theirs = derivatives(function, Ours, x, weight), derivatives(function, F, x, weight)
    exact = derivatives(function, F, x.double(), weight.double())
    for a, b, c in zip(ours, theirs, exact):
        assert not torch.equal(a, b)  # it really is another way
        assert relative_error(a, c) < 2e-6
        assert relative_error(a, c) < 10 * relative_error(b, c)


@pytest.mark.parametrize("name", ["several blocks", "several panels", "single channels left over"])
def test_winograd_in_bfloat16_has_pytorchs_errors(name, always_winograd):
    """Its arithmetic is float32, so what counts is rounding the result, which both do to the nearest."""
    x_shape, w_shape, function = WINOGRAD[name]
    x, weight = torch.randn(x_shape).bfloat16(), torch.randn(w_shape).bfloat16()
    ours, theirs = derivatives(function, Ours, x, weight), derivatives(function, F, x, weight)
    exact = derivatives(function, F, x.double(), weight.double())
    assert not all(torch.equal(a, b) for a, b in zip(ours, theirs))  # it really is another way
    for a, b, c in zip(ours, theirs, exact):
        assert a.dtype == torch.bfloat16
        assert relative_error(a, c) < 1.01 * relative_error(b, c)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_winograd_in_bfloat16_hides_no_overflow(value, always_winograd):
    x = torch.full((1, 16, 8, 8), value, dtype=torch.bfloat16)
    y = conv2d(x, torch.ones(16, 16, 3, 3, dtype=torch.bfloat16), padding=(1, 1))
    assert not torch.isfinite(y).any()


@pytest.mark.parametrize("function", [PLAIN, STRIDED], ids=["plain", "strided"])
def test_winograd_gives_the_same_bits_for_any_number_of_threads(function, always_winograd):
    x, weight = torch.randn(3, 70, 41, 41), torch.randn(150, 70, 3, 3) / 25
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            results.append(derivatives(function, Ours, x, weight))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_winograd_does_not_depend_on_the_default_type(dtype, always_winograd):
    x, weight = torch.randn(1, 64, 32, 32), torch.randn(64, 64, 3, 3)
    expected = derivatives(PLAIN, Ours, x, weight)
    torch.set_default_dtype(dtype)
    try:
        found = derivatives(PLAIN, Ours, x, weight)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(found, expected))


@pytest.mark.filterwarnings("ignore:.torch.jit.script:FutureWarning")  # its own vmap
def test_transforms_of_torch_func_go_through_convolutions(always_winograd):
    x, v, weight = torch.randn(2, 16, 9, 9), torch.randn(2, 16, 9, 9), torch.randn(16, 16, 3, 3)
    tangent = torch.func.jvp(lambda x: conv2d(x, weight, padding=(1, 1)), (x,), (v,))[1]
    torch.testing.assert_close(tangent, F.conv2d(v, weight, padding=1))
    batched = torch.func.vmap(lambda x: conv2d(x[None], weight, padding=(1, 1))[0])(x)
    torch.testing.assert_close(batched, F.conv2d(x, weight, padding=1))
    grad = torch.func.grad(lambda w: conv2d(x, w, padding=(1, 1)).square().sum())(weight)
    expected = torch.func.grad(lambda w: F.conv2d(x, w, padding=1).square().sum())(weight)
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize(
    "changed", [dict(dtype=torch.float64), dict(dtype=torch.float16), dict(device="meta")], ids=str
)
def test_winograd_keeps_to_float32_and_bfloat16_on_the_cpu(changed):
    assert winograd.is_faster(1, (64, 64, 3, 3), torch.empty(1), 1, 128, 128)
    assert not winograd.is_faster(1, (64, 64, 3, 3), torch.empty(1, **changed), 1, 128, 128)


def test_winograd_leaves_bfloat16_to_processors_that_multiply_it_in_tiles(monkeypatch):
    like = torch.empty(1, dtype=torch.bfloat16)
    for amx in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        assert winograd.is_faster(1, (64, 64, 3, 3), like, 1, 128, 128) is not amx


def test_channels_that_do_not_fit_are_refused():
    with pytest.raises(RuntimeError, match="to have 64 channels, but got 80 channels"):
        conv2d(torch.randn(1, 80, 128, 128), torch.randn(64, 64, 3, 3), padding=(1, 1))


def test_autocast_leaves_convolutions_and_their_gradients_to_pytorch():
    x, weight = torch.randn(1, 64, 128, 128), torch.randn(64, 64, 3, 3, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = conv2d(x, weight, padding=(1, 1))
        same_order = x.contiguous(memory_format=torch.channels_last)
        assert torch.equal(y, F.conv2d(same_order, weight, padding=1)) and y.dtype == torch.bfloat16
    y.sum().backward()
    assert weight.grad is not None


def test_without_kernels_convolutions_are_pytorchs():
    x, weight = torch.randn(1, 64, 128, 128), torch.randn(64, 64, 3, 3, requires_grad=True)
    assert not torch.equal(conv2d(x, weight, padding=(1, 1)), F.conv2d(x, weight, padding=1))
    with package.off():
        y = conv2d(x, weight, padding=(1, 1))
        assert torch.equal(y, F.conv2d(x, weight, padding=1))
    assert type(y.grad_fn).__name__ == "ConvolutionBackward0"


@pytest.mark.parametrize(
    "stride,dtype,kernel,batch,size,faster",
    [
        (1, "float32", (512, 512), 1, 4, False),  # the kernels' maps cost more than they save
        (1, "float32", (512, 512), 1, 8, True),
        (1, "float32", (512, 512), 4, 4, True),
        (1, "float32", (64, 64), 16, 16, True),
        (1, "float32", (16, 16), 1, 1024, True),
        (1, "float32", (8, 8), 1, 1024, False),  # the features' maps do
        (2, "float32", (512, 512), 1, 4, False),
        (2, "float32", (512, 512), 1, 8, True),
        (2, "float32", (64, 64), 16, 8, False),
        (2, "float32", (16, 32), 1, 512, False),
        (1, "bfloat16", (64, 64), 1, 256, True),
        (1, "bfloat16", (16, 16), 1, 1024, False),
        (2, "bfloat16", (256, 512), 1, 64, False),
    ],
)
def test_winograd_serves_where_it_was_measured_to_be_faster(
    stride, dtype, kernel, batch, size, faster, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    like = torch.empty(1, dtype=getattr(torch, dtype))
    assert winograd.is_faster(stride, (*kernel, 3, 3), like, batch, size, size) == faster


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


def test_within_fixed_weights_a_result_is_cached_unless_a_gradient_is_wanted():
    calls = []

    def double(weight):
        calls.append(weight)
        return weight * 2

    weight = torch.nn.Parameter(torch.ones(2))
    with torch.no_grad():
        cached(double, weight)
        cached(double, weight)
        assert len(calls) == 2
        fixed = fixed_weights()
        for _ in range(2):
            with fixed:
                cached(double, weight)
                cached(double, weight)
        assert len(calls) == 3
        with fixed, torch.enable_grad():
            assert cached(double, weight).requires_grad and len(calls) == 4
        cached(double, weight)
        assert len(calls) == 5
