"""What a checkpoint holds besides Lightning's own state: counters, network settings and random state.

Everything is plain data and tensors, so a file opens with `weights_only=True` and cannot run code.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import CheckpointIO
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.files import replacing
from stylegan2.formats import native
from stylegan2.formats.native import KEY
from stylegan2.formats.tensors import described, newest_sound, read_tensors, write_tensors

from . import distributed
from .data import TrainingData
from .divergence import Diverged
from .module import StyleGAN2


class CheckpointFiles(CheckpointIO):
    """Makes Lightning write checkpoints atomically and verify them when it reads them.

    Lightning's default writes to the system's temporary folder first, and neither flushes nor verifies.
    """

    failure: str | None = None
    """Why the latest checkpoint could not be written. The first process alone writes, and then tells the others."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        self.failure = None
        try:
            write_tensors(checkpoint, path)
        except InputError as error:  # the other processes wait for this one
            self.failure = str(error)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_tensors(path)

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


class CheckpointState(pl.Callback):
    """Saves counters, random state, and the settings of networks and data in checkpoints, and restores them.

    Args:
        data: Where the trainer takes its images from.
    """

    def __init__(self, data: TrainingData):
        self.data = data
        self._random: dict[str, Tensor] | None = None

    def setup(self, trainer: pl.Trainer, module: StyleGAN2, stage: str) -> None:
        trainer.strategy.checkpoint_io = CheckpointFiles()
        self.data.identity  # noqa: B018 (computed before training, while the files are as checked)

    def on_save_checkpoint(self, trainer: pl.Trainer, module: StyleGAN2, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = settings(module) | {
            "iteration": module.iteration,
            "images": module.images,
            "class_names": module.class_names,
            "data": self.data.identity,
            "seed": self.data.seed,
            "held_out": self.data.held_out,
            "random": distributed.gather(self._random or _random_state(module.device)),
        }

    def on_load_checkpoint(self, trainer: pl.Trainer, module: StyleGAN2, checkpoint: dict[str, Any]) -> None:
        state, data = checkpoint[KEY], self.data
        module.iteration, module.images = state["iteration"], state["images"]
        # Random states are saved per process. If the number of processes differs, none of them fits. Another
        # seed asks for other random numbers.
        same = len(state["random"]) == trainer.world_size and state.get("seed", data.seed) == data.seed
        self._random = state["random"][trainer.global_rank] if same else None
        before = state.get("data", data.identity)
        if before["digest"] != data.identity["digest"] and trainer.is_global_zero:
            print(
                f"warning: the checkpoint was trained on other images: {_summary(before)}. Training continues on "
                f"{_summary(data.identity)}.",
                file=sys.stderr,
            )

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: StyleGAN2, batch: object, batch_idx: int
    ) -> None:
        # Not earlier, because setting up the data loader draws random numbers.
        if self._random is not None:
            torch.set_rng_state(self._random["cpu"])
            if "cuda" in self._random and module.device.type == "cuda":
                torch.cuda.set_rng_state(self._random["cuda"], module.device)
            self._random = None


def settings(module: StyleGAN2) -> dict[str, Any]:
    """The configuration of both networks and their scalings, as plain data."""
    generator, discriminator = module.generator.config, module.discriminator.config
    return native.plain(generator, discriminator, module.config.scalings) | {
        "samples_from": "generator_ema" if module.config.ema else "generator"
    }


def _random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _summary(data: Mapping[str, Any]) -> str:
    return f"{data['images']:,} images of {data['path']!r}"


def save(trainer: pl.Trainer, module: StyleGAN2, path: Path, also: Path | None = None) -> None:
    """Write a checkpoint if all its numbers are finite. A crash cannot damage the old one.

    Call this in every process.

    Args:
        trainer: The trainer whose state is saved.
        module: The module that it trains.
        path: The file to write.
        also: A second file, which gets a copy.

    Raises:
        Diverged: A weight, a buffer or a number of an optimizer's state is not finite. Nothing is written.
        InputError: A file cannot be written, for example because the disk is full. The old one stays.
    """
    optimizers = [optimizer.state_dict() for optimizer in trainer.optimizers]
    bad = not_finite({"state_dict": module.state_dict(), "optimizer_states": optimizers})
    if distributed.any_process(bool(bad), module.device):
        last = max(module.iteration - 1, 0), max(module.images - module.batch, 0)
        raise Diverged(*last, bad or ["a number in another process"])
    trainer.save_checkpoint(path)
    files = trainer.strategy.checkpoint_io
    failure = distributed.gather(files.failure if isinstance(files, CheckpointFiles) else None)[0]
    if failure is None and also is not None and trainer.is_global_zero:
        try:
            with replacing(also) as copy:
                shutil.copyfile(path, copy)
        except OSError as error:
            failure = f"Expected to write the copy {also}, found {error.strerror}. {path} is written."
    if failure := distributed.gather(failure)[0]:
        raise InputError(failure)


