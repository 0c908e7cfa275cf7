"""Every setting, its default, its range and its help: the only place where they stand.

Command-line options, preset keys, the recipe in the picture and the help texts are all derived
from the fields here.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from stylize.errors import SettingError, UnknownNameError
from stylize.images.sizes import MAX_SIDE_PX, SizeSpec
from stylize.networks.architecture import find_layer

# Layer names and their weights, in the order given.
LayerWeights = tuple[tuple[str, float], ...]

# What the recipe in the picture has room for, with all their names and hashes.
MAX_STYLES = 40
# Beyond any sense, and far from where sums and products of weights leave the floats.
MAX_WEIGHT = 1e9


def setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] | None = None,
    option: str | None = None,
) -> Any:
    """A field with its documentation and its range.

    Args:
        default: the value when nobody says anything.
        help: one sentence for the help text.
        low, high: inclusive bounds.
        above: exclusive lower bound.
        choices: the values allowed.
        option: its spelling on the command line, if not that of the field.
    """
    limits = {"low": low, "high": high, "above": above, "choices": choices}
    return field(default=default, metadata={"help": help, "option": option, **limits})


@dataclass(frozen=True, kw_only=True)
class TransferSettings:
    """All that decides how a transfer looks."""

    size: str = setting(
        "512", "Size of the result: N (long side in px), WxH (a box), 12MP (an area) or original."
    )
    style_size: int | None = setting(
        None,
        "Long side of the style picture; smaller gives finer strokes.  [as the result]",
        low=32,
        high=MAX_SIDE_PX,
    )
    style_weights: tuple[float, ...] = setting(
        (),
        "Share of each style, in the order of the styles.  [equal]",
        low=0,
        high=MAX_WEIGHT,
        option="--style-weight",
    )
    style_loss: str = setting(
        "moments",
        "What a style is: covariance and mean of the activations, or their raw Gram matrix.",
        choices=("moments", "gram"),
    )
    style_layers: LayerWeights = setting(
        (("relu1_1", 16), ("relu2_1", 8), ("relu3_1", 4), ("relu4_1", 2), ("relu5_1", 1)),
        "Layers of the style and their weights, as NAME:WEIGHT,…; normalised.",
        low=0,
        high=MAX_WEIGHT,
    )
    content_layers: LayerWeights = setting(
        (("relu4_2", 1),),
        "Layers of the content and their weights; normalised.",
        low=0,
        high=MAX_WEIGHT,
    )
    content_weight: float = setting(
        0.05,
        "Weight of the content beside the style; 0 leaves it to the start alone.",
        low=0,
        high=MAX_WEIGHT,
    )
    smoothness: float = setting(
        0.5,
        "Weight of the total variation: more is smoother, with fewer fine strokes.",
        low=0,
        high=MAX_WEIGHT,
    )
    init: str = setting(
        "content",
        "What the optimisation starts from: content, noise, style, or a picture file.",
        choices=("content", "noise", "style", "file"),
    )
    seed: int = setting(0, "Seed of the noise.", low=0, high=2**63 - 1)
    optimizer: str = setting("lbfgs", "How the gradient is followed.", choices=("lbfgs", "adam"))
    steps: int = setting(
        100, "Steps at the coarsest scale; they fall to the final steps.", low=1, high=1_000_000
    )
    final_steps: int | None = setting(
        None, "Steps at the finest scale.  [three tenths of --steps]", low=1, high=1_000_000
    )
    min_size: int = setting(
        128,
        "Long side of the coarsest scale; the scales grow by √2 from there.",
        low=32,
        high=MAX_SIDE_PX,
    )
    learning_rate: float = setting(
        0.02, "Step of a pixel in Adam, as a share of the range of values.", above=0, high=1
    )
    averaging: float = setting(
        0.9, "Decay of the average of iterates in Adam; 0 takes the last.", low=0, high=0.9999
    )
    tolerance: float = setting(
        0.001,
        "End a scale when ten steps improve it by less than this share; 0 never.",
        low=0,
        high=1,
    )
    network: str = setting("vgg16", "Network that sees the pictures; see 'stylize models list'.")
    pooling: str = setting("max", "Pooling between the blocks.", choices=("max", "avg"))

    TECHNIQUE: ClassVar[str] = "transfer"

    def __post_init__(self) -> None:
        check_fields(self)
        SizeSpec.parse(self.size)
        for each in dataclasses.fields(self):
            if each.type == "LayerWeights" and not any(w for _, w in getattr(self, each.name)):
                raise SettingError(f"{option_name(each)} needs a layer with a weight above 0")
        if self.style_weights and not any(self.style_weights):
            raise SettingError("--style-weight: all are 0", hint="give one style a weight above 0")

    def check_layers(self, architecture: str) -> None:
        """Check the layers' names against a network.

        Raises:
            UnknownNameError: the network has no such layer.
        """
        for name, _ in self.style_layers + self.content_layers:
            find_layer(architecture, name)

    def check_styles(self, count: int) -> None:
        """Check the number of style pictures.

        Raises:
            SettingError: none, too many for one recipe, or not as many as there are weights.
        """
        if not 1 <= count <= MAX_STYLES:
            raise SettingError(f"{count} style pictures", hint=f"1 to {MAX_STYLES} can be blended")
        if self.style_weights and len(self.style_weights) != count:
            raise SettingError(f"{len(self.style_weights)} style weights for {count} styles")

    @property
    def steps_at_the_end(self) -> int:
        """Steps at the finest scale."""
        return self.final_steps or max(1, round(0.3 * self.steps))


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Where and how precisely the work is done: what a preset does not decide."""

    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps.")
    precision: str = setting(
        "auto",
        "Precision of the convolutions; auto measures which is faster and exact enough.",
        choices=("auto", "bf16", "fp32"),
    )
    threads: int | None = setting(None, "CPU threads.  [all cores]", low=1, high=1024)

    def __post_init__(self) -> None:
        check_fields(self)
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise UnknownNameError("device", self.device, ("auto", "cpu", "cuda", "cuda:0", "mps"))


