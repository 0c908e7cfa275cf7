"""Style and dream in one energy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from stylize.errors import SettingError, UnknownNameError
from stylize.planning import memory as layout_module
from stylize.planning.cost import picture_cost
from stylize.products.transfer import dream_loss as motifs
from stylize.products.transfer.transfer import Transfer
from stylize.reruns.replay import job_of
from stylize.runs.recipe import settings_of
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.presets import check_layers, dream_targets, find_preset, preset_names
from stylize.settings.transfer import TransferSettings, parse_dream
from tests.conftest import as_picture, cat, strokes
from tests.reruns.test_resume import assert_same, gone_on, stopped

FP32 = Execution(device="cpu", precision="fp32")
STUDIO = Session()
CONTENT, STYLE = as_picture(cat(64), "cat.png"), as_picture(strokes(64, 64), "strokes.png")
SMALL: dict[str, Any] = {
    "size": "64",
    "min_size": 64,
    "steps": 6,
    "final_steps": 6,
    "style_layers": (("relu1_1", 1.0), ("relu2_1", 1.0)),
    "content_layers": (("relu2_2", 1.0),),
    "network": "vgg16",
}


def job(**changes: Any) -> Transfer:
    return Transfer(CONTENT, [STYLE], TransferSettings(**SMALL | changes), FP32, session=STUDIO)


def shown(result: Result, weight: float) -> float:
    """How much there is of a motif, in what the photo has of it."""
    found = result.recipe["losses"]
    amount = sum(value for name, value in found.items() if name.startswith("dream"))
    return float(-amount / (weight * motifs.UNITS["wasserstein"]))


class TestWords:
    """``PRESET[:WEIGHT]``."""

    def test_read(self) -> None:
        assert parse_dream("dogs") == ("dogs", 1.0)
        assert parse_dream("bad-trip:2.5") == ("bad-trip", 2.5)
        assert parse_dream("dogs:0") == ("dogs", 0.0)

    @pytest.mark.parametrize("text", ["", ":1", "dogs:", "dogs:x", "dogs:-1", "dogs:nan", "a:1e9"])
    def test_refused(self, text: str) -> None:
        with pytest.raises(SettingError, match="is not PRESET or PRESET:WEIGHT") as caught:
            TransferSettings(dream=text)
        assert caught.value.hint is not None
        assert "dogs:0.5" in caught.value.hint

    def test_a_near_miss(self) -> None:
        with pytest.raises(UnknownNameError, match="dream preset 'dog'"):
            check_layers(TransferSettings(dream="dog"), "vgg16")

    def test_nothing_of_it_is_nothing(self) -> None:
        assert dream_targets("dogs:0") == ()
        assert torch.equal(job(dream="dogs:0", steps=1).run().pixels, job(steps=1).run().pixels)

    @pytest.mark.parametrize("name", preset_names("dream"))
    @pytest.mark.parametrize("network", ["vgg16", "vgg19"])
    def test_any_dream_will_do(self, name: str, network: str) -> None:
        check_layers(TransferSettings(dream=f"{name}:0.5"), network)
        weights = [abs(target.weight) for target in dream_targets(f"{name}:0.5")]
        assert sum(weights) == pytest.approx(0.5)
        layers = find_preset("dream", name).apply().layers
        assert all(target.layer in layers for target in dream_targets(name))


class TestPainted:
    """What becomes of the picture."""

    def test_more_of_it_shows_more_of_it(self) -> None:
        amounts = [
            shown(job(dream=f"dogs:{weight}", steps=8, final_steps=8).run(), weight)
            for weight in (1e-3, 1.0, 8.0)
        ]
        assert amounts[0] < amounts[1] < amounts[2]

    def test_the_photo_itself_has_one(self) -> None:
        """A picture that the optimiser hardly moved; 12 of 16 positions a side count."""
        quiet = job(dream="swirls", optimizer="adam", learning_rate=1e-6, steps=1, final_steps=1)
        assert shown(quiet.run(), 1.0) == pytest.approx((12 / 16) ** 2, abs=0.05)

    def test_channels_of_a_layer(self) -> None:
        """Of a dream of channels, before the ReLU."""
        few, many = (shown(job(dream=f"birds:{w}").run(), w) for w in (1e-3, 8.0))
        assert few < many

    def test_a_flat_objective_ends_early(self) -> None:
        """Also where a dream makes the total negative."""
        found = job(dream="swirls:500", tolerance=1.0, steps=40, final_steps=40).run()
        assert sum(found.recipe["losses"].values()) < 0
        assert found.recipe["resolved"]["scales"][0][2] < 40

    def test_the_plan_counts_its_layers(self) -> None:
        plan: dict[str, Any] = {"architecture": "vgg16", "precision": "fp32", "gflops": 100.0}
        costs = [
            picture_cost(TransferSettings(**SMALL, match=0, dream=dream), (64, 64), **plan).tflop
            for dream in (None, "swirls", "dogs")
        ]
        assert costs[0] < costs[1] < costs[2]

    def test_replayed(self) -> None:
        first = job(dream="eyes:2", steps=2, final_steps=2).run()
        settings = settings_of(first.recipe)
        assert settings.dream == "eyes:2"
        inputs = [("content", CONTENT), ("style", STYLE)]
        again = job_of(first.recipe, inputs, settings, FP32).run()
        assert torch.equal(first.pixels, again.pixels)

    def test_in_tiles(self, monkeypatch: pytest.MonkeyPatch) -> None:
        values = {"dream": "swirls:4", "size": "64", "steps": 2, "final_steps": 2}
        whole = job(**values).run()
        monkeypatch.setattr(layout_module, "TILES_PX", (16,))
        tiled = job(**values)
        tiled.memory_plan = layout_module.MemoryPlan(16)
        found = tiled.run()
        assert found.recipe["resolved"]["engine"] == "tiles"
        assert float((whole.pixels - found.pixels).abs().max()) < 2 / 255

    def test_a_large_photo_is_measured_small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(motifs, "_MEASURED_PX", 48)
        assert motifs._small(torch.rand(1, 3, 96, 60)).shape == (1, 3, 48, 30)
        monkeypatch.setattr(motifs, "_MEASURED_PX", 100)
        picture = torch.rand(1, 3, 96, 60)
        assert motifs._small(picture) is picture

    def test_stopped_and_gone_on_with(self, tmp_path: Path) -> None:
        """With all else that can be asked for, to the bit."""
        values: dict[str, Any] = {
            "dream": "swirls",
            "color": "palette",
            "blend": 0.8,
            "edges": 0.02,
            "style_loss": "wasserstein",
        }
        whole = job(**values).run()
        partial = stopped(job(**values), 2, tmp_path / "run.checkpoint")
        assert partial.interrupted
        assert_same(gone_on(job(**values), tmp_path / "run.checkpoint"), whole)
