"""The orthogonal wavelet filters of the pipeline (Daubechies 1992), and the filter bank of four bands."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
"""Lowpass h of the least asymmetric wavelet with 6 vanishing moments: Σ h_k = √2, Σ_k h_k h_{k+2n} = δ_n."""

SYM2 = tuple((a + b * math.sqrt(3)) / (4 * math.sqrt(2)) for a, b in ((1, 1), (3, 1), (3, -1), (1, -1)))
"""Lowpass of the wavelet with 2 vanishing moments, which is Daubechies' D4 too."""

BANDS = 4


def filter_bank() -> Array:
    """Taps (bands, taps) of zero-phase filters that split the frequencies into octaves and add up to δ.

    With L(z) = H(z)H(1/z)/2 for the lowpass H of SYM2, and 1 - L(z) its complement, the bands from the lowest on
    are L(z)L(z²)L(z⁴), L(z)L(z²)(1 - L(z⁴)), L(z)(1 - L(z²)) and 1 - L(z) (ADA app. B, image-space filtering).
    """
    low = np.convolve(SYM2, SYM2[::-1]) / 2
    high = -low
    high[len(low) // 2] += 1
    bands = [np.ones(1)]
    for _ in range(BANDS - 1):
        bands = [np.convolve(_spread(band), low) for band in bands] + [high]
    width = len(bands[0])
    return np.stack([np.pad(band, (width - len(band)) // 2) for band in bands])


def _spread(taps: Array) -> Array:
    """F(z²) of F(z): a zero between any two taps."""
    out = np.zeros(2 * len(taps) - 1)
    out[::2] = taps
    return out
