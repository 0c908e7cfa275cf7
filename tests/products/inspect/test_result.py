"""Amounts as colours."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from stylize.images.luma import luma as weighted
from stylize.products.inspect.result import RAMP, heat, overlay, rendered, stretched


def luma(image: torch.Tensor) -> torch.Tensor:
    return weighted(image)[:, 0]


def test_the_ramp_is_met_at_its_steps() -> None:
    steps = torch.linspace(0, 1, len(RAMP)).view(1, 1, 1, -1)
    torch.testing.assert_close(heat(steps)[0, :, 0].T, torch.tensor(RAMP))


def test_more_is_brighter() -> None:
    shares = torch.linspace(0, 1, 200).view(1, 1, 1, -1)
    for picture in (heat(shares), heat(-shares)):
        assert (luma(picture).diff() > 0).all()


@given(st.floats(1e-6, 1e6))
def test_the_unit_does_not_matter(unit: float) -> None:
    amounts = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(stretched(amounts * unit), stretched(amounts))
    assert float(stretched(amounts).max()) == 1
    assert float(stretched(amounts).median()) > 0.4


def test_one_bright_pixel_leaves_the_others_light() -> None:
    amounts = torch.ones(1, 1, 20, 20)
    amounts[..., 3, 3] = 1000
    assert float(stretched(amounts).min()) == 1


def test_where_there_is_nothing_or_hardly_anything() -> None:
    nothing = torch.zeros(1, 1, 20, 20)
    assert float(stretched(nothing).max()) == 0
    nothing[..., 3, 3] = 5
    assert float(stretched(nothing)[..., 3, 3]) == 1


def test_the_photo_is_seen_where_there_is_little() -> None:
    photo = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    shares = torch.zeros(1, 1, 8, 8)
    shares[..., 4:] = 1
    found = overlay(shares, photo)
    torch.testing.assert_close(luma(found)[..., :4], 0.7 * luma(photo)[..., :4])
    assert float(found[..., 4:].std((2, 3)).max()) < float(photo[..., 4:].std((2, 3)).max()) / 2


def test_views() -> None:
    photo, shares = torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4)
    assert torch.equal(rendered(shares, photo, "mask"), shares.expand(1, 3, 4, 4))
    assert torch.equal(rendered(shares, photo, "heat"), heat(shares))
    assert torch.equal(rendered(shares, photo, "overlay"), overlay(shares, photo))


def test_signs_have_colours() -> None:
    values = torch.tensor([[-0.6, 0.0, 0.6]]).view(1, 1, 1, 3).repeat(2, 1, 1, 1)
    cool, black, warm = heat(values)[1, :, 0].T
    assert cool[2] > cool[0] + 0.2
    assert warm[0] > warm[2] + 0.2
    assert float(black.max()) < 0.05
    grey = overlay(values, torch.full((1, 3, 1, 3), 0.5))
    assert grey.shape == (2, 3, 1, 3)
    torch.testing.assert_close(grey[0, :, 0, 1], torch.full((3,), 0.35))
