"""Hostile weights: pickles, safetensors, and the records of models that were added."""

from __future__ import annotations

import io
import json
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylize.networks.import_models import torchvision_names
from stylize.networks.weight_files import convolution_shapes
from tests.fuzz.amount import inputs
from tests.fuzz.conftest import QUICK
from tests.fuzz.mutations import Draw, File, damaged, documents, texts, to_json
from tests.fuzz.pictures import photo_file, style_file
from tests.fuzz.rule import Sandbox
from tests.fuzz.safetensors_files import joined

pytestmark = pytest.mark.slow


class _Program:
    """Runs a program when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("echo pwned > outside.txt",)


def _state() -> dict[Any, Any]:
    """All of a VGG-16 in a few kilobytes: each tensor repeats one value."""
    shapes = convolution_shapes("vgg16")
    names = torchvision_names("vgg16")
    return {names[name]: torch.full((1,), 0.01).expand(shape) for name, shape in shapes.items()}


_ODD_VALUES: list[Callable[[torch.Tensor], Any]] = [
    lambda tensor: torch.full((1,), float("nan")).expand(tensor.shape),
    lambda tensor: tensor.to(torch.float64)[..., :1],
    lambda tensor: torch.zeros(1, dtype=torch.int8).expand(tensor.shape),
    lambda tensor: torch.zeros(1, dtype=torch.complex64).expand(tensor.shape),
    lambda tensor: torch.zeros(1, dtype=torch.bool).expand(tensor.shape),
    lambda tensor: torch.zeros(1, dtype=torch.float8_e4m3fn).expand(tensor.shape),
    lambda tensor: torch.zeros(1, dtype=torch.bfloat16).expand(tensor.shape),
    lambda tensor: torch.zeros(1).expand(1_000_000, 1_000_000),
    lambda tensor: torch.zeros(0),
    lambda tensor: torch.zeros(()),
    lambda tensor: torch.zeros(tensor.shape, device="meta"),
    lambda tensor: torch.eye(3).to_sparse(),
    lambda tensor: torch.nn.Parameter(tensor.clone()[:1]),
    lambda tensor: torch.Size((1, 2)),
    lambda tensor: [tensor],
    lambda tensor: {"weight": tensor},
    lambda tensor: OrderedDict(),
    lambda tensor: "weight",
    lambda tensor: 10**400,
    lambda tensor: None,
    lambda tensor: torch.nn.Linear(1, 1),
    lambda tensor: _Program(),
]

_ODD_STATES: list[Callable[[dict[Any, Any]], Any]] = [
    dict,
    dict,
    OrderedDict,
    lambda state: {"state_dict": state},
    lambda state: list(state.values()),
    lambda state: state | {5: 1, None: 2},
    lambda state: state | {f"classifier.{n}.weight": torch.zeros(2, 2) for n in range(99)},
    lambda state: state | {"classifier.0.weight": torch.zeros(1).expand(10**5, 10**5)},
    lambda state: state | {"features.1.running_mean": torch.zeros(1)},
    lambda state: {f"\x1b[31m{name}": value for name, value in state.items()},
    lambda state: {"x" * 10_000: torch.zeros(1)},
    lambda state: {},
    lambda state: None,
    lambda state: torch.zeros(3),
]


@st.composite
def _pickles(draw: Draw) -> File:
    """A file of torch.save, with odd values, in an odd shape, or damaged."""
    state, intact = _state(), _state()
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(sorted(state)))
        state[name] = draw(st.sampled_from(_ODD_VALUES))(intact[name])
    if draw(st.booleans()):
        del state[draw(st.sampled_from(sorted(state)))]
    buffer = io.BytesIO()
    odd = draw(st.sampled_from(_ODD_STATES))(state)
    torch.save(odd, buffer, _use_new_zipfile_serialization=draw(st.booleans()))
    data = buffer.getvalue()
    return draw(damaged([data])) if draw(st.booleans()) else File(data)


def _header() -> dict[str, Any]:
    """Of a file with the first tensors of a VGG-16."""
    preprocessing = {"channels": "RGB", "scale": 255.0, "mean": [1.0, 2.0, 3.0]}
    header: dict[str, Any] = {
        "__metadata__": {"stylize": json.dumps({"preprocessing": preprocessing}), "format": "pt"}
    }
    start = 0
    for name, shape in list(convolution_shapes("vgg16").items())[:2]:
        size = 4 * torch.Size(shape).numel()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, start + size]}
        start += size
    header["conv1_2.index"] = {"dtype": "U8", "shape": [16], "data_offsets": [start, start + 16]}
    header["conv1_2.palette"] = {
        "dtype": "F16",
        "shape": [256],
        "data_offsets": [start + 16, start + 528],
    }
    return header


_DTYPES = ("F4", "F8_E4M3", "F8_E5M2", "F8_E8M0", "BF16", "F64", "I64", "BOOL", "C64", "U16", "")


@st.composite
def _safetensors(draw: Draw) -> File:
    header = _header()
    body = bytes(header["conv1_2.palette"]["data_offsets"][1])
    if draw(st.booleans()):
        name = draw(st.sampled_from(("conv1_1.weight", "conv1_2.index", "conv1_2.palette")))
        header[name]["dtype"] = draw(st.sampled_from(_DTYPES))
    if draw(st.booleans()):
        header = draw(documents([header]))
    data = joined(header, body)
    return draw(damaged([data])) if draw(st.integers(0, 3)) == 0 else File(data)


def test_an_intact_pickle_is_added(sandbox: Sandbox) -> None:
    buffer = io.BytesIO()
    torch.save(_state(), buffer)
    words = ["models", "add", "input.pth"]
    sandbox.check(words, {"input.pth": buffer.getvalue()}, makes=_is_model, codes=(0,))


@inputs(120)
@given(data=_pickles())
def test_hostile_pickles(sandbox: Sandbox, data: bytes) -> None:
    sandbox.check(["models", "add", "input.pth"], {"input.pth": data}, makes=_is_model)


@inputs(120)
@given(data=_safetensors())
def test_hostile_safetensors(sandbox: Sandbox, data: bytes) -> None:
    sandbox.check(["models", "add", "x.safetensors"], {"x.safetensors": data}, makes=_is_model)


_RECORD = {
    "source": "input.pth",
    "source_sha256": "0" * 64,
    "architecture": "vgg16",
    "preprocessing": {"channels": "RGB", "scale": 1.0, "mean": [1, 1, 1], "std": [1, 1, 1]},
    "sha256": "0" * 64,
    "classifier": {"file": "own.classifier.safetensors", "sha256": "0" * 64},
}

_VERDICTS = {
    "key": {"precision": "fp32", "gflops": 100.0, "speedup": 1.5, "cosine": 0.99},
    "other": {"precision": "bf16", "gflops": 200.0, "speedup": 2.5, "cosine": 1.0},
}

_COMMANDS: list[tuple[Any, ...]] = [
    ("models", "list"),
    ("models", "list", "--json"),
    ("models", "verify"),
    ("models", "path", "own"),
    ("transfer", "photo.png", "style.png", *QUICK, "--network", "own", "-o", "made.png"),
    ("presets", "list"),
    ("presets", "list", "--json"),
    ("batch", "dream", "photo.png", "-o", "out", "--dry-run"),
    ("batch", "dream", "photo.png", "-o", "out", "--dry-run", "--json"),
]


@inputs(120)
@given(
    record=texts(documents([_RECORD]).map(to_json)),
    verdicts=texts(documents([_VERDICTS]).map(to_json)),
    words=st.sampled_from(_COMMANDS),
)
def test_hostile_records_and_caches(
    sandbox: Sandbox, record: bytes, verdicts: bytes, words: tuple[Any, ...]
) -> None:
    files = {
        "../cache/models/own.json": sandbox.placed(record),
        "../cache/machine.json": sandbox.placed(verdicts),
        "../cache/sources.sqlite": sandbox.placed(verdicts),
        "photo.png": photo_file(),
        "style.png": style_file(),
    }
    sandbox.check(words, files)


def _is_model(name: str) -> bool:
    return name.startswith(("cache/models/", "data/"))
