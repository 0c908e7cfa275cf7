"""GoogLeNet as Caffe has it: with 5×5 convolutions and normalized responses, without batch norm.

The names of the tensors are those of Caffe's layers, as converters of ``bvlc_googlenet.caffemodel``
and ``googlenet_places365.caffemodel`` write them: ``inception_3a_3x3_reduce.weight``.

Reference:
    Szegedy et al., "Going Deeper with Convolutions", CVPR 2015.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "googlenet_caffe"

_STEM = {"conv1_7x7_s2": "conv1.conv", "conv2_3x3_reduce": "conv2.conv", "conv2_3x3": "conv3.conv"}

_BRANCHES = {
    "1x1": "branch1",
    "3x3_reduce": "branch2.0",
    "3x3": "branch2.1",
    "5x5_reduce": "branch3.0",
    "5x5": "branch3.1",
    "pool_proj": "branch4.1",
}

_BLOCK = re.compile(r"inception_([345][a-e])[_/](\w+)")

# The scores of the classes, also under the names that training on other classes gave them.
_HEAD = re.compile(r"loss3[_/]classifier\w*|prob_fc")

_AUXILIARY = re.compile(r"loss[12][_/].*")


def build_caffe(classes: int) -> nn.Module:
    """Build the network from torchvision's GoogLeNet, whose blocks have the same channels."""
    from torch import nn  # noqa: PLC0415
    from torchvision.models.googlenet import GoogLeNet, Inception, InceptionAux  # noqa: PLC0415

    class Convolution(nn.Module):
        def __init__(self, channels_in: int, channels: int, **kwargs: Any) -> None:
            super().__init__()
            self.conv = nn.Conv2d(channels_in, channels, **kwargs)

        def forward(self, x: Tensor) -> Tensor:
            rectified: Tensor = nn.functional.relu(self.conv(x), inplace=True)
            return rectified

    class Block(Inception):  # type: ignore[misc]  # torchvision has no types
        def __init__(self, channels_in: int, *channels: int) -> None:
            super().__init__(channels_in, *channels, conv_block=Convolution)
            _, _, _, reduced, wide, _ = channels
            self.branch3[1] = Convolution(reduced, wide, kernel_size=5, padding=2)

    module: Any = GoogLeNet(
        classes, aux_logits=False, init_weights=False, blocks=[Convolution, Block, InceptionAux]
    )
    module.maxpool1 = nn.Sequential(module.maxpool1, nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0))
    module.maxpool2 = nn.Sequential(nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0), module.maxpool2)
    module.maxpool4 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    built: nn.Module = module
    return built


def is_caffe(names: Iterable[str]) -> bool:
    """Return whether some of the names are those of Caffe's layers."""
    return any(_BLOCK.match(name) for name in names)


def from_caffe(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Rename the tensors of Caffe's layers; None if a state dict has none of them.

    A second layer with scores of classes keeps its name.
    """
    if not is_caffe(state):
        return None
    renamed: dict[str, Tensor] = {}
    head = next((name.rpartition(".")[0] for name in state if _is_head(name)), None)
    for name, tensor in state.items():
        layer, _, part = name.rpartition(".")
        block = _BLOCK.fullmatch(layer)
        if layer.replace("/", "_") in _STEM:
            layer = _STEM[layer.replace("/", "_")]
        elif block and block[2] in _BRANCHES:
            layer = f"inception{block[1]}.{_BRANCHES[block[2]]}"
            layer += ".conv"
        elif layer == head:
            layer = "fc"
        elif _AUXILIARY.fullmatch(layer):
            continue
        renamed[f"{layer}.{part}"] = _reshaped(tensor, part, is_head=layer == "fc")
    return renamed


def _is_head(name: str) -> bool:
    return _HEAD.fullmatch(name.rpartition(".")[0]) is not None


def _reshaped(tensor: Tensor, part: str, *, is_head: bool) -> Tensor:
    # Old converters keep Caffe's shapes: a vector as (1, 1, 1, n), a matrix as (1, 1, n, m).
    if part == "bias":
        return tensor.flatten()
    return tensor.flatten(0, 2) if is_head and tensor.ndim == 4 else tensor
