from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.errors import ExpressionError, SettingError
from stylize.networks.architecture import layer_names
from stylize.networks.layer_expressions import (
    MAX_CHANNEL,
    MAX_CHARACTERS,
    MAX_TERMS,
    Target,
    check_targets,
    parse_targets,
    to_text,
)

WEIGHTS = st.floats(min_value=0, max_value=1e9, exclude_min=True)
CHANNELS = st.sets(st.integers(0, MAX_CHANNEL), min_size=1, max_size=8).map(sorted).map(tuple)
TARGETS = st.lists(
    st.builds(
        Target,
        st.sampled_from(layer_names("vgg19")),
        WEIGHTS | WEIGHTS.map(lambda weight: -weight),
        st.none() | CHANNELS,
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda target: (target.layer, target.channels),
).map(tuple)
# Texts that get some way into the grammar before they leave it.
PIECES = st.sampled_from(
    ["conv4_3", "relu1_1", "x", "0.5", "2", ".", "1e9", "0", ":", ",", "-", "+", "*", " ", "7-9"]
)
TEXTS = st.lists(PIECES).map("".join) | st.text()


def refusal(text: str, architecture: str | None = None) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        targets = parse_targets(text)
        if architecture:
            check_targets(text, targets, architecture)
    return caught.value


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("conv4_3", [("conv4_3", 1, None)]),
        ("  relu4_3\n", [("relu4_3", 1, None)]),
        ("conv5_1:7", [("conv5_1", 1, (7,))]),
        ("conv5_1:7,21-26", [("conv5_1", 1, (7, 21, 22, 23, 24, 25, 26))]),
        ("conv5_1:9,3-5,4-6,9,007", [("conv5_1", 1, (3, 4, 5, 6, 7, 9))]),
        (
            "conv4_3 + 0.5*conv3_3:30-32 - 0.2*conv5_1:7",
            [("conv4_3", 1, None), ("conv3_3", 0.5, (30, 31, 32)), ("conv5_1", -0.2, (7,))],
        ),
        (
            "conv4_3+.5*conv3_3:30-32-2.*conv5_1",
            [("conv4_3", 1, None), ("conv3_3", 0.5, (30, 31, 32)), ("conv5_1", -2, None)],
        ),
        ("-conv4_3", [("conv4_3", -1, None)]),
        (" + 2 * conv4_3", [("conv4_3", 2, None)]),
        ("conv4_3:7 * 2e-3", [("conv4_3", 0.002, (7,))]),
        ("conv4_3*3 - conv4_3:7*1E2", [("conv4_3", 3, None), ("conv4_3", -100, (7,))]),
        # A range ends where no number follows; a layer's two names are two layers.
        ("conv3_3:30-conv4_3", [("conv3_3", 1, (30,)), ("conv4_3", -1, None)]),
        ("conv4_3 + relu4_3", [("conv4_3", 1, None), ("relu4_3", 1, None)]),
        ("1e9*x", [("x", 1e9, None)]),
    ],
)
def test_what_can_be_said(text, targets):
    assert parse_targets(text) == tuple(Target(*each) for each in targets)


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("", 0, "no layer is named"),
        ("  \n", 0, "no layer is named"),
        ("+", 1, "expected a layer or a weight, found the end"),
        ("conv4_3 +", 9, "expected a layer or a weight, found the end"),
        ("conv4_3 + - conv3_3", 10, "expected a layer or a weight, found '-'"),
        ("4_3", 1, "expected * after the weight, found '_'"),
        ("2conv4_3", 1, "expected * after the weight, found 'c' (0.5*conv4_3)"),
        ("2 * 3", 4, "expected a layer, found '3'"),
        ("conv4_3 conv3_3", 8, "expected + or -, found 'c'"),
        ("inception/4c", 9, "expected + or -, found '/'"),
        ("conv4_3*", 8, "expected a number after *, found the end"),
        ("conv4_3*-2", 8, "expected a number after *, found '-'"),
        ("2*conv4_3*2", 9, "expected + or -, found '*'"),
        ("conv4_3:", 8, "expected a channel's number, found the end"),
        ("conv4_3: 7", 8, "expected a channel's number, found ' '"),
        ("conv4_3:7, 9", 10, "expected a channel's number, found ' ' (channels are numbers and"),
        ("conv4_3:7 ,9", 10, "expected + or -, found ',' (channels are numbers and ranges"),
        ("conv4_3 :7", 8, "expected + or -, found ':' (channels are numbers and ranges"),
        ("conv4_3:5,9-7", 10, "the range 9-7 runs backwards (the smaller number first"),
        ("conv4_3:30-0.2*conv5_1", 8, "the range 30-0 runs backwards"),
        ("conv4_3:1-2*conv5_1", 12, "expected a number after *, found 'c'"),
        ("conv4_3:1-2.5*conv5_1", 11, "found '.' (a minus after a channel needs a space"),
        ("conv4_3:٣", 8, "expected a channel's number"),
        ("conv4_3:10000", 8, "no layer has that many channels (at most 9999)"),
        ("0*conv4_3", 0, "a weight of 0 has no effect"),
        ("conv4_3 - conv3_3*0.0", 18, "a weight of 0"),
        ("1e-999*conv4_3", 0, "a weight of 0"),
        ("x + 1.1e9*conv4_3", 4, "the weight 1.1e9 is too large (at most 1000000000)"),
        ("1e999*conv4_3", 0, "the weight 1e999 is too large"),
        ("nan*conv4_3", 4, "expected a number after *, found 'c'"),
        ("conv4_3 - 2*conv4_3", 12, "'conv4_3' is named twice (add its weights up)"),
        ("x:1-3 + x:3,1,2", 8, "'x:1-3' is named twice"),
        ("9" * 60 + "*x", 0, "the weight " + "9" * 39 + "… is too large"),
    ],
)
def test_what_cannot_be_said(text, position, said):
    error = refusal(text)
    assert said in str(error)
    assert (error.expression, error.position) == (text, position)
    assert isinstance(error, SettingError)


