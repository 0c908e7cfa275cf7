"""What hypothesis may try."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from stylize.networks.architecture import layer_names


def numbers(each: dataclasses.Field[Any]) -> st.SearchStrategy[Any]:
    """Values within a field's own bounds."""
    limits = each.metadata
    low = limits["low"] if limits["low"] is not None else limits["above"]
    if each.type.startswith("int"):
        return st.integers(low, limits["high"])
    return st.floats(low, limits["high"], exclude_min=limits["above"] is not None)


def values(each: dataclasses.Field[Any]) -> st.SearchStrategy[Any]:
    """Good values of a field."""
    if each.metadata["choices"]:
        one = st.sampled_from(each.metadata["choices"])
        return st.lists(one).map(tuple) if each.type.startswith("tuple") else one
    pairs = st.tuples(st.sampled_from(layer_names("vgg19")), st.floats(0.001, 1e6))
    special = {
        "LayerWeights": st.lists(pairs, min_size=1, unique_by=lambda pair: pair[0]).map(tuple),
        "tuple[float, ...]": st.lists(st.floats(0.001, 1e6)).map(tuple),
        "bool": st.booleans(),
        "size": st.sampled_from(["1", "512", "640x480", "0.5MP", "12mp", "original"]),
        "device": st.sampled_from(["auto", "cpu", "mps", "cuda", "cuda:3"]),
        "network": st.text(),
        "max_memory": st.sampled_from(["7GB", "800 mb", "123456789"]),
        "from_noise": st.sampled_from(["640x480", "16X16", "1×100000"]),
        "dream": st.sampled_from(["dogs", "eyes:0.5", "birds:3e2"]),
        "style_crop": st.sampled_from(["auto", "none", "800x600+40+30", "16×16+0+0"]),
        "layers": st.sampled_from(
            ["conv4_3", "relu1_1", "conv5_1:7,21-26", "0.5*conv3_3:30-40 - conv1_2"]
        ),
    }
    key = each.name if each.name in special else each.type
    found = special[key] if key in special else numbers(each)
    return st.none() | found if "None" in each.type else found


def objects(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Settings, any that are allowed."""

    def one_of_two(**values: Any) -> Any:
        for name, other in getattr(kind, "ALTERNATIVES", {}).items():
            if values[name] is not None:
                values[other] = None
        return kind(**values)

    return st.builds(one_of_two, **{each.name: values(each) for each in dataclasses.fields(kind)})
