"""`stylegan2 transfer --optimum`: the task of the discriminator, the folder of a study, and what is refused."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan2.__main__ import run
from stylegan2.ablation.run.many import Job, processes, run_all
from stylegan2.ablation.run.one import run_one
from stylegan2.coordinates.plan import DEFAULT
from stylegan2.errors import InputError
from stylegan2.optimum import curve, gan
from stylegan2.optimum.discriminator import R1_AT_THE_START, auc, blend, pictures, train
from stylegan2.optimum.plan import BASE, Plan, parse_sizes, parse_sweep
from stylegan2.optimum.study import Sweeps
from stylegan2.tools.transfer import transfer

SHAPES = 121
VALUES = (0.001, 0.004, 0.016, 0.064)


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """Rectangles of one color on white: a blend of two has three colors or more."""
    folder, rng = tmp_path_factory.mktemp("drawings"), np.random.default_rng(0)
    for i in range(SHAPES):
        pixels = np.full((8, 8, 3), 255, np.uint8)
        y, x = rng.integers(0, 4, 2)
        pixels[y : y + 5, x : x + 5] = rng.choice([0, 255], 3) * (rng.random() < 0.9)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return str(folder)


def small(drawings, out="unused", **options):
    return Plan(
        **{"out": out, "numbers": (8, 16), "values": VALUES, "seeds": 2, "kimg": 0.16, "data": drawings}
        | options
    )


# ---- the task


def test_auc_is_the_share_of_pairs_in_order_and_ties_count_half():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 40).astype(float), rng.integers(0, 4, 30).astype(float)
    pairs = [(x > y) + 0.5 * (x == y) for x in a for y in b]
    assert auc(a, b) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert auc(np.zeros(3), np.zeros(5)) == 0.5


def test_a_blend_lies_between_its_two_images():
    a, b = torch.zeros(50, 3, 4, 4), torch.ones(50, 3, 4, 4)
    shares = blend(a, b, torch.Generator().manual_seed(0))
    assert torch.equal(shares, shares[:, :1, :1, :1].expand_as(shares))
    assert 0.25 <= shares.min() < 0.3 and 0.7 < shares.max() <= 0.75


def test_held_out_images_are_no_training_images_and_the_same_every_time(drawings):
    one = pictures(drawings, 8, None)
    pictures.cache_clear()
    two = pictures(drawings, 8, None)
    assert len(one.held_out) == 24 and len(one.training) == SHAPES - len(one.held_out)
    assert torch.equal(one.held_out, two.held_out) and torch.equal(one.blends, two.blends)


def test_with_depth_as_the_axis_all_networks_see_the_same_pictures(drawings):
    plan = small(drawings, over="depth", numbers=(1, 3))
    assert [plan.size(n).resolution for n in plan.numbers] == [8, 32] and plan.detail == 8
    coarse, fine = pictures(drawings, 8, 8).training, pictures(drawings, 32, 8).training
    assert fine.shape[-1] == 32
    assert torch.allclose(torch.nn.functional.interpolate(coarse, 32, mode="bilinear"), fine)


def test_the_discriminator_learns_the_task(drawings):
    plan = small(drawings, kimg=1.6)
    point = train(plan, 8, DEFAULT, seed=0, value=0.016)
    assert point.status == "finished" and point.score < 0.2
    assert point.score == pytest.approx(1 - point.measured["AUC"])
    assert point.measured["held-out loss"] < 0.8 * 2 * math.log(2)  # the loss of a guess is 2 ln 2


def test_divergence_is_a_result(drawings):
    point = train(small(drawings), 8, "weight_scaling=none", seed=0, value=1e30)
    assert point.status == "diverged" and point.score == math.inf and "iteration" in point.why


def test_gamma_is_the_weight_of_r1_and_r1_at_the_start_does_not_depend_on_it(drawings):
    plan = small(drawings, name="r1.gamma")
    weak, strong = (train(plan, 8, DEFAULT, 0, gamma) for gamma in (0.01, 1e5))
    assert weak.measured[R1_AT_THE_START] == strong.measured[R1_AT_THE_START] > 0
    assert strong.score > weak.score and strong.measured["held-out loss"] == pytest.approx(
        2 * math.log(2), rel=0.1
    )


# ---- the folder of a study


def command(drawings, out, **options):
    sweep = f"learning_rate={VALUES[0]}..{VALUES[-1]}x4"
    arguments = {
        "optimum": sweep,
        "sizes": "8,16",
        "seeds": 2,
        "kimg": 0.16,
        "data": drawings,
        "out": str(out),
    }
    return transfer("resolution", **arguments | {"variants": "weight_scaling=kaiming"} | options)


@pytest.fixture(scope="module", autouse=True)
def without_processes():
    """The curves run in this process, which takes less time."""

    def engine(study, parallel, module):
        return lambda run, slot: Job(ended=lambda: str(curve.run_curve(str(study.out), run.name)), stop=int)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stylegan2.optimum.run.processes", engine)
        yield


@pytest.fixture(scope="module")
def study(drawings, tmp_path_factory):
    out = tmp_path_factory.mktemp("studies") / "a study"
    assert command(drawings, out) == 0
    return out


def test_a_study_leaves_every_point_a_page_and_the_numbers(study):
    plan = Sweeps(small("", study, variants=(DEFAULT, "weight_scaling=kaiming")))
    assert all(list(plan.points(each)) == list(VALUES) for each in plan.runs) and len(plan.runs) == 8
    page = (study / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2 and "weight_scaling=kaiming: with weight_scaling as by default" in page
    numbers = json.loads((study / "optimum.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert np.shape(numbers["scores"]["default at 16"]) == (2, 4)
    growth = {s["variant"]: s["mean"] for s in numbers["growth"][R1_AT_THE_START]}
    assert growth[DEFAULT] == pytest.approx(growth["weight_scaling=kaiming"], abs=1e-3)  # the same function
    text = (study / "report.md").read_text(encoding="utf-8")
    assert text.count("![") == len(list((study / "figures").iterdir())) == 2


def test_the_same_command_runs_nothing_twice_and_more_seeds_run_only_those(study, drawings, capsys):
    before = {path: path.stat().st_mtime_ns for path in (study / "points").iterdir()}
    assert command(drawings, study) == 0
    assert "0 to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    sweeps = Sweeps(small(drawings, study, seeds=3))
    assert [each.seed for each in sweeps.runs if not sweeps.is_done(each)] == [2, 2]


def test_a_curve_that_was_interrupted_goes_on_with_the_values_that_are_left(drawings, tmp_path):
    sweeps = Sweeps(small(drawings, tmp_path))
    sweeps.save()
    first = sweeps.runs[0]
    point = train(sweeps.plan, 8, DEFAULT, 0, VALUES[1])
    sweeps.save_point(first, dataclasses.replace(point, score=0.123))
    assert sweeps.waiting(first) == [VALUES[0], VALUES[2], VALUES[3]]
    assert curve.run_curve(str(tmp_path), first.name) == 0
    points = sweeps.points(first)
    assert sorted(points) == list(VALUES) and points[VALUES[1]].score == 0.123
    # The order of the values does not matter, so that a resumed curve is the one that was not interrupted.
    assert points[VALUES[2]].score == train(sweeps.plan, 8, DEFAULT, 0, VALUES[2]).score


def test_a_curve_is_measured_by_a_process_of_its_own(drawings, tmp_path):
    sweeps = Sweeps(small(drawings, tmp_path, kimg=0.016))
    sweeps.save()
    first = sweeps.runs[0]
    start = processes(sweeps, 1, module=curve.__name__)
    assert run_all(sweeps, start, 1, progress=False, poll_seconds=0.1, runs=[first]) is None
    assert sweeps.is_done(first) and sweeps.log(first).read_text(encoding="utf-8").count("finished") == 4


def test_an_infinite_score_is_stored_as_null(drawings, tmp_path):
    sweeps = Sweeps(small(drawings, tmp_path))
    point = train(sweeps.plan, 8, "weight_scaling=none", 0, 1e30)
    sweeps.save_point(sweeps.runs[0], point)
    (file,) = (tmp_path / "points").iterdir()
    json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert sweeps.points(sweeps.runs[0])[1e30] == point


def test_a_failure_is_told_and_tried_again(drawings, tmp_path):
    sweeps = Sweeps(small("nowhere", tmp_path))
    sweeps.save()
    first = sweeps.runs[0]
    assert curve.run_curve(str(tmp_path), first.name) == 0
    assert sweeps.result(first).status == "failed" and "nowhere" in sweeps.result(first).why
    assert not sweeps.is_done(first)


def test_a_folder_keeps_to_one_kind_of_study(study, drawings):
    with pytest.raises(InputError, match="kimg: 0.16 in the folder, 0.32 requested"):
        command(drawings, study, kimg=0.32)


# ---- the designs of ablate


def test_the_design_range_says_what_trains_at_one_size(drawings, tmp_path, capsys):
    args = f"--design range --over learning_rate=0.002..0.05x4 --fields weight_scaling=kaiming --data {drawings} "
    args += f"--sizes 8 --seeds 2 --kimg 0.16 --out {tmp_path}"
    assert run("ablate", args.split(), "stylegan2 ablate") == 0
    said = capsys.readouterr().out
    assert "the range of learning_rate that trains at 8² extends over" in said
    assert "the best value is" in said or "no optimum lies inside" in said
    assert "sizes do not separate" not in said
    assert "best learning_rate at 8²?" in (tmp_path / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "args, found",
    [
        ("--design range --over learning_rate --sizes 16,32", "one size"),
        ("--design transfer --over learning_rate --sizes 16", "two sizes"),
        ("--design range --over lr", "--over of learning_rate"),
        ("--design range --over learning_rate --fields noise", "noise"),
    ],
)
def test_a_design_that_cannot_be_is_refused(args, found, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("ablate", args.split(), "stylegan2 ablate") == 2
    assert found in capsys.readouterr().err and not list(tmp_path.iterdir())


# ---- with a generator


def test_the_trainings_of_gans_are_valid_configurations_of_the_right_size(drawings, tmp_path):
    variants = (DEFAULT, "path_length.normalize_by_image_size=false", "style_normalization=none")
    plan = small(
        drawings,
        tmp_path,
        task="gan",
        name="path_length.weight",
        numbers=(16, 32),
        variants=variants,
        seeds=3,
    )
    study = gan.study_of(plan)
    study.save(gan.base(plan))
    study.check()
    assert len(study.runs) == 3 * 2 * 4 * 3
    overlay = study.variants[-1].overlay
    assert overlay["data"] == {"resolution": 32} and overlay["model"]["path_length"] == {
        "weight": plan.values[-1]
    }
    assert overlay["model"]["discriminator"] == {"channel_base": 32 * BASE.width, "channel_max": BASE.width}


@pytest.mark.slow
def test_a_gan_is_trained_and_its_distance_is_the_score(drawings, tmp_path, monkeypatch):
    monkeypatch.setattr(gan, "IMAGES", 64)
    plan = small(drawings, tmp_path, task="gan", values=(0.002, 1e30), kimg=0.064)
    study = gan.study_of(plan)
    study.save(gan.base(plan))
    for value in plan.values:
        assert run_one(str(tmp_path), f"{plan.runs[0].variant}-{value:g}-seed0") == 0
    points = gan.points(plan, study, plan.runs[0])
    assert points[0.002].score > 0 and points[0.002].status == "finished"
    assert points[1e30].status == "diverged" and points[1e30].score == math.inf


# ---- what is refused


def test_a_sweep_is_geometric():
    name, values = parse_sweep("learning_rate=0.0002..0.05x6")
    assert name == "learning_rate" and len(values) == 6 and (values[0], values[-1]) == (0.0002, 0.05)
    assert np.diff(np.log(values)) == pytest.approx(np.log(250) / 5, rel=1e-3)
    assert parse_sweep("model.r1.gamma")[0] == "r1.gamma"


@pytest.mark.parametrize(
    "options, found",
    [
        ({"optimum": "lr=1..2x5"}, "'lr'"),
        ({"optimum": "learning_rate=0.1..0.01x6"}, "ascending"),
        ({"optimum": "learning_rate=0.001..0.1x3"}, "4 or more values"),
        ({"optimum": "learning_rate=0.001-0.1"}, "0.001-0.1"),
        ({"optimum": "learning_rate=nan..1x5"}, "nan"),
        ({"sizes": ""}, "one or more"),
        ({"sizes": "16,48"}, "powers of two"),
        ({"sizes": "4,16"}, "from 8"),
        ({"sizes": "a,b"}, "'a,b'"),
        ({"seeds": 1}, "seeds of 2"),
        ({"kimg": 0}, "kimg above 0"),
        ({"kimg": 0.001}, "a batch or more"),
        ({"parallel": 0}, "parallel of 1"),
        ({"variants": "noise"}, "noise"),
        ({"variants": "style_normalization"}, "act in a discriminator"),
        ({"optimum": "path_length.weight"}, "--task gan"),
        ({"data": "nowhere"}, "nowhere"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(options, found, drawings, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match=found):
        command(drawings, out, **options)
    assert not out.exists()


def test_too_few_images_are_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    with pytest.raises(InputError, match="40"):
        command(str(tmp_path), tmp_path / "out")


def test_depth_needs_the_discriminator():
    with pytest.raises(InputError, match="resolution grow"):
        Plan(task="gan", over="depth", numbers=(1, 3))
    assert parse_sizes("3,1", "depth") == (1, 3)


def test_a_study_of_hours_needs_a_confirmation(drawings, tmp_path):
    with pytest.raises(InputError, match="--yes"):
        command(drawings, tmp_path / "out", kimg=2000, seeds=50)
    assert not (tmp_path / "out").exists()


def test_the_command_ends_with_status_2_and_no_traceback(capsys):
    args = ["--over", "resolution", "--optimum", "learning_rate=1..2"]
    assert run("transfer", args, "stylegan2 transfer") == 2
    assert "Write it as learning_rate=" in capsys.readouterr().err
