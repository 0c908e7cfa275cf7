"""The subject of real photographs against outlines drawn by eye, and of pictures without one."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from stylize.errors import MissingExtraError, PictureError, SettingError, UnknownNameError
from stylize.images.read import Picture, read_picture
from stylize.images.resampling import resize
from stylize.masks import subject
from stylize.masks.outline import overlap
from stylize.masks.subject import LAYERS, SURE, Subject, find_subject, prominence
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.products.inspect.segment import show_subject
from stylize.runs.masks import subject_mask, subject_network
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import SegmentSettings
from tests.conftest import SAMPLES, as_picture, photo

OUTLINES = tomllib.loads((Path(__file__).parent / "subjects.toml").read_text("utf-8"))
FP32 = Execution(precision="fp32")


@pytest.fixture(scope="module")
def vgg(vgg16: Weights) -> VGG:
    return VGG(vgg16, LAYERS)


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


@pytest.fixture(scope="module")
def find(vgg: VGG) -> Callable[[str], Subject]:
    """The subject of a sample, found once."""

    @cache
    def of_sample(name: str) -> Subject:
        picture = sample(name)
        return find_subject(picture.pixels, vgg, name=picture.name)

    return of_sample


@pytest.fixture(scope="module")
def kitten() -> Picture:
    """A sample, small."""
    return as_picture(resize(sample("chelsea").pixels, (64, 96)).clamp(0, 1), "kitten.png")


@pytest.fixture
def glance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network sees less: for what does not depend on how well a subject is found."""
    monkeypatch.setattr(subject, "SEEN_PX", 128)
    monkeypatch.setattr(subject, "PROPOSED_PX", 80)


@pytest.fixture
def mask(glance: None, kitten: Picture, session: Session) -> torch.Tensor:
    return subject_mask(kitten, FP32, session=session).pixels


def sample(name: str) -> Picture:
    """A photograph of the samples."""
    return read_picture(SAMPLES / "photos" / f"{name}.jpg")


def drawn(name: str, size: tuple[int, int]) -> np.ndarray:
    """The outline of a subject, filled."""
    height, width = size
    image = Image.new("L", (width, height))
    points = [(x * width, y * height) for x, y in OUTLINES[name]]
    ImageDraw.Draw(image).polygon(points, fill=1)
    return np.asarray(image).astype(bool)


class TestPhotographs:
    @pytest.mark.parametrize(
        "name",
        [
            "chelsea",
            *(pytest.param(each, marks=pytest.mark.slow) for each in ("astronaut", "coffee")),
        ],
    )
    def test_the_subject_is_found_whole(self, find: Callable[[str], Subject], name: str) -> None:
        found = find(name)
        truth = drawn(name, sample(name).size)
        assert found.mask.shape == (1, 1, *truth.shape)
        assert overlap(found.mask[0, 0].numpy() >= 0.5, truth) > 0.8
        assert truth.mean() < 0.76, "more than a mask that is white everywhere would get"
        assert found.confidence >= SURE
        assert found.notes == ()
        assert abs(found.area - truth.mean()) < 0.1

    @pytest.mark.slow
    def test_neither_flag_nor_shuttle(self, find: Callable[[str], Subject]) -> None:
        mask = find("astronaut").mask[0, 0]
        height, width = mask.shape
        face, flag = (0.2, 0.45), (0.1, 0.03)
        shuttle, suit = (0.3, 0.77), (0.7, 0.2)
        values = [float(mask[int(y * height), int(x * width)]) for y, x in (face, suit)]
        assert values == [1, 1]
        assert [float(mask[int(y * height), int(x * width)]) for y, x in (flag, shuttle)] == [0, 0]

    def test_a_launch_pad_at_night_is_doubtful(self, find: Callable[[str], Subject]) -> None:
        found = find("rocket")
        assert found.confidence < SURE
        (note,) = found.notes
        assert note.startswith("rocket.jpg: not sure of the subject: ")
        assert "--mask FILE" in note


