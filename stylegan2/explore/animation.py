"""Animations as files: H.264 by FFmpeg, WebP and GIF frame by frame, and folders of PNG files.

Frames are taken one after the other, and none is kept, so that memory does not grow with the length.
"""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO, Protocol

from PIL import Image
from PIL.GifImagePlugin import getdata, getheader

from stylegan2.errors import InputError
from stylegan2.files import printable, replacing
from stylegan2.images import png_bytes, save_png

ENDS = (".mp4", ".webp", ".gif")
"""Suffixes of files. Any name without a suffix is a folder of PNG files."""

FASTEST = {".gif": 50.0, ".webp": 1000.0}
"""Most frames per second. Browsers show a GIF more slowly if a frame lasts less than 1/50 s."""


class Write(Protocol):
    def __call__(self, picture: Image.Image) -> None:
        """Write the next frame."""


def check_animation(path: str | Path, fps: float, option: str = "--out") -> Path:
    """The path of an animation, after everything that writing it needs was found.

    Raises:
        InputError: The suffix is unknown, the folder is missing, FFmpeg is missing, or fps is out of range.
    """
    path = Path(path).expanduser()
    if path.suffix not in (*ENDS, ""):
        raise InputError(
            f"{option} expects a file that ends with {', '.join(ENDS)}, or a folder for PNG files, found "
            f"{printable(str(path))}. Choose one of these."
        )
    if (path.is_dir() and path.suffix) or (path.is_file() and not path.suffix):
        raise InputError(
            f"{option} expects another name: {printable(str(path))} exists and is of another kind."
        )
    if not path.absolute().parent.is_dir():
        raise InputError(f"{option} expects a file in an existing folder, found {printable(str(path))}.")
    most = FASTEST.get(path.suffix, 1000.0)
    if not 0 < fps <= most:
        raise InputError(f"--fps expects more than 0 and at most {most:g} for such a file, found {fps}.")
    if path.suffix == ".mp4":
        ffmpeg()
    return path


def ffmpeg() -> str:
    """The path of the FFmpeg program.

    Raises:
        InputError: There is none.
    """
    advice = 'Install it: pip install "stylegan2[video]". WebP, GIF and folders of PNG files do without it.'
    if not importlib.util.find_spec("imageio_ffmpeg"):
        raise InputError(f"An MP4 file needs the package imageio-ffmpeg, which is not installed. {advice}")
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise InputError(
            f"An MP4 file needs the program ffmpeg, which imageio-ffmpeg lacks. {advice}"
        ) from error


def frame_bytes(picture: Image.Image, suffix: str) -> int:
    """About how many bytes a frame takes in an animation.

    It is what the frame takes in a WebP or GIF, or as a PNG file for the suffix "". H.264 takes less than WebP, even
    for frames of noise that have nothing in common.
    """
    if not suffix:
        return png_bytes(picture)
    file = io.BytesIO()
    with KINDS.get(suffix, webp)(file, 30) as write:
        write(opaque(picture) if suffix == ".mp4" else picture)
    return file.getbuffer().nbytes


def write_animation(
    frames: Iterable[Image.Image],
    path: str | Path,
    fps: float,
    audio: str | None = None,
    numbers: Iterable[int] | None = None,
) -> Path:
    """Write frames of one size to a file, or to a folder if the path has no suffix.

    A file replaces an older one when it is complete. In a folder every frame is complete or missing.

    Args:
        frames: At least one.
        path: Ends with .mp4, .webp or .gif, or has no suffix.
        fps: Frames per second.
        audio: A sound file that an MP4 file gets as its sound.
        numbers: What PNG files are numbered with. None: from 0.

    Raises:
        InputError: As `check_animation` says.
    """
    path = check_animation(path, fps)
    if not path.suffix:
        for picture, number in zip(frames, count() if numbers is None else numbers):
            save_png(picture, path / f"frame{number:06d}.png")
        return path
    with replacing(path) as temporary:
        if path.suffix == ".mp4":
            _write_mp4(frames, temporary, fps, audio)
        else:
            with temporary.open("wb") as file, KINDS[path.suffix](file, fps) as write:
                for picture in frames:
                    write(picture)
    return path


