"""What the Tab key completes: in a real bash, set up as the help says, and value by value."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stylize.cli.completion import BashComplete
from stylize.cli.main import cli
from tests.cli.conftest import Run, done, program
from tests.cli.test_help import EVERY, find

FILES = (
    *("samples/photo.jpg", "samples/my photo.jpg", "samples/styles/ink.jpg"),
    *("sky.png", "mine.toml", "list.txt", "run.checkpoint"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files to complete, and the program under its name in ``bin``."""
    here = tmp_path_factory.mktemp("tab")
    for name in FILES:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).touch()
    command = here / "bin" / "stylize"
    command.parent.mkdir()
    home = program()["env"]["PYTHONPATH"]
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH={home} exec {sys.executable} -m stylize "$@"\n', encoding="utf-8"
    )
    command.chmod(0o755)
    return here


START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
# What is in a start-up file already.
USUAL = {
    "bash": "bind 'set bell-style none'",
    "zsh": "autoload -Uz compinit; compinit -u",
    "fish": "true",
}
REFERENCE = Path(__file__).parents[2] / "docs" / "cli.md"


def documented_setup(name: str) -> str:
    """The line for the start-up file, as the reference has it."""
    found = re.search(rf"^\| {name}\b.*\| `(.*)` \|$", REFERENCE.read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1].replace(r"\|", "|")


