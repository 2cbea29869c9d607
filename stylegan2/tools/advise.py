"""`stylegan2 advise`: looks at a set of images and at this machine, and suggests the command that trains."""

from __future__ import annotations

import random
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from stylegan2.advice.images import (
    Advice,
    Size,
    augmentation,
    classes,
    crop,
    duplicates,
    mirror,
    suggested_size,
)
from stylegan2.advice.options import AdviceOptions, AdvisedData
from stylegan2.cli import build_data, build_model, make_parser, select, train_parser, with_default_config
from stylegan2.data import ImageData, ImageDataset
from stylegan2.errors import InputError
from stylegan2.files import printable, text_table
from stylegan2.parsing import Parser
from stylegan2.sizes import pair, side, text
from stylegan2.survey import Survey
from stylegan2.training.regularizers.r1 import default_gamma

if TYPE_CHECKING:
    from stylegan2.training.module import StyleGAN2

LEAST_IMAGES = 8
"""Fewer images than this are no data set."""

PROBED = 2000
"""Images that the probe trains on at most."""

PROBE_SIDE = {"cpu": 32, "cuda": 64}
"""The largest side of the probe's images."""

PROBE_NETWORKS, PROBE_BATCH = {"channel_base": "512", "channel_max": "32"}, 16


def make_advise_parser(prog: str = "stylegan2 advise") -> Parser:
    parser = make_parser(
        prog,
        "Look at a set of images and at this machine, and suggest size, crop, classes, augmentation, R1's gamma, "
        "channels, batch and length of training, with reasons and the command to copy. Nothing is written.",
    )
    parser.add_class_arguments(AdvisedData, "data", instantiate=False)
    parser.add_class_arguments(AdviceOptions)
    parser.positional = "data.path"
    return parser


def advise_command(args: list[str], prog: str = "stylegan2 advise") -> int:
    """Parse the options, look at the data, probe gamma, and print the advice: `stylegan2 advise`.

    Raises:
        InputError: The images cannot be used, or there are fewer than 8.
    """
    config = make_advise_parser(prog).parse_args(args)
    options, given = select(config, AdviceOptions), config.data

    # Imported here, so that --help need not import the training framework.
    from stylegan2.advice import machine as machines

    machine = machines.Machine.this(cpu=options.accelerator == "cpu")
    looked_at = ImageData(
        given.path,
        channels=given.channels,
        max_pixels=given.max_pixels,
        unreadable="skip",
        **({} if given.resolution is None else {"resolution": given.resolution}),
    )
    dataset = ImageDataset(looked_at)
    if dataset.is_lazy:
        raise InputError(
            f"Expected a folder or a zip to look at, found shards in {given.path}. Name what they were packed from."
        )
    survey = Survey.of(dataset)
    images = len(survey.facts)
    if images < LEAST_IMAGES:
        raise InputError(
            f"Expected at least {LEAST_IMAGES} images in {given.path} that can be read, found {images}. Add images."
        )
    size, of_size = _size(survey, machine.largest, None if given.resolution is None else looked_at.resolution)
    pieces = [
        of_size,
        crop(survey, size),
        classes(survey),
        mirror(),
        augmentation(images),
        duplicates(survey),
        machine.networks(size),
    ]
    fixed = {"data.path": given.path, "batch": str(machines.batch(images))}
    if given.channels != 3:
        fixed["data.channels"] = str(given.channels)
    if survey.unreadable:
        fixed["data.unreadable"] = "skip"
    if given.max_pixels:
        fixed["data.max_pixels"] = str(given.max_pixels)

    for title, found in survey.lines(size):
        _show(title, found)
    print()
    model = _model(fixed, pieces)
    while (micro := machines.micro_batch(model, machine)) is None:
        pieces[-1] = machines.halved(pieces[-1])
        model = _model(fixed, pieces)
    memory = machines.memory_of(model, micro)
    pieces.append(
        Advice(
            "Batch",
            f"{model.batch}" if micro == model.batch else f"{model.batch} in parts of {micro}",
            f"An iteration needs roughly {memory / 1e9:.1g} GB of {machine.memory / 1e9:.2g} GB, an estimate. If it "
            "is wrong, training says at once which part fits.",
            {"batch_per_device": str(micro)} if micro < model.batch else {},
        )
    )
    pieces.append(machines.time(model, machine))
    for piece in pieces:
        _show(piece.subject, f"{piece.answer}. {piece.reason}")
    rule = default_gamma(side(size), model.batch)
    chosen = Advice("R1 gamma", f"{rule:.3g}", "The rule 0.0002 · resolution² / batch. It was not probed.")
    if not options.quick:
        chosen = _gamma(fixed, pieces, size, rule, options, machine.device)
    _show(chosen.subject, f"{chosen.answer}. {chosen.reason}")
    print(f"\n{command(fixed, [*pieces, chosen])}")
    return 0


