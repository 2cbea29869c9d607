"""Ablations: the overlays, the distance, the schedule, the statistics, the report."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from scipy import stats

from stylegan2.ablation import budget, statistics, variants
from stylegan2.ablation.schedule import Processes, Submitit, work_off
from stylegan2.ablation.study import Result, Run, Study, load
from stylegan2.ablation.summary import conclusion, summarize
from stylegan2.cli import CONFIGS, build_data, build_model, exit_status, train_parser
from stylegan2.data.dataset import ImageDataset
from stylegan2.errors import InputError
from stylegan2.metrics.random_frechet import Normal, RandomFeatures, RandomFrechet, frechet_distance
from stylegan2.tools.ablate import ablate_command
from stylegan2.training.callbacks import Metrics
from stylegan2.training.loggers import CSVLogger, read_csv
from stylegan2.training.module import StyleGAN2

pytestmark = pytest.mark.filterwarnings("ignore")

OVERLAYS = sorted((CONFIGS / "ablations").glob("*.yaml"))
DEMO = str(CONFIGS / "demo.yaml")


parser = lru_cache(train_parser)


@lru_cache
def parsed(*args):
    config = parser().parse_args(list(map(str, args)))
    return parser().instantiate(config), config


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_instantiates(path: Path):
    overlay = path.parent.name == "ablations"
    options, _ = parsed(*(["--config", DEMO] if overlay else []), "--config", path)
    assert build_data(options).resolution == options.data.resolution
    if options.data.resolution <= 32:
        shape = (3, options.data.resolution, options.data.resolution)
        dataset = SimpleNamespace(shape=shape, num_classes=0, class_names=[])
        model = build_model(options, dataset, options.batch)
        assert isinstance(model, StyleGAN2)
        with torch.no_grad():
            assert model.sampler(torch.randn(2, model.generator.z_dim)).isfinite().all()


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_is_short_changes_the_demo_and_says_how_to_run_it(path: Path):
    text = path.read_text()
    body = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert 1 <= len(body) <= 5
    assert (
        f"--config configs/demo.yaml --config configs/ablations/{path.name}" in text and "# Expect:" in text
    )
    options = [parsed("--config", DEMO, *more)[1] for more in ([], ["--config", path])]
    assert parser().dump(options[0]) != parser().dump(options[1])


# ---- variants


def test_every_overlays_first_entry_is_the_field_in_its_name():
    for variant in variants.tested(variants.ablations("all")):
        assert variant.name.startswith(
            variant.key.removeprefix("model.").removeprefix("scalings.").replace(".", "_")
        )


def test_a_scalings_name_stands_for_all_its_overlays():
    names = [v.name for v in variants.ablations("weight_scaling,noise")]
    assert names == ["default", "weight_scaling_kaiming", "weight_scaling_none", "noise"]


def test_an_overlay_with_circumstances_is_compared_with_these_alone():
    found = {v.name: v for v in variants.ablations("clamp")}
    assert found["clamp"].control == "clamp_control"
    assert variants.lookup(found["clamp_control"].overlay, "model.generator.low_precision_blocks") == 2
    assert variants.lookup(found["clamp_control"].overlay, "model.scalings") is None


# ---- distance


@pytest.fixture(scope="module")
def drawings():
    dataset = ImageDataset("demo/smileys-emotion", 32)
    return dataset[list(range(dataset.num_images))][0]


def blurred(images, sigma):
    kernel = torch.exp(-(torch.arange(-8.0, 9) ** 2) / (2 * sigma**2))
    kernel = (kernel[:, None] * kernel / kernel.sum() ** 2).expand(3, 1, 17, 17)
    return (
        F.conv2d(F.pad(images.float(), (8,) * 4, mode="replicate"), kernel, groups=3).round().to(torch.uint8)
    )


def test_frechet_distance_is_its_definition_by_scipys_matrix_root():
    random = np.random.default_rng(0)
    a, b = (random.normal(size=(50, 6)) @ random.normal(size=(6, 6)) + i for i in range(2))
    ca, cb = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * scipy.linalg.sqrtm(ca @ cb).real)
    found = frechet_distance(*(Normal.fit(torch.from_numpy(x)) for x in (a, b)))
    assert found == pytest.approx(expected, rel=1e-6)


def test_distance_of_a_set_to_itself_is_zero(drawings):
    assert RandomFrechet([drawings])(drawings.split(50)) < 1e-6


def test_distance_grows_with_blur_with_noise_and_with_dropped_modes(drawings):
    metric = RandomFrechet([drawings])
    noise = torch.randn(drawings.shape)
    order = torch.randperm(len(drawings))
    series = {
        "blur": [metric([blurred(drawings, s)]) for s in (0.5, 0.8, 1.2, 2, 4)],
        "noise": [
            metric([(drawings + noise * s).round().clamp(0, 255).to(torch.uint8)])
            for s in (5, 10, 20, 40, 80)
        ],
        "modes": [
            metric([drawings[order[:n]].repeat(169 // n + 1, 1, 1, 1)[:169]]) for n in (150, 80, 40, 20, 5)
        ],
    }
    for name, values in series.items():
        assert values == sorted(values) and values[0] > 0.01, (name, values)


def test_features_are_the_same_on_every_machine():
    images = torch.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32).remainder(256).to(torch.uint8)
    features = RandomFeatures()(images)
    assert features.shape == (2, 4 * (3 + 3 * 16))
    assert features.sum(dim=1).tolist() == pytest.approx([87.0805, 87.0805], rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_features_take_gray_colour_and_alpha_and_other_features_can_be_put_in(channels):
    images = torch.randint(0, 256, (8, channels, 16, 16), dtype=torch.uint8)
    assert RandomFrechet([images])([255 - images]) > 0
    plugged = RandomFrechet([images], features=lambda x: x.double().mean(dim=(2, 3)))
    assert plugged.of(lambda n: images[:n], 8) < 1e-9


# ---- statistics


def test_the_test_is_analysis_of_variance_written_out():
    random = np.random.default_rng(1)
    table = random.normal(size=(5, 3))
    y = table.flatten()
    columns = [np.ones(15)]
    columns += [np.repeat(np.arange(5) == i, 3) for i in range(1, 5)]
    columns += [np.tile(np.arange(3) == j, 5) for j in range(1, 3)]
    design = np.stack(columns, axis=1).astype(float)
    coefficients, rest, *_ = np.linalg.lstsq(design, y, rcond=None)
    variance, freedom = statistics.residual_variance(table)
    assert freedom == 15 - 7 and variance == pytest.approx(rest[0] / freedom)
    logs = {f"v{i}": row for i, row in enumerate(table)}
    found = statistics.judge({"v1": "v0"}, logs, set())["v1"]
    error = np.sqrt(variance * np.linalg.inv(design.T @ design)[1, 1])
    assert np.log(found.ratio) == pytest.approx(coefficients[1])
    assert found.p == pytest.approx(2 * stats.t.sf(abs(coefficients[1]) / error, freedom))


def test_holm_multiplies_the_smallest_p_by_the_number_of_tests():
    assert statistics.holm([0.04, 0.01, 0.5]) == pytest.approx([0.08, 0.03, 0.5])


def test_without_an_effect_hardly_any_study_finds_one():
    random, found = np.random.default_rng(2), 0
    for _ in range(300):
        logs = {f"v{i}": random.normal(size=3) for i in range(10)}
        verdicts = statistics.judge({f"v{i}": "v0" for i in range(1, 10)}, logs, set()).values()
        found += any(c.verdict != "no detectable effect" for c in verdicts)
    assert found / 300 < 0.08


def test_verdicts_follow_size_and_sign_and_divergence():
    wiggle = np.array([0.01, -0.01, 0.005])
    logs = {
        "default": wiggle,
        "twice": wiggle[::-1] + np.log(3),
        "bit": -wiggle + 0.3,
        "less": wiggle[[1, 2, 0]] - 0.3,
        "same": wiggle.copy(),
    }
    controls = dict.fromkeys(["twice", "bit", "less", "same", "gone", "open"], "default")
    found = {name: c.verdict for name, c in statistics.judge(controls, logs, {"gone"}).items()}
    assert found == {
        "twice": "needed",
        "bit": "helps",
        "less": "better without",
        "same": "no detectable effect",
        "gone": "needed",
        "open": "not known",
    }


# ---- studies

TINY = """
data: {resolution: 8, path: demo/smileys-emotion}
batch: 8
kimg: 0.064
accelerator: cpu
model:
  generator: {z_dim: 8, w_dim: 8, mapping_layers: 2, channel_base: 64, channel_max: 8}
  discriminator: {channel_base: 64, channel_max: 8, mapping_layers: 2}
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY)
    return ["--config", str(path), "--images", "64"]


