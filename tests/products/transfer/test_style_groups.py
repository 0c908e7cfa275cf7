"""Transfers of which parts have styles of their own, or stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.errors import PictureError, RecipeError, SettingError
from stylize.images.metadata import MAX_RECIPE_BYTES
from stylize.images.read import Picture
from stylize.images.resampling import resize
from stylize.masks import subject
from stylize.planning.memory import MemoryPlan
from stylize.products.transfer.style_groups import MOST_REGIONS, MaskRegion, Masks, StyleGroups
from stylize.products.transfer.transfer import Transfer
from stylize.reruns import replay
from stylize.runs.recipe import MAX_NAME_BYTES, to_text
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.transfer import MAX_STYLES, TransferSettings
from tests.conftest import as_picture, cat, photo, strokes
from tests.reruns.test_resume import assert_same, gone_on, stopped

FP32 = Execution(device="cpu", precision="fp32")
STUDIO = Session()
# Layers that are quick.
FEW: dict[str, object] = {
    "network": "vgg16",
    "style_layers": (("relu1_1", 1.0), ("relu2_1", 1.0), ("relu3_1", 1.0)),
    "content_layers": (("relu2_2", 1.0),),
}
PHOTO = as_picture(cat(64), "cat.png")
WARM = as_picture(strokes(), "warm.png")
COOL = as_picture(strokes(period=16).flip(1), "cool.png")


def block(name: str, left: int, right: int, size: int = 64) -> Picture:
    """White columns on black."""
    pixels = torch.zeros(1, 3, size, size)
    pixels[..., left:right] = 1
    return as_picture(pixels, name)


LEFT, RIGHT = block("left.png", 0, 32), block("right.png", 32, 64)


def job(parts: Masks | None, photo: Picture = PHOTO, **changes: object) -> Transfer:
    values = FEW | {"size": "64", "min_size": 64, "steps": 8, "feather": 8} | changes
    return Transfer(photo, [WARM], TransferSettings(**values), FP32, parts=parts, session=STUDIO)


def change(result: Result) -> Tensor:
    """How far from the photo, by column."""
    found: Tensor = (result.pixels - PHOTO.pixels).abs().mean((0, 1, 2))
    return found


class TestOneMask:
    """The styles of the whole picture, in a part of it."""

    def test_partly_it_every_pixel_is_the_photos(self) -> None:
        result = job(Masks(LEFT)).run()
        assert torch.equal(result.pixels[..., 32:], PHOTO.pixels[..., 32:])
        assert float(change(result)[:20].min()) > 0.01

    def test_also_where_the_photo_is_made_smaller(self) -> None:
        large = as_picture(cat(96), "large.png")
        result = job(Masks(block("left.png", 0, 48, 96)), large).run()
        resized = resize(large.pixels, (64, 64)).clamp(0, 1)
        assert torch.equal(result.pixels[..., 36:], resized[..., 36:])

    def test_a_wider_soft_edge_keeps_more(self) -> None:
        hard, soft = (change(job(Masks(LEFT), feather=width).run()) for width in (0, 32))
        assert float(hard[31]) > 4 * float(soft[31])
        assert float(hard[31]) > 0.01

    def test_coarse_to_fine_and_stopped(self) -> None:
        result = job(Masks(LEFT), size="64", min_size=32).run(
            stop=iter([False] * 3 + [True] * 9).__next__
        )
        assert result.interrupted
        assert torch.equal(result.pixels[..., 32:], PHOTO.pixels[..., 32:])

    def test_a_white_mask_is_no_mask(self) -> None:
        white, plain = job(Masks(block("all.png", 0, 64))).run(), job(None).run()
        # Sums are added up in another order.
        assert float((white.pixels - plain.pixels).abs().mean()) < 0.01


class TestTwoStyles:
    """Each in its own place."""

    def test_each_in_its_own_place(self) -> None:
        result = job(Masks(None, (MaskRegion(RIGHT, COOL),)), steps=15, content_weight=0.01).run()
        redness = (result.pixels[:, 0] - result.pixels[:, 2]).mean((0, 1))
        assert float(redness[:24].mean()) > 0.1, "warm on the left"
        assert float(redness[40:].mean()) < -0.1, "cool on the right"
        names = {name for name in result.recipe["losses"] if "relu1_1" in name}
        assert names == {"style relu1_1 in right.png", "style relu1_1 in the rest"}

    @pytest.mark.slow
    def test_no_halo_is_wider_than_the_soft_edge(self) -> None:
        """8 px of it lie on both sides of a line between styles, 4 before what is kept."""
        result = job(Masks(None, (MaskRegion(RIGHT, COOL),)), steps=25, content_weight=0.01).run()
        redness = (result.pixels[:, 0] - result.pixels[:, 2]).mean((0, 1))
        assert float(redness[:28].min()) > 0.2
        assert float(redness[36:].max()) < -0.2
        partly, everywhere = (change(job(parts, steps=25).run()) for parts in (Masks(LEFT), None))
        assert float((partly / everywhere)[:28].min()) > 0.7
        assert float(partly[32:].max()) == 0

    def test_what_is_kept_is_kept_under_a_style(self) -> None:
        parts = Masks(None, (MaskRegion(block("all.png", 0, 64), COOL), MaskRegion(LEFT)))
        result = job(parts).run()
        assert torch.equal(result.pixels[..., :32], PHOTO.pixels[..., :32])
        assert float(change(result)[44:].min()) > 0.01

    def test_a_mask_and_a_region_leave_the_remainder(self) -> None:
        middle = block("middle.png", 22, 42)
        result = job(Masks(block("l.png", 0, 22), (MaskRegion(middle, COOL),)), feather=2).run()
        assert torch.equal(result.pixels[..., 42:], PHOTO.pixels[..., 42:])
        assert float(change(result)[:40].min()) > 0.003

    def test_tiles_give_the_same(self) -> None:
        wide = as_picture(resize(cat(128), (60, 120)).clamp(0, 1), "wide.png")
        mask = torch.zeros(1, 3, 60, 120)
        mask[..., 52:] = 1
        parts = Masks(None, (MaskRegion(as_picture(mask, "m.png"), COOL),))
        few = {
            "size": "120",
            "min_size": 120,
            "steps": 2,
            "style_layers": (("relu1_1", 1.0), ("relu2_1", 1.0)),
        }
        found = []
        for memory_plan in (MemoryPlan(), MemoryPlan(64)):
            made = job(parts, wide, **few)
            made.memory_plan = memory_plan
            found.append(made.run())
        assert found[1].recipe["resolved"]["tile_px"] == 64
        assert float((found[0].pixels - found[1].pixels).abs().max()) < 0.002

    def test_names_are_told_apart(self) -> None:
        parts = tuple(MaskRegion(each, COOL) for each in (LEFT, block("left.png", 32, 64)))
        found = StyleGroups(Masks(None, parts), (64, 64), 8)
        assert list(found.styles) == ["left.png", "left.png #2"]
        assert found.notes == ["the regions cover the whole picture, so STYLE has no effect"]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(4, 64), st.booleans()), max_size=4),
    st.booleans(),
    st.integers(0, 16),
)
def test_the_parts_share_what_is_painted(
    columns: list[tuple[int, int, bool]], masked: bool, feather: int
) -> None:
    regions = tuple(
        MaskRegion(block(f"{n}.png", left, left + width), COOL if styled else None)
        for n, (left, width, styled) in enumerate(columns)
    )
    try:
        found = StyleGroups(Masks(LEFT if masked else None, regions), (64, 64), feather)
    except PictureError as error:
        assert "is empty" in error.message
        return
    total = found.masks.sum(0, keepdim=True)
    assert float((total - found.area).max()) < 1e-5
    for region in regions:
        if region.style is None:
            assert float(found.area[region.mask.pixels[:, :1] == 1].sum()) == 0


class TestColours:
    """One picture in which every region has its colour."""

    @staticmethod
    def segments() -> Picture:
        pixels = torch.zeros(1, 3, 64, 64)
        pixels[:, 0, :, :32] = 1
        pixels[:, 1, :, 32:] = 1
        return as_picture(pixels, "map.png")

    def test_a_colour_is_a_mask(self) -> None:
        one = job(Masks(None, (MaskRegion(RIGHT, COOL),))).run()
        other = job(Masks(None, (MaskRegion(self.segments(), COOL, "#00ff00"),))).run()
        assert torch.equal(one.pixels, other.pixels)

    def test_kept_by_its_colour(self) -> None:
        result = job(Masks(None, (MaskRegion(self.segments(), None, "lime"),))).run()
        assert torch.equal(result.pixels[..., 32:], PHOTO.pixels[..., 32:])

    def test_a_colour_that_is_not_there(self) -> None:
        with pytest.raises(
            SettingError, match=r"map\.png has no region of the colour blue"
        ) as info:
            job(Masks(None, (MaskRegion(self.segments(), COOL, "blue"),)))
        assert info.value.hint is not None
        assert "#00ff00 (50 %), #ff0000 (50 %)" in info.value.hint


class TestSubject:
    """The automatic mask in a transfer."""

    @pytest.fixture(autouse=True)
    def glance(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subject, "SEEN_PX", 128)
        monkeypatch.setattr(subject, "PROPOSED_PX", 80)

    @pytest.mark.slow
    def test_the_subject_or_everything_else_is_kept(self) -> None:
        for settings in ({"subject": "keep"}, {"background": "keep"}):
            made = job(None, feather=4, **settings)
            assert made.area is not None
            untouched = made.area.pixels[:, :1].expand(-1, 3, -1, -1) == 0
            assert untouched.any()
            result = made.run()
            assert torch.equal(result.pixels[untouched], PHOTO.pixels[untouched])
            painted = made.area.pixels.expand(-1, 3, -1, -1) == 1
            assert float((result.pixels - PHOTO.pixels)[painted].abs().mean()) > 0.01
            assert [each["role"] for each in result.recipe["inputs"]] == ["content", "style"]

    def test_doubt_is_told(self) -> None:
        flat = as_picture(torch.full((1, 3, 64, 64), 0.4), "flat.png")
        try:
            notes = job(None, flat, subject="keep").notes
        except PictureError as error:
            notes = [error.message]
        assert any("not sure of the subject" in each or "is empty" in each for each in notes)


def test_gone_on_with_after_a_stop(tmp_path: Path) -> None:
    parts = Masks(None, (MaskRegion(RIGHT, COOL), MaskRegion(block("strip.png", 28, 36))))

    def made() -> Transfer:
        return job(parts, min_size=32, steps=4, final_steps=3)

    stopped(made(), 5, tmp_path / "run.checkpoint")
    assert_same(gone_on(made(), tmp_path / "run.checkpoint"), made().run())


class TestRecipe:
    """The parts are inputs, and a replay finds them again."""

    PARTS = Masks(
        LEFT,
        (
            MaskRegion(RIGHT, COOL),
            MaskRegion(block("strip.png", 28, 36)),
            MaskRegion(TestColours.segments(), COOL, "#00ff00"),
        ),
    )

    def test_there_and_back(self) -> None:
        found: dict[str, list[Picture]] = {}
        for role, picture in self.PARTS.inputs():
            found.setdefault(role, []).append(picture)
        roles = ["mask", "region 1", "region 1 style", "region 2", "region 3 #00ff00"]
        assert list(found) == [*roles, "region 3 style"]
        assert Masks.of_inputs({"content": [PHOTO], **found}) == self.PARTS
        assert Masks.of_inputs({"content": [PHOTO]}) == Masks()

    def test_a_style_without_its_region(self) -> None:
        with pytest.raises(RecipeError, match="a style without its region"):
            Masks.of_inputs({"region 2 style": [COOL]})

    def test_a_replay_is_the_same_to_the_bit(self) -> None:
        settings = TransferSettings(
            **FEW | {"size": "64", "min_size": 64, "steps": 4, "feather": 4}
        )
        first = Transfer(PHOTO, [WARM], settings, FP32, parts=self.PARTS, session=STUDIO).run()
        inputs = [("content", PHOTO), ("style", WARM), *self.PARTS.inputs()]
        assert [each["role"] for each in first.recipe["inputs"]] == [role for role, _ in inputs]
        again = replay.job_of(first.recipe, inputs, settings, FP32).run()
        assert torch.equal(again.pixels, first.pixels)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (Masks(block("black.png", 0, 0)), "the part to be painted is empty"),
        (Masks(None, (MaskRegion(block("b.png", 0, 0), COOL),)), "the region 'b.png' is empty"),
        (Masks(None, (MaskRegion(LEFT), MaskRegion(LEFT, COOL))), "the region 'left.png' is empty"),
        (Masks(None, (MaskRegion(LEFT), MaskRegion(RIGHT))), "the part to be painted is empty"),
        (
            Masks(as_picture(photo(64, 32), "narrow.png")),
            r"narrow\.png: a mask of 32×64 px does not fit the photo '.+' of 64×64 px .make",
        ),
    ],
)
def test_masks_that_cannot_be(parts: Masks, said: str) -> None:
    with pytest.raises(PictureError, match=said):
        job(parts)


def test_too_many_regions() -> None:
    kept = tuple(MaskRegion(LEFT) for _ in range(MOST_REGIONS))
    Masks(LEFT, kept).check_room(MAX_STYLES - MOST_REGIONS - 1)
    with pytest.raises(SettingError, match=rf"too many .*\({MOST_REGIONS} and 28\)"):
        Masks(LEFT, kept).check_room(28)
    with pytest.raises(SettingError, match=rf"too many .*\({MOST_REGIONS + 1} and 1\)"):
        job(Masks(None, (*kept, MaskRegion(RIGHT, COOL))))


def test_the_largest_recipe_has_room_in_every_format() -> None:
    """With names as long as they may be."""
    long = "".join(chr(97 + n % 26) for n in range(MAX_NAME_BYTES))
    masks = [block(f"{n}{long}", 0, 64) for n in range(MOST_REGIONS)]
    parts = Masks(None, tuple(MaskRegion(each, as_picture(strokes(), long)) for each in masks))
    styles = [as_picture(strokes(), long)] * (MAX_STYLES - 2 * MOST_REGIONS)
    settings = TransferSettings(size="64", min_size=64, steps=1)
    made = Transfer(PHOTO, styles, settings, FP32, parts=parts, session=STUDIO)
    assert len(to_text(made.run().recipe).encode()) < MAX_RECIPE_BYTES
