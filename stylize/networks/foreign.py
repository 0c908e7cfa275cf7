"""Understand the weight files of others: which network they hold, and what it wants to see."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylize.errors import UnknownNameError, WeightsError
from stylize.networks.architecture import BLOCKS, convolutions
from stylize.networks.formats import (
    CAFFE,
    TORCHVISION,
    Preprocessing,
    as_trunk,
    decode,
    own,
    trunk_shapes,
)

if TYPE_CHECKING:
    from torch import Tensor

PREPROCESSINGS = {"caffe": CAFFE, "torchvision": TORCHVISION}

# Files with torchvision's names and another preprocessing. The first two are the original Oxford
# weights as github.com/jcjohnson/pytorch-vgg has them, the third is torchvision's own
# VGG16_Weights.IMAGENET1K_FEATURES, whose mean is given there as a fraction of 255.
KNOWN_FILES = {
    "vgg16-00b39a1b": CAFFE,
    "vgg19-d01eb7cb": CAFFE,
    "vgg16_features-amdegroot-88682ab5": Preprocessing("RGB", 255.0, (123.0, 117.0, 104.0)),
}
_CLASSIFIER = "classifier."


@dataclass(frozen=True)
class ForeignNetwork:
    """What was found in a file.

    Attributes:
        trunk: all convolutions, by our names, float32.
        classifier: the layers after them by torchvision's names; empty if the file has none.
    """

    architecture: str
    preprocessing: Preprocessing
    trunk: dict[str, Tensor]
    classifier: dict[str, Tensor]


def read_network(path: Path, preprocessing: str = "auto") -> ForeignNetwork:
    """Read a VGG-16 or VGG-19 from a safetensors file or a pickled state dict.

    Args:
        path: ``.safetensors``, ``.pth`` or ``.pt``; nothing but tensors is ever unpickled.
        preprocessing: ``caffe``, ``torchvision``, or ``auto``: as the file says, else as the names
            of its tensors suggest.
    Raises:
        UnknownNameError: no such preprocessing.
        WeightsError: the file cannot be read or is another network.
    """
    if preprocessing not in ("auto", *PREPROCESSINGS):
        raise UnknownNameError("preprocessing", preprocessing, ("auto", *PREPROCESSINGS))
    state, described = _read(path)
    architecture, aliases = _recognise(state, path)
    trunk = as_trunk(state, architecture, path, aliases)
    for name, tensor in trunk.items():
        if not tensor.isfinite().all():
            raise WeightsError(f"{path}: {aliases[name]} holds values that are not finite")
    if preprocessing == "auto":
        wanted = _described_preprocessing(described, path) or _usual_preprocessing(aliases, path)
    else:
        wanted = PREPROCESSINGS[preprocessing]
    return ForeignNetwork(architecture, wanted, trunk, _classifier(state))


def torchvision_names(architecture: str) -> dict[str, str]:
    """Our names to torchvision's: ``conv1_2.bias`` to ``features.2.bias``, and all the others."""
    names, index = {}, 0
    for layer in convolutions(architecture):
        index += layer.pooled
        for part in ("weight", "bias"):
            names[f"{layer.name}.{part}"] = f"features.{index}.{part}"
        index += 2
    return names


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    suffix = path.suffix.lower()
    if suffix not in (".safetensors", ".pth", ".pt"):
        raise WeightsError(f"{path} is no weights file: expected .safetensors, .pth or .pt")
    try:
        if suffix == ".safetensors":
            return decode(path.read_bytes(), path)
        return _check_tensors(_unpickle(path), path), {}
    except OSError as err:
        raise WeightsError(f"cannot read {path}: {err.strerror or err}") from err


def _unpickle(path: Path) -> object:
    import torch  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of TorchScript before it refuses it
            state: object = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as err:  # what a damaged pickle raises is anyone's guess
        raise WeightsError(
            f"{path} was refused: it is damaged or holds other Python objects than tensors",
            hint="save it with torch.save(model.state_dict(), FILE) or as .safetensors",
        ) from err
    return state


def _check_tensors(state: object, path: Path) -> dict[str, Tensor]:
    import torch  # noqa: PLC0415

    if not isinstance(state, dict):
        raise WeightsError(f"{path} is no state dict but a {type(state).__name__}")
    for name, value in state.items():
        # weights_only lets sparse and meta tensors through; neither has values to read.
        plain = isinstance(value, torch.Tensor) and value.layout == torch.strided
        if not isinstance(name, str) or not plain or value.is_meta:
            kind = type(value).__name__
            what = "tensor without plain values" if isinstance(value, torch.Tensor) else kind
            raise WeightsError(f"{path} is no state dict of tensors: {name!r} is a {what}")
    return state


def _recognise(state: Mapping[str, Tensor], path: Path) -> tuple[str, dict[str, str]]:
    """The architecture and the names whose tensors the file has most of."""
    normalised = next((name for name in state if name.endswith("running_mean")), None)
    if normalised:
        raise WeightsError(
            f"{path} is a network with batch normalisation ({normalised})",
            hint="only VGG-16 and VGG-19 without it are supported",
        )
    candidates = [
        (architecture, names)
        for architecture in BLOCKS
        for names in (
            {name: name for name in trunk_shapes(architecture)},
            torchvision_names(architecture),
        )
    ]
    best = max(candidates, key=lambda candidate: len(candidate[1].values() & state.keys()))
    if not best[1].values() & state.keys():
        found = ", ".join(list(state)[:3]) or "nothing"
        raise WeightsError(
            f"{path} is no VGG: expected conv1_1.weight or features.0.weight, found {found}"
        )
    return best


def _described_preprocessing(described: Mapping[str, Any], path: Path) -> Preprocessing | None:
    if "preprocessing" not in described:
        return None
    try:
        return Preprocessing.from_json(described["preprocessing"])
    except (KeyError, TypeError, ValueError) as err:
        raise WeightsError(
            f"{path} describes a preprocessing that makes no sense: {err}",
            hint="override it with --preprocessing",
        ) from err


def _usual_preprocessing(aliases: Mapping[str, str], path: Path) -> Preprocessing:
    for stem, known in KNOWN_FILES.items():
        if path.name.startswith(stem):
            return known
    return CAFFE if "conv1_1.weight" in aliases.values() else TORCHVISION


def _classifier(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The layers after the convolutions, if they are of use: some files have them full of NaN."""
    layers = {name: tensor for name, tensor in state.items() if name.startswith(_CLASSIFIER)}
    usable = all(t.is_floating_point() and bool(t.isfinite().all()) for t in layers.values())
    return {name: own(tensor) for name, tensor in layers.items()} if usable else {}
