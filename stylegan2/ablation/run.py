"""Executes the runs of a study, each in its own process and several in parallel, on this machine or by SLURM."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from stylegan2.ablation.measures import (
    HELD_OUT,
    HELD_OUT_COLUMN,
    Curve,
    names_at_the_end,
    options_at_the_end,
)
from stylegan2.ablation.study import Result, Run, Signal, Study, load_study
from stylegan2.cli import build_data, build_model, select, train_parser
from stylegan2.console import accept_any_character
from stylegan2.data import ImageDataset, to_float
from stylegan2.data.checking import usable_cpus
from stylegan2.errors import InputError
from stylegan2.formats import load_generator, native
from stylegan2.training.folder import LAST
from stylegan2.training.measuring import Measuring
from stylegan2.training.options import RunOptions

if TYPE_CHECKING:
    from stylegan2.training.module import StyleGAN2

# ---- one run, start to end


def run_one(out: str, name: str) -> int:
    """Start or resume one run of the study in a folder. Its output goes to its log.

    Args:
        out: Folder of the study.
        name: Name of the run.

    Returns:
        0 if the run finished, diverged or failed. 128 + signal if it was stopped; the next call resumes it.
    """
    study = load_study(Path(out))
    run = next(run for run in study.runs if run.name == name)
    with output_to(study.log(run)):
        try:
            signal, status, others = _train(study, run)
            if status > 128:
                return status
            result = _result(study, run, signal, others, diverged=status == 1)
        except Exception as error:  # no failure of one run may stop the others
            result = failed(error, study.kimg_done(run))
        study.save_result(run, result)
    if result.status != "failed":
        for numbered in (study.folder(run) / LAST).parent.glob("kimg*.ckpt"):
            numbered.unlink()
    return 0


@contextlib.contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Inside the block, append all output to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("a", buffering=1, encoding="utf-8", errors="backslashreplace") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        yield


def failed(error: Exception, kimg: float) -> Result:
    """The result of a run that an error ended. The traceback is printed."""
    traceback.print_exception(error)
    text = " ".join(str(error).split())[:300]
    return Result(status="failed", kimg=kimg, why=f"{type(error).__name__}: {text}")


def _train(study: Study, run: Run) -> tuple[Signal, int, dict[str, Curve]]:
    """Measure the untrained networks of a run, start or resume its training, and measure the trained generator.

    Returns:
        The signal of the untrained networks, the exit status of training, and the curves of the measures at its end.
    """
    from stylegan2.training.run import train

    folder = study.folder(run)
    if folder.exists() and not (folder / LAST).is_file():  # interrupted before its first checkpoint
        shutil.rmtree(folder)
    parser = train_parser()
    config = parser.parse_args(study.arguments(run))
    parsed = parser.instantiate(config)
    options = select(parsed, RunOptions)
    dataset = build_data(parsed).open(minimum=options.batch, progress=False)
    torch.manual_seed(options.seed)
    model = build_model(parsed, dataset, options.batch, options.batch_per_device)
    signal = initial_signal(model, dataset, run.seed)
    status = 0
    if not (
        (folder / LAST).is_file() and native.read(folder / LAST)[native.KEY]["images"] >= study.kimg * 1000
    ):
        config.ckpt_path = None  # so that the config.yaml of the run repeats it from the start
        status = train(model, dataset, options, folder, parser.as_yaml(config), parsed.metrics)
    return signal, status, {} if status else _at_the_end(study, run, dataset, options.accelerator)


def _at_the_end(study: Study, run: Run, dataset: ImageDataset, accelerator: str) -> dict[str, Curve]:
    """The measures of the trained generator, which is read from the run's last checkpoint."""
    names = names_at_the_end(study)
    if not names:
        return {}
    network, _ = load_generator(study.folder(run) / LAST)
    if torch.cuda.is_available() and accelerator != "cpu":
        network.cuda()
    figures = Measuring(options_at_the_end(study), dataset).figures(network)
    return {name: [(study.kimg, figure.value)] for name, figure in zip(names, figures)}


def initial_signal(model: StyleGAN2, dataset: ImageDataset, seed: int, images: int = 16) -> Signal:
    """Measure the signal in untrained networks on `images` fixed training images."""
    rows = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:images].tolist()
    reals, labels = dataset[rows]
    z = torch.randn(len(reals), model.generator.z_dim, generator=torch.Generator().manual_seed(seed))
    logits, discriminator = rms_of_layers(
        model.discriminator, (to_float(reals), labels), r"b(?!4$)\d+|b4\.(conv|fc|out)"
    )
    _, generator = rms_of_layers(model.generator, (z, labels), r"synthesis(\.b\d+\.conv\d)?")
    return Signal(
        discriminator=discriminator,
        generator={
            name.removeprefix("synthesis.").replace("synthesis", "image"): rms
            for name, rms in generator.items()
        },
        logits_std=logits.std().item(),
    )


@torch.no_grad()
def rms_of_layers(
    network: nn.Module, inputs: tuple[Tensor | None, ...], names: str, training: bool = False
) -> tuple[Tensor, dict[str, float]]:
    """The output of a network, and the rms of the output of each module that `names` matches.

    Args:
        network: The network.
        inputs: Its arguments.
        names: A regular expression for the whole name of a module.
        training: Whether the network is in training mode, and not in evaluation mode.
    """
    rms: dict[str, float] = {}

    def record(name: str, output: Tensor | tuple[Tensor, ...]) -> None:
        x = output if isinstance(output, Tensor) else output[0]
        rms[name] = x.float().square().mean().sqrt().item()

    handles = [
        module.register_forward_hook(lambda module, inputs, output, name=name: record(name, output))
        for name, module in network.named_modules()
        if re.fullmatch(names, name)
    ]
    before = network.training
    try:
        return network.train(training)(*inputs), rms
    finally:
        network.train(before)
        for handle in handles:
            handle.remove()


def _result(study: Study, run: Run, signal: Signal, others: dict[str, Curve], diverged: bool) -> Result:
    """The result of a run whose training has ended, from its metrics.csv and its log."""
    rows, column = study.numbers(run), f"metric_{study.metric}"
    curve = [(row["kimg"], row[column]) for row in rows if column in row]
    held_out = [(row["kimg"], row[HELD_OUT_COLUMN]) for row in rows if HELD_OUT_COLUMN in row]
    others = others | ({HELD_OUT: held_out} if held_out else {})
    if not diverged:
        return Result(status="finished", kimg=study.kimg, curve=curve, others=others, signal=signal)
    said = re.findall(
        r"^Stopped at (iteration .*?\(([\d.]+) kimg\).*? is NaN or infinite)",
        study.log(run).read_text(encoding="utf-8"),
        re.M,
    )
    why, kimg = said[-1] if said else ("a loss is NaN or infinite", "0")
    return Result(status="diverged", kimg=float(kimg), why=why, curve=curve, others=others, signal=signal)


# ---- many runs at once


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


def processes(study: Runs, parallel: int, module: str = __name__) -> Engine:
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
        job = executor.submit(run_one, str(study.out), run.name)
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


if __name__ == "__main__":
    accept_any_character()
    sys.exit(run_one(*sys.argv[1:]))
