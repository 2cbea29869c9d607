"""Exponents of untrained networks are those that theory predicts."""

import json
import math
import re

import numpy as np
import pytest
import torch

from stylegan2 import Discriminator, Scalings
from stylegan2.ablation.plan.variants import shipped_overlays
from stylegan2.coordinates.fit import slopes
from stylegan2.coordinates.measure import measure, measure_overlay, smooth
from stylegan2.coordinates.plan import AXES, DEFAULT, VARIANTS, Axis, Size, change, chosen
from stylegan2.coordinates.report import _grown
from stylegan2.errors import InputError
from stylegan2.tools.transfer import transfer

TOLERANCE = 0.1


def exponents(over, variants, sizes, seeds=2):
    """Slopes by (variant, quantity, whether it is relative to the default), over some of the sizes of an axis."""
    full = AXES[over]
    axis = Axis(
        about=full.about,
        x=tuple(full.x[i] for i in sizes),
        sizes=tuple(full.sizes[i] for i in sizes),
        is_power=full.is_power,
    )
    measured = {
        v: [[measure(size, v, seed) for size in axis.sizes] for seed in range(seeds)] for v in variants
    }
    return {(s.variant, s.quantity, s.relative): s.mean for s in slopes(axis, over, measured)}


def test_steps_of_adam_grow_with_width_as_the_weight_scaling_says():
    """√fan_in with equalized learning rate, fan_in with Kaiming's initialization, and not with mup."""
    scalings = [v for v in VARIANTS if v.startswith("weight_scaling")]
    found = exponents("width", [DEFAULT, *scalings], sizes=(0, 2, 3), seeds=3)
    changed = change(1)
    assert found[DEFAULT, changed, False] == pytest.approx(0.5, abs=TOLERANCE)
    assert found["weight_scaling=kaiming", changed, False] == pytest.approx(1.0, abs=TOLERANCE)
    assert found["weight_scaling=mup", changed, False] == pytest.approx(0.0, abs=TOLERANCE)
    for variant in (DEFAULT, "weight_scaling=kaiming", "weight_scaling=mup"):
        assert found[variant, "D features", False] == pytest.approx(0, abs=TOLERANCE)
    assert found["weight_scaling=none", "D features", False] == pytest.approx(1.5, abs=TOLERANCE)


def test_without_the_residual_gain_signal_and_r1_grow_with_every_block():
    found = exponents("depth", [DEFAULT, "residual_gain=1"], sizes=(0, 1, 2))
    assert found["residual_gain=1", "D features", True] == pytest.approx(0.5, abs=1e-3)
    assert found["residual_gain=1", "R1", True] == pytest.approx(1.0, abs=TOLERANCE)


def test_the_path_length_without_its_division_grows_with_the_root_of_the_pixels():
    variant = "path_length.normalize_by_image_size=false"
    found = exponents("resolution", [DEFAULT, variant], sizes=(0, 1, 2), seeds=1)
    assert found[variant, "path length", True] == pytest.approx(0.5, abs=1e-4)


def test_latents_of_unit_length_shrink_with_the_root_of_their_number():
    found = exponents("latent_dim", [DEFAULT, "latent_normalization=l2"], sizes=(0, 2, 4))
    for quantity in ("mapping input", "w"):
        assert found["latent_normalization=l2", quantity, True] == pytest.approx(-0.5, abs=1e-3)
    assert found[DEFAULT, "w", False] == pytest.approx(0, abs=TOLERANCE)


def test_mup_is_the_same_function_at_the_start_and_equal_to_equalized_up_to_64_inputs():
    for fan_in in (3, 64, 512, 4608):
        std, gain = Scalings(weight_scaling="mup").weight(fan_in)
        assert std * gain == pytest.approx(1 / math.sqrt(fan_in))
        # Adam moves a stored weight by lr, whatever its size, so the weight in use moves by lr·gain.
        assert gain == pytest.approx(1 / math.sqrt(fan_in) * min(1, math.sqrt(64 / fan_in)))
    x = torch.randn(4, 3, 16, 16)
    outputs = []
    for kind in ("equalized", "mup"):
        torch.manual_seed(0)
        outputs.append(Discriminator(16, Scalings(weight_scaling=kind), channel_base=512)(x))
    assert torch.allclose(*outputs, rtol=1e-3, atol=1e-5)


