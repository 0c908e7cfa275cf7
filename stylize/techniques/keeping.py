"""What a technique adds to a snapshot of the loop, and takes from one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from stylize.engine.layout import Layout
from stylize.optimize.state import Snapshot


def placed(
    snapshot: Snapshot, measured: Layout, layout: Layout, recipe: Mapping[str, Any] | None = None
) -> Snapshot:
    """A snapshot that knows its layouts.

    Args:
        snapshot: of the loop.
        measured: in which the targets of the scale were measured.
        layout: in which the run goes on.
        recipe: of the picture so far, if it is known.
    """
    return dataclasses.replace(
        snapshot,
        measured_px=measured.tile_px,
        tile_px=layout.tile_px,
        recipe=recipe or snapshot.recipe,
    )


def measured_in(layout: Layout, resume: Snapshot | None) -> Layout:
    """The layout for the targets of a scale.

    Targets differ in the last bits between layouts. So they are measured as they were, even where
    memory ran out since, unless the run goes on in another layout anyway.

    Args:
        layout: of the run from now on.
        resume: where it goes on; None at the beginning of a scale.
    """
    if resume is None or resume.tile_px != layout.tile_px:
        return layout
    return dataclasses.replace(layout, tile_px=resume.measured_px)
