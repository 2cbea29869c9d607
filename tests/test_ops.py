"""upfirdn2d, bias_act and conv2d_resample against official numbers, scipy and finite differences."""

import numpy as np
import pytest
import scipy.signal
import torch
import torch.nn.functional as F
from conftest import parametrize_golden
from torch.autograd import gradcheck, gradgradcheck

from stylegan2.networks.layers import EqualizedConv2d
from stylegan2.networks.scalings import Scalings
from stylegan2.ops import (
    Activation,
    activations,
    bias_act,
    conv2d_resample,
    downsample2d,
    filter2d,
    setup_filter,
    upfirdn2d,
    upsample2d,
)


@parametrize_golden("ops_filters")
def test_filters_equal_the_official_ones(golden):
    golden.check("filter", setup_filter(golden.args.pop("taps"), dtype=golden.dtype, **golden.args))


@parametrize_golden("ops_upfirdn2d")
def test_upfirdn2d_equals_the_official_numbers(golden):
    args = dict(golden.args)
    kinds = {"filter2d": filter2d, "upsample2d": upsample2d, "downsample2d": downsample2d}
    op = kinds.get(args.pop("kind", None), upfirdn2d)
    x = golden.leaf("x")
    out = op(x, golden.get("filter"), **args)
    golden.check("out", out)
    golden.check("grad_x", torch.autograd.grad(out, x, golden["cot"])[0])


@parametrize_golden("ops_bias_act")
def test_bias_act_and_its_two_derivatives_equal_the_official_numbers(golden):
    x, b, cot = golden.leaf("x"), golden.leaf("b"), golden.leaf("cot")
    args = {k: v for k, v in golden.args.items() if k != "bias"}
    leaves = {"x": x, "b": b} if b is not None else {"x": x}
    y = bias_act(x, b, **args)
    golden.check("y", y)
    first = dict(zip(leaves, torch.autograd.grad((y * cot).sum(), list(leaves.values()), create_graph=True)))
    for name, grad in first.items():
        golden.check(f"grad_{name}", grad)
    q = (first["x"] * golden["v"]).sum()
    leaves["cot"] = cot
    grads = torch.autograd.grad(q, list(leaves.values()), allow_unused=True, materialize_grads=True)
    for name, grad in zip(leaves, grads):
        golden.check(f"q_{name}", grad)


@parametrize_golden("ops_conv_resample")
def test_conv2d_resample_equals_the_official_numbers(golden):
    args = dict(golden.args)
    taps = args.pop("filter_taps")
    filter = None if taps is None else setup_filter(taps, dtype=golden.dtype)
    x, weight = golden.leaf("x"), golden.leaf("weight")
    out = conv2d_resample(x, weight, filter, **args)
    golden.check("out", out)
    grads = torch.autograd.grad(out, [x, weight], golden["cot"])
    golden.check("grad_x", grads[0])
    golden.check("grad_weight", grads[1])


@pytest.mark.parametrize("gain", [1.7, -2, 0])
@pytest.mark.parametrize("up,down", [(1, 1), (2, 1), (1, 2), (3, 2), (2, 3)])
def test_upfirdn2d_is_scipy_upfirdn_along_both_axes(up, down, gain):
    x = torch.randn(2, 3, 9, 7, dtype=torch.float64)
    taps = torch.randn(5, dtype=torch.float64)
    pad = len(taps) - 1  # scipy convolves in full: as much zero padding as the filter is long
    padding = (pad, pad - (up - 1)) * 2  # scipy puts no zeros after the last sample
    ours = upfirdn2d(x, taps, up, down, padding, gain=gain)
    scipys = scipy.signal.upfirdn(taps.numpy(), x.numpy(), up, down, axis=3)
    scipys = scipy.signal.upfirdn(taps.numpy(), scipys, up, down, axis=2) * gain
    np.testing.assert_allclose(ours.numpy(), scipys, rtol=0, atol=1e-12)


def test_a_separable_filter_has_no_negative_gain():
    """It stands for its outer product with itself."""
    with pytest.raises(ValueError, match="gain of 0 or more"):
        setup_filter([1, 2, 1], gain=-1.0, separable=True)
    assert torch.equal(
        setup_filter([1, 2, 1], gain=-1.0, separable=False), -setup_filter([1, 2, 1], separable=False)
    )


