"""Files of network weights: tensors by name, and the preprocessing of the pixels.

Our files are safetensors. For each convolution they contain ``conv4_2.bias`` and either
``conv4_2.weight`` or, at a quarter of the size, ``conv4_2.index`` (uint8) and ``conv4_2.palette``
(256 values). Their metadata has one entry, ``stylize``, with a description in JSON.
"""

from __future__ import annotations

import io
import json
import math
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from stylize.errors import WeightsError
from stylize.networks.architecture import CHANNELS, KERNEL, convolutions

if TYPE_CHECKING:
    from torch import Tensor

METADATA_KEY = "stylize"

# VGG-19 with a thousand classes takes 575 MB in float32, twice that in float64.
MAX_FILE_BYTES = 1_200_000_000

# The header of a VGG takes some kilobytes.
MAX_HEADER_BYTES = 4 * 1024 * 1024

# Of the largest layer.
_MAX_KERNELS = CHANNELS[-1] ** 2 * KERNEL**2

# As safetensors calls them. U8 is for palettes.
_FLOATS, _INDEX = ("F64", "F32", "F16", "BF16"), "U8"


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
            raise ValueError(f"channels are {values['channels']!r:.40}, expected RGB or BGR")
        try:
            scale, mean = float(values["scale"]), _three(values["mean"])
            std = _three(values.get("std", cls.std))
        except OverflowError as err:
            raise ValueError("a number is beyond any float") from err
        if not all(map(math.isfinite, (scale, *mean, *std))) or min(scale, *std) <= 0:
            raise ValueError("scale and std must be positive, and all numbers finite")
        return cls(values["channels"], scale, mean, std)


CAFFE = Preprocessing("BGR", 255.0, (103.939, 116.779, 123.68))

TORCHVISION = Preprocessing("RGB", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

# From -1 to 1; torchvision calls the step from its usual input to this one transform_input.
INCEPTION = Preprocessing("RGB", 1.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

PREPROCESSINGS = {"caffe": CAFFE, "torchvision": TORCHVISION, "inception": INCEPTION}


def checked_file(path: Path) -> Path:
    """Check that a file of weights may be read in full, without opening it.

    Raises:
        WeightsError: it is missing, a folder, a pipe or a device, or larger than any VGG.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as err:  # ValueError: a NUL in the name
        raise WeightsError(f"cannot read {path}: {getattr(err, 'strerror', None) or err}") from err
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise WeightsError(f"cannot read {path}: it is {what}")
    if status.st_size > MAX_FILE_BYTES:
        size, most = (f"{count / 1e9:.1f} GB" for count in (status.st_size, MAX_FILE_BYTES))
        raise WeightsError(f"{path} is too large for a network: {size}, the limit is {most}")
    return path


def decode(content: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the description of a safetensors file, with palettes applied.

    Args:
        content: the whole file.
        path: the name of the file in error messages.

    Raises:
        WeightsError: the file is not safetensors, or a palette does not fit.
    """
    from safetensors.torch import load  # noqa: PLC0415

    described = _described(_header(io.BytesIO(content), path), path)
    try:
        tensors = load(content)
    except Exception as err:
        raise _incomplete(path, err) from err
    return _apply_palettes(tensors, path), described


def map_file(
    path: Path, wanted: Callable[[str], bool]
) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
    """Map some tensors of a safetensors file into memory; only those that are used get read.

    Args:
        path: see :func:`checked_file`.
        wanted: whether a tensor is needed, by its name.

    Returns:
        The wanted tensors with palettes applied, the description, and the names of all tensors.

    Raises:
        WeightsError: the file is not safetensors, a palette does not fit, or a wanted tensor does
            not hold floating-point numbers of 16 to 64 bits.
        OSError: it cannot be read.
    """
    tensors, described, names = _mapped(path, wanted)
    return _apply_palettes(tensors, path), described, names


def map_convolutions(path: Path, architecture: str) -> tuple[Convolutions, dict[str, Any]]:
    """Map a file as :func:`stylize.networks.import_models.add_file` writes it into memory.

    Args:
        path: see :func:`checked_file`.
        architecture: ``vgg16`` or ``vgg19``.

    Returns:
        All convolutions, which are read when they are used, and the description of the file.

    Raises:
        WeightsError: see :func:`map_file` and :func:`pick_convolutions`.
        OSError: it cannot be read.
    """
    layers = {layer.name for layer in convolutions(architecture)}
    stored, described, _ = _mapped(path, lambda name: name.rpartition(".")[0] in layers)
    return Convolutions(stored, architecture, path), described


def _mapped(
    path: Path, wanted: Callable[[str], bool]
) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
    """Map tensors as they are stored, see :func:`map_file`."""
    from safetensors import safe_open  # noqa: PLC0415

    with path.open("rb") as stream:
        header = _header(stream, path)
    described = _described(header, path)
    header.pop("__metadata__", None)
    for name, entry in header.items():
        kind = entry.get("dtype") if isinstance(entry, dict) else None
        allowed = (_INDEX,) if name.endswith(".index") else _FLOATS
        if wanted(name) and kind not in allowed:
            raise WeightsError(
                f"{path} stores {name} as {str(kind)[:20]}, expected {' or '.join(allowed)}",
                hint="convert it to float32",
            )
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in header if wanted(name)}
    except OSError:
        raise
    except Exception as err:  # a damaged file can raise anything
        raise _incomplete(path, err) from err
    return tensors, described, list(header)


def _header(stream: BinaryIO, path: Path) -> dict[str, Any]:
    length = int.from_bytes(stream.read(8), "little")
    if length > MAX_HEADER_BYTES:
        reason = ValueError(f"its header takes {length} bytes, the limit is {MAX_HEADER_BYTES}")
        raise _incomplete(path, reason)
    try:
        header = json.loads(stream.read(length))
    except (ValueError, RecursionError) as err:
        raise _incomplete(path, err) from err
    if not isinstance(header, dict):
        raise _incomplete(path, ValueError("its header is not an object"))
    return header


def _described(header: Mapping[str, Any], path: Path) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    try:
        described = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError) as err:
        raise _incomplete(path, err) from err
    return described if isinstance(described, dict) else {}