@pytest.mark.usefixtures("glance")
class TestWithoutSubject:
    def test_a_flat_picture(self, vgg: VGG) -> None:
        found = find_subject(torch.full((1, 3, 64, 80), 0.4), vgg)
        assert found.confidence < 0.1
        assert len(found.notes) == 1
        assert bool(found.mask.isfinite().all())

    def test_noise(self, vgg: VGG) -> None:
        noise = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
        assert find_subject(noise, vgg).confidence < SURE

    def test_a_strip_is_too_narrow(self, vgg: VGG) -> None:
        with pytest.raises(PictureError, match=r"strip\.png: too narrow"):
            find_subject(torch.rand(1, 3, 20, 400), vgg, name="strip.png")
        assert find_subject(photo(32, 100), vgg).mask.shape == (1, 1, 32, 100)

    def test_without_opencv(self, vgg: VGG, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cv2", None)
        with pytest.raises(MissingExtraError, match="the subject of a photo needs a library"):
            find_subject(photo(), vgg)


class TestBox:
    def test_of_what_is_more_in_than_out(self) -> None:
        mask = torch.zeros(1, 1, 8, 10)
        mask[..., 2:5, 3:9] = 0.5
        mask[..., 7, :] = 0.4
        found = Subject(mask, 1.0, ())
        assert found.box == (3, 2, 9, 5)
        assert found.area == pytest.approx((18 * 0.5 + 10 * 0.4) / 80)

    def test_of_nothing(self) -> None:
        assert Subject(torch.zeros(1, 1, 4, 4), 0.0, ()).box is None


class TestProminence:
    def test_the_cat_stands_out_from_its_surroundings(self, vgg: VGG) -> None:
        found = prominence(vgg, sample("chelsea").pixels[..., ::2, ::2], (100, 150))
        assert found.amounts.shape == (1, 1, 100, 150)
        assert float(found.amounts.min()) == 0
        assert float(found.amounts.max()) == 1
        truth = torch.from_numpy(drawn("chelsea", (100, 150)))
        values = found.amounts[0, 0]
        assert float(values[truth].mean()) > 2 * float(values[~truth].mean())
        assert found.strength > 100

    def test_a_flat_picture_has_nothing_of_gradient_or_kind(self, vgg: VGG) -> None:
        found = prominence(vgg, torch.full((1, 3, 64, 64), 0.5), (40, 40))
        assert bool(found.amounts.isfinite().all())
        assert found.strength < 100


@pytest.mark.usefixtures("glance")
class TestMask:
    def test_like_one_from_a_file(self, kitten: Picture, session: Session) -> None:
        mask = subject_mask(kitten, FP32, session=session)
        other = subject_mask(kitten, FP32, session=session, invert=True)
        assert mask.pixels.shape == kitten.pixels.shape
        assert mask.alpha is None
        assert mask.name == "subject of kitten.png"
        assert other.name == "background of kitten.png"
        torch.testing.assert_close(mask.pixels, 1 - other.pixels)
        assert mask.sha256 != other.sha256
        assert subject_mask(kitten, FP32, session=session).sha256 == mask.sha256

    def test_the_network_is_shared(self, session: Session) -> None:
        first = subject_network("vgg16", FP32, session)
        assert subject_network("vgg16", FP32, session) is first

    def test_no_such_network(self, kitten: Picture) -> None:
        with pytest.raises(UnknownNameError, match="vgg61"):
            subject_mask(kitten, FP32, network="vgg61")


class TestViews:
    def test_mask(self, kitten: Picture, session: Session, mask: torch.Tensor) -> None:
        found = show_subject(kitten, SegmentSettings(), FP32, session=session)
        assert torch.equal(found.result.pixels, mask)
        assert found.result.alpha is None
        assert found.result.recipe["technique"] == "inspect segment"
        assert found.result.recipe["inputs"][0]["name"] == "kitten.png"
        assert set(found.numbers) == {"area", "box", "confidence", "sure"}
        assert found.numbers["area"] == pytest.approx(float(mask.mean()), rel=1e-5)
        assert found.numbers["sure"] == (found.numbers["confidence"] >= SURE)

    def test_overlay(self, kitten: Picture, session: Session, mask: torch.Tensor) -> None:
        found = show_subject(kitten, SegmentSettings(view="overlay"), FP32, session=session)
        page, pixels = found.result.pixels, kitten.pixels
        assert torch.equal(page[mask == 1], pixels[mask == 1])
        torch.testing.assert_close(page[mask == 0], pixels[mask == 0] / 4)

    def test_cutout(self, kitten: Picture, session: Session, mask: torch.Tensor) -> None:
        settings = SegmentSettings(view="cutout")
        found = show_subject(kitten, settings, FP32, session=session).result
        assert torch.equal(found.pixels, kitten.pixels)
        assert found.alpha is not None
        assert torch.equal(found.alpha, mask[:, :1])
        sheer = as_picture(kitten.pixels, "sheer.png", torch.full((1, 1, 64, 96), 0.5))
        halved = show_subject(sheer, settings, FP32, session=session).result
        assert halved.alpha is not None
        assert torch.equal(halved.alpha, found.alpha / 2)

    def test_a_cutout_is_not_saved_without_its_transparency(
        self, kitten: Picture, session: Session, tmp_path: Path
    ) -> None:
        found = show_subject(kitten, SegmentSettings(view="cutout"), FP32, session=session)
        with pytest.raises(SettingError, match="jpeg holds no transparency, which view='cutout'"):
            found.save(tmp_path / "cutout.jpg")
        assert list(tmp_path.iterdir()) == []
        assert read_picture(found.save(tmp_path / "cutout.webp")).alpha is not None

    def test_inverted(self, kitten: Picture, session: Session, mask: torch.Tensor) -> None:
        plain = show_subject(kitten, SegmentSettings(), FP32, session=session)
        found = show_subject(kitten, SegmentSettings(invert=True), FP32, session=session)
        torch.testing.assert_close(found.result.pixels, 1 - mask)
        assert found.numbers == plain.numbers
