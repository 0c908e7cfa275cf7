"""Map HDR video to an ordinary screen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Luminance of white paper in HDR video, and of the brightest light that keeps its detail, in cd/m²
# (ITU-R BT.2408).
_PAPER, _PEAK = 203.0, 1000.0

# The PQ curve of SMPTE ST 2084.
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128

# The HLG curve of ITU-R BT.2100, and the gamma of a screen of 1000 cd/m².
_A, _B, _C, _GAMMA = 0.17883277, 0.28466892, 0.55991073, 1.2

# From the primaries of BT.2020 to those of sRGB (ITU-R BT.2087).
_TO_SRGB = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ],
    dtype=np.float32,
)

_LUMA = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)  # of BT.2020


def to_screen(values: NDArray[np.uint16], curve: str) -> NDArray[np.uint8]:
    """Convert a frame to sRGB; every frame alike, so that nothing flickers.

    White paper becomes nearly white, brighter light is compressed after Reinhard et al.,
    "Photographic Tone Reproduction for Digital Images" (SIGGRAPH 2002).

    Args:
        values: ``(H, W, 3)``, BT.2020, full range.
        curve: ``PQ`` or ``HLG``.
    """
    signal = values.astype(np.float32) / np.float32(65535)
    light = (_pq(signal) if curve == "PQ" else _hlg(signal)) / np.float32(_PAPER)
    luma = (light @ _LUMA)[..., None]
    white = np.float32(_PEAK / _PAPER)
    mapped = luma * (1 + luma / white**2) / (1 + luma)
    # Paper at half of a screen's light would look grey.
    paper = (1 + 1 / white**2) / 2
    light = light * (mapped / np.maximum(luma, 1e-6)) / paper
    linear = np.clip(light @ _TO_SRGB.T, 0, 1).astype(np.float32)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    levels: NDArray[np.uint8] = (encoded * 255 + 0.5).astype(np.uint8)
    return levels


def _pq(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light in cd/m²."""
    power = signal ** np.float32(1 / _M2)
    share = np.maximum(power - _C1, 0) / (_C2 - _C3 * power)
    light: NDArray[np.float32] = 10_000 * share ** np.float32(1 / _M1)
    return light


def _hlg(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light of a screen of 1000 cd/m², in cd/m²."""
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)
    luma = np.maximum(scene @ _LUMA, 1e-6)[..., None]
    light = np.float32(_PEAK) * scene * luma ** np.float32(_GAMMA - 1)
    return light.astype(np.float32)
