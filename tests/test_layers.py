"""Each layer against official numbers, and unit variance through all of them."""

import pytest
import torch
from conftest import parametrize_golden
from torch.autograd import gradgradcheck

from stylegan2.networks.layers import (
    EqualizedConv2d,
    EqualizedLinear,
    SynthesisLayer,
    ToRGBLayer,
    minibatch_stddev,
    modulated_conv2d,
)
from stylegan2.networks.mapping import MappingNetwork
from stylegan2.networks.scalings import Scalings
from stylegan2.ops import setup_filter


def load(module, golden, prefix="w:", names=("weight", "bias")):
    weights = golden.weights(prefix) or {name: golden[name] for name in names if name in golden}
    weights = {name: value for name, value in weights.items() if "resample_filter" not in name}
    module.to(golden.dtype).load_state_dict(weights)
    return module


def check_gradients(golden, out, inputs, module):
    named = dict(inputs) | dict(module.named_parameters())
    grads = torch.autograd.grad(out, list(named.values()), golden["cot"], allow_unused=True)
    checked = 0
    for (name, value), grad in zip(named.items(), grads):
        if f"grad_{name}" in golden:
            golden.check(f"grad_{name}", torch.zeros_like(value) if grad is None else grad)
            checked += 1
    assert checked == sum(key.startswith("grad_") for key in golden.arrays)


@parametrize_golden("layers_fc")
def test_equalized_linear_equals_the_official_one(golden):
    args = golden.args
    layer = EqualizedLinear(
        args["in_features"],
        args["out_features"],
        scalings=Scalings(),
        bias=args["bias"],
        activation=args["activation"],
        lr_multiplier=args["lr"],
    )
    load(layer, golden)
    x = golden.leaf("x")
    out = layer(x)
    golden.check("out", out)
    check_gradients(golden, out, {"x": x}, layer)


@parametrize_golden("layers_conv")
def test_equalized_conv_equals_the_official_one(golden):
    names = {"in_channels", "out_channels", "kernel", "bias", "activation", "up", "down", "clamp"}
    layer = EqualizedConv2d(scalings=Scalings(), **{k: v for k, v in golden.args.items() if k in names})
    load(layer, golden)
    x = golden.leaf("x")
    out = layer(x, gain=golden.args.get("gain", 1.0))
    golden.check("out", out)
    check_gradients(golden, out, {"x": x}, layer)


@parametrize_golden("layers_mapping")
def test_mapping_network_equals_the_official_one(golden):
    args = golden.args
    mapping = MappingNetwork(
        args["z_dim"],
        args["w_dim"],
        args["num_ws"],
        num_classes=args["label_dim"],
        layers=args["layers"],
        embed_features=args["embed_features"],
        layer_features=args["layer_features"],
        w_avg_beta=args["w_avg_beta"],
        scalings=Scalings(mapping_lr_multiplier=args["lr"]),
    )
    load(mapping, golden).eval()
    z, c = golden.leaf("z"), golden.leaf("c")
    ws = mapping(z, c)
    golden.check("ws", ws)
    for i, truncation in enumerate(args["truncations"]):
        golden.check(f"ws_truncated_{i}", mapping(z, c, **truncation))
    for name, leaf in {"z": z, "c": c}.items():
        if f"grad_{name}" in golden:
            golden.check(f"grad_{name}", torch.autograd.grad(ws, leaf, golden["cot"], retain_graph=True)[0])
    if "w_avg_after" in golden:
        mapping.train()(z, c)
        golden.check("w_avg_after", mapping.w_avg)


@parametrize_golden("layers_minibatch_std")
def test_minibatch_stddev_equals_the_official_one(golden):
    x = golden.leaf("x")
    out = minibatch_stddev(x, golden.args["group_size"], golden.args["features"])
    golden.check("out", out)
    golden.check("grad_x", torch.autograd.grad(out, x, golden["cot"])[0])


