"""Transfers to compare: what differs, how long it takes, what it comes to."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.report.pairs import Pair
from stylize.gradients.canvas import Canvas
from stylize.gradients.tiled import TiledEngine
from stylize.images.read import read_picture
from stylize.images.write import write_picture
from stylize.optimize.loop import Step
from stylize.products.transfer.transfer import Transfer
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.presets import find_preset
from stylize.settings.schedule import Scale
from stylize.settings.transfer import TransferSettings

SIZE = 512


@dataclass(frozen=True)
class Variant:
    """A way to paint.

    Attributes:
        name: for tables.
        settings: what differs from the default.
        precision: as for ``--precision``.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    precision: str = "auto"

    @property
    def same_objective(self) -> bool:
        """Whether it wants what the default wants, and differs only in how it gets there."""
        return not self.settings.keys() & {"content_weight", "style_loss", "network"}


def of_preset(name: str) -> Variant:
    """A preset as a variant."""
    return Variant(name, dict(find_preset("transfer", name).settings))


VARIANTS = (
    Variant("balanced"),
    of_preset("draft"),
    of_preset("fine"),
    of_preset("bold"),
    of_preset("faithful"),
    Variant("without detail put back", {"detail": 0.0}),
    Variant("steep steps, 100 to 9", {"steps": 100, "final_steps": 9}),
    Variant("one size only, 20 steps", {"min_size": SIZE, "steps": 20}),
    Variant("from noise", {"init": "noise"}),
    Variant("Adam", {"optimizer": "adam", "learning_rate": 0.05, "averaging": 0.7}),
    Variant("Adam, three times the steps", {"optimizer": "adam", "steps": 84, "final_steps": 42}),
    Variant("Gram matrices", {"style_loss": "gram"}),
    Variant("vgg19", {"network": "vgg19"}),
)
EXACT = Variant("float32", precision="fp32")
SWEEP = tuple(
    Variant(f"content {weight:g}", {"content_weight": weight})
    for weight in (0.0125, 0.025, 0.05, 0.1, 0.2)
)


@dataclass
class Result:
    """What came of a variant on a pair.

    Attributes:
        seconds: of the transfer, without start-up and saving.
        evaluations: worth so many at the finest size.
        objective: of the default recipe, at the result, whatever the variant wanted.
        curve: seconds and objective at every step of the finest size, as the variant saw it.
    """

    variant: str
    pair: str
    seconds: float
    evaluations: float
    objective: float
    curve: list[tuple[float, float]]


class Runner:
    """Paints and remembers, on disk: a report that was stopped can continue.

    Args:
        keep: folder of pictures and figures.
    """

    def __init__(self, keep: Path) -> None:
        self._keep = keep
        self._session = Session()
        keep.mkdir(parents=True, exist_ok=True)

    def picture(self, variant: Variant, pair: Pair) -> Path:
        """The file of the picture."""
        return self._keep / f"{variant.name.replace(' ', '-').replace(',', '')}_{pair.name}.png"

    def run(self, variant: Variant, pair: Pair) -> Result:
        """Paint one pair, unless that was done."""
        out = self.picture(variant, pair)
        figures = out.with_suffix(".json")
        if figures.exists() and out.exists():
            known = json.loads(figures.read_text())
            return Result(**known)
        transfer = self._transfer(variant, pair)
        curve: list[tuple[float, float]] = []

        def listen(step: Step) -> None:
            if step.scale == step.scales:
                curve.append((step.seconds, step.total))

        started = time.perf_counter()
        result = transfer.run(listen)
        seconds = time.perf_counter() - started
        write_picture(out, result.pixels)
        result = Result(
            variant.name,
            pair.name,
            seconds,
            evaluations(result.recipe["resolved"]["scales"]),
            self._objective(pair, result.pixels),
            curve,
        )
        figures.write_text(json.dumps(asdict(result)))
        return result

    def _transfer(self, variant: Variant, pair: Pair) -> Transfer:
        settings = TransferSettings(**({"size": str(SIZE)} | variant.settings))
        return Transfer(
            read_picture(pair.content),
            [read_picture(pair.style)],
            settings,
            Execution(precision=variant.precision),
            session=self._session,
        )

    def _objective(self, pair: Pair, pixels: torch.Tensor) -> float:
        transfer = self._transfer(Variant("balanced"), pair)
        canvas = Canvas(transfer.size, 16)
        objective = transfer._objective(Scale(*transfer.size, 1), canvas)
        engine = TiledEngine(transfer._vgg, objective, tile_px=None)
        return float(engine(canvas.extend(pixels).contiguous()).total)


def evaluations(scales: list[list[int]]) -> float:
    """How many evaluations of the finest size a run was worth, by pixels."""
    finest = scales[-1][0] * scales[-1][1]
    return sum(width * height * steps for width, height, steps in scales) / finest