@pytest.fixture(scope="module")
def explosive(tmp_path_factory):
    """An overlay that diverges at once."""
    path = tmp_path_factory.mktemp("overlay") / "explosive.yaml"
    path.write_text("model: {learning_rate: 1.0e+30}\n")
    return str(path)


@pytest.fixture(scope="module")
def study(tiny, explosive, tmp_path_factory):
    """A real one: the default, one ablation and one that diverges."""
    out = tmp_path_factory.mktemp("studies") / "a study"
    args = [*tiny, "--fields", f"noise,{explosive}", "--seeds", "1", "--parallel", "3", "--out", str(out)]
    assert ablate_command(args) == 0
    return SimpleNamespace(out=out, args=args, study=load(out))


def test_divergence_is_a_result_and_the_others_finish(study):
    results = {run.variant: study.study.result(run) for run in study.study.runs}
    assert {name: r.status for name, r in results.items()} == {
        "default": "finished",
        "noise": "finished",
        "explosive": "diverged",
    }
    assert re.search(r"iteration \d+ \(0\.0 kimg\): .*is NaN or infinite", results["explosive"].why)
    assert [kimg for kimg, _ in results["default"].curve] == pytest.approx([0.016, 0.032, 0.048, 0.064])
    assert "needed" in (study.out / "report.md").read_text()


