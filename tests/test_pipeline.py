"""ADA's pipeline against official numbers, and its properties: derivatives, gray and odd shapes, no leaks."""

import json
import math

import numpy as np
import pytest
import torch
from conftest import GOLDEN, load_golden
from torch.autograd import gradcheck, gradgradcheck

from stylegan2.augment import pipeline
from stylegan2.augment.options import GROUPS, ADAOptions, Multipliers
from stylegan2.augment.pipeline.wavelets import SYM2, SYM6, filter_bank

FILES = [f"augment_{name}" for name in ("blit", "geom", "color", "filter", "corrupt", "pipeline")]
TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-4}  # the references are rounded to float32


def cases():
    for file in FILES:
        for case in json.loads((GOLDEN / f"{file}.json").read_text(encoding="utf-8"))["cases"]:
            if case not in ("shared", "constants"):
                yield from (pytest.param(file, case, d, id=f"{file}/{case}-{str(d)[6:]}") for d in TOLERANCE)


class Given(pipeline.Draws):
    """The draws of a golden case, which must be asked for in its order."""

    def __init__(self, golden):
        self.left = {k: golden[k] for k in sorted(golden.arrays) if k.startswith("draw_")}

    def next(self, name, shape):
        key = next(iter(self.left))
        assert key[8:] == name
        return self.left.pop(key).reshape(shape)

    uniform = normal = next


def options_for(transforms):
    names = [name for group in GROUPS.values() for name in group]
    return ADAOptions(
        groups=list(GROUPS), multipliers=Multipliers(**{n: float(n in transforms) for n in names})
    )


def forced(golden, n):
    """The parameters of a case in which every sample has the same ones."""
    values, found = golden.args["values"], {}
    for name, value in values.items():
        if name in ("xint", "xfrac"):
            found[name] = torch.full((n, 2), value, dtype=golden.dtype)
        elif name == "imgfilter":
            found[name] = torch.full((n, 4), value, dtype=golden.dtype)
        elif name == "cutout":
            found["cutout_center"] = torch.full((n, 2), value, dtype=golden.dtype)
            found[name] = torch.full((n,), 0.5, dtype=golden.dtype)
        else:
            found[name] = torch.full((n,), value, dtype=golden.dtype)
    if "noise" in found:
        found["noise_field"] = golden["noise_field"]
    return found


@pytest.mark.parametrize("file,case,dtype", cases())
def test_the_pipeline_equals_the_official_numbers(file, case, dtype):
    golden = load_golden(file, case, dtype)
    if "images" not in golden:
        with np.load(GOLDEN / f"{file}.npz") as data:
            for key in ("images", "cot"):
                golden.arrays[key] = torch.from_numpy(data[f"shared/{key}"]).to(dtype)
    images = golden.leaf("images")
    if "strength" in golden.args:
        given = Given(golden)
        parameters = pipeline.draw(
            options_for(golden.args["transforms"]), golden.args["strength"], images, given
        )
        assert not given.left
    else:
        parameters = forced(golden, len(images))
    out = pipeline.apply(images, parameters)
    for name, ours in (("out", out), ("grad", torch.autograd.grad(out, images, golden["cot"])[0])):
        error = (ours.detach() - golden[name]).abs().max() / golden[name].abs().max()
        assert error <= TOLERANCE[dtype], f"{name}: {error:.1e}"


def test_the_resampling_filter_is_an_orthogonal_wavelet_with_six_vanishing_moments():
    h = np.array(SYM6)
    assert h.sum() == pytest.approx(math.sqrt(2), abs=1e-10)
    for n in range(6):
        assert h[2 * n :] @ h[: 12 - 2 * n] == pytest.approx(float(n == 0), abs=1e-10)
        assert ((-1.0) ** np.arange(12) * (np.arange(12) / 11) ** n) @ h == pytest.approx(0, abs=1e-10)
    with np.load(GOLDEN / "augment_blit.npz") as data:
        np.testing.assert_allclose(h / h.sum(), data["constants/wavelet"], rtol=0, atol=1e-12)


