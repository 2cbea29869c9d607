"""The compiled kernels against the PyTorch reference in float64: values, derivatives, compiler."""

import importlib
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from conftest import parametrize_golden
from test_ops import (
    test_bias_act_and_its_two_derivatives_equal_the_official_numbers as bias_act_golden,
)
from test_ops import test_upfirdn2d_equals_the_official_numbers as upfirdn2d_golden
from torch.autograd import gradcheck, gradgradcheck

from stylegan2 import Generator
from stylegan2.kernels import build, dispatch
from stylegan2.kernels import library as kernels
from stylegan2.kernels.dispatch import bias_act
from stylegan2.ops import activations, setup_filter, upfirdn2d

upfirdn2d_module = importlib.import_module("stylegan2.ops.upfirdn2d")

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = [pytest.param("cpu", marks=needs_compiler), pytest.param("cuda", marks=needs_cuda)]
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
FORMATS = ["contiguous", "channels_last", "strided"]

BINOMIAL = setup_filter([1, 3, 3, 1], dtype=torch.float64)
FULL_RANK = torch.tensor([[1.0, 2, 0, -1], [0, 3, 1, 0], [2, 0, 1, 1], [1, 1, 0, -2]]) / 8
UPFIRDN2D = {  # name: shape of x, filter, arguments
    "after_transposed_conv": ((2, 16, 17, 17), BINOMIAL, dict(padding=1, gain=4)),
    "before_strided_conv": ((2, 16, 16, 16), BINOMIAL, dict(padding=2)),
    "image_up": ((2, 3, 8, 8), BINOMIAL, dict(up=2, padding=(2, 1, 2, 1), gain=4)),
    "features_up": ((2, 8, 20, 9), BINOMIAL, dict(up=2, padding=(1, 2, 1, 2), flip_filter=True)),
    "down": ((2, 8, 34, 33), BINOMIAL, dict(down=2, padding=1)),
    "separable": ((1, 8, 19, 21), torch.tensor([1.0, 3, -2, 0.5]), dict(padding=(1, 2, 2, 1))),
    "separable_negative": ((1, 8, 19, 21), torch.tensor([1.0, 3, -2, 0.5]), dict(padding=2, gain=-1.5)),
    "full_rank": ((1, 8, 18, 19), FULL_RANK, dict(padding=(2, 1, 1, 2), flip_filter=True)),
    "full_rank_up": ((1, 8, 9, 10), FULL_RANK, dict(up=2, padding=(2, 1, 0, 3))),
    "zero_filter": ((1, 2, 8, 8), torch.zeros(4, 4), dict(padding=1)),
    "wavelet_up": ((1, 3, 16, 12), torch.linspace(-1, 2, 12), dict(up=2, padding=(6, 5, 6, 5))),
    "wavelet_down": ((1, 3, 24, 26), torch.linspace(-1, 2, 12), dict(down=2, padding=5)),
    "uneven": ((2, 3, 9, 7), torch.rand(3, 5) - 0.5, dict(up=(3, 2), down=(2, 3), padding=(4, -1, 2, 3))),
    "cropped": ((1, 4, 12, 12), BINOMIAL, dict(padding=(-2, -3, -1, -4))),
    "padded_beyond_the_filter": ((1, 4, 3, 3), BINOMIAL, dict(padding=9)),
    "identity": ((2, 3, 5, 6), None, dict(padding=(1, 0, -1, 2), gain=3)),
    "no_images": ((0, 3, 8, 8), BINOMIAL, dict(padding=1)),
}
BIAS_ACT = {  # name: shape of x, which of bias, scale, noise, arguments
    **{act: ((2, 8, 6, 4), "b", dict(act=act)) for act in activations},
    "clamped": ((2, 8, 6, 4), "b", dict(act="lrelu", clamp=0.7)),
    "slope_gain": ((2, 8, 6, 4), "b", dict(act="lrelu", alpha=0.4, gain=0.6)),
    "negative_gain": ((2, 8, 6, 4), "b", dict(act="lrelu", gain=-1.0)),
    "relu_clamped": ((2, 5, 3, 3), "b", dict(act="relu", clamp=1.0)),
    "no_bias": ((2, 5, 3, 3), "", dict(act="swish")),
    "synthesis": ((2, 8, 6, 4), "bsn", dict(act="lrelu", clamp=1.5)),
    "synthesis_smooth": ((2, 8, 6, 4), "bsn", dict(act="tanh")),
    "odd": ((2, 3, 5, 7), "bsn", dict(act="lrelu")),
    "noise_each": ((2, 8, 6, 4), "bsN", dict(act="lrelu")),
    "scale_only": ((2, 8, 6, 4), "s", dict(act="linear")),
    "dense": ((5, 12), "b", dict(act="lrelu")),
    "sequence": ((3, 4, 10), "b", dict(act="selu", dim=-1)),
    "first_dimension": ((4, 3, 6, 6), "b", dict(act="lrelu", dim=0)),
    "no_images": ((0, 3, 8, 8), "b", dict(act="lrelu")),
}


