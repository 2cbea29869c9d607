"""Checks that can fail only if this repository's own source is edited, and that each of them can fail.

A check takes the function or module it is about and returns a number that the method fixes. Beside every check
stand the mistakes that public implementations made: the check must tell each of them from the right one.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.networks import layers
from stylegan2.networks.layers import SynthesisLayer, ToRGBLayer
from stylegan2.ops import conv2d_resample
from stylegan2.training.config import TrainingConfig
from stylegan2.training.module import StyleGAN2
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1

SMALL = {"channel_base": 128, "channel_max": 16}


# Minibatch standard deviation (PGGAN §3): biased, strided groups, finite where it is an exact zero


def stddev_error(stddev):
    """Largest difference from a computation sample by sample."""
    x = torch.randn(8, 6, 4, 4, dtype=torch.float64) * torch.arange(1, 9)[:, None, None, None]
    expected = []
    for n in range(8):
        members = torch.stack([x[m] for m in range(8) if m % 2 == n % 2])
        variance = ((members - members.mean(dim=0)) ** 2).mean(dim=0)
        expected.append((variance + 1e-8).sqrt().mean())
    return (stddev(x, 4, 1)[:, -1, 0, 0] - torch.stack(expected)).abs().max().item()


def unbiased(x, group, channels):
    right = layers.minibatch_stddev(x, group, channels)
    return torch.cat([x, right[:, -1:] * math.sqrt(group / (group - 1))], dim=1)


def one_scalar(x, group, channels):
    right = layers.minibatch_stddev(x, group, channels)
    return torch.cat([x, right[:, -1:].mean().expand_as(right[:, -1:])], dim=1)


def consecutive_groups(x, group, channels):
    order = torch.arange(len(x)).reshape(-1, group).t().flatten()
    right = layers.minibatch_stddev(x[order], group, channels)
    return torch.cat([x, right[order.argsort(), -1:]], dim=1)


def test_minibatch_stddev_is_biased_strided_and_of_each_group():
    assert stddev_error(layers.minibatch_stddev) < 1e-12


@pytest.mark.parametrize("mistake", [unbiased, one_scalar, consecutive_groups])
def test_a_wrong_minibatch_stddev_is_told_apart(mistake):
    assert stddev_error(mistake) > 0.1


def gradient_at_identical_samples(stddev):
    x = torch.randn(1, 6, 4, 4).repeat(4, 1, 1, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(stddev(x, 4, 1).sum(), x)
    return bool(gradient.isfinite().all())


def test_the_gradient_is_finite_where_the_standard_deviation_is_zero():
    assert gradient_at_identical_samples(layers.minibatch_stddev)


def test_a_root_without_epsilon_is_told_apart():
    def without_epsilon(x, group, channels):
        std = x.var(dim=0, unbiased=False).sqrt().mean()
        return torch.cat([x, std.expand(len(x), 1, *x.shape[2:])], dim=1)

    assert not gradient_at_identical_samples(without_epsilon)


# Path length (SG2 app. B): mean over rows of ws, one length for each sample, finite at an exact zero


def lengths(loss):
    """Of images Σ_rows a_n·ws: every sample's is |a_n|·√dim."""
    a, ws = torch.tensor([1.0, 10.0, 100.0]), torch.ones(3, 6, 4, requires_grad=True)
    images = lambda ws: (ws.sum(dim=(1, 2)) * a)[:, None, None, None]  # noqa: E731
    return loss.lengths(images, ws, torch.ones_like)


class OverBatch(PathLength):
    def lengths(self, synthesis, ws, draw=torch.randn_like):
        (jacobian,) = torch.autograd.grad((synthesis(ws) * draw(synthesis(ws))).sum(), ws, create_graph=True)
        return jacobian.square().sum(dim=2).mean(dim=0).sqrt()


class SumOverRows(PathLength):
    def lengths(self, synthesis, ws, draw=torch.randn_like):
        return super().lengths(synthesis, ws, draw) * math.sqrt(ws.shape[1])


