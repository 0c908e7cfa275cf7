"""What pictures share: made once, within bounds, and never to be seen in the pixels."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.gradients.fast_pass import FastPass
from stylize.images.read import Picture
from stylize.networks.models import Weights
from stylize.products.dream.dream import Dream
from stylize.products.transfer.matching import MATCHED_PX
from stylize.products.transfer.transfer import Transfer
from stylize.runs import session as studio_module
from stylize.runs.session import MOST_NETWORKS, MOST_PLACES, MOST_STATISTICS, Session
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.schedule import transfer_scales
from stylize.settings.transfer import TransferSettings
from tests.conftest import as_picture, photo, strokes

FP32 = Execution(device="cpu", precision="fp32", threads=1)
PAINT = {"size": "64", "steps": 1, "min_size": 32, "style_layers": (("relu2_1", 1.0),), "match": 0}
DREAM = {"size": "32", "steps": 1, "octaves": 1, "layers": "conv2_1"}
STYLE = as_picture(strokes(40, 60), "strokes.png")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def weights(vgg16: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read once for all tests of this file."""
    monkeypatch.setattr(studio_module, "load_weights", lambda name: vgg16)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[int, int]]:
    """How often a picture of each size went through a network without a gradient."""
    sizes: Counter[tuple[int, int]] = Counter()
    call = FastPass.forward

    def spy(self: FastPass, image: Tensor, visit: Any, *, remember: bool = True) -> None:
        if not remember:
            sizes[image.shape[2], image.shape[3]] += 1
        call(self, image, visit, remember=remember)

    monkeypatch.setattr(FastPass, "forward", spy)
    return sizes


def content(height: int = 64, width: int = 64) -> Picture:
    return as_picture(photo(height, width), "photo.png")


def transfer(picture: Picture, *styles: Picture, session: Session | None, **changes: Any) -> Tensor:
    settings = TransferSettings(**(PAINT | {"content_weight": 0.0} | changes))
    job = Transfer(picture, list(styles or (STYLE,)), settings, FP32, session=session)
    return job.run().pixels


def dream(picture: Picture, *, session: Session | None, **changes: Any) -> Tensor:
    return Dream(picture, DreamSettings(**(DREAM | changes)), FP32, session=session).run().pixels


class TestStatistics:
    """The size of a style follows that of the picture, from scale to scale."""

    def test_once_for_each_size_of_a_style(self, seen: Counter[tuple[int, int]]) -> None:
        session = Session()
        transfer(content(64, 64), session=session)
        once = dict(seen)
        # At 32 px the short side would be 21: it stays at 32. The style is not enlarged to 64.
        assert once == {(32, 48): 1, (40, 60): 1}
        transfer(content(64, 50), session=session)
        transfer(content(48, 64), session=session)
        assert dict(seen) == once

    def test_alone_every_picture_measures_them(self, seen: Counter[tuple[int, int]]) -> None:
        for _ in range(3):
            transfer(content(), session=None)
        assert seen == {(32, 48): 3, (40, 60): 3}

    def test_another_size_is_measured(self, seen: Counter[tuple[int, int]]) -> None:
        session = Session()
        transfer(content(), session=session, clarity=0)
        before = seen.total()
        transfer(content(), session=session, clarity=0, style_size=54)
        assert seen[36, 54] == 1
        assert seen.total() == before + 1

    def test_another_size_is_cleared(self, seen: Counter[tuple[int, int]]) -> None:
        """The grain is removed at the largest size, so the smaller ones differ, too."""
        session = Session()
        transfer(content(), session=session)
        before = seen.total()
        for _ in range(2):
            transfer(content(), session=session, style_size=54)
        assert seen[36, 54] == 1
        assert seen.total() == before + 2

    @pytest.mark.parametrize(
        "change", [{"style_layers": (("relu1_1", 1.0),)}, {"pooling": "avg"}, {}]
    )
    def test_another_wish_too(self, seen: Counter[tuple[int, int]], change: dict[str, Any]) -> None:
        session = Session()
        transfer(content(), session=session)
        before = seen.total()
        transfer(content(), session=session, **change)
        assert (seen.total() > before) == bool(change)

    def test_each_style_by_itself(self, seen: Counter[tuple[int, int]]) -> None:
        """Blends of the same styles share what is measured."""
        session = Session()
        other = as_picture(strokes(40, 60, period=5), "other.png")
        transfer(content(), STYLE, session=session)
        transfer(content(), other, session=session)
        before = dict(seen)
        transfer(content(), STYLE, other, session=session, style_weights=(1.0, 3.0))
        assert dict(seen) == before

    def test_matching_reads_a_style_once(self, seen: Counter[tuple[int, int]]) -> None:
        """Each further photo adds what is read of itself, and nothing of the style."""
        session = Session()
        per_photo = []
        for _ in range(3):
            before = seen.copy()
            transfer(content(), session=session, match=0.5)
            per_photo.append(seen - before)
        assert per_photo[0] == per_photo[1] + Counter({(32, 48): 2, (40, 60): 1, (43, 64): 1})
        assert per_photo[1] == per_photo[2] == Counter({(40, 40): 1, (64, 64): 1})


