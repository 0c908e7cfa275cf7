"""VGG's convolutions as a function from a picture to named activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.networks.architecture import rectified, up_to
from stylize.networks.base import NetworkBase

if TYPE_CHECKING:
    from stylize.networks.models import Weights

# The mean of 2×2 rectified activations is smaller than their maximum. Without a factor each average
# pooling would weaken the input of the deeper layers, which were trained with maxima. One factor
# per pooling: the ratio of root mean squares, averaged over the sample photographs at 256 px.
AVERAGE_POOLING_GAINS = {"vgg16": (1.14, 1.52, 1.60, 1.76), "vgg19": (1.13, 1.56, 1.39, 1.89)}


class VGG(NetworkBase):
    """VGG's convolutions up to the deepest requested layer, with frozen weights.

    Args:
        weights: as :func:`stylize.networks.models.load_weights` returns them.
        layers: names of the activations to return, ``conv4_2`` (before the ReLU) or
            ``relu4_2`` (after it).
        pooling: ``"max"``, or ``"avg"``, which preserves the scale of the activations.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp64"`` (for tests). In bf16 the first convolution
            splits the pixels into two parts, because 8 significant bits would change them by half
            a grey level.
        device: where the network runs.

    Attributes:
        convolutions: the layers that are computed, in order.
        parameters: weight and bias of each; the first takes RGB in [0, 1].
        first: computes the first layer.

    Raises:
        UnknownNameError: the network does not have such a layer.

    Note:
        The first convolution is padded by replication, because zeros would frame the picture in
        black (after K. Crowson's style-transfer-pytorch). Since the padding consists of pixels,
        the preprocessing is an affine map and can be folded into that convolution.
    """

    def __init__(
        self,
        weights: Weights,
        layers: Sequence[str],
        *,
        pooling: str = "max",
        precision: str = "fp32",
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(
            weights.architecture,
            weights.sha256,
            layers,
            pooling=pooling,
            precision=precision,
            device=device,
        )
        self.convolutions = up_to(weights.architecture, self.layers)
        self.parameters = [
            self._place(*self._parameters_of(weights, layer.name), first=not index)
            for index, layer in enumerate(self.convolutions)
        ]
        if precision == "bf16":
            self.first: FirstConvolution = SplitFirstConvolution(
                *self.parameters[0], self.memory_format
            )
        else:
            self.first = FirstConvolution(*self.parameters[0], self.dtype, self.memory_format)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Compute the activations by layer name.

        Args:
            image: ``(N, 3, H, W)`` RGB in [0, 1].

        Returns:
            ``(N, C, H // stride, W // stride)`` for each name, in the network's precision, part
            of the autograd graph if ``image`` is.
        """
        found = {}
        x = self.first.forward(image)
        gains = iter(AVERAGE_POOLING_GAINS[self.architecture])
        for index, layer in enumerate(self.convolutions):
            if index:
                if layer.pooled:
                    x = pooled(x, self.pooling, next(gains))
                weight, bias = self.parameters[index]
                x = F.conv2d(x, weight, bias, padding=1)
            if layer.name in self.layers:
                found[layer.name] = x
                x = F.relu(x)
            else:
                x = F.relu_(x)
            if rectified(layer.name) in self.layers:
                found[rectified(layer.name)] = x
        return found

    @staticmethod
    def _parameters_of(weights: Weights, name: str) -> tuple[Tensor, Tensor]:
        weight, bias = weights.tensors[f"{name}.weight"], weights.tensors[f"{name}.bias"]
        if name != "conv1_1":
            return weight, bias
        return fold_preprocessing(weights, weight, bias)

    def _place(self, weight: Tensor, bias: Tensor, *, first: bool) -> tuple[Tensor, Tensor]:
        dtype = torch.float32 if first and self.precision == "bf16" else self.dtype
        return (
            weight.to(self.device, dtype).contiguous(memory_format=self.memory_format),
            bias.to(self.device, dtype),
        )


def exact(features: Tensor) -> Tensor:
    """Convert activations to at least single precision."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


def fold_preprocessing(weights: Weights, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Compute first-layer parameters that take RGB in [0, 1] instead of the network's own input.

    With input ``(scale·x − mean) / std`` per channel, ``W·input + b`` is
    ``(W·scale/std)·x + (b − Σ W·mean/std)``.
    """
    prepared = weights.preprocessing
    mean = torch.tensor(prepared.mean, dtype=torch.float64).view(1, 3, 1, 1)
    std = torch.tensor(prepared.std, dtype=torch.float64).view(1, 3, 1, 1)
    exact = weight.double() / std
    folded_bias = bias.double() - (exact * mean).sum(dim=(1, 2, 3))
    folded = exact * prepared.scale
    if prepared.channels == "BGR":
        folded = folded.flip(1)
    return folded, folded_bias


def pooled(x: Tensor, pooling: str, gain: float) -> Tensor:
    """Pool cells of 2×2 to their maximum or their scaled mean."""
    return F.max_pool2d(x, 2) if pooling == "max" else F.avg_pool2d(x, 2) * gain


@cache
def _fused() -> Callable[..., Tensor] | None:
    """oneDNN's convolution and ReLU in one pass over memory; None if it has none for bfloat16."""
    operator = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
    one = torch.ones(1, 1, 1, 1, dtype=torch.bfloat16)
    try:
        operator(one, one, None, (0, 0), (1, 1), (1, 1), 1, "relu", [], "")  # type: ignore[misc]
    except (NotImplementedError, RuntimeError, TypeError):
        return None
    return operator


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, padding: int = 0, rectify: bool
) -> Tensor:
    """Convolve, and rectify if asked to; without autograd if so.

    Args:
        x, weight, bias: as :func:`torch.nn.functional.conv2d` takes them.
        padding: of zeros, on each side, px.
        rectify: apply the ReLU.

    Returns:
        A new tensor.
    """
    # In float32 there is nothing to gain: the convolution itself takes several times as long.
    if rectify and x.device.type == "cpu" and x.dtype is torch.bfloat16:
        fused = _fused() if torch.backends.mkldnn.enabled else None
        if fused is not None:
            ones = (1, 1)
            return fused(x, weight, bias, (padding, padding), ones, ones, 1, "relu", [], "")
    found = F.conv2d(x, weight, bias, padding=padding)
    return F.relu_(found) if rectify else found