def test_a_row_of_numbers_has_a_penalty_only_where_it_was_computed(study):
    """A row an iteration here; path length every 4, R1 every 16 iterations."""
    for run in study.study.runs[:2]:
        rows = read_csv(study.study.folder(run) / "metrics.csv")
        for name, every in (("path_length", 4), ("r1", 16)):
            assert [bool(row[name]) for row in rows] == [i % every == 0 for i in range(len(rows))]
        assert len(rows) == 8 and all(row["loss_g"] and row["path_length_mean"] for row in rows)
    assert all(row.r1 > 0 for row in summarize(study.study).rows if not row.ended)


def test_a_row_holds_means_of_what_was_computed_since_the_last(tmp_path):
    logger, metrics = CSVLogger(tmp_path / "metrics.csv"), Metrics(every_kimg=0.008)
    trainer = SimpleNamespace(loggers=[logger], is_global_zero=True)
    module = SimpleNamespace(
        images=0, iteration=0, batch=1, losses={}, path_length_mean=torch.ones([]), device=torch.device("cpu")
    )
    metrics.on_train_start(trainer, module)
    for i in range(24):
        module.losses = {"loss_d": torch.tensor(float(i))}
        if i in (0, 3, 16):
            module.losses |= {"r1": torch.tensor(float(10 + i))}
        module.images = module.iteration = i + 1
        metrics.on_train_batch_end(trainer, module)
    rows = read_csv(tmp_path / "metrics.csv")
    assert [float(row["loss_d"]) for row in rows] == [3.5, 11.5, 19.5]
    assert [row["r1"] for row in rows] == ["11.5", "", "26"]


def test_the_report_takes_a_runs_last_penalty_however_long_ago(study, tmp_path):
    out = tmp_path / "study"
    shutil.copytree(study.out, out)
    changed = load(out)
    path = changed.folder(Run(variant="default", seed=0)) / "metrics.csv"
    columns = ["kimg", "kimg_per_second", "r1", "path_length_mean"]
    path.write_text("\n".join([",".join(columns), "0.01,1,7,1", "0.02,1,5,2", "0.03,1,,3"]) + "\n")
    default = summarize(changed).rows[0]
    assert (default.r1, default.path_length) == (5, 3)


