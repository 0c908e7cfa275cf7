"""Make pictures of what Python programs hold: Pillow images, arrays, tensors, bytes, files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stylize.errors import PictureError
from stylize.images.read import Picture, cover_hidden, decode, read_picture

PictureSource = (
    str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[Any] | Tensor | Picture
)

_NAME = "picture"

_KINDS = (
    "a path, bytes, a binary file, a Pillow image, a NumPy array, a tensor, or an earlier result"
)

# How far computed values may leave the range from 0 to 1.
_ROUNDING = 1e-3

_CHANNELS = (1, 2, 3, 4)

_FULL_SCALE = {"b": 1, "f": 1}

_FULL_SCALE_OF_INTEGERS = {1: 255, 2: 65535}


def to_picture(source: PictureSource, *, role: str = _NAME) -> Picture:  # noqa: PLR0911
    """Make a picture of whatever holds one. The source is not changed.

    Args:
        source: arrays are ``(H, W)`` or ``(H, W, 1 | 2 | 3 | 4)``: grey or RGB, with or without
            alpha; uint8, uint16, bool, or floats in [0, 1]. Tensors are ``(C, H, W)`` or
            ``(1, C, H, W)``.
        role: the parameter; it names the picture in messages and recipes, unless a file does.

    Raises:
        PictureError: the source is no picture, or cannot be read.
    """
    if isinstance(source, Picture):
        # A tensor made in inference mode takes part in no gradient.
        return from_tensor(source.pixels, source) if source.pixels.is_inference() else source
    if isinstance(source, str | os.PathLike):
        return read_picture(Path(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return read_picture(bytes(source), name=role)
    if isinstance(source, Image.Image):
        return _from_image(source, role)
    if isinstance(source, Tensor):
        return _from_array(_channels_last(source, role), role)
    if isinstance(source, np.ma.MaskedArray):
        raise PictureError(f"{role}: a masked array is not a picture", hint="give array.filled(0)")
    if isinstance(source, np.ndarray):
        return _from_array(np.asarray(source), role)
    if callable(getattr(source, "read", None)):
        return _from_file(source, role)
    raise PictureError(
        f"{role}: an object of type {type(source).__name__} is not a picture", hint=f"give {_KINDS}"
    )


def from_tensor(pixels: Tensor, like: Picture) -> Picture:
    """Copy a picture so that gradients may be taken of it."""
    with torch.inference_mode(False):
        alpha = None if like.alpha is None else like.alpha.clone()
        return Picture(pixels.clone(), alpha, like.name, like.sha256, like.notes)


def _from_file(file: Any, role: str) -> Picture:
    """Read a file from its start, as Pillow does."""
    try:
        if callable(getattr(file, "seekable", None)) and file.seekable():
            file.seek(0)
        data = file.read()
    except (OSError, ValueError) as error:
        raise PictureError(f"{role}: the file cannot be read: {error}") from error
    if isinstance(data, str):
        raise PictureError(f"{role}: the file is open as text", hint='open it with mode "rb"')
    if not isinstance(data, bytes | bytearray | memoryview):
        raise PictureError(f"{role}: the file gives a {type(data).__name__} instead of bytes")
    name = getattr(file, "name", None)
    return read_picture(bytes(data), name=name if isinstance(name, str) else role)


def _from_image(image: Image.Image, role: str) -> Picture:
    if image.mode == "F":
        return _from_array(np.asarray(image), role)
    notes: list[str] = []
    try:
        copied: Any = image.convert("RGB") if image.mode == "HSV" else image.copy()
        digest = hashlib.sha256(f"{image.mode}{image.size}".encode() + copied.tobytes())
        if not (copied.width and copied.height):
            raise PictureError(f"{role}: the image is empty")
        if copied.mode == "I":
            _require_16_bits(copied, role)
        raster = decode(copied, notes, role)
    except (OSError, SyntaxError, ValueError) as error:
        raise PictureError(f"{role}: the Pillow image cannot be read: {error}") from error
    return _picture(raster.colour, raster.alpha, digest.hexdigest(), role, tuple(notes))


def _require_16_bits(image: Image.Image, role: str) -> None:
    """Check that whole numbers of 32 bits are grey levels of 16."""
    least, most = image.getextrema()
    if not 0 <= cast(int, least) <= cast(int, most) <= _FULL_SCALE_OF_INTEGERS[2]:
        raise PictureError(
            f"{role}: the values go from {least} to {most}",
            hint="those of mode I go from 0 to 65535; convert others to mode L",
        )


def _channels_last(tensor: Tensor, role: str) -> NDArray[Any]:
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        raise PictureError(
            f"{role}: a tensor that is not dense is not a picture", hint="give tensor.to_dense()"
        )
    values = tensor.detach().cpu()
    if values.is_floating_point():
        values = values.float()  # NumPy has no bfloat16
    if values.ndim == 4 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 3 and values.shape[0] in _CHANNELS:
        values = values.permute(1, 2, 0)
    elif values.ndim != 2:
        shape = tuple(tensor.shape)
        raise PictureError(
            f"{role}: a tensor of shape {shape} is not a picture",
            hint="give (C, H, W), C from 1 to 4, or (H, W)",
        )
    array: NDArray[Any] = values.numpy()
    return array


def _from_array(array: NDArray[Any], role: str) -> Picture:
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    planes = array[..., None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.shape[2] not in _CHANNELS or not planes.size:
        raise PictureError(
            f"{role}: an array of shape {array.shape} is not a picture",
            hint="give (H, W), (H, W, 3) or (H, W, 4)",
        )
    values = _in_range(planes, role)
    alpha = values[..., -1] if planes.shape[2] in (2, 4) else None
    colour = values[..., :3] if planes.shape[2] > 2 else values[..., :1]
    channels = np.broadcast_to(colour.transpose(2, 0, 1), (3, *planes.shape[:2]))
    own = np.array(channels, dtype=np.float32, order="C")
    if alpha is not None and float(alpha.min()) < 1:
        alpha = np.array(alpha, order="C")
        cover_hidden(own, alpha)
    else:
        alpha = None
    described = f"{array.dtype}{array.shape}".encode()
    digest = hashlib.sha256(described + np.ascontiguousarray(array).tobytes()).hexdigest()
    return _picture(own, alpha, digest, role)


def _in_range(array: NDArray[Any], role: str) -> NDArray[np.float32]:
    kind, size = array.dtype.kind, array.dtype.itemsize
    scale = _FULL_SCALE_OF_INTEGERS.get(size) if kind == "u" else _FULL_SCALE.get(kind)
    if scale is None:
        raise PictureError(
            f"{role}: an array of {array.dtype} is not a picture",
            hint="give uint8, uint16, or floats from 0 to 1",
        )
    # Not within both bounds also where a value is no number.
    if kind == "f" and not (array.min() >= -_ROUNDING and array.max() <= 1 + _ROUNDING):
        raise PictureError(
            f"{role}: the values go from {array.min():g} to {array.max():g}",
            hint="floats go from 0 to 1; convert others to uint8",
        )
    values: NDArray[np.float32] = array.astype(np.float32) / np.float32(scale)
    if kind == "f":
        values = values.clip(0, 1)
    return values


def _picture(
    colour: NDArray[np.float32],
    alpha: NDArray[np.float32] | None,
    digest: str,
    name: str,
    notes: tuple[str, ...] = (),
) -> Picture:
    with torch.inference_mode(False):
        pixels = torch.from_numpy(colour)[None]
        transparency = None if alpha is None else torch.from_numpy(alpha)[None, None]
    return Picture(pixels, transparency, name, digest, notes)
