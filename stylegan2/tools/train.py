"""The command that trains: `python train.py` and `stylegan2 train`."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from jsonargparse import Namespace

from stylegan2.cli import (
    build_data,
    build_model,
    select,
    train_parser,
    with_default_config,
)
from stylegan2.data.sources.demo import Demo
from stylegan2.errors import InputError
from stylegan2.parsing import PRINT
from stylegan2.training.folder import LAST, belongs_to_this_launch, held_folder, latest
from stylegan2.training.launch import is_first_process, this_launch
from stylegan2.training.options import RunOptions


def train_command(args: list[str], prog: str = "train.py") -> int:
    """Parse the options, build data, networks and losses, and train.

    Returns:
        The exit status of `stylegan2.training.run.train`.

    Raises:
        InputError: The options do not fit together, and nothing has been written; or training could not go on,
            and is saved.
    """
    parser = train_parser(prog)
    config = parser.parse_args(with_default_config([arg for arg in args if arg != PRINT]))
    resumed = resumed_folder(config, args)
    if resumed and "--config" not in _given(args) and (resumed / "config.yaml").is_file():
        args = ["--config", str(resumed / "config.yaml"), *args]
    config = parser.parse_args(with_default_config(args))
    if resumed and this_launch().restarted:
        config.ckpt_path = "last"
    if config.init_from and config.model.ema is not None:
        config.model.ema.rampup = None  # the weights of the first iterations are as good as later ones
    # The training framework, which --help does without.
    from stylegan2.training.loggers import require_loggers
    from stylegan2.training.run import train

    parsed = parser.instantiate(config)
    options = select(parsed, RunOptions)
    data = build_data(parsed)
    require_loggers(options.loggers)
    parsed.metrics.load_extractor()
    with held_folder(Path(options.runs), options.name, default_name(data.path), resumed) as folder:
        dataset = data.open(minimum=options.batch, progress=is_first_process())
        torch.manual_seed(options.seed)
        model = build_model(parsed, dataset, options.batch, options.batch_per_device)
        # The written config.yaml can then repeat this run, or resume it with --ckpt_path last.
        config.runs, config.name = _place(folder, config.runs)
        config.ckpt_path = None
        return train(model, dataset, options, folder, parser.as_yaml(config), parsed.metrics)


def resumed_folder(config: Namespace, args: list[str]) -> Path | None:
    """The folder of the run that goes on, if one does, or if torchrun starts its processes again.

    It is the one that --name names, or the one that a --config lies in. Without both it is that of the
    configuration's name, or of the newest run on the same images.

    Args:
        config: The parsed options.
        args: The command line.

    Raises:
        InputError: --ckpt_path is last, and there is no such run or checkpoint.
    """
    given, runs = _given(args), Path(config.runs)
    named = runs / config.name if config.name else None
    own = [
        Path(path).parent for path in given.get("--config", []) if (Path(path).parent / LAST.parent).is_dir()
    ]
    newest = latest(runs, default_name(config.data.path))
    if own and "--name" not in given:
        named = own[-1]
    folder = named or newest
    if this_launch().restarted and folder and (folder / LAST).is_file() and belongs_to_this_launch(folder):
        return folder
    if config.ckpt_path == "last":
        if folder is None or not (folder / LAST).is_file():
            raise InputError(
                f"--ckpt_path last expects {(folder or runs / default_name(config.data.path)) / LAST}, found no such "
                "file. Give the run's --name, or the path of a checkpoint, or leave --ckpt_path out to train from "
                "the start."
            )
        return folder
    # A checkpoint of that run goes on there; from one of another run a new run starts.
    if (
        named
        and config.ckpt_path
        and (named / LAST).resolve().parent == Path(config.ckpt_path).resolve().parent
    ):
        return named
    return None


def _given(args: list[str]) -> dict[str, list[str]]:
    """The options on a command line, each with its values: `--config a --config=b`."""
    given: dict[str, list[str]] = {}
    for arg, after in zip(args, [*args[1:], ""]):
        name, equals, value = arg.partition("=")
        if name.startswith("--"):
            given.setdefault(name, []).append(value if equals else after)
    return given


def _place(folder: Path, runs: str) -> tuple[str, str]:
    """A run's folder as the options --runs and --name."""
    inside = folder.is_relative_to(runs)
    return (runs, folder.relative_to(runs).as_posix()) if inside else (str(folder.parent), folder.name)


def default_name(path: str) -> str:
    """The default name of a run on the images at this path."""
    if Demo.takes(path):
        return "demo"
    whole = Path(os.path.abspath(os.path.expanduser(path)))  # .. becomes the name of that folder
    return (whole.stem if whole.suffix.lower() == ".zip" else whole.name) or "run"
