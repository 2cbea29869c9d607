"""The callback that writes checkpoints and removes old ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from stylegan2.formats.tensors import NUMBERED
from stylegan2.metrics.figures import best, read_figures

from . import checkpoint
from .callbacks import kimg_name, passed
from .evaluation import FIGURES
from .module import StyleGAN2
from .unwritten import going_on


class Snapshots(pl.Callback):
    """Writes last.ckpt at the start, every `every_kimg` thousand images and at the end.

    Each write between start and end also makes a copy that is named after the kimg. Of these copies the newest
    are kept, and the best one by a metric (figures.csv). Checkpoints list the copies that the run made, and no other
    files are ever removed. If a file cannot be written between start and end, for example because the disk is full,
    a warning says so, the checkpoint before stays, and training goes on.

    Args:
        folder: The folder of checkpoints.
        every_kimg: Thousands of images between two numbered checkpoints. 0: none.
        keep: How many of the newest numbered checkpoints are kept. None: all.
        metric: Name of the metric whose best figure marks the best checkpoint. None: none is the best.
    """

    def __init__(self, folder: Path, every_kimg: float, keep: int | None = None, metric: str | None = None):
        self.last, self.every, self.keep, self.metric = folder / "last.ckpt", every_kimg * 1000, keep, metric
        self._numbered: list[str] = []
        self._has_last = False

    def state_dict(self) -> dict[str, Any]:
        return {"numbered": list(self._numbered)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._numbered = state_dict["numbered"]

    def on_train_start(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        resumed = trainer.ckpt_path
        self._has_last = resumed is not None and Path(resumed).resolve() == self.last.resolve()

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: StyleGAN2, batch: object, batch_idx: int
    ) -> None:
        # Not in on_train_start: setting up the data loader after it draws random numbers.
        if not self._has_last:
            self._write(trainer, module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_: object) -> None:
        if passed(module, self.every):
            name = f"{kimg_name(module)}.ckpt"
            self._numbered = [*(other for other in self._numbered if other != name), name]
            with going_on():
                self._write(trainer, module, self.last.with_name(name))
            if trainer.is_global_zero:
                self._remove_old()

    def on_train_end(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        self._write(trainer, module)

    def _write(self, trainer: pl.Trainer, module: StyleGAN2, also: Path | None = None) -> None:
        module.loss_check.check()
        checkpoint.save(trainer, module, self.last, also)
        self._has_last = True

    def _remove_old(self) -> None:
        if self.keep is None:
            return
        there = [path for path in map(self.last.with_name, self._numbered) if path.is_file()]
        best = self._best(there)
        for path in there[: max(len(there) - self.keep, 0)]:
            if path != best:
                path.unlink()
        self._numbered = [path.name for path in there if path.is_file()]

    def _best(self, paths: list[Path]) -> Path | None:
        """The checkpoint with the best figure of the metric, of those that can be compared with the newest one."""
        found = [f for f in read_figures(self.last.parent.parent / FIGURES) if f.name == self.metric]
        like = [f for f in found if f.key == found[-1].key]
        figures = {
            figure: path
            for path in paths
            for figure in like
            if math.isclose(figure.kimg, _kimg(path), rel_tol=1e-5, abs_tol=1e-3)
        }
        figure = best(list(figures))
        return figures[figure] if figure else None


def _kimg(path: Path) -> float:
    match = NUMBERED.fullmatch(path.name)
    return float(match[1]) if match else math.nan
