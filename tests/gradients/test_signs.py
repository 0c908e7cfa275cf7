"""Signs and maxima by the bits of floats, against torch's own."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.gradients.fast_pass import (
    DEAD,
    clear_minus_zeros,
    keep_where,
    keep_where_positive,
    max_pool,
    max_unpool,
)
from stylize.networks.vgg import convolve

DTYPES = [torch.bfloat16, torch.float32, torch.float64]
FORMATS = [torch.contiguous_format, torch.channels_last]


def rectified(dtype: torch.dtype, height: int = 7, width: int = 9, seed: int = 0) -> Tensor:
    """Rectified, in few values, so that cells have ties and cells without a positive value."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(-3, 3, (1, 5, height, width), generator=generator)
    return F.relu(drawn.to(dtype) * 0.3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_signs(dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, -0.0, 1e-30, 3.0, float("inf")], dtype=dtype)
    cleared = x.clone()
    clear_minus_zeros(cleared)
    assert not torch.signbit(cleared).any()
    values = [-1.5, 2.0, -0.25, 7.0, -8.0]
    for keep in (lambda y: keep_where(y, x.to(torch.bool)), lambda y: keep_where_positive(y, x)):
        y = torch.tensor(values, dtype=dtype)
        keep(y)
        assert y.tolist() == [0, 0, -0.25, 7.0, -8.0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding", [0, 1])
def test_a_rectified_convolution(dtype: torch.dtype, padding: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 8, 9, 7, generator=generator).to(dtype)
    weight = torch.randn(16, 8, 3, 3, generator=generator).to(dtype)
    for bias in (None, torch.randn(16, generator=generator).to(dtype)):
        plain = convolve(x, weight, bias, padding=padding, rectify=False)
        assert (plain < 0).any()
        found = convolve(x, weight, bias, padding=padding, rectify=True)
        expected = F.conv2d(
            x.double(), weight.double(), None if bias is None else bias.double(), padding=padding
        )
        torch.testing.assert_close(found, F.relu(plain))
        torch.testing.assert_close(found.double(), F.relu(expected), atol=0.1, rtol=0.01)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMATS)
def test_pooling_and_its_way_back_are_torchs(dtype: torch.dtype, form: torch.memory_format) -> None:
    x = rectified(dtype).contiguous(memory_format=form)
    leaf = x.clone().requires_grad_()
    expected = F.max_pool2d(leaf, 2)
    found, codes = max_pool(x)
    assert torch.equal(found, expected.detach())
    seed = torch.arange(1.0, 1.0 + expected.numel()).view(expected.shape).to(dtype)
    seed = seed.contiguous(memory_format=form)
    (gradient,) = torch.autograd.grad(expected, leaf, seed)
    back = max_unpool(seed, codes, (7, 9))
    # A ReLU that follows on the way back is done already.
    assert torch.equal(back, gradient * (x > 0))
    assert torch.equal(codes >= DEAD, found == 0)
    assert codes.dtype is torch.int8


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 2**31))
def test_what_goes_back_is_what_came(height: int, width: int, seed: int) -> None:
    """Pooling is the transpose of its way back: ⟨pool'(g), x⟩ = ⟨g, pool(x)⟩."""
    x = rectified(torch.float64, height, width, seed)
    found, codes = max_pool(x)
    gradient = torch.rand(found.shape, dtype=torch.float64)
    back = max_unpool(gradient, codes, (height, width))
    torch.testing.assert_close((back * x).sum(), (gradient * found).sum())


def test_a_number_that_is_none_does_not_get_lost() -> None:
    x = torch.zeros(1, 1, 2, 2)
    for value in (float("nan"), -float("nan")):
        x[0, 0, 1, 0] = value
        y = x.clone()
        clear_minus_zeros(y)
        assert max_pool(y)[0].isnan().all()