@pytest.fixture(autouse=True)
def _no_fallback(monkeypatch):
    """A test that should run a kernel must not pass by the reference."""
    monkeypatch.setenv("STYLEGAN2_KERNELS", "require")
    monkeypatch.setattr(dispatch, "_FASTER_IN_PYTORCH", {})


def laid_out(x, form):
    if x.ndim == 4 and form == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    if form == "strided":
        return torch.stack([x, x], dim=-1)[..., 0]
    return x


def two_derivatives(op, leaves, cot, directions):
    """The value, its first derivatives without and with a graph, and the second ones along the directions."""
    y = op(*leaves)
    last = torch.autograd.grad(y, leaves, cot, retain_graph=True)
    cot = cot.requires_grad_()
    first = torch.autograd.grad(y, leaves, cot, create_graph=True)
    q = sum((g * v).sum() for g, v in zip(first, directions))
    second = torch.autograd.grad(q, [*leaves, cot], allow_unused=True, materialize_grads=True)
    return [t.detach() for t in (y, *last, *first, *second)]


def as_exact_as_pytorch(kernel, reference, leaves, cot, directions, device, dtype, form):
    """The kernel's error against float64 is at most twice the reference's in the same type."""

    def run(op, dtype, device):
        def at(t):
            return t.to(device, dtype)

        inputs = [laid_out(at(t), form).detach().requires_grad_() for t in leaves]
        return two_derivatives(op, inputs, laid_out(at(cot), form).detach(), [at(v) for v in directions])

    results = run(kernel, dtype, device), run(reference, dtype, "cpu"), run(reference, torch.float64, "cpu")
    for ours, theirs, exact in zip(*results):
        assert ours.shape == exact.shape and ours.dtype == dtype
        if exact.numel():
            error = (ours.cpu().double() - exact).abs().max()
            theirs = (theirs.double() - exact).abs().max()
            ulps = 32 if dtype == torch.float64 else 2  # float64 is its own truth here
            floor = ulps * torch.finfo(dtype).eps * exact.abs().max()
            assert error <= 2 * theirs + floor, f"{error:.2e} off, PyTorch {theirs:.2e}"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: str(d)[6:])
@pytest.mark.parametrize("name", UPFIRDN2D)
@pytest.mark.parametrize("device", DEVICES)
def test_upfirdn2d_and_its_derivatives_are_as_exact_as_pytorchs(device, name, dtype, form):
    shape, f, args = UPFIRDN2D[name]
    x = torch.randn(shape).to(dtype)
    f = None if f is None else f.float()
    y = upfirdn2d(x, f, **args)
    as_exact_as_pytorch(
        lambda x: upfirdn2d(x, None if f is None else f.to(x.device), **args),
        lambda x: reference(upfirdn2d, x, f, **args),
        [x], torch.randn(y.shape).to(dtype), [torch.randn(shape).to(dtype)], device, dtype, form,
    )  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: str(d)[6:])
@pytest.mark.parametrize("name", BIAS_ACT)
@pytest.mark.parametrize("device", DEVICES)
def test_bias_act_and_its_derivatives_are_as_exact_as_pytorchs(device, name, dtype, form):
    leaves, op = bias_act_case(name, dtype)
    directions = [torch.randn(t.shape).to(dtype) for t in leaves]
    as_exact_as_pytorch(
        op, lambda *t: reference(op, *t),
        leaves, torch.randn(leaves[0].shape).to(dtype), directions, device, dtype, form,
    )  # fmt: skip


