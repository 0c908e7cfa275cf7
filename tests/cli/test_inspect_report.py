"""``stylize inspect report``: what the page holds, and where it goes."""

from __future__ import annotations

import base64
import io
import json
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from stylize.settings.inspect import SALIENCY_METHODS
from tests.cli.conftest import Run, complaint, done, listing
from tests.conftest import cat, save

FAST = ("--size", 64, "--steps", 1, "--samples", 1, "--step", 48, "--channels", 2)
ODD = "a&b <script>alert(1)</script>.png".replace("/", "")


class Reader(HTMLParser):
    """The tags of a page, its pictures and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.pictures: list[Image.Image] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "href":
                self.links.append(value or "")
            if name == "src":
                head, data = (value or "").split(",")
                assert head == "data:image/jpeg;base64"
                self.pictures.append(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save(cat(96), tmp_path / ODD)


def test_the_page(run: Run, photo: Path) -> None:
    result = done(run("inspect", "report", photo, "conv5_3:100", *FAST, "--json"))
    document = json.loads(result.stdout)
    target = Path(document["file"])
    assert target == photo.with_name(f"{photo.stem}-report.html")
    page = Reader(target.read_text(encoding="utf-8"))
    # The photo; five layers with two channels; six methods; one occlusion; the photo and five
    # inversions.
    assert len(page.pictures) == 1 + 5 * 2 + 6 + 1 + 6
    for picture in page.pictures:
        picture.load()
    assert all(method in page.text for method in SALIENCY_METHODS)
    assert ODD in page.text
    assert "script" not in page.tags
    assert all(link.startswith("#") for link in page.links), "nothing from elsewhere"
    for layer, channels in document["strongest"].items():
        assert len(channels) == 2
        assert all(f"{layer}:{channel} · " in page.text for channel in channels)
    assert list(document["strongest"]) == ["relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"]
    assert document["recipe"]["technique"] == "inspect report"


def test_replaces_nothing(run: Run, photo: Path) -> None:
    words = ("inspect", "report", photo, *FAST)
    first = photo.with_name("lesson.html")
    done(run(*words, "-o", first))
    before = listing(photo.parent)
    assert "already exists" in complaint(run(*words, "-o", first), 1)
    assert listing(photo.parent) == before
    done(run(*words, "-o", first, "--overwrite"))
    done(run(*words))
    done(run(*words))
    assert {each.name for each in photo.parent.iterdir()} == {
        ODD,
        "lesson.html",
        f"{photo.stem}-report.html",
        f"{photo.stem}-report-2.html",
    }


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("-o", "x.png"), 1, "is not the name of a page (end it in .html)"),
        (("--step", 49), 2, "--step: 49 is too large (at most --patch)"),
        (("--size", 8), 1, "is too small for"),
        (("--class", 3), 1, "the network 'vgg16' has no classifier"),
        (("--quality", 3), 2, "--quality"),
    ],
)
def test_refusals(run: Run, photo: Path, words: tuple[object, ...], code: int, said: str) -> None:
    before = listing(photo.parent)
    assert said in complaint(run("inspect", "report", photo, *words), code)
    assert listing(photo.parent) == before


def test_on_stdout(run: Run, photo: Path) -> None:
    found = done(run("inspect", "report", photo, "conv2_1:3", *FAST, "-o", "-")).stdout_bytes
    assert found.startswith(b"<!doctype html>")
    assert found.rstrip().endswith(b"</html>")


@pytest.mark.parametrize(
    ("target", "asked"), [("conv3_1:10 - 0.5*conv2_2:7", "conv3_1:10"), ("-conv2_1:3", " -conv2_1")]
)
def test_its_commands_can_be_pasted(run: Run, photo: Path, target: str, asked: str) -> None:
    page = Reader(done(run("inspect", "report", *FAST, "-o", "-", "--", photo, target)).stdout)
    lines = [line for line in page.text.splitlines() if f"PHOTO '{asked}" in line]
    assert len(lines) == 2
    for line in lines:
        words = shlex.split(line[line.index("stylize ") + len("stylize ") :])
        words[words.index("PHOTO")] = str(photo)
        done(run(*words, "--size", 64))


@pytest.mark.parametrize("command", ["saliency", "occlude"])
def test_a_channel_that_does_not_respond(run: Run, photo: Path, command: str) -> None:
    """Channel 100 of conv5_3 looks for balls of yarn; the cat has none."""
    words = ("inspect", command, photo, "conv5_3:100", "--size", 96, "-o", photo.parent / "x.png")
    result = done(run(*words, "--overwrite", "--json"))
    document = json.loads(result.stdout)
    assert document["silent"] == ["conv5_3:100"]
    assert "conv5_3:100 does not respond to this photo" in result.stderr
    strongest = document["strongest"][0]
    assert strongest in result.stderr
    again = done(run(*words[:3], strongest, *words[4:], "--overwrite", "--json"))
    assert json.loads(again.stdout)["silent"] == []
    assert "does not respond" not in again.stderr


def test_grad_cam_of_several_layers(run: Run, photo: Path) -> None:
    words = ("inspect", "saliency", photo, "conv5_3:1 + conv4_3:2", "--method", "grad-cam")
    assert "explains channels of one layer" in complaint(run(*words, "--size", 64), 2)
