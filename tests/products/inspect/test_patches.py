"""The search for patches: it finds what was planted, and continues where it was stopped."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from stylize.errors import InterruptedRunError, PictureError, SettingError
from stylize.products.inspect import patches as patches_module
from stylize.products.inspect.folder import Album, inventory, open_album
from stylize.products.inspect.model import Model
from stylize.products.inspect.patches import PatchSearch, cell_of
from stylize.products.inspect.result import Finding
from stylize.settings.execution import Execution
from stylize.settings.inspect import PatchesSettings
from tests.conftest import save
from tests.products.inspect.albums import PLANTED, noise, plant, planted_folder

pytestmark = pytest.mark.usefixtures("network")
EXACT = Execution(precision="fp32")


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return planted_folder(tmp_path / "photos")


def fond_of_checks(layer: str = "relu2_2") -> int:
    """The channel that answers most to a chequerboard, compared with grey noise."""
    model = Model("vgg16", EXACT)
    loud, quiet = (
        model.activations(each, [layer], "x")[layer].amax((1, 2))
        for each in (plant(noise(0), 24, 24), noise(0))
    )
    return int((loud / (quiet + 50)).argmax())


def search(album: Album, channels: str, **changes: Any) -> PatchSearch:
    settings = PatchesSettings(channels=channels, cell=32, **changes)
    return PatchSearch(album, settings, EXACT)


def test_planted_patterns_are_found(album: Album) -> None:
    label = f"relu2_2:{fond_of_checks()}"
    finding = search(album, label, top=3, per_photo=1).run()
    (found,) = finding.numbers["channels"].values()
    assert {each["photo"] for each in found} == set(PLANTED)
    for each in found:
        top, left = PLANTED[each["photo"]]
        x, y = (sum(each["box"][axis::2]) / 2 for axis in (0, 1))
        assert left - 2 <= x <= left + 18
        assert top - 2 <= y <= top + 18
    assert [each["response"] for each in found] == sorted(
        (each["response"] for each in found), reverse=True
    )


def test_a_cell_shows_the_patch(album: Album) -> None:
    """The first cell of the page is that box of that photo."""
    finding = search(album, f"relu2_2:{fond_of_checks()}", top=1).run()
    (((best,)),) = finding.numbers["channels"].values()
    left, top, right, bottom = best["box"]
    assert right - left <= 14 >= bottom - top
    pixels = patches_module.read_picture(album.folder / best["photo"]).pixels
    page = finding.result.pixels
    cell = page[..., -(32 + 19 + 8) : -(19 + 8), 8 : 8 + 32]
    wanted = cell_of(pixels[..., top:bottom, left:right], 32)
    if right - left == bottom - top == 14:
        torch.testing.assert_close(cell, wanted)
    assert float(cell.std()) > 0.3


def test_one_photo_and_one_spot_do_not_fill_the_row(album: Album) -> None:
    label = f"relu2_2:{fond_of_checks()}"
    for per_photo in (1, 2, 3):
        numbers = search(album, label, top=9, per_photo=per_photo).run().numbers
        (found,) = numbers["channels"].values()
        boxes: dict[str, list[list[int]]] = {}
        for each in found:
            boxes.setdefault(each["photo"], []).append(each["box"])
        assert max(map(len, boxes.values())) == per_photo
        for places in boxes.values():
            for number, (left, top, right, bottom) in enumerate(places):
                for other in places[:number]:
                    # Corners inside the photo, of fields of 14 px with half of them between.
                    apart = max(abs(left - other[0]), abs(top - other[1]))
                    apart = max(apart, abs(right - other[2]), abs(bottom - other[3]))
                    assert apart >= 7


def test_rows_and_sizes(album: Album) -> None:
    label = "relu2_2:1,5 + relu1_1:0"
    finding = search(album, label, top=4).run()
    assert list(finding.numbers["channels"]) == ["relu2_2:1", "relu2_2:5", "relu1_1:0"]
    assert all(len(each) <= 4 for each in finding.numbers["channels"].values())
    wide = search(album, label, top=6).run().result.pixels
    assert wide.shape[3] - finding.result.pixels.shape[3] == 2 * (32 + 8)
    large = PatchSearch(album, PatchesSettings(channels=label, cell=64, top=4), EXACT).run()
    assert large.result.pixels.shape[3] - finding.result.pixels.shape[3] == 4 * 32


def test_size_is_what_the_network_sees(album: Album) -> None:
    """At half the size a field is twice as large a part of the photo."""
    sides = []
    for size in ("64", "32"):
        numbers = search(album, "conv2_1:4", size=size, top=1, per_photo=1).run().numbers
        (((best,)),) = numbers["channels"].values()
        left, top, right, bottom = best["box"]
        sides.append(max(right - left, bottom - top))
    assert sides == [10, 20]


def test_a_channel_that_never_fires(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    save(torch.full((1, 3, 32, 32), 0.5), tmp_path / "photos" / "grey.png")
    album = open_album(tmp_path / "photos", recursive=False)
    grey = torch.full((1, 3, 32, 32), 128 / 255)
    found = Model("vgg16", EXACT).activations(grey, ["relu2_1"], "grey")
    answers = found["relu2_1"].amax((1, 2))
    silent = int((answers == 0).nonzero()[0])
    after = search(album, f"relu2_1:{silent}").run()
    assert after.numbers["channels"] == {f"relu2_1:{silent}": []}
    before = search(album, f"conv2_1:{silent}").run().numbers["channels"]
    assert all(each["response"] <= 0 for each in before[f"conv2_1:{silent}"])


def test_a_channel_named_twice_has_one_row(album: Album) -> None:
    twice = search(album, "relu1_2:7 + relu2_1:3 + relu1_2:5,7", top=3).run()
    assert list(twice.numbers["channels"]) == ["relu1_2:7", "relu1_2:5", "relu2_1:3"]
    once = search(album, "relu1_2:7,5 + relu2_1:3", top=3).run()
    assert twice.numbers == once.numbers


class TestResuming:
    """A search that was stopped or killed ends as one that was not."""

    def run_until(self, album: Album, state: Path, photos: int) -> None:
        count = iter(range(100))
        with pytest.raises(InterruptedRunError, match=f"stopped after {photos} of 12 .*continues"):
            search(album, "relu2_2:7").run(state, stop=lambda: next(count) == photos)

    def test_stopped(self, album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        state = tmp_path / "state"
        whole = search(album, "relu2_2:7").run()
        self.run_until(album, state, 5)
        assert state.exists()
        looked = self.counted(monkeypatch)
        resumed = search(album, "relu2_2:7").run(state)
        assert len(looked) == 7
        self.assert_same(resumed, whole)
        # Until its page is saved, the same call returns it without searching again.
        self.assert_same(search(album, "relu2_2:7").run(state), whole)
        assert len(looked) == 7

    def test_killed(self, album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(patches_module, "SAVE_EVERY_S", 0.0)
        whole = search(album, "relu2_2:7").run()

        def kill(done: int, total: int) -> None:
            assert total == 12
            if done == 9:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            search(album, "relu2_2:7").run(tmp_path / "state", on_step=kill)
        looked = self.counted(monkeypatch)
        self.assert_same(search(album, "relu2_2:7").run(tmp_path / "state"), whole)
        assert len(looked) == 12 - 8

    def test_another_request_begins_anew(
        self, album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.run_until(album, tmp_path / "state", 5)
        looked = self.counted(monkeypatch)
        search(album, "relu2_2:7", top=3).run(tmp_path / "state")
        assert len(looked) == 12

    def test_a_photo_that_came_later(self, album: Album, tmp_path: Path) -> None:
        self.run_until(album, tmp_path / "state", 5)
        save(plant(noise(77), 20, 20), album.folder / "a-new.png")
        larger = open_album(album.folder, recursive=False)
        resumed = search(larger, "relu2_2:7").run(tmp_path / "state")
        assert resumed.numbers["photos"] == 13
        self.assert_same(resumed, search(larger, "relu2_2:7").run())

    def counted(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        looked: list[str] = []
        activations = Model.activations

        def counting(self: Model, pixels: torch.Tensor, layers: Any, name: str) -> Any:
            looked.append(name)
            return activations(self, pixels, layers, name)

        monkeypatch.setattr(Model, "activations", counting)
        return looked

    def assert_same(self, one: Finding, other: Finding) -> None:
        assert one.numbers == other.numbers
        assert one.result.recipe == other.result.recipe
        assert torch.equal(one.result.pixels, other.result.pixels)


def test_unreadable_photos_are_passed_over(album: Album, tmp_path: Path) -> None:
    (album.folder / "bad.png").write_text("no picture")
    save(noise(1, side=2), album.folder / "tiny.png")
    (album.folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    damaged = open_album(album.folder, recursive=False)
    warnings: list[str] = []
    finding = search(damaged, "relu3_1:5").run(on_skip=warnings.append)
    assert len(warnings) == 3
    assert all(line.startswith("skipped: ") for line in warnings)
    assert set(finding.numbers["skipped"]) == {"bad.png", "tiny.png", "gone.png"}
    assert finding.numbers["photos"] == 12
    assert finding.notes == ["3 of 15 photos skipped"]


def test_no_photo_at_all(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "photos" / name).write_text("no picture")
    album = open_album(tmp_path / "photos", recursive=False)
    with pytest.raises(PictureError, match=r"no photo can be used: .*a.png is not a picture"):
        search(album, "relu2_2:7").run()


def test_the_recipe_holds_one_hash_of_all(album: Album) -> None:
    finding = search(album, "relu1_1:3").run()
    (entry,) = finding.result.recipe["inputs"]
    digests = {
        photo.name: hashlib.sha256(photo.path.read_bytes()).hexdigest() for photo in album.photos
    }
    assert finding.digests == digests
    assert entry == {
        "role": "photos",
        "name": "photos",
        "sha256": hashlib.sha256(inventory(digests)).hexdigest(),
        "count": 12,
    }
    assert finding.result.recipe["technique"] == "inspect patches"


def test_too_many_channels(album: Album) -> None:
    with pytest.raises(SettingError, match="128 channels are too many for one page"):
        search(album, "relu2_2")


def test_cells() -> None:
    patch = torch.rand(1, 3, 3, 3)
    squares = cell_of(patch, 33)
    assert torch.equal(squares[..., 5::11, 5::11], patch)
    assert torch.equal(squares[..., :11, :11], patch[..., :1, :1].expand(1, 3, 11, 11))
    assert cell_of(torch.rand(1, 3, 40, 40), 33).shape == (1, 3, 33, 33)
