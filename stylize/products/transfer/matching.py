"""Match parts of the photo with similar parts of the style images.

After the nearest-neighbour targets of Kolkin et al., "Neural Neighbor Style Transfer" (2022,
arXiv:2203.13215). There, one position of the style takes the place of each position of the photo.
Here, a softmax mixes the most similar ones, which leaves the style losses more freedom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.gradients.tiled import features_of
from stylize.networks.vgg import VGG
from stylize.settings.layers import MATCH_LAYERS, TARGET_LAYER

# Where large forms find their places. Finer scales keep what is there.
MATCHED_PX = 362

# Relative to the sum of the style losses, at match 1. Chosen by eye.
UNIT = 0.1

# Differences of cosines that the softmax tells apart.
_TEMPERATURE = 0.02

_LEAST_NORM = 1e-6

# 128 MB; only a style image several times larger than the result has more.
_COSINES_AT_ONCE = 1 << 25


class Places(NamedTuple):
    """What is matched: the positions of a picture.

    Attributes:
        directions: ``(positions, channels of all MATCH_LAYERS)``, normalized and centred, float32.
        rows: ``(positions, C)``, the activations of ``TARGET_LAYER``, float32.
    """

    directions: Tensor
    rows: Tensor


@torch.no_grad()
def matched_features(vgg: VGG, photo: Tensor, styles: Sequence[tuple[Places, float]]) -> Tensor:
    """Activations of the styles at ``TARGET_LAYER``, arranged like the photo.

    Args:
        vgg: gives at least ``MATCH_LAYERS``.
        photo: ``(1, 3, H, W)`` in [0, 1], on the network's device.
        styles: places of style images of any size, with their weights; at least one.

    Returns:
        ``(1, C, h, w)``: at each position a mean over positions of the styles, weighted by how
        similar their activations are to the photo's there. Similar means a large cosine after the
        mean activation of each picture has been subtracted.
    """
    wanted = places_of(vgg, photo)
    total = sum(weight for _, weight in styles)
    # Without any similarity, each style would contribute its weight, whatever its size.
    chances = torch.cat(
        [
            places.rows.new_full((len(places.rows),), math.log(weight / total / len(places.rows)))
            for places, weight in styles
        ]
    )
    directions = torch.cat([places.directions for places, _ in styles]).T
    rows = torch.cat([places.rows for places, _ in styles])

    def mixed(wanted: Tensor) -> Tensor:
        shares = (wanted @ directions / _TEMPERATURE + chances).softmax(1)
        return shares @ rows

    at_once = max(1, _COSINES_AT_ONCE // len(rows))
    found = torch.cat([mixed(each) for each in torch.split(wanted.directions, at_once)])
    stride = vgg.strides()[TARGET_LAYER]
    height, width = photo.shape[2] // stride, photo.shape[3] // stride
    target = found.T.reshape(1, -1, height, width).to(vgg.dtype)
    return target.contiguous(memory_format=vgg.memory_format)


@torch.no_grad()
def places_of(vgg: VGG, pixels: Tensor) -> Places:
    """The positions of a picture.

    Args:
        vgg: gives at least ``MATCH_LAYERS``.
        pixels: ``(1, 3, H, W)`` in [0, 1], on the network's device.
    """
    features = features_of(vgg, pixels, MATCH_LAYERS)
    size = features[TARGET_LAYER].shape[2:]
    parts = []
    for name in MATCH_LAYERS:
        each = F.interpolate(features[name].float(), size=size, mode="area")
        centred = each - each.mean((2, 3), keepdim=True)
        parts.append(centred / centred.norm(dim=1, keepdim=True).clamp_min(_LEAST_NORM))
    joined = torch.cat(parts, 1)
    joined = joined / joined.norm(dim=1, keepdim=True).clamp_min(_LEAST_NORM)
    return Places(_rows(joined), _rows(features[TARGET_LAYER].float()))


def _rows(features: Tensor) -> Tensor:
    return features.flatten(2)[0].T
