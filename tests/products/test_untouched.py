"""A picture of the very size of the result is not copied, and not changed either."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stylize.images.read import Picture
from stylize.products.dream.dream import Dream
from stylize.products.transfer.transfer import Transfer
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from tests.conftest import as_picture, cat, photo, strokes

pytestmark = pytest.mark.usefixtures("network")
FP32 = Execution(precision="fp32")
SIDE = 32  # a multiple of every stride: nothing is added at the edges
QUICK: dict[str, Any] = {"steps": 2, "min_size": SIDE, "style_layers": (("relu1_1", 1),)}


def pictures() -> dict[str, Picture]:
    """By role, each of the result's size and with an alpha of its own."""
    pixels = {"content": cat(SIDE), "style": strokes(SIDE, SIDE), "other": photo(SIDE, SIDE)}
    return {
        role: as_picture(values, role, alpha=torch.full((1, 1, SIDE, SIDE), 0.5))
        for role, values in pixels.items()
    }


def values_of(inputs: dict[str, Picture]) -> list[torch.Tensor]:
    return [values.clone() for each in inputs.values() for values in (each.pixels, each.alpha)]  # type: ignore[union-attr]


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("init", ["content", "style", "file"])
def test_by_a_transfer(init: str, optimizer: str) -> None:
    inputs = pictures()
    before = values_of(inputs)
    settings = TransferSettings(**QUICK, init=init, optimizer=optimizer)
    start = inputs["other"] if init == "file" else None
    job = Transfer(inputs["content"], [inputs["style"]], settings, FP32, start=start)
    result = job.run()
    assert not torch.equal(result.pixels, inputs["content"].pixels), "it has painted"
    for values, found in zip(before, values_of(inputs), strict=True):
        assert torch.equal(values, found)


@pytest.mark.parametrize(
    "changes",
    [{}, {"tileable": True}, {"keep_colors": True}, {"fidelity": 0.5}, {"octaves": 2}],
    ids=str,
)
def test_by_a_dream(changes: dict[str, Any]) -> None:
    inputs = pictures()
    before = values_of(inputs)
    settings = DreamSettings(**({"octaves": 1, "steps": 2, "layers": "conv1_2"} | changes))
    result = Dream(inputs["content"], settings, FP32).run()
    assert not torch.equal(result.pixels, inputs["content"].pixels), "it has dreamt"
    for values, found in zip(before, values_of(inputs), strict=True):
        assert torch.equal(values, found)


def test_by_a_guide() -> None:
    inputs = pictures()
    before = values_of(inputs)
    settings = DreamSettings(octaves=1, steps=1, layers="conv1_2", guide_size=SIDE)
    Dream(inputs["content"], settings, FP32, guide=inputs["other"]).run()
    for values, found in zip(before, values_of(inputs), strict=True):
        assert torch.equal(values, found)


@pytest.mark.parametrize("size", [SIDE, 24])
def test_the_result_is_in_range(size: int) -> None:
    """Also where a resampled edge overshoots."""
    edge = (torch.arange(SIDE) >= SIDE // 2).float().expand(1, 3, SIDE, SIDE).contiguous()
    for job in (
        Transfer(
            as_picture(edge),
            [as_picture(1 - edge)],
            TransferSettings(**QUICK, size=str(size)),
            FP32,
        ),
        Dream(as_picture(edge), DreamSettings(octaves=2, steps=1, size=str(size)), FP32),
    ):
        pixels = job.run().pixels
        assert 0 <= float(pixels.min()) <= float(pixels.max()) <= 1