def test_an_unfinished_run_goes_on_from_its_checkpoint(study):
    run = study.study.runs[0]
    assert study.study.arguments(run)[-2:] == ["--ckpt_path", "last"]
    assert "--ckpt_path" not in study.study.arguments(Run(variant="default", seed=1))


def test_runs_of_one_seed_see_the_same_images(study):
    reals = [(study.study.folder(run) / "samples" / "reals.png").read_bytes() for run in study.study.runs]
    assert len(set(reals)) == 1


def test_the_same_command_again_runs_nothing(study, capsys):
    before = {path: path.stat().st_mtime_ns for path in (study.out / "results").iterdir()}
    assert ablate_command(study.args) == 0
    assert "3 done" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in (study.out / "results").iterdir()}


def test_the_page_needs_nothing_from_elsewhere(study):
    page = (study.out / "report.html").read_text()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", page)
    assert not re.search(r"url\((?!#)", page) and "@import" not in page and "<script" not in page
    assert page.count("<svg") >= 2 and page.count("data:image/png;base64,") == 4
    for name in re.findall(r"figures/\w+\.png", (study.out / "report.md").read_text()):
        assert (study.out / name).is_file()


def test_another_budget_in_the_same_folder_is_refused(study):
    with pytest.raises(InputError, match=r"(?s)kimg: 0.064 there, 0.08.*another --out"):
        ablate_command([*study.args, "--kimg", "0.08"])


@pytest.mark.slow
def test_an_interrupted_study_goes_on_from_its_checkpoints(tiny, tmp_path):
    out = tmp_path / "out"
    args = [*tiny, "--fields", "noise", "--seeds", "1", "--kimg", "1.6", "--out", str(out)]
    code = "import sys; from stylegan2.tools import ablate; sys.exit(ablate.ablate_command(sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.PIPE, text=True)
    run = Run(variant="default", seed=0)
    metrics = out / "runs" / run.name / "metrics.csv"
    deadline = time.monotonic() + 90
    while not read_csv(metrics) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT and "To go on: stylegan2 ablate" in printed
    assert (out / "runs" / run.name / "checkpoints" / "last.ckpt").is_file()
    half = load(out)
    assert not half.result(run) and "--ckpt_path" in half.arguments(run)
    assert 0 < half.kimg_done(run) < 1.6
    assert ablate_command(args) == 0
    assert [half.result(run).status for run in half.runs] == ["finished", "finished"]
    assert "Finished at 1.6 kimg" in half.log(run).read_text()


def test_a_lost_process_is_a_failure_that_is_tried_again(study, tmp_path):
    class Dead:
        def start(self, run, place):
            return SimpleNamespace(ended=lambda: "its process ended with status -9", stop=lambda: None)

    copy = Study(out=tmp_path, variants=[variants.default()], seeds=2, kimg=1, images=2)
    copy.save("{}")
    assert work_off(copy, Dead(), 1, progress=False, poll=0) is None
    assert [copy.result(run).status for run in copy.runs] == ["failed", "failed"]
    assert "-9" in copy.result(copy.runs[0]).why and not copy.done(copy.runs[0])


