"""Jobs from recipes; what is compared and where it stops."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from stylize.errors import RecipeError, UsageError, WeightsError
from stylize.images.read import Picture
from stylize.networks.models import PACKAGED
from stylize.products.dream.dream import Dream
from stylize.products.dream.tunnel import Tunnel
from stylize.products.transfer.transfer import Transfer
from stylize.reruns.replay import (
    difference,
    execution_of,
    job_of,
    recorded_steps,
    run_until,
)
from stylize.runs.recipe import of_cell, settings_of
from stylize.runs.result import Result
from stylize.settings.dream import DreamSettings, TunnelSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import to_document
from stylize.settings.transfer import TransferSettings
from tests.conftest import as_picture, cat, photo, strokes

pytestmark = pytest.mark.usefixtures("network")
FP32 = Execution(precision="fp32")
SMALL: dict[str, Any] = {"octaves": 2, "min_octave": 16, "steps": 3, "layers": "conv1_2"}


def recipe_of(settings: Any, **changes: Any) -> dict[str, Any]:
    network = getattr(settings, "network", "vgg16")
    weights = {"name": network, "sha256": PACKAGED[network][0]}
    return {
        "technique": settings.TECHNIQUE,
        "settings": to_document(settings),
        "resolved": {"device": "cpu", "precision": "fp32", "threads": 1},
        "weights": weights,
        "inputs": [],
        **changes,
    }


class TestSettings:
    """From the recipe, checked; with another size if asked for."""

    @pytest.mark.parametrize(
        "settings",
        [
            DreamSettings(**SMALL, seed=3, from_noise="40x30"),
            TransferSettings(style_layers=(("relu1_1", 2.0),), style_weights=(1.0, 3.0)),
            TunnelSettings(frames=3, zoom=0.9, loop=True),
        ],
        ids=["dream", "transfer", "tunnel"],
    )
    def test_as_they_were(self, settings: Any) -> None:
        assert settings_of(recipe_of(settings)) == settings
        resized = settings_of(recipe_of(settings), "64")
        if getattr(settings, "from_noise", None):
            assert resized == dataclasses.replace(settings, from_noise="64x48")
        else:
            assert resized == dataclasses.replace(settings, size="64")

    @pytest.mark.parametrize("technique", [None, 7, [], {}, "explore", "Dream", "mixed"])
    def test_unknown_techniques(self, technique: Any) -> None:
        with pytest.raises(RecipeError, match="cannot be replayed"):
            settings_of(recipe_of(DreamSettings(), technique=technique))

    def test_what_is_wrong_is_the_recipe_not_the_request(self) -> None:
        recipe = recipe_of(DreamSettings(), version="9.1") | {"settings": {"steps": -1}}
        with pytest.raises(RecipeError, match=r"too small \(stylize 9\.1 made it\)") as raised:
            settings_of(recipe)
        assert raised.value.exit_code == 1
        with pytest.raises(UsageError, match="no such size"):
            settings_of(recipe_of(DreamSettings()), "big")

    def test_cells(self) -> None:
        cells = {"B12": {"label": "x", "settings": {"seed": 9}}}
        sheet = recipe_of(DreamSettings(), of="dream", cells=cells, interrupted=True)
        sheet["technique"] = "explore"
        cell = of_cell(sheet, " b12 ")
        assert settings_of(cell) == DreamSettings(seed=9)
        assert not cell["interrupted"]
        assert sheet["settings"]["seed"] == 0, "the sheet's own recipe is not touched"
        with pytest.raises(RecipeError, match=r"no cell A1 \(it has: B12\)"):
            of_cell(sheet, "A1")
        plain = recipe_of(DreamSettings())
        assert of_cell(plain, None) == plain


class TestExecution:
    """As it was resolved, unless the user says otherwise."""

    def test_resolved(self) -> None:
        recipe = recipe_of(DreamSettings())
        reported = Execution(device="cpu", precision="fp32", threads=1)
        assert execution_of(recipe, {}) == reported
        assert execution_of(recipe, {"threads": 2}) == dataclasses.replace(reported, threads=2)

    @pytest.mark.parametrize("device", ["cuda:9", None, 7, ["cpu"], {}])
    def test_a_device_that_is_not_there(self, device: Any) -> None:
        recipe = recipe_of(DreamSettings(), resolved={"device": device})
        assert execution_of(recipe, {}) == Execution()

    @pytest.mark.parametrize("resolved", [{"threads": 0}, {"threads": 1.5}, {"precision": {}}])
    def test_nonsense(self, resolved: dict[str, Any]) -> None:
        with pytest.raises(RecipeError, match="damaged recipe"):
            execution_of(recipe_of(DreamSettings(), resolved=resolved), {})

    @pytest.mark.parametrize("said", [{"threads": 0}, {"device": "cuda:99"}])
    def test_nonsense_of_the_users_own(self, said: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            execution_of(recipe_of(DreamSettings()), said)


class TestPrepare:
    """Every technique with its pictures in their places."""

    def test_parts(self) -> None:
        pictures = [
            ("content", as_picture(cat(32), "cat.png")),
            ("guide", as_picture(strokes(48, 48), "guide.png")),
            ("mask", as_picture(photo(32, 32), "mask.png")),
        ]
        dream = DreamSettings(**SMALL)
        job = job_of(recipe_of(dream, preset="eyes"), pictures, dream, FP32)
        assert isinstance(job, Dream)
        assert [each.name for each in (job.photo, job.guide, job.mask) if each] == [
            "cat.png",
            "guide.png",
            "mask.png",
        ]
        assert job.run().recipe["preset"] == "eyes"
        tunnel = TunnelSettings(**SMALL)
        film = job_of(recipe_of(tunnel), pictures[:2], tunnel, FP32)
        assert isinstance(film, Tunnel)
        assert film.guide is not None

    def test_styles_in_their_order(self) -> None:
        settings = TransferSettings(init="file", size="32")
        pictures = [
            ("style", as_picture(strokes(), "1.png")),
            ("content", as_picture(cat(32), "cat.png")),
            ("style", as_picture(photo(), "2.png")),
            ("start", as_picture(photo(32, 32), "start.png")),
        ]
        job = job_of(recipe_of(settings), pictures, settings, FP32)
        assert isinstance(job, Transfer)
        assert [each.name for each in job.styles] == ["1.png", "2.png"]
        assert job.start is not None

    def test_other_weights(self) -> None:
        recipe = recipe_of(DreamSettings(), weights={"sha256": "0" * 64})
        content = [("content", as_picture(cat(32)))]
        with pytest.raises(
            WeightsError, match=r"weights of the network 'vgg16' differ .*stylize models add"
        ):
            job_of(recipe, content, DreamSettings(), FP32)

    @pytest.mark.parametrize("pictures", [[], [("mask", as_picture(cat(32)))]])
    def test_parts_that_are_missing(self, pictures: list[tuple[str, Picture]]) -> None:
        for settings in (DreamSettings(), TransferSettings(), TunnelSettings()):
            with pytest.raises(RecipeError):
                job_of(recipe_of(settings), pictures, settings, FP32)


class TestStopping:
    """A recorded run that was stopped is stopped there again."""

    def job(self) -> Dream:
        return Dream(as_picture(cat(32)), DreamSettings(**SMALL), FP32)

    @pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
    def test_after_as_many_steps(self, steps: int) -> None:
        done: list[int] = []
        recorded = self.job().run(lambda event: done.append(1), lambda: len(done) == steps)
        assert recorded.interrupted
        again = run_until(self.job(), recorded_steps(recorded.recipe))
        assert torch.equal(again.pixels, recorded.pixels)
        assert again.recipe == recorded.recipe
        assert not again.interrupted, "it has come as far as it should"

    def test_by_the_user_before_that(self) -> None:
        recipe = {"interrupted": True, "resolved": {"scales": [[22, 22, 3], [32, 32, 2]]}}
        reported: list[int] = []
        steps = recorded_steps(recipe)
        assert steps == 5
        result = run_until(
            self.job(), steps, lambda event: reported.append(event.step), lambda: len(reported) == 2
        )
        assert result.interrupted
        assert reported == [1, 2]

    def test_a_whole_run_is_not_stopped(self) -> None:
        whole = self.job().run()
        again = run_until(self.job(), recorded_steps(whole.recipe))
        assert torch.equal(again.pixels, whole.pixels)

    @pytest.mark.parametrize(
        "scales", [None, 3, [], [1], [[1, 2]], [[1, 2, "x"]], [[1, 2, None]], [[1, 2, 0]]]
    )
    def test_nonsense(self, scales: Any) -> None:
        with pytest.raises(RecipeError, match="damaged recipe"):
            recorded_steps({"interrupted": True, "resolved": {"scales": scales}})


class TestDifference:
    """In levels, as files have them."""

    def test_levels(self) -> None:
        old = photo(16, 16).mul(255).round() / 255
        new = old.clone()
        new[0, 0, 0, 0] += 3 / 255
        assert difference(as_picture(old), result(old + 0.4 / 255)) == (0, 0)
        largest, mean = difference(as_picture(old), result(new)) or (0, 0)
        assert largest == 3
        assert mean == pytest.approx(3 / old.numel())

    def test_sizes(self) -> None:
        assert difference(as_picture(photo(16, 16)), result(photo(16, 17))) is None


def result(pixels: torch.Tensor) -> Result:
    return Result(pixels, None, {}, interrupted=False)