def opaque(picture: Image.Image) -> Image.Image:
    """The picture in RGB, with white where it is transparent."""
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def _write_mp4(frames: Iterable[Image.Image], path: Path, fps: float, audio: str | None) -> None:
    import imageio_ffmpeg

    encoder, sent = None, 0
    options = ["-crf", "17", "-movflags", "+faststart", "-f", "mp4"]
    try:
        for picture in frames:
            picture = _even(opaque(picture))
            if encoder is None:
                encoder = imageio_ffmpeg.write_frames(
                    str(path),
                    picture.size,
                    fps=fps,
                    codec="libx264",
                    quality=None,
                    macro_block_size=2,
                    output_params=options,
                    audio_path=audio,
                    audio_codec="aac" if audio else None,
                    ffmpeg_log_level="error",
                )
                encoder.send(None)
            encoder.send(picture.tobytes())
            sent += 1
    except OSError:  # of the pipe to the program, which has ended and printed why
        sent = -1
    finally:
        if encoder is not None:
            encoder.close()
    written = 0
    if sent > 0 and path.is_file():
        with suppress(RuntimeError):  # of a file that breaks off
            written = imageio_ffmpeg.count_frames_and_secs(str(path))[0]
    if written != sent:
        raise InputError(
            f"Expected that ffmpeg writes a video to {printable(str(path.parent))}, found that it failed. If its "
            "messages above say that the disk is full, make room, or name another place with --out."
        )


def _even(picture: Image.Image) -> Image.Image:
    """The picture with even sides, which H.264 needs: the last row or column is repeated."""
    width, height = (side + side % 2 for side in picture.size)
    if picture.size == (width, height):
        return picture
    paper = Image.new(picture.mode, (width, height))
    for x, y in ((1, 1), (1, 0), (0, 1), (0, 0)):
        paper.paste(picture, (x * (width - picture.width), y * (height - picture.height)))
    return paper


def delays(fps: float, unit: int) -> Iterator[int]:
    """How long each frame lasts in units of 1/unit s. Their sum is never more than half a unit wrong."""
    number, before = 0, 0
    while True:
        number += 1
        after = round(number * unit / fps)
        yield after - before
        before = after


@contextmanager
def gif(file: BinaryIO, fps: float) -> Iterator[Write]:
    """A GIF that repeats forever. Every frame has 256 colors of its own."""
    lasting, started = delays(fps, 100), False

    def write(picture: Image.Image) -> None:
        nonlocal started
        frame = opaque(picture).quantize(256)
        if not started:
            for block in getheader(frame.copy(), info={"loop": 0})[0]:
                file.write(block)
            started = True
        for block in getdata(frame, duration=10 * next(lasting), include_color_table=True):
            file.write(block)

    yield write
    file.write(b";")


@contextmanager
def webp(file: BinaryIO, fps: float) -> Iterator[Write]:
    """A WebP animation that repeats forever: a container (RFC 9649) around still images of quality 90."""
    lasting, started = delays(fps, 1000), False

    def write(picture: Image.Image) -> None:
        nonlocal started
        picture = picture if picture.mode == "RGBA" else picture.convert("RGB")
        sides = _u24(picture.width - 1) + _u24(picture.height - 1)
        if not started:
            flags = 0x02 | (0x10 if picture.mode == "RGBA" else 0)
            file.write(b"RIFF\0\0\0\0WEBP" + _chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides))
            file.write(_chunk(b"ANIM", bytes(6)))
            started = True
        still = io.BytesIO()
        picture.save(still, format="WEBP", quality=90, method=4)
        head = _u24(0) + _u24(0) + sides + _u24(next(lasting)) + b"\x02"  # over the frame before, not blended
        file.write(_chunk(b"ANMF", head + _image_chunks(still.getvalue())))

    yield write
    size = file.tell() - 8
    file.seek(4)
    file.write(struct.pack("<I", size))


KINDS = {".gif": gif, ".webp": webp}


def _u24(number: int) -> bytes:
    return struct.pack("<I", number)[:3]


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _image_chunks(still: bytes) -> bytes:
    """The chunks of a WebP file that hold its pixels."""
    found, start = b"", 12
    while start < len(still):
        name, (size,) = still[start : start + 4], struct.unpack("<I", still[start + 4 : start + 8])
        end = start + 8 + size + size % 2
        if name in (b"ALPH", b"VP8 ", b"VP8L"):
            found += still[start:end]
        start = end
    return found
