"""Any encoding, any terminal, closed streams: the program as a process, with a real terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stylize.cli.messages import shown
from tests.cli.conftest import FEW, Run, program

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such terminals")

# A title and the clipboard set by the terminal, a colour, C1's CSI, a line of its own, a reversal.
HOSTILE = "x\x1b]0;pwned\a\x1b[31m\x9b31m\n\u202egnp"
SMALL = ("--size", 32, "--steps", 2, *FEW, "--precision", "fp32")


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, Path]:
    photo, style = tmp_path / "photo.png", tmp_path / "style.png"
    Image.linear_gradient("L").resize((48, 32)).convert("RGB").save(photo)
    Image.radial_gradient("L").resize((32, 32)).convert("RGB").save(style)
    return photo, style


@pytest.fixture
def painted(run: Run, pictures: tuple[Path, Path], tmp_path: Path) -> Path:
    target = tmp_path / "painted.png"
    result = run("transfer", *pictures, *SMALL, "-q", "-o", target)
    assert result.exit_code == 0, result.stderr
    return target


def on_terminal(
    *words: object, columns: int = 80, term: str = "xterm", cwd: Path | None = None
) -> bytes:
    """What a terminal of that width gets on stderr."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    call = program(*words)
    call["env"] |= {"TERM": term}
    with subprocess.Popen(
        **call, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, cwd=cwd
    ) as process:
        os.close(theirs)
        received = b""
        try:
            while block := os.read(ours, 65536):
                received += block
        except OSError:  # Linux says so when the last writer has gone
            pass
        finally:
            os.close(ours)
    assert process.returncode == 0, received.decode(errors="replace")
    return received


@pytest.mark.parametrize(
    ("encoding", "size"),
    [
        ("latin-1", "32×21"),
        ("cp1252", "32×21"),
        ("cp437", "32x21"),
        ("ascii", "32x21"),
        ("utf-8", "32×21"),
    ],
)
def test_encodings(painted: Path, encoding: str, size: str) -> None:
    call = program("info", painted)
    call["env"] |= {"PYTHONIOENCODING": encoding}
    result = subprocess.run(**call, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    assert f"{size} px on cpu" in result.stdout.decode(encoding)
    assert ("…" if encoding in ("cp1252", "utf-8") else "...") in result.stdout.decode(encoding)


@pytest.mark.parametrize("words", [("--help",), ("transfer", "--help"), ("presets", "list")])
def test_help_in_ascii(words: tuple[str, ...]) -> None:
    call = program(*words)
    call["env"] |= {"PYTHONIOENCODING": "ascii"}
    result = subprocess.run(**call, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.isascii()
    assert len(result.stdout) > 500


@posix
@pytest.mark.parametrize("columns", [pytest.param(20, marks=pytest.mark.slow), 80])
def test_names_cannot_reach_the_terminal(
    pictures: tuple[Path, Path], tmp_path: Path, columns: int
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    pictures[0].rename(folder / f"{HOSTILE}.png")
    words = ("batch", "transfer", folder, "--style", pictures[1], *SMALL, "-o", tmp_path / "out")
    received = on_terminal(*words, columns=columns).decode()
    assert "100 %" in received, "there is a bar"
    assert not set(received) & {"\x1b", "\a", "\x9b", "\u202e"}
    assert "1 finished" in received


@posix
def test_no_bars_on_a_dumb_terminal(pictures: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    pictures[0].rename(folder / "photo.png")
    words = ("batch", "transfer", folder, "--style", pictures[1], *SMALL, "-o", tmp_path / "out")
    received = on_terminal(*words, term="dumb")
    assert b"\x1b" not in received
    assert b"\r" not in received.replace(b"\r\n", b"\n")
    assert b"finished " in received


@posix
@pytest.mark.parametrize(
    "closed",
    [*(pytest.param(each, marks=pytest.mark.slow) for each in (">&-", "2>&-")), "<&- >&- 2>&-"],
)
def test_closed_streams(pictures: tuple[Path, Path], tmp_path: Path, closed: str) -> None:
    call = program("transfer", *pictures, *SMALL, "-o", tmp_path / "out.png")
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *call["args"]]
    result = subprocess.run(shell, env=call["env"], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert b"internal error" not in result.stderr
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (32, 21)


@posix
def test_a_picture_for_a_closed_stdout(pictures: tuple[Path, Path]) -> None:
    call = program("transfer", *pictures, *SMALL, "-o", "-")
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *call["args"]]
    result = subprocess.run(shell, env=call["env"], capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (
        2,
        b"stylize: stdout is closed (name a file with -o)\n",
    )


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("a\u202fm.png", "a m.png"),
        ("日本語 été 🐱.png", "日本語 été 🐱.png"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        (HOSTILE, "x�]0;pwned��[31m�31m��gnp"),
        ("\x00\x7f\x85\u2028\u2029\ufeff\u2066\ud800", "�" * 8),
    ],
)
def test_text_that_a_terminal_acts_on(text: str, harmless: str) -> None:
    assert shown(text) == harmless


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes exist on Linux alone")
def test_the_path_of_a_model_is_exact_for_programs(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"d\xe9p\xf4t")
    call: dict[str, Any] = program("models", "path", "added")
    call["env"] |= {"STYLIZE_DATA_DIR": str(folder)}
    (folder / "models").mkdir(parents=True)
    record = '{"architecture": "vgg16", "sha256": "", "source": "x"}'
    (folder / "models" / "added.json").write_text(record)
    result = subprocess.run(**call, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == os.fsencode(folder / "models" / "added.safetensors") + b"\n"