def not_finite(tree: object) -> list[str]:
    """Dotted names of the tensors in nested dictionaries and lists that hold NaN or infinity."""
    return [
        name
        for name, tensor in _tensors(tree, "")
        if tensor.is_floating_point() and not tensor.isfinite().all()
    ]


def _tensors(tree: object, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield name, tree
    elif isinstance(tree, (Mapping, list, tuple)):
        for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
            yield from _tensors(value, f"{name}.{key}" if name else str(key))


def read_matching(path: str | Path, module: StyleGAN2) -> dict[str, Any]:
    """Read a checkpoint whose networks and classes are those of the module.

    Raises:
        InputError: They differ. The message lists each difference with both values.
    """
    contents = native.read(path)
    native.keep_own(contents["state_dict"], module.state_dict(), "augmentation.")
    state, ours = contents[KEY], settings(module)
    theirs = native.plain(*native.configs(state))  # with defaults for options newer than the checkpoint
    differing = []
    for part in ("generator", "discriminator", "scalings"):
        for key, theirs_is in theirs[part].items():
            if theirs_is != ours[part][key]:
                differing.append(
                    f"  {part}.{key}: {theirs_is} in the checkpoint, {ours[part][key]} configured"
                )
    if state["samples_from"] != ours["samples_from"]:
        differing.append(f"  ema: {'on' if module.config.ema is None else 'off'} in the checkpoint")
    if differing:
        raise InputError(
            f"The networks in {path} differ from the configuration:\n" + "\n".join(differing) + "\n"
            "Resume with the run's own config.yaml, or train from the start under another --name."
        )
    classes = list(state.get("class_names", module.class_names))
    if classes != module.class_names:
        raise InputError(
            f"The classes in {path} differ from those of the data:\n"
            f"  in the checkpoint: {classes}\n  in the data: {module.class_names}\n"
            "Restore the names of the class folders, or train from the start under another --name."
        )
    return contents


def read_resumable(path: str | Path, module: StyleGAN2) -> dict[str, Any]:
    """Read a checkpoint from which the training of a module can continue.

    Raises:
        InputError: The networks or classes differ, something is missing, or a number is not finite.
    """
    contents = read_matching(path, module)
    with described(path, "all that resuming needs"):
        shapes = [
            {name: tuple(tensor.shape) for name, tensor in weights.items()}
            for weights in (contents["state_dict"], module.state_dict())
        ]
        wrong = sorted(name for name, _ in set(shapes[0].items()) ^ set(shapes[1].items()))
        if wrong:
            raise InputError(
                f"The tensors in {path} differ from the configuration: {', '.join(dict.fromkeys(wrong))}. "
                "Resume with the run's own config.yaml, or train from the start under another --name."
            )
        states = contents["optimizer_states"]
        if len(states) != 2 or not all({"state", "param_groups"} <= set(state) for state in states):
            raise TypeError("expected the states of two optimizers")
        for name in ("loops", "lr_schedulers", "callbacks", "pytorch-lightning_version"):
            contents[name]  # noqa: B018 (the KeyError names what is missing)
        contents[KEY]["random"]  # noqa: B018
    bad = not_finite({"state_dict": contents["state_dict"], "optimizer_states": states})
    if bad:
        other = newest_sound(Path(path))
        raise InputError(
            f"Expected finite numbers in {path}, found NaN or infinity in {', '.join(bad[:3])}: it was written "
            f"after the run diverged. Give an earlier checkpoint{f', such as {other}' if other else ''}."
        )
    return contents
