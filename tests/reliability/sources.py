"""Folders that hold more than images."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from random import Random

from stylegan2.errors import InputError

from . import samples
from .runner import EIGHTH_OF_MEMORY, Family

family = Family(
    name="sources",
    tried="an odd folder",
    holds="every real image is found once and nothing else is read, or the folder is refused with a message; little "
    "memory and time are taken",
    count=120,
    prepare=samples.prepare,
    seconds=30,
)

NOBODY = 65534
"""A user without rights, as which the administrator tries folders that cannot be read."""


def make(root: Path, *names: str) -> Path:
    """A folder of images of different colors."""
    for k, name in enumerate(names or ("a/0.png", "a/1.png", "b/2.png")):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(samples.encoded(samples.Image.new("RGB", (8, 8), (40 * (k % 6), 255, 20))))
    return root


def finds(root: Path, *expected: str, **options: object) -> str:
    """Assert that these images are found and read, each once, and no others."""
    names = list(samples.pictures(root, **options))
    assert sorted(names) == sorted(expected or ("a/0.png", "a/1.png", "b/2.png")), f"found {names[:5]}"
    return "read"


def finds_or_refuses(root: Path, *expected: str) -> str:
    """The same, or the folder is refused; with unreadable=skip the images must be found."""
    how = samples.refused(lambda: finds(root, *expected), lambda _: "read")
    try:
        finds(root, *expected, unreadable="skip")
    except InputError as error:
        raise AssertionError(f"unreadable=skip refuses too: {error}") from error
    return how


@contextlib.contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Go on as a user who may enter `folder`, but not read everything."""
    folder.chmod(0o755)
    make(folder / "warm")
    finds(folder / "warm")  # imports what that user may not import
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def closing(mode: int, *paths: Path) -> Iterator[None]:
    """Take rights from files and folders until the block ends."""
    for path in paths:
        path.chmod(mode)
    try:
        yield
    finally:
        for path in paths:
            path.chmod(0o755)


@family.kind("link to a folder around")
def parent(folder: Path, random: Random) -> str:
    root = make(folder / "x/photos")
    for k in range(random.randint(1, 4)):
        target = random.choice([".", "..", "../..", str(root), str(folder), "/", str(root / "a"), "../a"])
        place = root / random.choice(["", "a", "b"])
        if (place / target).exists():
            (place / f"link{k}").symlink_to(target)
    return finds(root)


@family.kind("links in a ring")
def ring(folder: Path, random: Random) -> str:
    root = make(folder / "photos")
    count = random.randint(1, 5)
    for k in range(count):
        (root / f"ring{k}").symlink_to(f"ring{(k + 1) % count}")
    (root / "a/to_b").symlink_to("../b")
    (root / "b/to_a").symlink_to("../a")
    return finds_or_refuses(root)


@family.kind("links that lead nowhere")
def dangling(folder: Path, random: Random) -> str:
    root = make(folder / "photos")
    for name in random.sample(["a/9.png", "9.jpg", "dataset.json", "c", "b/x.zip"], random.randint(1, 5)):
        (root / name).symlink_to(random.choice(["missing", "/missing/x", "../../missing"]))
    return finds_or_refuses(root)


@family.kind("links to the same images")
def copies(folder: Path, random: Random) -> str:
    root, other = make(folder / "photos"), make(folder / "other", "9.png")
    (root / "c").symlink_to(random.choice(["a", str(root / "a")]))
    (root / "a/8.png").symlink_to(random.choice(["0.png", "../b/2.png"]))
    (root / "d").symlink_to(other)
    (root / "e").symlink_to(other)
    return finds(root, "a/0.png", "a/1.png", "b/2.png", "d/9.png")


@family.kind("pipes, sockets and devices")
def special(folder: Path, random: Random) -> str:
    root = make(folder / "photos")
    for name in random.sample(["a/8.png", "9.jpg", "dataset.json", "b/notes.txt"], random.randint(1, 4)):
        what = random.choice(["pipe", "socket", "/dev/zero", "/dev/stdin", "/proc/self/mem"])
        if what == "pipe":
            os.mkfifo(root / name)
        elif what == "socket":
            os.chdir(root)
            with socket.socket(socket.AF_UNIX) as opened:
                opened.bind(name)
        else:
            (root / name).symlink_to(what)
    return finds_or_refuses(root)


@family.kind("pipes and devices as the data or its labels")
def special_path(folder: Path, random: Random) -> str:
    root = make(folder / "photos")
    what = random.choice(["pipe", "/dev/zero", "/dev/null", "/dev/tty"])
    path = random.choice([folder / "photos.zip", folder / "photos.png", root / "dataset.json"])
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(what)
    if path.name == "dataset.json":
        return samples.refused(lambda: samples.opened(root, classes="labels"))
    return samples.refused(lambda: samples.opened(path))