def bias_act_case(name, dtype):
    """The tensors, and the op as a function of them alone."""
    shape, parts, args = BIAS_ACT[name]
    n, c, channels = shape[0], shape[1], shape[args.get("dim", 1)]
    kinds = {
        "b": ("b", (channels,)),
        "s": ("scale", (n, c)),
        "n": ("noise", shape[2:]),
        "N": ("noise", (n, 1, *shape[2:])),
    }
    extra = [torch.randn(kinds[part][1]).to(dtype) for part in parts]

    def op(x, *extra, **other):
        return bias_act(x, **{kinds[part][0]: t for part, t in zip(parts, extra)}, **(args | other))

    # Rounding may put a value on the other side of a kink, where no two types agree on the derivative.
    x, clamp = torch.randn(shape).to(dtype), args.get("clamp", torch.inf)
    for _ in range(20):
        y = op(x.double(), *[t.double() for t in extra], clamp=None).abs()
        near = (y < 0.03) | ((y - clamp).abs() < 0.03)
        x = torch.where(near, torch.randn(shape).to(dtype), x)
    return [x, *extra], op


def reference(op, *args, **kwargs):
    """The op with its kernels out of reach."""
    with dispatch_without_kernels():
        return op(*args, **kwargs)


@contextmanager
def dispatch_without_kernels():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "usable", lambda *_: False)
        yield


@needs_compiler
@parametrize_golden("ops_upfirdn2d")
def test_upfirdn2d_by_kernel_equals_the_official_numbers(golden, monkeypatch):
    monkeypatch.delattr(upfirdn2d_module.upfirdn2d, "__wrapped__")
    upfirdn2d_golden(golden)


@needs_compiler
@parametrize_golden("ops_bias_act")
def test_bias_act_by_kernel_equals_the_official_numbers(golden, monkeypatch):
    monkeypatch.delattr(importlib.import_module("stylegan2.ops").bias_act, "__wrapped__")
    bias_act_golden(golden)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["before_strided_conv", "image_up", "down", "uneven", "no_images"])
def test_upfirdn2d_passes_opcheck(name, device):
    shape, f, args = UPFIRDN2D[name]
    x = laid_out(torch.randn(shape, device=device), "channels_last" if name == "down" else "contiguous")
    up, down = (upfirdn2d_module._pair(args.get(k, 1)) for k in ("up", "down"))
    padding = upfirdn2d_module.parse_padding(args.get("padding", 0))
    f = None if f is None else f.to(device, torch.float32)
    assert build.available(device)
    arguments = (x.requires_grad_(), f, *up, *down, *padding, False, 1.5)
    torch.library.opcheck(torch.ops.stylegan2.upfirdn2d.default, arguments)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["lrelu", "clamped", "synthesis", "synthesis_smooth", "dense", "no_images"])
def test_bias_act_and_its_gradient_pass_opcheck(name, device):
    shape, parts, args = BIAS_ACT[name]
    leaves, _ = bias_act_case(name, torch.float32)
    leaves = [t.to(device).requires_grad_() for t in leaves]
    x, *extra = leaves
    b, scale, noise = ([*extra, None, None] if len(extra) < 3 else extra)[:3]
    settings = (kernels.ACTS.index(args["act"]), 0.2, 1.3, args.get("clamp", -1.0), 1)
    assert build.available(device)
    torch.library.opcheck(torch.ops.stylegan2.bias_act.default, (x, b, scale, noise, *settings))
    cot = torch.randn_like(x).requires_grad_()
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    arguments = (cot, x, b, scale, noise, *settings, 1, False)
    torch.library.opcheck(torch.ops.stylegan2.bias_act_grad.default, arguments, test_utils=tests)