@parametrize_golden("layers_synthesis")
def test_synthesis_and_image_layers_equal_the_official_ones(golden):
    args, x, w = golden.args, golden.leaf("x"), golden.leaf("w")
    sizes = (args["in_channels"], args["out_channels"], w.shape[1])
    if args["kind"] == "synthesis layer":
        extra = {"up": args["up"], "clamp": args["clamp"]}
        layer = load(SynthesisLayer(*sizes, args["resolution"], scalings=Scalings(), **extra), golden)
        out = layer(x, w, noise=args["noise"], gain=args["gain"])
    else:
        layer = load(ToRGBLayer(*sizes, scalings=Scalings(), clamp=args["clamp"]), golden)
        out = layer(x, w)
    golden.check("out", out)
    check_gradients(golden, out, {"x": x, "w": w}, layer)


@parametrize_golden("ops_modulated_conv")
def test_modulated_conv_and_its_two_derivatives_equal_the_official_numbers(golden):
    args = golden.args
    leaves = {name: golden.leaf(name) for name in ("x", "weight", "styles")}
    taps = args["filter_taps"]
    out = modulated_conv2d(
        **leaves,
        noise=golden.get("noise"),
        up=args["up"],
        down=args["down"],
        padding=args["padding"],
        filter=None if taps is None else setup_filter(taps, dtype=golden.dtype),
        demodulate=args["demodulate"],
        flip_weight=args["flip_weight"],
    )
    golden.check("out_fused", out)
    golden.check("out_unfused", out)
    grads = torch.autograd.grad((out * golden["cot"]).sum(), list(leaves.values()), create_graph=True)
    for name, grad in zip(leaves, grads):
        golden.check(f"grad_{name}", grad)
    h = (grads[2] * golden["v"]).sum()
    second = torch.autograd.grad(h, list(leaves.values()), allow_unused=True, materialize_grads=True)
    for name, grad in zip(leaves, second):
        golden.check(f"h_{name}", grad)