class PlainRoot(PathLength):
    def lengths(self, synthesis, ws, draw=torch.randn_like):
        (jacobian,) = torch.autograd.grad((synthesis(ws) * draw(synthesis(ws))).sum(), ws, create_graph=True)
        return jacobian.square().sum(dim=2).mean(dim=1).sqrt()


def test_a_path_length_is_a_samples_own_mean_over_rows():
    torch.testing.assert_close(lengths(PathLength()), 2 * torch.tensor([1.0, 10.0, 100.0]))


@pytest.mark.parametrize("mistake", [OverBatch, SumOverRows])
def test_a_path_length_over_other_axes_is_told_apart(mistake):
    found = lengths(mistake())
    assert found.shape != (3,) or not torch.allclose(found, 2 * torch.tensor([1.0, 10.0, 100.0]))


def zero_length_gradient(loss):
    weight, ws = torch.zeros([], requires_grad=True), torch.ones(2, 4, 3, requires_grad=True)
    dead = lambda ws: (ws.sum(dim=(1, 2)) * weight)[:, None, None, None].expand(-1, 1, 4, 4)  # noqa: E731
    (gradient,) = torch.autograd.grad(loss(dead, ws, torch.ones([]))[0], weight)
    return math.isfinite(gradient.item())


def test_a_dead_generator_gets_a_finite_gradient_from_the_path_length():
    assert zero_length_gradient(PathLength())
    assert not zero_length_gradient(PlainRoot())


# The generator: linear image layers without demodulation, rows of ws, live noise


def nonlinearity(layer):
    """rms of f(x) + f(-x) - 2·f(0) over that of f(x) - f(-x): 0 for a linear layer, 2/3 for a leaky ReLU."""
    x, w = torch.randn(4, 8, 4, 4), torch.randn(4, 6)
    plus, minus, zero = layer(x, w), layer(-x, w), layer(x * 0, w)
    return ((plus + minus - 2 * zero).norm() / (plus - minus).norm()).item()


def style_response(layer):
    """Output when the styles double, over that before: 2 without demodulation, 1 with it."""
    x, w = torch.randn(4, 8, 4, 4), torch.randn(4, 6)
    before = layer(x, w)
    handle = layer.affine.register_forward_hook(lambda module, args, out: out * 2)
    after = layer(x, w)
    handle.remove()
    return (after.norm() / before.norm()).item()


class ActivatedToRGB(ToRGBLayer):
    def forward(self, x, w):
        return F.leaky_relu(super().forward(x, w), 0.2)


class DemodulatedToRGB(ToRGBLayer):
    def forward(self, x, w):
        return layers.modulated_conv2d(x, self.weight, self.affine(w), demodulate=True)


@pytest.mark.parametrize(
    "kind,linear,response", [(ToRGBLayer, True, 2), (ActivatedToRGB, False, 2), (DemodulatedToRGB, True, 1)]
)
def test_image_layers_are_linear_and_not_demodulated(kind, linear, response):
    layer = kind(8, 3, 6, scalings=Scalings())
    assert (nonlinearity(layer) < 1e-5) == linear
    assert style_response(layer) == pytest.approx(response, rel=1e-3)


def influence_of_rows(generator):
    """rms of the gradient of the image with respect to each row of ws."""
    ws = torch.randn(2, generator.num_ws, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator.synthesis(ws, noise="none").square().sum(), ws)
    return gradient.square().sum(dim=(0, 2))


def test_every_row_of_ws_is_read_and_there_are_as_many_as_the_paper_says():
    g = Generator(16, z_dim=8, w_dim=8, mapping_layers=1, **SMALL)
    assert g.num_ws == 6 and influence_of_rows(g).min() > 0
    forward = g.synthesis.forward
    g.synthesis.forward, g.num_ws = lambda ws, noise="random": forward(ws[:, :6], noise), 8
    assert influence_of_rows(g).min() == 0


def noise_moves(layer):
    with torch.no_grad():
        layer.noise_strength.fill_(1)
        x, w = torch.randn(1, 8, 8, 8), torch.randn(1, 6)
        return (layer(x, w, noise="random") - layer(x, w, noise="random")).abs().max().item() > 0.1


