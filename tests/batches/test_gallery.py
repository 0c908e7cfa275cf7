from __future__ import annotations

import io
import os
import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stylize.batches.gallery import Card, _href, _shown, thumbnail, write_gallery
from stylize.errors import OutputError, PictureError
from tests.images.test_color_profiles import WIDE

BEFORE, AFTER = b"\xff\xd8before\xff\xd9", b"\xff\xd8after\xff\xd9"
HOSTILE = [
    "plain.png",
    "with space & ampersand.png",
    "</figure><script>alert(1)</script>.png",
    "\" onerror='alert(1)'.png",
    "line\nbreak\ttab.png",
    "a/b #1 100% ?x=y.png",
    "javascript:alert(1)",
    "//example.com/x.png".lstrip("/"),
    "{caption}{0}.png",
    "-dash.png",
    "日本語 🎨.png",
    "\u202egnp.exe",
    "\udcff.png",
]
VOID = {"meta", "img", "link", "br"}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, text, and that all is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.source = path.read_bytes().decode("utf-8")
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data

    def all(self, tag: str, attribute: str) -> list[str | None]:
        return [attributes.get(attribute) for found, attributes in self.elements if found == tag]


def gallery(folder: Path, names: list[str], title: str = "Batch") -> Page:
    cards = [Card(name, BEFORE, AFTER, f"in/{name}", name) for name in names]
    return Page(write_gallery(folder, cards, title=title))


def test_every_pair_is_there(tmp_path: Path) -> None:
    page = gallery(tmp_path, HOSTILE)
    links = [os.fsdecode(unquote_bytes(link)) for link in page.all("a", "href")]
    assert links[1::2] == HOSTILE
    assert links[::2] == [f"in/{name}" for name in HOSTILE]
    pictures = [b64decode((each or "").split(",")[1]) for each in page.all("img", "src")]
    assert pictures == [BEFORE, AFTER] * len(HOSTILE)
    captions = page.texts["figcaption"]
    expected = ["".join(c if c.isprintable() else "�" for c in name) for name in HOSTILE]
    assert captions == expected
    words = (f"{name}, {which}" for name in expected for which in ("before", "after"))
    assert page.all("img", "alt") == list(words)
    assert page.all("img", "loading") == ["lazy"] * 2 * len(HOSTILE)


def unquote_bytes(link: str | None) -> bytes:
    return unquote(link or "", encoding="latin-1").encode("latin-1")


def test_names_make_no_elements(tmp_path: Path) -> None:
    plain = gallery(tmp_path, ["plain.png"] * len(HOSTILE))
    hostile = gallery(tmp_path, HOSTILE, title="</title><script>")
    assert [(tag, set(has)) for tag, has in hostile.elements] == [
        (tag, set(has)) for tag, has in plain.elements
    ]
    assert hostile.texts["title"] == hostile.texts["h1"] == ["</title><script>"]
    assert "script" not in hostile.texts


def test_nothing_comes_from_elsewhere(tmp_path: Path) -> None:
    page = gallery(tmp_path, HOSTILE)
    for _, attributes in page.elements:
        assert not set(attributes) & {"srcset", "style", "action", "poster", "background"}
        assert (attributes.get("src") or "data:").startswith("data:")
    links = page.all("a", "href")
    assert {urlsplit(each or "/")[:2] for each in links} == {("", "")}
    assert not any((each or "/").startswith("/") for each in links)
    assert not re.search(r"url\(|@import|https?:", page.source)
    assert {tag for tag, _ in page.elements}.isdisjoint({"link", "script", "iframe", "object"})


@pytest.mark.parametrize("link", ["", "/etc/passwd", "//example.com/x.png"])
def test_links_are_relative(tmp_path: Path, link: str) -> None:
    with pytest.raises(ValueError, match="link"):
        write_gallery(tmp_path, [Card("a", BEFORE, AFTER, "a.jpg", link)], title="Batch")
    assert os.listdir(tmp_path) == []


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda t: t[0] != "/"))
def test_any_name_makes_the_way_there_and_back(name: str) -> None:
    address = _href(name)
    assert unquote(address) == name
    assert urlsplit(address)[:2] == ("", "")
    assert re.fullmatch(r"[\w./~%-]+", address, re.ASCII)


