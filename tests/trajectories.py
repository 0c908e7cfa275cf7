"""Short transfers whose losses are recorded: does an edit make convergence worse?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stylize.images.read import read_picture
from stylize.images.resampling import resize
from stylize.optimize.loop import Step
from stylize.products.transfer.transfer import Transfer
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from tests.conftest import SAMPLES, as_picture, cat

RECORD = Path(__file__).parent / "optimize" / "convergence.json"
# What the record was made with, whatever the defaults are.
FIXED = {
    "size": "96",
    "tolerance": 0.0,
    "network": "vgg16",
    "smoothness": 0.4,
    "clarity": 0.0,
    "match": 0.0,
    "edges": 0.0,
    "style_layers": (
        ("relu1_1", 256),
        ("relu2_1", 41),
        ("relu3_1", 16),
        ("relu4_1", 6),
        ("relu5_1", 2),
    ),
}
# Starts that differ by less than a grey level: what they spread over is noise.
STARTS = range(6)


@dataclass(frozen=True)
class Case:
    """A transfer of 96 px in float32.

    Attributes:
        marks: numbers of evaluations at the finest size whose losses count.
        settings: what differs from the default and from :data:`FIXED`.
    """

    marks: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)


CASES = {
    "L-BFGS": Case((20, 40), {"min_size": 96, "steps": 40}),
    "Adam": Case((5, 10, 20, 40), {"min_size": 96, "steps": 40, "optimizer": "adam"}),
    "coarse to fine": Case((10,), {"min_size": 48, "steps": 20, "final_steps": 10}),
    "Gram": Case((25,), {"min_size": 96, "steps": 25, "style_loss": "gram"}),
}


def losses(case: Case, start: int, **changes: Any) -> list[float]:
    """The objective at the marks.

    Args:
        case: what is painted.
        start: a number from :data:`STARTS`.
        **changes: of its settings.
    """
    generator = torch.Generator().manual_seed(start)
    photo = cat(96)
    photo = (photo + torch.randn(photo.shape, generator=generator) / 512).clamp(0, 1)
    style = resize(read_picture(SAMPLES / "styles" / "brushwork.jpg").pixels, (96, 96))
    settings = TransferSettings(**FIXED | case.settings | changes)
    found: dict[int, float] = {}

    def note(event: Step) -> None:
        if event.scale == event.scales:
            found[event.step] = event.total

    execution = Execution(device="cpu", precision="fp32")
    job = Transfer(as_picture(photo), [as_picture(style.clamp(0, 1))], settings, execution)
    job.run(note)
    return [found[mark] for mark in case.marks]
