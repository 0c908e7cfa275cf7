"""What a file of network weights holds: tensors by name, and how its pixels are prepared.

Our files are safetensors. For each convolution they have ``conv4_2.bias`` and either
``conv4_2.weight`` or, in a quarter of the space, ``conv4_2.index`` (uint8) and ``conv4_2.palette``
(256 values); their metadata has one entry, ``stylize``, with a description in JSON.
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
    """What a network wants done to RGB pixels in [0, 1]: ``(x[channels] * scale - mean) / std``.

    Attributes:
        channels: the order of the channels, ``RGB`` or ``BGR``.
        scale: factor on the pixels, before anything else.
        mean, std: per channel, in the order of ``channels``, in units after ``scale``.
    """

    channels: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Read back what :func:`dataclasses.asdict` gave; ``std`` may be left out.

        Raises:
            ValueError, KeyError, TypeError: the values describe no preprocessing.
        """
        if values["channels"] not in ("RGB", "BGR"):
            raise ValueError(f"channels are {values['channels']!r}, expected RGB or BGR")
        scale, mean = float(values["scale"]), _three(values["mean"])
        std = _three(values.get("std", cls.std))
        if not all(map(math.isfinite, (scale, *mean, *std))) or min(scale, *std) <= 0:
            raise ValueError("scale and std must be positive, and all figures finite")
        return cls(values["channels"], scale, mean, std)


CAFFE = Preprocessing("BGR", 255.0, (103.939, 116.779, 123.68))

TORCHVISION = Preprocessing("RGB", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def decode(content: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a safetensors file, palettes looked up.

    Args:
        content: the whole file.
        path: what to call it in an error.
    Raises:
        WeightsError: it is no such file, or its palettes do not fit.
    """
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load  # noqa: PLC0415

    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        described = json.loads(header.get("__metadata__", {}).get(METADATA_KEY, "{}"))
    except (SafetensorError, ValueError) as err:
        raise WeightsError(f"{path} is not a whole safetensors file: {err}") from err
    return _look_up_palettes(tensors, path), described if isinstance(described, dict) else {}


def trunk_shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors of a network's convolutions."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in convolutions(architecture):
        shapes[f"{layer.name}.weight"] = (layer.channels, layer.channels_in, KERNEL, KERNEL)
        shapes[f"{layer.name}.bias"] = (layer.channels,)
    return shapes


def as_trunk(
    tensors: Mapping[str, Tensor],
    architecture: str,
    path: Path,
    aliases: Mapping[str, str] | None = None,
) -> dict[str, Tensor]:
    """The convolutions of an architecture, all of them, as float32 copies.

    Args:
        tensors: may hold more than the convolutions.
        architecture: ``vgg16`` or ``vgg19``.
        path: what to call the file in an error.
        aliases: our name to the file's own, where they differ.
    Raises:
        WeightsError: a tensor is missing, has another shape or is not of floating point.
    """
    vgg = {}
    for name, shape in trunk_shapes(architecture).items():
        alias = aliases[name] if aliases else name
        found = tensors.get(alias)
        if found is None or tuple(found.shape) != shape or not found.is_floating_point():
            what = "nothing" if found is None else f"{tuple(found.shape)} of {found.dtype}"
            raise WeightsError(
                f"{path} is not a {architecture}: expected {alias} {shape}, found {what}"
            )
        vgg[name] = own(found)
    return vgg


def own(tensor: Tensor) -> Tensor:
    """A float32 copy that shares its memory with nothing: views cannot be saved as safetensors."""
    import torch  # noqa: PLC0415

    plain = torch.contiguous_format
    return tensor.detach().to(torch.float32, copy=True, memory_format=plain)


def _three(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _look_up_palettes(stored: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    tensors = {}
    for name, tensor in stored.items():
        stem, _, part = name.rpartition(".")
        if part == "index":
            tensors[f"{stem}.weight"] = _look_up(tensor, stored.get(f"{stem}.palette"), name, path)
        elif part != "palette":
            tensors[name] = tensor
    return tensors


def _look_up(index: Tensor, palette: Tensor | None, name: str, path: Path) -> Tensor:
    import torch  # noqa: PLC0415

    if palette is None or tuple(palette.shape) != (256,) or index.dtype != torch.uint8:
        raise WeightsError(f"{path}: {name} is not uint8 with a palette of 256 values beside it")
    return palette.index_select(0, index.flatten().int()).reshape(index.shape)
