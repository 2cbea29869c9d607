"""Each known mistake put into a copy of the networks, losses or training: the probe names it."""

import math

import pytest
import torch
import torch.nn.functional as F
from probing_cases import batch, faults, make

from stylegan2.data.dataset import ImageData
from stylegan2.networks import discriminator as discriminator_module
from stylegan2.networks import layers
from stylegan2.networks.layers import ToRGBLayer
from stylegan2.networks.scalings import Scalings
from stylegan2.probing import influence
from stylegan2.probing.diagnose import checkpoint_findings, examine
from stylegan2.probing.rehearse import rehearse
from stylegan2.training.losses import R1, PathLength
from stylegan2.training.module import StyleGAN2

# Planted faults


@pytest.mark.parametrize(
    ("scalings", "name", "cause"),
    [
        ({"latent_normalization": "l2", "activation_gain": 1.0}, "latent ignored", "latent_normalization"),
        ({"latent_normalization": "l2"}, "latent weak", "latent_normalization"),
        ({"latent_normalization": "none"}, "latent scale leaks", "latent_normalization"),
        ({"activation_gain": 1.0}, "vanishing depth", "activation_gain"),
        ({"residual_gain": 1.0}, "exploding depth", "residual_gain"),
        ({"weight_scaling": "none"}, "exploding depth", "weight_scaling"),
        ({"weight_scaling": "kaiming"}, "uneven steps", "weight_scaling"),
        ({"mapping_lr_multiplier": 1.0}, "mapping network too fast", "mapping_lr_multiplier"),
        ({"style_normalization": "none"}, "style scale leaks", "style_normalization"),
        ({"style_bias_init": 0.0}, "styles not around 1", "style_bias_init"),
        ({"upsample_gain": 0.25}, "FIR gain", "upsample_gain"),
        ({"lazy_regularization_correction": False}, "optimiser not corrected", "lazy_regularization"),
        ({"lazy_regularization_correction": False}, "penalty weight", "lazy_regularization"),
    ],
)
def test_a_scaling_switched_off_is_named_with_its_number(scalings, name, cause):
    found = faults(make(16, scalings=Scalings(**scalings)))
    assert name in found and cause in found[name]
    assert any(c.isdigit() for c in found[name])


def test_features_switched_off_on_purpose_are_notes_and_no_faults():
    model = make(16, scalings=Scalings(noise=False, minibatch_stddev=False), ema=None)
    found = examine(model, *batch(model))
    assert not found.faults
    assert {f.name for f in found.findings} == {"no noise", "no minibatch stddev", "no EMA"}


