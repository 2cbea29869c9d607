"""One run of a study, from its start to its result, in the process that executes this module."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from stylegan2.ablation.plan.measures import (
    HELD_OUT,
    HELD_OUT_COLUMN,
    Curve,
    names_at_the_end,
    options_at_the_end,
)
from stylegan2.ablation.plan.study import Result, Run, Signal, Study, load_study
from stylegan2.cli import build_data, build_model, select, train_parser
from stylegan2.console import accept_any_character
from stylegan2.data import ImageDataset, to_float
from stylegan2.formats import load_generator, native
from stylegan2.training.folder import LAST
from stylegan2.training.measuring import Measuring
from stylegan2.training.options import RunOptions

if TYPE_CHECKING:
    from stylegan2.training.module import StyleGAN2


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


if __name__ == "__main__":
    accept_any_character()
    sys.exit(run_one(*sys.argv[1:]))