def option_name(each: dataclasses.Field[Any]) -> str:
    """The command-line spelling of a field: ``--content-weight``."""
    return each.metadata["option"] or "--" + each.name.replace("_", "-")


def check_fields(settings: Any) -> None:
    """Check every field of a settings object against its declared type and range.

    Raises:
        SettingError: the first field that fails.
    """
    for each in dataclasses.fields(settings):
        value = getattr(settings, each.name)
        if value is None and "None" in str(each.type):
            continue
        _check_kind(each, value)
        numbers: tuple[Any, ...] = (value,)
        if isinstance(value, tuple):
            numbers = tuple(item[1] if isinstance(item, tuple) else item for item in value)
        for number in numbers:
            _check_range(each, number)


def _check_kind(each: dataclasses.Field[Any], value: Any) -> None:
    kind = str(each.type).removesuffix(" | None")
    good = {
        "str": isinstance(value, str),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": _is_number(value),
        "tuple[float, ...]": isinstance(value, tuple) and all(map(_is_number, value)),
        "LayerWeights": isinstance(value, tuple) and all(map(_is_layer_weight, value)),
    }[kind]
    if not good:
        wanted = {
            "str": "a text",
            "int": "a whole number",
            "float": "a number",
            "tuple[float, ...]": "numbers",
            "LayerWeights": "layers with weights",
        }[kind]
        raise SettingError(f"{option_name(each)}: {value!r} is not {wanted}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_layer_weight(item: object) -> bool:
    return (
        isinstance(item, tuple)
        and len(item) == 2
        and isinstance(item[0], str)
        and _is_number(item[1])
    )


def _check_range(each: dataclasses.Field[Any], value: Any) -> None:
    name, limits = option_name(each), each.metadata
    if limits["choices"] and value not in limits["choices"]:
        raise UnknownNameError(f"value of {name}", str(value), limits["choices"])
    if not _is_number(value):
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{name}: {value} is not a finite number")
    low, high, above = limits["low"], limits["high"], limits["above"]
    if low is not None and value < low:
        raise SettingError(f"{name}: {_figure(value)} is too small", hint=f"at least {low:g}")
    if above is not None and value <= above:
        raise SettingError(f"{name}: {_figure(value)} is too small", hint=f"more than {above:g}")
    if high is not None and value > high:
        raise SettingError(f"{name}: {_figure(value)} is too large", hint=f"at most {high:.12g}")


def _figure(value: float) -> str:
    """A number as a message shows it; integers can be larger than any float, and than a line."""
    return f"{value:.12g}" if abs(value) < 1e300 else "the number"


def to_document(settings: Any) -> dict[str, Any]:
    """Settings as plain data for JSON or TOML: layer weights become tables, None is left out."""
    document = {}
    for each in dataclasses.fields(settings):
        value = getattr(settings, each.name)
        if value is None:
            continue
        if each.type == "LayerWeights":
            value = dict(value)
        elif isinstance(value, tuple):
            value = list(value)
        document[each.name] = value
    return document


def from_document(kind: type[Any], document: Mapping[str, Any], base: Any = None) -> Any:
    """Settings from plain data, the inverse of :func:`to_document`.

    Args:
        kind: the settings class.
        document: untrusted: every key and value is checked.
        base: settings whose values hold where the document says nothing; the defaults if None.

    Raises:
        UnknownNameError: a key that is no setting.
        SettingError: a value of the wrong kind or out of range.
    """
    fields = {each.name: each for each in dataclasses.fields(kind)}
    values = {}
    for key, value in document.items():
        if key not in fields:
            raise UnknownNameError("setting", key, fields)
        values[key] = _from_plain(fields[key], value)
    return dataclasses.replace(base if base is not None else kind(), **values)


def _from_plain(each: dataclasses.Field[Any], value: Any) -> Any:
    if each.type == "LayerWeights":
        if not isinstance(value, Mapping):
            raise SettingError(f"{each.name}: {value!r} is not a table of layers and weights")
        return tuple(value.items())
    if each.name == "size" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return tuple(value) if isinstance(value, list) else value
