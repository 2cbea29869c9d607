"""The runs of a study: what they leave behind, how they go on, and what stops none of them."""

import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from stylegan2.ablation.plan.measures import options_at_the_end
from stylegan2.ablation.plan.study import Run, Study, load_study
from stylegan2.ablation.plan.variants import Variant
from stylegan2.ablation.run import many, one
from stylegan2.data import ImageData
from stylegan2.formats import load_generator
from stylegan2.tools.ablate import ablate_command
from stylegan2.training.measuring import Measuring

DEFAULT = Run(variant="default", seed=0)


def test_divergence_is_a_result_and_the_others_finish(study):
    results = {run.variant: study.result(run) for run in study.runs}
    assert {name: r.status for name, r in results.items()} == {
        "default": "finished",
        "noise": "finished",
        "explosive": "diverged",
    }
    assert re.search(r"iteration \d+ \(0\.0 kimg\): .*is NaN or infinite", results["explosive"].why)


def test_quality_is_measured_four_times_and_numbered_checkpoints_are_removed(study):
    curve = study.result(DEFAULT).curve
    assert [kimg for kimg, _ in curve] == pytest.approx([0.016, 0.032, 0.048, 0.064])
    assert all(distance > 0 for _, distance in curve)
    assert [path.name for path in (study.folder(DEFAULT) / "checkpoints").iterdir()] == ["last.ckpt"]


def test_the_trained_generator_and_held_out_images_are_measured(study):
    others = study.result(DEFAULT).others
    assert list(others) == ["diversity", "feature distance", "density", "coverage", "D's held-out loss"]
    for name in list(others)[:4]:
        ((kimg, value),) = others[name]
        assert kimg == 0.064 and value >= 0
    assert 0 < others["diversity"][0][1] < 2
    assert len(others["D's held-out loss"]) == 8 and all(loss > 0 for _, loss in others["D's held-out loss"])
    network, _ = load_generator(study.folder(DEFAULT) / "checkpoints" / "last.ckpt")
    expected = Measuring(options_at_the_end(study), demo()).figures(network)
    assert [figure.value for figure in expected] == [others[name][0][1] for name in list(others)[:4]]


def demo():
    """The images of the study."""
    return ImageData("demo/smileys-emotion", resolution=8).open(progress=False)


def test_a_row_of_numbers_has_a_penalty_only_where_it_was_computed(study):
    """A row an iteration here; path length every 4, R1 every 16 iterations."""
    for variant in ("default", "noise"):
        rows = [row for row in study.numbers(Run(variant=variant, seed=0)) if "loss_g" in row]
        for name, every in (("path_length", 4), ("r1", 16)):
            assert [name in row for row in rows] == [i % every == 0 for i in range(len(rows))]
        assert len(rows) == 8 and all("path_length_mean" in row for row in rows)


def test_runs_of_one_seed_see_the_same_images(study):
    reals = [(study.folder(run) / "samples" / "reals.png").read_bytes() for run in study.runs]
    assert len(set(reals)) == 1


def test_the_signal_is_measured_from_image_to_logit_and_from_noise_to_image(study):
    signal = study.result(DEFAULT).signal
    assert list(signal.discriminator) == ["b8", "b4.conv", "b4.fc", "b4.out"]
    assert list(signal.generator) == ["b4.conv1", "b8.conv0", "b8.conv1", "image"]
    assert signal.logits_std > 0


def test_rms_of_layers_is_that_of_their_outputs_and_the_network_stays_as_it_was():
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2)).train()
    x = torch.randn(5, 3)
    output, rms = one.rms_of_layers(network, (x,), "[02]")
    assert list(rms) == ["0", "2"] and rms["0"] == pytest.approx(network[0](x).square().mean().sqrt().item())
    assert torch.equal(output, network[2](network[0](x)))
    assert network.training and not network[0]._forward_hooks


def test_an_unfinished_run_goes_on_from_its_checkpoint(study):
    assert study.arguments(DEFAULT)[-2:] == ["--ckpt_path", "last"]
    assert "--ckpt_path" not in study.arguments(Run(variant="default", seed=1))


