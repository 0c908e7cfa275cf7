"""Transfers to compare: what differs, how long it takes, what it comes to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.report.pairs import Pair
from stylize.gradients.canvas import Canvas
from stylize.gradients.tiled import TiledEngine
from stylize.images.read import read_picture
from stylize.images.write import write_picture
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
        ways = {"steps", "final_steps", "min_size", "size_ratio", "init", "optimizer", "detail"}
        return self.settings.keys() <= ways


def of_preset(name: str) -> Variant:
    """A preset as a variant."""
    return Variant(name, dict(find_preset("transfer", name).settings))


VARIANTS = (
    Variant("balanced"),
    *map(of_preset, ("draft", "fine", "bold", "faithful", "portrait")),
    Variant("without detail put back", {"detail": 0.0}),
    Variant("matched, 0.3", {"match": 0.3}),
    Variant("one size only, 20 steps", {"min_size": SIZE, "steps": 20}),
    Variant("from noise", {"init": "noise"}),
    Variant("Adam", {"optimizer": "adam"}),
    Variant("Adam, three times the steps", {"optimizer": "adam", "steps": 240, "final_steps": 30}),
    Variant("moments", {"style_loss": "moments"}),
    Variant("Gram matrices", {"style_loss": "gram"}),
    Variant("vgg16", {"network": "vgg16"}),
)
EXACT = Variant("float32", precision="fp32")
SWEEP = tuple(
    Variant(f"content {weight:g}", {"content_weight": weight})
    for weight in (0.003, 0.006, 0.012, 0.024, 0.048)
)


def with_network(variant: Variant, network: str) -> Variant:
    """The same with a network."""
    return Variant(f"{variant.name}, {network}", variant.settings | {"network": network})


@dataclass
class Result:
    """What came of a variant on a pair.

    Attributes:
        evaluations: worth so many at the finest size.
        objective: of the default recipe, at the result, whatever the variant wanted.
    """

    variant: str
    pair: str
    evaluations: float
    objective: float


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
        result = transfer.run()
        write_picture(out, result.pixels)
        result = Result(
            variant.name,
            pair.name,
            evaluations(result.recipe["resolved"]["scales"]),
            self._objective(pair, result.pixels),
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
