"""The part that each of several styles plays: fine strokes, coarse forms, or all."""

from __future__ import annotations

from collections.abc import Sequence

from stylize.settings.fields import LayerWeights

PARTS = ("all", "fine", "coarse")
# Grain, strokes and colour; from the next block on, forms and how they are arranged.
_LAST_FINE_BLOCK = 3


def serves(part: str, layer: str) -> bool:
    """Whether a style that plays a part is asked for at a layer.

    Args:
        part: one of ``PARTS``.
        layer: such as ``relu3_1``; another name belongs to no group.
    """
    digit = layer[4:5]
    return part == "all" or (
        digit.isdigit() and (int(digit) <= _LAST_FINE_BLOCK) == (part == "fine")
    )


def shares_of_styles(
    layer: str, parts: Sequence[str], weights: Sequence[float], count: int
) -> list[tuple[int, float]]:
    """Which styles a layer is asked for, and with which weights.

    Args:
        layer: its name.
        parts: one a style; none for all.
        weights: one a style; none for equal ones.
        count: of the styles.

    Returns:
        Index and weight of each whose weight is above 0.
    """
    found = zip(parts or ("all",) * count, weights or (1.0,) * count, strict=True)
    return [
        (index, weight)
        for index, (part, weight) in enumerate(found)
        if weight and serves(part, layer)
    ]


def painted_layers(
    layers: LayerWeights, parts: Sequence[str], weights: Sequence[float], count: int
) -> LayerWeights:
    """The layers of positive weight that a style is asked for."""
    return tuple(
        (name, weight)
        for name, weight in layers
        if weight and shares_of_styles(name, parts, weights, count)
    )
