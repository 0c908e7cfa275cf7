"""The graphs of torchvision's classifiers: layers, strides, receptive fields and cost.

Nothing here is typed by hand: the network runs once on a batch of no pictures, and every function
that it calls is followed from the picture to the maps. torch and torchvision are imported when a
graph is asked for.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

from stylize.networks import caffe
from stylize.networks.torchvision_models import torchvision_models

if TYPE_CHECKING:
    from torch import Tensor, nn

# torchvision's convolutional classifiers for ImageNet, by torchvision's names.
PUBLISHED = (
    "googlenet",
    "inception_v3",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "alexnet",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16_bn",
    "vgg19_bn",
    "squeezenet1_0",
    "squeezenet1_1",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "mnasnet0_5",
    "mnasnet1_0",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "efficientnet_b0",
    "efficientnet_b1",
)

ARCHITECTURES = (*PUBLISHED, caffe.NAME)

# Without these, torchvision adds outputs that only training needs.
_PLAIN = {"googlenet": True, "inception_v3": True}

# Side of the picture with which a network is followed.
_SIDE_PX = 512

_FUSED = ("batch_norm",)

# Functions that make a copy, but return their input if there is no picture in it.
_COPIES = ("contiguous", "local_response_norm")

_SPATIAL = ("conv2d", "max_pool2d", "_max_pool2d", "avg_pool2d", "max_pool2d_with_indices")

_GLOBAL = ("adaptive_avg_pool2d", "adaptive_max_pool2d", "mean")

# Activations and gates other than ReLU and ReLU6.
_SMOOTH = ("silu", "hardswish", "hardsigmoid", "sigmoid", "gelu")

# Modules that are no layers of their own in a list.
_MINOR = (
    "ReLU",
    "ReLU6",
    "SiLU",
    "Hardswish",
    "BatchNorm2d",
    "Dropout",
    "Identity",
    "MaxPool2d",
    "AvgPool2d",
)


@dataclass(frozen=True)
class Axis:
    """What a position of a map sees along one axis.

    Attributes:
        stride: pixels between neighbouring positions.
        first, last: pixels that position 0 sees, both included.
        steps: the functions that changed the number of positions: kernel, stride, padding, and
            whether a last incomplete window counts.
    """

    stride: int = 1
    first: int = 0
    last: int = 0
    steps: tuple[tuple[int, int, int, bool], ...] = ()

    def after(self, kernel: int, stride: int, padding: int, ceil: bool) -> Axis:
        """The axis after a window of ``kernel`` positions."""
        return Axis(
            self.stride * stride,
            self.first - padding * self.stride,
            self.last + (kernel - 1 - padding) * self.stride,
            (*self.steps, (kernel, stride, padding, ceil)),
        )

    def joined(self, other: Axis) -> Axis:
        """The axis of a map made of two maps with the same positions."""
        longer = max(self, other, key=lambda axis: len(axis.steps))
        return replace(longer, first=min(self.first, other.first), last=max(self.last, other.last))

    def positions(self, side_px: int) -> int:
        """The number of positions in so many pixels; 0 where a window does not fit."""
        found = side_px
        for kernel, stride, padding, ceil in self.steps:
            room = found + 2 * padding - kernel
            if room < 0 and not ceil:
                return 0
            before, found = found, (-(-room // stride) if ceil else room // stride) + 1
            if ceil and (found - 1) * stride >= before + padding:
                found -= 1
            if found < 1:
                return 0
        return found

    @property
    def least_px(self) -> int:
        """The side of the smallest picture that has a position."""
        return next(side for side in count(1) if self.positions(side))


@dataclass(frozen=True)
class View:
    """What a map sees of the picture.

    Attributes:
        rows, columns: along both axes.
        sees_all: whether each position depends on the whole picture, through a global mean.
    """

    rows: Axis = field(default_factory=Axis)
    columns: Axis = field(default_factory=Axis)
    sees_all: bool = False


@dataclass(frozen=True)
class Traced:
    """The output of one module of a network.

    Attributes:
        path: of the module, as torchvision names it.
        name: as users write it.
        channels: feature maps.
        view: of the picture.
        macs_per_px: multiply-accumulates per pixel to compute it and all before it.
        kept_per_px: activations per pixel that a backward pass from here needs.
        indices_per_px: positions of maxima per pixel that it needs.
        widest_per_px: activations per pixel of the largest map up to here.
        is_listed: whether it is a block, a branch or a convolution of the stem.
    """

    path: str
    name: str
    channels: int
    view: View
    macs_per_px: float
    kept_per_px: float
    indices_per_px: float
    widest_per_px: float
    is_listed: bool


def build(architecture: str, classes: int = 1000) -> nn.Module:
    """Build one of torchvision's networks without numbers, on the ``meta`` device, to be used.

    Args:
        architecture: one of :data:`ARCHITECTURES`.
        classes: outputs of the last layer.
    """
    import torch  # noqa: PLC0415
    from torch.overrides import TorchFunctionMode  # noqa: PLC0415

    class Unfilled(TorchFunctionMode):
        """Skips random numbers, for which the ``meta`` device would load torch's compiler."""

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            named = kwargs or {}
            if func.__name__.endswith(("normal_", "uniform_")):
                return named["tensor"] if "tensor" in named else args[0]
            return func(*args, **named)

    get_model = torchvision_models().get_model
    more: dict[str, Any] = {}
    if architecture in _PLAIN:
        more = {"aux_logits": False, "init_weights": False}
    with torch.device("meta"), Unfilled(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module
        if architecture == caffe.NAME:
            module = caffe.build_caffe(classes)
        else:
            module = get_model(architecture, weights=None, num_classes=classes, **more)
    return module.eval().requires_grad_(False)


@dataclass(frozen=True)
class Graph:
    """A network, followed.

    Attributes:
        layers: in the order in which they are computed.
        fused: batch normalizations by the convolution whose output only they read.
        first: path of the convolution that reads the pixels.
        repeated: paths of the modules that run more than once, and so are no layers.
        is_smooth: whether it has activations other than ReLU and ReLU6.
    """

    layers: tuple[Traced, ...]
    fused: Mapping[str, str]
    first: str
    repeated: frozenset[str]
    is_smooth: bool

    @cached_property
    def by_name(self) -> dict[str, Traced]:
        """The layers by every name that :func:`key` makes equal."""
        return {key(name): layer for layer in self.layers for name in (layer.path, layer.name)}


def key(name: str) -> str:
    """Reduce a name so that the spellings of the same layer are equal."""
    return name.lower().replace("_", "")


@cache
def graph_of(architecture: str) -> Graph:
    """Follow a network from the picture to its last map."""
    import torch  # noqa: PLC0415

    module = build(architecture)
    # Zeros that take no memory. Functions of the meta device would import torch's compiler.
    state = module.state_dict()
    for name, each in state.items():
        state[name] = torch.zeros((), dtype=each.dtype).expand(each.shape)
    module.load_state_dict(state, assign=True)
    follower = _Follower(module)
    with follower.watching(), torch.no_grad():
        module(follower.picture())
    return follower.graph()


class _Follower:
    """Records what every module of a network sees."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._paths = {id(each): path for path, each in module.named_modules()}
        self._runs: dict[str, int] = {}
        self._found: dict[str, Traced] = {}
        # Tensors are kept, so that no two of them have the same id.
        self._views: dict[int, tuple[Tensor, View | None]] = {}
        self._maker: dict[int, str] = {}
        self._readers: dict[int, int] = {}
        self._fused: dict[str, str] = {}
        self._inputs: dict[str, int] = {}
        self._macs = self._kept = self._indices = self._widest = 0.0
        self._first, self._is_smooth = "", False
        weights = [name for name in module.state_dict() if name.endswith(".weight")]
        self._head = weights[-1].removesuffix(".weight")

    def picture(self) -> Tensor:
        import torch  # noqa: PLC0415

        pixels = torch.empty(0, 3, _SIDE_PX, _SIDE_PX)
        self._views[id(pixels)] = (pixels, View())
        return pixels

    def graph(self) -> Graph:
        layers = tuple(each for path, each in self._found.items() if self._runs[path] == 1)
        fused = {
            conv: norm
            for conv, norm in self._fused.items()
            if self._readers[self._inputs[norm]] == 1 and self._runs[conv] == self._runs[norm] == 1
        }
        repeated = frozenset(path for path in self._found if self._runs[path] > 1)
        return Graph(layers, fused, self._first, repeated, self._is_smooth)

    def watching(self) -> Any:
        from contextlib import ExitStack  # noqa: PLC0415

        from torch.overrides import TorchFunctionMode  # noqa: PLC0415

        follower = self

        class Mode(TorchFunctionMode):
            def __torch_function__(
                self,
                func: Any,
                types: Any,
                args: tuple[Any, ...] = (),
                kwargs: Mapping[str, Any] | None = None,
            ) -> Any:
                result = func(*args, **(kwargs or {}))
                name = getattr(func, "__name__", "")
                follower._follow(name, args, kwargs or {}, result)
                return result

        stack = ExitStack()
        for path, each in self._module.named_modules():
            if path:
                stack.callback(each.register_forward_hook(self._leave).remove)
        stack.enter_context(Mode())
        return stack

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        import torch  # noqa: PLC0415

        path = self._paths[id(module)]
        self._runs[path] = self._runs.get(path, 0) + 1
        if not isinstance(output, torch.Tensor) or output.ndim != 4:
            return
        kind = type(module).__name__
        if kind == "Conv2d":
            self._maker[id(output)] = path
            self._first = self._first or path
        elif kind == "BatchNorm2d" and id(inputs[0]) in self._maker:
            self._fused[self._maker[id(inputs[0])]] = path
            self._inputs[path] = id(inputs[0])
        _, view = self._views.get(id(output), (None, None))
        if path == self._head:  # the rest has as many channels as classes
            self._views[id(output)] = (output, None)
            return
        if view is None or not self._first:
            return
        self._found[path] = Traced(
            path,
            spelled(path),
            output.shape[1],
            view,
            self._macs,
            self._kept,
            self._indices,
            self._widest,
            self._is_listed(path, kind),
        )

    def _is_listed(self, path: str, kind: str) -> bool:
        parent, _, _ = path.rpartition(".")
        if kind in _MINOR or path.count(".") > 1:
            return False
        above = self._module.get_submodule(parent) if parent else None
        return above is None or kind != "Conv2d" or type(above).__name__ == "Sequential"

    def _follow(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        self._is_smooth = self._is_smooth or name in _SMOOTH
        read = list(_tensors([*args, *kwargs.values()]))
        known = [each for each in read if id(each) in self._views]
        if not known:
            return
        results = [each for each in _tensors([out]) if each.ndim > 2]
        for each in known if results else ():
            self._readers[id(each)] = self._readers.get(id(each), 0) + 1
        for result in results:
            view = self._view_of(name, args, kwargs, known, result)
            self._views[id(result)] = (result, view)
            is_new = name in _COPIES or not any(result is each for each in read)
            if view is not None and is_new:
                self._count(name, args, result, view)

    def _view_of(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        known: Sequence[Tensor],
        result: Tensor,
    ) -> View | None:
        source = self._views[id(known[0])][1]
        if name in _SPATIAL:
            return None if source is None else _windowed(source, *_window(name, args, kwargs))
        if name in _GLOBAL:
            return None
        # Anything else works on each position, or mixes channels: it leaves the positions alone.
        alike = [each for each in known if each.ndim > 2 and each.shape[-2:] == result.shape[-2:]]
        views = [self._views[id(each)][1] for each in alike]
        if not views or any(view is None for view in views):
            return None
        joined = views[0]
        for view in views[1:]:
            joined = _joined(joined, view)
        reads_global = len(alike) < len(known)
        return replace(joined, sees_all=True) if joined and reads_global else joined

    def _count(self, name: str, args: Sequence[Any], result: Tensor, view: View) -> None:
        share = 1 / (view.rows.stride * view.columns.stride)
        each = math.prod(result.shape[1:-2]) * share
        if name in _FUSED or name in ("view", "transpose", "chunk", "split", "__getitem__"):
            return
        self._widest = max(self._widest, each)
        self._kept += each
        if "max_pool" in name:
            self._indices += each
        if name == "conv2d":
            weight = args[1]
            self._macs += math.prod(weight.shape) * share


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    import torch  # noqa: PLC0415

    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


Pair = tuple[int, int]


def _window(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Pair, Pair, Pair, bool]:
    """Kernel with its dilation, stride and padding of a convolution or a pooling."""
    if name == "conv2d":
        names = ("input", "weight", "bias", "stride", "padding", "dilation")
        given = dict(zip(names, args, strict=False)) | dict(kwargs)
        down, across = _pair(given.get("dilation", 1))
        rows, columns = given["weight"].shape[2:]
        kernel = (1 + down * (rows - 1), 1 + across * (columns - 1))
        return kernel, _pair(given.get("stride", 1)), _pair(given.get("padding", 0)), False
    dilation = ("dilation",) if "max" in name else ()
    names = ("input", "kernel_size", "stride", "padding", *dilation, "ceil_mode")
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    kernel = _pair(given["kernel_size"])
    stride = given.get("stride")
    return (
        kernel,
        kernel if stride is None else _pair(stride),
        _pair(given.get("padding", 0)),
        bool(given.get("ceil_mode", False)),
    )


def _pair(value: Any) -> Pair:
    if isinstance(value, (tuple, list)):
        return (value[0], value[-1])
    return (value, value)


def _windowed(view: View, kernel: Pair, stride: Pair, padding: Pair, ceil: bool) -> View:
    rows = view.rows.after(kernel[0], stride[0], padding[0], ceil)
    columns = view.columns.after(kernel[1], stride[1], padding[1], ceil)
    return View(rows, columns, view.sees_all)


def _joined(one: View | None, other: View | None) -> View | None:
    if one is None or other is None or one.rows.stride != other.rows.stride:
        return None
    rows, columns = one.rows.joined(other.rows), one.columns.joined(other.columns)
    return View(rows, columns, one.sees_all or other.sees_all)


def spelled(path: str) -> str:
    """The name of a layer as the papers write it: ``inception_4c`` for ``inception4c``."""
    head, dot, rest = path.partition(".")
    if head.startswith("inception") and head[9:10].isdigit():
        head = f"inception_{head[9:]}"
    return head + dot + rest
