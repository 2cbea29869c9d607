"""The page about runs: complete, self-contained, escaped, and kept up to date by training."""

import math
import re

import numpy as np
import pytest
from PIL import Image
from training_cases import tiny_config

from stylegan2.__main__ import run
from stylegan2.reporting import charts, page, read_run
from stylegan2.training.report import PAUSE, SHARE, Report

KIMG = [1.0, 2.0, 3.0]


def make_run(folder, kimg=KIMG, total=6, gamma=1.0, grids=(0.0, 2.0), owner="process 7 on computer"):
    (folder / "samples").mkdir(parents=True)
    (folder / "config.yaml").write_text(
        f"kimg: {total}\nmodel: {{r1: {{gamma: {gamma}}}}}\n", encoding="utf-8"
    )
    rows = [f"{k:g},{0.5 / k:g},1.5,{'' if k < 2 else 7.5},0.01" for k in kimg]
    head = "kimg,loss_g,r1,metric_fid,kimg_per_second"
    (folder / "metrics.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    for at in grids:
        pixels = np.full((8, 8, 3), 20 * at, np.uint8)
        Image.fromarray(pixels).save(folder / "samples" / f"kimg{at:09.3f}.png")
    (folder / ".lock").write_text(owner, encoding="utf-8")
    return folder


def test_a_record_tells_how_far_a_run_is(tmp_path):
    record = read_run(make_run(tmp_path / "a"))
    assert (record.name, record.kimg, record.total) == ("a", 3.0, 6.0)
    assert math.isclose(record.hours_left, 3 / 0.01 / 3600)
    assert math.isnan(record.columns["metric_fid"][0]) and record.last("metric_fid", 0) == 7.5
    assert list(record.grids) == [0.0, 2.0]
    assert record.config["model.r1.gamma"] == 1.0
    assert read_run(make_run(tmp_path / "b", kimg=[6.0])).hours_left == 0


def test_the_page_loads_nothing_and_shows_every_grid_and_curve(tmp_path):
    record = read_run(make_run(tmp_path / "a"))
    text = page.page([record], now=record.written + 60)
    assert len(re.findall(r'<img src="data:image/webp;base64,[^"]+" data-kimg', text)) == 2
    assert "running, last number 1 min ago" in text and "3 of 6 kimg" in text and "8 min" not in text
    assert list(charts.charts([record])) == ["fid", "Losses", "Penalties", "Speed"]
    assert "default-src 'none'" in text
    links = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)([^"']*)""", text)
    assert links == []


def test_a_run_without_new_numbers_is_not_called_running(tmp_path):
    record = read_run(make_run(tmp_path / "a"))
    assert "not running, last number 2 h 0 min ago" in page.page([record], now=record.written + 7200)


def test_names_are_escaped(tmp_path):
    record = read_run(make_run(tmp_path / "<b>&", owner="<script>alert(1)</script>"))
    text = page.page([record], now=record.written)
    assert "<b>&<" not in text and "&lt;b&gt;&amp;" in text and "<script>alert" not in text


def test_runs_side_by_side_show_the_options_in_which_they_differ(tmp_path):
    records = [read_run(make_run(tmp_path / name, gamma=gamma)) for name, gamma in (("a", 1), ("b", 2))]
    text = page.page(records, now=0)
    different = text[text.index("Options that differ") : text.index("All options")]
    assert "model.r1.gamma" in different and "kimg" not in different
    assert text.count('class="run"') == 2


def test_many_grids_are_thinned_and_keep_both_ends(tmp_path):
    record = read_run(make_run(tmp_path / "a", grids=[i / 8 for i in range(100)]))
    chosen = page._thinned(record)
    assert len(chosen) == page.GRIDS and chosen[0] == 0 and chosen[-1] == 99 / 8


def test_report_refuses_what_is_no_run(tmp_path, capsys):
    assert run("report", [str(tmp_path)], "stylegan2 report") == 2
    assert "Expected the folder of a run" in capsys.readouterr().err
    assert run("report", [], "stylegan2 report") == 2
    make_run(tmp_path / "a")
    out = str(tmp_path / "missing" / "x.html")
    assert run("report", [str(tmp_path / "a"), "--out", out], "stylegan2 report") == 2
    assert "existing folder" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_training_leaves_a_page_and_the_command_makes_one_of_two_runs(tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(tiny_config({}), encoding="utf-8")
    args = ["--config", str(tmp_path / "tiny.yaml"), "--runs", str(tmp_path), "--name", "run"]
    assert run("train", args, "train.py") == 0
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "finished" in text and "data-kimg" in text
    other = make_run(tmp_path / "other")
    out = tmp_path / "both.html"
    assert run("report", [str(tmp_path / "run"), str(other), "--out", str(out)], "stylegan2 report") == 0
    assert out.read_text(encoding="utf-8").count('class="run"') == 2
    assert str(out) in capsys.readouterr().out


class Trainer:
    is_global_zero = True


def test_pages_take_a_fiftieth_of_the_time_of_a_run(tmp_path, monkeypatch):
    now, written = [0.0], []

    def write_report(path, runs):
        now[0] += 10
        written.append(now[0])

    monkeypatch.setattr("stylegan2.reporting.write_report", write_report)
    callback = Report(make_run(tmp_path / "a"), clock=lambda: now[0])
    callback.on_train_start(Trainer(), None)
    for _ in range(2000):
        now[0] += 1
        callback.on_train_batch_end(Trainer(), None)
    assert written[0] == PAUSE + 10
    assert np.diff(written).min() >= 10 / SHARE
