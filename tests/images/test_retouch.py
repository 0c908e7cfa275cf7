"""The finest detail becomes that of the style image; light and shapes stay."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.images.blur import blur
from stylize.images.retouch import Patches, patches_of, retouched


def brushwork(height: int, width: int, slope: float = 0.5, seed: int = 0) -> Tensor:
    """Coloured strokes, all in one direction."""
    noise = torch.randn(1, 3, height, width + height, generator=torch.Generator().manual_seed(seed))
    soft = blur(noise, 1.5)
    rows = [soft[..., row, round(row * slope) :][..., :width] for row in range(height)]
    along = torch.stack(rows, 2)
    return (0.5 + 0.25 * along / along.std()).clamp(0, 1)


def speckled(image: Tensor, amount: float) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(9))
    return (image + amount * noise).clamp(0, 1)


def taken(*styles: Tensor) -> Patches:
    """The patches of styles with equal shares."""
    return patches_of((style, 1 / len(styles)) for style in styles)


def away(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().mean())


@given(st.integers(1, 150), st.integers(1, 40), st.integers(0, 100), st.floats(0, 1))
def test_any_size(height: int, width: int, seed: int, amount: float) -> None:
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    found = retouched(noise, taken(brushwork(16, 24)), amount)
    assert found.shape == noise.shape
    assert 0 <= found.min() <= found.max() <= 1


def test_the_style_image_itself_stays() -> None:
    style = brushwork(65, 81)
    assert away(retouched(style, taken(style), 1), style) < 0.001


def test_speckles_and_grids_go() -> None:
    """What the style image does not have is replaced by what it has there."""
    style = brushwork(128, 128)
    patches = taken(style)
    grid = style.clone()
    grid[..., ::2, ::2] += 0.1
    grid[..., 1::2, 1::2] -= 0.1
    for painting in (speckled(style, 0.1), grid.clamp(0, 1)):
        assert away(retouched(painting, patches, 1), style) < 0.4 * away(painting, style)


def test_strokes_take_the_direction_of_the_style_image() -> None:
    def agreement(image: Tensor, slope: float) -> float:
        """How alike the pixels are two rows down and across by twice the slope."""
        across = round(2 * slope)
        here = image[..., :-2, 1:-1]
        there = image[..., 2:, 1 - across : image.shape[3] - 1 - across]
        pair = torch.stack([here.flatten(), there.flatten()])
        return float(torch.corrcoef(pair)[0, 1])

    noise = speckled(torch.full((1, 3, 96, 96), 0.5), 0.1)
    for slope in (0.5, -0.5):
        style = brushwork(96, 96, 0.5) if slope > 0 else brushwork(96, 96, 0.5).flip(3)
        found = retouched(noise, taken(style), 1)
        assert agreement(found, slope) > agreement(found, -slope) + 0.1


def test_light_and_shapes_stay() -> None:
    painting = torch.full((1, 3, 96, 96), 0.3)
    painting[..., 32:64, 32:64] = 0.7
    painting = speckled(painting, 0.1)
    found = retouched(painting, taken(brushwork(64, 64)), 1)
    assert away(blur(found, 4), blur(painting, 4)) < 0.02
    assert away(found, painting) > 0.03


def test_contrast_stays() -> None:
    painting = brushwork(96, 96, seed=1)
    found = retouched(painting, taken(brushwork(96, 96)), 1)
    assert float(found.std()) == pytest.approx(float(painting.std()), rel=0.1)


def test_half_of_it_is_half_of_the_way() -> None:
    painting, patches = speckled(brushwork(40, 40), 0.1), taken(brushwork(40, 60))
    none, half, whole = (retouched(painting, patches, each) for each in (0.0, 0.5, 1.0))
    assert torch.equal(none, painting)
    torch.testing.assert_close(half, (painting + whole) / 2)


def test_all_styles_lend_their_patches() -> None:
    """A painting of two halves is one of two styles."""
    one, other = brushwork(64, 64), 1 - brushwork(64, 64, seed=3).square()
    painting = torch.cat([one, other], 3)
    both, first = (retouched(painting, taken(*each), 1) for each in ([one, other], [one]))
    assert away(both, painting) < 0.5 * away(first, painting)


def test_patches_come_by_shares() -> None:
    one, other = torch.zeros(1, 3, 400, 400), torch.ones(1, 3, 400, 400)
    pixels = patches_of([(one, 0.8), (other, 0.2)]).pixels
    assert float(pixels.mean()) == pytest.approx(0.2, abs=0.03)


def test_a_place_looks_alike_in_a_larger_picture() -> None:
    """The picture is redrawn in bands and balanced in strips, which leave no seams."""
    painting, patches = speckled(brushwork(330, 40), 0.1), taken(brushwork(40, 60))
    whole, part = retouched(painting, patches, 1), retouched(painting[:, :, 200:320], patches, 1)
    torch.testing.assert_close(part[:, :, 40:80], whole[:, :, 240:280])
