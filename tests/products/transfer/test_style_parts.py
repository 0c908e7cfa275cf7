"""Styles for fine strokes, styles for coarse forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from stylize.batches.painter import BatchPainter
from stylize.batches.tasks import Task
from stylize.cli.batch_run import transfer_looks
from stylize.cli.transfer import split_part, take_parts
from stylize.errors import SettingError
from stylize.images.read import read_picture
from stylize.products.transfer.transfer import Transfer
from stylize.reruns.replay import job_of
from stylize.runs.recipe import settings_of
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.presets import Preset
from stylize.settings.transfer import TransferSettings, painted_layers, serves, shares_of_styles
from tests.conftest import as_picture, cat, save, strokes

FP32 = Execution(device="cpu", precision="fp32")
STUDIO = Session()
CONTENT, RED = as_picture(cat(48), "cat.png"), as_picture(strokes(40, 56), "red.png")
BLUE = as_picture(strokes(48, 48, 5.0).flip(1), "blue.png")
LAYERS = (("relu1_1", 2.0), ("relu2_1", 1.0), ("relu4_1", 1.0))
SMALL: dict[str, Any] = {
    "size": "48",
    "min_size": 48,
    "steps": 4,
    "final_steps": 4,
    "style_layers": LAYERS,
}


def job(*parts: str, **changes: Any) -> Transfer:
    settings = TransferSettings(**SMALL | {"style_parts": parts} | changes)
    return Transfer(CONTENT, [RED, BLUE], settings, FP32, session=STUDIO)


def own(style: int) -> dict[str, Any]:
    """Moments of one style alone."""
    weights = (1.0, 0.0) if style == 0 else (0.0, 1.0)
    return job(style_weights=weights).style_targets(1.0)


@pytest.mark.parametrize(
    ("layer", "part"),
    [
        ("relu1_1", "fine"),
        ("conv2_2", "fine"),
        ("relu3_1", "fine"),
        ("relu4_1", "coarse"),
        ("conv5_3", "coarse"),
    ],
)
def test_a_layer_has_one_part(layer: str, part: str) -> None:
    assert serves("all", layer)
    assert [name for name in ("fine", "coarse") if serves(name, layer)] == [part]


def test_shares() -> None:
    assert shares_of_styles("relu1_1", (), (), 2) == [(0, 1.0), (1, 1.0)]
    assert shares_of_styles("relu1_1", ("fine", "coarse"), (), 2) == [(0, 1.0)]
    assert shares_of_styles("relu5_1", ("fine", "all"), (3.0, 2.0), 2) == [(1, 2.0)]
    assert shares_of_styles("relu5_1", ("coarse",), (0.0,), 1) == []


def test_layers_that_nobody_paints_are_left_out() -> None:
    assert painted_layers(LAYERS, ("fine",), (), 1) == LAYERS[:2]
    assert painted_layers(LAYERS, ("coarse",), (), 1) == LAYERS[2:]
    assert painted_layers((*LAYERS, ("relu5_1", 0.0)), (), (), 1) == LAYERS


@pytest.mark.parametrize("parts", [("fine", "coarse"), ("coarse", "fine")])
def test_each_layer_asks_its_own_style(parts: tuple[str, str]) -> None:
    targets = job(*parts).style_targets(1.0)
    for layer, _ in LAYERS:
        expected = own([serves(part, layer) for part in parts].index(True))[layer]
        assert torch.equal(targets[layer].mean, expected.mean)
        assert torch.equal(targets[layer].second, expected.second)


def test_all_and_fine_are_mixed_where_both_serve() -> None:
    targets = job("all", "fine").style_targets(1.0)
    both = job().style_targets(1.0)
    assert torch.equal(targets["relu1_1"].mean, both["relu1_1"].mean)
    assert torch.equal(targets["relu4_1"].mean, own(0)["relu4_1"].mean)


def test_the_fine_style_decides_the_colours() -> None:
    """Which lie in the first layers."""

    def warmth(result: Result) -> float:
        return float((result.pixels[:, 0] - result.pixels[:, 2]).mean())

    steps = {"steps": 16, "final_steps": 16, "content_weight": 0.01}
    both = (("fine", "coarse"), ("coarse", "fine"))
    red, blue = (job(*parts, **steps).run() for parts in both)
    assert warmth(red) > warmth(blue) + 0.05


def test_one_part_alone_needs_fewer_layers() -> None:
    settings = TransferSettings(**SMALL | {"style_parts": ("fine",), "content_weight": 0.0})
    alone = Transfer(CONTENT, [RED], settings, FP32, session=STUDIO).run()
    assert set(alone.recipe["losses"]) == {"style relu1_1", "style relu2_1", "smoothness"}


def test_replayed() -> None:
    first = job("coarse", "fine").run()
    settings = settings_of(first.recipe)
    assert settings.style_parts == ("coarse", "fine")
    inputs = [("content", CONTENT), ("style", RED), ("style", BLUE)]
    assert torch.equal(job_of(first.recipe, inputs, settings, FP32).run().pixels, first.pixels)


def test_as_many_parts_as_styles() -> None:
    with pytest.raises(SettingError, match="--style-part: 1 given for 2 style images"):
        TransferSettings(style_parts=("fine",)).check_styles(2)
    with pytest.raises(SettingError, match="no style is left"):
        TransferSettings(style_parts=("coarse",), style_layers=(("relu1_1", 1.0),)).check_styles(1)
    with pytest.raises(SettingError, match="no style is left"):
        TransferSettings(
            style_parts=("fine", "coarse"),
            style_weights=(0.0, 1.0),
            style_layers=(("relu1_1", 1.0),),
        ).check_styles(2)


class TestWritten:
    """Before the style, on the command line."""

    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("fine=a.jpg", ("fine", "a.jpg")),
            ("coarse=a=b.jpg", ("coarse", "a=b.jpg")),
            ("all=-", ("all", "-")),
            ("a.jpg", ("all", "a.jpg")),
            ("rough=a.jpg", ("all", "rough=a.jpg")),
            ("fine=", ("all", "fine=")),
        ],
    )
    def test_part_and_file(self, text: str, meant: tuple[str, str]) -> None:
        assert split_part(text) == meant

    def test_a_file_of_that_name_is_a_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "fine=a.jpg").touch()
        assert split_part("fine=a.jpg") == ("all", "fine=a.jpg")

    def test_go_into_the_settings(self) -> None:
        said: dict[str, Any] = {}
        assert take_parts(["fine=a.jpg", "b.jpg"], said) == ("a.jpg", "b.jpg")
        assert said == {"style_parts": ("fine", "all")}

    def test_nothing_said_changes_nothing(self) -> None:
        said: dict[str, Any] = {"style_parts": ("coarse",)}
        assert take_parts(["b.jpg"], said) == ("b.jpg",)
        assert said == {"style_parts": ("coarse",)}

    def test_not_in_both_ways(self) -> None:
        with pytest.raises(SettingError, match="cannot be combined"):
            take_parts(["fine=b.jpg"], {"style_parts": ("coarse",)})


def test_in_a_batch(tmp_path: Path) -> None:
    """The same picture as by itself."""
    files = [save(each.pixels, tmp_path / each.name) for each in (CONTENT, RED, BLUE)]
    preset = Preset("mine", "transfer", "", SMALL | {"style_layers": dict(LAYERS)})
    said = {"style_parts": ("fine", "coarse"), "color": "match", "blend": 0.9}
    (look,) = transfer_looks(preset, said, files[1:], each=False)
    task = Task(files[0], tmp_path / "out.png", look)
    photo, *styles = (read_picture(file) for file in files)
    alone = Transfer(photo, styles, preset.apply(said), FP32, session=STUDIO).run()
    assert torch.equal(BatchPainter(FP32).paint(task, photo).pixels, alone.pixels)
    with pytest.raises(SettingError, match="--style-part: 2 given for 1 style image"):
        transfer_looks(preset, said, files[1:], each=True)
