"""Maps of folders, their pages, and the list of the photos."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch

from stylize.errors import MissingExtraError, PictureError, UnknownNameError
from stylize.products.inspect import map as map_module
from stylize.products.inspect.folder import Album, described, inventory, open_album, write_inventory
from stylize.products.inspect.map import PhotoMap, show_map, thumbnail, thumbnail_side, write_page
from stylize.settings.execution import Execution
from stylize.settings.inspect import MapSettings
from tests.conftest import photo, save
from tests.products.inspect.albums import grouped_folder, noise

EXACT = Execution(precision="fp32")


def mapped(album: Album, **changes: object) -> PhotoMap:
    return show_map(album, MapSettings(**{"thumbnail": 16, "size": "64", **changes}), EXACT)


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return grouped_folder(tmp_path / "photos")


def group_of(name: str) -> str:
    return name.split("-")[1]


@pytest.mark.usefixtures("network")
class TestMap:
    """Where the photos are."""

    def test_planted_groups_stay_together(self, album: Album) -> None:
        found = mapped(album)
        assert sorted(found.names.values()) == sorted(each.name for each in album.photos)
        alike = [
            group_of(name) == group_of(other)
            for (row, column), name in found.names.items()
            for other in self.neighbours(found, row, column)
        ]
        # Dealt at random, a third would be.
        assert sum(alike) / len(alike) > 0.6
        for group in ("cat.png", "strokes.png", "disc.png"):
            assert self.is_connected(found, group)

    def neighbours(self, found: PhotoMap, row: int, column: int) -> list[str]:
        places = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        return [found.names[place] for place in places if place in found.names]

    def is_connected(self, found: PhotoMap, group: str) -> bool:
        """Whether one can go from each to each of a group, diagonally too."""
        left = {place for place, name in found.names.items() if group_of(name) == group}
        queue = [left.pop()]
        while queue:
            row, column = queue.pop()
            near = {each for each in left if max(abs(each[0] - row), abs(each[1] - column)) < 2}
            left -= near
            queue += near
        return not left

    def test_the_same_folder_the_same_map(self, album: Album) -> None:
        one, other = mapped(album), mapped(album)
        assert one.names == other.names
        assert torch.equal(one.result.pixels, other.result.pixels)
        assert one.result.recipe == other.result.recipe

    def test_layer_and_size_change_what_is_compared(self, album: Album) -> None:
        at = [mapped(album).numbers["photos"]]
        at += [
            mapped(album, **each).numbers["photos"]
            for each in ({"layer": "relu1_2"}, {"size": "32"})
        ]
        assert at[0] != at[1] != at[2] != at[0]

    @pytest.mark.parametrize("count", [1, 2, 4])
    def test_few_photos(self, tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(map_module, "_scikit", None)
        (tmp_path / "few").mkdir()
        for number in range(count):
            save(noise(number, level=0.5), tmp_path / "few" / f"{number}.png")
        found = mapped(open_album(tmp_path / "few", recursive=False))
        assert len(found.names) == count

    def test_every_thumbnail_is_in_its_place(self, album: Album) -> None:
        found = mapped(album)
        paths = {each.name: each.path for each in album.photos}
        for (row, column), name in found.names.items():
            top, left = 2 + row * 18, 2 + column * 18
            cell = found.result.pixels[0, :, top : top + 16, left : left + 16]
            from stylize.images.read import read_picture

            wanted = thumbnail(read_picture(paths[name]).pixels, 16)
            assert torch.equal((cell * 255).round().to(torch.uint8), wanted)
        height, width = found.result.pixels.shape[2:]
        assert (height, width) == (found.grid[0] * 18 + 2, found.grid[1] * 18 + 2)

    def test_thumbnails_grow(self, album: Album) -> None:
        width = mapped(album, thumbnail=20).result.pixels.shape[3]
        before = mapped(album)
        assert width - before.result.pixels.shape[3] == 4 * before.grid[1]

    def test_unreadable_photos(self, album: Album) -> None:
        (album.folder / "bad.png").write_text("no picture")
        warnings: list[str] = []
        found = show_map(
            open_album(album.folder, recursive=False),
            MapSettings(thumbnail=16, size="32"),
            EXACT,
            on_skip=warnings.append,
        )
        assert len(warnings) == 1
        assert "bad.png is not a picture" in warnings[0]
        assert list(found.numbers["skipped"]) == ["bad.png"]
        assert found.notes == ["1 of 19 photos skipped"]
        assert len(found.names) == 18

    def test_none_readable(self, tmp_path: Path) -> None:
        (tmp_path / "bad.png").write_text("no picture")
        with pytest.raises(PictureError, match=r"no photo can be used: .*bad.png is not a picture"):
            mapped(open_album(tmp_path, recursive=False))

    def test_bad_requests(self, album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(UnknownNameError, match="relu9_1"):
            mapped(album, layer="relu9_1")

        def absent(module: str) -> None:
            raise MissingExtraError("a map of photos", "inspect")

        monkeypatch.setattr(map_module, "_scikit", absent)
        with pytest.raises(MissingExtraError):
            mapped(album)

    def test_recipe(self, album: Album) -> None:
        found = mapped(album)
        recipe = found.result.recipe
        assert recipe["technique"] == "inspect map"
        assert recipe["inputs"] == [described(album, found.digests)]
        assert recipe["resolved"]["thumbnail_px"] == 16


def test_a_thumbnail_is_the_middle_square() -> None:
    pixels = torch.zeros(1, 3, 40, 100)
    pixels[..., 30:70] = 1.0
    assert (thumbnail(pixels, 20) == 255).all()
    assert (thumbnail(pixels.transpose(2, 3), 20) == 255).all()


@pytest.mark.parametrize(("photos", "side"), [(1, 96), (1000, 96), (5000, 66), (10**6, 4)])
def test_thumbnails_shrink_so_that_all_fit(photos: int, side: int) -> None:
    assert abs(thumbnail_side(96, photos) - side) <= 2


class Page(HTMLParser):
    """What of a page matters: its policy, its scripts, and whatever it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.policy, self.links, self.scripts, self.kinds = "", [], [], []
        self._within = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]
        self.links += [values[key] for key in ("src", "href") if key in values]
        self._within = tag == "script"
        if self._within:
            self.kinds.append(values.get("type"))
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = False

    def handle_data(self, data: str) -> None:
        if self._within:
            self.scripts[-1] += data


