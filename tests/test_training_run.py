"""A run from start to end: what is refused before it, what ends it, and what is there afterwards."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import yaml
from image_sets import noise
from training_cases import tiny_config

from stylegan2.__main__ import run
from stylegan2.errors import InputError
from stylegan2.files import read_csv
from stylegan2.training import strategy
from stylegan2.training.data import check_batch
from stylegan2.training.options import RunOptions
from stylegan2.training.run import make_trainer

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.filterwarnings("ignore")
TINY = tiny_config({"path": "demo:smileys-emotion"}, log_kimg=0.008, sample_kimg=0, snapshot_kimg=0.016)
ENDLESS = ["--kimg", "1000", "--snapshot_kimg", "0"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY, encoding="utf-8")


def train(*args, config="tiny.yaml"):
    return run("train", [*(["--config", config] if config else []), *map(str, args)], "train.py")


def images(folder):
    state = torch.load(Path(folder) / "checkpoints" / "last.ckpt", weights_only=True)
    return state["stylegan2"]["images"]


def wait_for_training(folder):
    """Until the first row of numbers."""
    numbers, deadline = Path(folder) / "metrics.csv", time.time() + 120
    while not (numbers.exists() and numbers.stat().st_size):
        assert time.time() < deadline
        time.sleep(0.01)


def when_it_trains(folder, action):
    """Act once iterations go by, from another thread."""

    def wait():
        wait_for_training(folder)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


# ---- names and places


def test_a_name_with_a_slash_resumes_with_the_printed_command(capsys):
    assert train("--name", "exp/one") == 0
    config = yaml.safe_load(Path("runs/exp/one/config.yaml").read_text(encoding="utf-8"))
    assert (config["runs"], config["name"]) == ("runs", "exp/one")
    arguments = ["--ckpt_path", "last", "--kimg", 0.024]
    assert train(*arguments, config="runs/exp/one/config.yaml") == 0
    assert images("runs/exp/one") == 24 and not Path("runs/one").exists()


def test_a_resumed_run_is_the_one_that_the_path_says():
    assert train("--name", "a") == train("--name", "exp/a") == 0
    Path("runs/exp").rename("elsewhere")  # its configuration says runs/exp/a
    assert train("--ckpt_path", "last", "--kimg", 0.024, config="elsewhere/a/config.yaml") == 0
    assert (images("elsewhere/a"), images("runs/a")) == (24, 16)
    config = yaml.safe_load(Path("elsewhere/a/config.yaml").read_text(encoding="utf-8"))
    assert (config["runs"], config["name"]) == ("elsewhere", "a")


@pytest.mark.parametrize("name", ["1e3", "007", "no", "2024-01-31", "1_0", "[x]"])
def test_every_name_stays_text(name):
    assert train("--name", name, "--kimg", 0.008) == 0
    assert train("--ckpt_path", "last", "--kimg", 0.016, config=f"runs/{name}/config.yaml") == 0
    assert images(f"runs/{name}") == 16 and os.listdir("runs") == [name]


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/../..", "/tmp/a", "a\nb"])
def test_a_name_outside_of_runs_is_refused(name):
    with pytest.raises(InputError, match="name of a folder below runs"):
        RunOptions(name=name)


def test_a_folder_of_images_named_by_dots_gives_the_run_its_real_name():
    from stylegan2.tools.train import default_name

    Path("photos/cats").mkdir(parents=True)
    os.chdir("photos/cats")
    paths = [".", "..", "../", "demo:x", "a/b.zip", "a.zip/c"]
    assert [default_name(path) for path in paths] == ["cats", "photos", "photos", "demo", "b", "c"]


def test_a_run_named_on_the_command_line_resumes_with_its_own_configuration():
    assert train("--name", "x", "--model.scalings.activation_gain", 1) == 0
    assert train("--name", "x", "--ckpt_path", "last", "--kimg", 0.024, config=None) == 0
    config = yaml.safe_load(Path("runs/x/config.yaml").read_text(encoding="utf-8"))
    assert config["model"]["scalings"]["activation_gain"] == 1 and config["kimg"] == 0.024
    assert images("runs/x") == 24


def test_a_run_goes_on_from_an_earlier_checkpoint_of_its_own():
    assert train("--name", "x", "--kimg", 0.032) == 0
    Path("runs/x/checkpoints/last.ckpt").write_bytes(b"broken")
    earlier = "runs/x/checkpoints/kimg00000.016.ckpt"
    assert train("--name", "x", "--ckpt_path", earlier, "--kimg", 0.024, config=None) == 0
    assert images("runs/x") == 24


def test_from_a_checkpoint_of_another_run_a_new_run_starts():
    assert train("--name", "x") == 0
    assert train("--name", "y", "--ckpt_path", "runs/x/checkpoints/last.ckpt", "--kimg", 0.024) == 0
    assert (images("runs/x"), images("runs/y")) == (16, 24)


def test_an_empty_folder_is_not_the_newest_run():
    assert train() == 0
    Path("runs/demo-2").mkdir()
    assert train("--ckpt_path", "last", "--kimg", 0.024) == 0
    assert images("runs/demo") == 24


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not UTF-8")
def test_a_run_on_names_that_are_not_utf8_writes_text_and_goes_on(capsys):
    path = os.fsdecode(b"photos\xfe")
    for kind in (b"a\xff", b"b"):
        for k in range(6):
            noise(Path(path, os.fsdecode(kind), os.fsdecode(b"\xfd%d.png" % k)), 8, k)
    assert train("--data.path", path, "--data.classes", "folders") == 0
    assert "0 a\\xff, 1 b" in capsys.readouterr().out
    for file in Path("runs", path).glob("*.*"):
        file.read_text(encoding="utf-8")
    config = Path("runs", path, "config.yaml")
    assert yaml.safe_load(config.read_text(encoding="utf-8"))["data"]["path"] == path
    assert train("--ckpt_path", "last", "--kimg", 0.024, config=str(config)) == 0
    assert images(Path("runs", path)) == 24 and os.listdir("runs") == [path]
    assert len(read_csv(Path("runs", path, "metrics.csv"))) == 3


# ---- refused before anything is written


@pytest.mark.parametrize(
    "args,words",
    [
        (["--model.learning_rate", "-1"], "learning_rate"),
        (["--data.workers", "-1"], "workers"),
        (["--model.betas", "[1.0,1.0]"], "betas"),
        (["--model.r1.every", "-1"], "every"),
        (["--model.path_length.batch_shrink", "0"], "batch_shrink"),
        (["--kimg", ".inf"], "kimg"),
        (["--log_kimg", ".nan"], "log_kimg"),
        (["--batch_per_device", "0"], "batch_per_device"),
        (["--seed", "12345678901234567890"], "seed"),
        (["--devices", "-1"], "devices"),
        (["--devices", "[0,0]"], "devices"),
        (["--accelerator", "gpu"], "accelerator gpu"),
        (["--runs", "tiny.yaml/runs"], "tiny.yaml"),
        (["--runs", "tiny.yaml"], "tiny.yaml"),
    ],
)
def test_what_is_refused_leaves_a_message_and_no_folder(args, words, capsys, monkeypatch):
    if words == "accelerator gpu":
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert train(*args) == 2
    assert words in capsys.readouterr().err
    assert os.listdir() == ["tiny.yaml"]


def test_wandb_without_a_key_is_refused_before_the_images_are_read(capsys, monkeypatch):
    import wandb

    from stylegan2.data import ImageData

    def no_key():
        raise wandb.errors.UsageError("api_key not configured (no-tty).")

    monkeypatch.setattr(wandb, "login", no_key)
    monkeypatch.setattr(ImageData, "open", lambda *_, **__: pytest.fail("read"))
    assert train("--loggers", "[wandb]") == 2
    assert "WANDB_MODE=offline" in capsys.readouterr().err
    assert os.listdir() == ["tiny.yaml"]


def test_one_wandb_run_across_resumes(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert train("--name", "x", "--loggers", "[wandb]") == 0
    assert train("--name", "x", "--ckpt_path", "last", "--kimg", 0.024, "--loggers", "[wandb]") == 0
    assert train("--name", "y", "--loggers", "[wandb]") == 0
    numbers = [path.name.split("-")[-1] for path in Path("runs").glob("*/wandb/offline-run-*")]
    x, y = (Path(f"runs/{name}/wandb_id.txt").read_text(encoding="utf-8") for name in "xy")
    assert sorted(numbers) == sorted([x, x, y])


@pytest.mark.parametrize(
    "batch,size,processes,group", [(16, None, 3, 4), (10, 4, 1, 4), (12, 6, 1, 4), (2, 3, 5, 4)]
)
def test_the_advised_batch_is_accepted(batch, size, processes, group):
    with pytest.raises(InputError) as refusal:
        check_batch(batch, size, processes, group, images=100)
    advice = str(refusal.value).split("Set ")[-1].rstrip(".")
    options = dict(part.removeprefix("--").split() for part in advice.split(" and "))
    check_batch(
        int(options["batch"]), int(options.get("batch_per_device", size or 0)) or None, processes, group
    )


def test_no_batch_is_advised_that_has_more_images_than_there_are():
    with pytest.raises(InputError, match="--devices to 4 or fewer"):
        check_batch(4, None, 5, 4, images=4)


# ---- the processes of a run


def test_an_allocation_of_slurm_is_no_reason_to_wait_or_to_load(monkeypatch):
    for name, value in {
        "SLURM_JOB_ID": "7",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
    }.items():
        monkeypatch.setenv(name, value)
    Path("hpc_ckpt_1.ckpt").write_bytes(b"of another job")
    assert train("--name", "x") == 0


def environment(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))


def test_torchrun_decides_the_number_of_processes(monkeypatch, tmp_path):
    environment(monkeypatch, TORCHELASTIC_RUN_ID="x", RANK=1, LOCAL_RANK=1, WORLD_SIZE=4, LOCAL_WORLD_SIZE=2)
    trainer = make_trainer(RunOptions(accelerator="cpu"), tmp_path, [])
    assert (trainer.world_size, trainer.num_nodes) == (4, 2)
    with pytest.raises(InputError, match="torchrun started 2"):
        make_trainer(RunOptions(accelerator="cpu", devices=3), tmp_path, [])


def test_tasks_that_srun_started_train_together(monkeypatch, tmp_path):
    environment(
        monkeypatch, SLURM_STEP_NUM_TASKS=2, SLURM_STEP_NUM_NODES=1, SLURM_NTASKS=2, SLURM_NTASKS_PER_NODE=2
    )
    environment(monkeypatch, SLURM_PROCID=1, SLURM_LOCALID=1, SLURM_NODEID=0, SLURM_JOB_NAME="train")
    trainer = make_trainer(RunOptions(accelerator="cpu"), tmp_path, [])
    assert (trainer.world_size, trainer.global_rank) == (2, 1)


def test_training_in_a_thread_works():
    status = []
    thread = threading.Thread(target=lambda: status.append(train("--name", "x")))
    thread.start()
    thread.join(60)
    assert status == [0] and images("runs/x") == 16


# ---- signals and lost images


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_saves_and_gives_its_status(name, capsys):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    thread = when_it_trains("runs/x", lambda: os.kill(os.getpid(), number))
    assert train("--name", "x", *ENDLESS) == 128 + number
    thread.join()
    assert images("runs/x") > 0 and signal.getsignal(number) is before
    assert "--config runs/x/config.yaml --ckpt_path last" in capsys.readouterr().out


def test_an_ignored_signal_stays_ignored():
    """As SIGHUP is under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    thread = when_it_trains("runs/x", lambda: os.kill(os.getpid(), signal.SIGHUP))
    try:
        assert train("--name", "x", "--kimg", 0.08) == 0
    finally:
        thread.join()
        signal.signal(signal.SIGHUP, before)


