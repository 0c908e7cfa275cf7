"""One of torchvision's classifiers as a function from a picture to named activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from stylize.errors import SettingError
from stylize.networks.architecture import deepest_traced, find_traced
from stylize.networks.base import NetworkBase
from stylize.networks.graph import build, graph_of

if TYPE_CHECKING:
    from stylize.networks.models import Weights


class ModuleNetwork(NetworkBase):
    """torchvision's own module up to the deepest requested layer, with frozen weights.

    Args:
        weights: as :func:`stylize.networks.models.load_weights` returns them.
        layers: names of the activations to return: of modules, such as ``inception_4c``.
        pooling: ``"max"``: as the network was trained.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp64"`` (for tests). In bf16 the first convolution
            stays in single precision, because 8 significant bits would change the pixels by half
            a grey level.
        device: where the network runs.

    Raises:
        UnknownNameError: the network does not have such a layer.
        SettingError: another pooling.

    Note:
        Each batch normalization is an affine map, and is folded into the convolution before it.
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
        if pooling != "max":
            raise SettingError(
                f"--pooling {pooling} is for VGG-16 and VGG-19, and {weights.name} is a"
                f" {weights.architecture}",
                hint="leave it out",
            )
        super().__init__(
            weights.architecture,
            weights.sha256,
            layers,
            pooling=pooling,
            precision=precision,
            device=device,
        )
        self._paths = {name: find_traced(self.architecture, name).path for name in self.layers}
        self._deepest = deepest_traced(self.architecture, self.layers).path
        self._prepared = weights.preprocessing
        self._module = self._place(module_of(weights))

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Compute the activations by layer name.

        Args:
            image: ``(N, 3, H, W)`` RGB in [0, 1].

        Returns:
            ``(N, C, h, w)`` for each name, in the network's precision, part of the autograd graph
            if ``image`` is.
        """
        found: dict[str, Tensor] = {}
        with ExitStack() as stack:
            for path in dict.fromkeys(self._paths.values()):
                hook = self._hook(path, found)
                handle = self._module.get_submodule(path).register_forward_hook(hook)
                stack.callback(handle.remove)
            stack.enter_context(suppress(_DoneError))
            self._module(self._input(image))
        return {name: found[path] for name, path in self._paths.items()}

    def _hook(self, path: str, found: dict[str, Tensor]) -> Callable[..., Tensor]:
        def keep(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            found[path] = output
            if path == self._deepest:
                raise _DoneError
            # The next function may work in place.
            return output.clone()

        return keep

    def _input(self, image: Tensor) -> Tensor:
        prepared = self._prepared
        exact = torch.float64 if self.precision == "fp64" else torch.float32
        x = image.to(exact)
        if prepared.channels == "BGR":
            x = x.flip(1)
        std = x.new_tensor(prepared.std).view(1, 3, 1, 1)
        mean = x.new_tensor(prepared.mean).view(1, 3, 1, 1)
        x = x * (prepared.scale / std) - mean / std
        return x.contiguous(memory_format=self.memory_format)

    def _place(self, module: nn.Module) -> nn.Module:
        graph = graph_of(self.architecture)
        for conv, norm in graph.fused.items():
            if conv not in self._paths.values():
                _fold(module, conv, norm)
        first = module.get_submodule(graph.first)
        exact = {name: each.clone() for name, each in first.state_dict().items()}
        module.to(self.device, self.dtype).to(memory_format=self.memory_format)
        if self.precision == "bf16":
            first.to(torch.float32).load_state_dict(exact)
            first.register_forward_hook(lambda module, inputs, output: output.to(torch.bfloat16))
        return module


class _DoneError(Exception):
    """Leaves a module once all activations are there."""


def module_of(weights: Weights) -> nn.Module:
    """Build torchvision's module with a model's weights, ready for evaluation."""
    module = build(weights.architecture, weights.classes)
    # The module's own dict tells some of its parts in which version their entries are named.
    state = module.state_dict()
    for name, each in state.items():
        is_counter = name.endswith("num_batches_tracked")
        state[name] = torch.zeros((), dtype=each.dtype) if is_counter else weights.tensors[name]
    module.load_state_dict(state, assign=True)
    return module.eval().requires_grad_(False)


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    """Fold a batch normalization into the convolution before it; leave nothing in its place."""
    before, after = module.get_submodule(conv), module.get_submodule(norm)
    assert isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d)
    mean, variance = after.running_mean, after.running_var
    assert mean is not None and variance is not None
    scale = after.weight.double() / (variance.double() + after.eps).sqrt()
    bias = before.bias.double() if before.bias is not None else torch.zeros_like(scale)
    folded = before.weight.double() * scale.view(-1, 1, 1, 1)
    shifted = (bias - mean.double()) * scale + after.bias.double()
    before.weight = nn.Parameter(folded.to(before.weight.dtype), requires_grad=False)
    before.bias = nn.Parameter(shifted.to(before.weight.dtype), requires_grad=False)
    parent, _, name = norm.rpartition(".")
    setattr(module.get_submodule(parent), name, nn.Identity())
