"""Blocks without autograd, against autograd through the same network, in double precision."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylize.gradients.fast_pass import average_unpool, blocks_of
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG, FirstConvolution, SplitFirstConvolution, halves, pooled

LAYERS = ("relu1_1", "conv1_2", "relu1_2", "conv2_1", "relu3_2", "conv3_3")


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def with_energy(name: str, known: Tensor, gradient: Tensor | None) -> Tensor:
    return known.clone() if gradient is None else gradient + known


def there_and_back(vgg: VGG, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """All activations, and the gradient of half their energy."""
    x, inputs, memories = image, [], []
    for block in blocks_of(vgg):
        inputs.append(x)
        memory = block.forward(x)
        memories.append(memory)
        x = memory.output if memory.output is not None else x
    features = {name: each for memory in memories for name, each in memory.features.items()}
    gradient = None
    for block, memory, seen in reversed(list(zip(blocks_of(vgg), memories, inputs, strict=True))):
        block.lighten(memory)
        block.recall(memory, seen)
        gradient = block.backward(memory, gradient, with_energy)
    assert gradient is not None
    return features, gradient


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("layers", [LAYERS, LAYERS[:1], ("conv3_1",), ("relu2_2", "conv4_1")])
@pytest.mark.parametrize("size", [(24, 32), (27, 21)])
def test_a_block_is_what_autograd_says(
    vgg16: Weights, pooling: str, layers: tuple[str, ...], size: tuple[int, int]
) -> None:
    vgg = VGG(vgg16, layers, pooling=pooling, precision="fp64")
    leaf = noise(1, 3, *size).requires_grad_()
    expected = vgg(leaf)
    outputs = [expected[name] for name in layers]
    (gradient,) = torch.autograd.grad(outputs, leaf, [each.detach() for each in outputs])
    features, found = there_and_back(vgg, leaf.detach())
    assert features.keys() == set(layers)
    for name in layers:
        torch.testing.assert_close(features[name], expected[name].detach())
    torch.testing.assert_close(found, gradient, rtol=1e-10, atol=1e-12)


def test_what_is_remembered_is_bytes(vgg16: Weights) -> None:
    block = blocks_of(VGG(vgg16, ("relu4_1",)))[2]
    memory = block.forward(noise(1, 128, 8, 6).float())
    assert not memory.features
    assert {name: each.element_size() for name, each in memory.alive.items()} == {
        "conv3_1": 1,
        "conv3_2": 1,
    }
    assert memory.codes is not None
    assert memory.codes.shape == (1, 256, 4, 3)
    assert memory.codes.element_size() == 1


def test_without_a_way_back_nothing_is_remembered(vgg16: Weights) -> None:
    vgg = VGG(vgg16, ("relu1_1", "relu2_1"))
    memory = blocks_of(vgg)[0].forward(noise(1, 3, 8, 8).float(), remember=False)
    assert memory.codes is None
    assert not memory.alive
    assert memory.features.keys() == {"relu1_1"}
    full = blocks_of(vgg)[0].forward(noise(1, 3, 8, 8).float())
    assert memory.output is not None
    assert full.output is not None
    torch.testing.assert_close(memory.output, full.output)


def test_the_split_convolution_and_its_way_back_are_the_plain_ones(vgg16: Weights) -> None:
    first = blocks_of(VGG(vgg16, ("conv1_1",)))[0].convolutions[0]
    plain = FirstConvolution(first.weight, first.bias, torch.float32, torch.channels_last)
    split = SplitFirstConvolution(first.weight, first.bias, torch.channels_last)
    image, gradient = noise(1, 3, 9, 14).float(), noise(1, 64, 9, 14).bfloat16()
    torch.testing.assert_close(
        split.forward(image).float(), plain.forward(image), rtol=2**-8, atol=2e-3
    )
    expected = plain.backward(gradient.float())
    error = (split.backward(gradient) - expected).norm() / expected.norm()
    assert float(error) < 2**-8


@given(st.floats(-1e6, 1e6, width=32))
def test_two_halves_are_nearly_the_whole(value: float) -> None:
    whole = torch.tensor(value)
    high, low = halves(whole)
    assert (high.dtype, low.dtype) == (torch.bfloat16, torch.bfloat16)
    assert abs(float(high.double() + low.double()) - value) <= 2**-16 * abs(value) + 1e-37


def test_nothing_wanted_nothing_back(vgg16: Weights) -> None:
    block = blocks_of(VGG(vgg16, ("relu1_1", "relu2_1")))[0]
    memory = block.forward(noise(1, 3, 8, 8).float())
    zero = block.backward(memory, None, lambda name, known, _: torch.zeros_like(known))
    assert zero is not None
    assert not zero.any()


def test_average_pooling_is_the_transpose_of_its_way_back() -> None:
    x, gradient = noise(1, 2, 7, 6), noise(1, 2, 3, 3)
    there = (pooled(x, "avg", 1.0) * gradient).sum()
    torch.testing.assert_close(there, (x * average_unpool(gradient, (7, 6))).sum())