def test_emoji_stay_in_one_piece() -> None:
    assert _shown("👩\u200d🎨") == "👩\u200d🎨"


@pytest.mark.parametrize(
    "number, words", [(0, "0 pictures,"), (1, "1 picture,"), (1000, "1000 pictures,")]
)
def test_few_and_many(tmp_path: Path, number: int, words: str) -> None:
    page = gallery(tmp_path, [f"{each}.png" for each in range(number)])
    assert len(page.all("img", "src")) == 2 * number
    assert page.texts["p"][0].startswith(words)


def test_an_earlier_gallery_is_replaced(tmp_path: Path) -> None:
    gallery(tmp_path, ["a.png", "b.png"], title="long" * 100)
    assert gallery(tmp_path, ["c.png"]).all("a", "href") == ["in/c.png", "c.png"]
    assert os.listdir(tmp_path) == ["index.html"]


@pytest.mark.parametrize("theirs", ["", "<html>my page</html>", "stylize", "folder", "link"])
def test_a_foreign_page_is_not(tmp_path: Path, theirs: str) -> None:
    page = tmp_path / "index.html"
    match theirs:
        case "folder":
            page.mkdir()
        case "link":
            page.symlink_to(tmp_path / "gone.html")
        case _:
            page.write_text(theirs)
    with pytest.raises(OutputError, match=r"index\.html was not made by stylize"):
        gallery(tmp_path, ["a.png"])
    assert os.listdir(tmp_path) == ["index.html"]
    assert not page.is_file() or page.read_text() == theirs


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such file"):
        gallery(tmp_path / "gone", ["a.png"])


