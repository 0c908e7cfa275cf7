"""What a network answers, in closed forms."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylize.networks.layer_expressions import parse_targets
from stylize.products.inspect.response import (
    Between,
    DirectionResponse,
    LikenessResponse,
    Scaled,
    TargetResponse,
    mean_activations,
    shared_direction,
    silence_of,
)

FEATURES = {
    "a1_1": torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0)),
    "b1_1": torch.randn(2, 6, 2, 2, generator=torch.Generator().manual_seed(1)),
}


def response(text: str, **where: tuple[float, float]) -> torch.Tensor:
    return TargetResponse(parse_targets(text), **where)(FEATURES)


def test_of_a_channel_is_its_mean() -> None:
    torch.testing.assert_close(response("a1_1:2"), FEATURES["a1_1"][:, 2].mean((1, 2)))


def test_of_a_layer_is_half_its_rectified_square() -> None:
    energy = FEATURES["b1_1"].clamp_min(0).square().sum(1).mean((1, 2)) / 2
    torch.testing.assert_close(response("b1_1"), energy)


def test_terms_add_up() -> None:
    found = response("0.5*a1_1:0-1 - 2*b1_1:5")
    parts = 0.5 * (response("a1_1:0") + response("a1_1:1")) - 2 * response("b1_1:5")
    torch.testing.assert_close(found, parts)
    assert TargetResponse(parse_targets("a1_1:1 + b1_1 + a1_1:2")).layers == ("a1_1", "b1_1")


@pytest.mark.parametrize(
    ("place", "row", "column"),
    [((0.0, 0.0), 0, 0), ((0.5, 0.5), 1, 2), ((0.34, 0.99), 1, 4), ((1.0, 1.0), 2, 4)],
)
def test_of_a_neuron(place: tuple[float, float], row: int, column: int) -> None:
    found = response("a1_1:3", place=place)
    assert torch.equal(found, FEATURES["a1_1"][:, 3, row, column])


def test_similarity() -> None:
    means = mean_activations(FEATURES["a1_1"])
    assert torch.equal(means, FEATURES["a1_1"].clamp_min(0).mean((2, 3)))
    found = LikenessResponse("a1_1", 7 * means[0])(FEATURES)
    assert float(found[0]) == pytest.approx(1)
    assert 0 <= float(found[1]) < 1


@given(st.floats(0.01, 100))
def test_a_direction_has_no_length(length: float) -> None:
    axis = torch.zeros(4)
    axis[1] = length
    found = DirectionResponse("a1_1", axis)(FEATURES)
    torch.testing.assert_close(found, response("a1_1:1"))


def test_scaled_and_between() -> None:
    first, second = (TargetResponse(parse_targets(text)) for text in ("a1_1:0", "b1_1:1"))
    torch.testing.assert_close(Scaled(first, -2)(FEATURES), -2 * first(FEATURES))
    mixed = Between(first, second, (0.0, 0.25))
    assert mixed.layers == ("a1_1", "b1_1")
    expected = torch.stack(
        [first(FEATURES)[0], 0.75 * first(FEATURES)[1] + 0.25 * second(FEATURES)[1]]
    )
    torch.testing.assert_close(mixed(FEATURES), expected)


class TestSharedDirection:
    """What all photos have more of than is usual."""

    usual = torch.tensor([1.0, 1.0, 1.0, 1.0])

    def test_by_hand(self) -> None:
        photos = [torch.tensor([3.0, 5.0, 1.0, 0.0]), torch.tensor([5.0, 1.0, 9.0, 0.0])]
        # Only the first channel is excited by both; (3 - 1) / (1 + 1).
        assert shared_direction(photos, self.usual).tolist() == [1.0, 0.0, 0.0, 0.0]

    @given(st.permutations(range(3)))
    def test_the_order_does_not_matter(self, order: list[int]) -> None:
        photos = [torch.rand(4, generator=torch.Generator().manual_seed(n)) + 1 for n in range(3)]
        found = shared_direction([photos[n] for n in order], self.usual)
        assert torch.equal(found, shared_direction(photos, self.usual))

    def test_what_is_usual_counts_less(self) -> None:
        usual = torch.tensor([0.1, 10.0])
        first, second = shared_direction([usual + 1], usual).tolist()
        assert first > second > 0


class TestSilence:
    """Channels that a picture does not excite, and those that it does."""

    maps = torch.zeros(1, 6, 2, 2)
    maps[0, :, 0, 0] = torch.tensor([8.0, 4.0, -9.0, 0.01, 2.0, 1.0])
    features: ClassVar = {"conv1_1": maps}

    def test_names_the_silent_and_the_strongest(self) -> None:
        # The means after the ReLU are 2, 1, 0, 0.0025, 0.5, 0.25; 2 % of their mean is 0.0125.
        found = silence_of(TargetResponse(parse_targets("conv1_1:1-3")), self.features)
        assert found.silent == ("conv1_1:2", "conv1_1:3")
        assert found.strongest == tuple(f"conv1_1:{each}" for each in (0, 1, 4, 5, 3))
        assert found.notes == (
            "conv1_1:2,3 do not respond to this photo; "
            "the strongest channels there are conv1_1:0,1,4,5,3",
        )

    @pytest.mark.parametrize("text", ["conv1_1", "conv1_1:0,4", "conv1_1:0 - conv1_1:2"])
    def test_says_nothing_otherwise(self, text: str) -> None:
        assert silence_of(TargetResponse(parse_targets(text)), self.features).notes == ()

    def test_at_a_place(self) -> None:
        response = TargetResponse(parse_targets("conv1_1:0"), place=(0.9, 0.9))
        found = silence_of(response, self.features)
        assert found.silent == ("conv1_1:0",)
        assert found.notes == (
            "conv1_1:0 does not respond to this place of the photo, nor does any other channel",
        )
