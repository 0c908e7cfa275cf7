"""Settings, signatures, progress, errors and surroundings of the Python functions."""

from __future__ import annotations

import inspect
import io
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch

import stylize
from stylize import dream, transfer
from stylize.errors import (
    ExpressionError,
    MissingExtraError,
    OutputError,
    SettingError,
    StylizeError,
    UnknownNameError,
    UsageError,
)
from stylize.optimize.loop import Step
from stylize.settings.dream import DreamSettings, TunnelSettings
from stylize.settings.execution import Execution
from stylize.settings.keywords import (
    DreamKeywords,
    ExecutionKeywords,
    Layers,
    ReplayKeywords,
    Size,
    TransferKeywords,
    TunnelKeywords,
    in_python,
)
from stylize.settings.transfer import TransferSettings
from tests.cli.conftest import program
from tests.conftest import photo, strokes

FP32: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
QUICK: dict[str, Any] = {"layers": "conv1_2", "steps": 1, "size": 32, **FP32}
FEW: dict[str, Any] = {
    "style_layers": {"relu1_1": 1, "relu2_1": 1},
    "content_layers": {"relu2_2": 1},
}
STYLED: dict[str, Any] = {"size": 32, "min_size": 32, "steps": 2, **FEW, **FP32}

PHOTO = photo()[0].permute(1, 2, 0).numpy()
STYLE = strokes()[0].permute(1, 2, 0).numpy()

FUNCTIONS = ("transfer", "dream", "tunnel", "explore", "replay", "resume", "inspect", "batch")


def test_numpy_scalars_and_arrays_are_settings_like_any_other() -> None:
    plain = transfer(
        PHOTO,
        [STYLE, PHOTO],
        style_weights=(0.25, 0.75),
        content_weight=0.5,
        enlarge=True,
        seed=3,
        **STYLED,
    )
    scalars = {"size": np.int64(32), "steps": np.uint8(2), "min_size": np.int32(32)}
    found = transfer(
        PHOTO,
        [STYLE, PHOTO],
        style_weights=np.array([0.25, 0.75]),
        content_weight=np.float32(0.5),
        enlarge=np.bool_(True),
        seed=np.int16(3),
        **STYLED | scalars,
    )
    assert found.recipe == plain.recipe
    assert torch.equal(found.pixels, plain.pixels)


@pytest.mark.parametrize(
    "layers", [{"relu2_1": 2.0, "relu1_1": 1}, [("relu2_1", 2.0), ("relu1_1", 1)]]
)
def test_layers_are_tables_or_pairs(layers: Any) -> None:
    found = transfer(PHOTO, STYLE, **STYLED | {"style_layers": layers})
    assert found.recipe["settings"]["style_layers"] == {"relu2_1": 2.0, "relu1_1": 1}


@pytest.mark.parametrize(
    "size", [(40, 24), [40, 24], "40x24", (np.int64(40), np.int64(24)), np.array([40, 24])]
)
def test_a_size_may_be_width_and_height(size: Any) -> None:
    wide = np.repeat(PHOTO[:48], 2, axis=1)[:, :80]
    assert dream(wide, **QUICK | {"size": size}).pixels.shape == (1, 3, 24, 40)


KEYWORDS: list[tuple[type[Any], tuple[type[Any], ...]]] = [
    (ExecutionKeywords, (Execution,)),
    (TransferKeywords, (TransferSettings, Execution)),
    (DreamKeywords, (DreamSettings, Execution)),
    (TunnelKeywords, (TunnelSettings, Execution)),
    (ReplayKeywords, (DreamSettings, TransferSettings, Execution)),
]


@pytest.mark.parametrize(("keywords", "kinds"), KEYWORDS)
def test_keywords_are_the_fields_of_the_settings(
    keywords: type[Any], kinds: tuple[type[Any], ...]
) -> None:
    wider = {
        "tuple[float, ...]": "collections.abc.Sequence[float]",
        "tuple[str, ...]": "collections.abc.Sequence[str]",
        "LayerWeights": str(Layers),
    }
    choices = {
        each.name: each.metadata["choices"]
        for kind in kinds
        for each in fields(kind)
        if each.type == "str" and each.metadata["choices"]
    }
    found = get_type_hints(keywords)
    assert {name: get_args(found.pop(name)) for name in choices} == choices
    expected = {
        each.name: str(Size) if each.name == "size" else wider.get(str(each.type), str(each.type))
        for kind in kinds
        for each in fields(kind)
        if each.name not in choices
    }
    assert {name: named(hint) for name, hint in found.items()} == expected


