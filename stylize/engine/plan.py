"""What a run will cost, before it starts. Pure arithmetic, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stylize.networks.architecture import find_layer, up_to
from stylize.optimize.schedule import Scale

# A forward pass and the backward pass to its input each do the same multiply-accumulates;
# a frozen network needs no gradient of its weights. Two operations each.
FLOP_PER_MAC = 4

BYTES = {"fp32": 4, "bf16": 2}


def network_flop_per_px(architecture: str, layers: Iterable[str]) -> float:
    """Operations of one evaluation (forward and backward) in the convolutions, per pixel."""
    return FLOP_PER_MAC * sum(layer.macs_per_px for layer in up_to(architecture, tuple(layers)))


def style_flop_per_px(architecture: str, layers: Iterable[str]) -> float:
    """Operations of the style statistics and their seeds, per pixel: C² each way."""
    found = [find_layer(architecture, name) for name in layers]
    return FLOP_PER_MAC * sum(layer.channels**2 / layer.stride**2 for layer in found)


def bytes_per_px(architecture: str, layers: Sequence[str], precision: str) -> float:
    """Memory at the peak of one evaluation, per pixel, with Adam.

    Autograd keeps every convolution's rectified output and every pooling's input (the same
    tensor) and output with 8-byte indices. On top stand the largest float32 copies of style
    features with their seeds, and the image, its gradient, two moments and the average.
    """
    size = BYTES[precision]
    kept = 0.0
    previous = 3
    for layer in up_to(architecture, tuple(layers)):
        kept += size * layer.channels / layer.stride**2
        if layer.pooled:
            kept += (size + 8) * previous / layer.stride**2
        previous = layer.channels
    seeds = sum(
        size * found.channels / found.stride**2
        for found in (find_layer(architecture, name) for name in layers)
    )
    widest = max(
        found.channels / found.stride**2
        for found in (find_layer(architecture, name) for name in layers)
    )
    return kept + seeds + 2 * 4 * widest + 3 * 4 * 8


def evaluated_px(scales: Iterable[Scale]) -> float:
    """Pixels times evaluations, over the whole schedule."""
    return float(sum(scale.height * scale.width * scale.steps for scale in scales))
