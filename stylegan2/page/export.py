"""A folder that Hugging Face Spaces run: the page as an app, the network, this package, and a card."""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from stylegan2.errors import InputError
from stylegan2.files import printable, write_text
from stylegan2.formats import Networks, formats
from stylegan2.networks.generator import Generator

NETWORK = "network.safetensors"
PACKAGE = Path(__file__).parent.parent

APP = f'''"""The page of a StyleGAN2 network, as `stylegan2 page` opens it."""

from stylegan2.tools.page import page

page("{NETWORK}", host="0.0.0.0", directions=DIRECTIONS)
'''
CARD = """---
title: TITLE
sdk: gradio
app_file: app.py
pinned: false
---

# TITLE

A StyleGAN2 network of HEIGHT×WIDTH pixels. The page shows the picture of any seed, mixes two seeds, moves along
directions, and finds the latent of an uploaded picture. `stylegan2 page --export` wrote this folder. The package in
`stylegan2/` has the MIT license. The license of the network is for its owner to state.
"""


def write_space(folder: Path, generator: Generator, title: str, directions: Path | None) -> None:
    """Write app.py, requirements.txt, README.md, the network, and the package to a new or empty folder.

    Args:
        folder: The folder.
        generator: The network. Nothing else of its checkpoint is written.
        title: What the card calls it.
        directions: A file of directions that the page offers as sliders, or None.

    Raises:
        InputError: The folder holds something, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(
                f"--export expects a new or empty folder, found files in {printable(str(folder))}. Name another one."
            )
        write = formats["safetensors"].write
        assert write is not None
        write(Networks(generator=generator), folder / NETWORK)
        named = None
        if directions is not None:
            named = "directions.safetensors"
            shutil.copyfile(directions, folder / named)
        hidden = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(PACKAGE, folder / "stylegan2", ignore=hidden)
        write_text(folder / "app.py", APP.replace("DIRECTIONS", repr(named)))
        write_text(folder / "requirements.txt", "\n".join(_requirements()) + "\n")
        height, width = generator.image_size
        card = CARD.replace("TITLE", title).replace("HEIGHT", str(height)).replace("WIDTH", str(width))
        write_text(folder / "README.md", card)
    except OSError as error:
        raise InputError(
            f"Writing to {printable(str(folder))} failed: {error.strerror or error}. Name another folder."
        ) from error


def _requirements() -> list[str]:
    """The packages that this one needs, with those of the extra `page`.

    Raises:
        InputError: The package was not installed, but runs from its source.
    """
    try:
        lines = requires("stylegan2") or []
    except PackageNotFoundError as error:
        raise InputError(
            "--export expects that stylegan2 is installed. Install it: pip install -e ."
        ) from error
    found = []
    for line in lines:
        requirement, _, marker = line.partition(";")
        if not marker or 'extra == "page"' in marker.replace("'", '"'):
            found.append(requirement.strip())
    return found
