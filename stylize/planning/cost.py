"""Estimate the cost of a run before it starts. Pure arithmetic, no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from stylize.networks.architecture import (
    deepest_traced,
    find_layer,
    is_vgg,
    macs_per_px,
    rectified,
    up_to,
)
from stylize.planning.tiles import STRIP_BYTES
from stylize.settings.dream import DreamSettings
from stylize.settings.layers import dream_layers, style_shares, transfer_layers
from stylize.settings.schedule import Scale, dream_octaves, transfer_scales
from stylize.settings.transfer import TransferSettings

# A forward pass and the backward pass to its input each do the same multiply-accumulates;
# a frozen network needs no gradient of its weights. Two operations each.
FLOP_PER_MAC = 4

# The float32 products of the style statistics run at about this share of the convolutions'
# rate, with the conversions around them; measured on two AVX-512 cores.
STATISTICS_SHARE = 0.25

# Overhead of a step that does not depend on its size: a hundred calls into torch.
SECONDS_PER_STEP = 0.01

# Resident memory of Python, torch and the weights before the first step, measured on Linux.
BASE_BYTES = 780e6

BYTES = {"fp32": 4, "bf16": 2}

# Buffers of a strip that exist at a time, including those that the C library keeps; measured.
STRIP_COPIES = 10

# Gradients of the largest map, its other layouts and other buffers at a time, of a network that
# is no VGG; and the position of a maximum that torch keeps for its pooling.
COPIES, INDEX_BYTES = 4, 8

# Of the largest activation, in full resolution.
WIDEST_CHANNELS = 64


def network_flop_per_px(architecture: str, layers: Iterable[str]) -> float:
    """Operations of one evaluation (forward and backward) in the convolutions, per pixel."""
    return FLOP_PER_MAC * macs_per_px(architecture, layers)


def style_flop_per_px(architecture: str, layers: Iterable[str]) -> float:
    """Operations of the style statistics and their seeds, per pixel: C² each way."""
    found = [find_layer(architecture, name) for name in layers]
    return FLOP_PER_MAC * sum(layer.channels**2 / layer.stride**2 for layer in found)


# float32 images that the loop holds in addition to the evaluated one and its gradient: two
# moments, the average and temporaries; points, a gradient and temporaries beyond the pairs of
# L-BFGS; the photo, its mask and the stages of the gradient's filters.
STATE_IMAGES = {"adam": 8, "lbfgs": 6, "ascent": 8}


def state_bytes_per_px(optimizer: str, history: int = 5) -> float:
    """Memory of the image and of the optimizer's state, per pixel.

    Args:
        optimizer: ``adam``, ``lbfgs`` or ``ascent``.
        history: pairs of float32 images that L-BFGS keeps.
    """
    pairs = 2 * history if optimizer == "lbfgs" else 0
    return 3 * 4 * (2 + STATE_IMAGES[optimizer] + pairs)


def network_bytes(
    architecture: str, layers: Sequence[str], precision: str, seen_px: float
) -> float:
    """Memory in the network at the peak of one evaluation of so many pixels at once."""
    kept, passed = network_bytes_per_px(architecture, layers, precision)
    if not is_vgg(architecture):
        return seen_px * kept
    strip = min(STRIP_BYTES, seen_px * BYTES[precision] * WIDEST_CHANNELS)
    return seen_px * (kept + passed) + STRIP_COPIES * strip


def network_bytes_per_px(
    architecture: str, layers: Sequence[str], precision: str
) -> tuple[float, float]:
    """Memory per pixel for the backward pass and for the activations between blocks.

    The first is a byte for every activation's sign and for every cell of a pooling, and the
    activations that the objective reads, but for those of the first convolution, which are
    computed again. The second is the output of the first two poolings.

    A network that is no VGG keeps all activations. Its second number is for its largest maps.
    """
    size = BYTES[precision]
    if not is_vgg(architecture):
        deepest = deepest_traced(architecture, layers)
        kept = size * (deepest.kept_per_px + COPIES * deepest.widest_per_px)
        indices = INDEX_BYTES * deepest.indices_per_px
        return kept + indices, COPIES * size * deepest.widest_per_px
    found = up_to(architecture, tuple(layers))
    kept = 0.0
    outputs = [0.0, 0.0]
    for index, layer in enumerate(found):
        each = layer.channels / layer.stride**2
        read = [name for name in (layer.name, rectified(layer.name)) if name in layers]
        before_pooling = index + 1 < len(found) and found[index + 1].pooled
        if before_pooling:
            kept += each / 4
            outputs.append(size * each / 4)
        if index and read:
            kept += size * each * len(read)
        elif index and not before_pooling:
            kept += each
    return kept, sum(sorted(outputs)[-2:])


def evaluated_px(scales: Iterable[Scale]) -> float:
    """Pixels times evaluations, over the whole schedule."""
    return float(sum(scale.height * scale.width * scale.steps for scale in scales))


def expected_px(scales: Iterable[Scale]) -> float:
    """Pixels times evaluations that a run usually takes."""
    return float(sum(scale.height * scale.width * scale.expected_steps for scale in scales))


def fixed_seconds(scales: Iterable[Scale]) -> float:
    """The overhead of all steps that a run usually takes."""
    return SECONDS_PER_STEP * sum(scale.expected_steps for scale in scales)


@dataclass(frozen=True)
class Cost:
    """A prediction.

    Attributes:
        tflop: operations in convolutions and style statistics, of all planned steps.
        peak_bytes: resident memory of the whole program at the finest scale.
        seconds: of the steps that a run usually takes; None where the machine has not been
            measured.
    """

    tflop: float
    peak_bytes: float
    seconds: float | None


def transfer_cost(
    settings: TransferSettings,
    scales: Sequence[Scale],
    *,
    architecture: str,
    precision: str,
    gflops: float | None,
    styles: int = 1,
) -> Cost:
    """What a transfer will cost.

    Args:
        settings: decide the layers.
        scales: the schedule.
        architecture: of the network.
        precision: ``bf16`` or ``fp32``.
        gflops: reached in convolutions by this machine at this precision, if known.
        styles: how many style images the whole picture has, at least 1.
    """
    style = [name for name, _ in style_shares(settings, styles)]
    layers = transfer_layers(settings, architecture, styles)
    network = network_flop_per_px(architecture, layers)
    statistics = style_flop_per_px(architecture, style)
    pixels = evaluated_px(scales)
    largest = max(scale.height * scale.width for scale in scales)
    seconds = None
    if gflops is not None:
        per_px = (network / gflops + statistics / (STATISTICS_SHARE * gflops)) / 1e9
        seconds = expected_px(scales) * per_px + fixed_seconds(scales)
    return Cost(
        tflop=pixels * (network + statistics) / 1e12,
        peak_bytes=BASE_BYTES
        + largest * state_bytes_per_px(settings.optimizer)
        + network_bytes(architecture, layers, precision, largest),
        seconds=seconds,
    )


def dream_cost(
    layers: Sequence[str],
    scales: Sequence[Scale],
    *,
    architecture: str,
    precision: str,
    gflops: float | None,
    margin_px: int = 0,
) -> Cost:
    """What a dream will cost.

    Args:
        layers: that it amplifies.
        scales: its octaves.
        architecture: of the network.
        precision: ``bf16`` or ``fp32``.
        gflops: reached in convolutions by this machine at this precision, if known.
        margin_px: frame around every octave, of a picture that tiles.
    """
    network = network_flop_per_px(architecture, layers)
    sizes = [(s.height + 2 * margin_px) * (s.width + 2 * margin_px) for s in scales]
    pixels = sum(size * scale.steps for size, scale in zip(sizes, scales, strict=True))
    seconds = None
    if gflops is not None:
        seconds = pixels * network / gflops / 1e9
        seconds += fixed_seconds(scales)
    return Cost(
        tflop=pixels * network / 1e12,
        peak_bytes=BASE_BYTES
        + max(sizes) * state_bytes_per_px("ascent")
        + network_bytes(architecture, layers, precision, max(sizes)),
        seconds=seconds,
    )


def picture_cost(
    settings: TransferSettings | DreamSettings,
    size: tuple[int, int],
    *,
    architecture: str,
    precision: str,
    gflops: float | None,
    styles: int = 1,
    scales: Sequence[Scale] | None = None,
) -> Cost:
    """What a picture will cost, by its settings alone.

    Args:
        settings: how the result looks.
        size: ``(height, width)`` of the result.
        architecture: of the network.
        precision: ``bf16`` or ``fp32``.
        gflops: reached in convolutions by this machine at this precision, if known.
        styles: how many style images a transfer has, at least 1.
        scales: its sizes and steps; by default those of the settings.
    """
    device: dict[str, Any] = {
        "architecture": architecture,
        "precision": precision,
        "gflops": gflops,
    }
    scales = picture_scales(settings, size, architecture) if scales is None else scales
    if isinstance(settings, DreamSettings):
        layers = dream_layers(settings, architecture)
        margin_px = frame_px(architecture, layers) if settings.tileable else 0
        return dream_cost(layers, scales, margin_px=margin_px, **device)
    return transfer_cost(settings, scales, styles=styles, **device)


def picture_scales(
    settings: TransferSettings | DreamSettings, size: tuple[int, int], architecture: str
) -> Sequence[Scale]:
    """The sizes and steps of a picture of ``(height, width)``, coarse to fine."""
    if isinstance(settings, DreamSettings):
        return dream_octaves(settings, size, architecture).scales
    return transfer_scales(settings, size)


def frame_px(architecture: str, layers: Iterable[str]) -> int:
    """The frame around a picture that tiles: half a receptive field, in whole strides."""
    found = [find_layer(architecture, name) for name in layers]
    stride = max(layer.stride for layer in found)
    half = max(max(layer.receptive_field_px / 2, layer.reach_px) for layer in found)
    return math.ceil(half / stride) * stride
