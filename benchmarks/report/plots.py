"""The report's pictures, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "stylize", "font.size": 9})

from matplotlib import pyplot as plt  # noqa: E402

Point = tuple[float, float]


def scatter(
    path: Path,
    points: Mapping[str, Point],
    *,
    x: str,
    y: str,
    lines: Mapping[str, Sequence[Point]] | None = None,
    logarithmic: bool = False,
) -> None:
    """Named points, and lines through some.

    Args:
        path: of the SVG.
        points: by the label of each.
        x, y: what the axes show.
        lines: by the name in the legend.
        logarithmic: both axes.
    """
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, line in (lines or {}).items():
        axes.plot(*zip(*line, strict=True), marker="o", markersize=3, label=name)
    for name, point in points.items():
        axes.plot(*point, marker="o", linestyle="none", color="black", markersize=4)
        axes.annotate(name, point, xytext=(4, 3), textcoords="offset points", fontsize=8)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    if lines:
        axes.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
