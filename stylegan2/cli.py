"""Command-line options, made from the dataclasses that they configure, and configuration files."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace, set_parsing_settings

from stylegan2.augment import augmentations
from stylegan2.console import exit_status as exit_status
from stylegan2.data import ImageData, ImageDataset
from stylegan2.errors import InputError
from stylegan2.formats.native import upgraded_clamp
from stylegan2.metrics import metrics
from stylegan2.metrics.extractors import extractors
from stylegan2.metrics.options import MetricOptions
from stylegan2.networks.config import DiscriminatorConfig, GeneratorConfig
from stylegan2.networks.normalization import NormalizationOptions, normalizations
from stylegan2.ops import activations
from stylegan2.parsing import ConfigFile, Parser
from stylegan2.sizes import divided, side
from stylegan2.training.config import TrainingConfig
from stylegan2.training.ema import EMA
from stylegan2.training.losses import losses
from stylegan2.training.options import RunOptions
from stylegan2.training.regularizers import regularizers

if TYPE_CHECKING:
    from stylegan2.training.module import StyleGAN2

_ROOT = Path(__file__).parent
CONFIGS = _ROOT / "configs" if (_ROOT / "configs").is_dir() else _ROOT.parent / "configs"
"""Folder of the configurations. It is in the package if installed, and at the root of a clone."""

FROM_DATA = {"resolution", "base", "num_classes", "img_channels"}
"""Fields of the networks' configurations that follow from the data."""

CHOICES: dict[str, Mapping[str, Any]] = {
    "model.loss": losses,
    "model.augment": augmentations,
    "model.generator.activation": activations,
    "model.discriminator.activation": activations,
    "metrics.names": metrics,
    "metrics.features": extractors,
    "model.scalings.style_normalization": normalizations,
    "model.generator.normalization": normalizations,
    "model.discriminator.normalization": normalizations,
    "model.generator.weight_normalization": normalizations,
    "model.discriminator.weight_normalization": normalizations,
}
"""Options whose value is the name of an entry of a registry."""


FOREIGN = {
    "ada_target": ["model.ada.target"],
    "aug": ["model.augment"],
    "augpipe": ["model.ada.groups"],
    "batch_size": ["batch"],
    "bs": ["batch"],
    "checkpoint": ["ckpt_path"],
    "diffaugment": ["model.augment"],
    "cond": ["data.classes"],
    "data": ["data.path"],
    "dataroot": ["data.path"],
    "dataset": ["data.path"],
    "device": ["accelerator", "devices"],
    "epochs": ["kimg"],
    "fid": ["names", "metrics.names"],
    "gamma": ["model.r1.gamma"],
    "gpus": ["devices"],
    "image_size": ["data.resolution"],
    "iterations": ["kimg"],
    "logger": ["loggers"],
    "lr": ["model.learning_rate"],
    "max_steps": ["kimg"],
    "metrics": ["names", "metrics.names"],
    "network": ["checkpoint"],
    "num_workers": ["data.workers"],
    "outdir": ["out", "runs"],
    "output": ["out", "runs"],
    "resume": ["ckpt_path"],
    "samples": ["seeds"],
    "size": ["data.resolution"],
    "snap": ["snapshot_kimg"],
    "steps": ["kimg"],
    "total_kimg": ["kimg"],
    "trunc": ["psi"],
    "truncation": ["psi"],
    "wandb": ["loggers"],
}
"""What other programs call an option, with the options here that it may stand for."""


def make_parser(prog: str, description: str) -> Parser:
    """Make a parser whose help texts are the docstrings of the fields that the options set."""
    set_parsing_settings(
        docstring_parse_attribute_docstrings=True,
        # Options are plain values. The only class that a configuration may name is our own dataclass.
        import_path_denylist=["*"],
        import_path_allowlist=["stylegan2.training.ema.EMA"],
    )
    parser = Parser(prog=prog, usage=f"{prog} [options]", description=inspect.cleandoc(description))
    parser.foreign, parser.upgrade, parser.resolve = FOREIGN, from_version_0_1, fill_in
    return parser


def make_function_parser(function: Callable[..., Any], prog: str) -> Parser:
    """Make a parser of a function's arguments, described by its docstring up to them."""
    parser = make_parser(prog, re.split(r"\n\s*Args:\n", function.__doc__ or "")[0])
    parser.add_function_arguments(function, as_group=False)
    return parser


