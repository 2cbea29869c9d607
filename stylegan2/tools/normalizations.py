"""`stylegan2 normalizations`: measures every normalization in one layer, and writes a page for each."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from stylegan2.catalogue.measure import measure
from stylegan2.catalogue.pages import write_pages
from stylegan2.errors import InputError
from stylegan2.networks.normalization import normalizations


def measure_normalizations(
    out: str,
    names: list[str] | None = None,
    side: int = 64,
    channels: int = 32,
    repeats: int = 7,
    device: str = "auto",
) -> None:
    """Measure what each normalization does to scale, contrast and coupling, and write a page for each.

    Args:
        out: Folder for index.md, the pages and their pictures. Files of the same names are replaced.
        names: The normalizations. null: all of them.
        side: Height and width of the features whose time and memory are measured.
        channels: Their channels.
        repeats: How often the time is measured.
        device: auto, cpu or cuda.

    Raises:
        InputError: A name is unknown, a number is out of range, or there is no such device.
    """
    if min(side, channels, repeats) < 1:
        raise InputError(
            f"Expected side, channels and repeats above 0, found {side}, {channels} and {repeats}."
        )
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise InputError(
            f"Expected a device of this machine (auto, cpu or cuda), found {device!r}. Try auto."
        )
    chosen = [name for name in names or normalizations if normalizations[name]]
    place = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    hardware = torch.cuda.get_device_name(place) if place.type == "cuda" else "a CPU"
    start, measurements = time.perf_counter(), []
    for i, name in enumerate(chosen):
        measurements.append(measure(name, place, side=side, channels=channels, repeats=repeats))
        left = (time.perf_counter() - start) / (i + 1) * (len(chosen) - i - 1)
        print(f"{i + 1}/{len(chosen)} {name}, about {left:.0f} s left", file=sys.stderr, flush=True)
    conditions = (
        f"Time and memory are those of G's layer with {channels} channels of {side}² pixels and batches of 4, in "
        f"float32 on {hardware} with PyTorch {torch.__version__}."
    )
    write_pages(measurements, Path(out), conditions)
    print(f"Pages      {Path(out) / 'index.md'} and {len(measurements)} more")
