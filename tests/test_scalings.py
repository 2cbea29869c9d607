"""Every field of the scalings changes something, and what it changes is what it says."""

from dataclasses import fields, replace

import pytest
import torch

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.errors import InputError
from stylegan2.networks.layers import EqualizedConv2d, EqualizedLinear, SynthesisLayer
from stylegan2.training.config import TrainingConfig
from stylegan2.training.module import StyleGAN2
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1

OFF = {
    "weight_scaling": ["kaiming", "none"],
    "activation_gain": [1.0],
    "residual_gain": [1.0, "inverse_depth", "fixup", "skip_init"],
    "residual_balance": [0.3],
    "mapping_lr_multiplier": [1.0],
    "latent_normalization": ["l2", "none"],
    "style_normalization": ["none", "instance", "group", "spectral"],
    "style_bias_init": [0.0],
    "upsample_gain": [0.25],
    "minibatch_stddev": [False],
    "noise": [False],
    "lazy_regularization_correction": [False],
    "clamp": [None, 0.5],
}
TINY = {"channel_base": 128, "channel_max": 16}


def trained_parameters(scalings):
    """One iteration of training, everything seeded: all that a field can change shows in it."""
    torch.manual_seed(0)
    low = {"low_precision_blocks": 1, "low_precision_dtype": "bfloat16"}
    g = Generator(16, z_dim=8, w_dim=8, mapping_layers=2, scalings=scalings, **low, **TINY)
    d = Discriminator(16, scalings=scalings, **low, **TINY)
    with torch.no_grad():
        for p in (*g.parameters(), *d.parameters()):
            if p.ndim == 0:
                p.fill_(0.5)  # the noise strength
        for network in (g, d):  # a signal that reaches the clamp
            for name, p in network.named_parameters():
                if name.endswith(("b16.conv1.bias", "b16.fromrgb.bias")):
                    p.fill_(1000.0)
    penalties = (R1(gamma=1, every=2), PathLength(every=2))
    model = StyleGAN2(g, d, TrainingConfig(scalings=scalings, regularizers=penalties), batch=4)
    torch.manual_seed(1)
    real = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    z = torch.randn(4, 8)
    with torch.no_grad():
        before = [g(z, noise="const"), d(g(z, noise="const"))]
    model.iterate(real, torch.zeros(4, 0), *model.configure_optimizers())
    return torch.cat([t.detach().flatten() for t in (*before, *g.parameters(), *d.parameters())])


def test_every_field_has_an_off_value_here():
    assert set(OFF) == {field.name for field in fields(Scalings)}


@pytest.fixture(scope="module")
def default_result():
    return trained_parameters(Scalings())


@pytest.mark.parametrize("name,value", [(name, value) for name, values in OFF.items() for value in values])
def test_changing_a_field_changes_a_seeded_output(name, value, default_result):
    result = trained_parameters(replace(Scalings(), **{name: value}))
    assert result.shape != default_result.shape or not torch.equal(result, default_result)


def test_a_seeded_output_repeats(default_result):
    torch.testing.assert_close(trained_parameters(Scalings()), default_result, rtol=0, atol=0)


def test_kaiming_is_the_same_function_at_the_start_but_not_the_same_step():
    outputs, steps = [], []
    for kind in ("equalized", "kaiming"):
        torch.manual_seed(0)
        layer = EqualizedConv2d(16, 8, 3, scalings=Scalings(weight_scaling=kind), activation="lrelu")
        x = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(1))
        outputs.append(layer(x))
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.001, betas=(0.0, 0.99))
        used = (layer.weight * layer.weight_gain).detach().clone()
        layer(x).square().mean().backward()
        optimizer.step()
        steps.append(((layer.weight * layer.weight_gain - used).norm() / used.norm()).item())
    torch.testing.assert_close(*outputs)
    # Adam moves every stored weight by lr: relative to the weights that is √fan_in times as much.
    assert steps[1] / steps[0] == pytest.approx(144**0.5, rel=0.01)


def test_without_weight_scaling_the_signal_grows_by_the_root_of_fan_in():
    layer = EqualizedLinear(400, 300, scalings=Scalings(weight_scaling="none"))
    assert layer(torch.randn(64, 400)).std().item() == pytest.approx(20, rel=0.05)


def test_demodulation_cancels_the_scale_of_weights_and_styles():
    layer = SynthesisLayer(16, 8, 8, 8, scalings=Scalings()).double()
    x, w = torch.randn(2, 16, 8, 8).double(), torch.randn(2, 8).double()
    before = layer(x, w, noise="none")
    with torch.no_grad():
        layer.weight *= 7
        layer.affine.weight *= 3
        layer.affine.bias *= 3
    torch.testing.assert_close(layer(x, w, noise="none"), before, rtol=1e-6, atol=1e-6)


