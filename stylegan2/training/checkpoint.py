"""Checkpoints: what they hold beside Lightning's state, and networks out of them without a configuration.

Everything is plain data and tensors, so files open with `weights_only=True` and run nobody's code.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytorch_lightning as pl
import torch

from stylegan2.errors import InputError
from stylegan2.formats.official import from_official
from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import Scalings
from stylegan2.training import distributed
from stylegan2.training.module import StyleGAN2

__all__ = ["CheckpointState", "check_same", "from_official", "load_generator", "read", "save"]

KEY = "stylegan2"


class CheckpointState(pl.Callback):
    """Puts counters, random state and the networks' settings into checkpoints, and takes them out again."""

    def __init__(self):
        self._random: dict[str, torch.Tensor] | None = None

    def on_save_checkpoint(self, trainer: pl.Trainer, module: StyleGAN2, checkpoint: dict) -> None:
        checkpoint[KEY] = {
            "iteration": module.iteration,
            "images": module.images,
            "generator": module.generator.config,
            "discriminator": module.discriminator.config,
            "sampler": "average" if module.ema else "generator",
            "class_names": getattr(module, "class_names", []),
            "random": distributed.gather(_random_state(module.device)),
        }

    def on_load_checkpoint(self, trainer: pl.Trainer, module: StyleGAN2, checkpoint: dict) -> None:
        state = checkpoint[KEY]
        module.iteration, module.images = state["iteration"], state["images"]
        # With another number of processes than before, there is no state to go on from.
        same = len(state["random"]) == trainer.world_size
        self._random = state["random"][trainer.global_rank] if same else None

    def on_train_batch_start(self, trainer: pl.Trainer, module: StyleGAN2, batch, batch_idx: int) -> None:
        # Only here: setting up the data loader draws random numbers too.
        if self._random is not None:
            torch.set_rng_state(self._random["cpu"])
            if "cuda" in self._random and module.device.type == "cuda":
                torch.cuda.set_rng_state(self._random["cuda"], module.device)
            self._random = None


def _random_state(device: torch.device) -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def save(trainer: pl.Trainer, path: Path, also: Path | None = None) -> None:
    """Write a checkpoint under a temporary name and rename it, so that a crash leaves the old one whole.

    To be called in every process. `also` gets a copy.
    """
    temporary = path.with_suffix(".tmp")
    trainer.save_checkpoint(temporary)
    if trainer.is_global_zero:
        if also is not None:
            shutil.copyfile(temporary, also.with_suffix(".tmp"))
            os.replace(also.with_suffix(".tmp"), also)
        os.replace(temporary, path)


def read(path: str | Path) -> dict:
    """A checkpoint's contents.

    Raises:
        InputError: No such file, or not a checkpoint of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"Expected a checkpoint at {path}, found no such file. Give the path of a .ckpt file."
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is no checkpoint makes of the unpickler
        raise InputError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}). Give a file that training "
            "wrote, such as runs/NAME/checkpoints/last.ckpt."
        ) from error
    if not isinstance(checkpoint, dict) or KEY not in checkpoint:
        raise InputError(
            f"{path} is a PyTorch file, but not a checkpoint of this package. Give a file that training "
            "wrote, such as runs/NAME/checkpoints/last.ckpt."
        )
    return checkpoint


def load_generator(path: str | Path) -> tuple[Generator, dict]:
    """The generator samples are drawn from (the running average), in evaluation mode on the CPU.

    Returns:
        The network, and what the checkpoint says of its run: images, iteration, class_names.

    Raises:
        InputError: As `read`.
    """
    checkpoint = read(path)
    state = checkpoint[KEY]
    config = state["generator"] | {"scalings": Scalings(**state["generator"]["scalings"])}
    generator = Generator(config.pop("resolution"), **config)
    prefix = state["sampler"] + "."
    weights = {k[len(prefix) :]: v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    generator.load_state_dict(weights)
    return generator.eval().requires_grad_(False), state


def check_same(path: str | Path, module: StyleGAN2) -> None:
    """Refuse to resume with networks that are not the checkpoint's.

    Raises:
        InputError: Names each differing field with both values.
    """
    state = read(path)[KEY]
    ours = {"generator": module.generator.config, "discriminator": module.discriminator.config}
    differing = []
    for network, config in ours.items():
        flat_ours, flat_theirs = _flatten(config), _flatten(state[network])
        for key in flat_ours | flat_theirs:
            a, b = flat_theirs.get(key), flat_ours.get(key)
            if a != b:
                differing.append(f"  {network}.{key}: {a} in the checkpoint, {b} configured")
    if bool(module.ema) != (state["sampler"] == "average"):
        differing.append(f"  ema: {'on' if module.ema is None else 'off'} in the checkpoint")
    if differing:
        raise InputError(
            f"{path} holds other networks than the configuration describes:\n" + "\n".join(differing) + "\n"
            "Resume with the run's own config.yaml, or train from the start under another --name."
        )


def _flatten(config: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
