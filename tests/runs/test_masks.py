"""The mask of a run: what is asked for, edges that are soft on the inside."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stylize.errors import PictureError, SettingError
from stylize.images.read import read_picture
from stylize.images.resampling import resize
from stylize.masks import subject
from stylize.masks.masks import composed, require_some, soft_inside
from stylize.runs.masks import requested_mask
from stylize.settings.dream import DreamSettings
from stylize.settings.masks import kept_part
from stylize.settings.transfer import TransferSettings
from tests.conftest import SAMPLES, as_picture, cat


def half(height: int = 40, width: int = 40) -> Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., : width // 2] = 1
    return mask


@pytest.mark.parametrize(
    ("subject", "background", "kept"),
    [
        (None, None, None),
        ("keep", None, "subject"),
        ("keep", "style", "subject"),
        (None, "style", "subject"),
        ("style", None, "background"),
        (None, "keep", "background"),
        ("style", "keep", "background"),
    ],
)
def test_which_part_is_kept(subject: str, background: str, kept: str) -> None:
    assert kept_part(TransferSettings(subject=subject, background=background)) == kept


@pytest.mark.parametrize("value", ["keep", "dream"])
def test_the_same_for_both_parts_is_refused(value: str) -> None:
    with pytest.raises(SettingError, match=f"--subject and --background are both '{value}'"):
        kept_part(DreamSettings(subject=value, background=value))


@pytest.mark.parametrize("width", [4, 10, 24])
def test_the_edge_is_as_wide_as_asked_for_and_inside(width: int) -> None:
    mask = half()
    row = soft_inside(mask, width)[0, 0, 20]
    assert torch.equal(row[20:], torch.zeros(20)), "black stays black"
    assert torch.equal(row[: 20 - width // 2], torch.ones(20 - width // 2))
    assert 1 <= int(((row > 0) & (row < 1)).sum()) <= width // 2
    assert bool((row.diff() <= 0).all())


def test_no_width_changes_nothing() -> None:
    grey = torch.rand(1, 1, 9, 11, generator=torch.Generator().manual_seed(0))
    assert torch.equal(soft_inside(grey, 0), grey)
    assert torch.equal(soft_inside(grey, 3), grey)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 18))
def test_what_is_black_stays_black_and_grey_stays_grey(seed: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(1, 1, 17, 23, generator=generator) > 0.02).float()
    assert float(soft_inside(mask, width)[mask == 0].sum()) == 0
    torch.testing.assert_close(
        soft_inside(0.5 * torch.ones_like(mask), width), 0.5 * torch.ones_like(mask)
    )


def test_composed_is_both_pictures_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(3)
    picture, photo = torch.rand(2, 1, 3, 40, 40, generator=generator)
    mask = half()
    mask[..., 20:22] = 0.5
    kept = picture.clone()
    found = composed(picture, photo, mask)
    assert torch.equal(found[..., 22:], photo[..., 22:])
    torch.testing.assert_close(found[..., :20], picture[..., :20], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[..., 20:22], (picture + photo)[..., 20:22] / 2)
    assert torch.equal(picture, kept), "the inputs are left alone"


def test_nothing_is_refused() -> None:
    require_some(half(), "m.png")
    with pytest.raises(PictureError, match=r"m\.png is empty: there is nothing to paint"):
        require_some(0 * half(), "m.png")


class TestTheAutomaticMask:
    """What is found is another file's matter."""

    @pytest.fixture(autouse=True)
    def glance(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subject, "SEEN_PX", 128)

    def test_it_is_the_subjects(self) -> None:
        pixels = read_picture(SAMPLES / "photos" / "chelsea.jpg").pixels
        photo = as_picture(resize(pixels, (64, 96)).clamp(0, 1))
        painted = requested_mask(photo, TransferSettings(subject="style"), None)
        assert painted is not None
        assert painted.size == photo.size
        assert float(painted.pixels[..., 28:36, 44:52].mean()) > 0.9, "the middle is the cat's"

    def test_no_request_no_mask(self) -> None:
        assert requested_mask(as_picture(cat(64)), TransferSettings(), None) is None
        mask = as_picture(half().expand(1, 3, 40, 40))
        assert requested_mask(None, DreamSettings(), mask) is mask

    def test_what_cannot_be(self) -> None:
        asked = DreamSettings(subject="keep")
        with pytest.raises(SettingError, match="noise has no subject"):
            requested_mask(None, asked, None)
        with pytest.raises(SettingError, match="a mask cannot be combined with --subject"):
            requested_mask(as_picture(cat(64)), asked, as_picture(cat(64)))
