"""Signs and maxima by the bits of floats, against torch's own."""

from types import SimpleNamespace

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
from stylize.networks import vgg
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
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("padding", [0, 1])
def test_a_rectified_convolution(
    dtype: torch.dtype, form: torch.memory_format, padding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bits with and without oneDNN's own ReLU."""
    generator = torch.Generator().manual_seed(0)
    x, weight = (
        torch.randn(shape, generator=generator).to(dtype).contiguous(memory_format=form)
        for shape in ((1, 64, 19, 17), (64, 64, 3, 3))
    )
    for bias in (None, torch.randn(64, generator=generator).to(dtype)):
        expected = F.relu(F.conv2d(x, weight, bias, padding=padding))
        assert (expected == 0).any()
        assert torch.equal(convolve(x, weight, bias, padding=padding, rectify=True), expected)
        with monkeypatch.context() as patched:
            patched.setattr("stylize.networks.vgg._fused", lambda: None)
            assert torch.equal(convolve(x, weight, bias, padding=padding, rectify=True), expected)


def test_a_torch_without_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("bf16 path needs the cpu support")

    for broken in (SimpleNamespace(), SimpleNamespace(_convolution_pointwise=refuse)):
        with monkeypatch.context() as patched:
            patched.setattr(torch.ops, "mkldnn", broken)
            assert vgg._fused.__wrapped__() is None


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
