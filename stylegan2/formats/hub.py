"""Networks in a folder or in a repository of the Hugging Face hub: `model.safetensors` and its model card.

The package `huggingface_hub` is the extra `hub`. Nothing here asks for a password: the package finds the login of
its own command, `hf auth login`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stylegan2.errors import InputError
from stylegan2.files import printable, write_text
from stylegan2.networks.generator import Generator

from . import Networks, formats, load
from .card import as_markdown

MODEL = "model.safetensors"
CARD = "README.md"


def save_pretrained(generator: Generator | Networks, folder: str | Path, card: str = "") -> Path:
    """Write networks as `model.safetensors` to a folder, with the text of a model card if there is one.

    Raises:
        InputError: The networks cannot be written.
    """
    networks = generator if isinstance(generator, Networks) else Networks(generator=generator)
    path = Path(folder).expanduser() / MODEL
    write = formats["safetensors"].write
    assert write is not None
    try:
        write(networks, path)
        if card:
            write_text(path.with_name(CARD), card)
    except OSError as error:
        raise InputError(
            f"Expected to write to {printable(str(folder))}, found that this fails ({error.strerror or error}). "
            "Name another folder."
        ) from error
    return path


def from_pretrained(name: str | Path, revision: str | None = None) -> Generator:
    """Load the generator for sampling from a folder that `save_pretrained` wrote, or from a repository of the hub.

    Args:
        name: The folder, or the name of a repository, such as "user/cats". A folder comes first.
        revision: Branch, tag or commit of the repository. None is its newest commit.

    Raises:
        InputError: There is no such folder, and the repository cannot be reached.
    """
    folder = Path(name).expanduser()
    path = folder / MODEL if folder.is_dir() else download(str(name), revision)
    return load(path).generator.requires_grad_(False)


def download(repository: str, revision: str | None = None) -> Path:
    """Download `model.safetensors` of a repository, or find it in the cache of earlier downloads.

    Raises:
        InputError: The package is missing, there is no connection, or no such repository or file.
    """
    with _hub(repository) as hub:
        return Path(hub.hf_hub_download(repository, MODEL, revision=revision))


def upload(networks: Networks, repository: str, card: Mapping[str, Any], private: bool = True) -> str:
    """Write networks and their card to a repository, which is made if it is missing. Returns its address.

    Raises:
        InputError: The package or a login is missing, or there is no connection.
    """
    with _hub(repository) as hub, TemporaryDirectory() as folder:
        save_pretrained(networks, folder, as_markdown(card))
        api = hub.HfApi()
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Networks and model card")
        return str(address)


@contextmanager
def _hub(repository: str) -> Iterator[Any]:
    """The package of the hub. Its errors become messages."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError(
            'Expected the package huggingface_hub, found that it is not installed. pip install "stylegan2[hub]".'
        ) from error
    try:
        yield huggingface_hub
    except InputError:
        raise
    except Exception as error:  # of the network, of the login, of the repository's name
        what = " ".join(str(error).split())[:300]
        raise InputError(
            f"Expected a folder or a repository of the hub that can be reached, found that {printable(repository)} "
            f"cannot ({type(error).__name__}: {printable(what)}). Without a connection, give a file or a folder on "
            "this machine."
        ) from error