class SilentLayer(SynthesisLayer):
    def noise(self, w, kind):
        return None


def test_noise_reaches_the_features_once_its_strength_is_not_zero():
    assert noise_moves(SynthesisLayer(8, 8, 6, 8, scalings=Scalings()))
    assert not noise_moves(SilentLayer(8, 8, 6, 8, scalings=Scalings()))


def up_sampling_gain(resample):
    """What becomes of a constant image's value where it is up-sampled: 1."""
    weight, f = torch.zeros(1, 1, 3, 3), torch.tensor([1.0, 3, 3, 1]) / 8
    weight[0, 0, 1, 1] = 1
    return resample(torch.ones(1, 1, 16, 16), weight, f, up=2, padding=1)[0, 0, 16, 16].item()


def test_up_sampling_makes_up_for_the_inserted_zeros():
    assert up_sampling_gain(conv2d_resample) == pytest.approx(1)
    assert up_sampling_gain(lambda *a, **k: conv2d_resample(*a, **k, gain=0.25)) == pytest.approx(0.25)


# Training: lazy intervals, the penalty's weight in the step, gradients of one phase only


def model_with(**options):
    torch.manual_seed(0)
    regularizers = (R1(gamma=1, every=3), PathLength(every=2))
    return StyleGAN2(
        Generator(8, z_dim=8, w_dim=8, mapping_layers=1, **SMALL),
        Discriminator(8, **SMALL),
        TrainingConfig(regularizers=regularizers, **options),
        batch=4,
    )


def fired(model, iterations=7, counts_optimizer_steps=False):
    """At which iterations each penalty came."""
    optimizers, real = model.configure_optimizers(), torch.rand(4, 3, 8, 8) * 2 - 1
    found = {"r1": [], "path_length": []}
    for k in range(iterations):
        model.iterate(real, torch.zeros(4, 0), *optimizers)
        for name in found:
            if name in model.losses:
                found[name].append(k)
        if counts_optimizer_steps:
            model.iteration += len(model.losses) - 1
    return found


def test_penalties_come_at_their_intervals_of_iterations():
    assert fired(model_with()) == {"r1": [0, 3, 6], "path_length": [0, 2, 4, 6]}


def test_an_interval_counted_in_optimizer_steps_is_told_apart():
    found = fired(model_with(), counts_optimizer_steps=True)
    assert found != {"r1": [0, 3, 6], "path_length": [0, 2, 4, 6]}


def penalty_in_the_step(model):
    """D's gradient in the step down R1, over that of R1 alone."""
    real, c = torch.rand(4, 3, 8, 8) * 2 - 1, torch.zeros(4, 0)
    (alone,) = torch.autograd.grad(model.penalty("r1", real, c), model.discriminator.b8.conv0.weight)
    seen = []

    class Recorder(torch.optim.SGD):
        def step(self):
            gradient = model.discriminator.b8.conv0.weight.grad
            seen.append(None if gradient is None else gradient.clone())

    model.iterate(
        real,
        c,
        Recorder(model.generator.parameters(), lr=0),
        Recorder(model.discriminator.parameters(), lr=0),
    )
    return (seen[-1].norm() / alone.norm()).item()


@pytest.mark.parametrize("corrected,factor", [(True, 3), (False, 1)])
def test_the_step_down_a_penalty_holds_its_interval_and_no_older_gradient(corrected, factor):
    scalings = Scalings(lazy_regularization_correction=corrected)
    assert penalty_in_the_step(model_with(scalings=scalings)) == pytest.approx(factor, rel=1e-4)


def test_an_average_that_is_never_updated_is_told_apart(monkeypatch):
    def moved(model):
        before = model.generator_ema.synthesis.b8.conv1.weight.clone()
        model.images = 100
        fired(model, 1)
        return not torch.equal(before, model.generator_ema.synthesis.b8.conv1.weight)

    assert moved(model_with())
    monkeypatch.setattr(type(TrainingConfig().ema), "update", lambda *args: None)
    assert not moved(model_with())
