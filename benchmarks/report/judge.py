"""Distances of a finished picture from its style and its content, by networks that look at it.

Not the objective: raw Gram matrices instead of the Wasserstein distance, all layers equal, float32,
on the pixels as they were saved. The default optimizes VGG-19, so that network is partial to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.report.pairs import Pair
from stylize.gradients.tiled import features_of
from stylize.images.read import read_picture
from stylize.images.resampling import resize_clamped
from stylize.networks.models import load_weights
from stylize.networks.vgg import VGG

STYLE = tuple(f"relu{block}_1" for block in range(1, 6))
CONTENT = "relu4_2"
SIDE = 512


class Verdict(NamedTuple):
    """Two distances, less is better.

    Attributes:
        style: mean over five layers of ``|G − G*|² / |G*|²``.
        content: ``|F − F*|² / |F*|²`` at relu4_2.
    """

    style: float
    content: float


class Judge:
    """Looks at pictures with one network.

    Args:
        network: ``vgg16`` or ``vgg19``.
    """

    def __init__(self, network: str) -> None:
        self._vgg = VGG(load_weights(network), (*STYLE, CONTENT))
        self._known: dict[Path, dict[str, Tensor]] = {}

    def __call__(self, pair: Pair, result: Path) -> Verdict:
        """The verdict on a file."""
        content, style = self._kept(pair.content), self._kept(pair.style)
        seen = self._look(result)
        there, wanted = seen[CONTENT], content[CONTENT]
        if there.shape != wanted.shape:
            there = F.interpolate(there, wanted.shape[2:], mode="bilinear")
        distances = [relative(gram(seen[name]), gram(style[name])) for name in STYLE]
        return Verdict(sum(distances) / len(STYLE), relative(there, wanted))

    def _kept(self, path: Path) -> dict[str, Tensor]:
        if path not in self._known:
            self._known[path] = self._look(path)
        return self._known[path]

    def _look(self, path: Path) -> dict[str, Tensor]:
        pixels = read_picture(path).pixels
        height, width = pixels.shape[2:]
        scale = SIDE / max(height, width)
        pixels = resize_clamped(pixels, (round(height * scale), round(width * scale)))
        return features_of(self._vgg, pixels, (*STYLE, CONTENT))


def gram(features: Tensor) -> Tensor:
    """``F Fᵀ / N``."""
    rows = features.flatten(2)[0]
    return rows @ rows.T / rows.shape[1]


def relative(found: Tensor, wanted: Tensor) -> float:
    """Squared error over squared norm."""
    return float((found - wanted).square().sum() / wanted.square().sum())


def lattice(path: Path) -> float:
    """What stands out at periods of 2, 4, 8 and 16 px, the network's grid, in dB; noise gives 0.

    The power of a row's or a column's spectrum at these frequencies, over that of its neighbours.
    """
    grey = read_picture(path).pixels.mean(1)[0].double()
    rows, columns = (side // 16 * 16 for side in grey.shape)
    found = []
    for sheet in (grey[:rows, :columns], grey[:rows, :columns].T):
        power = torch.fft.rfft(sheet - sheet.mean()).abs().square().mean(0)
        for period in (2, 4, 8, 16):
            for multiple in range(1, period // 2 + 1):
                if multiple % 2 or period == 2:
                    at = multiple * sheet.shape[1] // period
                    near = torch.cat([power[max(1, at - 5) : at - 1], power[at + 2 : at + 6]])
                    found.append(float(10 * torch.log10(power[at] / near.mean())))
    return sum(found) / len(found)
