"""The bar on terminals of any width, and the lines where there is no terminal."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from stylize.cli import progress
from stylize.cli.progress import Meter, clock_time, step_meter
from stylize.cli.requests import Messages
from stylize.planning.progress import Work
from stylize.settings.schedule import Scale
from tests.cli.conftest import QUICK, Run, iterate, program
from tests.cli.test_terminals import on_terminal, posix

SCALES = [Scale(24, 32, 20), Scale(48, 64, 10)]
LOSSES = {"style relu1_1": 0.25, "style relu2_1": 0.5, "content relu4_2": 0.125}
ROWS = 30
Screen = Callable[[int, str, Callable[[], None]], list[str]]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Draw on a terminal of so many columns: everything it shows, one drawing after the other."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_DRAWINGS", 0.0)
    monkeypatch.setenv("TERM", "xterm")

    def show(columns: int, encoding: str, draw: Callable[[], None]) -> list[str]:
        import fcntl
        import pty
        import struct
        import termios

        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        with (
            os.fdopen(theirs, "w", encoding=encoding, errors="replace") as stderr,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "stderr", stderr)
            draw()
        received = b""
        with suppress(OSError):  # Linux says so when the last writer has gone
            while block := os.read(ours, 1 << 16):
                received += block
        os.close(ours)
        return [each for each in re.split("[\r\n]+", received.decode(encoding)) if each.strip()]

    return show


def paint(verbose: int = 0, estimate_s: float | None = None) -> None:
    """Draw the middle of a run: 5 of the 10 steps at the second of two sizes."""
    messages = Messages(verbose=verbose)
    with step_meter(SCALES, messages, doing="painting", estimate_s=estimate_s) as listen:
        time.sleep(0.01)
        listen(iterate(SCALES, 2, 4, LOSSES))
        time.sleep(0.01)
        listen(iterate(SCALES, 2, 5, LOSSES))


def columns_of(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


@posix
@pytest.mark.parametrize(
    ("columns", "shape"),
    [
        (20, r" 67 %  0:\d\d left"),
        (40, r"size 2 of 2  █+░+   67 %  0:\d\d left"),
        (60, r"painting, size 2 of 2  █+░+   67 %  0:\d\d left"),
        (80, r"painting, size 2 of 2  █+░+   67 %  0:\d\d left"),
        (200, r"painting, size 2 of 2  █+░+   67 %  0:\d\d left"),
    ],
)
def test_the_bar_fits_the_terminal(screen: Screen, columns: int, shape: str) -> None:
    # 20 steps of 768 px and 5 of 3072, of 20 and 10: two thirds.
    drawn = screen(columns, "utf-8", paint)
    assert re.fullmatch(shape, drawn[-1]), drawn
    assert all(columns_of(each) < columns for each in drawn)
    if "█" in shape:
        full, empty = drawn[-1].count("█"), drawn[-1].count("░")
        assert full == int((full + empty) * 2 / 3)
        assert full + empty == min(40, columns - 1 - columns_of(re.sub("[█░]", "", drawn[-1])))


@posix
@pytest.mark.parametrize("columns", [2, 5, 10, 16, 19, 21, 30, 39, 41])
def test_any_width_is_one_line(screen: Screen, columns: int) -> None:
    drawn = screen(columns, "utf-8", lambda: paint(verbose=1))
    assert all(columns_of(each) < columns for each in drawn)


@posix
@pytest.mark.parametrize(("columns", "losses"), [(80, True), (120, True), (40, False), (60, False)])
def test_losses_only_if_verbose(screen: Screen, columns: int, losses: bool) -> None:
    assert "style" not in screen(columns, "utf-8", paint)[-1]
    screen_now = screen(columns, "utf-8", lambda: paint(verbose=1))[-1]
    assert screen_now.endswith("left  style 0.75  content 0.125") == losses


@posix
@pytest.mark.parametrize(
    ("encoding", "bar"), [("ascii", r"#+-+"), ("latin-1", r"#+-+"), ("cp437", "█+░+")]
)
def test_encodings_without_blocks(screen: Screen, encoding: str, bar: str) -> None:
    assert re.search(rf"size 2 of 2  {bar}   67 %", screen(80, encoding, paint)[-1])


@posix
def test_labels_of_any_script_and_size(screen: Screen) -> None:
    def draw() -> None:
        with Meter(Messages(), 4) as meter:
            for number in range(1, 4):
                meter.advance(
                    number, f"picture {number}, {'猫' * 30}{{0}}.png", f"picture {number}"
                )

    for columns in (20, 40, 60, 80, 200):
        drawn = screen(columns, "utf-8", draw)
        assert all(columns_of(each) < columns for each in drawn)
    assert "猫{0}.png" in drawn[-1]
    assert "猫" not in screen(60, "utf-8", draw)[-1]


@posix
def test_the_first_estimate_says_about(screen: Screen) -> None:
    def begin() -> None:
        with Meter(Messages(), 10, estimate_s=3600) as meter:
            meter.advance(0, "painting", unit=0)

    def work() -> None:
        with Meter(Messages(), 10, estimate_s=3600) as meter:
            meter.advance(0, "painting", unit=0)
            meter.advance(5, "painting")

    assert re.search(r"  0 %  about 1:00:0\d left$", screen(80, "utf-8", begin)[-1])
    assert "about" not in screen(80, "utf-8", work)[-1]


@posix
def test_the_time_left_follows_the_speed_of_the_run(screen: Screen) -> None:
    """After 0.3 s for a tenth of the work, a promise of an hour counts little, one of 1 s less."""

    def left_s(estimate_s: float | None) -> int:
        def draw() -> None:
            with Meter(Messages(), 10, estimate_s=estimate_s) as meter:
                meter.advance(0, "painting", unit=0)
                time.sleep(0.3)
                meter.advance(1, "painting")

        found = re.search(r"([\d:]+) left", screen(80, "utf-8", draw)[-1])
        assert found is not None
        parts = [int(each) for each in found[1].split(":")]
        return sum(each * 60**power for power, each in enumerate(reversed(parts)))

    assert left_s(None) >= 9 * 0.3
    assert left_s(3600) < 600
    assert left_s(1) > 1


def test_a_scale_that_stops_early_makes_the_work_smaller() -> None:
    """100 of 160 steps are expected at 10 px; the next scale has 2 steps of 100 px."""
    scales = [Scale(1, 10, 160, usual_steps=100), Scale(10, 10, 2)]

    def shares(*steps: tuple[int, int]) -> list[float]:
        work, found = Work(scales, None), []
        for scale, step in steps:
            work.add(iterate(scales, scale, step, {}))
            found.append(work.done / work.total)
        return found

    assert shares((1, 50), (1, 100)) == [500 / 1200, 1000 / 1200]
    # Stopped at 60 steps: 600 and 200 are left of the work.
    assert shares((1, 60), (2, 1), (2, 2)) == [600 / 1200, 700 / 800, 1]
    # Beyond 100, each step may be the last.
    assert shares((1, 101), (1, 110), (1, 160), (2, 2)) == [
        *(1010 / 1210, 1100 / 1300, 1600 / 1800, 1)
    ]
    every = shares(*((1, step) for step in range(1, 161)), (2, 1), (2, 2))
    assert every == sorted(every)
    assert shares((2, 1)) == [1100 / 1200], "resumed: what was done before is as usual"


@posix
@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (1, 80), (0, 80), (24, 0)])
def test_terminals_that_say_no_size(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, rows: int, columns: int
) -> None:
    monkeypatch.setattr("tests.cli.test_progress.ROWS", rows)
    assert re.fullmatch(
        r"painting, size 2 of 2  █+░+   67 %  0:\d\d left", screen(columns, "utf-8", paint)[-1]
    )


@posix
def test_what_an_earlier_run_did_does_not_count(screen: Screen) -> None:
    """The time left is judged by the steps of this run: two, of which each took its time."""

    def draw() -> None:
        scales = [Scale(10, 10, 100)]
        with step_meter(scales, Messages(), doing="dreaming") as listen:
            for step in (50, 51):
                time.sleep(0.15)
                listen(iterate(scales, 1, step, {}))

    found = re.fullmatch(r"dreaming  █+░+   51 %  0:(\d\d) left", screen(80, "utf-8", draw)[-1])
    assert found is not None
    assert int(found[1]) >= 49 * 0.15


@pytest.mark.parametrize("messages", [Messages(quiet=True), Messages(as_json=True)])
def test_nothing_if_quiet_or_in_json(monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stderr)
    with step_meter(SCALES, messages, doing="painting") as listen:
        listen(iterate(SCALES, 2, 5, LOSSES))
    assert stderr.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (11.2, "0:12"), (59.9, "1:00"), (750, "12:30"), (3750, "1:02:30")],
)
def test_times(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text


class TestLines:
    """Where there is no terminal that can redraw a line."""

    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(progress, "SECONDS_WITHOUT_LINES", 0.0)

    def lines(self, capsys: pytest.CaptureFixture[str], steps: int) -> list[str]:
        with Meter(Messages(), steps) as meter:
            for number in range(1, steps + 1):
                meter.advance(number, "painting")
        return capsys.readouterr().err.splitlines()

    def test_one_for_every_tenth(self, capsys: pytest.CaptureFixture[str]) -> None:
        lines = self.lines(capsys, 1000)
        shares = [re.match(r"painting  (\d+) %", line) for line in lines]
        assert [int(share[1]) for share in shares if share] == [0, *range(10, 101, 10)]
        assert all(re.fullmatch(r"painting  \d+ %  0:\d\d left", line) for line in lines[1:-1])
        assert lines[-1] == "painting  100 %"

    def test_one_after_some_time(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
        assert len(self.lines(capsys, 50)) == 50

    def test_none_of_a_short_run(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(progress, "SECONDS_WITHOUT_LINES", 3600.0)
        assert self.lines(capsys, 1000) == []

    @pytest.mark.usefixtures("network")
    def test_of_a_command(self, run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
        result = run("transfer", *files, *QUICK, "-o", tmp_path / "out.png")
        first, second, saved = result.stderr.splitlines()
        assert re.fullmatch(r"painting  50 %  (about )?\d+:\d\d left", first)
        assert second == "painting  100 %"
        assert saved.startswith("saved ")


@posix
@pytest.mark.parametrize("columns", [pytest.param(40, marks=pytest.mark.slow), 80])
def test_a_command_on_a_terminal(files: tuple[Path, Path], tmp_path: Path, columns: int) -> None:
    out = tmp_path / "o.png"
    received = on_terminal("transfer", *files, *QUICK, "-o", out, columns=columns, cwd=tmp_path)
    lines = re.split("[\r\n]+", received.decode())
    bars = [line for line in lines if "░" in line or "█" in line]
    assert bars
    assert all(re.match(r"painting  █*░*  +\d+ %", line) for line in bars)
    assert all(len(line) < columns for line in bars)
    assert lines[-2].startswith("saved ")


@pytest.mark.slow  # a process that paints; test_terminals.py has one of a batch
@posix
def test_a_dumb_terminal_gets_no_bar(files: tuple[Path, Path], tmp_path: Path) -> None:
    words = ("transfer", *files, *QUICK, "-o", tmp_path / "out.png")
    received = on_terminal(*words, term="dumb").decode()
    assert "█" not in received
    assert "\r" not in received.replace("\r\n", "\n")


@pytest.mark.slow
def test_no_bar_in_a_pipe(files: tuple[Path, Path], tmp_path: Path) -> None:
    call = program("transfer", *files, *QUICK, "-o", tmp_path / "out.png")
    result = subprocess.run(**call, capture_output=True, check=True)
    assert "█".encode() not in result.stderr
    assert b"\r" not in result.stderr.replace(b"\r\n", b"\n")
