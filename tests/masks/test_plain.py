"""Plain areas of photos: where brightness hardly varies, whatever the size of the photo."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylize.masks.plain import SIDE_PX, plain_areas


def landscape(height: int, width: int, horizon: float = 0.5) -> Tensor:
    """A flat sky above 16 upright stripes."""
    columns = torch.arange(width) * 32 // width % 2
    ground = (torch.arange(height)[:, None] >= horizon * height) * (0.6 * columns - 0.3)
    return (0.5 + ground).expand(1, 3, height, width).contiguous()


@pytest.mark.parametrize(("height", "width"), [(128, 128), (384, 512), (700, 400), (64, 96)])
def test_the_sky_is_plain_and_the_ground_is_not(height: int, width: int) -> None:
    areas = plain_areas(landscape(height, width))
    rows, columns = areas.shape[2:]
    assert max(rows, columns) == SIDE_PX
    assert areas[..., : rows // 2 - 12, :].min() == 1
    assert areas[..., rows // 2 :, :].max() == 0


def test_a_horizon_further_down_leaves_more_sky() -> None:
    shares = [float(plain_areas(landscape(256, 256, each)).mean()) for each in (0.3, 0.5, 0.7)]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(0.3, abs=0.08)
    assert shares[2] == pytest.approx(0.7, abs=0.08)


def test_a_slow_gradient_is_plain_and_noise_is_not() -> None:
    slope = torch.linspace(0, 1, 256).expand(1, 3, 256, 256).contiguous()
    assert plain_areas(slope).min() == 1
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, 128, 128, generator=generator)
    assert plain_areas(noise).max() == 0


def test_little_room_is_no_room() -> None:
    """A square of 20 px in stripes: less than 3 % of the photo."""
    busy = landscape(256, 256, 0)
    busy[..., 100:140, 100:140] = 0.5
    assert plain_areas(busy).max() == 0
    busy[..., 60:200, 60:200] = 0.5
    assert plain_areas(busy).max() == 1
