"""The kernels of a layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stylize.images.contact_sheet import contact_sheet
from stylize.images.mosaic import enlarged, in_rows, mosaic
from stylize.networks.architecture import convolutions, find_layer, require_vgg
from stylize.networks.models import Weights
from stylize.products.inspect.result import Finding, brief, with_recipe
from stylize.runs.session import Session
from stylize.settings.inspect import FiltersSettings

# Side of a cell in px at most: 32 for each of the three pixels of a kernel.
CELL_PX = 96


def show_filters(settings: FiltersSettings, *, session: Session | None = None) -> Finding:
    """A sheet of a layer's kernels. Zero is middle grey; brighter is positive.

    Kernels of the first layer are pictures in RGB. Kernels of other layers have one slice per
    input channel; a cell is a grey mosaic of the first slices.

    Raises:
        UnknownNameError: no such network or layer.
        WeightsError: its file is missing or damaged.
    """
    weights = (session or Session()).weights(settings.network)
    require_vgg(settings.network, weights.architecture, "inspect filters")
    kernels = kernels_of(weights, settings.layer)
    shown = kernels[: settings.count]
    if shown.shape[1] != 3:
        shown = shown[:, : settings.slices]
    scales = scales_of(shown, settings.normalize)
    cells = [
        (_label(index, scale, settings.normalize), kernel_picture(kernel, scale))
        for index, (kernel, scale) in enumerate(zip(shown, scales, strict=True))
    ]
    title = _title(settings, kernels, shown, scales)
    sheet = contact_sheet(in_rows(cells, settings.columns), title=title)
    result = with_recipe(sheet, settings, [], weights=weights, resolved={})
    return Finding(result, _numbers(settings, kernels, shown, scales))


def kernels_of(weights: Weights, layer: str) -> Tensor:
    """The kernels of a layer, ``(out, in, 3, 3)``; those of the first layer in the order R, G, B.

    Raises:
        UnknownNameError: the network has no such layer.
    """
    found = find_layer(weights.architecture, layer)
    kernels = weights.tensors[f"{found.name}.weight"]
    is_first = found == convolutions(weights.architecture)[0]
    return kernels.flip(1) if is_first and weights.preprocessing.channels == "BGR" else kernels


def scales_of(kernels: Tensor, normalize: str) -> list[float]:
    """The absolute weight that is shown as white or black, for each kernel.

    Args:
        kernels: ``(n, in, 3, 3)``.
        normalize: ``all`` for the largest weight of all kernels, ``each`` for that of the kernel.
    """
    largest = kernels.abs().amax((1, 2, 3)).clamp_min(torch.finfo(torch.float32).tiny)
    if normalize == "all":
        largest = largest.max().expand_as(largest)
    return [float(each) for each in largest]


def kernel_picture(kernel: Tensor, scale: float) -> Tensor:
    """One kernel as a picture ``(1, 3, H, W)``, ``0.5 + weight / (2 scale)``.

    Args:
        kernel: ``(3, 3, 3)`` in RGB, or ``(in, 3, 3)``.
        scale: the absolute weight that is white or black.
    """
    levels = 0.5 + kernel / (2 * scale)
    if len(levels) != 3:
        levels = mosaic(levels).expand(3, -1, -1)
    return enlarged(levels, CELL_PX)[None]


def _label(index: int, scale: float, normalize: str) -> str:
    return f"{index}" if normalize == "all" else f"{index} · {scale:.2g}"


def _title(settings: FiltersSettings, kernels: Tensor, shown: Tensor, scales: list[float]) -> str:
    title = f"{settings.layer} of {settings.network}: {len(shown)} of {len(kernels)} filters"
    if shown.shape[1] != kernels.shape[1]:
        title += f", {shown.shape[1]} of {kernels.shape[1]} inputs"
    return title + (f", -{scales[0]:.2g} to {scales[0]:.2g}" if settings.normalize == "all" else "")


def _numbers(
    settings: FiltersSettings, kernels: Tensor, shown: Tensor, scales: list[float]
) -> dict[str, Any]:
    norms = shown.flatten(1).norm(dim=1).tolist()
    return {
        "layer": settings.layer,
        "filters": len(kernels),
        "inputs": kernels.shape[1],
        "shown": [
            {"filter": index, "scale": brief(scale), "norm": brief(norm)}
            for index, (scale, norm) in enumerate(zip(scales, norms, strict=True))
        ],
    }