def _incomplete(path: Path, err: Exception) -> WeightsError:
    what = "nested too deeply" if isinstance(err, RecursionError) else str(err)[:200]
    return WeightsError(f"{path} is damaged: not a complete safetensors file: {what}")


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
        vgg[name] = float32_copy(_checked(tensors.get(alias), shape, alias, architecture, path))
    return vgg


class Convolutions(Mapping[str, "Tensor"]):
    """All convolutions of a network, float32; each is converted when it is used, and not kept.

    Args:
        stored: tensors by name, with palettes.
        architecture: ``vgg16`` or ``vgg19``.
        path: the name of the file in error messages.

    Raises:
        WeightsError: a tensor is missing, has another shape or is not floating point.
    """

    def __init__(self, stored: Mapping[str, Tensor], architecture: str, path: Path) -> None:
        self._parts: dict[str, tuple[Tensor, Tensor | None]] = {}
        for name, shape in convolution_shapes(architecture).items():
            stem, _, part = name.rpartition(".")
            found, palette = stored.get(name), None
            if part == "weight" and f"{stem}.index" in stored:
                found = stored[f"{stem}.index"]
                palette = _checked_palette(found, stored.get(f"{stem}.palette"), name, path)
            found = _checked(found, shape, name, architecture, path, palette)
            self._parts[name] = found, palette

    def __getitem__(self, name: str) -> Tensor:
        found, palette = self._parts[name]
        return float32_copy(found if palette is None else _look_up(found, palette))

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def _checked(
    found: Tensor | None,
    shape: tuple[int, ...],
    name: str,
    architecture: str,
    path: Path,
    palette: Tensor | None = None,
) -> Tensor:
    """Return a tensor of a convolution if its shape and its numbers, or the palette's, are right.

    Raises:
        WeightsError: they are not, or it is missing.
    """
    if (
        found is None
        or tuple(found.shape) != shape
        or not is_plain_float(found if palette is None else palette)
    ):
        what = "nothing" if found is None else f"{tuple(found.shape)} of {found.dtype}"
        raise WeightsError(
            f"{path} is not a {architecture}: expected {name} {shape}, found {what}",
            hint="convert it to float32" if shape == getattr(found, "shape", None) else None,
        )
    return found


def is_plain_float(tensor: Tensor) -> bool:
    """Whether a tensor holds floating-point numbers of 16 to 64 bits; those of 8 need scales."""
    return tensor.is_floating_point() and tensor.element_size() > 1


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
            palette = _checked_palette(tensor, stored.get(f"{stem}.palette"), name, path)
            tensors[f"{stem}.weight"] = _look_up(tensor, palette)
        elif part != "palette":
            tensors[name] = tensor
    return tensors


def _checked_palette(index: Tensor, palette: Tensor | None, name: str, path: Path) -> Tensor:
    import torch  # noqa: PLC0415

    if palette is None or tuple(palette.shape) != (256,) or index.dtype != torch.uint8:
        raise WeightsError(f"{path}: {name} is not uint8 with a palette of 256 values")
    if index.numel() > _MAX_KERNELS:
        raise WeightsError(f"{path}: {name} {tuple(index.shape)} is larger than any layer of a VGG")
    return palette


def _look_up(index: Tensor, palette: Tensor) -> Tensor:
    return palette.index_select(0, index.flatten().int()).reshape(index.shape)