def test_a_separable_filter_equals_its_outer_product():
    x, taps = torch.randn(2, 3, 8, 6, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    args = dict(up=2, down=(1, 2), padding=(2, 1, -1, 4), flip_filter=True, gain=3.0)
    torch.testing.assert_close(upfirdn2d(x, taps, **args), upfirdn2d(x, taps.outer(taps), **args))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("taps", [None, 1, 2])
def test_upfirdn2d_passes_gradcheck_and_gradgradcheck(taps, channels_last):
    x = torch.randn(2, 2, 5, 4, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    f = None if taps is None else torch.randn([3, 4][:taps], dtype=torch.float64)

    def op(x):
        return upfirdn2d(x, f, up=(2, 1), down=(1, 2), padding=(2, -1, 3, 1), gain=0.7)

    assert gradcheck(op, x.requires_grad_())
    assert gradgradcheck(op, x)


@pytest.mark.parametrize("act", activations)
def test_bias_act_passes_gradcheck_and_gradgradcheck(act):
    x = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    b = torch.randn(4, dtype=torch.float64, requires_grad=True)
    op = lambda x, b: bias_act(x, b, act, gain=1.3, clamp=1.5)  # noqa: E731
    assert gradcheck(op, (x, b))
    assert gradgradcheck(op, (x, b))


@pytest.mark.parametrize("up,down", [(1, 1), (2, 1), (1, 2)])
def test_conv2d_resample_passes_gradcheck_and_gradgradcheck(up, down):
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    f = setup_filter([1, 3, 3, 1], dtype=torch.float64)
    op = lambda x, w: conv2d_resample(x, w, f, up, down, padding=1)  # noqa: E731
    assert gradcheck(op, (x, weight))
    assert gradgradcheck(op, (x, weight))


def test_up_and_down_sampling_keep_a_constant_image_constant():
    f = setup_filter([1, 3, 3, 1])
    inner = slice(2, -2)
    for image in (upsample2d(torch.ones(1, 1, 16, 16), f), downsample2d(torch.ones(1, 1, 16, 16), f)):
        torch.testing.assert_close(image[:, :, inner, inner], torch.ones_like(image)[:, :, inner, inner])


@pytest.mark.parametrize("act,gain", [("relu", 2**0.5), ("lrelu", 2**0.5), ("tanh", 1.0)])
def test_the_default_gain_is_the_activations_own(act, gain):
    x = torch.randn(10)
    torch.testing.assert_close(bias_act(x, act=act, dim=0), bias_act(x, act=act, gain=1.0, dim=0) * gain)


def test_ops_compile_whole_with_their_first_derivative():
    f = setup_filter([1, 3, 3, 1])
    x, b = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randn(3, requires_grad=True)

    def both(x, b):
        return bias_act(upfirdn2d(x, f, up=2, padding=(2, 1, 2, 1), gain=4), b, "lrelu", clamp=1.0)

    for run in (both, torch.compile(both, fullgraph=True, backend="aot_eager")):
        grads = torch.autograd.grad(run(x, b).square().sum(), (x, b))
        if run is both:
            expected = grads
    torch.testing.assert_close(grads, expected)


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda: upfirdn2d(torch.zeros(3, 4, 4), None), "(N, C, H, W)"),
        (lambda: upfirdn2d(torch.zeros(1, 1, 4, 4), None, padding=-3), "no pixel is left"),
        (lambda: upfirdn2d(torch.zeros(1, 1, 4, 4), None, up=0), "positive"),
        (lambda: upfirdn2d(torch.zeros(1, 1, 4, 4), None, padding=(1, 2, 3)), "(x0, x1, y0, y1)"),
        (lambda: setup_filter([]), "at least one tap"),
        (lambda: bias_act(torch.zeros(2, 3), act="gelu"), "choose one of"),
        (lambda: bias_act(torch.zeros(2, 3), torch.zeros(2)), "(3,)"),
        (lambda: bias_act(torch.zeros(2, 3), clamp=-1), "clamp"),
    ],
)
def test_wrong_arguments_are_refused_with_what_was_expected(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert words in str(error.value)


def test_a_new_row_is_an_activation_everywhere(monkeypatch):
    """A kernel knows none of it, and under a name of its own not either."""
    for name in ("mish", "tanh"):
        monkeypatch.setitem(
            activations, name, Activation(lambda x, _: x * torch.tanh(F.softplus(x)), gain=1.5)
        )
        x, b = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(3)
        y = bias_act(x, b, name)
        inner = x + b[:, None, None]
        torch.testing.assert_close(y, 1.5 * inner * torch.tanh(F.softplus(inner)))
        layer = EqualizedConv2d(3, 5, 3, scalings=Scalings(), activation=name)
        assert torch.autograd.grad(layer(x).sum(), x)[0].isfinite().all()


def test_the_gain_of_a_convolution_counts_without_resampling_too():
    x, weight = torch.randn(1, 2, 6, 6), torch.randn(3, 2, 3, 3)
    torch.testing.assert_close(conv2d_resample(x, weight, gain=3.0), 3 * conv2d_resample(x, weight))
