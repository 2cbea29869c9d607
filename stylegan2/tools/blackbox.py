"""`stylegan2 probe-gan` and `stylegan2 audit`: faults of somebody else's GAN and of their training step."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from stylegan2.blackbox import Audit, GANProbe, audit, probe_gan
from stylegan2.cli import make_parser
from stylegan2.errors import InputError
from stylegan2.files import write_text


def load_function(text: str) -> Callable[..., Any]:
    """The function that `module:name`, `package.module:name` or `file.py:name` stands for.

    The code of the module runs. The current folder is searched first, as Python does for scripts.

    Raises:
        InputError: There is no such module or function.
    """
    where, colon, name = text.rpartition(":")
    if not colon or not name.isidentifier():
        raise InputError(
            f"Expected module:function or file.py:function, found {text!r}. Name a function after a colon."
        )
    module = _imported(where, text)
    found = getattr(module, name, None)
    if not callable(found):
        names = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise InputError(
            f"Expected a function {name} in {where}, found none. It has {', '.join(names[:10])}."
        )
    return found


def _imported(where: str, text: str) -> ModuleType:
    if where.endswith(".py"):
        path = Path(where)
        if not path.is_file():
            raise InputError(f"Expected a Python file at {where}, found none. Check the path in {text!r}.")
        sys.path.insert(0, str(path.absolute().parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise InputError(f"Expected a Python file at {where}, found something that Python cannot import.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        return module
    sys.path.insert(0, "")
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is None or not where.startswith(error.name):
            raise InputError(f"{where} imports {error.name}, which is not installed. Install it.") from error
        raise InputError(
            f"Expected a module {where} to import, found none. Check the name in {text!r}."
        ) from error


def probe_gan_command(args: list[str], prog: str = "stylegan2 probe-gan") -> int:
    """Probe somebody's networks. Returns 1 if there is a fault, and 0 otherwise."""
    parser = make_probe_gan_parser(prog)
    options = parser.parse_args(with_names_of(args, ["generator", "discriminator"]))
    if not options.generator and not options.discriminator:
        raise InputError(
            "Expected module:make_generator, found none. Name a function that returns your generator."
        )
    size = tuple(int(n) for n in options.image_size.split(",")) if options.image_size else None
    if size is not None and len(size) != 3:
        raise InputError(f"Expected --image_size of C,H,W, found {options.image_size}. Write it as 3,64,64.")
    found = probe_gan(
        load_function(options.generator)() if options.generator else None,
        load_function(options.discriminator)() if options.discriminator else None,
        load_function(options.sample_z) if options.sample_z else options.z_dim,
        image_size=size,
        n=options.batch,
        seed=options.seed,
    )
    return _finish(found, options.out, found.to_dict())


def _finish(found: GANProbe | Audit, out: str, data: dict[str, Any]) -> int:
    """Print what was found, write the numbers, and return the exit status."""
    print(found)
    if out:
        write_text(out, json.dumps(data, indent=1))
        print(f"Numbers    {out}")
    return int(bool(found.faults))


def _add_networks(parser: Any, about: str, generator: str = "", discriminator: str = "") -> None:
    parser.add_argument("--generator", default=generator, help=about)
    parser.add_argument("--discriminator", default=discriminator, help="The same for the discriminator.")


def _add_out(parser: Any) -> None:
    parser.add_argument("--out", default="", help="JSON file for the numbers and findings. Empty: none.")


def make_probe_gan_parser(prog: str = "stylegan2 probe-gan") -> Any:
    """The parser of `stylegan2 probe-gan`."""
    parser = make_parser(
        prog,
        "Call anybody's generator and discriminator, trace their operations, and report faults with their place: "
        "stylegan2 probe-gan module:make_generator module:make_discriminator. The two functions take no arguments "
        "and return networks. Exit status: 0 without a fault, 1 with a fault, 2 for bad input.",
    )
    _add_networks(parser, "module:function or file.py:function that makes the generator.")
    parser.add_argument("--z_dim", type=int, default=512, help="Width of the latents z ~ N(0, 1).")
    parser.add_argument(
        "--sample_z", default="", help="module:function of a number N that returns latents instead."
    )
    parser.add_argument("--image_size", default="", help="C,H,W of the images of a discriminator alone.")
    parser.add_argument("--batch", type=int, default=8, help="Images at once.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of everything random.")
    _add_out(parser)
    parser.positional = "generator"
    return parser


def audit_command(args: list[str], prog: str = "stylegan2 audit") -> int:
    """Watch somebody's training step. Returns 1 if there is a fault, and 0 otherwise."""
    options = make_audit_parser(prog).parse_args(with_names_of(args, ["step"]))
    if not options.step:
        raise InputError(
            "Expected --step file.py:one_iteration, found none. Name the function of one iteration."
        )
    step = load_function(options.step)
    module = sys.modules[step.__module__]
    networks: dict[str, Any] = {}
    for name in ("generator", "discriminator", "average", "optimizers"):
        value: Any = module
        for part in getattr(options, name).split(".") if getattr(options, name) else ():
            value = getattr(value, part, None)
        networks[name] = None if value is module else value
        if networks[name] is None and name != "average":
            raise InputError(
                f"Expected {getattr(options, name)!r} to be a variable of {options.step.rpartition(':')[0]}, found "
                f"none. Give its name with --{name}."
            )
    if isinstance(networks["optimizers"], dict):
        networks["optimizers"] = list(networks["optimizers"].values())
    found = audit(
        step,
        iterations=options.iterations,
        gamma=options.gamma,
        path_length_weight=options.path_length_weight,
        **networks,
    )
    data = {"summary": found.summary, "findings": [asdict(f) for f in found.findings]}
    return _finish(found, options.out, data)


def make_audit_parser(prog: str = "stylegan2 audit") -> Any:
    """The parser of `stylegan2 audit`."""
    parser = make_parser(
        prog,
        "Run your own training step some times, watch it, and report what is wrong: penalties, signs of the losses, "
        "gradients, optimizers, ranges, style mixing and running averages. The file of the step is imported, and the "
        "networks are variables of it. Exit status: 0 without a fault, 1 with a fault, 2 for bad input.",
    )
    parser.add_argument("--step", default="", help="file.py:function of one iteration, without arguments.")
    _add_networks(parser, "Variable of the file that holds the generator.", "generator", "discriminator")
    parser.add_argument("--average", default="", help="The same for the running average. Empty: none.")
    parser.add_argument("--optimizers", default="optimizers", help="The same for a list of all optimizers.")
    parser.add_argument("--iterations", type=int, default=18, help="How often the step runs.")
    parser.add_argument(
        "--gamma", type=float, help="The γ that R1 is meant to have. It is compared with the measured."
    )
    parser.add_argument(
        "--path_length_weight", type=float, help="The same for path length. It is 2 in the paper."
    )
    _add_out(parser)
    return parser


def with_names_of(args: list[str], names: list[str]) -> list[str]:
    """The arguments with the leading words without dashes as options of these names."""
    count = next((i for i, arg in enumerate(args) if arg.startswith("-")), len(args))
    return [*(f"--{name}={word}" for name, word in zip(names, args[:count])), *args[min(count, len(names)) :]]