@pytest.mark.slow
def test_an_interrupted_study_goes_on_from_its_checkpoints(tiny, tmp_path):
    out = tmp_path / "out"
    args = [*tiny, "--fields", "noise", "--seeds", "1", "--kimg", "1.6", "--out", str(out)]
    code = "import sys; from stylegan2.tools import ablate; sys.exit(ablate.ablate_command(sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.PIPE, encoding="utf-8")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (out / "study.json").is_file() and load_study(out).numbers(DEFAULT):
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT and "To resume: stylegan2 ablate" in printed
    half = load_study(out)
    assert (half.folder(DEFAULT) / "checkpoints" / "last.ckpt").is_file()
    assert not half.result(DEFAULT) and "--ckpt_path" in half.arguments(DEFAULT)
    assert 0 < half.kimg_done(DEFAULT) < 1.6
    assert ablate_command(args) == 0
    assert [half.result(run).status for run in half.runs] == ["finished", "finished"]
    assert "Finished at 1.6 kimg" in half.log(DEFAULT).read_text(encoding="utf-8")


def test_a_run_whose_training_is_complete_only_needs_its_result(study, tmp_path):
    copy = shutil.copytree(study.out, tmp_path / "copy")
    again = load_study(copy)
    expected = again.result(DEFAULT)
    again.result_file(DEFAULT).unlink()
    assert one.run_one(str(copy), DEFAULT.name) == 0
    assert again.result(DEFAULT) == expected


def small_study(out, base="{}", seeds=2, kimg=1.0):
    made = Study(out=out, variants=[Variant(name="default")], seeds=seeds, kimg=kimg, images=16)
    made.save(base)
    return made


def test_a_lost_process_is_a_failure_that_is_tried_again(tmp_path):
    def dead(run, slot):
        return many.Job(ended=lambda: "its process ended with status -9", stop=lambda: None)

    made = small_study(tmp_path)
    assert many.run_all(made, dead, 1, progress=False, poll_seconds=0) is None
    assert [made.result(run).status for run in made.runs] == ["failed", "failed"]
    assert "-9" in made.result(made.runs[0]).why and not made.is_done(made.runs[0])


def test_no_two_running_jobs_share_a_slot_and_all_slots_are_used(tmp_path):
    made, running, most = small_study(tmp_path, seeds=7), {}, []

    def start(run, slot):
        assert slot not in running and 0 <= slot < 3
        running[slot] = 2
        most.append(len(running))

        def ended():
            running[slot] -= 1
            if running[slot]:
                return None
            del running[slot]
            return "it ended"

        return many.Job(ended, stop=lambda: None)

    many.run_all(made, start, 3, progress=False, poll_seconds=0)
    assert len(most) == 7 and max(most) == 3


def test_a_signal_stops_the_running_jobs_once_and_starts_no_more(tmp_path):
    made, stops = small_study(tmp_path, seeds=5), []

    def start(run, slot):
        signal.raise_signal(signal.SIGINT)
        return many.Job(lambda: "it was told to stop" if stops else None, lambda: stops.append(run.name))

    before = signal.getsignal(signal.SIGINT)
    assert many.run_all(made, start, 1, progress=False, poll_seconds=0) == signal.SIGINT
    assert stops == ["default-seed0"] and signal.getsignal(signal.SIGINT) is before
    assert not any(made.result(run) for run in made.runs)


@pytest.mark.slow
def test_jobs_go_through_submitit(study, tmp_path):
    pytest.importorskip("submitit")
    made = small_study(tmp_path, study.base.read_text(encoding="utf-8"), seeds=1, kimg=0.016)
    start = many.slurm(made, {"timeout_min": 2}, cluster="local")
    assert many.run_all(made, start, 1, progress=False, poll_seconds=0.1) is None
    assert made.result(DEFAULT).status == "finished", made.result(DEFAULT)


def test_several_processes_share_the_cores(study, monkeypatch):
    seen = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, env, **_: seen.append(env))
    monkeypatch.setattr(many.os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with pytest.raises(AttributeError):  # no process to stop
        many.processes(study, 2)(DEFAULT, 1)
    assert seen[0]["OMP_NUM_THREADS"] == "4"