class TestPixels:
    """What is shared is the same as what is not, to the bit."""

    def test_transfers(self) -> None:
        session = Session()
        for picture in (content(), content(40, 64), content()):
            for changes in ({}, {"content_weight": 1.0}, {"init": "noise"}, {"match": 0.5}):
                shared = transfer(picture, session=session, **changes)
                assert torch.equal(shared, transfer(picture, session=None, **changes))

    def test_dreams(self) -> None:
        session = Session()
        for changes in ({}, {"layers": "conv1_2:3"}, {"pooling": "avg"}, {}):
            shared = dream(content(), session=session, **changes)
            assert torch.equal(shared, dream(content(), session=None, **changes))


class TestNetworks:
    def test_one_trunk(self, vgg16: Weights) -> None:
        session = Session()
        device = session.device(FP32, vgg16)
        first = session.vgg(vgg16, ["relu1_1", "relu1_1", "relu2_1"], "max", device)
        assert session.vgg(vgg16, ["relu1_1", "relu2_1"], "max", device) is first
        assert first.layers == ("relu1_1", "relu2_1")
        assert session.device(FP32, vgg16) is device

    def test_others_where_something_differs(self, vgg16: Weights) -> None:
        session = Session()
        device = session.device(FP32, vgg16)
        half = session.device(Execution(device="cpu", precision="bf16", threads=1), vgg16)
        trunks = {
            id(session.vgg(vgg16, layers, pooling, where))
            for layers, pooling, where in [
                (["relu1_1"], "max", device),
                (["relu1_2"], "max", device),
                (["relu1_1"], "avg", device),
                (["relu1_1"], "max", half),
            ]
        }
        assert len(trunks) == 4

    def test_the_weights_are_read_once(
        self, vgg16: Weights, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []

        def load(name: str) -> Weights:
            asked.append(name)
            return vgg16

        monkeypatch.setattr(studio_module, "load_weights", load)
        session = Session()
        for _ in range(3):
            dream(content(), session=session)
        assert asked == ["vgg16"]


class Shelf:
    """The plain way to say what is kept: all that was asked for, the newest last."""

    def __init__(self, most: int) -> None:
        self.most, self.keys = most, list[Hashable]()

    def ask(self, key: Hashable) -> bool:
        """Whether it had to be made."""
        fresh = key not in self.keys[-self.most :]
        self.keys = [each for each in self.keys if each != key] + [key]
        self.keys = self.keys[-self.most :]
        return fresh


@given(st.lists(st.integers(0, 6), max_size=40), st.integers(1, 4))
def test_the_one_longest_unused_makes_room(keys: list[int], most: int) -> None:
    shelf: OrderedDict[Hashable, str] = OrderedDict()
    model = Shelf(most)
    for key in keys:
        made: list[int] = []

        def make(key: int = key, made: list[int] = made) -> str:
            made.append(key)
            return f"value {key}"

        assert studio_module._kept(shelf, key, make, most) == f"value {key}"
        assert bool(made) == model.ask(key)
        assert list(shelf) == model.keys


def test_many_styles_do_not_crowd_each_other_out() -> None:
    session, made = Session(), list[tuple[int, int]]()

    def ask(style: int, size: int) -> None:
        def compute() -> dict[str, Any]:
            made.append((style, size))
            return {}

        session.statistics(str(style), size, compute)

    for _ in range(3):
        for style in range(20):
            for size in range(MOST_STATISTICS):
                ask(style, size)
    assert len(made) == len(set(made)) == 20 * MOST_STATISTICS
    ask(0, MOST_STATISTICS)
    ask(0, 1)
    assert made[-1] == (0, MOST_STATISTICS)
    ask(0, 0)
    assert made[-1] == (0, 0)


def test_the_bounds_leave_room_for_a_run() -> None:
    """The scales of a picture of 4096 px; a look's trunk and another's."""
    scales = transfer_scales(TransferSettings(), (4096, 4096))
    assert len(scales) <= MOST_STATISTICS
    assert 4 * sum(scale.width <= MATCHED_PX for scale in scales) <= MOST_PLACES
    assert MOST_NETWORKS >= 2


def test_statistics_that_fail_are_not_kept() -> None:
    session = Session()

    def fail() -> dict[str, Any]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        session.statistics("style", "key", fail)
    assert session.statistics("style", "key", dict) == {}
