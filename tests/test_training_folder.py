"""The folder of a run: one process alone writes to it, nothing empty stays, the dead hold nothing."""

import multiprocessing
import os
import signal

import pytest

from stylegan2.errors import InputError
from stylegan2.training.folder import LAST, Occupied, held_folder, latest
from stylegan2.training.launch import Launch, this_launch

FORK = multiprocessing.get_context("fork") if os.name == "posix" else None


def train(runs, name=None, **options):
    """A run that writes a checkpoint and ends; its folder."""
    with held_folder(runs, name, "demo", **options) as folder:
        (folder / LAST).parent.mkdir(exist_ok=True)
        (folder / LAST).write_text("trained", encoding="utf-8")
    return folder


def start_together(runs, name, barrier, results):
    barrier.wait()
    try:
        with held_folder(runs, name, "demo") as folder:
            (folder / LAST).parent.mkdir()
            (folder / LAST).write_text("trained", encoding="utf-8")
            results.put(folder.name)
    except Occupied:
        results.put(None)


def results_of_four(runs, name):
    barrier, results = FORK.Barrier(4), FORK.Queue()
    jobs = [FORK.Process(target=start_together, args=(runs, name, barrier, results)) for _ in range(4)]
    for job in jobs:
        job.start()
    found = [results.get(timeout=30) for _ in jobs]
    for job in jobs:
        job.join(30)
    return found


@pytest.mark.skipif(FORK is None, reason="needs fork")
def test_of_four_runs_started_at_once_under_one_name_one_trains(tmp_path):
    assert sorted(results_of_four(tmp_path, "exp/a"), key=str) == [None, None, None, "a"]


@pytest.mark.skipif(FORK is None, reason="needs fork")
def test_four_runs_without_a_name_take_four_folders(tmp_path):
    assert sorted(results_of_four(tmp_path, None)) == ["demo", "demo-2", "demo-3", "demo-4"]


def test_a_held_folder_is_refused_in_other_threads_and_for_resuming(tmp_path):
    folder = train(tmp_path, "a")
    with (
        held_folder(tmp_path, "a", "demo", resumed=folder),
        pytest.raises(InputError, match="being written to"),
        held_folder(tmp_path, "a", "demo", resumed=folder),
    ):
        pass
    again = {"runs": tmp_path, "name": "a", "default": "demo", "resumed": folder}
    with held_folder(**again), pytest.raises(InputError, match="being written to"), held_folder(**again):
        pass
    with held_folder(**again):
        pass


def hold_and_wait(runs, pipe):
    with held_folder(runs, "a", "demo"):
        pipe.send(os.getpid())
        signal.pause()


@pytest.mark.skipif(FORK is None, reason="needs fork")
def test_a_killed_run_without_a_checkpoint_is_taken_over_and_a_living_one_is_named(tmp_path):
    ours, theirs = FORK.Pipe()
    job = FORK.Process(target=hold_and_wait, args=(tmp_path, theirs))
    job.start()
    number = ours.recv()
    with pytest.raises(Occupied, match=f"process {number} on "), held_folder(tmp_path, "a", "demo"):
        pass
    os.kill(number, signal.SIGKILL)
    job.join(30)
    assert (tmp_path / "a").is_dir()
    assert train(tmp_path, "a") == tmp_path / "a"


@pytest.mark.skipif(FORK is None, reason="needs fork")
def test_a_process_that_outlives_a_killed_run_does_not_hold_its_folder(tmp_path):
    """As a data worker does for some seconds."""
    with held_folder(tmp_path, "a", "demo"):
        child = FORK.Process(target=signal.pause)
        child.start()
    assert train(tmp_path, "a")
    child.kill()


def test_a_block_that_fails_leaves_no_folder_and_no_empty_parents(tmp_path):
    with pytest.raises(ZeroDivisionError), held_folder(tmp_path / "runs", "exp/one", "demo") as folder:
        (folder / "samples").mkdir()
        raise ZeroDivisionError
    assert not (tmp_path / "runs").exists()
    other = train(tmp_path / "runs", "exp/two")
    with pytest.raises(KeyboardInterrupt), held_folder(tmp_path / "runs", "exp/one", "demo"):
        raise KeyboardInterrupt
    assert list((tmp_path / "runs" / "exp").iterdir()) == [other]


def test_a_failure_after_the_first_checkpoint_keeps_it(tmp_path):
    with pytest.raises(ZeroDivisionError), held_folder(tmp_path, "a", "demo") as folder:
        (folder / LAST).parent.mkdir()
        (folder / LAST).write_text("trained", encoding="utf-8")
        raise ZeroDivisionError
    assert (folder / LAST).is_file()


def test_a_folder_with_a_run_or_with_other_files_is_refused_and_left_as_it_was(tmp_path):
    train(tmp_path, "a")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("", encoding="utf-8")
    (tmp_path / "file").write_text("", encoding="utf-8")
    for name, words in [("a", "already holds a run"), ("photos", "cat.png"), ("file", "found a file")]:
        with pytest.raises(InputError, match=words), held_folder(tmp_path, name, "demo"):
            pass
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.png"]


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    for name in (None, "a/b", "a" * 300):
        with pytest.raises(InputError, match="runs"), held_folder(tmp_path / "runs", name, "demo"):
            pass


def test_numbers_go_on_after_the_newest_run_and_a_folder_without_a_checkpoint_is_not_the_newest(tmp_path):
    assert latest(tmp_path, "demo") is None
    assert [train(tmp_path).name for _ in range(2)] == ["demo", "demo-2"]
    (tmp_path / "demo-3").mkdir()
    assert latest(tmp_path, "demo") == tmp_path / "demo-2"
    assert train(tmp_path).name == "demo-3"
    assert latest(tmp_path, "demo") == tmp_path / "demo-3"


def test_other_processes_of_a_run_neither_take_nor_check_the_folder(tmp_path, monkeypatch):
    """One that starts two seconds late finds the folder of the first process."""
    folder = train(tmp_path, "a")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with held_folder(tmp_path, "a", "demo") as same:
        assert same == folder
    with held_folder(tmp_path, None, "demo") as none:
        assert not none.exists()


@pytest.mark.parametrize(
    "environment,launch",
    [
        ({}, Launch()),
        ({"LOCAL_RANK": "1"}, Launch(rank=1)),
        # An allocation, or a script in it: srun has started nothing.
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_NNODES": "2"}, Launch()),
        ({"SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, Launch()),
        (
            {"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "5"},
            Launch("srun", 5, per_machine=4, machines=2),
        ),
        (
            {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"},
            Launch("torchrun", 3, per_machine=2, machines=2),
        ),
    ],
)
def test_the_environment_says_who_started_the_processes(environment, launch, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC_")) or name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert this_launch() == launch