def test_modulated_conv_is_each_samples_own_convolution():
    """Against the definition, sample by sample: naive weights w·s, divided by their length."""
    x, weight, styles = (torch.randn(s, dtype=torch.float64) for s in [(3, 4, 6, 6), (5, 4, 3, 3), (3, 4)])
    out = modulated_conv2d(x, weight, styles, padding=1)
    for n in range(3):
        w = weight * styles[n][None, :, None, None]
        w = w / (w.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected = torch.nn.functional.conv2d(x[n : n + 1], w, padding=1)
        torch.testing.assert_close(out[n : n + 1], expected)


@pytest.mark.parametrize("demodulate", [True, False])
def test_a_sample_alone_is_the_sample_in_a_batch(demodulate):
    x, weight, styles = (torch.randn(s, dtype=torch.float64) for s in [(3, 4, 6, 6), (5, 4, 3, 3), (3, 4)])
    whole = modulated_conv2d(x, weight, styles, padding=1, demodulate=demodulate)
    alone = [
        modulated_conv2d(x[i : i + 1], weight, styles[i : i + 1], padding=1, demodulate=demodulate)
        for i in range(3)
    ]
    torch.testing.assert_close(torch.cat(alone), whole)


@pytest.mark.parametrize("n", [1, 2])
def test_modulated_conv_passes_gradgradcheck(n):
    leaves = [
        torch.randn(s, dtype=torch.float64, requires_grad=True) for s in [(n, 2, 3, 3), (2, 2, 3, 3), (n, 2)]
    ]
    assert gradgradcheck(lambda *a: modulated_conv2d(*a, padding=1), leaves)


def rms(x):
    return x.square().mean().sqrt().item()


@pytest.mark.parametrize("kind", ["equalized", "kaiming"])
def test_layers_keep_unit_variance_at_initialization(kind):
    s = Scalings(weight_scaling=kind)
    x, w, z = torch.randn(16, 256, 16, 16), torch.randn(16, 512), torch.randn(2048, 512)
    # A leaky ReLU of slope 0.2 with gain √2 keeps (1 + 0.2²)/2 · 2 = 1.04 of the power.
    assert rms(EqualizedConv2d(256, 128, 3, scalings=s)(x)[:, :, 1:-1, 1:-1]) == pytest.approx(1, abs=0.03)
    assert rms(EqualizedConv2d(256, 128, 1, scalings=s, activation="lrelu")(x)) == pytest.approx(
        1.02, abs=0.03
    )
    assert rms(EqualizedLinear(512, 512, scalings=s)(z)) == pytest.approx(1, abs=0.03)
    assert rms(EqualizedLinear(512, 512, scalings=s, lr_multiplier=0.01)(z)) == pytest.approx(1, abs=0.03)
    layer = SynthesisLayer(256, 256, 512, 16, scalings=s)
    assert rms(layer(x, w)[:, :, 1:-1, 1:-1]) == pytest.approx(1.02, abs=0.05)
    # ToRGB's styles have mean 1 and variance 1: the power doubles.
    assert rms(ToRGBLayer(256, 64, 512, scalings=s)(x, w)) == pytest.approx(2**0.5, abs=0.08)


def test_minibatch_stddev_is_biased_and_strided():
    x = torch.zeros(8, 2, 3, 3)
    x[1], x[5] = 1.0, 3.0  # with groups of 4: samples 1, 3, 5, 7 belong together
    out = minibatch_stddev(x, 4)[:, 2, 0, 0]
    expected = torch.tensor([1.0, 0, 3, 0]).std(unbiased=False)
    torch.testing.assert_close(out[1::2], expected.expand(4))
    torch.testing.assert_close(out[0::2], torch.full((4,), 1e-4))


def test_a_batch_that_the_groups_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of minibatch_group"):
        minibatch_stddev(torch.zeros(6, 2, 4, 4), 4)


def test_w_avg_stays_where_a_call_asks_for_it():
    mapping = MappingNetwork(8, 6, 4, layers=2, scalings=Scalings()).train()
    mapping(torch.randn(4, 8), update_w_avg=False)
    assert not mapping.w_avg.any()


def test_truncation_without_rows_of_ws_moves_w_itself():
    mapping = MappingNetwork(8, 6, None, layers=2, scalings=Scalings()).eval()
    mapping.w_avg.fill_(3.0)
    z = torch.randn(4, 8)
    torch.testing.assert_close(mapping(z, psi=0.25), 3 + 0.25 * (mapping(z) - 3))


def test_w_avg_moves_in_training_only():
    mapping = MappingNetwork(8, 6, 4, layers=2, scalings=Scalings())
    mapping.eval()(torch.randn(4, 8))
    assert not mapping.w_avg.any()
    mapping.train()(torch.randn(4, 8))
    assert mapping.w_avg.any()


@pytest.mark.parametrize("z,c,words", [((2, 7), (2, 3), "z of shape"), ((2, 8), None, "c of shape")])
def test_wrong_latents_and_labels_are_refused(z, c, words):
    mapping = MappingNetwork(8, 6, 4, num_classes=3, layers=2, scalings=Scalings())
    with pytest.raises(ValueError, match=words):
        mapping(torch.zeros(z), None if c is None else torch.zeros(c))


def test_styles_or_kernels_of_zero_give_zero_in_float16():
    """The definition divides by √(0 + 1e-8), so the factors that keep float16 in range must not give 0/0."""
    x, weight, styles = torch.randn(2, 3, 8, 8).half(), torch.randn(4, 3, 3, 3), torch.randn(2, 3)
    weight[1], styles[0] = 0, 0
    y = modulated_conv2d(x, weight, styles, padding=1)
    assert torch.isfinite(y).all()
    assert not y[0].any() and not y[1, 1].any() and y[1, 0].any()
