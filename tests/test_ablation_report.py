"""The report: what it says, and that the page needs nothing from elsewhere."""

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from stylegan2.ablation.plan.study import Result, Signal, Study
from stylegan2.ablation.plan.variants import ablations, sweep
from stylegan2.ablation.report.cells import limits
from stylegan2.ablation.report.figures import _plain_numbers
from stylegan2.ablation.report.page import headline, write_report
from stylegan2.ablation.statistics.summary import summarize
from stylegan2.ablation.statistics.verdicts import Comparison
from stylegan2.cli import train_parser
from stylegan2.metrics import metrics


def test_the_page_needs_nothing_from_elsewhere(study):
    page = (study.out / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", page)
    assert not re.search(r"url\((?!#)", page) and "@import" not in page and "<script" not in page
    assert page.count("<svg") >= 2


def test_the_page_steps_through_the_sample_grids_of_training(study):
    page = (study.out / "report.html").read_text(encoding="utf-8")
    buttons = re.findall(r'<label for="(time\d+)">([\d.]+) kimg</label>', page)
    assert len(buttons) >= 2 and buttons[0][1] == "0"
    cards = page.split('<div class="card">')[1:]
    assert len(cards) == 4  # training images, default, noise, and the variant that diverged
    for card in cards:  # exactly one image is shown at each time
        shown = re.findall(r"time\d+", " ".join(re.findall(r'<img class="([^"]*)"', card)))
        assert sorted(shown) == sorted(name for name, _ in buttons)


def test_markup_in_names_is_escaped(tiny, tmp_path):
    overlay = tmp_path / "<b>x&y.yaml"
    overlay.write_text("model: {learning_rate: 0.001}\n", encoding="utf-8")
    made = Study(out=tmp_path / "<i>out", variants=ablations(str(overlay)), seeds=2, kimg=1, images=2)
    made.save(train_parser().dump(train_parser().parse_args(["--config", tiny[1]])))
    page = write_report(made).read_text(encoding="utf-8")
    assert "<b>x" not in page and "<i>out" not in page
    assert "&lt;i&gt;out" in page


@pytest.mark.parametrize("low,high", [(1.05, 1.4), (101, 104), (0.3, 700), (2, 90)])
def test_every_log_axis_has_several_ticks(low, high):
    axes = Figure().subplots()
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    _plain_numbers(axes.yaxis)
    assert sum(low <= tick <= high for tick in axes.get_yticks()) >= 2


def test_every_figure_of_the_markdown_is_there(study):
    names = re.findall(r"figures/(\w+)\.png", (study.out / "report.md").read_text(encoding="utf-8"))
    assert names == ["effects", "gallery", "training", "penalties", "depth"]
    assert all((study.out / "figures" / f"{name}.png").is_file() for name in names)


def test_the_report_names_the_verdicts_and_the_distance(study):
    text = (study.out / "report.md").read_text(encoding="utf-8")
    assert (
        "Undecided: explosive (could see no divergences: too few seeds)." in text
        and "diverged at 0 kimg" in text
    )
    assert "Quality distance: random_frechet. Fréchet distance on standardized features" in text
    assert "The primary measure, which decides, is the distance over training" in text


def test_both_reports_have_the_secondary_measures(study):
    page = (study.out / "report.html").read_text(encoding="utf-8")
    text = (study.out / "report.md").read_text(encoding="utf-8")
    for name in ("distance at the end", "diversity", "feature distance", "density", "coverage"):
        assert f'<th scope="col">{name}</th>' in page and f"| {name} |" in text
    assert "all 12 comparisons of this table share" in text  # 2 variants, 6 measures


def test_what_found_nothing_says_what_it_could_have_seen():
    nothing = {"ratio": 1.2, "low": 0.8, "high": 1.8, "detectable": 2.5}
    assert limits(Comparison(verdict="undecided", **nothing)) == "could see ×2.5"
    assert limits(Comparison(verdict="equivalent", **nothing)) == "could see ×2.5"
    assert limits(Comparison(verdict="needed", **nothing)) == ""
    assert "too few seeds" in limits(Comparison(verdict="undecided", divergences=float("inf")))
    both = Comparison(verdict="undecided", divergences=6, **nothing)
    assert limits(both) == "could see ×2.5, could see 6 diverged runs"
    assert limits(Comparison(verdict="equivalent", ratio=1, low=1, high=1)) == "equal bit for bit"
    assert limits(Comparison(verdict="not known")) == "too few runs have ended"


def ended_study(out, config, variants, distances):
    """A study whose runs have ended with given distances, but for noise of 2 %."""
    made = Study(out=out, variants=variants, seeds=3, kimg=1, images=2)
    made.save(train_parser().dump(train_parser().parse_args(["--config", config])))
    random = np.random.default_rng(0)
    for run in made.runs:
        gain = float(run.variant.split("=")[-1]) if "=" in run.variant else 0.7071
        signal = Signal(
            discriminator={"b8": gain, "b4.conv": 1, "b4.fc": 1, "b4.out": 1},
            generator={"b4.conv1": 1, "image": 1},
            logits_std=0.1,
        )
        curve = [(1.0, distances[run.variant] * random.normal(1, 0.02))]
        made.save_result(run, Result(status="finished", kimg=1, curve=curve, signal=signal))
    return made


@pytest.mark.parametrize(
    "distances,words",
    [
        ((300, 101, 100, 101.5, 300), ["= 0.7071, is the best", "from 0.6 to 0.85 differs detectably"]),
        ((300, 101, 100, 60, 300), ["best of the values tried is residual_gain = 0.85", "the test confirms"]),
        ((100, 101, 102, 300, 300), ["may be chance at this budget", "(the end of the values tried)"]),
        ((300, 200, 100, 200, 300), ["is the best", "Every neighboring value"]),
    ],
)
def test_a_sweep_says_whether_the_default_is_best_and_within_what_band(tiny, tmp_path, distances, words):
    names = ["residual_gain=0.5", "residual_gain=0.6", "default", "residual_gain=0.85", "residual_gain=1"]
    variants = sweep("residual_gain", "0.5,0.6,0.85,1")
    made = ended_study(tmp_path, tiny[1], variants, dict(zip(names, distances)))
    summary = summarize(made)
    assert summary.swept == "residual_gain"
    assert [value for value, _ in summary.by_value()] == pytest.approx([0.5, 0.6, 0.70711, 0.85, 1], rel=1e-4)
    text = headline(summary)
    assert all(word in text for word in words), text


def test_findings_of_secondary_measures_are_in_the_headline(tiny, tmp_path):
    variants = ablations("noise")
    made = ended_study(tmp_path, tiny[1], variants, {v.name: 100 for v in variants})
    made = replace(made, final_images=8)
    for run in made.runs:
        diversity = (0.1 if run.variant == "noise" else 0.5) * (1 + 0.01 * run.seed)
        others = {"diversity": [(1.0, diversity + 0.001 * len(run.variant) * run.seed)]}
        made.save_result(run, replace(made.result(run), others=others))
    text = headline(summarize(made))
    assert "Secondary measures differ, too: diversity (noise ×0.2" in text
    assert "<b>lower</b>" in write_report(made).read_text(encoding="utf-8")


def test_a_sweep_is_drawn_without_samples_or_numbers(tiny, tmp_path):
    variants = sweep("residual_gain", "0.5,1")
    made = ended_study(tmp_path, tiny[1], variants, {v.name: 100 for v in variants})
    write_report(made)
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert names == {"sweep", "training", "depth"}


def test_a_study_of_which_nothing_has_ended_has_a_report(tiny, tmp_path):
    made = Study(out=tmp_path, variants=ablations("noise"), seeds=2, kimg=1, images=2)
    made.save(train_parser().dump(train_parser().parse_args(["--config", tiny[1]])))
    assert write_report(made).is_file()
    assert "Not known: noise (too few runs have ended)." in (tmp_path / "report.md").read_text(
        encoding="utf-8"
    )


def test_a_metric_without_a_docstring_has_a_report(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(metrics._entries, "undocumented", lambda reals: lambda images: 1.0)
    made = Study(out=tmp_path, variants=ablations("noise"), seeds=2, kimg=1, images=2, metric="undocumented")
    made.save(train_parser().dump(train_parser().parse_args(["--config", tiny[1]])))
    assert "Quality distance: undocumented." in write_report(made).with_suffix(".md").read_text(
        encoding="utf-8"
    )
