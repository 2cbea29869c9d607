"""Command-line options, made from the dataclasses that they configure, and configuration files."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace, set_parsing_settings

from stylegan2.augment import augmentations
from stylegan2.data import ImageData, ImageDataset
from stylegan2.errors import InputError
from stylegan2.files import yaml_text
from stylegan2.formats.native import upgraded_clamp
from stylegan2.metrics import metrics
from stylegan2.metrics.options import MetricOptions
from stylegan2.networks.config import DiscriminatorConfig, GeneratorConfig
from stylegan2.networks.normalization import normalizations
from stylegan2.ops import activations
from stylegan2.training.config import TrainingConfig
from stylegan2.training.losses import losses
from stylegan2.training.options import RunOptions
from stylegan2.training.regularizers import regularizers

if TYPE_CHECKING:
    from stylegan2.training.module import StyleGAN2

_ROOT = Path(__file__).parent
CONFIGS = _ROOT / "configs" if (_ROOT / "configs").is_dir() else _ROOT.parent / "configs"
"""Folder of the configurations. It is in the package if installed, and at the root of a clone."""

FROM_DATA = {"resolution", "num_classes", "img_channels"}
"""Fields of the networks' configurations that follow from the data."""

CHOICES: dict[str, Mapping[str, Any]] = {
    "model.loss": losses,
    "model.augment": augmentations,
    "model.generator.activation": activations,
    "model.discriminator.activation": activations,
    "metrics.names": metrics,
    "model.scalings.style_normalization": normalizations,
    "model.discriminator.normalization": normalizations,
}
"""Options whose value is the name of an entry of a registry."""


