"""`stylegan2 evaluate`: measures metrics of checkpoints, or of a whole run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylegan2.cli import CHOICES, make_parser, select
from stylegan2.data import ImageData, ImageDataset
from stylegan2.errors import InputError
from stylegan2.formats import load_generator
from stylegan2.formats.tensors import NUMBERED
from stylegan2.metrics.figures import Figure, best, merged, read_figures, tables, write_figures
from stylegan2.metrics.options import MetricOptions
from stylegan2.networks.generator import Generator
from stylegan2.parsing import Parser
from stylegan2.training.folder import LAST
from stylegan2.yaml_files import read_yaml

from .computing import chosen_device
from .output import writable_folder

if TYPE_CHECKING:
    import torch

FROM_CHECKPOINT = {"resolution", "channels"}
"""Options of the data that follow from the generator."""


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """The options of `stylegan2 evaluate` besides those of the metrics and of the data."""

    checkpoint: list[str] = field(default_factory=list)
    """Files that training wrote or that hold an official state dictionary, and folders of runs, such as runs/demo, of
    which all numbered checkpoints are measured. The options of the data are taken from the run's config.yaml."""

    out: str | None = None
    """Folder for evaluation.csv, which keeps the figures of earlier calls, and for evaluation.png, the curve of the
    figures over training. null: the folder of the run if one is given, otherwise out."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""


def make_evaluate_parser(prog: str = "stylegan2 evaluate") -> Parser:
    """Make the parser of the options of `stylegan2 evaluate`."""
    parser = make_parser(
        prog,
        "Measure the quality and the variety of generated images, without truncation: FID, KID, Inception score, "
        "precision, recall, density, coverage and path length. Prints a table of the checkpoints, and writes "
        "every figure with its provenance to evaluation.csv and the curve over training to evaluation.png.",
    )
    parser.add_class_arguments(EvaluationOptions)
    parser.add_class_arguments(MetricOptions, skip={"every_kimg"})
    parser.set_defaults(names=["fid", "kid"], images=10_000)
    parser.add_class_arguments(ImageData, "data", skip=FROM_CHECKPOINT, instantiate=False)
    parser.set_defaults({"data.path": None})
    parser.positional = "checkpoint"
    for action in parser._actions:
        if action.dest in ("names", "features"):
            action.help = f"{action.help} Choices: {', '.join(CHOICES[f'metrics.{action.dest}'])}."
    return parser


def evaluate_command(args: list[str], prog: str = "stylegan2 evaluate") -> int:
    """Measure checkpoints, print their table, and write the CSV file and the picture.

    Raises:
        InputError: An option is wrong, a file is missing or damaged, or the data does not fit the generator. The
            figures of the checkpoints before are written.
    """
    parser = make_evaluate_parser(prog)
    config = parser.parse_args(args)
    options = select(config, EvaluationOptions)
    files = checkpoint_files(options.checkpoint)
    if run := next((run for file in files if (run := run_of(file))), None):
        config = parser.parse_args([*data_arguments(run), *args])
    chosen = MetricOptions(
        every_kimg=0, **{f.name: config[f.name] for f in fields(MetricOptions) if f.name != "every_kimg"}
    )
    if not chosen.names:
        raise InputError("Expected --names of at least one metric, found none. Try --names fid,kid.")
    if config.data.path is None:
        raise InputError(
            f"Expected --data.path, the images to compare with: {files[0]} lies in no run's folder, whose "
            "config.yaml would name them."
        )
    chosen.load_extractor()  # what is missing is told before the images are read
    device = chosen_device(options.device)
    runs = [path for path in map(Path, options.checkpoint) if path.is_dir()]
    out = writable_folder(
        options.out or (str(runs[0]) if len(runs) == len(options.checkpoint) == 1 else "out")
    )

    from stylegan2.training.distributed import joined  # the training framework, which --help does without

    with joined():
        return _evaluated(config.data, chosen, files, out, device)


def _evaluated(
    data: Any, chosen: MetricOptions, files: Sequence[Path], out: Path, device: torch.device
) -> int:
    """Measure the checkpoints, by one process or several. The first writes and prints."""
    from tqdm import tqdm

    from stylegan2.training.distributed import rank
    from stylegan2.training.measuring import Measuring

    first = rank() == 0
    known: dict[tuple[tuple[int, int], int], Measuring] = {}
    found: list[Figure] = []
    table = out / "evaluation.csv"
    for file in tqdm(files, desc="Evaluating", unit="checkpoint", disable=len(files) == 1 or not first):
        network, about = load_generator(file)
        shape = (network.image_size, network.img_channels)
        if shape not in known:
            (height, width), channels = shape
            size = height if height == width else (height, width)
            seen: dict[str, Any] = {"resolution": size, "channels": channels}  # what the network makes
            known[shape] = Measuring(chosen, ImageData(**vars(data), **seen).open(minimum=2, progress=first))
        check_classes(network, known[shape].dataset, file)
        kimg = about.get("images", 0) / 1000
        found += known[shape].figures(network.to(device), checkpoint=str(file), kimg=kimg)
        if first:
            write_figures(table, merged(read_figures(table), found))
    if first:
        print(tables(found))
        picture = draw(found, out / "evaluation.png")
        print(f"\nFigures    {table}" + (f"\nCurve      {picture}" if picture else ""))
    return 0


def checkpoint_files(given: Sequence[str]) -> list[Path]:
    """The files that paths of files and of runs' folders stand for. Those of a run are in the order of training.

    Raises:
        InputError: None is given, or there is no such file.
    """
    if not given:
        raise InputError("Expected --checkpoint FILE, or the folder of a run, found none.")
    files: list[Path] = []
    for path in map(Path, given):
        if not path.is_dir():
            files.append(path)
            continue
        numbered = [
            (float(match[1]), file)
            for file in (path / LAST.parent).glob("*.ckpt")
            if (match := NUMBERED.fullmatch(file.name))
        ]
        if not numbered and not (path / LAST).is_file():
            raise InputError(
                f"Expected the folder of a run, found no checkpoints in {path / LAST.parent}. Give runs/NAME, or "
                "files."
            )
        files += [file for _, file in sorted(numbered)] or [path / LAST]
    for file in files:
        if not file.is_file():
            raise InputError(f"Expected a checkpoint at {file}, found no such file. Correct the path.")
    return list(dict.fromkeys(files))


def run_of(file: Path) -> Path | None:
    """The config.yaml of the run that a checkpoint belongs to, or None."""
    config = file.resolve().parent.parent / "config.yaml"
    return config if config.is_file() else None


def data_arguments(config: Path) -> list[str]:
    """A run's options of the data, as arguments."""
    data = read_yaml(config)[1].get("data") or {}
    names = {f.name for f in fields(ImageData)} - FROM_CHECKPOINT
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in data.items() if k in names}
    return [f"--data.{name}={text}" for name, text in texts.items()]


