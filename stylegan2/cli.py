"""The command lines: options out of the dataclasses they configure, layers of configuration files."""

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
from stylegan2.formats.native import clamp_since_0_2
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
"""The configurations: packaged in an installation, at the root of a clone."""

FROM_DATA = {"resolution", "num_classes", "img_channels"}
"""What the networks take from the data."""

CHOICES: dict[str, Mapping[str, Any]] = {
    "model.loss": losses,
    "model.augment": augmentations,
    "model.generator.activation": activations,
    "model.discriminator.activation": activations,
    "metrics.names": metrics,
    "model.scalings.style_normalization": normalizations,
    "model.discriminator.normalization": normalizations,
}
"""Options that name an entry of a registry."""


def exit_status(command: Callable[[list[str]], int], args: list[str]) -> int:
    """Run a command; what the user can mend ends it with the message alone, and status 2."""
    try:
        return command(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        if not isinstance(error, ValueError):  # the parser's refusal of a class path is both
            raise
        print(f"error: options are plain values, and no class is imported for one. {error}", file=sys.stderr)
        return 2


def make_parser(prog: str, description: str) -> ArgumentParser:
    """A parser that explains options by the docstrings of the fields they set."""
    set_parsing_settings(
        docstring_parse_attribute_docstrings=True,
        # Options are plain values: nothing that a configuration names is imported, but our own dataclass.
        import_path_denylist=["*"],
        import_path_allowlist=["stylegan2.training.ema.EMA"],
    )
    return ArgumentParser(prog=prog, usage=f"{prog} [options]", description=inspect.cleandoc(description))


def function_command(function: Callable[..., int | None], prog: str) -> Callable[[list[str]], int]:
    """A command whose options are a function's arguments."""

    def command(args: list[str]) -> int:
        parser = make_parser(prog, (function.__doc__ or "").split("\n\n")[0])
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
    parser.add_class_arguments(TrainingConfig, "model", skip={"regularizers"}, instantiate=False)
    for name, regularizer in regularizers.items():
        parser.add_class_arguments(regularizer, f"model.{name}", instantiate=False)
    for name, network in (("generator", GeneratorConfig), ("discriminator", DiscriminatorConfig)):
        parser.add_class_arguments(network, f"model.{name}", skip=FROM_DATA, instantiate=False)
    for action in parser._actions:
        if action.dest in CHOICES:
            action.help = f"{action.help} Choices: {', '.join(CHOICES[action.dest])}."


def train_parser(prog: str = "train.py") -> ArgumentParser:
    """All options of training."""
    parser = make_parser(
        prog,
        "Train StyleGAN2 on a folder or zip of images. Writes runs/NAME/ with config.yaml, checkpoints, "
        "samples and metrics.csv. Without --config it takes configs/demo.yaml, or, given --data.path, "
        "configs/auto.yaml.",
    )
    parser.add_class_arguments(RunOptions)
    parser.add_class_arguments(MetricOptions, "metrics")
    add_model_options(parser)
    return parser


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
    """The arguments, with a configuration in front if they name none; files of version 0.1 are translated."""
    options = {arg.split("=")[0] for arg in args}
    if "--config" not in options:
        default = "auto.yaml" if "--data.path" in options else "demo.yaml"
        args = ["--config", str(CONFIGS / default), *args]
    return [_translated(arg) if before == "--config" else arg for before, arg in zip(["", *args], args)]


def _translated(path: str) -> str:
    """A configuration file's path, or its contents as YAML if they hold options of version 0.1."""
    try:
        options = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        model = options["model"]
        blocks = [model[network].pop("clamp_blocks") for network in ("generator", "discriminator")]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return path  # not of version 0.1, or for the parser to refuse
    scalings = model.setdefault("scalings", {})
    if "clamp" in scalings:
        scalings["clamp"] = clamp_since_0_2(scalings["clamp"], blocks[0])
    if model["discriminator"].get("minibatch_channels") == 0:
        scalings["minibatch_stddev"], model["discriminator"]["minibatch_channels"] = False, 1
    return yaml.safe_dump(options, allow_unicode=True)


def select(parsed: Namespace, options: type) -> Any:
    """The dataclass `options` from the parsed options of its fields' names."""
    return options(**{field.name: parsed[field.name] for field in fields(options)})


def configuration_text(parser: ArgumentParser, config: Namespace) -> str:
    """Parsed options as YAML that the parser reads back as the same options."""
    return yaml_text(json.loads(parser.dump(config, format="json", skip_unset=False)))
