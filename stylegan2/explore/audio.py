"""Walks that follow a sound: it decides when a walk is fast."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stylegan2.errors import InputError
from stylegan2.files import printable

Array = npt.NDArray[np.float64]

STILL = 0.15
"""Speed of a walk in silence, where a loud onset adds 2 to it."""

LONGEST = 4 * 3600
"""Most seconds of sound."""


def audio_speeds(path: str | Path, fps: float) -> Array:
    """How fast a walk is during each frame of a sound, with a mean of 1.

    The speed is 0.15, plus the loudness (the root mean square of the samples), plus the strength of onsets (the
    spectral flux: by how much the logarithm of the spectrum rises from frame to frame, summed over all frequencies).
    Both are divided by their 95th percentile and are at most 1.

    Args:
        path: A WAV file. Its channels are averaged.
        fps: Frames per second.

    Raises:
        InputError: The file is missing, holds no sound, or is longer than four hours.
    """
    samples, rate = _open_wav(Path(path).expanduser())
    frames = math.ceil(len(samples) / rate * fps)
    loudness, flux = np.zeros(frames), np.zeros(frames)
    before = None
    for number in range(frames):
        start, end = (round(k * rate / fps) for k in (number, number + 1))
        block = _mono(samples[start : max(end, start + 1)])
        loudness[number] = math.sqrt(float(np.mean(block**2))) if len(block) else 0.0
        spectrum = np.log1p(100 * np.abs(np.fft.rfft(block * np.hanning(len(block)), n=2048)))
        flux[number] = 0.0 if before is None else float(np.maximum(spectrum - before, 0).sum())
        before = spectrum
    speeds = STILL + _relative(loudness) + _relative(flux)
    return speeds / speeds.mean()


def audio_times(speeds: Array, duration: float, loop: bool, frames: int) -> list[float]:
    """The time of every frame of a walk with the given speeds.

    Args:
        speeds: Of every frame, with a mean of 1.
        duration: The time at which the walk ends.
        loop: Whether the walk repeats. It makes as many turns as come nearest to `frames`, and is back at the start
            when the sound ends. Otherwise the walk ends when the sound ends.
        frames: For a loop, the mean number of frames for each unit of time.
    """
    turns = max(1, round(len(speeds) / (frames * duration))) if loop else 1
    before = np.concatenate([[0.0], np.cumsum(speeds)])
    last = before[-1] if loop else max(before[-2], 1e-12)
    return [float(time) for time in before[:-1] / last * turns * duration]


def _open_wav(path: Path) -> tuple[npt.NDArray[np.generic], int]:
    import warnings

    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata in chunks that it does not know
            rate, samples = wavfile.read(path, mmap=True)
    except OSError as error:
        raise InputError(
            f"--audio expects a WAV file, found {printable(str(path))} ({error.strerror or error})."
        ) from error
    except Exception as error:  # of several kinds
        raise InputError(
            f"--audio expects a WAV file, found that {printable(str(path))} cannot be read as one ({error}). "
            "Convert it: ffmpeg -i song.mp3 song.wav"
        ) from error
    if not 0 < len(samples) <= LONGEST * rate:
        raise InputError(
            f"--audio expects more than 0 seconds and at most 4 hours of sound, found {len(samples)} samples."
        )
    return samples, int(rate)


def _mono(samples: npt.NDArray[np.generic]) -> Array:
    """Samples as numbers from -1 to 1, averaged over the channels."""
    values = samples.astype(np.float64)
    if np.issubdtype(samples.dtype, np.unsignedinteger):
        values = values / 128 - 1
    elif np.issubdtype(samples.dtype, np.integer):
        values = values / 2.0 ** (8 * samples.dtype.itemsize - 1)
    return np.nan_to_num(values if values.ndim == 1 else values.mean(axis=1))


def _relative(values: Array) -> Array:
    most = float(np.quantile(values, 0.95)) or float(values.max()) or 1.0
    return np.minimum(values / most, 1.0)
