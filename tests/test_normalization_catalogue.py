"""Every registered normalization: values against its oracle, derivatives, state, odd inputs, and its place in both
networks. A new normalization needs an oracle, and gets the other tests by its registration."""

import copy

import normalization_oracles as oracles
import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.networks.layers import EqualizedConv2d, SynthesisLayer
from stylegan2.networks.normalization import normalizations
from stylegan2.networks.normalization.base import changes_features, changes_weights, definition

KINDS = list(normalizations)
FEATURES = [n for n in KINDS if changes_features(normalizations[n]) and not normalizations[n].reads_input]
WEIGHTS = [n for n in KINDS if changes_weights(normalizations[n]) and n != "demodulation"]
CLASSES = 3


def condition(n, dtype=torch.float64):
    return torch.randn(n, CLASSES, generator=torch.Generator().manual_seed(9)).to(dtype)


def module(name, channels=6, randomized=True):
    """The module that defines a normalization of features, in float64, with parameters of no special value."""
    torch.manual_seed(0)
    options = {"num_conditions": CLASSES} if normalizations[name].conditional else {}
    made = definition(normalizations[name])(channels, **options).double()
    for p in made.parameters() if randomized else ():
        p.data += 0.2 * torch.randn_like(p)
    return made


def run(name, made, x):
    return made(x, condition(len(x), x.dtype)) if normalizations[name].conditional else made(x)


def arrays(tensors):
    return {key: value.detach().numpy().copy() for key, value in tensors}


def test_there_are_29_normalizations_and_those_for_comparison():
    compared = {"none", "pixel", "rms", "running_magnitude", "forced_weight", "dynamic_tanh"}
    assert compared < set(KINDS) and len(set(KINDS) - compared) == 29


def test_every_normalization_has_an_oracle():
    assert set(FEATURES) | {"none"} == set(oracles.FEATURES)
    assert set(WEIGHTS) == set(oracles.WEIGHTS)


@pytest.mark.parametrize("name", FEATURES)
def test_values_and_state_equal_the_oracle_over_steps_of_training_and_in_evaluation(name):
    made = module(name)
    if name == "sparse_switchable":
        made.advance(500_000)
    p, state = arrays(made.named_parameters()), arrays(made.named_buffers())
    for step in range(5):
        training = step < 3
        x = torch.randn(4, 6, 5, 7, dtype=torch.float64) * (1 + step) + torch.randn(1, 6, 1, 1).double()
        y = run(name, made.train(training), x)
        expected = oracles.FEATURES[name](p, state, x.numpy(), training, condition(4).numpy())
        np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-6, atol=1e-6)
        for key, value in made.named_buffers():
            if key in state and "num_batches" not in key:
                np.testing.assert_allclose(value.numpy(), state[key], rtol=1e-6, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_equal_the_oracle(name):
    torch.manual_seed(0)
    w = torch.randn(6, 4, 3, 3, dtype=torch.float64) / 6
    made = normalizations[name](w).double()
    for p in made.parameters():
        p.data += 0.2 * torch.randn_like(p)
    for _ in range(200):  # power steps
        y = made.weight(w)
    expected = oracles.WEIGHTS[name](arrays(made.named_parameters()), w.numpy())
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-6, atol=1e-6)


def test_cosine_normalization_is_the_cosine_of_each_window_times_the_root_of_its_size():
    torch.manual_seed(0)
    layer = EqualizedConv2d(4, 5, 3, scalings=Scalings(), bias=False, normalization="cosine").double()
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    windows = torch.nn.functional.unfold(x, 3, padding=1)
    kernels = layer.weight.flatten(1)
    cosine = torch.nn.functional.cosine_similarity(windows[:, None], kernels[None, :, :, None], dim=2)
    torch.testing.assert_close(layer(x), 6 * cosine.reshape(2, 5, 6, 6), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_cosine_normalization_ignores_the_scale_of_the_input_with_resampling_too(up, down):
    torch.manual_seed(0)
    layer = EqualizedConv2d(4, 5, 3, scalings=Scalings(), normalization="cosine", up=up, down=down).double()
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), layer(10 * x), rtol=1e-6, atol=1e-6)
    assert layer(x).abs().max() <= 6


SECOND = [n for n in FEATURES if n not in ("online", "mixture", "running_magnitude", "inplace_abn")]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", SECOND)
def test_first_and_second_derivatives_are_exact(name, training):
    made = module(name, 4).train()
    x = torch.randn(3, 4, 2, 3, dtype=torch.float64)
    run(name, made, x)
    made.train(training)
    x.requires_grad_()
    assert gradcheck(lambda x: run(name, made, x), x) and gradgradcheck(
        lambda x: run(name, made, x), x, fast_mode=True
    )


