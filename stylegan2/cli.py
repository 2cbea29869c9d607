"""The command lines: options out of the signatures they configure, layers of configuration files."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace, set_parsing_settings

from stylegan2.data.dataset import ImageData, ImageDataset
from stylegan2.errors import InputError
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.training.module import StyleGAN2
from stylegan2.training.run import RunOptions, is_first_process, run_folder, train

_ROOT = Path(__file__).parent
CONFIGS = _ROOT / "configs" if (_ROOT / "configs").is_dir() else _ROOT.parent / "configs"
"""The configurations: packaged in an installation, at the root of a clone."""

SHARED = {"resolution", "num_classes", "img_channels", "scalings"}
"""What the networks take from the data, or from elsewhere in the configuration."""


def exit_status(command: Callable[[list[str]], int], args: list[str]) -> int:
    """Run a command; what the user can mend ends it with the message alone, and status 2."""
    try:
        return command(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def make_parser(prog: str, description: str) -> ArgumentParser:
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    return ArgumentParser(prog=prog, usage=f"{prog} [options]", description=inspect.cleandoc(description))


def function_command(function: Callable[..., int | None], prog: str) -> Callable[[list[str]], int]:
    """A command whose options are a function's arguments."""

    def command(args: list[str]) -> int:
        parser = make_parser(prog, function.__doc__.split("\n\n")[0])
        parser.add_function_arguments(function)
        return function(**parser.parse_args(args).as_dict()) or 0

    return command


def add_model_options(parser: ArgumentParser) -> None:
    """The options of data, losses and networks: what describes a model, wherever it is used."""
    parser.add_argument(
        "--config",
        action=ActionConfigFile,
        help="YAML file of any of these options. Repeat it to lay one over another.",
    )
    parser.add_class_arguments(ImageData, "data", instantiate=False)
    own = {"generator", "discriminator", "batch", "batch_per_device"}
    parser.add_class_arguments(StyleGAN2, "model", skip=own, instantiate=False)
    parser.add_class_arguments(Generator, "model.generator", skip=SHARED, instantiate=False)
    parser.add_class_arguments(Discriminator, "model.discriminator", skip=SHARED, instantiate=False)


def build_data(config: Namespace) -> ImageData:
    """The images that parsed options describe, not opened yet."""
    return ImageData(**vars(config.data))


def build_model(
    config: Namespace, dataset: ImageDataset, batch: int, batch_per_device: int | None = None
) -> StyleGAN2:
    """The networks and the training module that parsed options describe, for a data set.

    Raises:
        InputError: No such network can be built.
    """
    options = vars(config.model).copy()
    channels, resolution, _ = dataset.shape
    shared = {
        "num_classes": dataset.num_classes,
        "img_channels": channels,
        "scalings": options["scalings"],
    }
    networks = {}
    for key, network in (("generator", Generator), ("discriminator", Discriminator)):
        try:
            networks[key] = network(resolution, **shared, **vars(options.pop(key)))
        except ValueError as error:
            raise InputError(f"model.{key}: {error}") from error
    model = StyleGAN2(**networks, **options, batch=batch, batch_per_device=batch_per_device)
    model.class_names = dataset.class_names
    return model


def train_parser(prog: str = "train.py") -> ArgumentParser:
    parser = make_parser(
        prog,
        "Train StyleGAN2 on a folder or zip of images. Writes runs/NAME/ with config.yaml, checkpoints, "
        "samples and metrics.csv. Without --config it takes configs/demo.yaml, or, given --data.path, "
        "configs/auto.yaml.",
    )
    parser.add_class_arguments(RunOptions)
    add_model_options(parser)
    return parser


def with_default_config(args: list[str]) -> list[str]:
    """The arguments, with a configuration in front if they name none."""
    options = {arg.split("=")[0] for arg in args}
    if "--config" in options:
        return args
    return ["--config", str(CONFIGS / ("auto.yaml" if "--data.path" in options else "demo.yaml")), *args]


def _run_name(path: str) -> str:
    """What a run on these images is called unless it is given a name."""
    return "demo" if Path(path).parts[:1] == ("demo",) else Path(path).stem or "run"


def train_command(args: list[str], prog: str = "train.py") -> int:
    """Train: `train.py` and `stylegan2 train`."""
    parser = train_parser(prog)
    config = parser.parse_args(with_default_config(args))
    parsed = parser.instantiate(config)
    options = RunOptions(**{field.name: parsed[field.name] for field in fields(RunOptions)})
    data = build_data(parsed)
    folder = run_folder(options, default=_run_name(data.path))
    dataset = data.open(minimum=options.batch, progress=is_first_process())
    torch.manual_seed(options.seed)
    model = build_model(parsed, dataset, options.batch, options.batch_per_device)
    # What the run's own configuration is good for: resuming it, or repeating it.
    config.name, config.ckpt_path = folder.name, None
    return train(model, data, options, folder, parser.dump(config, skip_unset=False))
