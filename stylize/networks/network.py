"""Networks on a device: a VGG, or another of torchvision's classifiers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from stylize.networks.architecture import is_vgg
from stylize.networks.models import Weights
from stylize.networks.module import ModuleNetwork
from stylize.networks.vgg import VGG

Network = VGG | ModuleNetwork


def network_of(
    weights: Weights,
    layers: Sequence[str],
    *,
    pooling: str = "max",
    precision: str = "fp32",
    device: torch.device | str = "cpu",
) -> Network:
    """Build a network from its weights; see :class:`VGG` and :class:`ModuleNetwork`.

    Raises:
        UnknownNameError: the network does not have such a layer.
        SettingError: the network does not have this pooling.
    """
    kind = VGG if is_vgg(weights.architecture) else ModuleNetwork
    return kind(weights, layers, pooling=pooling, precision=precision, device=device)
