"""Settings as keyword arguments of the Python functions, for editors and type checkers.

Values, documentation and ranges are those of the dataclasses; a test compares names and types.
A keyword that is left out leaves the preset's value, which a default in a signature could not.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, TypedDict, TypeVar, get_type_hints

from stylize.settings.dream import DreamSettings, TunnelSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import option_name
from stylize.settings.inspect import FeatureSettings
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings

_Function = TypeVar("_Function", bound=Callable[..., Any])

Size = int | str | tuple[int, int]
Layers = Mapping[str, float] | Sequence[tuple[str, float]]


class ExecutionKeywords(TypedDict, total=False):
    """The fields of :class:`stylize.Execution`."""

    device: str
    precision: Literal["auto", "bf16", "fp32"]
    threads: int | None
    max_memory: str | None


class TransferKeywords(ExecutionKeywords, total=False):
    """The fields of :class:`stylize.TransferSettings` and :class:`stylize.Execution`."""

    size: Size
    enlarge: bool
    style_size: int | None
    style_crop: str
    clarity: float
    style_weights: Sequence[float]
    style_parts: Sequence[str]
    style_loss: Literal["wasserstein", "moments", "gram"]
    style_variance: float
    style_layers: Layers
    motifs: Literal["anywhere", "plain"]
    content_layers: Layers
    strength: float | None
    content_weight: float | None
    smoothness: float
    cleanup: float
    retouch: float
    grain: float
    edges: float
    edges_kept: Literal["clear", "all"]
    match: float
    color: Literal["style", "luminance", "match", "palette"]
    blend: float
    dream: str | None
    init: Literal["content", "noise", "style", "file"]
    detail: float
    subject: str | None
    background: str | None
    feather: int
    seed: int | None
    optimizer: Literal["lbfgs", "adam"]
    steps: int
    final_steps: int | None
    min_size: int
    size_ratio: float
    learning_rate: float
    averaging: float
    tolerance: float
    network: str
    pooling: Literal["max", "avg"]


class _DreamsOnly(TypedDict, total=False):
    from_noise: str | None
    layers: str
    octaves: int
    octave_scale: float
    min_octave: int | None
    carry: Literal["detail", "rescale"]
    palette: Literal["natural", "neon"]
    smoothing: Literal["none", "cascade", "laplacian"]
    guide_mode: Literal["match", "channels"]
    guide_size: int
    keep_colors: bool
    fidelity: float
    tileable: bool
    jitter: int


class _DreamKeywords(ExecutionKeywords, _DreamsOnly, total=False):
    size: Size
    enlarge: bool
    strength: float
    steps: int
    seed: int
    pooling: Literal["max", "avg"]
    network: str


class DreamKeywords(_DreamKeywords, total=False):
    """The fields of :class:`stylize.DreamSettings` and :class:`stylize.Execution`."""

    subject: str | None
    background: str | None
    feather: int


class _ClipsOnly(TypedDict, total=False):
    coherence: float
    every: int
    passes: int


class VideoTransferKeywords(TransferKeywords, _ClipsOnly, total=False):
    """The fields of the settings of a transfer and of :class:`VideoSettings`."""


class VideoDreamKeywords(DreamKeywords, _ClipsOnly, total=False):
    """The fields of the settings of a dream and of :class:`VideoSettings`."""


class TunnelKeywords(_DreamKeywords, total=False):
    """The fields of :class:`stylize.TunnelSettings` and :class:`stylize.Execution`."""

    frames: int
    pace: float
    zoom: float
    rotate: float
    pan_x: float
    pan_y: float
    fps: float
    loop: bool


class ReplayKeywords(TransferKeywords, _DreamsOnly, total=False):
    """The fields of all settings that a recipe of a picture may have."""


_KINDS = (
    TransferSettings,
    TunnelSettings,
    DreamSettings,
    FeatureSettings,
    VideoSettings,
    Execution,
)

_NAMES = {option_name(each): each.name for kind in _KINDS for each in fields(kind)} | {
    "--input": "inputs",
    "--name": "--name",  # only of commands to type
}

_SWITCHES = {
    option_name(each)
    for kind in (TransferSettings, TunnelSettings)
    for each in fields(kind)
    if each.type == "bool"
} | {"--overwrite", "--substitute", "--include-results", "--retry-failed"}

# An option, and what follows it: a colon, or a number as its value.
_OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*)(?:(?=(:))|( )(?=\d))?")

# The functions have no such parameter, and take no words to type.
_TYPED = " You can also write it before the file: fine=FILE."
_LIMIT = re.compile("raise (it|the limit) with --max-input-pixels")


def in_python(text: str, quote: str = "") -> str:
    """Replace the options in a text by the parameters of the Python functions.

    Args:
        quote: written on both sides of a parameter.
    """

    def parameter(option: re.Match[str]) -> str:
        name = _NAMES.get(option[1], option[1].removeprefix("--").replace("-", "_"))
        if option[3]:
            return f"{name}="
        is_switch = option[1] in _SWITCHES and not option[2]
        return f"{quote}{name}{'=True' if is_switch else ''}{quote}"

    return _OPTION.sub(parameter, _LIMIT.sub("use a smaller one", text.replace(_TYPED, "")))


class _FromRecipe:
    def __repr__(self) -> str:
        return "<from the recipe>"


# The default of a setting in a signature, if it is not always the same value.
FROM_RECIPE = _FromRecipe()


def settings_shown(
    keywords: type[Any], *defaults: Any, recorded: Sequence[Any] = ()
) -> Callable[[_Function], _Function]:
    """Let ``help`` and notebooks show each setting of a function that takes ``**settings``.

    Args:
        keywords: the TypedDict of the settings.
        defaults: settings objects, whose values the signature shows.
        recorded: settings objects whose values come from a recipe.
    """
    hints = get_type_hints(keywords)
    shown = {each.name: getattr(every, each.name) for every in defaults for each in fields(every)}

    def decorate(function: _Function) -> _Function:
        own = inspect.signature(function)
        named = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
        known = {each.name for each in named}
        named += [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=shown.get(name, FROM_RECIPE),
                annotation=hint,
            )
            for name, hint in hints.items()
            if name not in known
        ]
        function.__signature__ = own.replace(parameters=named)  # type: ignore[attr-defined]
        text = inspect.cleandoc(function.__doc__ or "")
        function.__doc__ = f"{text}\n\nSettings:\n{described(*defaults)}"
        for each in recorded:
            function.__doc__ += f"\n\nSettings of a {each.TECHNIQUE}:\n{described(each)}"
        return function

    return decorate


def described(*settings: Any, with_defaults: bool = False) -> str:
    """A line for each setting: its name and its help text.

    Args:
        with_defaults: append the defaults, for a signature that does not show them.
    """
    return "\n".join(
        f"    {each.name}: {in_python(each.metadata['help'], '``')}"
        + (_default(getattr(kind, each.name)) if with_defaults else "")
        for kind in settings
        for each in fields(kind)
    )


def _default(value: Any) -> str:
    return "" if value in (None, "", ()) else f"  [{value!r}]"