def exit_status(command: Callable[[list[str]], int], args: list[str]) -> int:
    """Run a command and return its exit status.

    An error that the user can correct is printed without a traceback, and the status is 2.
    """
    try:
        return command(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        if not isinstance(error, ValueError):  # the parser's error for a class path is a subclass of both
            raise
        print(
            "error: Expected plain values as options, found the path of a class, which is never imported. "
            f"Give a plain value. {error}",
            file=sys.stderr,
        )
        return 2


def make_parser(prog: str, description: str) -> ArgumentParser:
    """Make a parser whose help texts are the docstrings of the fields that the options set."""
    set_parsing_settings(
        docstring_parse_attribute_docstrings=True,
        # Options are plain values. The only class that a configuration may name is our own dataclass.
        import_path_denylist=["*"],
        import_path_allowlist=["stylegan2.training.ema.EMA"],
    )
    return ArgumentParser(prog=prog, usage=f"{prog} [options]", description=inspect.cleandoc(description))


def function_command(function: Callable[..., int | None], prog: str) -> Callable[[list[str]], int]:
    """Make a command whose options are the arguments of a function."""

    def command(args: list[str]) -> int:
        parser = make_parser(prog, (function.__doc__ or "").split("\n\n")[0])
        parser.add_function_arguments(function)
        return function(**parser.parse_args(args).as_dict()) or 0

    return command


def add_model_options(parser: ArgumentParser) -> None:
    """Add the options that describe a model: those of the data, the losses and the networks."""
    parser.add_argument(
        "--config",
        action=ActionConfigFile,
        help="YAML file with any of these options. If given several times, later files override earlier ones.",
    )
    parser.add_class_arguments(ImageData, "data", instantiate=False)
    parser.add_class_arguments(TrainingConfig, "model", skip={"regularizers"}, instantiate=False)
    for name, regularizer in regularizers.items():
        parser.add_class_arguments(regularizer, f"model.{name}", instantiate=False)
    for name, network in (("generator", GeneratorConfig), ("discriminator", DiscriminatorConfig)):
        parser.add_class_arguments(network, f"model.{name}", skip=FROM_DATA, instantiate=False)
    for action in parser._actions:
        if action.dest in CHOICES:
            action.help = f"{action.help} Choices: {', '.join(CHOICES[action.dest])}."


def train_parser(prog: str = "train.py") -> ArgumentParser:
    """Make the parser of all options of training."""
    parser = make_parser(
        prog,
        "Train StyleGAN2 on a folder or zip of images. Writes runs/NAME/ with config.yaml, checkpoints, "
        "samples and metrics.csv. Without --config it uses configs/auto.yaml if --data.path is given, and "
        "configs/demo.yaml otherwise.",
    )
    parser.add_class_arguments(RunOptions)
    parser.add_class_arguments(MetricOptions, "metrics")
    add_model_options(parser)
    return parser


def build_data(config: Namespace) -> ImageData:
    """Make the `ImageData` that parsed options describe. Nothing is read yet."""
    return ImageData(**vars(config.data))


def build_model(
    config: Namespace, dataset: ImageDataset, batch: int, batch_per_device: int | None = None
) -> StyleGAN2:
    """Build the networks and the training module that parsed options describe, for a data set.

    Args:
        config: The parsed options.
        dataset: Gives the resolution, the image channels and the classes.
        batch: Images per iteration, over all processes.
        batch_per_device: Images per micro-batch on each device. None is the whole share of a device.

    Raises:
        InputError: The options describe no valid network.
    """
    from stylegan2.networks.discriminator import Discriminator
    from stylegan2.networks.generator import Generator
    from stylegan2.training.module import StyleGAN2

    options = vars(config.model).copy()
    channels, resolution, _ = dataset.shape
    from_data = {"resolution": resolution, "num_classes": dataset.num_classes, "img_channels": channels}
    configs: dict[str, Any] = {}
    for name, kind in (("generator", GeneratorConfig), ("discriminator", DiscriminatorConfig)):
        try:
            configs[name] = kind(**from_data, **vars(options.pop(name)))
        except ValueError as error:
            raise InputError(f"model.{name}: {error}") from error
    penalties = tuple(kind(**vars(options.pop(name))) for name, kind in regularizers.items())
    training = TrainingConfig(**options, regularizers=penalties)
    model = StyleGAN2(
        Generator(configs["generator"], training.scalings),
        Discriminator(configs["discriminator"], training.scalings),
        training,
        batch=batch,
        batch_per_device=batch_per_device,
    )
    model.class_names = dataset.class_names
    return model


def with_default_config(args: list[str]) -> list[str]:
    """Complete the arguments of training.

    If they name no configuration, the default one is put in front. A configuration of version 0.1 is replaced
    by its translation.
    """
    options = {arg.split("=")[0] for arg in args}
    if "--config" not in options:
        default = "auto.yaml" if "--data.path" in options else "demo.yaml"
        args = ["--config", str(CONFIGS / default), *args]
    return [_translated(arg) if before == "--config" else arg for before, arg in zip(["", *args], args)]


def _translated(path: str) -> str:
    """Return the path of a configuration file, or its translation as YAML text if it is of version 0.1."""
    try:
        options = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        model = options["model"]
        blocks = [model[network].pop("clamp_blocks") for network in ("generator", "discriminator")]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return path  # it is not of version 0.1, or it is invalid and the parser will say so
    scalings = model.setdefault("scalings", {})
    if "clamp" in scalings:
        scalings["clamp"] = upgraded_clamp(scalings["clamp"], blocks[0])
    if model["discriminator"].get("minibatch_channels") == 0:
        scalings["minibatch_stddev"], model["discriminator"]["minibatch_channels"] = False, 1
    return yaml.safe_dump(options, allow_unicode=True)


def select(parsed: Namespace, options: type) -> Any:
    """Make a dataclass of type `options` from the parsed options that are named like its fields."""
    return options(**{field.name: parsed[field.name] for field in fields(options)})


def configuration_text(parser: ArgumentParser, config: Namespace) -> str:
    """Parsed options as YAML that the parser reads back as the same options."""
    return yaml_text(json.loads(parser.dump(config, format="json", skip_unset=False)))