def test_the_filter_bank_splits_the_frequencies_and_is_the_official_one():
    bank = filter_bank()
    delta = np.zeros(bank.shape[1])
    delta[len(delta) // 2] = 1
    np.testing.assert_allclose(bank.sum(axis=0), delta, rtol=0, atol=1e-12)
    with np.load(GOLDEN / "augment_filter.npz") as data:
        np.testing.assert_allclose(bank, data["constants/filter_bank"], rtol=0, atol=1e-12)
    assert sum(SYM2) == pytest.approx(math.sqrt(2))


def parameters_of(group, images):
    """Parameters of a group at p = 1: every transform acts."""
    return pipeline.draw(ADAOptions(groups=[group]), 1.0, images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("group", GROUPS)
def test_each_group_is_differentiable_twice(group, channels):
    images = torch.randn(1, channels, 6, 4, dtype=torch.float64, requires_grad=True)
    parameters = parameters_of(group, images)
    assert gradcheck(lambda x: pipeline.apply(x, parameters), images)
    assert gradgradcheck(lambda x: pipeline.apply(x, parameters) ** 2, images)


def test_sampling_is_grid_sample_and_is_differentiable_twice():
    images = torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    grid = torch.rand(2, 3, 6, 2, dtype=torch.float64) * 2.4 - 1.2
    ours = pipeline.geometry.sample(images, grid)
    theirs = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    v = torch.randn_like(ours)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        torch.autograd.grad(ours, images, v)[0], torch.autograd.grad(theirs, images, v)[0]
    )
    assert gradgradcheck(lambda x: pipeline.geometry.sample(x, grid), images)


def test_geometry_moves_a_smooth_image_of_any_shape_as_its_formula_says():
    h, w = 40, 64

    def image(x, y):
        return torch.sin(0.17 * x + 0.4) + torch.cos(0.11 * x - 0.21 * y)

    y, x = torch.meshgrid(
        torch.arange(h, dtype=torch.float64) - (h - 1) / 2,
        torch.arange(w, dtype=torch.float64) - (w - 1) / 2,
        indexing="ij",
    )
    values = {"rotate": 0.4, "scale": 1.2, "aniso": 1.1, "xflip": 1.0}
    parameters = {name: torch.tensor([v], dtype=torch.float64) for name, v in values.items()}
    parameters |= {
        "xint": torch.tensor([[0.05, -0.1]]).double(),
        "xfrac": torch.tensor([[0.01, 0.02]]).double(),
    }
    out = pipeline.apply(image(x, y)[None, None], parameters)[0, 0]
    # from the right of the product to its left
    u, v = x - 0.01 * w, y - 0.02 * h
    u, v = u / 1.1, v * 1.1
    u, v = math.cos(0.4) * u - math.sin(0.4) * v, math.sin(0.4) * u + math.cos(0.4) * v
    u, v = u / 1.2, v / 1.2
    u, v = -(u - round(0.05 * w)), v - round(-0.1 * h)
    inside = (u.abs() < w / 2 - 7) & (v.abs() < h / 2 - 7)
    assert inside.sum() > 300
    error = (out - image(u, v))[inside].abs()  # of an amplitude of 2
    assert error.max() < 0.03 and error.mean() < 0.01


def test_the_identity_and_whole_pixels_are_exact():
    images = torch.randn(1, 3, 12, 16, dtype=torch.float64)
    nothing = {"scale": torch.ones(1).double(), "xint": torch.zeros(1, 2).double()}
    assert pipeline.apply(images, nothing) is images
    moved = pipeline.apply(images, {"xint": torch.tensor([[1 / 8, 1 / 6]]).double()})
    torch.testing.assert_close(moved[:, :, 2:, 2:], images[:, :, :-2, :-2], rtol=0, atol=1e-10)
    torch.testing.assert_close(moved[:, :, :2, 2:], images[:, :, 1:3, :-2].flip(2), rtol=0, atol=1e-10)


def test_channels_after_rgb_and_after_gray_keep_their_values():
    images = torch.rand(3, 4, 8, 8, dtype=torch.float64)
    parameters = parameters_of("color", images)
    out = pipeline.apply(images, parameters)
    torch.testing.assert_close(out[:, :3], pipeline.apply(images[:, :3], parameters))
    assert torch.equal(out[:, 3], images[:, 3])
    gray = images[:, :2]
    parameters = parameters_of("color", gray)
    assert "hue" not in parameters and "saturation" not in parameters
    torch.testing.assert_close(
        pipeline.apply(gray, parameters)[:, :1], pipeline.apply(gray[:, :1], parameters)
    )
    assert torch.equal(pipeline.apply(gray, parameters)[:, 1], gray[:, 1])


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (2, 4, 8, 20), (1, 3, 33, 16)])
def test_everything_runs_on_small_and_on_oblong_images(shape):
    images = torch.rand(shape)
    out = pipeline.apply(images, pipeline.draw(ADAOptions(groups=list(GROUPS)), 1.0, images))
    assert out.shape == images.shape and out.isfinite().all() and not torch.equal(out, images)


def test_each_transform_acts_with_its_probability():
    images, p = torch.zeros(20_000, 3, 4, 4), 0.3
    options = ADAOptions(groups=list(GROUPS), multipliers=Multipliers(scale=0.5, noise=0, contrast=9))
    found = pipeline.draw(options, torch.tensor(p), images)
    assert "noise" not in found
    share = {
        name: float((v.flatten(1)[:, 0] if v.ndim > 1 else v).ne(neutral(name)).float().mean())
        for name, v in found.items()
    }
    once = 1 - math.sqrt(1 - p)  # of two rotations
    expected = dict.fromkeys(share, p) | {"scale": p / 2, "rotate": once, "rotate2": once, "contrast": 1}
    expected |= {"xflip": p / 2, "lumaflip": p / 2, "rotate90": 0.75 * p, "cutout_center": 1}
    assert share == pytest.approx(expected, abs=0.02)
    both = (found["rotate"].ne(0) | found["rotate2"].ne(0)).float().mean()
    assert float(both) == pytest.approx(p, abs=0.02)


def neutral(name):
    return 1 if name in ("scale", "aniso", "contrast", "saturation", "imgfilter") else 0


def test_p_of_0_changes_nothing_and_p_above_1_acts_always():
    images = torch.rand(4, 3, 8, 8)
    options = ADAOptions(groups=list(GROUPS))
    torch.testing.assert_close(pipeline.apply(images, pipeline.draw(options, 0.0, images)), images)
    found = pipeline.draw(options, 1.5, images)
    assert all(v.isfinite().all() for v in found.values()) and found["rotate"].ne(0).all()
