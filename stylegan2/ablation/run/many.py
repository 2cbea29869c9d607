"""Many runs of a study, several at a time, each in its own process on this machine or as a job of SLURM."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol

import torch
from tqdm import tqdm

from stylegan2.ablation.plan.study import Result, Run, Study
from stylegan2.ablation.run import one
from stylegan2.data.checking import usable_cpus
from stylegan2.errors import InputError


class Runs(Protocol):
    """What `run_all` needs to know of a study."""

    @property
    def out(self) -> Path: ...

    @property
    def runs(self) -> list[Run]: ...

    @property
    def kimg(self) -> float:
        """Length of a run."""

    def kimg_done(self, run: Run) -> float: ...

    def is_done(self, run: Run) -> bool: ...

    def result(self, run: Run) -> Result | None: ...

    def result_file(self, run: Run) -> Path: ...

    def save_result(self, run: Run, result: Result) -> None: ...


@dataclass(frozen=True)
class Job:
    """A run that has been started."""

    ended: Callable[[], str | None]
    """Returns None while the run goes on, and then a text that says how its process ended."""
    stop: Callable[[], None]
    """Asks the run to save its state and end."""


Engine = Callable[[Run, int], Job]
"""Starts a run. The second argument is its slot in 0..parallel-1, which no other running job uses."""


def processes(study: Runs, parallel: int, module: str = one.__name__) -> Engine:
    """An engine that starts one process per run on this machine.

    Parallel runs share the CPU cores. If there are several GPUs, each slot uses one of them.

    Args:
        study: The study.
        parallel: Number of runs at a time.
        module: What a process executes, with the folder of the study and the name of the run.
    """

    def start(run: Run, slot: int) -> Job:
        env = dict(os.environ)
        # A fixed number, so that variants that compute the same give the same bits.
        env.setdefault("OMP_NUM_THREADS", str(max(usable_cpus() // parallel, 1)))
        if parallel > 1 and torch.cuda.device_count() > 1:
            env.setdefault("CUDA_VISIBLE_DEVICES", str(slot % torch.cuda.device_count()))
        command = [sys.executable, "-m", module, str(study.out), run.name]
        # In a new session, Ctrl-C does not reach the run directly. It is stopped once, by stop().
        process = subprocess.Popen(command, env=env, start_new_session=True)

        def ended() -> str | None:
            status = process.poll()
            return None if status is None else f"its process ended with status {status}"

        return Job(ended, process.terminate)

    return start


def slurm(study: Study, options: dict[str, str | int], cluster: str = "slurm") -> Engine:
    """An engine that submits one cluster job per run through submitit.

    The folder of the study must be visible to all machines of the cluster.

    Args:
        study: The study.
        options: Parameters of submitit, such as slurm_partition, timeout_min, gpus_per_node.
        cluster: "slurm", or "local" for processes on this machine.

    Raises:
        InputError: submitit is not installed, does not accept the options, or does not find the cluster.
    """
    if not importlib.util.find_spec("submitit"):
        raise InputError(
            "--engine slurm needs the package submitit, which is not installed. "
            'Install it: pip install "stylegan2[slurm]"'
        )
    import submitit

    try:
        executor = submitit.AutoExecutor(folder=study.out / "jobs", cluster=cluster)
        executor.update_parameters(name="stylegan2-ablate", **options)
    except (RuntimeError, ValueError, NameError, TypeError) as error:
        raise InputError(
            f"--engine slurm with {options} is not available on this machine: {error}. Run the command where "
            "sbatch is installed, and use submitit's parameter names in --slurm."
        ) from error

    def start(run: Run, slot: int) -> Job:
        job = executor.submit(one.run_one, str(study.out), run.name)
        return Job(
            ended=lambda: f"its job {job.job_id} ended as {job.state}" if job.done() else None,
            stop=lambda: job.cancel(check=False),
        )

    return start


def run_all(
    study: Runs,
    start: Engine,
    parallel: int,
    progress: bool = True,
    poll_seconds: float = 1.0,
    runs: Sequence[Run] | None = None,
) -> int | None:
    """Run those runs that are not done, `parallel` of them at a time.

    Ctrl-C and SIGTERM ask the running ones to save their state and end.

    Args:
        study: The study.
        start: The engine that starts runs.
        parallel: Number of runs at a time.
        progress: Whether to show a progress bar.
        poll_seconds: Seconds between two looks at the running jobs.
        runs: The runs of the study to run. None: all.

    Returns:
        None, or the number of the signal that stopped the study.
    """
    runs = study.runs if runs is None else runs
    waiting = [run for run in runs if not study.is_done(run)]
    for run in waiting:
        study.result_file(run).unlink(missing_ok=True)  # a failed run is tried again
    running: dict[int, tuple[Run, Job]] = {}
    stopping = False
    bar_format = "{percentage:3.0f}% |{bar}| {n:.1f}/{total:.6g} kimg [{elapsed}<{remaining}{postfix}]"
    with (
        _stop_signals() as received,
        tqdm(
            total=len(runs) * study.kimg,
            initial=sum(map(study.kimg_done, runs)),
            disable=not progress,
            bar_format=bar_format,
            smoothing=0.05,
            mininterval=1.0,
        ) as bar,
    ):
        while running or (waiting and not received):
            for slot in set(range(parallel)) - running.keys():
                if waiting and not received:
                    run = waiting.pop(0)
                    running[slot] = run, start(run, slot)
            time.sleep(poll_seconds)
            if received and not stopping:
                stopping = True  # ask only once, because a second signal ends a run without saving
                for _, job in running.values():
                    job.stop()
            for slot, (run, job) in list(running.items()):
                how = job.ended()
                if how is not None:
                    del running[slot]
                    if not study.result(run) and not received:
                        study.save_result(run, Result(status="failed", kimg=study.kimg_done(run), why=how))
            _show(bar, study, runs, [run.name for run, _ in running.values()])
    return received[0] if received else None


def _show(bar: tqdm[NoReturn], study: Runs, runs: Sequence[Run], running: list[str]) -> None:
    """Set the bar to the total kimg of these runs, and show the names of the running ones."""
    ended = [result.status for run in runs if (result := study.result(run))]
    counts = [f"{ended.count('finished')} finished"]
    counts += [f"{ended.count(status)} {status}" for status in ("diverged", "failed") if status in ended]
    names = ", ".join(running[:3]) + (" …" if len(running) > 3 else "")
    bar.set_postfix_str(f"{', '.join(counts)} of {len(runs)}; {names}", refresh=False)
    bar.update(sum(map(study.kimg_done, runs)) - bar.n)


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Inside the block, Ctrl-C and SIGTERM add their number to the list instead of ending the process."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        tqdm.write("\nStopping: all running runs save their state. The same command resumes them.")
        received.append(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
