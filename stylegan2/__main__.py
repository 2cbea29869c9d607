"""The command line, `stylegan2 COMMAND ...` or `python -m stylegan2 COMMAND ...`."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from functools import partial
from importlib import import_module

from stylegan2 import __version__

from .console import accept_any_character, exit_status, stop_hearing_early

# Each row is name: (module, function, purpose). The arguments of the function are the options of the command.
# The order is that of use: data, training, images, exchange of networks, and the laboratory.
COMMANDS = {
    "pack": ("tools.pack", "pack", "convert a folder of images to a zip at one resolution, and report on it"),
    "advise": ("tools.advise", "advise_command", "look at images and this machine, and suggest how to train"),
    "augment": ("tools.augment", "augment_command", "show what each augmentation does to your images"),
    "train": ("tools.train", "train_command", "train on a folder or zip of images"),
    "report": (
        "tools.report",
        "report_command",
        "write a page about a training run, or several side by side",
    ),
    "evaluate": ("tools.evaluate", "evaluate_command", "measure FID and other metrics of checkpoints"),
    "generate": ("tools.generate", "generate", "generate images from a checkpoint"),
    "page": ("tools.page", "page", "play with a trained network in the browser"),
    "video": ("tools.video", "video", "write a video of a walk through the latent space"),
    "sheet": (
        "tools.sheet",
        "sheet",
        "write a labeled sheet of style mixing, truncation, noise, layers or classes",
    ),
    "directions": ("tools.directions", "directions", "find directions along which images change"),
    "project": ("tools.project", "project", "find the latents whose images are most like given ones"),
    "blend": (
        "tools.blend",
        "blend_command",
        "join the coarse layers of one network and the fine ones of another",
    ),
    "convert": ("tools.convert", "convert_command", "write the networks of a checkpoint in another format"),
    "push": ("tools.hub", "push", "write networks to a repository of the Hugging Face hub"),
    "pull": ("tools.hub", "pull", "download networks from a repository of the Hugging Face hub"),
    "probe": ("tools.probe", "probe_command", "measure every layer and report what is wrong"),
    "probe-gan": (
        "tools.blackbox",
        "probe_gan_command",
        "report faults of anybody's generator and discriminator",
    ),
    "audit": ("tools.blackbox", "audit_command", "watch somebody's training step and report its faults"),
    "transfer": ("tools.transfer", "transfer", "measure which scalings keep their meaning as networks grow"),
    "ablate": ("tools.ablate", "ablate_command", "measure the effect of each scaling by training without it"),
    "normalizations": (
        "tools.normalizations",
        "measure_normalizations",
        "measure every normalization in layers and networks, and write a page for each",
    ),
    "doctor": ("tools.doctor", "doctor", "check this machine, and whether the kernels are correct and fast"),
    "bench": ("tools.bench", "bench", "measure the speed of ops and networks on this machine"),
}


def run(name: str, args: list[str], prog: str) -> int:
    """Run a command by name and return its exit status."""
    accept_any_character()
    return exit_status(partial(_import_and_run, name, prog), args)


def _import_and_run(name: str, prog: str, args: list[str]) -> int:
    from stylegan2.cli import function_command

    module, function, _ = COMMANDS[name]
    function = getattr(import_module(f".{module}", __package__), function)
    stop_hearing_early()
    if function.__name__.endswith("_command"):
        return function(args, prog=prog)
    return function_command(function, prog)(args)


def main(args: list[str] | None = None) -> int:
    accept_any_character()
    args = sys.argv[1:] if args is None else args
    if not args or args[0] in ("-h", "--help"):
        print("usage: stylegan2 COMMAND [options]\n\n`stylegan2 COMMAND --help` explains the options.\n")
        print("\n".join(f"  {name:<14} {about}" for name, (_, _, about) in COMMANDS.items()))
        return 0 if args else 2
    if args[0] == "--version":
        print(__version__)
        return 0
    if args[0] not in COMMANDS:
        close = get_close_matches(args[0], COMMANDS, n=1)
        advice = f" Did you mean {close[0]}?" if close else ""
        print(f"error: Expected one of {', '.join(COMMANDS)}, found {args[0]!r}.{advice}", file=sys.stderr)
        return 2
    return run(args[0], args[1:], f"stylegan2 {args[0]}")


if __name__ == "__main__":
    sys.exit(main())