@needs_compiler
@pytest.mark.parametrize("parts", ["b", "sb", "bsn", "bsN", "n", "s"])
def test_all_derivatives_of_bias_act_in_one_pass_are_those_of_several(parts, monkeypatch):
    calls = []
    one_pass = kernels._backward_in_one_pass
    monkeypatch.setattr(kernels, "_backward_in_one_pass", lambda *a: calls.append(1) or one_pass(*a))
    x = torch.randn(3, 20, 65, 33).contiguous(memory_format=torch.channels_last)  # pixels for several threads
    kinds = dict(b=(20,), s=(3, 20), n=(65, 33), N=(3, 1, 65, 33))
    names = dict(b="b", s="scale", n="noise", N="noise")
    extra = {names[part]: torch.randn(kinds[part]) for part in parts}
    cot = torch.randn_like(x)

    def gradients(dtype, create_graph):
        leaves = {"x": x, **extra}
        leaves = {name: t.to(dtype).requires_grad_() for name, t in leaves.items()}
        y = bias_act(**leaves, act="lrelu", clamp=1.5)
        return torch.autograd.grad(y, list(leaves.values()), cot.to(dtype), create_graph=create_graph)

    found, several = gradients(torch.float32, False), gradients(torch.float32, True)
    assert calls == [1]
    for ours, composed, exact in zip(found, several, gradients(torch.float64, False)):
        error, bound = (ours - exact).norm(), 2 * (composed - exact).norm() + 1e-7 * exact.norm()
        assert ours.shape == exact.shape and error <= bound


@needs_compiler
def test_derivatives_in_one_pass_take_a_scale_that_lies_the_other_way_round():
    x = torch.randn(3, 20, 9, 9).contiguous(memory_format=torch.channels_last)
    scale = torch.randn(20, 3).t().requires_grad_()
    grad = torch.autograd.grad(bias_act(x, scale=scale).square().sum(), scale)[0]
    torch.testing.assert_close(grad, 2 * scale * x.square().sum([2, 3]))


@needs_compiler
def test_gradients_may_come_in_batches():
    x = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    b = torch.randn(3, requires_grad=True)
    cots = torch.randn(5, 2, 3, 4, 4)
    y = bias_act(x, b, "lrelu")
    batched = torch.autograd.grad(y, (x, b), cots, is_grads_batched=True, retain_graph=True)
    for i, cot in enumerate(cots):
        for ours, alone in zip(batched, torch.autograd.grad(y, (x, b), cot, retain_graph=True)):
            torch.testing.assert_close(ours[i], alone)


@needs_compiler
def test_the_kernels_count_the_activations_as_the_reference_does():
    assert tuple(activations) == kernels.ACTS


class Layer(torch.nn.Module):
    def forward(self, x, b, f):
        return bias_act(upfirdn2d(x, f, up=2, padding=(2, 1, 2, 1), gain=4), b, "lrelu", clamp=1.0)


@needs_compiler
def test_a_compiled_layer_keeps_its_gradients_and_its_kernels():
    x, b, f = torch.randn(2, 3, 8, 8), torch.randn(3), setup_filter([1, 3, 3, 1])
    leaves = [x.requires_grad_(), b.requires_grad_()]
    layer = Layer()
    results = []
    for run in (layer, torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)):
        y = run(x, b, f)
        results.append([y, *torch.autograd.grad(y.square().sum(), leaves)])
    torch.testing.assert_close(results[1], results[0])


@needs_compiler
def test_the_output_keeps_the_memory_format():
    f = setup_filter([1, 3, 3, 1])
    for form in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 3, 8, 8).contiguous(memory_format=form)
        assert upfirdn2d(x, f, padding=1).is_contiguous(memory_format=form)
        assert bias_act(x, torch.randn(3)).is_contiguous(memory_format=form)


@needs_compiler
def test_a_filter_that_learns_gets_its_gradient_from_the_reference():
    f = torch.randn(4, 4, requires_grad=True)
    upfirdn2d(torch.randn(1, 2, 8, 8), f).sum().backward()
    assert f.grad is not None


