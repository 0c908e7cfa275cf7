"""The names of other programs for our options, settings and commands: the hint names ours."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

import stylize
from stylize.cli.help import Command
from stylize.cli.main import cli
from stylize.errors import StylizeError
from stylize.settings import synonyms
from tests.cli.conftest import Run, complaint
from tests.conftest import photo, save

PAINT, DREAM = "transfer a.jpg b.jpg", "dream a.jpg"


@pytest.mark.parametrize("command", ["invert a.jpg", "caricature a.jpg", "map photos", "filters"])
def test_a_layer_that_needs_its_option(run: Run, command: str) -> None:
    line = complaint(run("inspect", *command.split(), "relu4_1"), 2)
    assert line.startswith("Got unexpected extra argument 'relu4_1' (name the layer with --layer")


def test_an_argument_too_many(run: Run) -> None:
    line = complaint(run("layers", "conv4_3"), 2)
    assert line == "Got unexpected extra argument 'conv4_3' (see 'stylize layers --help')"


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (f"{PAINT} --iterations 500", "did you mean --steps?"),
        (f"{PAINT} --num_steps=500", "did you mean --steps?"),
        (f"{DREAM} --iter 5", "did you mean --steps?"),
        (f"{PAINT} --gpu", "did you mean --device cuda or --device mps?"),
        (f"{DREAM} --cuda", "did you mean --device cuda?"),
        (f"{PAINT} --oil", synonyms.STYLE_HINT),
        (f"{PAINT} --alpha 0.5", "did you mean --strength?"),
        (f"{PAINT} --lr 1", "did you mean --learning-rate?"),
        (f"{PAINT} --tv-weight 3", "did you mean --smoothness?"),
        (f"{PAINT} --random-seed 3", "did you mean --seed?"),
        (f"{PAINT} --width 500", "did you mean --size WxH?"),
        (f"{PAINT} -size 500", "did you mean --size?"),
        (f"{PAINT} --bold", "did you mean --preset bold?"),
        (f"{PAINT} --keep-face", "did you mean --preset portrait or --mask FILE=keep?"),
        (f"{PAINT} --loop", "'stylize tunnel' has that"),
        (f"{DREAM} --style b.jpg", "'stylize transfer' has that"),
        ("transfer --content a.jpg --style b.jpg", "give the photo without an option"),
        ("transfer a.jpg --style-image b.jpg", "give style images without an option"),
        ("inspect saliency a.jpg --layer conv5_1", "give the target without an option"),
        ("batch transfer in -o out --style-image a.jpg", "did you mean --style?"),
        ("replay a.png --strength 80", "did you mean --set strength=80?"),
        ("replay a.png --iterations=9", "did you mean --set steps=9?"),
        ("replay a.png --keep-colors", "did you mean --set keep_colors=true?"),
        ("resume a --strength 3", "a stopped run continues with its own settings"),
        ("explore transfer a.jpg b.jpg --strength 30,70", "did you mean --vary strength=30,70?"),
        ("batch run job.toml --size 3", "write settings in the job file"),
        ("--gpu transfer", "options follow a command: stylize COMMAND --gpu"),
        (f"{PAINT} --presets bold", "did you mean --preset?"),
        ("explore transfer a.jpg b.jpg --preset bold", "did you mean --presets?"),
        (f"{PAINT} --stpes 3", "did you mean --steps"),
        (f"{PAINT} --qqq", "see 'stylize transfer --help'"),
    ],
)
def test_unknown_options(run: Run, typed: str, hint: str) -> None:
    line = complaint(run(*typed.split()), 2)
    assert line.startswith("No such option '-")
    assert f"({hint}" in line


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("deepdream a.jpg", "did you mean dream?"),
        ("style-transfer a.jpg b.jpg", "did you mean transfer?"),
        ("version", "did you mean --version?"),
    ],
)
def test_unknown_commands(run: Run, typed: str, hint: str) -> None:
    assert complaint(run(*typed.split()), 2).endswith(f"({hint})")


def test_a_photo_instead_of_a_command(run: Run, tmp_path: Path) -> None:
    source = save(photo(8, 8), tmp_path / "a.png")
    assert f"'stylize transfer {source} …'" in complaint(run(source, source), 2)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--preset", "oil"), synonyms.STYLE_HINT),
        (("--preset", "eyes"), "'eyes' is a preset of 'stylize dream'"),
        (("--device", "gpu"), "did you mean cuda or mps?"),
    ],
)
def test_unknown_values(run: Run, words: tuple[str, ...], hint: str) -> None:
    assert complaint(run(*PAINT.split(), *words), 2).endswith(f"({hint})")


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"iterations": 3}, "did you mean steps?"),
        ({"tv_weight": 3}, "did you mean smoothness?"),
        ({"gpu": True}, "did you mean device?"),
    ],
)
def test_unknown_settings_in_python(settings: dict[str, object], hint: str, tmp_path: Path) -> None:
    source = save(photo(32, 32), tmp_path / "a.png")
    with pytest.raises(StylizeError, match="unknown setting") as error:
        stylize.transfer(source, source, **settings)  # type: ignore[arg-type]
    assert error.value.hint == hint


def test_every_synonym_leads_to_an_option() -> None:
    context = click.Context(cli, info_name="stylize")
    options = set()
    groups: list[tuple[click.Group, click.Context]] = [(cli, context)]
    for group, at in groups:
        for name in group.list_commands(at):
            command = group.get_command(at, name)
            assert command is not None
            options |= {option for each in command.params for option in each.opts} | {"--help"}
            if isinstance(command, click.Group):
                groups.append((command, click.Context(command, parent=at)))
            else:
                assert isinstance(command, Command)
    for word in ("iterations", "gpu", "h", "style", "lr"):
        assert synonyms.ours(word)
    for ours in synonyms.every():
        assert not ours.startswith("--") or ours.partition(" ")[0] in options, ours
