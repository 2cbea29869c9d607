"""`stylegan2 normalizations`: measures every normalization, and writes a page for each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from stylegan2.catalogue.record import Record
from stylegan2.errors import InputError
from stylegan2.networks.normalization import normalizations

QUICK = ("layer", "cost", "depth", "exponents", "pages")
LONG = ("training", "droplets")
PARTS = (*QUICK[:-1], *LONG, QUICK[-1])
"""The parts in their order."""

NETWORKS = ("generator", "discriminator")

DEPTH = {"resolution": 64, "width": 32, "seeds": 4}
EXPONENTS = {"seeds": 4}


def measure_normalizations(
    out: str,
    parts: list[str] | None = None,
    names: list[str] | None = None,
    side: int = 256,
    channels: int = 32,
    batch: int = 1,
    repeats: int = 5,
    device: str = "auto",
    networks: list[str] | None = None,
    work: str = "normalizations",
    config: list[str] | None = None,
    data: str | None = None,
    kimg: float = 2.0,
    seeds: int = 2,
    images: int = 500,
    parallel: int = 1,
) -> int:
    """Measure what each normalization does, in a layer, in untrained networks and in training, and write its page.

    Every measurement is kept in measurements.json in the folder, and the same command measures only what is missing.

    Args:
        out: Folder for index.md, choosing.md, the pages, their pictures and measurements.json. Files of the same
            names are replaced.
        parts: What to do, of layer, cost, depth, exponents, training, droplets and pages, or all. null: all but
            training and droplets, which train networks. pages writes the pages from what has been measured before.
        names: The normalizations. null: all of them.
        side: Height and width of the features whose time and memory are measured.
        channels: Their channels.
        batch: Number of samples whose time and memory are measured.
        repeats: How often the time is measured.
        device: auto, cpu or cuda, for time and memory.
        networks: The networks to train them in, generator and discriminator. null: both.
        work: Folder of the two studies that the training makes, generator and discriminator.
        config: Configuration files of the training. null: that of the demo, or auto.yaml with --data.
        data: Folder or zip of images of the training. null: as in the configuration.
        kimg: Length of a run of the training, in thousands of images.
        seeds: Runs of each normalization in each network. A verdict needs two or more.
        images: Number of generated images for the quality distance.
        parallel: Number of runs at the same time.

    Raises:
        InputError: A name is unknown, a number is out of range, there is no such device, or the networks cannot be
            trained.
    """
    chosen_parts = _chosen("parts", parts or list(QUICK), PARTS)
    if min(side, channels, batch, repeats) < 1:
        raise InputError(
            f"Expected side, channels, batch and repeats above 0, found {side}, {channels}, {batch} and {repeats}."
        )
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise InputError(
            f"Expected a device of this machine (auto, cpu or cuda), found {device!r}. Try auto."
        )
    chosen = [name for name in names or normalizations if normalizations[name]]
    record, training = (
        Record(Path(out)),
        Training(
            _chosen("networks", networks, NETWORKS), config, data, kimg, seeds, images, parallel, Path(work)
        ),
    )
    for part in chosen_parts:
        if part == "layer":
            from stylegan2.catalogue.measure import measure

            _measure(record, part, {"torch": torch.__version__}, chosen, lambda name: asdict(measure(name)))
        elif part == "cost":
            _cost(record, chosen, device, side=side, channels=channels, batch=batch, repeats=repeats)
        elif part == "depth":
            from stylegan2.catalogue.sizes import depth

            _measure(record, part, DEPTH, chosen, lambda name: depth(name, **DEPTH))
        elif part == "exponents":
            from stylegan2.catalogue.sizes import exponents

            _measure(record, part, EXPONENTS, chosen, lambda name: exponents(name, **EXPONENTS))
        elif part == "training":
            if status := training.run(record, chosen, Path(out)):
                return status
        elif part == "droplets":
            training.droplets(record, chosen)
        else:
            from stylegan2.catalogue.pages import write_pages

            print(f"Pages      {Path(out) / 'index.md'} and {write_pages(record, Path(out))} more")
    return 0


def _chosen(option: str, wanted: list[str] | None, known: Sequence[str]) -> list[str]:
    """Those of the known names that an option names, in their order. null and all: every one.

    Raises:
        InputError: A name is not known.
    """
    names = set(wanted or ["all"])
    if unknown := names - {*known, "all"}:
        raise InputError(
            f"Expected --{option} of all, {', '.join(known)}, found {', '.join(sorted(unknown))}. Correct the name."
        )
    return [name for name in known if name in names or "all" in names]


def _measure(
    record: Record,
    part: str,
    conditions: Mapping[str, Any],
    names: Iterable[str],
    figures: Callable[[str], Mapping[str, Any]],
) -> None:
    """Measure what is missing of a part, with a bar."""
    bar = tqdm(record.begin(part, conditions, names), desc=part, unit="normalization", file=sys.stderr)
    for name in bar:
        bar.set_postfix_str(name)
        if found := figures(name):
            record.put(part, name, found)


def _cost(record: Record, names: Iterable[str], device: str, **sizes: int) -> None:
    from stylegan2.catalogue.cost import cost

    place = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    hardware = torch.cuda.get_device_name(place) if place.type == "cuda" else "a CPU"
    conditions = {**sizes, "hardware": hardware, "torch": torch.__version__}
    _measure(record, "cost", conditions, names, lambda name: cost(name, place, **sizes))


@dataclass(frozen=True)
class Training:
    """The options of the studies."""

    networks: list[str]
    config: list[str] | None
    data: str | None
    kimg: float
    seeds: int
    images: int
    parallel: int
    work: Path

    @property
    def options(self) -> list[str]:
        """The options of a run."""
        from stylegan2.cli import with_default_config

        args = [part for file in self.config or [] for part in ("--config", file)]
        args += ["--data.path", self.data] if self.data else []
        return [*with_default_config(args), "--kimg", str(self.kimg)]

    def run(self, record: Record, names: list[str], out: Path) -> int:
        """Run or continue the study of each network, and keep its results.

        Returns:
            0, or the exit status of a study that was stopped.
        """
        from stylegan2.ablation.plan.study import load_study
        from stylegan2.catalogue.studies import describe, results, study_arguments
        from stylegan2.cli import build_data, train_parser
        from stylegan2.tools.ablate import ablate_command

        parser = train_parser()
        parsed = parser.instantiate(parser.parse_args(self.options))
        num_classes = build_data(parsed).open(minimum=2, progress=False).num_classes
        measuring = [
            "--seeds",
            str(self.seeds),
            "--images",
            str(self.images),
            "--parallel",
            str(self.parallel),
        ]
        for network in self.networks:
            chosen = study_arguments(names, network, self.work, num_classes)
            if not chosen:
                continue
            status = ablate_command([*self.options, *measuring, "--yes", "true", *chosen])
            if status > 128:
                return status
            part = f"training.{network}"
            record.begin(part, describe(load_study(self.work / network)), [])
            for name, figures in results(self.work, network, out / "samples" / network):
                record.put(part, name, figures)
        return 0

    def droplets(self, record: Record, names: list[str]) -> None:
        """Measure the droplets of the trained generators.

        Raises:
            InputError: There are none.
        """
        from stylegan2.ablation.plan.study import load_study
        from stylegan2.catalogue.studies import describe, droplets

        study = load_study(self.work / "generator")
        _measure(record, "droplets", describe(study), names, lambda name: droplets(study, name))
