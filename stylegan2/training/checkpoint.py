"""What a checkpoint holds besides Lightning's own state: counters, network settings and random state.

Everything is plain data and tensors, so a file opens with `weights_only=True` and cannot run code.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from stylegan2.errors import InputError
from stylegan2.files import replacing
from stylegan2.formats import native
from stylegan2.formats.native import KEY

from . import distributed
from .module import StyleGAN2


class CheckpointState(pl.Callback):
    """Saves counters, random state and the networks' settings in checkpoints, and restores them."""

    def __init__(self) -> None:
        self._random: dict[str, torch.Tensor] | None = None

    def on_save_checkpoint(self, trainer: pl.Trainer, module: StyleGAN2, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = settings(module) | {
            "iteration": module.iteration,
            "images": module.images,
            "class_names": module.class_names,
            "random": distributed.gather(_random_state(module.device)),
        }

    def on_load_checkpoint(self, trainer: pl.Trainer, module: StyleGAN2, checkpoint: dict[str, Any]) -> None:
        state = checkpoint[KEY]
        module.iteration, module.images = state["iteration"], state["images"]
        # Random states are saved per process. If the number of processes differs, none of them fits.
        same = len(state["random"]) == trainer.world_size
        self._random = state["random"][trainer.global_rank] if same else None

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


def _random_state(device: torch.device) -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def save(trainer: pl.Trainer, path: Path, also: Path | None = None) -> None:
    """Write a checkpoint under a temporary name and rename it, so that a crash cannot damage the old one.

    Call this in every process.

    Args:
        trainer: The trainer whose state is saved.
        path: The file to write.
        also: A second file, which gets a copy.
    """
    if not trainer.is_global_zero:
        trainer.save_checkpoint(path)  # takes part in collective calls, but writes nothing
        return
    with replacing(path) as temporary:
        trainer.save_checkpoint(temporary)
        if also is not None:
            with replacing(also) as copy:
                shutil.copyfile(temporary, copy)


def check_same(path: str | Path, module: StyleGAN2) -> None:
    """Check that the model's networks have the configuration that a checkpoint holds.

    Raises:
        InputError: They differ. The message lists each differing field with both values.
    """
    state, ours = native.read(path)[KEY], settings(module)
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