def test_a_slope_is_the_exponent_of_a_power_with_the_t_interval_over_seeds():
    axis = Axis(about="", x=(1, 2, 4), sizes=(Size(),) * 3)
    rows = [[{"q": x**power} for x in axis.x] for power in (0.4, 0.6)]
    (found,) = slopes(axis, "batch", {DEFAULT: rows})
    assert found.mean == pytest.approx(0.5) and found.predicted is None
    assert found.half_width == pytest.approx(12.706 * np.std([0.4, 0.6], ddof=1) / math.sqrt(2), rel=1e-3)


def test_smooth_images_have_unit_rms():
    assert smooth(3, 32).square().mean(dim=(1, 2, 3)) == pytest.approx(torch.ones(3), rel=1e-5)


def test_variants_are_found_by_the_name_of_the_scaling():
    assert chosen("residual_gain,normalize_by_image_size") == [
        DEFAULT,
        "residual_gain=1",
        "residual_gain=inverse_depth",
        "residual_gain=fixup",
        "residual_gain=skip_init",
        "path_length.normalize_by_image_size=false",
        "path_length.normalize_by_image_size=unit_length",
    ]
    with pytest.raises(InputError, match="residul_gain"):
        chosen("residul_gain")


def test_normalizations_are_variants_too():
    overlays = shipped_overlays("normalizations")
    assert chosen("spectral,batch", overlays) == [DEFAULT, "spectral", "batch"]
    assert chosen("normalizations", overlays) == [DEFAULT, *overlays]
    with pytest.raises(InputError, match="normalizations or one of them.*spectral"):
        chosen("spectrall", overlays)
    with pytest.raises(InputError):  # not where no overlays are known, as in a study of an optimum
        chosen("batch")
    size = Size(width=8, resolution=8, batch=4, latent_dim=8)
    default = measure(size, DEFAULT, 0)
    assert measure_overlay(size, {}, 0) == default
    for name in ("batch", "spectral", "online", "magnitude_preserving"):
        found = measure_overlay(size, overlays[name]["model"], 0)
        assert found.keys() == default.keys() and found != default


def test_a_normalization_should_keep_what_the_default_keeps():
    axis = Axis(about="", x=(1, 2), sizes=(Size(), Size()))
    rows = [[{"D features": 1.0}, {"D features": 2.0}]]
    found = {s.variant: s for s in slopes(axis, "batch", {DEFAULT: rows, "batch": rows})}
    assert found["batch"].predicted == 0 and found["batch"].verdict == "differs"


def test_the_command_writes_a_report_with_every_plot(tmp_path, monkeypatch, capsys):
    small = tuple(Size(width=8, resolution=r) for r in (8, 16))
    monkeypatch.setitem(AXES, "depth", Axis(about="blocks", x=(1, 2), sizes=small, is_power=False))
    transfer("depth", str(tmp_path), seeds=2, variants="residual_gain")
    assert "residual_gain=1" in capsys.readouterr().out
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    numbers = json.loads((tmp_path / "transfer.json").read_text(encoding="utf-8"))
    assert "| residual_gain=1 | D features, over the default's | 0.5 | 0.50 ± 0.00 | as predicted |" in page
    assert page.count("![") == len(list((tmp_path / "figures").iterdir()))
    assert len(numbers["measured"]["default"]) == 2
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count("<svg") == page.count("![") and "as predicted" in html
    assert "residual_gain=1, over the default: 0.50, predicted 0.5" in html
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", html) and "<script" not in html


def test_a_predicted_line_is_a_power_of_the_size_or_of_two():
    power, blocks = (Axis(about="", x=(2, 8), sizes=(), is_power=p) for p in (True, False))
    assert _grown(power, 0.5) == pytest.approx([1, 2]) and _grown(blocks, 0.5) == pytest.approx([1, 8])