def test_without_demodulation_the_signal_follows_the_style():
    layer = SynthesisLayer(16, 8, 8, 8, scalings=Scalings(style_normalization="none")).double()
    x, w = torch.randn(2, 16, 8, 8).double(), torch.randn(2, 8).double()
    before = layer(x, w, noise="none")
    with torch.no_grad():
        layer.affine.weight *= 3
        layer.affine.bias *= 3
    torch.testing.assert_close(layer(x, w, noise="none"), before * 3)


def test_float16_blocks_divide_styles_after_the_affine_layer():
    """In float16 without a GPU the forward pass still runs: it stays close to float32, at any scale of w."""
    torch.manual_seed(0)
    layer = SynthesisLayer(16, 8, 8, 8, scalings=Scalings())
    x, w = torch.randn(2, 16, 8, 8), torch.randn(2, 8) * 300
    with torch.no_grad():
        exact, half = layer(x, w, noise="none"), layer(x.half(), w, noise="none")
    assert half.dtype == torch.float16
    assert (half.float() - exact).abs().max() / exact.abs().max() < 3e-3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision_networks_stay_close_to_float32(dtype):
    def outputs(blocks):
        torch.manual_seed(0)
        low = {"low_precision_blocks": blocks, "low_precision_dtype": dtype}
        g = Generator(32, z_dim=16, w_dim=16, mapping_layers=2, **low, **TINY).eval()
        d = Discriminator(32, **low, **TINY)
        with torch.no_grad():
            images = g(torch.randn(4, 16), noise="const")
            return images, d(images)

    for exact, low in zip(outputs(0), outputs(2)):
        assert low.dtype == torch.float32
        assert (exact - low).abs().max() / exact.abs().max() < (0.01 if dtype == "float16" else 0.06)


@pytest.mark.parametrize(
    "clamp,bounds", [("auto", {8: None, 16: 256}), (0.5, {8: 0.5, 16: 0.5}), (None, {8: None, 16: None})]
)
def test_the_clamp_bounds_low_precision_blocks_or_all_or_none(clamp, bounds):
    torch.manual_seed(0)
    low = {"low_precision_blocks": 1, "low_precision_dtype": "bfloat16"}
    g = Generator(16, z_dim=8, w_dim=8, scalings=Scalings(clamp=clamp), **low, **TINY)
    seen = {}
    for r in bounds:
        layer = g.get_submodule(f"synthesis.b{r}.conv1")
        layer.bias.data.fill_(1000)
        layer.register_forward_hook(lambda module, _, out, r=r: seen.update({r: out.abs().max().item()}))
    g(torch.randn(2, 8))
    for r, bound in bounds.items():
        assert seen[r] > 1000 if bound is None else seen[r] == pytest.approx(bound, rel=0.01)


@pytest.mark.parametrize(
    "field,value,words",
    [
        ("style_normalization", "demod", "demodulation"),
        ("weight_scaling", "equalised", "Did you mean equalized"),
        ("clamp", "automatic", "auto"),
        ("clamp", -1.0, "above 0"),
    ],
)
def test_a_choice_that_is_none_is_refused_with_the_nearest_name(field, value, words):
    with pytest.raises(InputError, match=words):
        Scalings(**{field: value})


@pytest.mark.parametrize("img_channels", [1, 3, 4])
@pytest.mark.parametrize("resolution", [8, 64, 1024])
def test_networks_of_all_sizes_and_channels_fit_each_other(resolution, img_channels):
    small = {"channel_base": 1024, "channel_max": 8, "img_channels": img_channels}
    g = Generator(resolution, z_dim=8, w_dim=8, mapping_layers=1, **small)
    d = Discriminator(resolution, **small)
    with torch.no_grad():
        images = g(torch.randn(1, 8))
        assert images.shape == (1, img_channels, resolution, resolution)
        assert d(images).shape == (1, 1)


def test_the_upsample_gain_leaves_layers_without_up_sampling_alone():
    outputs = []
    for gain in (1.0, 0.25):
        torch.manual_seed(0)
        layer = SynthesisLayer(8, 6, 4, 8, scalings=Scalings(upsample_gain=gain))
        outputs.append(layer(torch.ones(1, 8, 8, 8), torch.ones(1, 4), noise="none"))
    assert torch.equal(*outputs)