def test_planted_path_length_over_the_wrong_axis_is_found():
    class OverBatch(PathLength):
        def lengths(self, synthesis, ws, y=None):
            images = synthesis(ws)
            y = torch.randn_like(images) if y is None else y
            y = y / math.sqrt(images.shape[2] * images.shape[3])
            (jacobian,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
            return (jacobian.square().sum(dim=2).mean(dim=0) + 1e-8).sqrt()

    class SumOverRows(PathLength):
        def lengths(self, synthesis, ws, y=None):
            return super().lengths(synthesis, ws, y) * math.sqrt(ws.shape[1])

    for wrong, told in ((OverBatch(), "3 samples give 6 path lengths"), (SumOverRows(), "2.45 times")):
        found = faults(make(16, path_length=wrong))
        assert list(found) == ["path length axis"] and told in found["path length axis"]


def test_planted_path_length_without_the_image_size_is_found():
    found = faults(make(16, path_length=PathLength(normalize_by_image_size=False)))
    assert list(found) == ["path length grows with the image"]
    assert "16 times" in found["path length grows with the image"]


def test_planted_root_of_zero_is_found():
    class NaN(PathLength):
        def lengths(self, synthesis, ws, y=None):
            images = synthesis(ws)
            y = torch.randn_like(images) if y is None else y
            y = y / math.sqrt(images.shape[2] * images.shape[3])
            (jacobian,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
            return jacobian.square().sum(dim=2).mean(dim=1).sqrt()

    assert list(faults(make(16, path_length=NaN()))) == ["NaN gradient"]


def test_planted_root_of_zero_in_the_minibatch_stddev_is_found(monkeypatch):
    def without_epsilon(x, group=4, channels=1):
        n, c, h, w = x.shape
        g = min(group, n)
        y = x.reshape(g, n // g, channels, c // channels, h, w)
        y = y.var(dim=0, unbiased=False).sqrt().mean(dim=(2, 3, 4)).repeat(g, 1)
        return torch.cat([x, y[:, :, None, None].expand(n, channels, h, w)], dim=1)

    monkeypatch.setattr(discriminator_module, "minibatch_stddev", without_epsilon)
    assert list(faults(make(16))) == ["NaN gradient"]


@pytest.mark.parametrize("mistake", ["unbiased", "scalar"])
def test_planted_wrong_minibatch_stddev_is_found(monkeypatch, mistake):
    def wrong(x, group=4, channels=1):
        right = layers.minibatch_stddev(x, group, channels)
        std = right[:, -1:]
        g = min(group, len(x))
        std = std * math.sqrt(g / (g - 1)) if mistake == "unbiased" else std.mean().expand_as(std)
        return torch.cat([x, std], dim=1)

    monkeypatch.setattr(discriminator_module, "minibatch_stddev", wrong)
    found = faults(make(16))
    assert list(found) == ["minibatch stddev wrong"]
    assert {"unbiased": "G - 1", "scalar": "whole batch"}[mistake] in found["minibatch stddev wrong"]


def test_planted_rows_of_ws_that_nothing_reads_are_found():
    model = make(16)
    g = model.generator

    def forward(ws, noise="random", original=g.synthesis.forward):
        return original(ws[:, :6], noise)

    g.synthesis.forward = forward
    g.num_ws = g.mapping.num_ws = 8
    model.average = None
    found = faults(model)
    assert "8 rows of ws, should be 2·log2(16) - 2 = 6" in found["ws rows"]
    assert "[6, 7]" in found["ws rows"]


def _replace_forward(model, kind, forward):
    for layer in model.generator.synthesis.modules():
        if isinstance(layer, kind):
            layer.__class__ = type(f"Planted{kind.__name__}", (kind,), {"forward": forward})
    return model


def test_planted_activation_on_torgb_is_found():
    def forward(self, x, w):
        return F.leaky_relu(ToRGBLayer.forward(self, x, w), 0.2)

    found = faults(_replace_forward(make(16), ToRGBLayer, forward))
    assert list(found) == ["activation on ToRGB"] and "0.67" in found["activation on ToRGB"]


def test_planted_torgb_without_its_style_gain_or_with_demodulation_is_found():
    model = make(16)
    for layer in model.generator.synthesis.modules():
        if isinstance(layer, ToRGBLayer):
            layer.style_gain = 1.0
    assert "image layer gain" in faults(model)

    def forward(self, x, w):
        return layers.modulated_conv2d(x, self.weight, self.affine(w)) + self.bias[:, None, None]

    assert "image layer demodulated" in faults(_replace_forward(make(16), ToRGBLayer, forward))


def test_planted_filter_without_the_factor_for_inserted_zeros_is_found(monkeypatch):
    def resample(x, weight, filter=None, up=1, down=1, padding=0, flip_weight=True, gain=1.0):
        return original(x, weight, filter, up, down, padding, flip_weight=flip_weight, gain=gain / up**2)

    original = layers.conv2d_resample
    monkeypatch.setattr(layers, "conv2d_resample", resample)
    found = faults(make(16))
    assert "G.synthesis.b8.conv0 at ×0.25" in found["FIR gain"]


def test_planted_dead_noise_is_found():
    model = make(16)
    for layer in influence.synthesis_layers(model.generator):
        layer.register_forward_pre_hook(lambda m, args: (args[0], args[1], "none"))
    found = faults(model)
    assert list(found) == ["dead noise"] and "strength" in found["dead noise"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("g", "d"), [("skip", "resnet"), ("resnet", "skip"), ("orig", "orig")])
def test_low_precision_blocks_of_default_networks_have_no_fault(g, d, dtype):
    model = make(32, g=g, d=d, blocks={"low_precision_blocks": 2, "low_precision_dtype": dtype})
    found = examine(model, *batch(model))
    assert not found.findings
    assert set(found.anatomy["low_precision"]) == {"G.synthesis.b16", "G.synthesis.b32", "D.b16", "D.b32"}
    for block in found.anatomy["low_precision"].values():
        assert 0 < block["error"] < 2 * torch.finfo(getattr(torch, dtype)).eps


def low(dtype="float16", **options):
    return make(16, blocks={"low_precision_blocks": 1, "low_precision_dtype": dtype}, **options)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kinds", [["SynthesisLayer"], ["SynthesisLayer", "ToRGBLayer"]])
def test_planted_normalisation_before_the_affine_layer_in_low_precision_is_found(dtype, kinds):
    model = low(dtype)
    for kind in (getattr(layers, name) for name in kinds):

        def forward(self, x, w, *args, kind=kind):
            if x.dtype == getattr(torch, dtype):
                w = w / w.abs().amax(dim=1, keepdim=True)
            return kind.forward(self, x, w, *args)

        _replace_forward(model, kind, forward)
    found = faults(model)
    text = found["low precision wrong"]
    assert "before the affine layer" in text and f"G.synthesis.b16 in {dtype}" in text
    number = float(text.split("precision by ")[1].split()[0])
    assert number > 0.2


@pytest.mark.parametrize("left_out", ["weights", "styles"])
def test_planted_modulation_without_normalisation_in_float16_is_found(monkeypatch, left_out):
    def modulate(x, weight, styles, demodulate=True, **kwargs):
        # Divides only the other, and convolves undemodulated, so that the original leaves both alone.
        if not demodulate:
            return original(x, weight, styles, demodulate=False, **kwargs)
        if left_out == "styles":
            weight = weight / (weight.abs().amax(dim=(1, 2, 3), keepdim=True) * weight[0].numel() ** 0.5)
        else:
            styles = styles / styles.abs().amax(dim=1, keepdim=True)
        scale = torch.rsqrt(styles.square() @ weight.square().sum(dim=(2, 3)).t() + 1e-8)
        return original(x, weight, styles, demodulate=False, **kwargs)[0], scale

    original = layers.modulate
    monkeypatch.setattr(layers, "modulate", modulate)
    found = faults(low())
    assert list(found) == ["low precision overflow"] and "times 10000" in found["low precision overflow"]
    assert not faults(make(16))


def test_planted_error_of_a_discriminator_block_in_float16_is_found():
    model = low()
    model.discriminator.b16.conv0.register_forward_hook(
        lambda m, args, out: out * 0.95 if out.dtype == torch.float16 else out
    )
    assert "D.b16 in float16" in faults(model)["low precision wrong"]


def test_float16_without_a_clamp_is_named_and_bfloat16_needs_none():
    assert "scalings.clamp" in faults(low(scalings=Scalings(clamp=None)))["no clamp"]
    assert not faults(low("bfloat16", scalings=Scalings(clamp=None)))


def test_planted_low_clamp_is_found():
    model = make(16, scalings=Scalings(clamp=0.5), blocks={"clamp_blocks": "all"})
    assert "at the clamp" in faults(model)["saturated clamp"]


def test_planted_mapping_network_that_ignores_the_latent_is_found():
    model = make(16)
    model.generator.mapping.fc3.register_forward_hook(lambda m, args, out: out * 0 + 1)
    found = faults(model)
    assert "std across z 0" in found["latent ignored"]


def test_planted_r1_with_a_mean_over_pixels_is_found():
    class Wrong(R1):
        def __call__(self, score, real):
            return super().__call__(score, real) / real[0].numel()

    assert "R1 wrong" in faults(make(16, r1=Wrong(gamma=1.0)))


def test_planted_optimisers_without_correction_are_found():
    class Uncorrected(StyleGAN2):
        def configure_optimizers(self):
            nets = (self.generator, self.discriminator)
            return [torch.optim.Adam(n.parameters(), lr=self.learning_rate, betas=self.betas) for n in nets]

    model = make(16)
    model.__class__ = Uncorrected
    assert list(faults(model)) == ["optimiser not corrected"]


@pytest.mark.parametrize(
    ("method", "factor", "told"),
    [
        ("r1_penalty", 16, "r1 enters a training step times 256, should be times 16"),
        ("path_length_penalty", 0.25, "times 1,"),
    ],
)
def test_planted_factor_on_a_penalty_is_found_in_the_training_step(method, factor, told):
    def planted(self, *args):
        return factor * getattr(StyleGAN2, method)(self, *args)

    model = make(16)
    model.__class__ = type("Planted", (StyleGAN2,), {method: planted})
    found = faults(model)
    assert list(found) == ["penalty weight"] and told in found["penalty weight"]


def test_planted_step_that_leaves_the_factor_out_or_keeps_old_gradients_is_found():
    class Unweighted(StyleGAN2):
        def _descend(self, name, optimizer, loss, parts, weight=1.0):
            super()._descend(name, optimizer, loss, parts)

    class Summed(StyleGAN2):
        def _descend(self, name, optimizer, loss, parts, weight=1.0):
            super()._descend(name, optimizer, loss, parts, weight * len(parts))

    for kind, number in ((Unweighted, "times 1,"), (Summed, "times 8,")):
        model = make(16)
        model.__class__ = kind
        found = faults(model)
        assert list(found) == ["penalty weight"] and number in found["penalty weight"]


def test_a_penalty_that_is_off_has_no_weight():
    assert not faults(make(16, r1=R1(gamma=1.0, every=0), path_length=PathLength(every=0)))


@pytest.mark.parametrize("options", [{"batch": 6}, {"batch": 8, "batch_per_device": 1}])
def test_batches_that_minibatch_stddev_cannot_group_are_found(options):
    assert list(faults(make(16, **options))) == ["minibatch stddev groups"]


def test_an_average_far_from_the_weights_is_found():
    model = make(16)
    torch.nn.init.normal_(model.average.synthesis.b8.conv0.weight)
    assert "EMA far" in faults(model)
    other = make(16, seed=1)
    other.iteration, other.average = 1000, make(16).average
    found = faults(other)
    assert "at iteration 1000" in found["EMA far"]


# Real training


@pytest.fixture(scope="module")
def demo():
    data = ImageData(path="demo", resolution=16)
    data.open(progress=False)
    return data


def tiny(**options):
    return make(16, base=128, blocks={"channel_max": 16}, **({"batch": 4} | options))


def test_a_sound_training_run_has_no_fault(demo):
    model = tiny()
    seen = rehearse(model, demo, 18)
    assert model.iteration == 18 and seen.r1 == [0, 16] and seen.path_length == [0, 4, 8, 12, 16]
    assert seen.ema_error < 1e-5
    assert not faults(model, rehearsal=seen)


def test_planted_interval_from_lightnings_global_step_is_found(demo):
    class GlobalStep(StyleGAN2):
        def _due(self, every):
            return every > 0 and self.trainer.global_step % every == 0

    model = tiny()
    model.__class__ = GlobalStep
    assert "r1 was evaluated at iterations [" in faults(model)["lazy interval"]
    seen = rehearse(model, demo, 18)
    found = faults(model, rehearsal=seen)
    assert "global_step" in found["lazy interval"], seen


def test_planted_average_that_is_never_updated_is_found(demo):
    class NoUpdate:
        half_life_kimg, rampup = None, 0.05

        def update(self, *_):
            pass

    model = tiny()
    model.ema = NoUpdate()
    seen = rehearse(model, demo, 3)
    assert "off one kept by its definition" in faults(model, rehearsal=seen)["EMA far"]


def test_divergence_is_a_result(demo):
    model = tiny(learning_rate=1e12)
    seen = rehearse(model, demo, 5)
    assert seen.diverged and seen.iterations < 5
    assert "diverged" in faults(model, rehearsal=seen)


def test_what_a_checkpoint_lacks_is_named():
    state = {"average.x": 0, "path_length_mean": 0}
    whole = {
        "stylegan2": {"sampler": "average"},
        "state_dict": state,
        "optimizer_states": [{"state": {0: 0}}, {"state": {0: 0}}],
    }
    assert not checkpoint_findings(whole)
    (finding,) = checkpoint_findings({"stylegan2": {"sampler": "average"}, "state_dict": {}})
    for part in ("running average", "path length's mean", "optimisers' state"):
        assert part in finding.text
