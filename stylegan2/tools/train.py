"""The command that trains: `python train.py` and `stylegan2 train`."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from stylegan2.cli import build_data, build_model, select, train_parser, with_default_config
from stylegan2.data.sources.demo import Demo
from stylegan2.training.options import RunOptions, is_first_process, run_folder


def train_command(args: list[str], prog: str = "train.py") -> int:
    """Parse the options, build data, networks and losses, and train.

    Returns:
        The exit status of `stylegan2.training.run.train`.

    Raises:
        InputError: The options do not fit together. Nothing has been written.
    """
    parser = train_parser(prog)
    config = parser.parse_args(with_default_config(args))
    from stylegan2.training.run import train  # here, so that --help need not import the training framework

    parsed = parser.instantiate(config)
    options = select(parsed, RunOptions)
    data = build_data(parsed)
    folder = run_folder(options, default=_run_name(data.path))
    dataset = data.open(minimum=options.batch, progress=is_first_process())
    torch.manual_seed(options.seed)
    model = build_model(parsed, dataset, options.batch, options.batch_per_device)
    # The written config.yaml can then repeat this run, or resume it with --ckpt_path last.
    config.name, config.ckpt_path = folder.name, None
    return train(model, dataset, options, folder, parser.dump(config, skip_unset=False), parsed.metrics)


def _run_name(path: str) -> str:
    """The default name of a run on the images at this path."""
    if Demo.takes(path):
        return "demo"
    whole = Path(os.path.abspath(os.path.expanduser(path)))  # .. becomes the name of that folder
    return (whole.stem if whole.suffix.lower() == ".zip" else whole.name) or "run"
