"""The benchmark measures what it says: rates, ratios and convolutions that can be checked by hand."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
import torch

from stylegan2.__main__ import run
from stylegan2.benchmark import beside, networks, timing
from stylegan2.kernels import dispatch
from stylegan2.ops import bias_act, replace


def test_medians_are_of_interleaved_runs():
    order = []
    sleepers = {"a": lambda: (order.append("a"), time.sleep(0.01)), "b": lambda: order.append("b")}
    times = timing.medians(sleepers, "cpu", repeats=3)
    assert order == ["a", "b"] * 5
    assert 9 < times["a"] < 50 and times["b"] < 5


def test_recorded_convolutions_are_those_called():
    weight = torch.randn(4, 3, 3, 3)
    x = torch.randn(1, 3, 8, 8)
    calls = networks.record_convolutions(lambda: torch.nn.functional.conv2d(x, weight, padding=1))
    assert [(call[1], call[2]) for call in calls] == [((1, 3, 8, 8), (4, 3, 3, 3))]
    assert timing.flops(networks.convolution(calls[0], "cpu", torch.channels_last)) == 2 * 64 * 4 * 27


def test_a_variant_without_kernels_really_is_and_leaves_no_trace():
    calls = []
    replace("bias_act", lambda *args, **kwargs: calls.append(1) or dispatch.bias_act(*args, **kwargs))
    try:
        function = lambda: bias_act(torch.zeros(2, 3))  # noqa: E731
        timing.with_kernels(function, enabled=False)()
        assert calls == []
        timing.with_kernels(function, enabled=True)()
        assert calls == [1]
    finally:
        replace("bias_act", dispatch.bias_act)


def bench_in_a_process_of_its_own(*args, **environment):
    command = [sys.executable, "-m", "stylegan2", "bench", "--device", "cpu", *args]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=os.environ | environment)


def test_ops_are_measured_from_a_fresh_start(tmp_path):
    out = tmp_path / "bench.json"
    args = ["--resolutions", "64", "--what", "ops", "--repeats", "1", "--out", str(out)]
    done = bench_in_a_process_of_its_own(*args)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    convolutions = [row for row in rows if row["name"].startswith("conv2d")]
    assert all((row["gflop_per_s"] or 0) > 0 for row in convolutions) and len(convolutions) == 8
    assert all(row["gb_per_s"] > 0 for row in rows if row["name"] == "bias_act, forward, contiguous")


def test_without_kernels_there_is_nothing_to_measure():
    done = bench_in_a_process_of_its_own("--what", "ops", STYLEGAN2_KERNELS="off")
    assert (
        done.returncode == 2 and "Expected kernels for cpu" in done.stderr and "Traceback" not in done.stderr
    )


@pytest.mark.parametrize("what", ["generate", "train"])
def test_whole_networks_are_measured_with_and_without_kernels(what, tmp_path, capsys):
    out = tmp_path / "bench.json"
    args = ["--resolutions", "8", "--what", what, "--repeats", "1", "--channel_base", "64", "--batch", "4"]
    assert run("bench", [*args, "--device", "cpu", "--out", str(out)], "stylegan2 bench") == 0
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    names = {row["name"] for row in rows if row["variant"]}
    phases = {"train: G", "train: D", "train: R1", "train: path length"}
    assert names == ({"generate"} if what == "generate" else phases)
    variants = {"reference, contiguous", "reference", "kernels"}
    variants |= {"kernels, fixed weights"} if what == "generate" else set()
    assert {row["variant"] for row in rows if row["variant"]} == variants
    assert all(row["ms"] > 0 for row in rows)
    assert "speed-up" in capsys.readouterr().out


def test_augmentation_is_compared_with_an_iteration(tmp_path):
    out = tmp_path / "bench.json"
    args = ["--resolutions", "8", "--what", "augment", "--repeats", "1", "--channel_base", "64"]
    assert run("bench", [*args, "--device", "cpu", "--out", str(out)], "stylegan2 bench") == 0
    iteration, *rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert [row["variant"] for row in rows] == ["p = 0.2", "p = 0.5", "p = 0.8"]
    for row in rows:
        assert row["of_limit"] == pytest.approx(row["ms"] / (row["ms"] + iteration["ms"]))


@pytest.mark.parametrize(
    "args,words",
    [
        (["--resolutions", "100"], "powers of two"),
        (["--resolutions", "2048"], "powers of two"),
        (["--what", "everything"], "generate"),
        (["--repeats", "0"], "--repeats"),
        (["--batch", "0"], "--batch"),
        (["--batch", "6", "--what", "train"], "--batch expects at most 4 images or a multiple"),
        (["--channel_base", "0"], "--channel_base"),
        (["--resolutions", "64", "--channel_base", "32"], "64 or more"),
        (["--out", "no/such/folder/bench.json"], "--out"),
    ],
)
def test_what_cannot_be_measured_is_refused(args, words, capsys):
    assert run("bench", args, "stylegan2 bench") == 2
    assert re.search(words, capsys.readouterr().err)


def test_beside_measures_each_number_of_threads_and_ends_the_busy_programs(monkeypatch):
    monkeypatch.setattr(beside, "candidates", lambda: [1])
    monkeypatch.setattr(beside, "_training", lambda: lambda: time.sleep(0.01))
    monkeypatch.setattr(beside, "_generation", lambda g: lambda: time.sleep(0.02))
    rows = beside.bench_beside(1, seconds=0.4)
    assert [row[:2] for row in rows] == [
        ("train", "1"),
        ("train", "chosen"),
        ("generate", "1"),
        ("generate", "chosen"),
    ]
    for _, _, idle, _ in rows[:2]:
        assert 400 < idle <= 1600  # 16 images in 10 ms
    with beside.busy(2) as processes:
        assert [process.poll() for process in processes] == [None, None]
    assert all(process.poll() is not None for process in processes)
