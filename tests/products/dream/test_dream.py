"""A dream from picture to painting: beginnings, masks, the recipe."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.errors import InterruptedRunError, PictureError, SettingError, UnknownNameError
from stylize.images.read import Picture, read_picture
from stylize.images.resampling import resize
from stylize.images.sizes import SizeSpec
from stylize.masks.masks import mask_weights
from stylize.networks.models import Weights
from stylize.optimize.loop import Step
from stylize.planning import memory as layout_module
from stylize.products.dream.dream import LEAST_SIDE, Dream, noise, picture_size, starting_pixels
from stylize.runs.recipe import load_recipe
from stylize.runs.result import Result
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import from_document
from tests.conftest import as_picture, cat, photo, save, strokes

FP32 = Execution(device="cpu", precision="fp32")
BASE = {"layers": "conv2_2", "steps": 2, "octaves": 2, "size": "48"}


def job(
    picture: Picture | None, guide: Picture | None = None, mask: Picture | None = None, **changes
):
    return Dream(picture, DreamSettings(**(BASE | changes)), FP32, guide=guide, mask=mask)


def levels(result: Result) -> Tensor:
    """The samples as a file holds them."""
    stream = BytesIO()
    result.save(stream)
    return (read_picture(stream.getvalue()).pixels * 255).round()


def half_mask(height: int, width: int) -> Tensor:
    """White on the left, ``(1, 3, H, W)``."""
    mask = torch.zeros(1, 3, height, width)
    mask[..., : width // 2] = 1
    return mask


@pytest.fixture
def chelsea() -> Picture:
    return as_picture(cat(64), "chelsea.png")


@pytest.mark.parametrize(
    ("size", "found"),
    [("48", (36, 48)), ("original", (60, 80)), ("24x800", (18, 24)), ("999", (60, 80))],
)
def test_the_size_is_as_in_transfer(size: str, found: tuple[int, int]) -> None:
    picture = as_picture(photo(60, 80))
    assert picture_size(picture, DreamSettings(size=size)) == found
    assert starting_pixels(picture, DreamSettings(size=size), found).shape == (1, 3, *found)


def test_exactly_one_beginning() -> None:
    for picture, wanted in ((as_picture(photo()), "64x64"), (None, None)):
        with pytest.raises(SettingError, match="either from a photo or from noise"):
            picture_size(picture, DreamSettings(from_noise=wanted))


def test_what_is_too_small_for_the_network() -> None:
    with pytest.raises(PictureError, match=r"slip\.png: 200×15 px is too small .*16 px a side"):
        picture_size(as_picture(photo(15, 200), "slip.png"), DreamSettings(size="original"))
    with pytest.raises(PictureError, match="the noise: 15×64 px is too small"):
        picture_size(None, DreamSettings(from_noise="15x64"))
    edge = DreamSettings(from_noise=f"{LEAST_SIDE}x{LEAST_SIDE}")
    assert picture_size(None, edge) == (LEAST_SIDE, LEAST_SIDE)


def test_the_octaves_the_notes_and_the_cost_are_known_before(chelsea: Picture) -> None:
    dream = job(chelsea, octaves=3)
    assert [scale.size for scale in dream.scales] == [(34, 34), (48, 48)]
    assert dream.notes == ["2 octaves instead of 3: conv2_2 needs 32 px on the short side"]
    assert dream.cost().tflop > 0
    assert job(chelsea, octaves=3, min_octave=40).notes == [
        "1 octave instead of 3: --min-octave needs 40 px on the short side"
    ]


def test_the_recipe_says_all_that_was_decided(chelsea: Picture, vgg16: Weights) -> None:
    guide = as_picture(strokes(64, 64), "strokes.png")
    mask = as_picture(half_mask(64, 64), "mask.png")
    dream = job(chelsea, guide, mask, seed=5)
    result = dream.run()
    recipe = result.recipe
    assert recipe["technique"] == "dream"
    assert from_document(DreamSettings, recipe["settings"]) == dream.settings
    roles = [(each["role"], each["name"]) for each in recipe["inputs"]]
    assert roles == [("content", "chelsea.png"), ("guide", "strokes.png"), ("mask", "mask.png")]
    assert recipe["weights"] == {"name": "vgg16", "sha256": vgg16.sha256}
    assert recipe["resolved"]["scales"] == [[34, 34, 2], [48, 48, 2]]
    assert recipe["resolved"]["size"] == [48, 48]
    assert set(recipe["losses"]) == {"dream conv2_2"}
    assert recipe["interrupted"] is result.interrupted is False
    assert "preset" not in recipe


def test_equal_requests_give_equal_files(chelsea: Picture, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        job(chelsea, seed=2).run().save(tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert load_recipe(tmp_path / "one.png")["settings"]["seed"] == 2


def test_no_strength_is_the_photo_as_resized(chelsea: Picture) -> None:
    found = job(chelsea, strength=0.0).run()
    assert torch.equal(found.pixels, resize(chelsea.pixels, (48, 48)).clamp(0, 1))


def test_outside_the_mask_a_file_holds_the_photo(chelsea: Picture) -> None:
    """The mask is larger than the result, and resized with the photo."""
    mask = as_picture(half_mask(192, 192))
    plain = levels(job(chelsea, strength=0.0).run())
    found = levels(job(chelsea, mask=mask).run())
    assert torch.equal(found[..., 26:], plain[..., 26:])
    assert float((found[..., :22] - plain[..., :22]).abs().mean()) > 5


def test_a_transparent_photo_stays_transparent() -> None:
    alpha = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    result = job(as_picture(cat(64), alpha=alpha)).run()
    assert result.alpha is not None
    torch.testing.assert_close(result.alpha, resize(alpha, (48, 48)).clamp(0, 1))
    assert job(as_picture(cat(64))).run().alpha is None


def test_a_dream_from_noise() -> None:
    one, same, other = (
        job(None, from_noise="40x32", jitter=0, seed=seed).run() for seed in (1, 1, 2)
    )
    assert one.pixels.shape == (1, 3, 32, 40)
    assert torch.equal(one.pixels, same.pixels)
    assert not torch.equal(one.pixels, other.pixels)
    assert one.recipe["inputs"] == []


def test_a_stop_keeps_what_there_is(chelsea: Picture) -> None:
    events: list[Step] = []
    result = job(chelsea).run(events.append, lambda: len(events) == 3)
    assert result.interrupted
    assert result.recipe["interrupted"] is True
    assert result.recipe["resolved"]["scales"] == [[34, 34, 2], [48, 48, 1]]
    assert torch.equal(result.pixels, events[-1].picture())
    with pytest.raises(InterruptedRunError):
        job(chelsea).run(stop=lambda: True)


def test_no_such_network(chelsea: Picture) -> None:
    with pytest.raises(UnknownNameError, match="vgg17"):
        job(chelsea, network="vgg17")


@given(st.integers(16, 90), st.integers(16, 90), st.integers(0, 2**63 - 1))
def test_noise_is_faint_and_has_every_size_of_grain(height: int, width: int, seed: int) -> None:
    found = noise((height, width), torch.Generator().manual_seed(seed))
    assert found.shape == (1, 3, height, width)
    assert float(found.mean()) == pytest.approx(0.5, abs=0.06)
    assert 0.01 < float(found.std()) < 0.12
    assert torch.equal(found, noise((height, width), torch.Generator().manual_seed(seed)))
    fine = found.diff(dim=3).std()
    assert 0.005 < float(fine) < float(2 * found.std())


def test_a_strip_of_noise_costs_no_square() -> None:
    """A square of 100,000 pixels a side would not fit into any memory."""
    found = noise((16, 100_000), torch.Generator().manual_seed(0))
    assert found.shape == (1, 3, 16, 100_000)
    assert 0.02 < float(found.std()) < 0.2


# Rec. 601 weights of (0, 0.3, 0.9).
LUMA = 0.587 * 0.3 + 0.114 * 0.9


def test_a_mask_is_its_brightness_where_it_is_opaque() -> None:
    pixels = torch.tensor([[0.0, 0.3, 0.9]]).view(1, 3, 1, 1).expand(1, 3, 20, 30)
    torch.testing.assert_close(
        mask_weights(as_picture(pixels), (20, 30)), torch.full((1, 1, 20, 30), LUMA)
    )
    alpha = torch.full((1, 1, 20, 30), 0.5)
    torch.testing.assert_close(
        mask_weights(as_picture(pixels, alpha=alpha), (40, 60)),
        torch.full((1, 1, 40, 60), 0.5 * LUMA),
    )


def test_a_mask_stays_between_black_and_white() -> None:
    found = mask_weights(as_picture(half_mask(50, 50)), (75, 75))
    assert float(found[..., :30].min()) == pytest.approx(1)
    assert float(found[..., 45:].max()) == 0, "no ringing beyond the edge"
    assert float(found.max()) <= 1


@given(st.integers(16, 120), st.integers(16, 120), st.integers(16, 150))
def test_a_mask_of_the_photos_own_size_fits_at_any_size(
    height: int, width: int, long_side: int
) -> None:
    size = SizeSpec(long_side_px=long_side).fit(height, width)
    white = as_picture(torch.ones(1, 3, height, width))
    torch.testing.assert_close(mask_weights(white, size), torch.ones(1, 1, *size))


@pytest.mark.parametrize("size", [(64, 60), (60, 64), (128, 64), (1, 64)])
def test_a_mask_of_other_sides_is_refused(chelsea: Picture, size: tuple[int, int]) -> None:
    mask = as_picture(torch.ones(1, 3, *size), "m.png")
    with pytest.raises(
        PictureError, match=r"m\.png: a mask of .* 'chelsea\.png' of 64×64 px .make it 64×64"
    ):
        job(chelsea, mask=mask)


def test_from_a_file_and_to_a_file(tmp_path: Path) -> None:
    path = save(cat(40), tmp_path / "cat.png")
    job(read_picture(path)).run().save(tmp_path / "dream.png")
    recipe = load_recipe(tmp_path / "dream.png")
    assert recipe["inputs"][0]["sha256"] == read_picture(path).sha256
    assert str(tmp_path) not in str(recipe)


@pytest.mark.parametrize("tileable", [False, True])
def test_tiles_dream_the_same_picture(tileable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_module, "TILES_PX", (64, 32))
    monkeypatch.setattr(layout_module, "BASE_BYTES", 0.0)
    settings = DreamSettings(
        size="120", layers="conv3_1", octaves=2, steps=2, strength=10, tileable=tileable
    )
    found = []
    for allowed in ("4GB", "20MB"):
        execution = Execution(precision="fp32", max_memory=allowed)
        found.append(Dream(as_picture(cat(120)), settings, execution).run())
    whole, tiled = found
    assert [each.recipe["resolved"]["engine"] for each in found] == ["whole", "tiles"]
    assert float((whole.pixels - tiled.pixels).abs().max()) < 2 / 255


def test_a_large_photo_counts_in_the_memory_of_a_small_dream() -> None:
    settings = DreamSettings(size="64", layers="conv1_2", octaves=1, steps=1)
    peaks = [Dream(as_picture(cat(side)), settings, FP32).cost().peak_bytes for side in (64, 320)]
    assert peaks[1] - peaks[0] == 12 * (320**2 - 64**2)
