"""``stylize layers``, and how the program points into an expression about layers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylize.cli.layers import layers as command
from stylize.cli.layers import look
from stylize.cli.messages import WINDOW_COLUMNS, one_column, pointed
from stylize.errors import ExpressionError
from stylize.networks import import_models as additions
from stylize.networks.architecture import convolutions, find_layer, least_octave_px
from stylize.networks.weight_files import convolution_shapes
from stylize.planning.cost import network_flop_per_px
from tests.cli.conftest import HELP, Run, Sketch, complaint, program

Files = tuple[Path, Path]
REPLACED = "\N{REPLACEMENT CHARACTER}"


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a VGG-19 that the user added."""
    monkeypatch.setenv("STYLIZE_CACHE_DIR", str(tmp_path / "cache"))
    shapes = convolution_shapes("vgg19")
    path = tmp_path / "network.pth"
    torch.save({name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}, path)
    yield additions.add_file(path, name="mine", preprocessing="caffe").name


# By hand: fields of 5, 40, 92 and 196 px; two thirds of them are 3.3, 26.7, 61.3 and 130.7.
@pytest.mark.parametrize(
    ("name", "side_px"),
    [("conv1_2", 32), ("conv3_3", 32), ("conv4_1", 40), ("relu4_3", 64), ("conv5_3", 144)],
)
def test_the_smallest_octave(name: str, side_px: int) -> None:
    assert least_octave_px(find_layer("vgg16", name)) == side_px


@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_the_smallest_octave_is_no_larger_than_it_has_to_be(architecture: str) -> None:
    for layer in convolutions(architecture):
        side_px = least_octave_px(layer)
        floor_px = max(4 * layer.stride, 32)
        assert side_px % layer.stride == 0
        assert side_px >= floor_px
        assert side_px >= layer.receptive_field_px / 1.5
        smaller_px = side_px - layer.stride
        assert smaller_px < floor_px or smaller_px < layer.receptive_field_px / 1.5


def test_the_table(run: Run) -> None:
    result = run("layers")
    assert (result.exit_code, result.stderr) == (0, "")
    heading, *lines = result.stdout.splitlines()
    assert heading.split()[0] == "layer"
    assert [line.split()[0] for line in lines] == [each.name for each in convolutions("vgg16")]
    # 15.35 G multiply-accumulates at 224 × 224, four operations for each.
    said = {0: "64 3px 1px 32px 7", 9: "512 92px 8px 64px 1113", -1: "512 196px 16px 144px 1223"}
    for number, figures in said.items():
        line = lines[number].replace(" px", "px")
        assert line.split()[1:6] == figures.split()
        assert line.endswith("  " + look(line.split()[0]))
    assert len({line.index(look(line.split()[0])) for line in lines}) == 1
    assert max(map(len, lines)) < 100


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_as_json(run: Run, network: str) -> None:
    rows = json.loads(run("layers", "--network", network, "--json").stdout)
    for row, layer in zip(rows, convolutions(network), strict=True):
        assert row == {
            "name": layer.name,
            "channels": layer.channels,
            "receptive_field_px": layer.receptive_field_px,
            "stride_px": layer.stride,
            "least_octave_px": least_octave_px(layer),
            "gflop_per_mp": round(network_flop_per_px(network, [layer.name]) / 1e3, 1),
            "look": look(layer.name),
        }


def test_looks() -> None:
    assert look("conv1_2") == look("conv1_1") != look("conv2_2")
    assert look("conv4_2") == "eyes"
    assert look("conv4_4") == look("conv4_3") != look("conv4_2")
    assert all(look(layer.name) for layer in convolutions("vgg19"))


def test_a_model_of_ones_own(run: Run, added: str) -> None:
    assert run("layers", "--network", added).stdout == run("layers", "--network", "vgg19").stdout


def test_no_such_network(run: Run) -> None:
    line = complaint(run("layers", "--network", "vgg18"), 2)
    assert line.startswith("unknown network 'vgg18' (did you mean vgg1")


def test_names_are_completed(added: str) -> None:
    context = command.make_context("layers", [], **HELP)
    parameter = next(each for each in command.params if each.name == "network")
    found = [item.value for item in parameter.shell_complete(context, "")]
    assert found == ["vgg16", "vgg19", "mine"]
    assert [item.value for item in parameter.shell_complete(context, "mi")] == ["mine"]


def test_torch_stays_away() -> None:
    call = program()
    probe = (
        "import sys; from stylize.cli.main import cli\n"
        "cli.main(['layers'], standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    call["args"] = [sys.executable, "-c", probe]
    assert subprocess.run(**call, stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_a_caret_under_what_is_wrong(run: Run, sketch: type[Sketch], files: Files) -> None:
    text = "conv4_9 + 0.5*conv3_3"
    sketch.failure = ExpressionError("unknown layer", text, 0, hint="did you mean conv4_3?")
    result = run("transfer", *files)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "stylize: unknown layer (did you mean conv4_3?)",
        "  conv4_9 + 0.5*conv3_3",
        "  ^",
    ]


def test_nothing_in_an_expression_reaches_the_terminal(
    run: Run, sketch: type[Sketch], files: Files
) -> None:
    sketch.failure = ExpressionError("bad", "a\x1b[31m\n+\tb\x9b\u202e c", 10)
    _, shown, caret = run("transfer", *files).stderr.splitlines()
    assert shown == f"  a{REPLACED}[31m + b{REPLACED}{REPLACED} c"
    assert caret == "            ^"


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("a", "a"),
        ("é", "é"),
        (" ", " "),
        ("\n", " "),
        ("\u00a0", " "),
        ("\u0301", REPLACED),  # combining: no column of its own
        ("\u200b", REPLACED),
        ("日", REPLACED),  # two columns
        ("\ud800", REPLACED),
    ],
)
def test_every_character_takes_one_column(character: str, shown: str) -> None:
    assert one_column(character) == shown


@pytest.mark.parametrize(
    ("position", "before", "after"), [(0, "", "…"), (39, "", "…"), (150, "…", "…"), (300, "…", "")]
)
def test_a_window_into_a_long_expression(position: int, before: str, after: str) -> None:
    text = "".join(str(column % 10) for column in range(300))
    shown, caret = pointed(text, position).splitlines()
    assert caret.endswith(" ^")
    assert (shown + " ")[len(caret) - 1] == (text + " ")[position]
    assert shown.startswith("  …") == bool(before)
    assert shown.endswith("…") == bool(after)


@given(st.text(max_size=300), st.floats(0, 1))
def test_the_caret_stands_under_its_character(text: str, share: float) -> None:
    position = round(share * len(text))
    shown, caret = pointed(text, position).split("\n")
    assert max(len(shown), len(caret)) <= WINDOW_COLUMNS + 2
    expected = one_column(text[position]) if position < len(text) else ""
    assert shown[len(caret) - 1 : len(caret)] == expected
