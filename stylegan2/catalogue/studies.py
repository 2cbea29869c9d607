"""Trained networks: a study of ablations with every normalization in G, and one with every normalization in D."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import yaml
from PIL import Image

from stylegan2.ablation.plan.study import Run, Study, load_study
from stylegan2.ablation.plan.variants import DEFAULT
from stylegan2.ablation.report.figures import sample_grids, tile
from stylegan2.ablation.statistics.summary import Row, summarize
from stylegan2.catalogue.droplets import peaks
from stylegan2.files import replacing, write_text, yaml_text
from stylegan2.formats import load_generator
from stylegan2.networks.normalization.base import normalizations
from stylegan2.sizes import pair, text
from stylegan2.training.folder import LAST

REFERENCES = {"generator": "demodulation", "discriminator": "none"}
"""The normalization that the others replace, which is the default of the study of each network."""

STRIP = 10
"""Images in a strip."""


def study_arguments(names: Sequence[str], network: str, work: Path, num_classes: int) -> list[str]:
    """The options of `stylegan2 ablate` that compare normalizations in one network. Their overlays are written.

    Left out are those that the network cannot have with the data: what reads labels without labels in D, and what
    refuses a penalty of the default training.

    Returns:
        Nothing if none is left.
    """
    overlays = []
    for name in names:
        kind = normalizations[name]
        refused = network == "generator" and "path_length" in kind.refuses
        unlabeled = network == "discriminator" and kind.conditional and not num_classes
        if name == REFERENCES[network] or kind.needs_styles or refused or unlabeled:
            continue
        path = work / "overlays" / network / f"{name}.yaml"
        write_text(path, yaml_text({"model": {network: {"normalization": name}}}))
        overlays.append(str(path))
    return ["--fields", ",".join(overlays), "--out", str(work / network)] if overlays else []


def describe(study: Study) -> dict[str, Any]:
    """The conditions of a study that its page states."""
    base = yaml.safe_load(study.base.read_text(encoding="utf-8"))
    return {
        "kimg": study.kimg,
        "seeds": study.seeds,
        "images": study.images,
        "metric": study.metric,
        "data": Path(base["data"]["path"]).name,
        "resolution": text(base["data"]["resolution"]),
        "batch": base["batch"],
    }


def results(work: Path, network: str, pictures: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pairs of normalization and figures of a study. A strip of pictures of each is written into a folder.

    Figures are the verdict with its interval, how runs ended, and the quality distance over seeds. All strips show
    the same latents with seed 0.
    """
    summary = summarize(load_study(work / network))
    size = summary.base["data"]["resolution"]
    for grids in sample_grids(summary):
        if grids.row is not None:
            strip(list(grids.files.values())[-1], size, pictures / f"{_name(grids.row, network)}.png")
    for row in summary.rows:
        if row.level or row.ended:
            found = {"ended": row.ended, "distance": row.level.mean if row.level else None}
            yield (
                _name(row, network),
                found | {"comparison": asdict(row.comparison) if row.comparison else None},
            )


def _name(row: Row, network: str) -> str:
    return REFERENCES[network] if row.variant.name == DEFAULT else row.variant.name


def strip(path: Path, size: int | tuple[int, int], out: Path) -> None:
    """Write the first images of a sample grid, side by side, in 64 colors."""
    picture = tile(path, size, STRIP, 1).quantize(64, method=Image.Quantize.MEDIANCUT)
    height, _ = pair(size)
    factor = max(64 // height, 1)
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    with replacing(out) as temporary:
        picture.save(temporary, format="PNG", optimize=True)


def droplets(study: Study, name: str) -> dict[str, float]:
    """`peaks` of the trained generators with a normalization, as geometric means over seeds.

    Nothing is returned if no run has finished.
    """
    variant = DEFAULT if name == REFERENCES["generator"] else name
    runs = [Run(variant=variant, seed=seed) for seed in range(study.seeds)]
    finished = [run for run in runs if (result := study.result(run)) and result.status == "finished"]
    rows = [peaks(load_generator(study.folder(run) / LAST)[0]) for run in finished]
    return {r: geometric_mean(row[r] for row in rows) for r in rows[0]} if rows else {}
