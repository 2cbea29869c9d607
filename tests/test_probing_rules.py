"""The rules of the probe: silent on networks without a fault, and naming each fault that a user can make."""

import copy
from dataclasses import replace

import pytest
import torch
from probing_cases import batch, faults, make

from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.scalings import Scalings
from stylegan2.probing import probe
from stylegan2.probing.measure.networks import probe_model
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1

# No fault where there is none


@pytest.mark.parametrize("g", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("d", ["resnet", "skip", "orig"])
def test_default_networks_have_no_fault_in_any_architecture(g, d):
    assert not faults(make(16, g=g, d=d))


@pytest.mark.parametrize(
    ("resolution", "options"),
    [
        (32, {"num_classes": 3}),
        (32, {"img_channels": 1, "g": "resnet"}),
        (64, {}),
        (64, {"g": "orig", "d": "skip", "num_classes": 2, "img_channels": 1}),
        (128, {"base": 1024}),
        (256, {"base": 1024}),
    ],
)
def test_default_networks_have_no_fault_at_any_resolution(resolution, options):
    assert not faults(make(resolution, **options))


@pytest.mark.parametrize("kind", ["inverse_depth", "fixup", "skip_init"])
@pytest.mark.parametrize("trained", [False, True])
def test_other_residual_sums_are_no_fault(kind, trained):
    model = make(16, scalings=Scalings(residual_gain=kind))
    model.iteration = int(trained)  # trained networks are measured with weights of their initial size
    assert not faults(model)


def test_other_balances_of_the_residual_sum_and_lengths_of_y_are_no_fault():
    y = PathLength(normalize_by_image_size="unit_length")
    assert not faults(make(16, scalings=Scalings(residual_balance=0.3), path_length=y))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("g", ["skip", "resnet", "orig"])
def test_default_networks_have_no_fault_for_any_seed(g, seed):
    d = ["resnet", "skip", "orig"][seed % 3]
    assert not faults(make(32, g=g, d=d, seed=seed), seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("g", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("resolution", [256, 512, 1024])
def test_default_networks_have_no_fault_at_high_resolution(resolution, g):
    model = make(resolution, g=g, base=8192, blocks={"channel_max": 32})
    assert not probe_model(
        model, *batch(model, 4 if resolution == 256 else 2)
    ).findings  # as the command does


def test_probing_leaves_networks_and_random_state_as_they_were():
    model = make(16, base=256)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    probe_model(model, *batch(model))
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.generator.training and all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("g", "d"), [("skip", "resnet"), ("resnet", "skip"), ("orig", "orig")])
def test_low_precision_blocks_of_default_networks_have_no_fault(g, d, dtype):
    model = make(32, g=g, d=d, blocks={"low_precision_blocks": 2, "low_precision_dtype": dtype})
    found = probe_model(model, *batch(model))
    assert not found.findings
    assert set(found.blocks["low_precision"]) == {"G.synthesis.b16", "G.synthesis.b32", "D.b16", "D.b32"}
    for block in found.blocks["low_precision"].values():
        assert 0 < block["error"] < 2 * torch.finfo(getattr(torch, dtype)).eps


def test_a_penalty_that_is_off_has_no_weight():
    assert not faults(make(16, r1=R1(gamma=1.0, every=0), path_length=PathLength(every=0)))


# Configurations with a fault


@pytest.mark.parametrize(
    ("scalings", "name", "cause"),
    [
        ({"latent_normalization": "l2", "activation_gain": 1.0}, "latent ignored", "latent_normalization"),
        ({"latent_normalization": "l2"}, "latent weak", "latent_normalization"),
        ({"latent_normalization": "none"}, "latent scale leaks", "latent_normalization"),
        ({"activation_gain": 1.0}, "vanishing depth", "activation_gain"),
        ({"residual_gain": 1.0}, "exploding depth", "residual_gain"),
        ({"weight_scaling": "none"}, "exploding depth", "weight_scaling"),
        ({"weight_scaling": "none"}, "image layer gain", "weight_scaling"),
        ({"weight_scaling": "kaiming"}, "uneven steps", "weight_scaling"),
        ({"mapping_lr_multiplier": 1.0}, "mapping network too fast", "mapping_lr_multiplier"),
        ({"style_normalization": "none"}, "style scale leaks", "style_normalization"),
        ({"style_bias_init": 0.0}, "styles not around 1", "style_bias_init"),
        ({"upsample_gain": 0.25}, "FIR gain", "upsample_gain"),
        ({"lazy_regularization_correction": False}, "optimizer not corrected", "lazy_regularization"),
        ({"lazy_regularization_correction": False}, "penalty weight", "lazy_regularization"),
    ],
)
def test_a_scaling_switched_off_is_named_with_its_number(scalings, name, cause):
    found = faults(make(16, scalings=Scalings(**scalings)))
    assert name in found and cause in found[name]
    assert any(c.isdigit() for c in found[name])


def test_features_switched_off_on_purpose_are_notes_and_no_faults():
    model = make(16, scalings=Scalings(noise=False, minibatch_stddev=False), ema=None)
    found = probe_model(model, *batch(model))
    assert not found.faults
    assert {f.name for f in found.findings} == {"no noise", "no minibatch stddev", "no EMA"}


def test_path_length_without_the_image_size_is_found():
    found = faults(make(16, path_length=PathLength(normalize_by_image_size=False)))
    assert list(found) == ["path length grows with the image"]
    assert "16 times" in found["path length grows with the image"]


def test_taps_that_sum_to_less_than_nothing_are_found():
    assert "FIR gain" in faults(make(16, blocks={"taps": (1, -1, -1, 1)}))


@pytest.mark.parametrize("options", [{"batch": 6}, {"batch": 8, "batch_per_device": 1}])
def test_batches_that_minibatch_stddev_cannot_group_are_found(options):
    assert list(faults(make(16, **options))) == ["minibatch stddev groups"]


def low(dtype="float16", **options):
    return make(16, blocks={"low_precision_blocks": 1, "low_precision_dtype": dtype}, **options)


def test_float16_without_a_clamp_is_named_and_bfloat16_needs_none():
    assert "scalings.clamp" in faults(low(scalings=Scalings(clamp=None)))["no clamp"]
    assert not faults(low("bfloat16", scalings=Scalings(clamp=None)))


def test_a_low_clamp_is_found():
    model = make(16, scalings=Scalings(clamp=0.5))
    assert "at the clamp" in faults(model)["saturated clamp"]


# Checkpoints with a fault


def test_a_discriminator_block_that_leaves_the_range_of_float16_is_found():
    model = low()
    torch.nn.init.normal_(model.discriminator.b16.conv0.weight, std=1e6)
    assert "D.b16 in float16" in faults(model)["low precision wrong"]


def test_a_block_that_computes_something_else_in_float16_is_found():
    model = low()
    model.discriminator.b16.conv0.register_forward_hook(
        lambda m, args, out: out * 0.95 if out.dtype == torch.float16 else out
    )
    assert "D.b16 in float16" in faults(model)["low precision wrong"]


def test_a_mapping_network_that_ignores_the_latent_is_found():
    model = make(16)
    model.generator.mapping.fc3.register_forward_hook(lambda m, args, out: out * 0 + 1)
    found = faults(model)
    assert "std across z is 0" in found["latent ignored"]


def test_a_row_of_ws_without_influence_is_found():
    model = make(16)
    with torch.no_grad():
        for layer in (model.generator.synthesis.b16.conv1, model.generator.synthesis.b16.torgb):
            layer.affine.weight.zero_()
    found = faults(model)
    assert "rows [4, 5] of ws" in found["ws rows"] or "rows [5] of ws" in found["ws rows"]


def test_a_weight_of_nan_is_found():
    model = make(16)
    model.iteration = 100
    with torch.no_grad():
        model.generator.synthesis.b8.conv0.weight[0, 0, 0, 0] = float("nan")
    assert "G: synthesis.b8.conv0" in faults(model)["non-finite values"]


def test_an_average_far_from_the_weights_is_found():
    model = make(16)
    torch.nn.init.normal_(model.generator_ema.synthesis.b8.conv0.weight)
    assert "EMA far" in faults(model)
    other = make(16, seed=1)
    other.iteration, other.generator_ema = 1000, make(16).generator_ema
    assert "at iteration 1000" in faults(other)["EMA far"]
    third = make(16)
    third.generator.mapping.w_avg.fill_(1)
    assert "w_avg of the generator EMA" in faults(third)["EMA far"]


@pytest.mark.parametrize("style,d", [("instance", "instance"), ("group", "group"), ("spectral", "spectral")])
def test_shipped_normalizations_have_no_faults_of_depth_or_filters(style, d):
    scalings = Scalings(style_normalization=style)
    model = make(16, scalings=scalings)
    torch.manual_seed(0)
    config = replace(model.discriminator.config, normalization=d)
    model.discriminator = Discriminator(config, scalings)
    found = faults(model)
    assert not any(
        name == "FIR gain" or "depth" in name and "per block" in text for name, text in found.items()
    )


def test_a_foreign_module_whose_clamp_is_a_method_is_probed():
    class Foreign(torch.nn.Linear):
        def clamp(self):
            return 1

    assert probe(Foreign(3, 4), torch.randn(2, 3)).rows[0].clamped is None