@pytest.mark.parametrize("training", [True, False])
def test_inplace_abn_has_exact_derivatives_of_both_orders_in_its_parameters_too(training):
    made = module("inplace_abn", 4).train(training)
    x = torch.randn(3, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    leaves = (x, made.weight, made.bias)

    def function(x, weight, bias):
        return torch.func.functional_call(made, {"weight": weight, "bias": bias}, x)

    assert gradcheck(function, leaves) and gradgradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("name", ["mixture", "running_magnitude"])
def test_derivatives_are_exact_where_the_fitted_state_is_fixed(name):
    made = module(name, 4).train()
    x = torch.randn(3, 4, 2, 3, dtype=torch.float64)
    for _ in range(3):
        made(x)
    made.eval()
    x.requires_grad_()
    if name == "mixture":  # its posterior has no gradient by definition
        made.proportions.copy_(torch.tensor([1.0, 0, 0]))
    assert gradcheck(made, x) and gradgradcheck(made, x, fast_mode=True)


def test_mixture_normalization_has_the_derivative_of_moments_with_fixed_posterior():
    made = module("mixture", 4).train()
    x = torch.randn(3, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    fitted = made._fitted_posterior(x.detach().permute(0, 2, 3, 1).reshape(-1, 4))
    made._fitted_posterior = lambda rows: fitted
    assert gradcheck(made, x) and gradgradcheck(made, x, fast_mode=True)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_have_exact_derivatives(name):
    torch.manual_seed(0)
    w = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    made = normalizations[name](w).double().eval()
    w.requires_grad_()
    assert gradcheck(made.weight, w) and gradgradcheck(made.weight, w, fast_mode=True)


def test_online_normalization_has_the_published_backward_pass():
    made = module("online", 2)
    made.layer_scaling = False
    along_y, along_1 = np.zeros(2), np.zeros(2)
    for _ in range(3):
        x = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
        mean, var = made.mean.numpy().copy(), made.var.numpy().copy()
        gradient = torch.randn(4, 2, 3, 3, dtype=torch.float64)
        made(x).backward(gradient)
        expected, a = np.empty((4, 2, 3, 3)), 0.999
        for n in range(4):
            for c in range(2):
                sigma = np.sqrt(var[c] + 1e-5)
                sample = x.detach().numpy()[n, c]
                y = (sample - mean[c]) / sigma
                g = gradient.numpy()[n, c] * made.weight.detach().numpy()[c] - 0.01 * along_y[c] * y
                along_y[c] += (g * y).mean()
                expected[n, c] = g / sigma - 0.01 * along_1[c]
                along_1[c] += expected[n, c].mean()
                var[c] = a * var[c] + (1 - a) * sample.var() + a * (1 - a) * (sample.mean() - mean[c]) ** 2
                mean[c] = a * mean[c] + (1 - a) * sample.mean()
        np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(made.along_y.numpy(), along_y, rtol=1e-6)
    np.testing.assert_allclose(made.along_1.numpy(), along_1, rtol=1e-6)


def test_online_normalization_changes_no_accumulator_in_a_pass_that_builds_a_graph():
    made = module("online", 2)
    x = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(made(x).pow(3).sum(), x, create_graph=True)
    assert not made.along_y.any() and not made.along_1.any()
    gradient.square().sum().backward()
    assert x.grad.isfinite().all() and made.along_y.any()


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 6, 3, 3), (1, 6, 3, 3), (3, 6, 1, 1), (1, 6, 1, 1)])
def test_constant_and_small_inputs_have_finite_values_and_derivatives(name, shape, training):
    made = module(name).train(training)
    for x in (torch.full(shape, 3.0).double(), torch.zeros(shape).double(), torch.randn(shape).double()):
        x.requires_grad_()
        y = run(name, made, x)
        (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        gradient.square().sum().backward()
        assert (
            y.shape == x.shape
            and y.isfinite().all()
            and gradient.isfinite().all()
            and x.grad.isfinite().all()
        )
    assert all(buffer.isfinite().all() for buffer in made.buffers())


def in_g(name, **options):
    return SynthesisLayer(
        16, 12, 8, 8, scalings=Scalings(), normalization=GENERATOR(name, **options), clamp=None
    )


def GENERATOR(name, **options):
    from stylegan2.networks.config import GeneratorConfig

    return GeneratorConfig(resolution=8, normalization=name, **options).plan(Scalings())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", KINDS)
def test_low_precision_stays_in_range_and_near_float32(name, dtype):
    torch.manual_seed(0)
    layer = in_g(name).train()
    x, w = 4 * torch.randn(3, 16, 8, 8), torch.randn(3, 8)
    with torch.no_grad():
        layer(x, w)
        layer.eval()
        exact, low = layer(x, w, noise="none"), layer(x.to(dtype), w, noise="none")
    assert low.dtype == dtype and low.isfinite().all()
    error = (low.float() - exact).abs().max() / exact.abs().max()
    assert error < (0.5 if name == "mixture" else 0.06)  # a posterior may jump from one component to another


SMALLER = {"spectral": (0.5, 0.95), "stable_rank": (0.3, 0.95), "local_response": (0.4, 0.7)}
"""Kinds whose definition makes the scale smaller: limits of the rms of the output."""
LARGER = {"mixture": (1.0, 1.8)}
"""1/√λ makes components of fewer pixels stronger."""


@pytest.mark.parametrize("name", [n for n in KINDS if n != "demodulation"])
def test_unit_rms_stays_unit_rms_at_the_start(name):
    torch.manual_seed(0)
    labels = {"num_conditions": CLASSES} if normalizations[name].conditional else {}
    layer = EqualizedConv2d(32, 64, 3, scalings=Scalings(), normalization=name, **labels).train()
    x = torch.randn(8, 32, 16, 16)
    with torch.no_grad():
        if labels:
            y = layer(x, condition=torch.eye(3)[torch.arange(8) % 3])
        else:
            y = layer(x)
    low, high = SMALLER.get(name) or LARGER.get(name) or (0.85, 1.15)
    if name in ("adaptive_instance",):  # a random linear map of the label
        low, high = 0.8, 1.6
    if normalizations[name].activates:  # max(0, x) has half the power: without the gain √2 of a leaky ReLU
        y = y * 2**0.5
    assert low < y.square().mean().sqrt() < high


TINY = {"channel_base": 64, "channel_max": 8, "mapping_layers": 1}


@pytest.mark.parametrize("name", KINDS)
def test_a_generator_trains_through_path_length_and_keeps_the_state_in_a_copy(name):
    torch.manual_seed(0)
    g = Generator(8, z_dim=4, w_dim=4, normalization=name, **TINY)
    ema = copy.deepcopy(g).eval()
    optimizer = torch.optim.Adam(g.parameters(), 1e-3)
    for _ in range(2):
        ws = g.mapping(torch.randn(4, 4))
        images = g.synthesis(ws / 2, noise="none") + g.synthesis(ws, noise="none")
        (jacobian,) = torch.autograd.grad(images.square().sum(), ws, create_graph=True)
        optimizer.zero_grad()
        (images.mean() + jacobian.square().sum()).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in g.parameters())
        optimizer.step()
    from stylegan2.training.ema import EMA

    EMA().update(ema, g, 4, 1000)
    for (key, ours), theirs in zip(ema.named_buffers(), g.buffers()):
        assert torch.equal(ours, theirs), key
    loaded = Generator(8, z_dim=4, w_dim=4, normalization=name, **TINY)
    loaded.load_state_dict(g.state_dict())
    z = torch.randn(3, 4)
    torch.testing.assert_close(loaded.eval()(z, noise="const"), g.eval()(z, noise="const"))


