"""Sound inputs to spoil, and what the product makes of a spoilt one."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image

from stylegan2.__main__ import run as run_command
from stylegan2.data import ImageData, ImageDataset
from stylegan2.errors import InputError
from stylegan2.formats import load_generator, native

from ..training_cases import tiny_config

TINY = tiny_config({"path": "demo/smileys-emotion"}, log_kimg=0.008, sample_kimg=0, snapshot_kimg=0)
"""The configuration of a training run of two iterations."""


def command(name: str, *args: object) -> tuple[int, str]:
    """Run a command of the product in this process. Returns its exit status and all that it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.redirect_stderr(text):
        try:
            status = run_command(name, [str(arg) for arg in args], f"stylegan2 {name}")
        except SystemExit as end:
            status = int(end.code or 0)
    return status, text.getvalue()


def refuses(name: str, *args: object) -> str:
    """Run a command that must refuse its input with a message. Returns "refused"."""
    status, text = command(name, *args)
    assert status == 2, f"{name} ended with status {status}: {text[-300:]}"
    assert "error" in text and "Traceback" not in text, text[-300:]
    return "refused"


def refused(read: Callable[[], Any], check: Callable[[Any], str | None] | None = None) -> str:
    """Read an input that the product may refuse. `check` raises unless what was read is right.

    Without `check` it must be refused. Returns "refused", what `check` returns, or "read".
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = read()
    except InputError as error:
        assert "Traceback" not in str(error) and len(str(error)) < 5000, f"an endless message: {error}"[:300]
        return "refused"
    assert check is not None, "expected InputError, found that the input was accepted"
    return check(value) or "read"


@contextlib.contextmanager
def nothing_written(folder: Path) -> Iterator[None]:
    """Assert that the block creates no file and no folder below `folder`.

    Python may compile modules, and the lock in the folder of a run may stay.
    """
    may = {".pyc", "__pycache__", ".lock"}
    before = set(folder.rglob("*"))
    yield
    new = [path for path in folder.rglob("*") if path not in before and not {path.suffix, path.name} & may]
    assert not new, f"expected nothing new in the folder, found {sorted(map(str, new))[:3]}"


def prepare() -> None:
    """Make the sound inputs, and import in this process what every case would import in its own."""
    import stylegan2.tools.ablate
    import stylegan2.tools.generate
    import stylegan2.tools.pack
    import stylegan2.tools.probe
    import stylegan2.tools.train
    import stylegan2.training.run  # noqa: F401

    Image.init()
    tensors()


# ---- checkpoints


@cache
def checkpoint() -> bytes:
    """A checkpoint that the product's own training wrote."""
    with tempfile.TemporaryDirectory() as folder:
        fork = multiprocessing.get_context("fork")
        process = fork.Process(target=_train, args=(folder,))
        process.start()
        process.join()
        return (Path(folder) / "runs/demo/checkpoints/last.ckpt").read_bytes()


def _train(folder: str) -> None:
    torch.set_num_threads(1)
    os.chdir(folder)
    Path("tiny.yaml").write_text(TINY, encoding="utf-8")
    status, text = command("train", "--config", "tiny.yaml")
    assert status == 0, text


@cache
def tensors() -> dict[str, Any]:
    """The contents of that checkpoint, as PyTorch reads them."""
    return torch.load(io.BytesIO(checkpoint()), weights_only=True)


def read_checkpoint(path: Path) -> str:
    """Read a spoilt copy of `checkpoint()` in all ways. It must be refused, or be as it was."""

    def as_it_was(contents: dict[str, Any]) -> str:
        assert same(contents, tensors()), "other tensors were loaded"
        return "read as it was"

    first = refused(lambda: native.read(path), as_it_was)
    weights = {
        name.removeprefix("generator_ema."): value
        for name, value in tensors()["state_dict"].items()
        if name.startswith("generator_ema.")
    }

    def generator_as_it_was(loaded: tuple[torch.nn.Module, dict]) -> str:
        found = loaded[0].state_dict()
        assert all(same(found[name], value) for name, value in weights.items()), (
            "another generator was loaded"
        )
        return "read as it was"

    second = refused(lambda: load_generator(path), generator_as_it_was)
    assert first == second, f"one reader has {first}, the other {second}"
    return first


def same(a: object, b: object) -> bool:
    """Whether two trees of dictionaries, lists, tensors and plain values are equal, bit by bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


# ---- images


def noise(random: Random, width: int = 24, height: int = 24, mode: str = "RGB") -> Image.Image:
    """An image of random pixels, every byte of which matters."""
    pixels = np.frombuffer(random.randbytes(width * height * 3), np.uint8).reshape(height, width, 3)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """The file that PIL writes of an image."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def opened(path: str | Path, resolution: int = 8, **options: Any) -> ImageDataset:
    """The images of a folder or zip, checked as before training."""
    return ImageData(str(path), resolution=resolution, **options).open(progress=False)


def pictures(path: str | Path, **options: Any) -> dict[str, torch.Tensor]:
    """All images of a folder or zip by name, checked and read as training does, without the cache."""
    dataset = opened(path, cache_gb=0, **options)
    return {name: dataset[row][0] for row, name in enumerate(dataset.names)}


def zip_of(files: dict[str, bytes]) -> bytes:
    """A zip of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
