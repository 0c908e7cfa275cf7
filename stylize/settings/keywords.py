"""Settings as keyword arguments of the Python functions, for editors and type checkers.

Values, documentation and ranges are those of the dataclasses; a test compares names and types.
A keyword that is left out leaves the preset's value, which a default in a signature could not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

Size = int | str | tuple[int, int]
Layers = Mapping[str, float] | Sequence[tuple[str, float]]


class ExecutionKeywords(TypedDict, total=False):
    """The fields of :class:`stylize.Execution`."""

    device: str
    precision: str
    threads: int | None
    max_memory: str | None


class TransferKeywords(ExecutionKeywords, total=False):
    """The fields of :class:`stylize.TransferSettings` and :class:`stylize.Execution`."""

    size: Size
    enlarge: bool
    style_size: int | None
    style_weights: Sequence[float]
    style_parts: Sequence[str]
    style_loss: str
    style_layers: Layers
    content_layers: Layers
    content_weight: float
    smoothness: float
    edges: float
    color: str
    blend: float
    dream: str | None
    init: str
    detail: float
    subject: str | None
    background: str | None
    feather: int
    seed: int
    optimizer: str
    steps: int
    final_steps: int | None
    min_size: int
    learning_rate: float
    averaging: float
    tolerance: float
    network: str
    pooling: str


class _DreamKeywords(ExecutionKeywords, total=False):
    size: Size
    enlarge: bool
    from_noise: str | None
    layers: str
    strength: float
    octaves: int
    octave_scale: float
    min_octave: int | None
    steps: int
    carry: str
    palette: str
    smoothing: str
    guide_mode: str
    guide_size: int
    keep_colors: bool
    fidelity: float
    tileable: bool
    jitter: int
    seed: int
    pooling: str
    network: str


class DreamKeywords(_DreamKeywords, total=False):
    """The fields of :class:`stylize.DreamSettings` and :class:`stylize.Execution`."""

    subject: str | None
    background: str | None
    feather: int


class TunnelKeywords(_DreamKeywords, total=False):
    """The fields of :class:`stylize.TunnelSettings` and :class:`stylize.Execution`."""

    frames: int
    pace: float
    zoom: float
    rotate: float
    pan_x: float
    pan_y: float
    fps: float
    loop: bool