@pytest.mark.parametrize("name", [n for n in KINDS if n != "demodulation"])
def test_a_discriminator_trains_through_r1_and_is_the_same_from_its_state(name):
    torch.manual_seed(0)
    d = Discriminator(8, normalization=name, num_classes=3, **TINY)
    c = torch.eye(3)[[0, 1, 2, 1]]
    optimizer = torch.optim.Adam(d.parameters(), 1e-3)
    for _ in range(2):
        images = torch.randn(4, 3, 8, 8, requires_grad=True)
        logits = d(images / 2, c) + d(images, c)
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        optimizer.zero_grad()
        (logits.mean() + gradient.square().sum()).backward()
        assert d.b8.conv0.weight.grad.isfinite().all()
        optimizer.step()
    other = Discriminator(8, normalization=name, num_classes=3, **TINY)
    other.load_state_dict(d.state_dict())
    x = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(other.eval()(x, c), d.eval()(x, c))


@pytest.mark.parametrize("name", [n for n in WEIGHTS if n != "cosine"])
def test_weights_are_normalized_beside_the_normalization_of_features(name):
    plain, both = (
        Discriminator(8, normalization="group", weight_normalization=n, **TINY) for n in ("none", name)
    )
    assert type(both.b8.conv0.weight_normalization) is normalizations[name]
    assert plain.b8.conv0.weight_normalization is None
    assert Generator(8, weight_normalization=name, **TINY).synthesis.b8.conv0.weight_normalization is not None
