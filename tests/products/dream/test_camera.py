"""The camera: moves whose outcome is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylize.products.dream.tunnel import Camera
from tests.conftest import cat, photo


def ramp(height: int, width: int) -> Tensor:
    """From 0.3 to 0.7 to the right, and the same down in the second channel."""
    x = torch.linspace(0.3, 0.7, width).expand(height, -1)
    y = torch.linspace(0.3, 0.7, height).view(-1, 1).expand(-1, width)
    return torch.stack([x, y, 0 * x])[None]


def inner(image: Tensor, cells: int = 4) -> Tensor:
    return image[..., cells:-cells, cells:-cells]


@pytest.mark.parametrize("size", [(40, 40), (33, 50)])
def test_a_camera_that_stands_still_changes_nothing(size: tuple[int, int]) -> None:
    image = photo(*size)
    torch.testing.assert_close(Camera().move(image), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("zoom", [0.8, 1.04, 1.5, 2.0])
@pytest.mark.parametrize("size", [(40, 40), (36, 60)])
def test_zooming_flattens_a_ramp_about_the_centre(zoom: float, size: tuple[int, int]) -> None:
    found = Camera(zoom=zoom).move(ramp(*size))
    expected = 0.5 + (ramp(*size) - 0.5) / zoom
    cells = 4 if zoom > 1 else 10
    # The cubic's ripple is a twentieth of a step of the ramp.
    torch.testing.assert_close(
        inner(found, cells)[:, :2], inner(expected, cells)[:, :2], atol=6e-4, rtol=0
    )


def test_four_quarter_turns_are_none() -> None:
    image = cat(48)
    turned = [image]
    for _ in range(4):
        turned.append(Camera(rotate=90).move(turned[-1]))
    for number, found in enumerate(turned):
        expected = image.rot90(number, (2, 3))
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [(64, 40), (30, 61)])
def test_a_turn_is_a_turn_whatever_the_sides(size: tuple[int, int]) -> None:
    """The direction of a ramp turns, counter-clockwise; its steepness stays."""
    step = 0.4 / (size[1] - 1)
    found = Camera(rotate=30).move(ramp(*size))[0, 0]
    middle = found[size[0] // 2 - 4 : size[0] // 2 + 4, size[1] // 2 - 4 : size[1] // 2 + 4]
    right, down = float(middle.diff(dim=1).mean()), float(middle.diff(dim=0).mean())
    assert right == pytest.approx(step * 0.8660254, rel=0.01)
    assert down == pytest.approx(-step * 0.5, rel=0.01), "what was right is now up"


def test_panning_looks_further_on() -> None:
    image = cat(50)
    found = Camera(pan_x=0.1, pan_y=-0.2).move(image)
    torch.testing.assert_close(found[..., 10:, :45], image[..., :40, 5:], atol=1e-4, rtol=0)


def test_what_comes_in_is_the_picture_mirrored() -> None:
    image = cat(40)
    found = Camera(pan_x=0.25).move(image)
    expected = image[..., 30:].flip(3)
    torch.testing.assert_close(found[..., 32:-2], expected[..., 2:8], atol=2e-3, rtol=0)


def test_values_stay_values() -> None:
    checks = (torch.arange(30).view(-1, 1) + torch.arange(30)).remainder(2).float()
    found = Camera(zoom=1.3, rotate=17, pan_x=0.3).move(checks.expand(1, 3, -1, -1).contiguous())
    assert float(found.min()) == 0
    assert float(found.max()) == 1
