"""`stylegan2 bench`: times the ops and whole networks on this machine, with and without kernels."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from tqdm import tqdm

from stylegan2.errors import InputError
from stylegan2.files import text_table, write_text
from stylegan2.kernels import build

if TYPE_CHECKING:
    from stylegan2.benchmark.timing import Row

GROUP = 4  # default minibatch_group of the discriminator


def bench(
    resolutions: str = "256",
    what: str = "ops,generate,train",
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    batch: int = 1,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    compile: bool = False,
    repeats: int = 7,
    channel_base: int | None = None,
    beside: int = 0,
    runtimes: bool = False,
    out: str | None = None,
) -> None:
    """Measure the kernels and whole networks on this machine.

    All variants are timed in turn in the same run, after a warm-up, and their medians are compared. Networks
    have the channels of config-f. The column "of limit" compares with the machine. For ops it is the share of
    the machine's copy speed. For generation it is the time of PyTorch's convolutions, each alone in its faster
    memory format, divided by the time of the whole network. It can exceed 100 %, because our Winograd
    convolutions are faster than PyTorch's. For augmentation it is the share of a training iteration. GFLOP/s
    count the operations of a direct convolution.

    Args:
        resolutions: Powers of two from 8 to 1024, such as 256,1024.
        what: What to time, with commas: ops, generate, train (the phases G, D, R1 and path length), augment (ADA's
            transforms, compared with a training iteration in float32; not among the defaults).
        dtype: Type of the ops and of all blocks of the networks.
        batch: Images per batch.
        device: Device to measure on. auto: the GPU if there is one, else the CPU.
        compile: Also time generation with torch.compile. Training is not compiled, because compiled code has
            no double backward.
        repeats: Timed runs per variant.
        channel_base: The networks have min(channel_base / r, 512) feature maps at resolution r. null: as
            config-f.
        beside: Measure instead how fast the demo's networks train and generate on the CPU beside so many busy
            programs, for each number of threads and for the number that training chooses. 0: do not.
        runtimes: Also time generation on the CPU by the installed runtimes, which are ONNX Runtime and OpenVINO.
            They compute in float32, and OpenVINO in bfloat16 too.
        out: JSON file to write. null: none.

    Raises:
        InputError: An argument is out of range, or there is no device or no kernel to measure.
    """
    served = _installed(dtype) if runtimes else []
    if beside:
        _bench_beside(beside, served)
        return
    wanted = set(what.split(","))
    if unknown := wanted - {"ops", "generate", "train", "augment"}:
        raise InputError(
            f"--what expects ops, generate, train and augment, found {', '.join(unknown)}. Leave --what out for the "
            "first three."
        )
    sizes = _resolutions(resolutions)
    for option, value, least in (
        ("batch", batch, 1),
        ("repeats", repeats, 1),
        ("channel_base", channel_base, max(sizes)),
    ):
        if value is not None and value < least:
            raise InputError(
                f"--{option} expects {least} or more, found {value}. Leave it out for the default."
            )
    if wanted & {"train", "augment"} and batch > GROUP and batch % GROUP:
        raise InputError(
            f"--batch expects at most {GROUP} images or a multiple of {GROUP}, the group of the minibatch stddev, "
            f"found {batch}. Give {batch // GROUP * GROUP}, or leave train and augment out of --what."
        )
    if out and not Path(out).absolute().parent.is_dir():
        raise InputError(f"--out expects a file in an existing folder, found {out}. Make the folder first.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if served and device == "cuda":
        raise InputError("--runtimes measures on the CPU, found --device cuda. Add --device cpu.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda expects a GPU, but PyTorch finds none. Use --device cpu.")

    if not build.available(device):  # builds the kernels if necessary, before anything is timed
        raise InputError(
            f"Expected kernels for {device} to measure, found none. If STYLEGAN2_KERNELS is off, unset it. "
            "`stylegan2 doctor` shows what else is missing."
        )
    # Imported here, so that --help need not import the training framework.
    from stylegan2.benchmark.augmentation import bench_augment
    from stylegan2.benchmark.networks import bench_generate, bench_train
    from stylegan2.benchmark.ops import bench_ops
    from stylegan2.benchmark.timing import copy_speed

    rows: list[Row] = []
    copy = copy_speed(device, repeats)
    for resolution in tqdm(sizes, desc="Measuring", unit="resolution"):
        base = channel_base or (32768 if resolution > 256 else 16384)
        if "ops" in wanted:
            rows += bench_ops(resolution, device, getattr(torch, dtype), batch, repeats, copy)
        if "generate" in wanted:
            rows += bench_generate(resolution, device, dtype, batch, repeats, base, compile, served)
        if "train" in wanted:
            rows += bench_train(resolution, device, dtype, batch, repeats, base)
        if "augment" in wanted:
            rows += bench_augment(resolution, device, batch, repeats, base)
    about = {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": dtype,
        "batch": batch,
        "copy_gb_per_s": round(copy, 1),
    }
    print("  ".join(f"{key} {value}" for key, value in about.items()), "\n")
    print(table(rows))
    if out:
        write_text(out, json.dumps({"about": about, "rows": [asdict(row) for row in rows]}, indent=1))


def _installed(dtype: str) -> list[str]:
    """Names of the runtimes that can be measured.

    Raises:
        InputError: There is none.
    """
    from stylegan2.runtimes import runtimes

    served = [name for name, runtime in runtimes.items() if not runtime.missing()]
    if dtype != "float32":
        served = [name for name in served if name == "openvino" and dtype == "bfloat16"]
    if not served:
        raise InputError(
            f"--runtimes found no installed runtime for {dtype}. Install them: "
            'pip install "stylegan2[onnx,openvino]".'
        )
    return served


def _bench_beside(programs: int, served: list[str]) -> None:
    if programs < 0:
        raise InputError(f"--beside expects the number of busy programs, 1 or more, found {programs}.")
    from stylegan2.benchmark.beside import bench_beside

    rows = bench_beside(programs, 20.0, served)
    alone = {
        name: max(row[2] for row in rows if row[0] == name and row[1] == "1")
        for name in ("train", "generate")
    }
    best = {name: alone[name.split(",")[0]] for name, *_ in rows}
    head = ["what", "threads", "idle img/s", f"beside {programs} img/s", "beside / one idle thread"]
    print(text_table(head, [[n, t, f"{a:.1f}", f"{b:.1f}", f"{b / best[n]:.2f}"] for n, t, a, b in rows]))


def _resolutions(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = [0]
    if any(r < 8 or r > 1024 or r & (r - 1) for r in sizes):
        raise InputError(
            f"--resolutions expects powers of two from 8 to 1024, found {text!r}. Try --resolutions 256,1024."
        )
    return sizes


def table(rows: list[Row]) -> str:
    """The rows as aligned text."""

    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    head = ["what", "size", "variant", "ms", "speed-up", "GB/s", "GFLOP/s", "peak MB", "of limit"]
    cells = [
        [
            row.name,
            str(row.resolution),
            row.variant,
            f"{row.ms:.3g}",
            f"{row.speedup:.2f}×",
            number(row.gb_per_s, ".1f"),
            number(row.gflop_per_s, ".0f"),
            number(row.peak_mb, ".0f"),
            number(row.of_limit, ".0%"),
        ]
        for row in rows
    ]
    return text_table(head, cells)
