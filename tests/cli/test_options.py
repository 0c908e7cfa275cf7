"""Every setting has one option, and its value arrives."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
import pytest

from stylize.cli.options import check_streams
from stylize.cli.transfer import transfer
from stylize.errors import SettingError
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from tests.cli.conftest import Run, Sketch, complaint

# For each field: what is typed, and what must arrive.
TYPED: dict[str, tuple[list[str], Any]] = {
    "size": (["640x480"], "640x480"),
    "style_crop": (["800x600+40+30"], "800x600+40+30"),
    "clarity": (["0.5"], 0.5),
    "cleanup": (["0.5"], 0.5),
    "retouch": (["0.5"], 0.5),
    "grain": (["0.7"], 0.7),
    "style_variance": (["0.99"], 0.99),
    "enlarge": ([], True),
    "style_size": (["300"], 300),
    "style_weights": (["2.5"], (2.5,)),
    "style_loss": (["gram"], "gram"),
    "style_layers": (["relu2_2:3, conv3_1"], (("relu2_2", 3.0), ("conv3_1", 1.0))),
    "content_layers": (["relu3_2:0.5"], (("relu3_2", 0.5),)),
    "strength": (["80"], 80.0),
    "content_weight": (["0"], 0.0),
    "smoothness": (["1e-3"], 0.001),
    "edges": (["0.02"], 0.02),
    "edges_kept": (["all"], "all"),
    "match": (["0.6"], 0.6),
    "motifs": (["plain"], "plain"),
    "color": (["match"], "match"),
    "blend": (["0.5"], 0.5),
    "dream": (["dogs:2"], "dogs:2"),
    "style_parts": (["fine"], ("fine",)),
    "init": (["noise"], "noise"),
    "detail": (["0.25"], 0.25),
    "subject": (["keep"], "keep"),
    "background": (["keep"], "keep"),
    "feather": (["5"], 5),
    "seed": (["17"], 17),
    "optimizer": (["adam"], "adam"),
    "steps": (["31"], 31),
    "final_steps": (["9"], 9),
    "min_size": (["96"], 96),
    "size_ratio": (["1.5"], 1.5),
    "learning_rate": (["0.25"], 0.25),
    "averaging": (["0"], 0.0),
    "tolerance": (["0.125"], 0.125),
    "network": (["vgg16"], "vgg16"),
    "pooling": (["avg"], "avg"),
    "device": (["cpu"], "cpu"),
    "precision": (["bf16"], "bf16"),
    "threads": (["1"], 1),
    "max_memory": (["7GB"], "7GB"),
}
FIELDS = [
    pytest.param(kind, each, id=each.name)
    for kind in (TransferSettings, Execution)
    for each in dataclasses.fields(kind)
]


def options_of(name: str) -> list[click.Option]:
    return [p for p in transfer.params if isinstance(p, click.Option) and p.name == name]


def spelling(name: str) -> str:
    repeated = {"style_weights": "--style-weight", "style_parts": "--style-part"}
    return repeated.get(name, "--" + name.replace("_", "-"))


@pytest.mark.parametrize(("kind", "each"), FIELDS)
def test_one_option_with_help_and_default(kind: type[Any], each: dataclasses.Field[Any]) -> None:
    (option,) = options_of(each.name)
    assert option.opts == [spelling(each.name)]
    assert option.secondary_opts == ([f"--no-{each.name}"] if each.type == "bool" else [])
    assert option.default is None, "only the settings know defaults"
    assert option.help is not None
    assert option.help.startswith(each.metadata["help"])
    if each.default is False:
        assert option.help == each.metadata["help"]
        return
    shown = option.help.removesuffix("]").rpartition("[")[2]
    if each.default in (None, ()):
        assert shown in (
            "size of the result",
            "no change",
            "equal",
            "all",
            "paint all",
            "no dream",
            "50",
            "set by --strength",
            "10, or a sixteenth of --steps if that is more",
            "all cores",
            "all free memory",
        )
    elif isinstance(each.default, tuple):
        assert shown == ",".join(f"{layer}:{weight}" for layer, weight in each.default)
    else:
        assert type(each.default)(shown) == each.default


@pytest.mark.parametrize(("kind", "each"), FIELDS)
def test_the_value_arrives(
    kind: type[Any],
    each: dataclasses.Field[Any],
    run: Run,
    sketch: type[Sketch],
    files: tuple[Path, Path],
) -> None:
    typed, meant = TYPED[each.name]
    assert meant != each.default
    result = run("transfer", *files, spelling(each.name), *typed)
    assert result.exit_code == 0, result.stderr
    expected = {TransferSettings: TransferSettings(), Execution: Execution()}
    replaced = {"strength": None} if each.name == "content_weight" else {}
    expected[kind] = dataclasses.replace(expected[kind], **replaced, **{each.name: meant})
    assert sketch.made[-1].settings == expected[TransferSettings]
    assert sketch.made[-1].execution == expected[Execution]


def test_nothing_said_means_the_defaults(
    run: Run, sketch: type[Sketch], files: tuple[Path, Path]
) -> None:
    assert run("transfer", *files).exit_code == 0
    assert sketch.made[-1].settings == TransferSettings()
    assert sketch.made[-1].execution == Execution()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--style-weight", 2), "--style-weight has no effect without several style images"),
        (("--learning-rate", 0.1), "--learning-rate has no effect without --optimizer adam"),
        (("--learning-rate", 0.1, "--optimizer", "adam"), ""),
        (("--feather", 3), "--feather has no effect without a mask, --subject or --background"),
        (("--feather", 3, "--quiet"), ""),
        (
            ("--detail", 0, "--init", "noise"),
            "--detail has no effect without --init content or --init file",
        ),
        (
            ("--content-layers", "relu3_2", "--content-weight", 0),
            "--content-layers has no effect without content loss weight",
        ),
        (
            ("--edges", 0.1, "--strength", 100),
            "--edges has no effect without content loss weight or --edges-kept all",
        ),
        (("--edges", 0.1, "--strength", 100, "--edges-kept", "all"), ""),
        (
            ("--edges-kept", "all", "--edges", 0),
            "--edges-kept has no effect without --edges above 0",
        ),
        (
            ("--style-part", "fine", "--match", 1),
            "--match has no effect without coarse style parts",
        ),
        (("--style-part", "coarse", "--match", 1), ""),
        (("--quality", 80), "--quality has no effect on PNG"),
        (("--quality", 80, "--film", "steps.webp"), ""),
    ],
)
def test_options_without_effect_are_named(
    run: Run,
    sketch: type[Sketch],
    files: tuple[Path, Path],
    words: tuple[object, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(files[0].parent)
    result = run("transfer", *files, *words)
    assert result.exit_code == 0
    assert [line for line in result.stderr.splitlines() if "no effect" in line] == (
        [said] if said else []
    )


def test_variants_are_named_by_their_seed(
    run: Run, sketch: type[Sketch], files: tuple[Path, Path]
) -> None:
    words = ("--variants", 2, "--seed", 7, "-o", files[0].parent / "new" / "{photo}-{seed}.png")
    result = run("transfer", *files, *words)
    assert result.exit_code == 0, result.stderr
    assert [each.settings.seed for each in sketch.made] == [7, 8]
    for seed in (7, 8):
        assert (files[0].parent / "new" / f"{files[0].stem}-{seed}.png").exists()


def test_no_option_besides_the_settings_goes_unnoticed() -> None:
    """A new option belongs into the settings, or into this list and a test of its own."""
    own = {p.name for p in transfer.params} - {case.values[1].name for case in FIELDS}
    plumbing = "content styles preset save_preset as_json quiet verbose max_input_pixels"
    files = "output overwrite format depth quality save_steps film show variants"
    # Of these, tests/commands/test_masking.py.
    masks = "masks segments colours save_mask"
    # Of these, tests/commands/test_resume.py.
    safety = "checkpoint no_checkpoint checkpoint_every help_all"
    assert own == {*plumbing.split(), *files.split(), *safety.split(), *masks.split()}


@pytest.mark.parametrize(
    ("name", "default"),
    [("depth", 8), ("quality", 95), ("max_input_pixels", 80_000_000), ("preset", "balanced")],
)
def test_defaults_besides_the_settings_are_shown(name: str, default: object) -> None:
    (option,) = options_of(name)
    assert option.default == default
    assert option.help is not None
    assert option.help.endswith(f"  [{default}]")


def test_several_styles_with_their_weights(
    run: Run, sketch: type[Sketch], files: tuple[Path, Path]
) -> None:
    photo, style = files
    words = ["--style-weight", "2", "--style-weight", "0.5"]
    assert run("transfer", photo, style, photo, *words).exit_code == 0
    assert sketch.made[-1].settings.style_weights == (2.0, 0.5)
    assert [each.name for each in sketch.made[-1].styles] == ["strokes.png", "photo.png"]


def test_the_environment_gives_options_too(
    run: Run, sketch: type[Sketch], files: tuple[Path, Path]
) -> None:
    environment = {"STYLIZE_TRANSFER_DEVICE": "cpu", "STYLIZE_TRANSFER_STEPS": "7"}
    # Options whose parameters have other names.
    environment |= {"STYLIZE_TRANSFER_STYLE_WEIGHT": "2 3", "STYLIZE_TRANSFER_JSON": "1"}
    result = run("transfer", *files, files[0], "--steps", "8", env=environment)
    assert result.exit_code == 0
    assert sketch.made[-1].execution.device == "cpu"
    assert sketch.made[-1].settings.steps == 8
    assert sketch.made[-1].settings.style_weights == (2, 3)
    assert result.stdout.startswith('{"event": "start"')
    wrong = {"STYLIZE_TRANSFER_STRENGTH": "much", "STYLIZE_TRANSFER_STYLE": ""}
    line = complaint(run("transfer", *files, env=wrong), 2)
    assert "--strength" in line
    assert line.endswith("(set by the environment variable STYLIZE_TRANSFER_STRENGTH)")
    line = complaint(run("transfer", *files, env={"STYLIZE_TRANSFER_QUIET": "maybe"}), 2)
    assert "'maybe' is neither yes nor no" in line


@pytest.mark.parametrize(
    "text", ["", ",", "relu1_1:", "relu1_1:much", "relu1_1,relu1_1", ":3", "relu1_1:1:2"]
)
def test_layers_that_cannot_be_read(run: Run, files: tuple[Path, Path], text: str) -> None:
    line = complaint(run("transfer", *files, "--style-layers", text), 2)
    assert "--style-layers" in line
    assert "stylize transfer --help" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--content-weight", "nan"], "--content-weight: nan is not a finite number"),
        (["--smoothness", "inf"], "--smoothness: inf is not a finite number"),
        (["--style-layers", "relu1_1:nan"], "--style-layers: nan is not a finite number"),
        (["--style-weight", "nan"], "--style-weight: nan is not a finite number"),
        (["--size", "0"], "size '0': a side is 1 to 100000 pixels"),
        (["--size", "huge"], "no such size: 'huge' (use 512 (long side), 640x480"),
        (["--steps", "0"], "--steps: 0 is too small (at least 1)"),
        (["--steps", "1000001"], "--steps: 1000001 is too large (at most 1000000)"),
        (["--seed", "9" * 400], "--seed: the number is too large"),
        (["--steps", "many"], "'many' is not a whole number (see 'stylize transfer --help')"),
        (
            ["--style-weight", "1", "--style-weight", "2"],
            "--style-weight: 2 given for 1 style image",
        ),
        (["--style-layers", "relu9_9"], "unknown layer of vgg19 'relu9_9'"),
        (["--content-layers", "relu4-2"], "did you mean relu4_2"),
        (["--network", "vgg61"], "unknown network 'vgg61' (did you mean vgg1"),
        (["--preset", "blod"], "unknown preset 'blod' (did you mean bold"),
        (["--preset", "gone.toml"], "gone.toml: there is no such file"),
        (["--device", "gpu"], "unknown device 'gpu' ("),
        (["--pooling", "median"], "'median' is not one of 'max', 'avg'"),
        (["--init", "nose"], "unknown start 'nose' (did you mean noise"),
        (["--depth", "12"], "'12' is not one of '8', '16'"),
        (["--quality", "0"], "0 is too small (at least 1)"),
        (["--max-input-pixels", "0"], "0 is too small (at least 1)"),
        (
            ["--depth", "16", "-o", "a.jpg"],
            "jpeg holds 8 bits per channel, not 16 (use png or tiff)",
        ),
        (
            ["--format", "png"],
            "--format works only with -o - (a file's extension decides its format)",
        ),
        (["--format", "png", "-o", "a.png"], "--format works only with -o -"),
        (["-o", "-", "--json"], "-o - and --json both want stdout"),
        (["--save-preset", "mine"], "mine does not end in .toml"),
        (["--stpes", "3"], "No such option '--stpes' (did you mean"),
    ],
)
def test_requests_that_make_no_sense(
    run: Run,
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in complaint(run("transfer", *files, *words), 2)
    assert sorted(tmp_path.iterdir()) == sorted(files)


@pytest.mark.parametrize("words", [[], ["photo.png"]])
def test_missing_arguments(run: Run, words: list[str]) -> None:
    assert "Missing argument" in complaint(run("transfer", *words), 2)


def test_stdin_is_one_picture() -> None:
    check_streams("out.png", ["-", "style.png"], as_json=True)
    with pytest.raises(SettingError, match="only one picture"):
        check_streams(None, ["-", "-"], as_json=False)


def test_no_picture_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(SettingError, match="stdout is a terminal"):
        check_streams("-", ["a.png", "b.png"], as_json=False)
    check_streams("out.png", ["a.png", "b.png"], as_json=False)
