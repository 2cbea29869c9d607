"""One run, start to end, in a process of its own: train, measure quality, write down how it ended."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import traceback
from pathlib import Path

import torch
import yaml
from torch import Tensor

from stylegan2.ablation.study import Result, Run, Study, load
from stylegan2.cli import build_data, train_command, train_parser
from stylegan2.data.dataset import ImageDataset, to_uint8
from stylegan2.errors import InputError
from stylegan2.metrics.random_frechet import RandomFrechet
from stylegan2.training import checkpoint
from stylegan2.training.run import LAST

REALS = 10_000
"""Training images that quality is measured against, at most."""


def run_one(out: str, name: str) -> int:
    """Do what is left of one run of the study in a folder; what it prints goes to its log.

    Returns:
        0: it ended, in whatever way. 128 + signal: it was stopped, and goes on when called again.
    """
    study = load(Path(out))
    run = study.find(name)
    study.log(run).parent.mkdir(parents=True, exist_ok=True)
    with (
        study.log(run).open("a", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        try:
            status = _train(study, run)
            if status > 128:
                return status
            curve = quality_curve(study, run)
            why = _divergence(study, run) if status == 1 else ""
            result = Result(
                status="diverged" if status == 1 else "finished",
                kimg=_diverged_at(why) if status == 1 else study.kimg,
                why=why,
                curve=curve,
            )
        except Exception as error:  # one run's failure, of whatever kind, must not stop the others
            traceback.print_exc()
            text = " ".join(str(error).split())[:300]
            result = Result(status="failed", kimg=study.kimg_done(run), why=f"{type(error).__name__}: {text}")
        study.save_result(run, result)
        for numbered in (study.folder(run) / LAST).parent.glob("kimg*.ckpt"):
            if result.status != "failed":
                numbered.unlink()  # they have been measured
    return 0


def _train(study: Study, run: Run) -> int:
    """Exit status of train.py; 0 if there is nothing left to train."""
    last = study.folder(run) / LAST
    if last.is_file():
        if checkpoint.read(last)[checkpoint.KEY]["images"] >= study.kimg * 1000:
            return 0
    elif study.folder(run).exists():  # interrupted before its first checkpoint
        shutil.rmtree(study.folder(run))
    return train_command(study.arguments(run))


def _divergence(study: Study, run: Run) -> str:
    """The latest divergence in the log: "iteration 5 (0.1 kimg): loss_d is NaN or infinite"."""
    found = re.findall(r"^Stopped at (iteration .*? is NaN or infinite)", study.log(run).read_text(), re.M)
    return found[-1] if found else "a loss is NaN or infinite"


def _diverged_at(why: str) -> float:
    found = re.search(r"\(([\d.]+) kimg\)", why)
    return float(found[1]) if found else 0.0


def quality_curve(study: Study, run: Run) -> list[tuple[float, float]]:
    """(kimg, distance) of each checkpoint of the run, in order of kimg."""
    options = train_parser().parse_args(["--config", str(study.base), "--config", str(study.overlay(run))])
    dataset = build_data(options).open(progress=False)
    metric = RandomFrechet(reals(dataset))
    found = {}
    for path in (study.folder(run) / LAST).parent.glob("*.ckpt"):
        images, batches = generated(path, dataset, study.images)
        if (images / 1000) not in found:
            found[images / 1000] = metric(batches)
    return sorted(found.items())


def reals(dataset: ImageDataset, at_most: int = REALS):
    """Batches of training images, uint8: all of them, or a fixed random choice of so many."""
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:at_most]
    for rows in order.split(64):
        yield dataset[rows.tolist()][0]


def generated(path: Path, dataset: ImageDataset, n: int, seed: int = 0):
    """Images seen by a checkpoint, and batches of n images it generates: uint8, full variety (psi 1).

    The same latents and noise at every call, labels as frequent as in the data.
    """
    network, state = checkpoint.load_generator(path)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.to(device)

    @torch.no_grad()
    def batches():
        random = torch.Generator().manual_seed(seed)
        z = torch.randn(n, network.z_dim, generator=random)
        c = dataset.labels(torch.randint(len(dataset), (n,), generator=random))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for part, labels in zip(z.split(64), c.split(64)):
                images: Tensor = network(part.to(device), labels.to(device), psi=1.0, noise="random")
                # Weights that a diverged run left as NaN give black images, at a distance that shows it.
                yield to_uint8(images.nan_to_num()).cpu()

    return state["images"], batches()


def check(study: Study) -> None:
    """Parse every variant's options, as its runs will.

    Raises:
        InputError: One of them cannot be.
    """
    parser = train_parser()
    parser.exit_on_error = False
    for variant in study.variants:
        run = Run(variant=variant.name, seed=0)
        try:
            parser.instantiate(
                parser.parse_args(["--config", str(study.base), "--config", str(study.overlay(run))])
            )
        except InputError:
            raise
        except Exception as error:  # jsonargparse has several kinds of its own
            text = " ".join(str(error).split())
            raise InputError(
                f"{variant.name}: {yaml.safe_dump(variant.overlay, default_flow_style=True).strip()} is no "
                f"configuration: {text[:300]}. Correct the field or its values."
            ) from error


if __name__ == "__main__":
    sys.exit(run_one(*sys.argv[1:]))