@pytest.mark.usefixtures("network")
class TestPage:
    """One file, nothing from outside, whatever the names."""

    HOSTILE = "a </script><img src=x onerror=alert(1)> #1 100%.png"

    @pytest.fixture
    def page(self, tmp_path: Path) -> Page:
        folder = tmp_path / "my <photos>"
        (folder / self.HOSTILE).parent.mkdir(parents=True)
        for name in ("plain.png", self.HOSTILE, "ü\u202e.png"):
            save(photo(32, 32), folder / name)
        album = open_album(folder, recursive=True)
        found = write_page(mapped(album), tmp_path / "map.png")
        assert found == tmp_path / "map.html"
        return Page(found.read_text("utf-8"))

    def test_self_contained(self, page: Page) -> None:
        assert page.links
        assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)
        assert page.kinds == ["application/json", None]
        digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in page.policy
        assert "default-src 'none'" in page.policy

    def test_names_and_links(self, page: Page, tmp_path: Path) -> None:
        data = json.loads(page.scripts[0])
        names = [name for name, _ in data["photos"].values()]
        assert sorted(names) == sorted(
            ["plain.png", self.HOSTILE, "ü\N{REPLACEMENT CHARACTER}.png"]
        )
        for _, link in data["photos"].values():
            assert link.startswith("./")
            assert re.fullmatch(r"[\w./%~-]+", link)
            assert (tmp_path / unquote(link)).exists()
        assert len(page.links) == data["rows"]
        assert all(
            int(row) < data["rows"] and int(column) < data["columns"]
            for row, column in (key.split(",") for key in data["photos"])
        )

    def test_the_strips_are_the_rows(self, page: Page) -> None:
        from stylize.images.read import read_picture

        data = json.loads(page.scripts[0])
        for link in page.links:
            strip = read_picture(base64.b64decode(link.partition(",")[2]))
            assert strip.size == (data["cell"], data["cell"] * data["columns"])

    @pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
    def test_the_script_parses(self, page: Page, tmp_path: Path) -> None:
        (tmp_path / "page.js").write_text(page.scripts[1])
        subprocess.run(["node", "--check", tmp_path / "page.js"], check=True, timeout=60)


class TestAlbum:
    """Which photos there are, and their list."""

    def test_what_is_found(self, tmp_path: Path) -> None:
        (tmp_path / "below").mkdir()
        for name in ("b10.png", "b9.png", ".hidden.png", "below/c.png", "notes.txt"):
            save(photo(8, 8), tmp_path / "x.png").rename(tmp_path / name)
        flat, deep = (
            [each.name for each in open_album(tmp_path, recursive=each).photos]
            for each in (False, True)
        )
        assert flat == ["b9.png", "b10.png"]
        assert set(deep) == {"b9.png", "b10.png", "below/c.png"}

    def test_none(self, tmp_path: Path) -> None:
        with pytest.raises(PictureError, match=r"holds no photos .-r also looks"):
            open_album(tmp_path, recursive=False)
        with pytest.raises(PictureError, match=r"holds no photos$"):
            open_album(tmp_path, recursive=True)
        with pytest.raises(PictureError, match="is not a folder"):
            open_album(tmp_path / "none", recursive=True)

    @pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
    def test_the_list_can_be_checked(self, tmp_path: Path) -> None:
        names = ["b.png", "a b.png", "line\nbreak.png", "back\\slash.png", "ü.png"]
        for number, name in enumerate(names):
            (tmp_path / name).write_bytes(bytes([number]))
        digests = {
            name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names
        }
        taken = tmp_path / "page.png-2.sha256"
        write_inventory(tmp_path / "page.png", digests)
        assert write_inventory(tmp_path / "page.png", digests) == taken
        call = ["sha256sum", "--check", "--strict", "page.png.sha256"]
        subprocess.run(call, cwd=tmp_path, check=True, capture_output=True, timeout=60)
        (tmp_path / "b.png").write_bytes(b"other")
        assert subprocess.run(call, cwd=tmp_path, check=False, capture_output=True).returncode == 1

    def test_the_hash_is_that_of_the_list(self, tmp_path: Path) -> None:
        album = Album(tmp_path, [])
        digests = {"b": "1" * 64, "a": "2" * 64}
        entry = described(album, digests)
        assert entry["sha256"] == hashlib.sha256(inventory(digests)).hexdigest()
        assert entry == described(album, dict(reversed(digests.items())))
        assert entry["sha256"] != described(album, digests | {"c": "3" * 64})["sha256"]
        assert entry["sha256"] != described(album, digests | {"a": "3" * 64})["sha256"]
