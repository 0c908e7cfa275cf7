"""How a ReLU hands a gradient back: as it is, or by the rules that make clearer pictures.

With the input ``x`` of a ReLU and what comes back to it, ``r``::

    gradient     r where x > 0
    deconvnet    r where r > 0
    guided       r where both

References:
    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014;
    Springenberg, Dosovitskiy, Brox and Riedmiller, "Striving for Simplicity", 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from stylize.errors import UnknownNameError

RULES = ("gradient", "deconvnet", "guided")
# Every name under which torch has a ReLU.
_RELUS = (F.relu, torch.relu, torch.relu_, F.relu_, Tensor.relu, Tensor.relu_)


class _Rule(torch.autograd.Function):
    """A ReLU that lets only what is positive back; with ``guided``, only where it was open."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, guided: bool) -> Tensor:
        """``max(x, 0)``."""
        rectified = x.clamp_min(0)
        ctx.guided = guided
        if guided:
            ctx.save_for_backward(rectified)
        return rectified

    @staticmethod
    def backward(ctx: Any, *back: Tensor) -> tuple[Tensor, None]:
        """What passes by the rule."""
        passed = back[0].clamp_min(0)
        if ctx.guided:
            (rectified,) = ctx.saved_tensors
            passed = passed * (rectified > 0)
        return passed, None


class _Mode(TorchFunctionMode):
    def __init__(self, *, guided: bool) -> None:
        super().__init__()
        self._guided = guided

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _RELUS:
            return _Rule.apply(args[0], self._guided)
        return func(*args, **(kwargs or {}))


@contextmanager
def backward_rule(name: str) -> Iterator[None]:
    """Within it, every ReLU that is called hands gradients back by the rule.

    What is computed on the way there stays the same; the way back may be walked after leaving.

    Args:
        name: one of :data:`RULES`.

    Raises:
        UnknownNameError: no such rule.
    """
    if name not in RULES:
        raise UnknownNameError("rule", name, RULES)
    if name == "gradient":
        yield
    else:
        with _Mode(guided=name == "guided"):
            yield