class Shell:
    """An interactive shell on a terminal of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        if shutil.which(name) is None:
            pytest.skip(f"there is no {name} here")
        environment = {
            **os.environ,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TERM": "dumb",
            "PS1": "$ ",
            "INPUTRC": os.devnull,
        }
        # In a process of its own: this one has threads, and must not fork.
        spawn = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])", *START[name]]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(spawn, cwd=folder, env=environment, bufsize=0, **pipes)
        self.send(f"stty cols 400; {USUAL[name]}")

    def type(self, keys: str) -> None:
        """Press keys."""
        assert self.process.stdin is not None
        self.process.stdin.write(keys.encode())

    def send(self, line: str) -> str:
        """Type a line; what appears until it is done."""
        self.type(f"{line}; echo do''ne\n")
        seen, end = b"", time.monotonic() + 60
        while b"\ndone" not in seen.replace(b"\r", b"") and time.monotonic() < end:
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                assert self.process.stdout is not None
                seen += self.process.stdout.read(65536)
        return seen.decode(errors="replace").replace("\r", "")

    def tab(self, line: str) -> list[str]:
        """The words of a line after Tab was pressed at its end.

        ``printf`` is put before the line afterwards, with Ctrl-A, so that Tab sees ``stylize``.
        """
        self.type(f"{line}\t\x01printf '<%s>\\n' \x05")
        return re.findall(r"^<(.*)>$", self.send(""), re.MULTILINE)

    def close(self) -> None:
        """End the shell."""
        self.type("exit\n")
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def bash(folder: Path) -> Iterator[Shell]:
    shell = Shell("bash", folder)
    # As a user would: the line is copied from the help.
    shown = shell.send("stylize --help")
    setup = re.search(r"^  Tab completion +(eval .*)$", shown, re.MULTILINE)
    assert setup is not None
    assert setup[1] == documented_setup("bash")
    shell.send(setup[1])
    yield shell
    shell.close()


@pytest.fixture(scope="module", params=["zsh", "fish"])
def other_shell(folder: Path, request: pytest.FixtureRequest) -> Iterator[Shell]:
    shell = Shell(request.param, folder)
    shell.send(documented_setup(request.param))
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("stylize trans", "transfer"),
        ("stylize explore tr", "transfer"),
        ("stylize inspect act", "activations"),
        ("stylize help batch st", "status"),
        ("stylize transfer samples/ph", "samples/photo.jpg"),
        ("stylize transfer samples/my", "samples/my photo.jpg"),
        ("stylize transfer 'samples/my", "samples/my photo.jpg"),
        ("stylize transfer a.jpg samples/st", "samples/styles/"),
        ("stylize transfer a.jpg fine=samples/ph", "fine=samples/photo.jpg"),
        ("stylize transfer a.jpg --mask sky.png=samples/ph", "sky.png=samples/photo.jpg"),
        ("stylize transfer a.jpg --region '#ff0000=samples/ph", "#ff0000=samples/photo.jpg"),
        ("stylize transfer a.jpg b.jpg -o samples/ph", "samples/photo.jpg"),
        ("stylize transfer a.jpg b.jpg --preset fai", "faithful"),
        ("stylize transfer a.jpg b.jpg --preset=fai", "--preset=faithful"),
        ("stylize transfer a.jpg b.jpg --preset min", "mine.toml"),
        ("stylize transfer a.jpg b.jpg --learn", "--learning-rate"),
        ("stylize transfer a.jpg b.jpg --network vgg19", "vgg19"),
        ("stylize transfer a.jpg b.jpg --device cuda:", "cuda:0"),
        ("stylize transfer a.jpg b.jpg --style-layers relu1_1:16,relu5_3", "relu1_1:16,relu5_3"),
        ("stylize dream --layer 'conv4_3 + 0.5*conv5_3", "conv4_3 + 0.5*conv5_3"),
        ("stylize batch dream sam", "samples/"),
        ("STYLIZE_JSON=1 stylize tunnel samples/ph", "samples/photo.jpg"),
    ],
)
def test_tab_in_bash(bash: Shell, typed: str, completed: str) -> None:
    assert bash.tab(typed)[-1] == completed


def test_a_wrong_command_leaves_the_line_alone(bash: Shell) -> None:
    assert bash.tab("stylize trasnfer samples/ph") == ["stylize", "trasnfer", "samples/ph"]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("stylize trans", "transfer"),
        ("stylize transfer samples/ph", "samples/photo.jpg"),
        ("stylize transfer a.jpg fine=samples/ph", "fine=samples/photo.jpg"),
        ("stylize transfer a.jpg --mask=sky.png=samples/ph", "--mask=sky.png=samples/photo.jpg"),
        ("stylize transfer a.jpg b.jpg --preset=fai", "--preset=faithful"),
        ("stylize transfer a.jpg b.jpg --preset min", "mine.toml"),
        ("stylize transfer a.jpg b.jpg --style-layers relu1_1:16,relu5_3", "relu1_1:16,relu5_3"),
    ],
)
def test_tab_in_other_shells(other_shell: Shell, typed: str, completed: str) -> None:
    assert other_shell.tab(typed)[-1] == completed


def complete(words: tuple[str, ...], *typed: str) -> list[tuple[str, str]]:
    """Type and value of what is offered for the last word."""
    found = BashComplete(cli, {}, "stylize", "_STYLIZE_COMPLETE").get_completions(
        [*words, *typed[:-1]], typed[-1]
    )
    return [(item.type, item.value) for item in found]


def values(words: tuple[str, ...], *typed: str) -> list[str]:
    """What is offered for the last word, if it is no file."""
    return [value for kind, value in complete(words, *typed) if kind == "plain"]


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_files_are_completed_wherever_one_goes(words: tuple[str, ...]) -> None:
    command, context = find(words)
    for each in command.params:
        metavar = each.make_metavar(context)
        if re.search(r"FILE|PHOTO|STYLE\b|PATH|DIR|LIST|INPUT|FOLDER|JOB", metavar) is None:
            continue
        if "…" in metavar:  # a list of presets
            continue
        kinds = {item.type for item in each.shell_complete(context, "zz")}
        assert kinds <= {"file", "dir"}, each.name
        assert kinds, each.name


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_networks_layers_devices_and_presets_are_completed(words: tuple[str, ...]) -> None:
    begun = {"network": "vgg1", "device": "cu", "layer": "conv5", "layers": "conv5"}
    command, context = find(words)
    for each in command.params:
        if each.name in begun:
            found = [item.value for item in each.shell_complete(context, begun[each.name])]
            assert len(found) >= 2, each.name
            assert all(value.startswith(begun[each.name]) for value in found)
        if each.name in ("preset", "presets"):
            assert [item.value for item in each.shell_complete(context, "d")], each.name


def test_values() -> None:
    assert values(("transfer",), "a", "b", "--preset", "b") == ["balanced", "bold"]
    assert values(("transfer",), "a", "b", "--color", "l") == ["luminance"]
    assert values(("transfer",), "a", "b", "--init", "no") == ["noise"]
    assert values(("transfer",), "a", "b", "--dream", "eye") == ["eyes"]
    assert values(("explore", "transfer"), "a", "b", "--presets", "bold,dr") == ["bold,draft"]
    assert values(("help",), "batch", "st") == ["status"]
    assert values(("help",), "batsh", "st") == []
    assert values(("layers",), "--network", "vgg") == ["vgg16", "vgg19"]
    assert values(("models", "add"), "vgg19-") == ["vgg19-imagenet"]
    assert values(("models", "path"), "vgg1") == ["vgg16", "vgg19"]
    assert values(("inspect", "activations"), "a.jpg", "relu5_4") == []
    vgg19 = ("--network", "vgg19")
    assert values(("inspect", "activations"), "a.jpg", *vgg19, "relu5_4") == ["relu5_4"]
    assert values(("transfer",), "--style-layers", "relu1_1:2,relu5_") == [
        f"relu1_1:2,relu5_{number}" for number in (1, 2, 3, 4)
    ]
    vgg16 = ("--network", "vgg16")
    assert values(("transfer",), *vgg16, "--content-layers", "relu5_4") == []


def test_the_layers_of_a_presets_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("a.jpg", "--preset", "classic-inception", "--layer")
    monkeypatch.setenv("STYLIZE_DATA_DIR", str(tmp_path))
    assert values(("dream",), *asked, "incep") == []
    # A model is found by its record.
    record = tmp_path / "models" / "googlenet.json"
    record.parent.mkdir()
    record.write_text('{"architecture": "googlenet", "sha256": "", "source": ""}')
    for command in ("dream", "tunnel"):
        assert "inception_4c" in values((command,), *asked, "incep")
        assert values((command,), *asked, "inception_4c:7 + inception4c.branch2")[0] == (
            "inception_4c:7 + inception4c.branch2"
        )
        assert values((command,), *asked, "inception4")[0] == "inception4a.branch1"
    assert values(("dream",), *asked[:-1], "--network", "vgg16", "--layer", "incep") == []
    assert values(("dream",), "a.jpg", "--preset", "nothing", "--layer", "conv") == []


def test_the_cells_of_a_sheet(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    photo = tmp_path / "photo.png"
    Image.radial_gradient("L").convert("RGB").resize((48, 48)).save(photo)
    layers = ("--layer", "conv1_1", "--layer", "conv1_2", "--strength", 5, "--strength", 9)
    sheet = tmp_path / "sheet.png"
    done(run("explore", "dream", photo, *layers, "--size", 32, "-o", sheet, "-q"))
    assert values(("replay",), str(sheet), "--cell", "") == ["A1", "B1", "A2", "B2"]
    assert values(("replay",), str(sheet), "--cell", "b") == ["B1", "B2"]
    assert values(("replay",), "--cell", "") == []
    assert values(("replay",), str(photo), "--cell", "") == []
