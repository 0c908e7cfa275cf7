"""Patches over a linear network, whose answers are sums that can be done by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.errors import InterruptedRunError, SettingError
from stylize.images.read import Picture
from stylize.products.inspect.occlude import Patch, drop_map, occlude, places, show_occlusion
from stylize.products.inspect.response import Features
from stylize.settings.execution import Execution
from stylize.settings.inspect import OcclusionSettings
from tests.conftest import as_picture, cat

EXACT = Execution(precision="fp32")


class Linear:
    """A network and its response: the weighted sum of the pixels."""

    layers = ("sum",)

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights
        self.batches: list[int] = []

    def network(self, image: Tensor) -> Features:
        self.batches.append(len(image))
        return {"sum": image * self.weights}

    def __call__(self, features: Features) -> Tensor:
        return features["sum"].sum((1, 2, 3))


def random(seed: int, size: tuple[int, int]) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 50), st.integers(1, 60), st.data())
def test_places_cover_a_side(side: int, patch: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(1, patch))
    found = places(side, patch, step)
    assert list(found) == sorted(set(found))
    assert set().union(*(range(first, first + patch) for first in found)) >= set(range(side))
    assert found[-1] == max(0, side - patch), "no patch hangs over the end"


@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 5))
def test_hiding_everything_costs_most(seed: int, patch: int, step: int) -> None:
    """With weights that are not negative, and a black patch."""
    linear, image = Linear(random(seed, (9, 7))), random(seed + 1, (9, 7))
    some = occlude(linear.network, linear, image, Patch(patch, step, 0.0))
    all_of_it = occlude(linear.network, linear, image, Patch(9, 1, 0.0))
    assert all_of_it.responses.tolist() == [[0.0]]
    assert float(all_of_it.drops) == pytest.approx(all_of_it.whole)
    assert float(some.drops.max()) <= float(all_of_it.drops) + 1e-4
    assert float(some.drops.min()) >= -1e-4


def test_a_drop_is_the_sum_that_was_hidden() -> None:
    linear, image = Linear(random(0, (8, 8))), random(1, (8, 8))
    found = occlude(linear.network, linear, image, Patch(4, 4, 0.25))
    assert (found.tops, found.lefts) == ((0, 4), (0, 4))
    hidden = (linear.weights * (image - 0.25))[..., 4:, :4].sum()
    assert float(found.drops[1, 0]) == pytest.approx(float(hidden), abs=1e-4)


def test_the_map_is_the_mean_over_the_patches_that_hid_a_pixel() -> None:
    weights = torch.zeros(1, 3, 1, 4)
    weights[..., 0] = 1
    linear = Linear(weights)
    found = occlude(linear.network, linear, torch.ones(1, 3, 1, 4), Patch(2, 1, 0.0))
    # Only the patch at 0 hides the pixel that counts, and loses 3.
    assert found.drops.tolist() == [[3.0, 0.0, 0.0]]
    assert drop_map(found, (1, 4), 2).flatten().tolist() == [3.0, 1.5, 0.0, 0.0]


@pytest.mark.parametrize(("batch", "sizes"), [(4, [1, 4, 4, 1]), (100, [1, 9])])
def test_batches(batch: int, sizes: list[int]) -> None:
    """The photo as it is first; then all places, so many at a time, with the same outcome."""
    linear, image = Linear(random(0, (6, 6))), random(1, (6, 6))
    reported: list[tuple[int, int]] = []
    found = occlude(
        linear.network,
        linear,
        image,
        Patch(2, 2),
        batch=batch,
        on_step=lambda done, total: reported.append((done, total)),
    )
    assert linear.batches == sizes
    assert reported == [(min(batch * each, 9), 9) for each in range(1, len(sizes))]
    one = occlude(linear.network, linear, image, Patch(2, 2), batch=1)
    torch.testing.assert_close(found.responses, one.responses)


def test_stopped() -> None:
    linear, image = Linear(random(0, (6, 6))), random(1, (6, 6))
    found = occlude(linear.network, linear, image, Patch(2, 2), batch=3, stop=lambda: True)
    assert found.interrupted
    assert found.drops[1:].abs().max() == 0


@pytest.mark.usefixtures("network")
class TestShow:
    """On the real network."""

    scene: Picture = as_picture(cat(48), "cat.png")

    def settings(self, **changes: object) -> OcclusionSettings:
        usual = {"target": "conv3_1:7", "size": "48", "patch": 16, "step": 8}
        return OcclusionSettings(**(usual | changes))

    def test_numbers_and_recipe(self) -> None:
        finding = show_occlusion(self.scene, self.settings(), EXACT)
        assert finding.numbers["places"] == 25
        assert finding.numbers["largest_drop"] > finding.numbers["least_drop"]
        assert finding.result.recipe["technique"] == "inspect occlude"
        assert finding.result.pixels.shape == (1, 3, 48, 48)

    def test_hiding_the_place_of_a_neuron_matters_and_nothing_else_does(self) -> None:
        numbers = show_occlusion(self.scene, self.settings(at="40,8"), EXACT).numbers
        across, down = numbers["peak"]
        assert abs(across - 40) <= 20
        assert abs(down - 8) <= 20
        mask = show_occlusion(self.scene, self.settings(at="40,8", view="mask"), EXACT).result
        assert float(mask.pixels[..., 36:, :12].max()) < 1e-3 * float(mask.pixels.max())

    def test_options_change_what_they_say(self) -> None:
        def numbers(**changes: object) -> dict[str, float]:
            return show_occlusion(self.scene, self.settings(**changes), EXACT).numbers

        usual = numbers()
        assert numbers(step=16)["places"] == 9
        assert numbers(patch=40)["largest_drop"] != usual["largest_drop"]
        assert numbers(fill=1.0)["largest_drop"] != usual["largest_drop"]
        assert numbers(batch=1)["largest_drop"] == pytest.approx(usual["largest_drop"], rel=1e-3)

    def test_a_patch_that_covers_the_photo_is_refused(self) -> None:
        with pytest.raises(SettingError, match="48 px covers the whole photo of 48×48 px"):
            show_occlusion(self.scene, self.settings(patch=48), EXACT)

    def test_views(self) -> None:
        pages = [
            show_occlusion(self.scene, self.settings(view=view), EXACT).result.pixels
            for view in ("overlay", "heat", "mask")
        ]
        for first, second in [(0, 1), (0, 2), (1, 2)]:
            assert float((pages[first] - pages[second]).abs().mean()) > 1e-2

    def test_stopped(self) -> None:
        with pytest.raises(InterruptedRunError, match="before the patch reached every place"):
            show_occlusion(self.scene, self.settings(), EXACT, stop=lambda: True)
