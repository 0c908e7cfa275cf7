"""The activations of each channel of a layer for a photo."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from stylize.images.contact_sheet import contact_sheet
from stylize.images.mosaic import figure, in_rows
from stylize.images.read import Picture
from stylize.images.resampling import resize
from stylize.images.sizes import SizeSpec
from stylize.networks.layer_expressions import Target, parse_targets
from stylize.products.inspect.model import Model
from stylize.products.inspect.result import Finding, brief, heat, overlay
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import ActivationsSettings, channels_of

# Longer side of a cell in px.
CELL_PX = 192


def show_activations(
    photo: Picture,
    settings: ActivationsSettings,
    execution: Execution | None = None,
    *,
    session: Session | None = None,
) -> Finding:
    """A sheet of a layer's maps, the strongest channels first.

    The strength of a channel is its mean absolute activation over all positions. Before the ReLU
    (``conv4_3``) activations have a sign: positive values are warm colours, negative ones cool.

    Raises:
        ExpressionError: the network has no such layer or channel.
        PictureError: the photo is too small for the layer.
        StylizeError: the network or the device is not available.
    """
    model = Model(settings.network, execution, session)
    settings = settings.for_network(model.weights.architecture)
    (target,) = parse_targets(settings.layer)
    size = SizeSpec.parse(settings.size).fit(*photo.size)
    pixels = resize(photo.pixels, size).clamp(0, 1)
    maps = model.activations(pixels, (target.layer,), photo.name)[target.layer]
    named = channels_of(target, model.weights.architecture)
    strongest = by_strength(maps, named)[: settings.count]
    pictures = map_pictures(maps[[channel for channel, _ in strongest]], pixels, settings)
    labels = [f"{channel} · {figure(strength)}" for channel, strength in strongest]
    cells = list(zip(labels, pictures.unsqueeze(1), strict=True))
    title = f"{photo.name}, {target.layer}: {len(strongest)} of {len(maps)} channels"
    sheet = contact_sheet(in_rows(cells, settings.columns), title=title)
    shown_size = [size[1], size[0]]
    result = model.result(sheet, settings, [("content", photo)], photo_size=shown_size)
    return Finding(result, _numbers(target, maps, strongest))


def by_strength(maps: Tensor, channels: tuple[int, ...]) -> list[tuple[int, float]]:
    """Channels and their mean absolute activations, the strongest first.

    Args:
        maps: ``(C, h, w)``, all channels of a layer.
        channels: the channels to sort.
    """
    strengths = maps.abs().mean((1, 2))[list(channels)]
    order = torch.argsort(strengths, descending=True, stable=True)
    return [(channels[place], float(strengths[place])) for place in order.tolist()]


def map_pictures(maps: Tensor, pixels: Tensor, settings: ActivationsSettings) -> Tensor:
    """Maps as pictures of the photo's shape.

    Args:
        maps: ``(n, h, w)``.
        pixels: of the photo, ``(1, 3, H, W)``.

    Returns:
        ``(n, 3, *cell)``, the cell's longer side 192 px or the photo's if that is shorter.
    """
    cell = SizeSpec(long_side_px=CELL_PX).fit(*pixels.shape[-2:])
    largest = maps.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    if settings.normalize == "all":
        largest = largest.max()
    values = (maps / largest)[:, None]
    if settings.overlay:
        return overlay(resize(values, cell), resize(pixels, cell).clamp(0, 1))
    is_fine = maps.shape[-1] > cell[1]
    return heat(
        resize(values, cell) if is_fine else interpolate(values, cell, mode="nearest-exact")
    )


def _numbers(target: Target, maps: Tensor, strongest: list[tuple[int, float]]) -> dict[str, Any]:
    return {
        "layer": target.layer,
        "channels": len(maps),
        "positions": [maps.shape[2], maps.shape[1]],
        "shown": [
            {
                "channel": channel,
                "strength": brief(strength),
                "mean": brief(float(maps[channel].mean())),
                "largest": brief(float(maps[channel].max())),
            }
            for channel, strength in strongest
        ],
    }