def named(hint: Any) -> str:
    if isinstance(hint, UnionType) or get_args(hint):
        return str(hint)
    return str(hint.__name__)


@pytest.mark.parametrize(
    ("function", "kinds"),
    [
        ("transfer", (TransferSettings, Execution)),
        ("dream", (DreamSettings, Execution)),
        ("tunnel", (TunnelSettings, Execution)),
        ("replay", (TransferSettings, DreamSettings, Execution)),
        ("resume", (Execution,)),
        ("explore", (Execution,)),
        ("batch", (Execution,)),
    ],
)
def test_help_and_signature_show_every_setting(function: str, kinds: tuple[type[Any], ...]) -> None:
    called = getattr(stylize, function)
    parameters = inspect.signature(called).parameters
    text = inspect.getdoc(called) or ""
    for each in [each for kind in kinds for each in fields(kind)]:
        assert parameters[each.name].kind is inspect.Parameter.KEYWORD_ONLY
        assert f"\n    {each.name}: " in text
    assert not [each for each in parameters.values() if each.kind is each.VAR_KEYWORD]
    assert "--" not in text


def test_the_defaults_that_a_signature_shows_are_those_of_a_run() -> None:
    settings = dream(PHOTO, **QUICK).recipe["settings"]
    for name, parameter in inspect.signature(dream).parameters.items():
        if name in settings and name not in QUICK:
            assert parameter.default == settings[name]


def test_help_of_inspect_lists_the_settings_of_each_question() -> None:
    text = inspect.getdoc(stylize.inspect) or ""
    assert "Settings of 'saliency':\n    target: " in text
    assert "    columns: Number of cells in a row of the sheet.  [" in text
    assert "    perplexity: " in text.split("Settings of 'map':")[1]
    assert "--" not in text


def test_a_setting_named_as_its_option_is_recognised() -> None:
    with pytest.raises(UnknownNameError, match="did you mean category"):
        stylize.inspect("saliency", PHOTO, **{"class": 3})


def test_public_names_exist() -> None:
    assert {"errors", "video", "Finding", "Outcome", "Step"} <= set(dir(stylize))
    for name in dir(stylize):
        assert getattr(stylize, name) is not None


def test_dir_lists_the_functions() -> None:
    assert set(FUNCTIONS) <= set(dir(stylize))
    assert set(FUNCTIONS) <= set(stylize.__all__)


@pytest.mark.slow  # imports everything, torchvision and Ray too
def test_functions_stay_functions_when_every_module_is_imported() -> None:
    code = (
        "import importlib, pkgutil, stylize\n"
        "for each in pkgutil.walk_packages(stylize.__path__, 'stylize.'):\n"
        "    if not each.name.endswith('__main__'):\n"
        "        importlib.import_module(each.name)\n"
        f"print([name for name in {FUNCTIONS} if not callable(getattr(stylize, name))])\n"
    )
    assert python(code).stdout.strip() == "[]"


