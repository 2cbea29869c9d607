"""Runs in processes of this machine, or through SLURM: several at once, each on its own."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from tqdm import tqdm

from stylegan2.ablation.job import run_one
from stylegan2.ablation.study import Result, Run, Study
from stylegan2.errors import InputError

EngineName = Literal["processes", "slurm"]


class Job(Protocol):
    """A started run."""

    def ended(self) -> str | None:
        """None while it runs; then how it ended, to read."""

    def stop(self) -> None:
        """Ask it to save and end."""


class Engine(Protocol):
    def start(self, run: Run, place: int) -> Job:
        """place: 0..parallel-1, of no other running job."""


class _Process:
    def __init__(self, process: subprocess.Popen):
        self.process = process

    def ended(self) -> str | None:
        status = self.process.poll()
        return None if status is None else f"its process ended with status {status}"

    def stop(self) -> None:
        self.process.terminate()


class Processes:
    """A process a run. Several share the CPU's cores; of several GPUs each takes its own."""

    def __init__(self, study: Study, parallel: int):
        self.study, self.parallel = study, parallel

    def start(self, run: Run, place: int) -> Job:
        env = dict(os.environ)
        if self.parallel > 1:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            env.setdefault("OMP_NUM_THREADS", str(max(cores // self.parallel, 1)))
            if torch.cuda.device_count() > 1 and "CUDA_VISIBLE_DEVICES" not in env:
                env["CUDA_VISIBLE_DEVICES"] = str(place % torch.cuda.device_count())
        command = [sys.executable, "-m", f"{__package__}.job", str(self.study.out), run.name]
        # A session of its own: Ctrl-C reaches it once, through stop().
        return _Process(subprocess.Popen(command, env=env, start_new_session=True))


class _Submitted:
    def __init__(self, job):
        self.job = job

    def ended(self) -> str | None:
        return f"its job {self.job.job_id} ended as {self.job.state}" if self.job.done() else None

    def stop(self) -> None:
        self.job.cancel(check=False)


class Submitit:
    """Jobs of a cluster through submitit; all machines must see the study's folder.

    Args:
        study: The study.
        options: submitit's parameters, such as slurm_partition, timeout_min, gpus_per_node.
        cluster: "slurm"; "local" runs jobs as processes here.

    Raises:
        InputError: submitit is not installed, refuses the options, or finds no such cluster.
    """

    def __init__(self, study: Study, options: dict[str, str | int], cluster: str = "slurm"):
        if not importlib.util.find_spec("submitit"):
            raise InputError(
                "--engine slurm needs the package submitit, which is not installed. "
                'Install it: pip install "stylegan2[slurm]"'
            )
        import submitit

        self.study = study
        try:
            self.executor = submitit.AutoExecutor(folder=study.out / "jobs", cluster=cluster)
            self.executor.update_parameters(name="stylegan2-ablate", **options)
        except (RuntimeError, ValueError, NameError, TypeError) as error:
            raise InputError(
                f"--engine slurm with {options} cannot be had here: {error}. Run it where sbatch is, with "
                "submitit's own parameter names."
            ) from error

    def start(self, run: Run, place: int) -> Job:
        return _Submitted(self.executor.submit(run_one, str(self.study.out), run.name))


def work_off(
    study: Study, engine: Engine, parallel: int, progress: bool = True, poll: float = 1.0
) -> int | None:
    """Start every run that is not done, `parallel` at a time, until all are.

    Ctrl-C and SIGTERM stop the running ones, which save where they are.

    Returns:
        None, or the signal that stopped it.
    """
    waiting = [run for run in study.runs if not study.done(run)]
    for run in waiting:
        study.forget(run)
    running: dict[int, tuple[Run, Job]] = {}
    stopped: list[int] = []
    asked = False
    with _signals(stopped.append), _Bar(study, progress) as bar:
        while (waiting and not stopped) or running:
            for place in range(parallel):
                if waiting and not stopped and place not in running:
                    run = waiting.pop(0)
                    running[place] = run, engine.start(run, place)
            time.sleep(poll)
            if stopped and not asked:
                asked = True  # a second time would end them without saving
                for _, job in running.values():
                    job.stop()
            for place, (run, job) in list(running.items()):
                how = job.ended()
                if how is not None:
                    del running[place]
                    if not study.result(run) and not stopped:
                        lost = Result(status="failed", kimg=study.kimg_done(run), why=how)
                        study.save_result(run, lost)
            bar.show([run for run, _ in running.values()])
    return stopped[0] if stopped else None


class _Bar:
    """One bar over the kimg of all runs, with the estimate of what remains."""

    def __init__(self, study: Study, progress: bool):
        self.study, self.ended = study, {}
        done = sum(study.kimg for run in study.runs if study.done(run))
        self.bar = tqdm(
            total=len(study.runs) * study.kimg,
            initial=done,
            disable=not progress,
            bar_format="{percentage:3.0f}% |{bar}| {n:.1f}/{total:.6g} kimg [{elapsed}<{remaining}{postfix}]",
            smoothing=0.05,
            mininterval=1.0,
        )

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    def show(self, running: list[Run]) -> None:
        kimg, counts = 0.0, {"finished": 0, "diverged": 0, "failed": 0}
        for run in self.study.runs:
            result = self.ended.get(run.name) or self.study.result(run)
            if result:
                self.ended[run.name] = result
                counts[result.status] += 1
                kimg += self.study.kimg
            elif self.study.folder(run).exists():
                kimg += self.study.kimg_done(run)
        told = [f"{count} {status}" for status, count in counts.items() if count or status == "finished"]
        names = ", ".join(run.name for run in running[:3]) + (" …" if len(running) > 3 else "")
        self.bar.set_postfix_str(f"{', '.join(told)} of {len(self.study.runs)}; {names}", refresh=False)
        self.bar.update(kimg - self.bar.n)


class _signals:
    """Hand Ctrl-C and SIGTERM to a function, while in the context."""

    def __init__(self, handle: Callable[[int], None]):
        self.handle, self.before = handle, {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self.before[number] = signal.signal(number, self._received)

    def _received(self, number: int, frame) -> None:
        tqdm.write("\nStopping: running runs save where they are. The same command goes on from there.")
        self.handle(number)

    def __exit__(self, *_) -> None:
        for number, before in self.before.items():
            signal.signal(number, before)
