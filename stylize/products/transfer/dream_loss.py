"""Add the losses of a dream to those of style and content.

Dogs then appear where the photo resembles one, and are painted like everything else.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

from stylize.gradients.tiled import features_of
from stylize.images.resampling import resize
from stylize.losses.channels import BORDER_CELLS, ChannelLoss, EnergyLoss, PositionLoss
from stylize.networks.layer_expressions import Target, to_text
from stylize.networks.vgg import VGG
from stylize.settings.layers import amplified_layer
from stylize.settings.presets import dream_targets
from stylize.settings.transfer import TransferSettings

# Relative to the sum of the style losses, at weight 1. Chosen by eye. The Wasserstein loss ends at
# a third of what the others end at.
UNITS = {"wasserstein": 0.006, "moments": 0.03, "gram": 0.03}

# A photo is measured at this long side at most, because only a mean is needed.
_MEASURED_PX = 1024


def dream_losses(vgg: VGG, photo: Tensor, settings: TransferSettings) -> list[PositionLoss]:
    """Losses that fall as the picture shows more of what a dream amplifies.

    Args:
        vgg: gives at least :func:`stylize.settings.layers.transfer_layers`.
        photo: ``(1, 3, H, W)`` in [0, 1] at the size of the picture, on the network's device.
        settings: ``dream`` decides.

    Note:
        Each is relative to its value for the photo. At weight 1, doubling that value outweighs an
        increase of the style loss by the unit of that loss.
    """
    targets = dream_targets(settings.dream)
    if not targets:
        return []
    names = [amplified_layer(each, vgg.architecture) for each in targets]
    features = features_of(vgg, _small(photo), names)
    return [
        _term(target, name, UNITS[settings.style_loss]).relative_to(features[name])
        for target, name in zip(targets, names, strict=True)
    ]


def _term(target: Target, layer: str, unit: float) -> PositionLoss:
    name = f"dream {to_text([dataclasses.replace(target, weight=1.0)])}"
    weight = -unit * target.weight
    if target.channels is None:
        return EnergyLoss(name, layer, weight, border=BORDER_CELLS)
    return ChannelLoss(name, layer, weight, channels=target.channels, border=BORDER_CELLS)


def _small(photo: Tensor) -> Tensor:
    height, width = photo.shape[2:]
    shrink = _MEASURED_PX / max(height, width)
    if shrink >= 1:
        return photo
    size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    return resize(photo, size).clamp(0, 1)