def python(code: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    call = program()
    call["args"] = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(**call, capture_output=True, text=True, timeout=120, check=check)


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        ("--size: (1,) is not a text", "size: (1,) is not a text"),
        ("unknown value of --color", "unknown value of color"),
        ("see --layer and --style-weight", "see layers and style_weights"),
        ("name them with --input", "name them with inputs"),
        ("replace it with --overwrite", "replace it with overwrite=True"),
        ("never without --enlarge.", "never without enlarge=True."),
        ("--enlarge: 3 is not true or false", "enlarge: 3 is not true or false"),
        ("--class cannot be combined with --at", "category cannot be combined with at"),
        ("at least 16 px: --size 16 --enlarge", "at least 16 px: size=16 enlarge=True"),
        ("a file--name.png", "a file--name.png"),
    ],
)
def test_options_in_messages_become_parameters(words: str, parameters: str) -> None:
    assert in_python(words) == parameters


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"size": (96, 96, 3)}, SettingError, r"^size: "),
        ({"size": "big"}, SettingError, "big"),
        ({"color": "blue"}, UnknownNameError, "^unknown value of color 'blue'"),
        ({"content_weight": -1}, SettingError, r"^content_weight: -1 is too small \(at least 0"),
        ({"content_weight": "much"}, SettingError, "^content_weight: 'much' is not a number"),
        ({"content_weight": np.nan}, SettingError, "^content_weight: nan is not a finite"),
        ({"steps": 2.5}, SettingError, r"^steps: 2\.5 is not a whole number"),
        ({"enlarge": 1}, SettingError, "^enlarge: 1 is not true or false"),
        ({"style_weights": (1, 2)}, UsageError, "style_weights|weights"),
        ({"threads": 0}, SettingError, "^threads: 0 is too small"),
        ({"device": "gpu"}, UnknownNameError, "unknown device 'gpu'"),
        ({"max_memory": "lots"}, SettingError, "no such amount of memory"),
        ({"content_wieght": 1}, UnknownNameError, "did you mean content_weight"),
        ({"preset": "blod"}, UnknownNameError, "did you mean bold"),
        ({"subject": "paint"}, UnknownNameError, "unknown value of subject"),
        ({"style_layers": "relu1_1"}, SettingError, "style_layers"),
        ({"init": "file"}, UsageError, "start"),
        ({"init": "noise", "start": PHOTO}, UsageError, "start and init='noise' exclude"),
    ],
)
def test_errors_speak_of_parameters(
    changes: dict[str, Any], error: type[StylizeError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        transfer(PHOTO, STYLE, **STYLED | changes)
    assert "--" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_style_at_all_is_a_request_that_makes_no_sense() -> None:
    with pytest.raises(UsageError, match="style"):
        transfer(PHOTO, (), **STYLED)


ERRORS = [
    StylizeError("it failed", hint="fix it"),
    SettingError("size: big"),
    UnknownNameError("preset", "blod", ["bold", "fine"]),
    ExpressionError("no such layer", "conv9_9", 4, hint="conv5_1"),
    MissingExtraError("it", "numpy>=2"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_a_process_border(error: StylizeError) -> None:
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)


def test_an_error_of_a_call_survives_a_process_border() -> None:
    with pytest.raises(SettingError) as caught:
        transfer(PHOTO, STYLE, content_weight=-1, **STYLED)
    found = pickle.loads(pickle.dumps(caught.value))
    assert str(found) == str(caught.value) == "content_weight: -1 is too small (at least 0)"


def test_progress_shows_a_bar_that_ends_full() -> None:
    shown = io.StringIO()
    with redirect_stderr(shown):
        transfer(PHOTO, STYLE, progress=True, **STYLED | {"size": 64})
    last = shown.getvalue().split("\r")[-1]
    assert "100%" in last
    with redirect_stderr(io.StringIO()) as silent:
        transfer(PHOTO, STYLE, **STYLED)
    assert silent.getvalue() == ""


def test_progress_calls_a_function_with_every_step() -> None:
    steps: list[Step] = []
    transfer(PHOTO, STYLE, progress=steps.append, tolerance=0, **STYLED | {"size": 64})
    assert [(each.scale, each.step) for each in steps] == [
        (scale, step)
        for scale in (1, 2)
        for step in range(1, next(e.steps for e in steps if e.scale == scale) + 1)
    ]


@contextmanager
def surroundings(name: str) -> Iterator[None]:
    dtype = torch.get_default_dtype()
    try:
        if name == "float64":
            torch.set_default_dtype(torch.float64)
            yield
        elif name == "no_grad":
            with torch.no_grad():
                yield
        else:
            with torch.inference_mode():
                yield
    finally:
        torch.set_default_dtype(dtype)


@pytest.mark.parametrize("name", ["no_grad", "inference_mode", "float64"])
def test_results_are_the_same_whatever_torch_is_set_to(name: str) -> None:
    painted, dreamt = transfer(PHOTO, STYLE, **STYLED), dream(PHOTO, **QUICK)
    with surroundings(name):
        state = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
        found = (
            transfer(PHOTO, STYLE, threads=1, **STYLED),
            dream(torch.tensor(PHOTO.transpose(2, 0, 1)), **QUICK),
        )
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == state
        assert (torch.get_default_dtype(), torch.get_num_threads()) == (dtype, threads)
        again = dream(found[1], **QUICK)
    assert torch.equal(found[0].pixels, painted.pixels)
    assert torch.equal(found[1].pixels, dreamt.pixels)
    assert found[0].pixels.dtype == torch.float32
    assert torch.equal(again.pixels, dream(dreamt, **QUICK).pixels)


NOISE: dict[str, Any] = {**QUICK, "from_noise": "32x32", "size": "512"}
FROM_NOISE: dict[str, Callable[[], Any]] = {
    "start": lambda: transfer(PHOTO, STYLE, init="noise", **STYLED),
    "variant": lambda: transfer(PHOTO, STYLE, seed=1, **STYLED),
    "dream": lambda: dream(**NOISE),
    "texture": lambda: dream(PHOTO, tileable=True, min_octave=16, **QUICK),
    "feature": lambda: stylize.inspect("feature", target="conv1_2:3", size=32, steps=1, **FP32),
    "caricature": lambda: stylize.inspect("caricature", PHOTO, size=32, steps=1, **FP32),
}


@pytest.mark.parametrize("make", FROM_NOISE.values(), ids=FROM_NOISE)
def test_noise_and_waves_have_their_own_dtype(make: Callable[[], Any]) -> None:
    usual = make()
    with surroundings("float64"):
        found = make()
    assert found.pixels.dtype == torch.float32
    assert torch.equal(found.pixels, usual.pixels)


@pytest.mark.parametrize("mode", [torch.autocast("cpu", torch.bfloat16), torch.device("meta")])
def test_modes_of_the_host_program_do_not_reach_a_run(mode: AbstractContextManager[Any]) -> None:
    painted, dreamt = transfer(PHOTO, STYLE, **STYLED), dream(PHOTO, **QUICK)
    with mode:
        state = torch.is_autocast_enabled("cpu"), torch.get_default_device()
        found = transfer(PHOTO, STYLE, **STYLED), dream(PHOTO, **QUICK)
        assert (torch.is_autocast_enabled("cpu"), torch.get_default_device()) == state
    assert torch.equal(found[0].pixels, painted.pixels)
    assert torch.equal(found[1].pixels, dreamt.pixels)


def test_a_run_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(7)
    np.random.seed(7)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(7)
    np.random.seed(7)
    dream(from_noise="32x32", **QUICK)
    transfer(PHOTO, STYLE, init="noise", **STYLED)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])


def test_two_threads_at_once_give_what_each_gives_alone() -> None:
    jobs = [
        lambda: transfer(PHOTO, STYLE, **STYLED),
        lambda: dream(PHOTO, **QUICK),
        lambda: transfer(STYLE, PHOTO, **STYLED),
    ]
    alone = [job().pixels for job in jobs]
    found: dict[int, torch.Tensor] = {}

    def work(index: int) -> None:
        found[index] = jobs[index]().pixels

    threads = [threading.Thread(target=work, args=[index]) for index in range(len(jobs))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert all(torch.equal(found[index], pixels) for index, pixels in enumerate(alone))


def test_an_interrupt_ends_a_run_and_leaves_torch_as_it_was() -> None:
    threads = torch.get_num_threads()

    def interrupt(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer(PHOTO, STYLE, progress=interrupt, threads=1, **STYLED)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
    assert dream(PHOTO, **QUICK).pixels.shape == (1, 3, 32, 32)


@pytest.mark.slow  # two processes that dream
def test_after_a_fork_the_error_says_what_to_do() -> None:
    code = """
import multiprocessing, warnings
import numpy as np
import stylize

def work(queue):
    try:
        stylize.dream(from_noise="32x32", layers="conv1_2", steps=1, size=32)
    except stylize.StylizeError as error:
        queue.put(str(error))

if __name__ == "__main__":
    stylize.dream(from_noise="32x32", layers="conv1_2", steps=1, size=32)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=work, args=[queue])
    process.start()
    print(queue.get(timeout=60))
    process.join()
"""
    shown = python(code.replace("multiprocessing, warnings", "multiprocessing")).stdout
    assert "multiprocessing.get_context('spawn')" in shown
    assert shown.count("\n") == 1


def test_results_survive_a_process_border() -> None:
    result = dream(PHOTO, **QUICK)
    found = pickle.loads(pickle.dumps(result))
    assert torch.equal(found.pixels, result.pixels)
    assert found.recipe == result.recipe


def test_saving_errors_speak_of_parameters(tmp_path: Path) -> None:
    result = dream(PHOTO, **QUICK)
    for target, options in (
        ("a.xyz", {}),
        ("gone/a.png", {}),
        ("a.jpg", {"depth": 16}),
        ("a.jpg", {"quality": 0}),
        ("", {}),
    ):
        with pytest.raises((OutputError, SettingError)) as caught:
            result.save(tmp_path / target, **options)
        assert "--" not in str(caught.value)
    assert not any(tmp_path.iterdir())
