"""The command line in this process, with the painting itself replaced where it does not matter."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from click.testing import CliRunner
from click.testing import Result as Invocation
from PIL import Image

import stylize
from stylize.cli import run as running
from stylize.cli.main import cli
from stylize.cli.progress import Stop
from stylize.images.open import pixel_limit, set_pixel_limit
from stylize.images.read import Picture
from stylize.optimize.loop import Step
from stylize.planning.cost import Cost
from stylize.planning.memory import MemoryPlan
from stylize.products.transfer import transfer as transfer_module
from stylize.runs.recipe import compose
from stylize.runs.result import Result
from stylize.settings.execution import Execution
from stylize.settings.fields import to_document
from stylize.settings.schedule import Scale
from stylize.settings.transfer import TransferSettings

Run = Callable[..., Invocation]
StopAfter = Callable[[int], None]
tunnel_command = import_module("stylize.cli.tunnel")
explore_command = import_module("stylize.cli.explore")
replay_command = import_module("stylize.cli.replay")
resume_command = import_module("stylize.cli.resume")
# Words that make a run with the real network short.
FEW = ("--style-layers", "relu1_1,relu2_1", "--content-layers", "relu2_2")
QUICK = ("--size", 32, "--min-size", 32, "--steps", 2, *FEW, "--precision", "fp32")
# The same for a dream: one step at one size.
BRIEF = ("--octaves", 1, "--steps", 1, "--layer", "conv2_2", "--precision", "fp32")

# A command remembers the help option of its first context, so that has to be the program's.
HELP = {"help_option_names": cli.context_settings["help_option_names"]}


class Counted(Stop):
    """Stops once it has been asked more often than ``times``."""

    def __init__(self, asked: Iterator[int], times: int) -> None:
        super().__init__()
        self._asked, self._times = asked, times

    def __call__(self) -> bool:
        return next(self._asked) > self._times


@pytest.fixture
def run() -> Iterator[Run]:
    """``run("transfer", photo, style, …)``; what a run sets for its whole process is undone."""
    ours, pillows = pixel_limit(), Image.MAX_IMAGE_PIXELS
    threads = torch.get_num_threads()

    def invoke(*words: object, **extra: Any) -> Invocation:
        extra = {"prog_name": "stylize"} | extra
        return CliRunner().invoke(cli, [str(word) for word in words], **extra)

    yield invoke
    set_pixel_limit(ours)
    Image.MAX_IMAGE_PIXELS = pillows
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``stop_after(5)``: runs from now on stop when they ask for the sixth time."""

    def patch(times: int) -> None:
        @contextmanager
        def stop_on_interrupt(**options: Any) -> Iterator[Stop]:
            asked = count(1)
            yield Counted(asked, times)

        for module in (running, tunnel_command, explore_command, replay_command, resume_command):
            monkeypatch.setattr(module, "stop_on_interrupt", stop_on_interrupt)

    return patch


class Sketch:
    """In the place of ``Transfer``: keeps what it was given and paints a grey picture at once.

    Attributes:
        made: every instance, in order.
        failure: raised by :meth:`run` if it is set.
        interrupted: what the painting says of itself.
        losses: of the steps that listeners receive.
    """

    made: ClassVar[list[Sketch]]
    failure: ClassVar[BaseException | None]
    interrupted: ClassVar[bool]
    losses: ClassVar[dict[str, float]]

    def __init__(
        self,
        content: Picture,
        styles: list[Picture],
        settings: TransferSettings,
        execution: Execution,
        *,
        start: Picture | None,
        preset: str | None,
        **more: Any,
    ) -> None:
        self.content, self.styles, self.start = content, styles, start
        self.settings, self.execution, self.preset = settings, execution, preset
        self.scales = [Scale(24, 32, 20), Scale(48, 64, 10)]
        self.alpha = None
        self.notes: list[str] = []
        self.memory_plan = MemoryPlan()
        self.device = SimpleNamespace(name="cpu", precision="fp32", threads=3, key=None)
        self.made.append(self)

    def cost(self) -> Cost:
        return Cost(tflop=1.25, peak_bytes=0.7e9, seconds=42.0)

    def run(
        self, on_step: Callable[[Step], None], stop: Callable[[], bool], hooks: object = None
    ) -> Result:
        if self.failure is not None:
            raise self.failure
        for number, scale in enumerate(self.scales, 1):
            for step in range(1, scale.steps + 1):
                on_step(iterate(self.scales, number, step, self.losses))
        recipe = compose(
            "transfer",
            to_document(self.settings),
            [("content", self.content)],
            weights={},
            resolved={"size": [64, 48]},
            losses={},
            interrupted=self.interrupted,
            preset=self.preset,
        )
        return Result(torch.full((1, 3, 48, 64), 0.5), None, recipe, self.interrupted)


def iterate(scales: list[Scale], number: int, step: int, losses: dict[str, float]) -> Step:
    """What the loop would say of one step."""
    scale = scales[number - 1]
    return Step(
        scale=number,
        scales=len(scales),
        size=scale.size,
        step=step,
        steps=scale.steps,
        total=sum(losses.values()),
        losses=losses,
        seconds=0.5,
        picture=lambda: torch.full((1, 3, *scale.size), 0.5),
    )


@pytest.fixture
def sketch(monkeypatch: pytest.MonkeyPatch) -> type[Sketch]:
    """Transfers are sketches; ``sketch.made[-1]`` is the last one."""

    losses = {"style relu1_1": 0.25, "style relu2_1": 0.5, "content relu4_2": 0.125}
    fresh = {"made": [], "failure": None, "interrupted": False, "losses": losses}
    kind = type("FreshSketch", (Sketch,), fresh)
    monkeypatch.setattr(transfer_module, "Transfer", kind)
    return kind


def listing(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def complaint(result: Invocation, code: int) -> str:
    """The one line on stderr of a run that failed as it should."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("stylize: ")
    text = line.removeprefix("stylize: ")
    if result.stdout:  # with --json there is an event that says the same
        error = json.loads(result.stdout)
        assert (error["event"], error["code"]) == ("error", code)
        assert text == error["message"] + (f" ({error['hint']})" if error["hint"] else "")
    return text


def done(result: Invocation, code: int = 0) -> Invocation:
    """The same, of a run that went as it should."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    return result


def pointed_at(result: Invocation) -> tuple[str, str]:
    """The message about an expression, and the part of it after the caret."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    line, expression, caret = result.stderr.splitlines()
    assert line.startswith("stylize: ")
    assert caret.strip() == "^"
    return line.removeprefix("stylize: "), expression[len(caret) - 1 :]


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture file."""
    with Image.open(path) as image:
        return image.size


def program(*words: object) -> dict[str, Any]:
    """For :mod:`subprocess`: this program in a process of its own, from wherever it is imported."""
    home = str(Path(stylize.__file__).resolve().parent.parent)
    return {
        "args": [sys.executable, "-m", "stylize", *map(str, words)],
        "env": os.environ | {"PYTHONPATH": home},
    }