class TestThumbnails:
    @staticmethod
    def of(picture: Image.Image, path: Path, side_px: int = 320, **options: object) -> Image.Image:
        picture.save(path, **options)
        return TestThumbnails.read(path, side_px)

    @staticmethod
    def read(path: Path, side_px: int = 320) -> Image.Image:
        small = Image.open(io.BytesIO(thumbnail(path, side_px)))
        assert (small.format, small.mode) == ("JPEG", "RGB")
        return small

    @staticmethod
    def near(small: Image.Image, place: tuple[int, int], colour: tuple[int, int, int]) -> bool:
        found = np.asarray(small.getpixel(place), dtype=float)
        return bool(np.abs(found - colour).max() < 12)

    @pytest.mark.parametrize(
        "size, expected",
        [
            ((1000, 500), (64, 32)),
            ((500, 1000), (32, 64)),
            ((40, 30), (40, 30)),
            ((999, 1), (64, 1)),
        ],
    )
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".tif", ".bmp"])
    def test_sizes(self, tmp_path: Path, size, expected, suffix: str) -> None:
        small = self.of(Image.new("RGB", size, (200, 80, 40)), tmp_path / f"x{suffix}", 64)
        assert small.size == expected
        assert self.near(small, (0, 0), (200, 80, 40))

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
    def test_upright(self, tmp_path: Path, suffix: str) -> None:
        """Turned a quarter to the right: what lay on the left is then on top."""
        picture = Image.new("RGB", (200, 100), (20, 20, 20))
        picture.paste((240, 240, 240), (0, 0, 100, 100))
        exif = Image.Exif()
        exif[0x0112] = 6
        small = self.of(picture, tmp_path / f"x{suffix}", 50, exif=exif)
        assert small.size == (25, 50)
        assert self.near(small, (12, 5), (240, 240, 240))
        assert self.near(small, (12, 45), (20, 20, 20))

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
    def test_over_white(self, tmp_path: Path, mode: str) -> None:
        picture = Image.new("RGBA", (64, 32), (0, 0, 0, 255))
        picture.paste((0, 0, 0, 0), (32, 0, 64, 32))
        small = self.of(picture.convert(mode), tmp_path / "x.png")
        assert self.near(small, (8, 16), (0, 0, 0))
        assert self.near(small, (56, 16), (255, 255, 255))

    def test_half_transparent(self, tmp_path: Path) -> None:
        small = self.of(Image.new("RGBA", (900, 900), (200, 0, 0, 51)), tmp_path / "x.png")
        assert self.near(small, (160, 160), (244, 204, 204))

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_sixteen_bits(self, tmp_path: Path, suffix: str) -> None:
        levels = np.full((500, 400), 128 * 257, dtype=np.uint16)
        small = self.of(Image.fromarray(levels), tmp_path / f"x{suffix}")
        assert small.size == (256, 320)
        assert self.near(small, (9, 9), (128, 128, 128))

    def test_deep_colour(self, tmp_path: Path) -> None:
        tifffile = pytest.importorskip("tifffile")
        levels = np.zeros((400, 500, 4), dtype=np.uint16)
        levels[..., 0] = levels[..., 3] = 65535
        levels[:, 250:, 3] = 0
        path = tmp_path / "x.tif"
        tifffile.imwrite(path, levels, photometric="rgb", extrasamples=["unassalpha"])
        small = self.read(path)
        assert self.near(small, (40, 40), (255, 0, 0))
        assert self.near(small, (280, 40), (255, 255, 255))

    @pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr", "P", "F", "I"])
    def test_other_modes(self, tmp_path: Path, mode: str) -> None:
        white = {"CMYK": (0, 0, 0, 0), "YCbCr": (255, 128, 128), "F": 1.0, "I": 65535, "1": 1}
        picture = Image.new(mode, (400, 300), white.get(mode, 255))
        if mode == "P":
            picture.putpalette([255] * 768)
        small = self.of(picture, tmp_path / "x.tif")
        assert small.size == (320, 240)
        assert self.near(small, (100, 100), (255, 255, 255))

    def test_in_srgb(self, tmp_path: Path) -> None:
        picture = Image.new("RGB", (64, 64), (200, 50, 50))
        assert self.near(self.of(picture, tmp_path / "x.png"), (9, 9), (200, 50, 50))
        red, green, _ = self.of(picture, tmp_path / "y.png", icc_profile=WIDE).getpixel((9, 9))
        assert red > 210 and green < 40, "the same numbers mean a stronger red there"

    def test_nothing_private_is_carried_along(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x010E] = "where I live"
        path = tmp_path / "x.jpg"
        Image.new("RGB", (64, 64)).save(path, exif=exif, comment=b"where I live")
        assert b"where I live" in path.read_bytes()
        assert b"where I live" not in thumbnail(path)

    def test_broken_exif(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jpg"
        Image.new("RGB", (64, 32)).save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\0")
        assert self.read(path).size == (64, 32)

    @pytest.mark.parametrize("name", ["gone.png", "text.png", "torn.jpg", "\n.png"])
    def test_no_picture(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "text.png").write_text("text")
        Image.effect_noise((400, 400), 90).save(tmp_path / "torn.jpg")
        whole = (tmp_path / "torn.jpg").read_bytes()
        (tmp_path / "torn.jpg").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(PictureError):
            thumbnail(tmp_path / name)


def test_failures_come_first_with_their_reason(tmp_path: Path) -> None:
    cards = [
        Card("a.png", BEFORE, AFTER, "../in/a.png", "a.png"),
        Card("b.png", None, None, "../in/b.png", "b.png", "b.png is <damaged>"),
    ]
    command = "stylize batch dream 'in & out' -o <out>"
    page = Page(write_gallery(tmp_path, cards, title="Batch", command=command))
    assert page.texts["figcaption"] == ["b.png", "a.png"]
    assert page.all("a", "href") == ["../in/b.png", "../in/a.png", "a.png"]
    assert page.texts["span"] == ["b.png", "b.png is <damaged>"]
    assert page.texts["code"] == [command]
    assert "2 pictures, before and after; 1 without a result" in page.texts["p"][0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "index.html")
    with pytest.raises(OutputError, match="not made by stylize"):
        gallery(tmp_path, ["a.png"])


@pytest.mark.parametrize("is_ours", [False, True])
def test_a_link_in_the_way_stays(tmp_path: Path, is_ours: bool) -> None:
    other = tmp_path / "other"
    other.mkdir()
    kept = write_gallery(other, [], title="Other") if is_ours else other / "page.html"
    if not is_ours:
        kept.write_text("theirs")
    before = kept.read_bytes()
    (tmp_path / "index.html").symlink_to(kept)
    with pytest.raises(OutputError, match="not made by stylize"):
        write_gallery(tmp_path, [], title="Batch")
    assert kept.read_bytes() == before
