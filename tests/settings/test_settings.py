"""The settings: every one is documented, bounded, and survives the way to a file and back."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.errors import ExpressionError, SettingError, UnknownNameError, UsageError
from stylize.settings.dream import DreamSettings, TunnelSettings
from stylize.settings.execution import CheckpointSettings, Execution
from stylize.settings.fields import earlier_values, from_document, option_name, to_document
from stylize.settings.schedule import result_size, size_notes
from stylize.settings.transfer import MAX_STYLES, TransferSettings
from tests.strategies import objects

FIELDS = [
    pytest.param(kind, each, id=f"{kind.__name__}.{each.name}")
    for kind in (TransferSettings, DreamSettings, TunnelSettings, Execution, CheckpointSettings)
    for each in dataclasses.fields(kind)
]
NUMBERS = [
    case for case in FIELDS if "int" in case.values[1].type or "float" in case.values[1].type
]
LAYERS = ("style_layers", "content_layers")


@pytest.mark.parametrize(("kind", "each"), FIELDS)
def test_every_field_is_documented(kind: type[Any], each: dataclasses.Field[Any]) -> None:
    words = each.metadata["help"]
    assert len(words.split()) >= 3 or each.name == "optimizer"
    assert words.endswith((".", "]"))
    assert words[0].isupper() or words.startswith("auto")


@pytest.mark.parametrize(("kind", "each"), NUMBERS)
def test_every_number_has_two_ends(kind: type[Any], each: dataclasses.Field[Any]) -> None:
    limits = each.metadata
    assert (limits["low"] is None) != (limits["above"] is None)
    assert limits["high"] is not None


def one(each: dataclasses.Field[Any], number: Any) -> dict[str, Any]:
    """A number as the value of a field, however it holds numbers."""
    if each.name in LAYERS:
        return {each.name: (("relu1_1", 1.0), ("relu2_1", number))}
    return {each.name: (number,) if each.type.startswith("tuple") else number}


@pytest.mark.parametrize(("kind", "each"), NUMBERS)
def test_bounds(kind: type[Any], each: dataclasses.Field[Any]) -> None:
    limits, name = each.metadata, option_name(each)
    kind(**one(each, limits["high"]))
    with pytest.raises(SettingError, match=f"{name}: .* is too large .at most "):
        kind(**one(each, limits["high"] + 1))
    if limits["above"] is not None:
        with pytest.raises(SettingError, match=f"{name}: 0 is too small .more than 0"):
            kind(**one(each, limits["above"]))
        return
    if each.name != "style_weights":
        kind(**one(each, limits["low"]))
    with pytest.raises(SettingError, match=f"{name}: .* is too small .at least "):
        kind(**one(each, limits["low"] - 1))


@pytest.mark.parametrize(("kind", "each"), NUMBERS)
@pytest.mark.parametrize(
    "number", [math.nan, math.inf, -math.inf, True, "3", None, [1], 10**400, -(16**9000)], ids=type
)
def test_what_is_no_number(kind: type[Any], each: dataclasses.Field[Any], number: Any) -> None:
    if number is None and "None" in each.type:
        kind(**one(each, number))
        return
    with pytest.raises(SettingError, match=option_name(each)):
        kind(**one(each, number))


@pytest.mark.parametrize(
    ("kind", "each"), [case for case in FIELDS if case.values[1].type.startswith("int")]
)
def test_whole_numbers_are_whole(kind: type[Any], each: dataclasses.Field[Any]) -> None:
    with pytest.raises(SettingError, match=r"40\.0 is not a whole number"):
        kind(**{each.name: 40.0})


@pytest.mark.parametrize(
    ("kind", "each"), [case for case in FIELDS if case.values[1].type == "str"]
)
@pytest.mark.parametrize("value", [3, None, b"auto", ("a",)])
def test_texts_are_texts(kind: type[Any], each: dataclasses.Field[Any], value: Any) -> None:
    with pytest.raises(SettingError, match=f"{option_name(each)}: .* is not a text"):
        kind(**{each.name: value})


@pytest.mark.parametrize(
    ("kind", "each"), [case for case in FIELDS if case.values[1].metadata["choices"]]
)
def test_a_misspelt_choice_is_recognised(kind: type[Any], each: dataclasses.Field[Any]) -> None:
    for choice in each.metadata["choices"]:
        good, bad = choice, choice + "x"
        if each.type.startswith("tuple"):
            good, bad = (choice,), (choice, bad)
        assert getattr(kind(**{each.name: good}), each.name) == good
        with pytest.raises(UnknownNameError, match=f"did you mean .*{choice}"):
            kind(**{each.name: bad})


def test_a_misspelt_device_is_recognised() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown device 'cdua' \(did you mean cuda"):
        Execution(device="cdua")


@pytest.mark.parametrize("size", ["0", "0x5", "-3", "1e3", "big", "", "512 px", "0MP", "9" * 13])
def test_no_such_size(size: str) -> None:
    with pytest.raises(SettingError, match=f"size.*'{size}'"):
        TransferSettings(size=size)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        ((), "needs a layer with a weight above 0"),
        ((("relu1_1", 0.0),), "needs a layer with a weight above 0"),
        ((("relu1_1",),), "is not layers with weights"),
        ((("relu1_1", "1"),), "is not layers with weights"),
        (((1, 1.0),), "is not layers with weights"),
        ("relu1_1", "is not layers with weights"),
    ],
)
def test_layers_that_mean_nothing(name: str, layers: Any, complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        TransferSettings(**{name: layers})


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_checked_against_the_network(name: str) -> None:
    TransferSettings(**{name: (("conv4_4", 1),)}).check_layers("vgg19")
    with pytest.raises(UnknownNameError, match=r"conv4_4.*did you mean conv4_"):
        TransferSettings(**{name: (("conv4_4", 1),)}).check_layers("vgg16")


def test_styles_are_counted() -> None:
    TransferSettings().check_styles(MAX_STYLES)
    TransferSettings(style_weights=(1, 2)).check_styles(2)
    with pytest.raises(SettingError, match="--style-weight: 2 given for 3 style images"):
        TransferSettings(style_weights=(1, 2)).check_styles(3)
    for count in (0, MAX_STYLES + 1):
        with pytest.raises(SettingError, match=f"1 to {MAX_STYLES}"):
            TransferSettings().check_styles(count)


def test_weights_that_are_all_zero() -> None:
    with pytest.raises(SettingError, match="all weights are 0"):
        TransferSettings(style_weights=(0.0, 0.0))


@given(steps=st.integers(1, 1_000_000), final=st.none() | st.integers(1, 1_000_000))
def test_the_final_steps(steps: int, final: int | None) -> None:
    found = TransferSettings(steps=steps, final_steps=final).steps_at_the_end
    assert found >= 1
    assert found == (final or min(steps, max(10, round(steps / 16))))


@pytest.mark.parametrize("kind", [TransferSettings, DreamSettings, TunnelSettings, Execution])
@hypothesis.settings(max_examples=40)  # each draws some forty settings
@given(data=st.data())
def test_to_a_document_and_back(kind: type[Any], data: st.DataObject) -> None:
    settings = data.draw(objects(kind))
    document = json.loads(json.dumps(to_document(settings), allow_nan=False))
    assert from_document(kind, document) == settings
    assert earlier_values(kind).keys() <= document.keys(), "nothing is added to a whole document"


@given(settings=objects(TransferSettings))
def test_a_document_stands_on_a_base(settings: TransferSettings) -> None:
    found = from_document(TransferSettings, {"steps": 7}, settings)
    assert found == dataclasses.replace(settings, steps=7)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"stepz": 3}, "unknown setting 'stepz' .did you mean steps"),
        ({"steps": True}, "True is not a whole number"),
        ({"style_layers": ["relu1_1"]}, "is not a table of layers and weights"),
        ({"style_layers": {"relu1_1": "much"}}, "is not layers with weights"),
        ({"style_weights": ["1"]}, "is not numbers"),
        ({"size": True}, "True is not a text"),
    ],
)
def test_documents_are_not_trusted(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        from_document(TransferSettings, document)


def test_a_size_may_be_a_number() -> None:
    assert from_document(TransferSettings, {"size": 640}) == TransferSettings(size="640")


@pytest.mark.parametrize("kind", [DreamSettings, TunnelSettings])
@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"size": "0"}, "size '0'"),
        ({"from_noise": "640"}, "--from-noise: '640' is not WxH .for instance 640x480"),
        ({"from_noise": "original"}, "is not WxH"),
        ({"from_noise": "12MP"}, "is not WxH"),
        ({"from_noise": "0x480"}, "a side is 1 to"),
        ({"from_noise": ""}, "no such size: ''"),
        ({"from_noise": 640}, "--from-noise: 640 is not a text"),
        ({"keep_colors": 1}, "--keep-colors: 1 is not true or false"),
        ({"tileable": "yes"}, "--tileable: 'yes' is not true or false"),
        ({"strength": math.nan}, "--strength: nan is not a finite number"),
        ({"octaves": -1}, "--octaves: -1 is too small"),
        ({"octave_scale": 1.0}, "--octave-scale: 1 is too small"),
    ],
)
def test_no_such_dream(kind: type[Any], changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        kind(**changes)


@pytest.mark.parametrize(
    ("layers", "position"), [("", 0), ("conv4_3 +", 9), ("conv4_3:9-2", 8), ("conv4_3 conv1_1", 8)]
)
def test_an_expression_is_read_at_once(layers: str, position: int) -> None:
    with pytest.raises(ExpressionError) as raised:
        DreamSettings(layers=layers)
    assert (raised.value.expression, raised.value.position) == (layers, position)


@pytest.mark.parametrize(
    ("layers", "position", "complaint"),
    [
        ("conv4_3 + conv4_4", 10, "unknown layer of vgg16 'conv4_4'.*did you mean"),
        ("conv1_1 - conv5_1:7,500-512", 20, "no channel 512: conv5_1 of vgg16 has 512 channels"),
    ],
)
def test_an_expression_is_checked_against_the_network(
    layers: str, position: int, complaint: str
) -> None:
    settings = DreamSettings(layers=layers)
    with pytest.raises(ExpressionError, match=complaint) as raised:
        settings.check_layers("vgg16")
    assert raised.value.position == position


@pytest.mark.parametrize("kind", [TransferSettings, DreamSettings, TunnelSettings])
@pytest.mark.parametrize(
    ("changes", "size", "reported"),
    [
        ({}, (90, 120), []),
        ({"size": "4096"}, (90, 120), ["kept at 120×90 px: add --enlarge to reach 4096"]),
        ({"size": "12MP"}, (90, 120), ["kept at 120×90 px: add --enlarge to reach 12MP"]),
        ({"size": "120"}, (90, 120), []),
        ({"size": "original"}, (90, 120), []),
        ({"size": "4096", "enlarge": True}, (3072, 4096), []),
        ({"size": "240x240", "enlarge": True}, (180, 240), []),
        ({"size": "60", "enlarge": True}, (45, 60), []),
    ],
)
def test_the_size_of_the_result(
    kind: type[Any], changes: dict[str, Any], size: tuple[int, int], reported: list[str]
) -> None:
    settings = kind(**changes)
    assert result_size(settings, (90, 120)) == size
    assert size_notes(settings, (90, 120)) == reported


def test_the_noise_has_a_height_and_a_width() -> None:
    assert DreamSettings().noise_size is None
    assert DreamSettings(from_noise="640x480").noise_size == (480, 640)


def test_a_film_dreams_as_a_picture_does() -> None:
    """A preset for dreams is one for films: every setting but masks, with the same default."""
    picture, film = to_document(DreamSettings()), to_document(TunnelSettings())
    del picture["feather"]
    assert film.items() > picture.items()
    with pytest.raises(UnknownNameError, match="unknown setting 'subject'"):
        from_document(TunnelSettings, {"subject": "keep"})


def test_strength_sets_the_content_weight() -> None:
    weights = [TransferSettings(strength=each).content_loss_weight for each in range(101)]
    assert all(one > other for one, other in itertools.pairwise(weights))
    assert weights[100] == 0
    assert TransferSettings().content_loss_weight == weights[50]
    assert TransferSettings(content_weight=0.3).content_loss_weight == 0.3
    with pytest.raises(SettingError, match="exclude each other"):
        TransferSettings(strength=50, content_weight=0.3)


def test_strength_and_content_weight_replace_each_other() -> None:
    strong = from_document(TransferSettings, {"strength": 90})
    heavy = from_document(TransferSettings, {"content_weight": 0.3}, strong)
    assert (heavy.strength, heavy.content_weight) == (None, 0.3)
    assert from_document(TransferSettings, {"strength": 90}, heavy) == strong
