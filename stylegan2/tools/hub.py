"""`stylegan2 push` and `stylegan2 pull`: networks to and from a repository of the Hugging Face hub."""

from __future__ import annotations

import shutil
from pathlib import Path

from stylegan2.errors import InputError
from stylegan2.files import printable, replacing
from stylegan2.formats import load
from stylegan2.formats.card import card_of
from stylegan2.formats.hub import download, upload


def push(checkpoint: str, repository: str, license: str | None = None, public: bool = False) -> None:
    """Write the networks of a file of any known format to a repository of the Hugging Face hub.

    Args:
        checkpoint: The file to read.
        repository: Its name, such as user/cats. It is made if it is missing. Log in with `hf auth login` before.
        license: The license of the weights, for the model card.
        public: Makes a new repository visible to everybody.

    Raises:
        InputError: The file cannot be read, or the repository cannot be reached.
    """
    networks = load(checkpoint)
    card = card_of(
        networks,
        source=Path(checkpoint),
        format="safetensors",
        license=license,
        metrics={},
        remarks=networks.remarks,
    )
    print(upload(networks, repository, card, private=not public))


def pull(repository: str, destination: str, revision: str | None = None) -> None:
    """Download the networks of a repository of the Hugging Face hub to a safetensors file.

    Args:
        repository: Its name, such as user/cats.
        destination: The file to write.
        revision: Branch, tag or commit. null: the newest commit.

    Raises:
        InputError: The repository cannot be reached, it holds something else, or the file cannot be written.
    """
    path = download(repository, revision)
    networks = load(path)
    try:
        with replacing(Path(destination).expanduser()) as temporary:
            shutil.copyfile(path, temporary)
    except OSError as error:
        raise InputError(
            f"Expected to write {printable(destination)}, found that this fails ({error.strerror or error}). "
            "Name another file."
        ) from error
    height, width = networks.generator.image_size
    print(f"{printable(destination)}: {height}×{width}, {', '.join(networks.named())}")