@pytest.mark.parametrize(
    "args,words",
    [
        (["--fields", "nois"], "nois"),
        (["--fields", "noise", "--field", "clamp", "--values", "1,2"], "--fields, or both"),
        (["--field", "residual_gain"], "--values"),
        (["--field", "residual_gain", "--values", "a,b"], "a,b"),
        (["--field", "residual_gian", "--values", "1,2"], "residual_gian"),
        (["--field", "weight_scaling", "--values", "1,2"], "weight_scaling"),
        (["--fields", "noise", "--seeds", "0"], "--seeds"),
        (["--fields", "noise", "--kimg", "-1"], "kimg above 0"),
        (["--fields", "noise", "--model.generator.channel_base", "4"], "model.generator: channel_base 4"),
        (["--fields", "noise", "--budget", "soon"], "soon"),
        (["--fields", "noise", "--data.path", "nowhere"], "nowhere"),
        (["--fields", "ema", "--model.ema", "null"], "Nothing is left"),
        (["--report_only", "true"], "study.json"),
        (["--fields", "noise", "--engine", "slurm"], "slurm"),
    ],
    ids=lambda value: "-".join(value).strip("-") if isinstance(value, list) else "",
)
def test_what_cannot_be_run_is_refused_before_anything_runs(tiny, args, words, tmp_path, capsys):
    assert exit_status(ablate_command, [*tiny, "--out", str(tmp_path / "out"), *args]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out" / "runs").exists()


def test_a_budget_gives_the_longest_runs_that_fit():
    speed = budget.Speed(seconds_per_kimg=8, overhead=20)
    kimg = speed.kimg(7200, runs=48, parallel=2, batch=32)
    assert speed.seconds(48, 2, kimg) <= 7200 < speed.seconds(48, 2, kimg * 1.05)
    assert kimg * 1000 % 32 == 0
    with pytest.raises(InputError, match="Give 19 minutes or more"):
        speed.kimg(600, runs=48, parallel=1, batch=32)
    assert [budget.parse_seconds(text) for text in ("90", "30m", "1h30m", "1.5h")] == [90, 1800, 5400, 5400]


def finished(out, config, distances, overlays):
    """A study whose runs have ended with given distances."""
    made = Study(out=out, variants=overlays, seeds=3, kimg=1, images=2)
    base = train_parser().parse_args(["--config", config], with_meta=False)
    made.save(train_parser().dump(base))
    random = np.random.default_rng(0)
    for run in made.runs:
        value = distances[run.variant] * random.normal(1, 0.02)
        made.save_result(run, Result(status="finished", kimg=1, curve=[(1.0, value)]))
    return made


@pytest.mark.parametrize(
    "distances,words",
    [
        ((300, 101, 100, 101.5, 300), ["= 0.7071, is the best", "from 0.6 to 0.85"]),
        ((300, 101, 100, 60, 300), ["best of the values tried is residual_gain = 0.85", "the test confirms"]),
    ],
)
def test_a_sweep_says_whether_the_default_is_best_and_within_what_band(tiny, tmp_path, distances, words):
    kinds = variants.sweep("residual_gain", "0.5,0.6,0.85,1")
    names = ["residual_gain=0.5", "residual_gain=0.6", "default", "residual_gain=0.85", "residual_gain=1"]
    made = finished(tmp_path, tiny[1], dict(zip(names, distances)), kinds)
    summary = summarize(made)
    assert all(word in conclusion(summary) for word in words), conclusion(summary)
    rms = [list(row.signal.discriminator.values())[-4] for row in summary.compared]
    assert rms == sorted(rms) and rms[-1] / rms[0] == pytest.approx(2, rel=0.05)  # one block at 8×8


def test_a_value_that_is_the_default_is_not_run_twice(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("stylegan2.tools.ablate.work_off", lambda *args: 2)
    monkeypatch.setattr("stylegan2.tools.ablate.write_report", lambda study: study.out)
    out = tmp_path / "out"
    ablate_command([*tiny, "--field", "residual_gain", "--values", "0.5,0.7071", "--out", str(out)])
    assert "residual_gain=0.7071 is left out" in capsys.readouterr().out
    assert [v["name"] for v in json.loads((out / "study.json").read_text())["variants"]] == [
        "default",
        "residual_gain=0.5",
    ]


@pytest.mark.slow
def test_jobs_go_through_submitit(study, tmp_path):
    pytest.importorskip("submitit")
    made = Study(out=tmp_path, variants=[variants.default()], seeds=1, kimg=0.016, images=16)
    made.save(study.study.base.read_text())
    engine = Submitit(made, {"timeout_min": 2}, cluster="local")
    assert work_off(made, engine, 1, progress=False, poll=0.1) is None
    assert made.result(made.runs[0]).status == "finished", made.result(made.runs[0])


def test_several_processes_share_the_cores(study, monkeypatch):
    seen = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, env, **_: seen.append(env))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    Processes(study.study, 2).start(study.study.runs[0], 1)
    assert int(seen[0]["OMP_NUM_THREADS"]) >= 1