def test_terms_have_a_limit():
    terms = [f"x:{channel}" for channel in range(MAX_TERMS + 1)]
    assert len(parse_targets("+".join(terms[:-1]))) == MAX_TERMS
    error = refusal("+".join(terms))
    assert error.message == "too many terms"
    assert error.expression[error.position :] == f"x:{MAX_TERMS}"


def test_characters_have_a_limit():
    longest = "conv4_3".ljust(MAX_CHARACTERS)
    assert parse_targets(longest) == parse_targets("conv4_3")
    error = refusal(longest + " ")
    assert (error.position, error.hint) == (MAX_CHARACTERS, "at most 2000 characters")


def test_the_canonical_text_is_never_too_long_to_be_read_again():
    name = "x" * (MAX_CHARACTERS - 5)
    assert to_text(parse_targets(f"2e0*{name}")) == f"2*{name}"
    error = refusal(f"2e8*{name}")
    assert error.message == "the expression is too long"
    assert error.position == MAX_CHARACTERS - 1


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("conv4_3", "conv4_3"),
        ("+1*conv4_3", "conv4_3"),
        ("- 1.0*conv4_3+conv3_3*.50", "-conv4_3 + 0.5*conv3_3"),
        ("x:7,3,4,5,9-10", "x:3-5,7,9-10"),
        ("1e9*x-1e-7*y", "1000000000*x - 1e-07*y"),
    ],
)
def test_the_canonical_text(text, canonical):
    assert to_text(parse_targets(text)) == canonical


@given(TARGETS)
def test_the_text_is_read_back_as_the_same_targets(targets):
    assert parse_targets(to_text(targets)) == targets


@given(TEXTS)
def test_any_text_is_read_or_refused_at_a_column_of_its_own(text):
    try:
        targets = parse_targets(text)
    except ExpressionError as error:
        assert error.expression == text
        assert 0 <= error.position <= len(text)
    else:
        assert parse_targets(to_text(targets)) == targets


@pytest.mark.parametrize("text", ["conv4_3 + 2*relu1_1:0,63 - conv5_3:511", "conv3_3:255"])
def test_what_the_network_has(text):
    check_targets(text, parse_targets(text), "vgg16")


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("conv4_9 + 0.5*conv3_3", 0, "unknown layer of vgg16 'conv4_9' (did you mean conv4_3"),
        ("conv4_3 - 2 * conv_33", 14, "unknown layer of vgg16 'conv_33' (did you mean"),
        ("conv4_3 + conv3_4", 10, "unknown layer of vgg16 'conv3_4'"),
        ("z", 0, "(known: conv1_1, relu1_1"),
        ("y" * 50, 0, "layer of vgg16 '" + "y" * 39 + "…'"),
        ("conv3_3:3,256", 10, "no channel 256: conv3_3 of vgg16 has 256 channels (0 to 255)"),
        ("2*relu1_1:3,60-70", 12, "no channel 64: relu1_1 of vgg16 has 64 channels (0 to 63)"),
        ("conv5_3:600-700", 8, "no channel 600: conv5_3"),
    ],
)
def test_what_the_network_lacks(text, position, said):
    error = refusal(text, "vgg16")
    assert said in str(error)
    assert (error.expression, error.position) == (text, position)


def test_networks_differ():
    text = "conv3_4"
    check_targets(text, parse_targets(text), "vgg19")


def test_it_does_not_import_torch():
    program = "import sys, stylize.networks.layer_expressions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