@family.kind("folders and files that may not be read")
def forbidden(folder: Path, random: Random) -> str:
    root = make(folder / "photos", "a/0.png", "a/1.png", "b/2.png", "c/3.png", "d/4.png")
    closed = [root / "c", root / "d/4.png"]
    with closing(random.choice([0o000, 0o200]), *closed), without_rights(folder):
        samples.refused(lambda: samples.opened(root))
        how = finds(root, "a/0.png", "a/1.png", "b/2.png", unreadable="skip")
    return f"refused, and {how} with unreadable=skip"


@family.kind("data that may not be read")
def all_forbidden(folder: Path, random: Random) -> str:
    root = make(folder / "around/photos")
    archive = folder / "around/photos.zip"
    archive.write_bytes(samples.zip_of({"0.png": b""}))
    path, closed = random.choice(
        [(root, root), (archive, archive), (root, root.parent), (archive, root.parent)]
    )
    with closing(0o000, closed), without_rights(folder):
        return samples.refused(lambda: samples.opened(path))


@family.kind("odd names")
def names(folder: Path, random: Random) -> str:
    root = make(folder / "photos")
    odd = [
        b"\xff\xfe.png",
        b"new\nline.png",
        b"\x1b[2J.png",
        b"-rf.png",
        b"a b.PNG",
        "é.png".encode(),
        b"$(x).png",
    ]
    odd += [
        "e\u0301.png".encode(),
        b"'\".png",
        b"<b>.png",
        b"x" * 250 + b".png",
        b"back\\slash.png",
        b"%s.png",
        b".\\.png",
    ]
    chosen = random.sample(odd, random.randint(1, 6))
    for name in chosen:
        with open(os.path.join(os.fsencode(root), name), "wb") as file:
            file.write((root / "a/0.png").read_bytes())
    found = samples.pictures(root)
    hidden = sum(name.startswith(b".") for name in chosen)
    assert len(found) == 3 + len(chosen) - hidden, f"found {len(found)} of {3 + len(chosen)}"
    return "read"


@family.kind("folders in folders")
def deep(folder: Path, random: Random) -> str:
    root = make(folder / "photos")
    depth = random.choice([20, 100, 300])
    os.chdir(root)
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    Path("deep.png").write_bytes((root / "a/0.png").read_bytes())
    how = samples.refused(lambda: samples.pictures(root), lambda found: f"{len(found)} of 4 read")
    assert how in ("refused", "4 of 4 read"), how
    return "read"


@family.kind("files of the system, hidden ones, and other types")
def others(folder: Path, random: Random) -> str:
    root = make(folder / "photos")
    more = [
        ".hidden.png",
        ".git/x.png",
        "__MACOSX/a/._0.png",
        "@eaDir/0.png",
        "$RECYCLE.BIN/0.png",
        "Thumbs.db",
    ]
    make(root, *more)
    for name in random.sample(["notes.txt", "a/0.json", "x.zip", "clip.mp4", "x.svg", "a/x.png.part"], 3):
        (root / name).write_bytes(random.randbytes(100))
    return finds(root, classes=random.choice(["none", "folders"]))


@family.kind("folders named like images")
def named_like_images(folder: Path, random: Random) -> str:
    root = make(folder / "photos", "a.png/0.png", "a.zip/1.png", "dataset.json/2.png")
    found = finds(root, "a.png/0.png", "a.zip/1.png", "dataset.json/2.png")
    samples.refused(lambda: samples.opened(root, classes="labels"))
    return found


@family.kind("files that hold nothing or other things")
def contents(folder: Path, random: Random) -> str:
    root = make(folder / "photos")
    junk = [
        b"",
        b"\0" * 5000,
        b"<html>404</html>",
        random.randbytes(3000),
        b"version https://git-lfs.github.com/spec/v1",
    ]
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    (root / f"a/9{random.choice(['.png', '.jpg', '.webp'])}").write_bytes(random.choice([*junk, svg]))
    assert samples.refused(lambda: samples.opened(root)) == "refused"
    return f"refused, and {finds(root, unreadable='skip')} with unreadable=skip"


@family.kind("files as large as the memory", megabytes=EIGHTH_OF_MEMORY)
def sparse(folder: Path, random: Random) -> str:
    """A file without content takes no room on the disk."""
    root = make(folder / "photos")
    name = random.choice(["a/9.png", "dataset.json"])
    with open(root / name, "wb") as file:
        file.truncate(random.choice([8 * EIGHTH_OF_MEMORY << 20, 5000 << 30]))
    if name == "dataset.json":
        return samples.refused(lambda: samples.opened(root, classes="labels"))
    samples.refused(lambda: samples.opened(root))
    return f"refused, and {finds(root, unreadable='skip')} with unreadable=skip"


@family.kind("hardly any images")
def few(folder: Path, random: Random) -> str:
    root = folder / "photos"
    root.mkdir()
    random.choice(
        [
            lambda: None,
            lambda: (root / "a/b/c").mkdir(parents=True),
            lambda: (root / "x.txt").write_text("x", encoding="utf-8"),
            lambda: root.rmdir(),
            lambda: (root / "x.png").mkdir(),
        ]
    )()
    return samples.refused(lambda: samples.opened(root))
