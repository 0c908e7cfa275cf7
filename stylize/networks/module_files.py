"""State dicts of torchvision's classifiers: their names, and what a file must contain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from stylize.errors import WeightsError
from stylize.networks import caffe
from stylize.networks.graph import ARCHITECTURES, build
from stylize.networks.weight_files import is_plain_float

if TYPE_CHECKING:
    from torch import Tensor

# Entries that only training needs: the number of batches seen, and auxiliary classifiers.
_TRAINING = re.compile(r"(.*\.)?num_batches_tracked|(aux[0-9]*|AuxLogits)\..*")

# What torch's wrappers for several devices, and common training programs, put before every name.
_PREFIXES = ("module.", "model.", "_orig_mod.")

# The convolution that reads the pixels, by the beginnings of the names of architectures: to build
# all of them takes seconds.
_FAMILIES = {
    "conv1.conv": ("googlenet",),
    "Conv2d_1a_3x3.conv": ("inception",),
    "conv1": ("resne", "wide_resnet"),
    "features.0": ("alexnet", "vgg", "squeezenet"),
    "features.conv0": ("densenet",),
    "features.0.0": ("mobilenet", "efficientnet"),
    "layers.0": ("mnasnet",),
    "conv1.0": ("shufflenet",),
}

Shapes = Mapping[str, tuple[int, ...]]

# A file is like a network if it has this share of its tensors.
_ALIKE = 0.9


def is_needed(name: str) -> bool:
    """Return whether a tensor of this name matters outside training."""
    return _TRAINING.match(name) is None


@cache
def expected_shapes(architecture: str) -> Shapes:
    """The names and shapes of a network's tensors, with a thousand classes."""
    state = build(architecture).state_dict()
    return {name: tuple(each.shape) for name, each in state.items() if is_needed(name)}


def plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that matter, by torchvision's names.

    Old files of torchvision's DenseNets have ``norm.1`` for ``norm1``; see also
    :func:`stylize.networks.caffe.from_caffe`.
    """
    found = _unprefixed(state)
    found = caffe.from_caffe(found) or found
    old = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\..*)")
    return {
        (f"{match[1]}{match[2]}" if (match := old.fullmatch(name)) else name): tensor
        for name, tensor in found.items()
        if is_needed(name)
    }


def of_caffe(state: Mapping[str, Tensor]) -> bool:
    """Return whether the tensors have the names of Caffe's GoogLeNet."""
    return caffe.is_caffe(_unprefixed(state))


def _unprefixed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = list(state)
    for prefix in _PREFIXES:
        if names and all(name.startswith(prefix) for name in names):
            names = [name.removeprefix(prefix) for name in names]
    return dict(zip(names, state.values(), strict=True))


def recognised(state: Mapping[str, Tensor]) -> str | None:
    """Which of torchvision's networks a state dict belongs to; None if it is none of them."""
    names = plain_names(state)
    for architecture in _likely(names):
        shapes = expected_shapes(architecture)
        if names.keys() == shapes.keys() and not _differing(names, shapes):
            return architecture
    return None


def nearest(state: Mapping[str, Tensor]) -> str | None:
    """Which network nearly all tensors of a state dict fit; None if they fit none."""
    names = plain_names(state)
    best, fewest = None, float("inf")
    for architecture in _likely(names):
        shapes = expected_shapes(architecture)
        wrong, more = _differing(names, shapes), names.keys() - shapes.keys()
        if len(wrong) <= (1 - _ALIKE) * len(shapes) and len(wrong) + len(more) < fewest:
            best, fewest = architecture, len(wrong) + len(more)
    return best


def _likely(names: Mapping[str, Tensor]) -> list[str]:
    """The architectures whose first convolution has the name that a file has."""
    families = [family for first, family in _FAMILIES.items() if f"{first}.weight" in names]
    return [each for each in ARCHITECTURES if families and each.startswith(families[0])]


def checked_state(
    state: Mapping[str, Tensor], architecture: str, path: Path
) -> tuple[dict[str, Tensor], int]:
    """Check a state dict against an architecture.

    Args:
        state: by torchvision's names; entries that only training needs are ignored.
        architecture: one of :data:`stylize.networks.graph.ARCHITECTURES`.
        path: the name of the file in error messages.

    Returns:
        The network's tensors, and the number of classes.

    Raises:
        WeightsError: a tensor is missing, has another shape or is not floating point, or there is
            one more.
    """
    found, shapes = plain_names(state), expected_shapes(architecture)
    wrong = _differing(found, shapes)
    more = [name for name in found if name not in shapes]
    if wrong or more:
        name = wrong[0] if wrong else more[0]
        expected = f"{name} {shapes[name]}" if name in shapes else "no tensor of this name"
        what = f"{tuple(found[name].shape)} of {found[name].dtype}" if name in found else "nothing"
        if more and (name not in found or name not in shapes):
            what = ", ".join(each[:60] for each in more[:3])
        raise WeightsError(
            f"{path} is not a {architecture} of torchvision: expected {expected}, found {what}",
            hint="name another --architecture, or repair the file",
        )
    classes = found[head_of(shapes)].shape[0]
    if classes == 0:
        raise WeightsError(
            f"{path} is a {architecture} without classes: {head_of(shapes)} is empty"
        )
    return {name: found[name] for name in shapes}, classes


def head_of(shapes: Shapes) -> str:
    """The name of the weight that makes the scores of the classes."""
    return [name for name in shapes if name.endswith(".weight")][-1]


def _differing(found: Mapping[str, Tensor], shapes: Shapes) -> list[str]:
    """Names of tensors that are missing or wrong; the number of classes may be any."""
    head = head_of(shapes)
    last = (head, head.removesuffix("weight") + "bias")
    classes = found[head].shape[:1] if head in found else ()
    wrong = []
    for name, shape in shapes.items():
        tensor = found.get(name)
        if tensor is None:
            wrong.append(name)
            continue
        wanted = (*classes, *shape[1:]) if name in last and tensor.ndim else shape
        if tuple(tensor.shape) != tuple(wanted) or not is_plain_float(tensor):
            wrong.append(name)
    return wrong
