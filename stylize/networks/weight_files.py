"""Files of network weights: tensors by name, and the preprocessing of the pixels.

Our files are safetensors. For each convolution they contain ``conv4_2.bias`` and either
``conv4_2.weight`` or, at a quarter of the size, ``conv4_2.index`` (uint8) and ``conv4_2.palette``
(256 values). Their metadata has one entry, ``stylize``, with a description in JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylize.errors import WeightsError
from stylize.networks.architecture import KERNEL, convolutions

if TYPE_CHECKING:
    from torch import Tensor

METADATA_KEY = "stylize"


@dataclass(frozen=True)
class Preprocessing:
    """How a network's input is made of RGB in [0, 1]: ``(x[channels] * scale - mean) / std``.

    Attributes:
        channels: the order of the channels, ``RGB`` or ``BGR``.
        scale: factor on the pixels, applied first.
        mean, std: per channel, in the order of ``channels``, in units after ``scale``.
    """

    channels: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Read the output of :func:`dataclasses.asdict`; ``std`` is optional.

        Raises:
            ValueError, KeyError, TypeError: the values are not a valid preprocessing.
        """
        if values["channels"] not in ("RGB", "BGR"):
            raise ValueError(f"channels are {values['channels']!r}, expected RGB or BGR")
        scale, mean = float(values["scale"]), _three(values["mean"])
        std = _three(values.get("std", cls.std))
        if not all(map(math.isfinite, (scale, *mean, *std))) or min(scale, *std) <= 0:
            raise ValueError("scale and std must be positive, and all numbers finite")
        return cls(values["channels"], scale, mean, std)


CAFFE = Preprocessing("BGR", 255.0, (103.939, 116.779, 123.68))

TORCHVISION = Preprocessing("RGB", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def decode(content: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the description of a safetensors file, with palettes applied.

    Args:
        content: the whole file.
        path: the name of the file in error messages.

    Raises:
        WeightsError: the file is not safetensors, or a palette does not fit.
    """
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load  # noqa: PLC0415

    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        described = json.loads(header.get("__metadata__", {}).get(METADATA_KEY, "{}"))
    except (SafetensorError, ValueError) as err:
        raise WeightsError(f"{path} is not a complete safetensors file: {err}") from err
    return _apply_palettes(tensors, path), described if isinstance(described, dict) else {}


def convolution_shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of all tensors of a network's convolutions."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in convolutions(architecture):
        shapes[f"{layer.name}.weight"] = (layer.channels, layer.channels_in, KERNEL, KERNEL)
        shapes[f"{layer.name}.bias"] = (layer.channels,)
    return shapes


def pick_convolutions(
    tensors: Mapping[str, Tensor],
    architecture: str,
    path: Path,
    aliases: Mapping[str, str] | None = None,
) -> dict[str, Tensor]:
    """Copy all convolutions of an architecture to float32.

    Args:
        tensors: may contain more than the convolutions.
        architecture: ``vgg16`` or ``vgg19``.
        path: the name of the file in error messages.
        aliases: maps our names to the file's own, if they differ.

    Raises:
        WeightsError: a tensor is missing, has another shape or is not floating point.
    """
    vgg = {}
    for name, shape in convolution_shapes(architecture).items():
        alias = aliases[name] if aliases else name
        found = tensors.get(alias)
        if found is None or tuple(found.shape) != shape or not found.is_floating_point():
            what = "nothing" if found is None else f"{tuple(found.shape)} of {found.dtype}"
            raise WeightsError(
                f"{path} is not a {architecture}: expected {alias} {shape}, found {what}"
            )
        vgg[name] = float32_copy(found)
    return vgg


def float32_copy(tensor: Tensor) -> Tensor:
    """Copy a tensor to memory of its own: safetensors cannot save views."""
    import torch  # noqa: PLC0415

    plain = torch.contiguous_format
    return tensor.detach().to(torch.float32, copy=True, memory_format=plain)


def _three(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _apply_palettes(stored: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    tensors = {}
    for name, tensor in stored.items():
        stem, _, part = name.rpartition(".")
        if part == "index":
            tensors[f"{stem}.weight"] = _apply_palette(
                tensor, stored.get(f"{stem}.palette"), name, path
            )
        elif part != "palette":
            tensors[name] = tensor
    return tensors


def _apply_palette(index: Tensor, palette: Tensor | None, name: str, path: Path) -> Tensor:
    import torch  # noqa: PLC0415

    if palette is None or tuple(palette.shape) != (256,) or index.dtype != torch.uint8:
        raise WeightsError(f"{path}: {name} is not uint8 with a palette of 256 values")
    return palette.index_select(0, index.flatten().int()).reshape(index.shape)