def check_classes(network: Generator, dataset: ImageDataset, file: Path) -> None:
    """Raise InputError if the labels of the data are not those that the generator was trained with."""
    if network.num_classes != dataset.num_classes:
        raise InputError(
            f"The generator in {file} has {network.num_classes or 'no'} classes, but {dataset.options.path} gives "
            f"{dataset.num_classes or 'none'}. Set --data.classes as in training."
        )


def draw(figures: Iterable[Figure], path: Path) -> Path | None:
    """Draw the curves of figures over training, a panel for each metric and a line for each run.

    Returns:
        The file, or None if no run has two checkpoints.
    """
    panels: dict[tuple[object, ...], dict[str, list[Figure]]] = {}
    for figure in figures:
        run = Path(figure.checkpoint).parent.parent.name
        panels.setdefault(figure.key, {}).setdefault(run, []).append(figure)
    if not any(len({f.kimg for f in line}) > 1 for lines in panels.values() for line in lines.values()):
        return None
    from matplotlib.figure import Figure as Drawing

    from stylegan2.files import replacing

    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    drawing = Drawing(figsize=(5.2 * columns, 3.2 * rows), layout="constrained")
    axes = drawing.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for axis, lines in zip(axes, panels.values()):
        one = next(iter(lines.values()))[0]
        for run, line in lines.items():
            line = sorted(line, key=lambda f: f.kimg)
            spread = [0.0 if math.isnan(f.spread) else f.spread for f in line]
            axis.errorbar(
                [f.kimg for f in line],
                [f.value for f in line],
                spread,
                marker="o",
                ms=3,
                capsize=2,
                label=run,
            )
            if top := best(line):
                axis.plot(top.kimg, top.value, marker="o", ms=10, fillstyle="none", color="black")
        axis.set_title(f"{one.title}\n{one.better} is better; {one.images:,} images", loc="left", fontsize=9)
        axis.set_xlabel("kimg")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
        if len(lines) > 1:
            axis.legend(frameon=False, fontsize=8)
    with replacing(path) as temporary:
        drawing.savefig(temporary, format="png", dpi=150)
    return path