def function_command(function: Callable[..., int | None], prog: str) -> Callable[[list[str]], int]:
    """Make a command whose options are the arguments of a function."""

    def command(args: list[str]) -> int:
        parser = make_function_parser(function, prog)
        return function(**parser.parse_args(args).as_dict()) or 0

    return command


def add_model_options(parser: Parser) -> None:
    """Add the options that describe a model: those of the data, the losses and the networks."""
    parser.add_argument(
        "--config",
        action=ConfigFile,
        help="YAML file with any of these options. If given several times, later files override earlier ones.",
    )
    parser.add_class_arguments(ImageData, "data", instantiate=False)
    parser.add_class_arguments(TrainingConfig, "model", skip={"regularizers"}, instantiate=False)
    for name, regularizer in regularizers.items():
        parser.add_class_arguments(regularizer, f"model.{name}", instantiate=False)
    for name, network in (("generator", GeneratorConfig), ("discriminator", DiscriminatorConfig)):
        parser.add_class_arguments(network, f"model.{name}", skip=FROM_DATA, instantiate=False)
    options = [
        (f"model.{network}.normalization", field.name)
        for network in ("generator", "discriminator")
        for field in fields(NormalizationOptions)
    ]
    parser.positional, parser.aliases = "data.path", {"--augment": "--model.augment"}
    parser.aliases |= {f"--{place}.{name}": f"--{place}_options.{name}" for place, name in options}
    for action in parser._actions:
        if action.dest in CHOICES:
            action.help = f"{action.help} Choices: {', '.join(CHOICES[action.dest])}."


def train_parser(prog: str = "train.py") -> Parser:
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
        dataset: Gives the size of the images, their channels and the classes.
        batch: Images per iteration, over all processes.
        batch_per_device: Images per micro-batch on each device. None is the whole share of a device.

    Raises:
        InputError: The options describe no valid network.
    """
    from stylegan2.networks.discriminator import Discriminator
    from stylegan2.networks.generator import Generator
    from stylegan2.training.module import StyleGAN2

    options = vars(config.model).copy()
    channels, *size = dataset.shape
    configs: dict[str, Any] = {}
    for name, kind in (("generator", GeneratorConfig), ("discriminator", DiscriminatorConfig)):
        try:
            configs[name] = kind(
                **divided(size),
                num_classes=dataset.num_classes,
                img_channels=channels,
                **vars(options.pop(name)),
            )
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
    """The arguments of training, headed by the default configuration unless they name one."""
    options = {arg.split("=")[0] for arg in args}
    if "--config" in options:
        return args
    default = "auto.yaml" if "--data.path" in options else "demo.yaml"
    return ["--config", str(CONFIGS / default), *args]


def from_version_0_1(options: dict[str, Any]) -> bool:
    """Translate the options of a configuration file of version 0.1, in place. Returns whether it is one."""
    try:
        model = options["model"]
        blocks = [model[network].pop("clamp_blocks") for network in ("generator", "discriminator")]
    except (KeyError, TypeError, AttributeError):
        return False  # it is not of version 0.1, or it is invalid and the parser will say so
    scalings = model.setdefault("scalings", {})
    if "clamp" in scalings:
        scalings["clamp"] = upgraded_clamp(scalings["clamp"], blocks[0])
    if model["discriminator"].get("minibatch_channels") == 0:
        scalings["minibatch_stddev"], model["discriminator"]["minibatch_channels"] = False, 1
    return True


def fill_in(config: Namespace) -> list[str]:
    """Replace null by the value that follows from resolution and batch, in place. Returns the options' names."""
    if "model" not in config:
        return []
    model, resolution, batch = config.model, side(config.data.resolution), config.batch
    names = []
    for name, kind in regularizers.items():
        options = model[name]
        resolved = kind(**vars(options)).resolved(resolution, batch)
        for key in [key for key, value in vars(options).items() if value is None and options.every]:
            options[key] = getattr(resolved, key)
            names.append(f"model.{name}.{key}")
    if model.learning_rate is None:
        model.learning_rate = TrainingConfig().learning_rate_at(resolution)
        names.append("model.learning_rate")
    if model.ema is not None and model.ema.half_life_kimg is None:
        model.ema.half_life_kimg = EMA().half_life_at(batch)
        names.append("model.ema.half_life_kimg")
    return names


def select(parsed: Namespace, options: type) -> Any:
    """Make a dataclass of type `options` from the parsed options that are named like its fields."""
    return options(**{field.name: parsed[field.name] for field in fields(options)})