def test_a_lost_data_worker_ends_the_run_with_a_message_and_saves(capsys):
    others = set(multiprocessing.active_children())  # of tests before this one

    def kill_one():
        os.kill((set(multiprocessing.active_children()) - others).pop().pid, signal.SIGKILL)

    thread = when_it_trains("runs/x", kill_one)
    assert train("--name", "x", "--data.workers", 2, *ENDLESS) == 2
    thread.join()
    error = capsys.readouterr().err
    assert "images can no longer be read" in error and "data.workers" in error and "last.ckpt" in error
    assert images("runs/x") > 0


def test_a_batch_that_cannot_be_read_ends_the_run_and_saves(capsys, monkeypatch):
    from stylegan2.data import ImageDataset

    original, calls = ImageDataset.__getitem__, []

    def spoilt(self, index):
        calls.append(index)
        if len(calls) > 20:
            raise InputError("photo.png is damaged.")
        return original(self, index)

    monkeypatch.setattr(ImageDataset, "__getitem__", spoilt)
    assert train("--name", "x", *ENDLESS) == 2
    assert "photo.png is damaged." in capsys.readouterr().err
    assert images("runs/x") > 0


def start(*args, **variables):
    """A run in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "--config", "tiny.yaml", "--name", "x", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | variables,
        start_new_session=True,
    )


def test_a_signal_to_all_processes_with_data_workers_saves():
    job = start("--data.workers", "2", *ENDLESS)
    wait_for_training("runs/x")
    os.killpg(job.pid, signal.SIGTERM)
    out, error = job.communicate(timeout=60)
    assert job.returncode == 128 + signal.SIGTERM, error
    assert "Traceback" not in error and error.count("Stopping after this iteration") == 1
    assert images("runs/x") > 0 and "Resume" in out


def test_a_second_signal_ends_at_once_with_its_status():
    """While the run waits for images, in the middle of saving, or wherever it is."""
    job = start(*ENDLESS, "--metrics.names", "[random_frechet]", "--metrics.images", "1000000")
    wait_for_training("runs/x")
    job.send_signal(signal.SIGTERM)
    time.sleep(3)  # it has saved, and measures for long
    job.send_signal(signal.SIGTERM)
    _, error = job.communicate(timeout=10)
    assert job.returncode == 128 + signal.SIGTERM, error
    assert images("runs/x") > 0


@pytest.mark.slow
def test_a_signal_to_the_second_process_saves_and_gives_its_status():
    job = start("--devices", "2", *ENDLESS)
    wait_for_training("runs/x")
    children = subprocess.run(
        ["pgrep", "-P", str(job.pid)], capture_output=True, encoding="utf-8"
    ).stdout.split()
    os.kill(int(children[0]), signal.SIGTERM)
    out, error = job.communicate(timeout=60)
    assert job.returncode == 128 + signal.SIGTERM, error
    assert "Interrupted" in out and images("runs/x") > 0


class Ended:
    """A process of the run, with its exit status."""

    def __init__(self, status):
        self.pid, self.poll = 0, lambda: status
        self.signals = []
        self.send_signal = self.signals.append


@pytest.mark.parametrize(
    "statuses, words",
    [
        ([None, -9, None], "process 2 was killed by signal 9"),
        ([1, 0, None], "process 1 ended with status 1"),
        ([], "another process has ended or cannot be reached"),
    ],
)
def test_the_loss_of_a_process_is_explained(tmp_path, statuses, words):
    last = tmp_path / "checkpoints" / "last.ckpt"
    trainer = make_trainer(RunOptions(accelerator="cpu", devices=4), tmp_path, [])
    trainer.strategy.launcher.procs = [Ended(status) for status in statuses]
    said = trainer.strategy.explain_loss()
    assert "4 processes" in said and words in said and "last.ckpt" not in said
    last.parent.mkdir()
    last.touch()
    assert (
        str(last) in trainer.strategy.explain_loss() and "--ckpt_path last" in trainer.strategy.explain_loss()
    )


def test_a_process_that_waits_for_a_lost_one_is_ended(monkeypatch, tmp_path, capsys):
    """As on GPUs, where no connection says that the other one is lost."""
    statuses = []
    monkeypatch.setattr(strategy, "GRACE", 0)
    monkeypatch.setattr(os, "_exit", statuses.append)
    launcher = make_trainer(RunOptions(accelerator="cpu", devices=2), tmp_path, []).strategy.launcher
    launcher.procs = [Ended(-9)]
    launcher._watch()
    assert statuses == [1] and "process 1 was killed by signal 9" in capsys.readouterr().err
    assert launcher.procs[0].signals == [signal.SIGKILL]


@pytest.mark.slow
def test_the_loss_of_a_process_ends_the_run_with_a_message():
    job = start("--devices", "2", *ENDLESS)
    wait_for_training("runs/x")
    children = subprocess.run(
        ["pgrep", "-P", str(job.pid)], capture_output=True, encoding="utf-8"
    ).stdout.split()
    began = time.monotonic()
    os.kill(int(children[0]), signal.SIGKILL)
    _, error = job.communicate(timeout=60)
    assert job.returncode == 1 and time.monotonic() - began < 15, error
    assert "process 1 was killed by signal 9" in error and "runs/x/checkpoints/last.ckpt" in error
    assert "Traceback" not in error
    assert images("runs/x") == 0  # the checkpoint of the start


def wait_for_checkpoint(path, since=0.0):
    deadline = time.time() + 200
    while not (path.exists() and path.stat().st_mtime > since):
        assert time.time() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_torchrun_starts_one_run_and_restarts_it_where_it_was():
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["--max_restarts", "1", str(ROOT / "train.py"), "--config", "tiny.yaml", "--kimg", "1000"]
    job = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    last, config = Path("runs/demo/checkpoints/last.ckpt"), Path("runs/demo/config.yaml")
    wait_for_checkpoint(last)
    children = subprocess.run(
        ["pgrep", "-P", str(job.pid)], capture_output=True, encoding="utf-8"
    ).stdout.split()
    os.kill(int(children[-1]), signal.SIGKILL)
    seen = images("runs/demo")
    wait_for_checkpoint(config, since=config.stat().st_mtime)  # written when it starts again
    wait_for_checkpoint(last, since=time.time())
    job.send_signal(signal.SIGTERM)
    job.wait(100)
    assert os.listdir("runs") == ["demo"] and images("runs/demo") > seen