def command(fixed: Mapping[str, str], pieces: Sequence[Advice]) -> str:
    """The command that trains as advised, for a shell, in lines of about 100 characters."""
    arguments = _arguments(fixed, pieces)
    lines = ["stylegan2 train"]
    for name, value in zip(arguments[::2], arguments[1::2]):
        part = f"{name} {shlex.quote(value)}"
        if len(lines[-1]) + len(part) > 98:
            lines.append("   ")
        lines[-1] += f" {part}"
    return " \\\n".join(lines)


def _arguments(fixed: Mapping[str, str], pieces: Sequence[Advice]) -> list[str]:
    options = dict(fixed)
    for piece in pieces:
        options |= piece.options
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def _size(survey: Survey, largest: int, given: Size | None) -> tuple[Size, Advice]:
    if given is None:
        return suggested_size(survey, largest)
    written = ",".join(map(str, pair(given))) if not isinstance(given, int) else str(given)
    small = len(survey.enlarged(given)) / len(survey.facts)
    reason = f"You chose it. At this size {small:.0%} of the images are enlarged."
    return given, Advice("Resolution", text(given), reason, {"data.resolution": written})


def _model(fixed: Mapping[str, str], pieces: Sequence[Advice]) -> StyleGAN2:
    """The model that the options so far describe, as training builds it."""
    parser = train_parser()
    parsed = parser.instantiate(parser.parse_args(with_default_config(_arguments(fixed, pieces))))
    dataset = ImageDataset(build_data(parsed))
    return build_model(parsed, dataset, parsed.batch, parsed.batch_per_device)


def _gamma(
    fixed: Mapping[str, str],
    pieces: Sequence[Advice],
    size: Size,
    rule: float,
    options: AdviceOptions,
    device: torch.device,
) -> Advice:
    """Advice on R1's gamma, from a probe with small networks."""
    from stylegan2.advice import gamma

    small = pair(size)
    while max(small) > PROBE_SIDE[device.type] and min(small) % 2 == 0:
        small = small[0] // 2, small[1] // 2
    networks = {
        f"model.{n}.{k}": v for n in ("generator", "discriminator") for k, v in PROBE_NETWORKS.items()
    }
    written = str(small[0]) if small[0] == small[1] else f"{small[0]},{small[1]}"
    batch = min(PROBE_BATCH, int(fixed["batch"]))
    changed = {"data.resolution": written, "model.augment": "none", "batch": str(batch), **networks}
    changed["batch_per_device"] = "null"
    arguments = _arguments(fixed, [*pieces, Advice("", "", "", changed)])
    parser = train_parser()
    parsed = parser.instantiate(parser.parse_args(with_default_config(arguments)))
    dataset = ImageDataset(build_data(parsed))
    if dataset.num_images > PROBED:
        dataset.keep(sorted(random.Random(options.seed).sample(range(dataset.num_images), PROBED)))
    dataset.scan()
    images, labels = dataset[range(dataset.num_images)]
    own_rule = default_gamma(side(small), batch)

    def build(factor: float) -> StyleGAN2:
        parsed.model.r1.gamma = factor * own_rule
        torch.manual_seed(options.seed)
        return build_model(parsed, dataset, batch).to(device)

    trials, iterations = gamma.probe(build, images, labels, options.probe_seconds, options.seed)
    rows = [
        [f"{t.factor:g}", f"{t.factor * rule:.3g}", f"{t.gamma:.3g}", f"{t.gradient:.3g}", f"{t.penalty:.3g}",
         f"{t.loss:.3f}", f"{t.positive:.0%}", t.verdict]
        for t in trials
    ]  # fmt: skip
    head = ["factor", "gamma", "probed as", "E‖∇D‖²", "R1", "loss D", "reals > 0", "verdict"]
    if trials:
        print(f"\n{text_table(head, rows)}\n")
    factor, conclusion = gamma.conclusion(trials, iterations)
    tried = (
        f" The probe trained small networks at {text(small)} for {iterations} iterations with each value. That shows "
        "whether gamma is wrong by orders of magnitude, and not which value gives the best images: compare runs."
    )
    share = "The rule" if factor == 1 else f"{factor:g} times the rule"
    reason = f"{share} 0.0002 · resolution² / batch. {conclusion}{tried if trials else ''}"
    given = {} if factor == 1 else {"model.r1.gamma": f"{factor * rule:.3g}"}
    return Advice("R1 gamma", f"{factor * rule:.3g}", reason, given)


def _show(title: str, content: str) -> None:
    lines = textwrap.wrap(printable(content), 96, break_on_hyphens=False)
    print(textwrap.indent("\n".join(lines), " " * 12).replace(" " * 12, f"{title:<12}", 1), flush=True)