@needs_compiler
@pytest.mark.parametrize("form", FORMATS)
def test_in_place_means_the_same_numbers_in_the_same_memory_unless_a_gradient_is_wanted(form):
    b, scale, noise = torch.randn(3), torch.rand(2, 3), torch.randn(5, 7)

    def features():
        torch.manual_seed(0)
        x = torch.randn(2, 3, 10, 7)
        if form == "strided":
            return x[:, :, ::2]
        return x[:, :, :5].contiguous(memory_format=getattr(torch, f"{form}_format", torch.channels_last))

    def act(x, inplace):
        return bias_act(x, b, "lrelu", clamp=0.8, scale=scale, noise=noise, inplace=inplace)

    x = features()
    y = act(x, inplace=True)
    assert torch.equal(x, features()) and torch.equal(y, act(x, inplace=False))
    with torch.no_grad():
        z = act(x, inplace=True)
    assert torch.equal(z, y) and (z.data_ptr() == x.data_ptr()) == (form != "strided")


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_results_too_large_for_the_caches_are_whole(form, dtype):
    """They are written past the caches, in pieces that end where a row does: here between any two lines."""
    x = torch.randn(1, 144, 331, 367).to(dtype, memory_format=form)
    f, b = setup_filter([1, 3, 3, 1]), torch.randn(144)
    tolerance = {"rtol": 0, "atol": 1e-5 if dtype == torch.float32 else 0.05}

    def both(op):
        y = op(x)
        assert y.nbytes >= 2**25
        with dispatch_without_kernels():
            torch.testing.assert_close(y, op(x), **tolerance)

    both(lambda x: upfirdn2d(x, f, padding=(1, 2, 2, 1)))
    both(lambda x: upfirdn2d(x, FULL_RANK, padding=2))
    both(lambda x: bias_act(x, b, "lrelu", clamp=1.5))


@pytest.mark.parametrize("shape", [(4, 5), (1, 1, 4, 5), (2, 1, 4, 5)])
def test_bias_act_with_scale_and_noise_is_the_formula_and_passes_gradgradcheck(shape):
    x, scale, b, noise = (
        torch.randn(s, dtype=torch.float64, requires_grad=True) for s in [(2, 3, 4, 5), (2, 3), (3,), shape]
    )
    op = lambda x, b, scale, noise: bias_act(x, b, "lrelu", clamp=1.5, scale=scale, noise=noise)  # noqa: E731
    inner = np.einsum("nchw,nc->nchw", x.detach(), scale.detach()) + noise.detach().numpy()
    inner = inner + b.detach().numpy()[:, None, None]
    expected = np.clip(np.where(inner < 0, 0.2 * inner, inner) * 2**0.5, -1.5, 1.5)
    np.testing.assert_allclose(op(x, b, scale, noise).detach(), expected, atol=1e-12)
    assert gradcheck(op, (x, b, scale, noise))
    assert gradgradcheck(op, (x, b, scale, noise))


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_more_than_two_to_the_31_elements_reach_their_end(device):
    x = torch.zeros(1, 2, 46400, 23200, dtype=torch.bfloat16, device=device)
    assert x.numel() > 2**31
    x[0, 1, -1, -1] = 1
    y = bias_act(x, torch.tensor([0.0, 2.0], device=device), "lrelu", gain=1.0)
    assert y[0, 1, -1, -1] == 3 and y[0, 1, 0, 0] == 2 and y[0, 0, -1, -1] == 0
    del y
    y = upfirdn2d(x, torch.ones(4, device=device), down=2, padding=1)
    assert y[0, 1, -1, -1] == 1 and y.sum() == 1


@pytest.mark.filterwarnings("ignore:.torch.jit.script:FutureWarning")  # PyTorch's own
def test_forward_mode_and_torch_func_differentiate_a_network_with_kernels():
    """The kernels have no rules for them, and would give tangents of 0 without a word."""
    torch.manual_seed(0)
    g = Generator(16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128, channel_max=16).eval()
    ws, v = torch.randn(1, g.num_ws, 8), torch.randn(1, g.num_ws, 8)

    def images(ws):
        return g.synthesis(ws, noise="const")

    _, expected = torch.autograd.functional.jvp(images, ws, v)  # by reverse mode, twice
    _, tangent = torch.func.jvp(images, (ws,), (v,))
    torch.testing.assert_close(tangent, expected, rtol=1e-3, atol=1e-4)
    with torch.autograd.forward_ad.dual_level():
        dual = images(torch.autograd.forward_ad.make_dual(ws, v))
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(dual).tangent, tangent)
    slope = torch.func.grad(lambda ws: images(ws).square().sum())(ws)
    leaf = ws.clone().requires_grad_()
    (expected,) = torch.autograd.grad(images(leaf).square().sum(), leaf)
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-5)
