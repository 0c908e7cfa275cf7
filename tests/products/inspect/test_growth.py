"""Waves, views, and what grows: on answers that are known, then on the real network."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.errors import NumericalError
from stylize.images.views import view
from stylize.networks.layer_expressions import parse_targets
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.products.inspect.growth import (
    Course,
    FourierImage,
    Plain,
    Views,
    ascend,
    cut_small,
    grow,
    grow_plainly,
    mean_similarity,
    pace,
    wave_scales,
)
from stylize.products.inspect.response import TargetResponse


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def contrast(image: Tensor) -> float:
    return float((image - image.mean()).square().mean())


def roughness(image: Tensor) -> float:
    """The differences of neighbours compared with the whole contrast."""
    return float((image[..., 1:] - image[..., :-1]).square().mean()) / contrast(image)


class TestFourierImage:
    """A picture as amplitudes of waves."""

    @pytest.mark.parametrize("size", [(16, 16), (15, 22), (8, 1)])
    def test_begins_as_faint_noise_on_grey(self, size: tuple[int, int]) -> None:
        image = FourierImage(2, size, generator())().detach()
        assert image.shape == (2, 3, *size)
        assert float((image - 0.5).abs().max()) < 0.1
        assert not torch.equal(image[0], image[1])

    def test_the_same_noise_on_request(self) -> None:
        image = FourierImage(2, (8, 8), generator(), same=True)()
        assert torch.equal(image[0], image[1])

    def test_one_amplitude_is_one_wave(self) -> None:
        """The real part at frequency 3 across, brightness alone: a cosine of three periods."""
        image = FourierImage(1, (8, 24), generator())
        image.amplitudes.data.zero_()
        image.amplitudes.data[0, 0, 0, 3, 0] = 1
        found = torch.logit(image().detach())[0]
        wave = torch.cos(2 * torch.pi * 3 * torch.arange(24) / 24)
        for plane in found:
            torch.testing.assert_close(plane / plane.max(), wave.expand(8, -1), atol=1e-4, rtol=0)
        assert float(found[0].max() / found[2].max()) == pytest.approx(0.59 / 0.56, rel=1e-3)

    @given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 3))
    def test_scales_are_wavelengths(self, height: int, width: int, decay: float) -> None:
        scales = wave_scales((height, width), decay)
        assert scales.shape == (height, width // 2 + 1)
        assert float(scales[0, 0]) == pytest.approx(max(height, width) ** decay, rel=1e-4)
        if width > 1:
            longest = wave_scales((1, width), decay)[0]
            assert float(longest[1]) == pytest.approx(width**decay, rel=1e-4)

    def test_decay_puts_large_shapes_first(self) -> None:
        rough, fine = (
            roughness(FourierImage(1, (32, 32), generator(), decay=decay)().detach())
            for decay in (2.0, 0.5)
        )
        assert rough < 0.2 * fine


class TestViews:
    """A little turned, scaled and shifted."""

    def test_none_is_the_picture(self) -> None:
        image = torch.rand(2, 3, 9, 14, generator=generator())
        matrix = Views(0, 0, 0).matrix((9, 14), generator())
        torch.testing.assert_close(view(image, matrix), image, atol=1e-5, rtol=0)

    def test_a_shift_is_in_pixels(self) -> None:
        image = torch.rand(1, 3, 8, 16, generator=generator())
        matrix = torch.tensor([[1.0, 0, 2 * 3 / 16], [0, 1, 2 * 1 / 8]])
        moved = view(image, matrix)
        torch.testing.assert_close(moved[..., :7, :13], image[..., 1:, 3:], atol=1e-5, rtol=0)

    @given(st.integers(0, 500))
    def test_stays_within_its_bounds(self, seed: int) -> None:
        matrix = Views(shift_px=4, degrees=10, scale=0.2).matrix((32, 32), generator(seed))
        zoom = 1 / float(matrix[:, :2].det().sqrt())
        angle = float(torch.rad2deg(torch.atan2(matrix[1, 0], matrix[0, 0])))
        assert 1 / 1.2 - 1e-4 <= zoom <= 1.2 + 1e-4
        assert abs(angle) <= 10 + 1e-3
        assert float(matrix[:, 2].abs().max()) <= 2 * 4 / 32 + 1e-6


class TestAscend:
    """Towards a picture that is known."""

    @staticmethod
    def redder(pictures: Tensor) -> tuple[Tensor, Tensor]:
        value = (pictures[:, 0] - pictures[:, 2]).mean((1, 2))
        return value, value.sum()

    def test_finds_what_is_wanted(self) -> None:
        course = Course(40, 0.5)
        grown = ascend(FourierImage(2, (8, 8), generator()), self.redder, course)
        assert grown.pictures.shape == (2, 3, 8, 8)
        assert min(grown.responses) > 0.5
        assert (grown.steps_done, grown.interrupted) == (40, False)
        assert float((grown.pictures[:, 0] - grown.pictures[:, 2]).median()) > 0.5

    def test_tells_and_stops(self) -> None:
        reported: list[int] = []
        course = Course(
            9, 0.5, lambda step, total: reported.append(step), lambda: len(reported) == 3
        )
        grown = ascend(FourierImage(1, (8, 8), generator()), self.redder, course)
        assert reported == [1, 2, 3]
        assert (grown.steps_done, grown.interrupted) == (3, True)

    def test_what_is_no_number(self) -> None:
        def broken(pictures: Tensor) -> tuple[Tensor, Tensor]:
            value = pictures.mean((1, 2, 3)) * float("nan")
            return value, value.sum()

        with pytest.raises(NumericalError, match="the response became nan"):
            ascend(FourierImage(1, (8, 8), generator()), broken, Course(2, 0.5))

    @given(st.integers(1, 500))
    def test_the_pace_falls_only_at_the_end(self, steps: int) -> None:
        paces = [pace(step, steps) for step in range(1, steps + 1)]
        assert paces == sorted(paces, reverse=True)
        assert paces[0] == 1
        assert 0 < paces[-1] <= 1


class TestLikeness:
    """Pictures that differ."""

    def test_equal_pictures_are_alike(self) -> None:
        features = torch.rand(1, 4, 3, 3, generator=generator())
        assert float(mean_similarity(features.repeat(3, 1, 1, 1))) == pytest.approx(1)

    def test_of_channels_that_never_meet(self) -> None:
        features = torch.zeros(2, 2, 3, 3)
        features[0, 0], features[1, 1] = 1, 1
        assert float(mean_similarity(features)) == 0

    def test_where_it_stands_does_not_matter(self) -> None:
        features = torch.rand(1, 4, 5, 5, generator=generator())
        moved = features.roll((2, 1), (2, 3))
        assert float(mean_similarity(torch.cat([features, moved]))) == pytest.approx(1)


class TestCut:
    """Pixels of the smallest norm."""

    @given(st.sampled_from([0.0, 0.25, 0.5, 0.75]), st.integers(0, 99))
    def test_so_many_go(self, share: float, seed: int) -> None:
        image = torch.randn(2, 3, 8, 8, generator=generator(seed))
        cut = cut_small(image, share)
        gone = (cut == 0).all(1)
        assert gone.flatten(1).sum(1).tolist() == [round(64 * share)] * 2
        for picture, mask in zip(image.norm(dim=1), gone, strict=True):
            assert not mask.any() or picture[~mask].min() >= picture[mask].max()


class TestOnTheNetwork:
    """The response of a channel rises with either method."""

    def test_fourier(self, vgg16: Weights) -> None:
        response = TargetResponse(parse_targets("conv3_1:7"))
        vgg = VGG(vgg16, response.layers)

        def grown(diversity: float) -> Tensor:
            image = FourierImage(2, (32, 32), generator(), same=False)
            return grow(
                vgg,
                response,
                image,
                Course(25, 0.1),
                views=Views(2, 5, 0.05),
                generator=generator(),
                diversity=diversity,
            ).pictures

        alike = grown(0.0)
        unlike = grown(3.0)
        with torch.no_grad():
            start = FourierImage(2, (32, 32), generator(), same=False)()
            before, after = (float(response(vgg(each)).mean()) for each in (start, alike))
            assert after > 5 * abs(before)
            found = [float(mean_similarity(vgg(each)["conv3_1"])) for each in (alike, unlike)]
        assert found[1] < found[0] - 0.02

    def test_plainly(self, vgg16: Weights) -> None:
        response = TargetResponse(parse_targets("conv3_1:7"))
        vgg = VGG(vgg16, response.layers)

        def grown(steps: int = 12, **changes: float) -> Tensor:
            plain = Plain(**({"jitter_px": 2} | changes))
            return grow_plainly(
                vgg,
                response,
                (32, 32),
                Course(steps, 0.03),
                count=1,
                plain=plain,
                generator=generator(),
            ).pictures

        usual = grown()
        with torch.no_grad():
            before, after = (response(vgg(x)) for x in (torch.full_like(usual, 0.5), usual))
        assert float(after) > float(before) + 50
        assert contrast(grown(l2=0.3)) < 0.5 * contrast(usual)
        assert roughness(grown(blur_every=1)) < roughness(usual)
        assert roughness(grown(blur_every=0)) > roughness(usual)
        grey = [((grown(cut=cut) - 0.5).abs().amax(1) < 1e-6).float().mean() for cut in (0, 0.5)]
        assert float(grey[1]) > float(grey[0]) + 0.3