class FirstConvolution:
    """The convolution of the pixels, padded by replication, in its own precision.

    Args:
        weight, bias: as :func:`torch.nn.functional.conv2d` takes them.
        dtype: type of the output.
        memory_format: layout of the input.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, dtype: torch.dtype, memory_format: torch.memory_format
    ) -> None:
        self._weight, self._bias, self._dtype = weight, bias, dtype
        self._memory_format = memory_format

    def forward(self, image: Tensor, *, rectify: bool = False) -> Tensor:
        """Convolve ``(N, 3, h, w)`` pixels to ``(N, 64, h, w)``; see :func:`convolve`."""
        x = image.to(dtype=self._weight.dtype, memory_format=self._memory_format)
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return self._convolve(x, rectify=rectify)

    def _convolve(self, x: Tensor, *, rectify: bool) -> Tensor:
        return convolve(x, self._weight, self._bias, rectify=rectify).to(self._dtype)

    def _convolve_back(self, gradient: Tensor) -> Tensor:
        return F.conv_transpose2d(gradient.to(self._weight.dtype), self._weight)

    def backward(self, gradient: Tensor) -> Tensor:
        """Back-propagate ``(N, 64, h, w)`` to ``(N, 3, h, w)``, padding added to its pixels."""
        wide = self._convolve_back(gradient)
        for axis in (2, 3):
            last = wide.shape[axis] - 1
            wide.select(axis, 1).add_(wide.select(axis, 0))
            wide.select(axis, last - 1).add_(wide.select(axis, last))
        return wide[..., 1:-1, 1:-1]


class SplitFirstConvolution(FirstConvolution):
    """The first convolution with bfloat16 products and nearly the precision of float32.

    A float32 is the sum of two bfloat16 to within 2⁻¹⁷ of it. So pixels, weights and biases become
    channels of their high and low parts, of whose four products three matter; the library sums in
    float32. The plain convolution with its conversions took a fifth of all time on a processor
    with matrix units; this takes a tenth of that.

    Args:
        weight, bias: in float32.
        memory_format: layout of the input.
    """

    def __init__(self, weight: Tensor, bias: Tensor, memory_format: torch.memory_format) -> None:
        super().__init__(weight, bias, torch.bfloat16, memory_format)
        high, low = halves(weight)
        # Channels of ones add the bias, from the middle of the window only.
        offsets = weight.new_zeros(len(bias), 2, *weight.shape[2:], dtype=torch.bfloat16)
        offsets[:, 0, 1, 1], offsets[:, 1, 1, 1] = halves(bias)
        self._split = self._laid_out(torch.cat([high, high, low, offsets], 1))
        self._back = self._laid_out(torch.cat([high, low], 1).flip(2, 3).transpose(0, 1))

    def _laid_out(self, weight: Tensor) -> Tensor:
        return weight.contiguous(memory_format=self._memory_format)

    def _convolve(self, x: Tensor, *, rectify: bool) -> Tensor:
        high, low = halves(x)
        ones = high.new_ones(1, 1, 1, 1).expand(len(x), 2, *x.shape[2:])
        split = self._laid_out(torch.cat([high, low, high, ones], 1))
        return convolve(split, self._split, rectify=rectify)

    def _convolve_back(self, gradient: Tensor) -> Tensor:
        parts = F.conv2d(gradient, self._back, padding=2).float()
        return parts[:, :3] + parts[:, 3:]


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Split a float32 into two bfloat16 whose sum equals it except for the last bits."""
    high = x.bfloat16()
    return high, (x - high.float()).bfloat16()
