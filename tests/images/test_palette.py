"""Each way of colouring keeps what it promises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from stylize.images.oklab import to_oklab
from stylize.images.palette import (
    OKLAB_STRETCH,
    RGB_STRETCH,
    colours_of,
    match_colours,
    monge_map,
    with_colours_of,
    with_palette_of,
)
from tests.conftest import cat, photo, strokes

few = settings(max_examples=30)
seeds = st.integers(0, 10_000)
HALF_A_LEVEL = 0.5 / 255


def noise(seed: int, height: int = 24, width: int = 20) -> Tensor:
    """Colours that are correlated, around the middle of the range."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    planes = torch.randn(1, 3, height, width, generator=generator, dtype=torch.float64)
    apart = torch.randn(planes.shape, generator=generator, dtype=torch.float64)
    spread = 0.06 * torch.einsum("ij,njhw->nihw", mixed / mixed.norm(), planes) + 0.02 * apart
    shift = 0.5 + 0.1 * torch.rand(3, generator=generator, dtype=torch.float64)
    return (spread + shift.view(1, 3, 1, 1)).clamp(0, 1)


def grey(seed: int) -> Tensor:
    return noise(seed)[:, :1].expand(-1, 3, -1, -1).contiguous()


def covariance(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    return root @ root.T + 0.01 * torch.eye(3, dtype=torch.float64)


def within(source: Tensor, target: Tensor, stretch: float) -> bool:
    """Whether the source has enough of every variance that is asked for."""
    return float(torch.linalg.eigvalsh(source - target / stretch**2)[0]) > 0


def test_statistics_are_numpys() -> None:
    found = colours_of(noise(0))
    rows = noise(0)[0].flatten(1).numpy()
    np.testing.assert_allclose(found.mean, rows.mean(1))
    np.testing.assert_allclose(found.covariance, np.cov(rows, bias=True))


@few
@given(seeds, seeds)
def test_the_map_gives_the_covariance_and_is_the_least_change(one: int, other: int) -> None:
    source, target = covariance(one), covariance(other)
    found = monge_map(source, target, stretch=1e9)
    torch.testing.assert_close(found @ source @ found.T, target)
    # Symmetric and positive: the gradient of a convex function, which is what Monge asks for.
    torch.testing.assert_close(found, found.T)
    assert float(torch.linalg.eigvalsh(found).min()) > 0
    torch.testing.assert_close(
        monge_map(target, source, stretch=1e9), torch.linalg.inv(found), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("seed", range(3))
def test_of_one_axis_it_is_a_quotient_of_deviations(seed: int) -> None:
    diagonal = torch.diag(torch.tensor([4.0, 9.0, 0.25], dtype=torch.float64))
    turn = torch.linalg.qr(covariance(seed))[0]
    found = monge_map(turn @ diagonal @ turn.T, turn @ turn.T, stretch=1e9)
    expected = turn @ torch.diag(torch.tensor([1 / 2, 1 / 3, 2.0]).double()) @ turn.T
    torch.testing.assert_close(found, expected)


@few
@given(seeds, seeds)
def test_matched_colours_have_mean_and_covariance(one: int, other: int) -> None:
    found, target = colours_of(match_colours(noise(one), noise(other))), colours_of(noise(other))
    torch.testing.assert_close(found.mean, target.mean)
    torch.testing.assert_close(found.covariance, target.covariance, rtol=1e-6, atol=1e-9)


def test_matching_real_pictures_in_single_precision() -> None:
    found, target = colours_of(match_colours(strokes(), cat(64))), colours_of(cat(64))
    torch.testing.assert_close(found.mean, target.mean, rtol=0, atol=1e-5)
    blue = cat(64).flip(1)
    found, target = colours_of(match_colours(cat(64), blue)), colours_of(blue)
    torch.testing.assert_close(found.covariance, target.covariance, rtol=0, atol=1e-5)


@few
@given(seeds, seeds)
def test_matching_again_changes_nothing(one: int, other: int) -> None:
    once = match_colours(noise(one), noise(other))
    torch.testing.assert_close(match_colours(once, noise(other)), once, rtol=0, atol=1e-5)


@few
@given(seeds)
def test_a_picture_matches_itself(seed: int) -> None:
    torch.testing.assert_close(match_colours(noise(seed), noise(seed)), noise(seed))
    torch.testing.assert_close(
        with_palette_of(noise(seed), noise(seed)), noise(seed), rtol=0, atol=HALF_A_LEVEL
    )


@few
@given(seeds, seeds)
def test_a_grey_style_is_not_made_colourful_noise(one: int, other: int) -> None:
    """What has no colour takes on the target's, tone by tone: all on one line."""
    found = colours_of(match_colours(grey(one), noise(other)))
    assert float(torch.linalg.eigvalsh(found.covariance)[1]) < 1e-12
    torch.testing.assert_close(found.mean, colours_of(noise(other)).mean)


@few
@given(seeds, seeds, st.floats(1, 10))
def test_nothing_is_stretched_beyond_the_bound(one: int, other: int, bound: float) -> None:
    found = monge_map(covariance(one) * 1e-6, covariance(other), stretch=bound)
    assert float(torch.linalg.eigvalsh(found).max()) <= bound * (1 + 1e-9)
    torch.testing.assert_close(found, found.T)


@pytest.mark.parametrize("change", [match_colours, with_palette_of])
def test_faint_noise_stays_faint(change: Callable[[Tensor, Tensor], Tensor]) -> None:
    """A grey scan with colour noise of a third of a level."""
    generator = torch.Generator().manual_seed(1)
    faint = 0.0013 * torch.randn(1, 3, 24, 20, generator=generator, dtype=torch.float64)
    clean = change(grey(2), cat(64).double())
    found = change(grey(2) + faint, cat(64).double())
    assert float((found - clean).std()) < 2 * 0.0013 * RGB_STRETCH


@few
@given(seeds)
def test_a_grey_photograph_makes_the_style_grey(seed: int) -> None:
    found = match_colours(noise(seed), grey(seed + 1))
    assert float((found - found.mean(1, keepdim=True)).abs().max()) < HALF_A_LEVEL


@pytest.mark.parametrize("change", [match_colours, with_palette_of])
def test_flat_pictures(change: Callable[[Tensor, Tensor], Tensor]) -> None:
    flat = torch.full((1, 3, 8, 8), 0.3, dtype=torch.float64)
    found = change(noise(0), flat)
    torch.testing.assert_close(found, torch.full_like(found, 0.3), rtol=0, atol=HALF_A_LEVEL)
    found = change(flat, noise(0))
    assert float(found.std((2, 3)).max()) < 1e-6
    mean = noise(0).mean((2, 3))
    torch.testing.assert_close(found.mean((2, 3)), mean, rtol=0, atol=0.01)


@few
@given(seeds, seeds)
def test_colours_of_another_are_kept_within_rounding(one: int, other: int) -> None:
    """Chroma is the photograph's and lightness the painting's, up to the file's 256 levels."""
    result, picture = noise(one), noise(other)
    written = (with_colours_of(result, picture) * 255).round() / 255
    found, chroma = to_oklab(written), to_oklab(picture)[:, 1:]
    assert float((found[:, :1] - to_oklab(result)[:, :1]).abs().max()) < 0.004
    assert float((found[:, 1:] - chroma).abs().max()) < 0.006


def test_where_srgb_has_not_the_colour_the_hue_is_kept() -> None:
    dark, red = torch.full((1, 3, 4, 4), 0.2), torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    found = to_oklab(with_colours_of(dark, red.expand(1, 3, 4, 4)))
    wanted = to_oklab(red)
    torch.testing.assert_close(found[:, :1], to_oklab(dark)[:, :1], rtol=0, atol=2e-3)
    torch.testing.assert_close(
        found[0, 2] / found[0, 1], (wanted[0, 2] / wanted[0, 1]).expand(4, 4), rtol=0.02, atol=0
    )
    assert 0.05 < float(found[0, 1, 0, 0]) < float(wanted[0, 1])


def test_colours_of_itself_are_its_own_and_twice_is_once() -> None:
    torch.testing.assert_close(with_colours_of(cat(64), cat(64)), cat(64), rtol=0, atol=1e-3)
    once = with_colours_of(cat(64), photo())
    torch.testing.assert_close(with_colours_of(once, photo()), once, rtol=0, atol=4e-3)


def test_a_grey_photograph_takes_the_colour_away() -> None:
    found = with_colours_of(cat(64), photo().mean(1, keepdim=True).expand(-1, 3, -1, -1))
    assert float((found.amax(1) - found.amin(1)).max()) < 1e-3


@few
@given(seeds, seeds)
def test_a_palette_is_mean_and_covariance_in_oklab(one: int, other: int) -> None:
    found = colours_of(to_oklab(with_palette_of(noise(one), noise(other))))
    source, target = (colours_of(to_oklab(noise(each))) for each in (one, other))
    torch.testing.assert_close(found.mean, target.mean, rtol=0, atol=2e-4)
    assume(within(source.covariance, target.covariance, OKLAB_STRETCH))
    torch.testing.assert_close(found.covariance, target.covariance, rtol=0.01, atol=1e-5)


def test_a_palette_keeps_the_structure() -> None:
    found = with_palette_of(cat(64), strokes())
    one, other = (to_oklab(each)[0, 0].flatten() for each in (cat(64), found))
    assert float(torch.corrcoef(torch.stack([one, other]))[0, 1]) > 0.9


@few
@given(seeds, seeds)
def test_a_palette_again_changes_nothing(one: int, other: int) -> None:
    """Unless it was stretched as far as allowed."""
    source, target = (colours_of(to_oklab(noise(each))) for each in (one, other))
    assume(within(source.covariance, target.covariance, OKLAB_STRETCH))
    once = with_palette_of(noise(one), noise(other))
    twice = with_palette_of(once, noise(other))
    torch.testing.assert_close(twice, once, rtol=0, atol=2e-3)


def test_sizes_may_differ_where_only_statistics_count() -> None:
    assert match_colours(noise(0), noise(1, 5, 90)).shape == noise(0).shape
    assert with_palette_of(noise(0), noise(1, 5, 90)).shape == noise(0).shape
