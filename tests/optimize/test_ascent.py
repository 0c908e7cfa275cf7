"""The ascent moves by what it was asked to, where it was asked to, within its bounds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.losses.loss import Evaluation
from stylize.optimize.ascent import Ascent, Bounds, soft_clipped, with_colours_of

SIZE = (12, 17)
unit = st.floats(0, 1, width=32)
wild = st.floats(-5, 6, width=32)
colours = st.tuples(unit, unit, unit)
wild_colours = st.tuples(wild, wild, wild)


def random(seed: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(1, 3, *SIZE, generator=generator)


def pixel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def uphill(image: Tensor) -> Evaluation:
    """Of ``½ Σ (x − left neighbour)²`` on a torus, which no roll changes."""
    left, right = image - image.roll(1, 3), image - image.roll(-1, 3)
    return Evaluation({}, left.square().sum() / 2, left + right)


def ascent(levels: float = 2.0, *, steps: int = 4, jitter: int = 0, condition=None) -> Ascent:
    return Ascent(
        levels,
        steps=steps,
        jitter=jitter,
        condition=condition or (lambda gradient, progress: gradient),
        generator=torch.Generator().manual_seed(3),
    )


def stepped(image: Tensor, evaluate=uphill, *, bounds: Bounds | None = None, **options) -> Tensor:
    """A copy of the picture after one step."""
    walker, moved = ascent(**options), image.clone()
    walker.begin(bounds or Bounds(image))
    walker.step(moved, evaluate)
    return moved


@pytest.mark.parametrize("levels", [0.1, 1.5, 6.0])
def test_a_step_is_as_long_as_was_asked(levels: float) -> None:
    image = random(0, 0.4, 0.6)
    change = stepped(image, levels=levels) - image
    assert 255 * float(change.abs().mean()) == pytest.approx(levels, rel=1e-4)
    gradient = uphill(image).gradient
    torch.testing.assert_close(change, gradient * (levels / 255) / gradient.abs().mean())


def test_it_goes_uphill() -> None:
    image = random(1, 0.3, 0.7)
    assert float(uphill(stepped(image)).total) > float(uphill(image).total)


def test_the_length_does_not_depend_on_the_objectives_scale() -> None:
    image = random(2, 0.4, 0.6)
    for factor in (1e-12, 1e12):
        scaled = stepped(image, lambda x, factor=factor: Evaluation({}, x, factor * x))
        torch.testing.assert_close(scaled, stepped(image, lambda x: Evaluation({}, x, x)))


def test_no_gradient_and_no_distance_leave_the_picture() -> None:
    image = random(3)
    assert torch.equal(stepped(image, lambda x: Evaluation({}, x, torch.zeros_like(x))), image)
    assert torch.equal(stepped(image, levels=0.0), image)


@pytest.mark.parametrize("jitter", [1, 5, 40])
def test_the_roll_is_undone_exactly(jitter: int) -> None:
    image = random(4)
    assert torch.equal(stepped(image, jitter=jitter), stepped(image))


@pytest.mark.parametrize("jitter", [0, 3, 100])
def test_the_picture_is_rolled_both_ways_within_the_jitter(jitter: int) -> None:
    """Each pixel of the picture says where it came from."""
    marks = torch.arange(1.0 * SIZE[0] * SIZE[1]).view(1, 1, *SIZE).expand(1, 3, -1, -1) / 1000
    seen: list[Tensor] = []

    def look(image: Tensor) -> Evaluation:
        seen.append(image)
        return Evaluation({}, image.sum(), torch.zeros_like(image))

    walker, image = ascent(jitter=jitter), marks.clone()
    walker.begin(Bounds(marks.clamp(0, 1)))
    for _ in range(200):
        walker.step(image, look)
        image.copy_(marks)
    origins = {round(float(each[0, 0, 0, 0]) * 1000) for each in seen}
    for axis, length in enumerate(SIZE):
        places = {divmod(origin, SIZE[1])[axis] for origin in origins}
        found = {(length // 2 - place) % length - length // 2 for place in places}
        expected = range(-min(jitter, length // 2), min(jitter, (length - 1) // 2) + 1)
        assert found == set(expected)


def test_only_the_region_moves_and_by_the_whole_length() -> None:
    image = random(5, 0.4, 0.6)
    region = torch.zeros(1, 1, *SIZE)
    region[..., 2:6, 3:11] = 1
    inside = region.expand_as(image) > 0
    change = stepped(image, levels=1.5, bounds=Bounds(image, region=region)) - image
    assert 255 * float(change[inside].abs().mean()) == pytest.approx(1.5, rel=1e-4)
    assert float(change[~inside].abs().max()) == 0


def test_an_empty_region_leaves_the_picture() -> None:
    image = random(6)
    bounds = Bounds(image, region=torch.zeros(1, 1, *SIZE))
    assert torch.equal(stepped(image, bounds=bounds), image)


def test_the_conditioning_hears_how_far_the_octave_is() -> None:
    heard: list[float] = []

    def listen(gradient: Tensor, progress: float) -> Tensor:
        heard.append(progress)
        return gradient

    walker, image = ascent(steps=4, condition=listen), random(7)
    for _ in range(2):
        walker.begin(Bounds(image.clone()))
        for _ in range(4):
            walker.step(image, uphill)
    assert heard == [0, 0.25, 0.5, 0.75] * 2


def test_the_result_is_a_copy() -> None:
    image = random(8)
    found = ascent().result(image)
    assert torch.equal(found, image)
    assert found.data_ptr() != image.data_ptr()


@pytest.mark.parametrize(("fidelity", "left"), [(0.0, 1.0), (0.3, 0.7), (1.0, 0.0)])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_an_octave_takes_back_the_share_asked_for(fidelity: float, left: float, steps: int) -> None:
    base = random(9, 0.4, 0.6)
    image = base + 0.1 * random(10, -1, 1)
    departure = image - base
    for _ in range(steps):
        Bounds(base, fidelity).hold(image, 1 / steps)
    torch.testing.assert_close(image - base, left * departure, atol=1e-6, rtol=1e-4)


@given(base=colours)
def test_the_photograph_is_within_its_own_bounds(base: tuple[float, ...]) -> None:
    photo = pixel(base)
    for bounds in (Bounds(photo), Bounds(photo, 0.4, keep_colors=True)):
        image = photo.clone()
        bounds.hold(image, 0.25)
        assert torch.equal(image, photo)


@given(base=colours, image=wild_colours)
def test_clipped_values_are_values(base: tuple[float, ...], image: tuple[float, ...]) -> None:
    found = soft_clipped(pixel(image), pixel(base))
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    for value, photo, result in zip(image, base, found.flatten().tolist(), strict=True):
        if max(0.08, min(photo, 1)) <= value <= min(0.92, 1) or value == photo:
            assert result == value, "between the shoulders nothing changes"


@given(base=unit, one=wild, other=wild)
def test_clipping_keeps_the_order(base: float, one: float, other: float) -> None:
    low, high = (soft_clipped(pixel((x,) * 3), pixel((base,) * 3)) for x in sorted((one, other)))
    assert float((low - high).max()) <= 1e-7


def test_clipping_keeps_detail_that_a_cut_would_lose() -> None:
    steps = soft_clipped(pixel((0.95, 1.0, 1.05)), pixel((0.5,) * 3)).flatten()
    assert (steps.diff() > 0.005).all()
    steps = soft_clipped(pixel((-0.05, 0.0, 0.05)), pixel((0.5,) * 3)).flatten()
    assert (steps.diff() > 0.005).all()


@given(base=colours, image=wild_colours)
def test_colours_stay_and_values_are_values(
    base: tuple[float, ...], image: tuple[float, ...]
) -> None:
    found = with_colours_of(pixel(base), pixel(image)).flatten().tolist()
    assert min(found) >= 0
    assert max(found) <= 1
    assert chroma(found) == pytest.approx(chroma(base), abs=3e-7)


@given(base=st.tuples(*3 * [st.floats(0.4, 0.6)]), image=st.tuples(*3 * [st.floats(0.3, 0.7)]))
def test_the_brightness_is_the_other_pictures(
    base: tuple[float, ...], image: tuple[float, ...]
) -> None:
    found = with_colours_of(pixel(base), pixel(image)).flatten().tolist()
    assert luma(found) == pytest.approx(luma(image), abs=1e-6)


def luma(colour: tuple[float, ...] | list[float]) -> float:
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def chroma(colour: tuple[float, ...] | list[float]) -> tuple[float, float]:
    """Cb and Cr of JPEG (ITU-T T.871), without their offset."""
    return (colour[2] - luma(colour)) / 1.772, (colour[0] - luma(colour)) / 1.402
