"""Kernels: what is shown equals the weights."""

from __future__ import annotations

import pytest
import torch

from stylize.errors import UnknownNameError
from stylize.images.mosaic import enlarged, figure, in_rows, mosaic
from stylize.networks.models import Weights
from stylize.networks.vgg import fold_preprocessing
from stylize.products.inspect.filters import kernel_picture, kernels_of, scales_of, show_filters
from stylize.settings.inspect import FiltersSettings

pytestmark = pytest.mark.usefixtures("network")


def shown(page: torch.Tensor, row: int, column: int, side: int = 96) -> torch.Tensor:
    """A cell of the sheet: below a title of 26 + 8 px at these sizes, found by its brightness."""
    top = 8 + round(1.7 * round(1.35 * 11)) + 8
    pitch = side + round(1.7 * 11) + 8
    left = 8 + column * (side + 8)
    return page[..., top + row * pitch :, left : left + side][..., :side, :]


def test_the_sheet_equals_the_weights_in_rgb(vgg16: Weights) -> None:
    assert vgg16.preprocessing.channels == "BGR", "else the order below proves nothing"
    page = show_filters(FiltersSettings()).result.pixels
    stored = vgg16.tensors["conv1_1.weight"]
    for index in (0, 12, 63):
        cell = shown(page, index // 8, index % 8)
        found = (cell[0, :, 16::32, 16::32] - 0.5) * 2 * float(stored.abs().max())
        torch.testing.assert_close(found, stored[index].flip(0), atol=1e-6, rtol=1e-5)
        assert torch.equal(cell[..., :32, :32], cell[..., :1, :1].expand(1, 3, 32, 32))


def test_the_order_of_colours_is_that_of_the_folded_layer(vgg16: Weights) -> None:
    """What the trunk multiplies with R is in the red of the picture."""
    stored, bias = vgg16.tensors["conv1_1.weight"], vgg16.tensors["conv1_1.bias"]
    folded, _ = fold_preprocessing(vgg16, stored, bias)
    kernels = kernels_of(vgg16, "relu1_1").double()
    ratio = (folded / kernels).mean((0, 2, 3))
    torch.testing.assert_close(folded, kernels * ratio.view(1, 3, 1, 1))


def test_each_on_its_own_scale(vgg16: Weights) -> None:
    kernels = kernels_of(vgg16, "conv1_1")
    assert len(set(scales_of(kernels, "all"))) == 1
    own = scales_of(kernels, "each")
    assert max(own) == scales_of(kernels, "all")[0]
    for kernel, scale in zip(kernels, own, strict=True):
        picture = kernel_picture(kernel, scale)
        assert float((picture - 0.5).abs().max()) == pytest.approx(0.5)
    pages = [
        show_filters(FiltersSettings(normalize=each, count=4)).result.pixels
        for each in ("all", "each")
    ]
    assert not torch.equal(*pages)


def test_a_kernel_of_zeros_is_grey() -> None:
    (scale,) = scales_of(torch.zeros(1, 3, 3, 3), "each")
    assert torch.equal(kernel_picture(torch.zeros(3, 3, 3), scale), torch.full((1, 3, 96, 96), 0.5))


def test_deeper_layers_are_grey_slices(vgg16: Weights) -> None:
    stored = vgg16.tensors["conv3_1.weight"]
    finding = show_filters(FiltersSettings(layer="conv3_1", count=5, slices=4, columns=3))
    assert finding.numbers["inputs"] == 128
    assert [each["filter"] for each in finding.numbers["shown"]] == [0, 1, 2, 3, 4]
    scale = float(stored[:5, :4].abs().max())
    assert finding.numbers["shown"][0]["scale"] == pytest.approx(scale, rel=1e-5)
    picture = kernel_picture(stored[2, :4], scale)
    assert torch.equal(picture[:, 0], picture[:, 2])
    factor = 96 // 7  # two slices of 3 px and a gap
    small = picture[0, 0, factor // 2 :: factor, factor // 2 :: factor]
    torch.testing.assert_close((small[4:, :3] - 0.5) * 2 * scale, stored[2, 2])


@pytest.mark.parametrize(
    ("change", "wider", "higher"), [({"count": 16}, 0, -1), ({"columns": 4}, -1, 1)]
)
def test_count_and_columns(change: dict[str, int], wider: int, higher: int) -> None:
    before = show_filters(FiltersSettings(count=32)).result.pixels
    after = show_filters(FiltersSettings(**{"count": 32, **change})).result.pixels
    assert (after.shape[3] > before.shape[3]) - (after.shape[3] < before.shape[3]) == wider
    assert (after.shape[2] > before.shape[2]) - (after.shape[2] < before.shape[2]) == higher


def test_recipe() -> None:
    recipe = show_filters(FiltersSettings(count=2)).result.recipe
    assert recipe["technique"] == "inspect filters"
    assert recipe["settings"]["count"] == 2
    assert recipe["weights"]["name"] == "vgg16"
    assert recipe["inputs"] == []


def test_no_such_layer() -> None:
    with pytest.raises(UnknownNameError, match="conv9_9"):
        show_filters(FiltersSettings(layer="conv9_9"))


class TestTiling:
    """The small things."""

    def test_rows(self) -> None:
        assert in_rows("abcde", 2) == [["a", "b"], ["c", "d"], ["e"]]

    def test_enlarged(self) -> None:
        assert enlarged(torch.tensor([[1.0, 2.0]]), 5).tolist() == [[1, 1, 2, 2]] * 2
        assert enlarged(torch.zeros(3, 9), 5).shape == (3, 9)

    @pytest.mark.parametrize(("count", "size"), [(1, (3, 3)), (4, (7, 7)), (5, (7, 11))])
    def test_mosaic(self, count: int, size: tuple[int, int]) -> None:
        tiles = torch.arange(count).float().view(-1, 1, 1).expand(-1, 3, 3) + 1
        whole = mosaic(tiles)
        assert whole.shape == size
        for number in range(count):
            assert int((whole == number + 1).sum()) == 9
        assert float(whole.max()) == count

    @pytest.mark.parametrize(
        ("number", "text"), [(0.01234, "0.0123"), (45.67, "45.7"), (1234.5, "1234"), (0, "0")]
    )
    def test_figures(self, number: float, text: str) -> None:
        assert figure(number) == text
