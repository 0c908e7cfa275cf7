"""Jobs as programs ask for them: JSON documents, checked without opening a picture. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from math import isfinite
from typing import Any

from stylize.batches.tasks import Clips
from stylize.errors import SettingError, UnknownNameError, UsageError, quoted
from stylize.networks.architecture import is_vgg
from stylize.networks.layer_expressions import parse_targets
from stylize.networks.models import find_model, model_names
from stylize.settings.dream import DreamSettings, with_photo
from stylize.settings.execution import Execution
from stylize.settings.fields import from_document
from stylize.settings.masks import KEEP, kept_part
from stylize.settings.presets import (
    DEFAULTS,
    PRODUCTS,
    Preset,
    check_layers,
    every_preset_name,
    find_preset,
)
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings
from stylize.video.clip import Cut

ID = re.compile(r"[0-9a-f]{64}")

_COMMON = ("kind", "preset", "photo", "mask", "settings", "execution", "live", "session")

# The keys of a request by kind, in the order in which a recall writes them.
KEYS = {
    "transfer": (*_COMMON, "styles", "start", "keep", "regions"),
    "dream": (*_COMMON, "guide"),
}

# Kinds of clips, and how their frames are made.
CLIP_KINDS = {f"video-{technique}": technique for technique in KEYS}

_CLIP_KEYS = ("clip", "video", "cut", "format", "preview")

FORMATS = ("mp4", "webm", "gif", "webp", "apng")

_CUT = ("start", "end", "fps")

_SHEET_KEYS = ("of", "try", "values", "layer", "count")

TRIES = {
    "transfer": ("presets", "strengths", "styles"),
    "dream": ("presets", "strengths", "channels"),
}

# What a sheet varies by default, its cells' size, and the most cells.
STRENGTHS = {"transfer": (20, 35, 50, 65, 80), "dream": (30, 60, 90, 150, 300)}
CELL_SIZE = "256"
LAYER = "conv4_3"
CHANNELS, MOST_CELLS = 12, 60

_SESSION = re.compile(r"[\w-]{1,64}")


@dataclass(frozen=True)
class Region:
    """A region of the photo, by the ids of its pictures.

    Attributes:
        mask: white in the region; or, with ``colour``, a map in which each region has one colour.
        style: None leaves the region unpainted.
        colour: such as ``#ff0000``.
    """

    mask: str
    style: str | None
    colour: str | None = None


@dataclass(frozen=True)
class JobRequest:
    """A transfer or a dream, checked; pictures are named by their ids.

    Attributes:
        preset: what ``settings`` are based on.
        photo: of a clip, the clip.
        styles: style images of the whole picture.
        start: the picture to start from.
        guide: of a dream.
        mask: white where the picture changes.
        regions: with styles of their own, or kept.
        clips: how the frames of a clip follow from each other; None for a picture.
        preview: paint only three frames of the clip.
    """

    preset: Preset
    settings: TransferSettings | DreamSettings
    execution: Execution
    photo: str | None
    styles: tuple[str, ...] = ()
    start: str | None = None
    guide: str | None = None
    mask: str | None = None
    regions: tuple[Region, ...] = ()
    clips: Clips | None = None
    preview: bool = False

    @property
    def kind(self) -> str:
        """What the API calls it."""
        technique = self.preset.technique
        return technique if self.clips is None else f"video-{technique}"

    def inputs(self) -> Iterator[tuple[str, str]]:
        """Yield role and id of each picture, as in a recipe."""
        if self.photo is not None:
            yield "content", self.photo
        yield from (("style", style) for style in self.styles)
        for role in ("start", "guide", "mask"):
            if (picture := getattr(self, role)) is not None:
                yield role, picture
        for number, each in enumerate(self.regions, 1):
            yield f"region {number}" + (f" {each.colour}" if each.colour else ""), each.mask
            if each.style is not None:
                yield f"region {number} style", each.style


def read_request(document: Mapping[str, Any]) -> JobRequest:
    """Check a request for a transfer or a dream, of a picture or of a clip.

    Raises:
        UsageError: it makes no sense; says why.
    """
    kind = _choice(document, "kind", (*KEYS, *CLIP_KINDS))
    technique = CLIP_KINDS.get(kind, kind)
    _require_known(document, keys_of(kind))
    _check_session(document)
    is_clip = kind in CLIP_KINDS
    photo = _picture(document, "clip" if is_clip else "photo")
    said = {**_table(document, "settings")}
    styles = _pictures(document, "styles")
    start = _picture(document, "start")
    if start is not None:
        said["init"] = "file"
    preset = _preset(technique, document.get("preset"))
    if technique == "dream":
        said = with_photo(photo, said)
    request = JobRequest(
        preset,
        preset.apply(said),
        from_document(Execution, _table(document, "execution")),
        photo,
        styles,
        start,
        _picture(document, "guide"),
        _picture(document, "mask"),
        tuple(_regions(document)),
        _clips(document) if is_clip else None,
        document.get("preview", False),
    )
    _check(request)
    return request


def _check_session(document: Mapping[str, Any]) -> None:
    session = document.get("session")
    if session is not None and not (isinstance(session, str) and _SESSION.fullmatch(session)):
        raise SettingError("session is not a word of up to 64 letters and digits")
    if not isinstance(document.get("live", False), bool):
        raise SettingError("live is not true or false")


def keys_of(kind: str) -> tuple[str, ...]:
    """List the keys of a request of a kind, in the order in which a recall writes them."""
    if kind not in CLIP_KINDS:
        return KEYS[kind]
    of_pictures = (key for key in KEYS[CLIP_KINDS[kind]] if key not in ("photo", "start"))
    return (*of_pictures, *_CLIP_KEYS)


def _clips(document: Mapping[str, Any]) -> Clips:
    """Read how the frames of a clip follow from each other.

    Raises:
        SettingError: it makes no sense.
    """
    preview = document.get("preview", False)
    if not isinstance(preview, bool):
        raise SettingError("preview is not true or false")
    if document.get("live") and not preview:
        raise SettingError("live is for previews of clips", hint="set preview, or leave out live")
    wanted = _table(document, "cut")
    _require_known(wanted, _CUT)
    cut = Cut(*(_fraction(wanted, name) for name in _CUT))
    cut.check()
    format = document.get("format", FORMATS[0])
    if format not in FORMATS:
        raise UnknownNameError("format", str(format), FORMATS)
    return Clips(from_document(VideoSettings, _table(document, "video")), cut, format)


def _fraction(table: Mapping[str, Any], name: str) -> Fraction | None:
    value = table.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise SettingError(f"cut: {name} is not a number")
    return Fraction(str(value))


def _check(request: JobRequest) -> None:
    """Check that settings and pictures fit together."""
    settings = request.settings
    if kept_part(settings) is not None and request.mask is not None:
        raise SettingError(
            "a mask cannot be combined with subject or background", hint="leave one of them out"
        )
    if isinstance(settings, TransferSettings):
        if request.photo is None:
            what = "photo" if request.clips is None else "clip"
            raise UsageError(f"there is no {what}", hint=f"choose a {what}")
        own = sum(each.style is not None for each in request.regions)
        if not request.styles and not own:
            raise UsageError("there is no style image", hint="choose at least one")
        settings.check_styles(len(request.styles), regions=own)
        if settings.init == "file" and request.start is None:
            raise SettingError("init is file, but there is no picture to start from")
    else:
        if request.photo is None and request.clips is not None:
            raise UsageError("there is no clip", hint="choose a clip")
        if request.photo is None and settings.from_noise is None:
            raise UsageError("nothing to dream on", hint="choose a photo, or set from_noise")
        if request.photo is not None and settings.from_noise is not None:
            raise SettingError("from_noise needs no photo", hint="leave one of them out")
        if request.photo is None and kept_part(settings) is not None:
            raise SettingError("noise has no subject", hint="leave subject and background out")
    check_layers(settings, find_model(settings.network).architecture)


@dataclass(frozen=True)
class SheetRequest:
    """Many small pictures to choose from.

    Attributes:
        cells: label and request of each; the requests have no size.
        size: of each picture.
        layer, count: of channels, which only the engine can find; there is one cell then, the base.
    """

    cells: tuple[tuple[str, Mapping[str, Any]], ...]
    size: str
    layer: str | None = None
    count: int = CHANNELS


def read_sheet(document: Mapping[str, Any], names: Mapping[str, str] | None = None) -> SheetRequest:
    """Check a request for a sheet, and each of its cells.

    Args:
        document: untrusted.
        names: of pictures by their ids, for labels.

    Raises:
        UsageError: it makes no sense; says why.
    """
    of = _choice(document, "of", KEYS)
    _require_known(document, (*KEYS[of], *_SHEET_KEYS))
    _check_session(document)
    wanted = _choice(document, "try", TRIES[of])
    base = {key: value for key, value in document.items() if key not in _SHEET_KEYS}
    base["kind"] = of
    settings = dict(_table(document, "settings"))
    size = settings.pop("size", CELL_SIZE)
    base["settings"] = settings
    for key in ("live", "session"):
        base.pop(key, None)
    if wanted == "channels":
        if base.get("photo") is None:
            raise UsageError("channels are those that a photo excites", hint="choose a photo")
        layer, count = document.get("layer"), document.get("count", CHANNELS)
        layer = _layer_to_try(base, size) if layer is None else layer
        if not isinstance(layer, str) or len(targets := parse_targets(layer)) != 1:
            raise SettingError(f"layer: {quoted(layer)} is not one layer")
        if targets[0].channels is not None:
            raise SettingError(f"layer: '{layer}' has channels already", hint="name a whole layer")
        if type(count) is not int or not 1 <= count <= MOST_CELLS:
            raise SettingError(f"count is not 1 to {MOST_CELLS}")
        settings["layers"] = layer
        _small(base, size)
        return SheetRequest(((layer, base),), str(size), layer, count)
    cells = tuple(_cells(wanted, of, base, document, names or {}))
    if not 1 <= len(cells) <= MOST_CELLS:
        raise UsageError(f"{len(cells)} cells", hint=f"a sheet has 1 to {MOST_CELLS}")
    for _, cell in cells:
        _small(cell, size)
    return SheetRequest(cells, str(size))


def _layer_to_try(base: Mapping[str, Any], size: Any) -> str:
    """Name the layer whose channels are tried if the request names none."""
    settings = _small(base, size).settings
    assert isinstance(settings, DreamSettings)
    if is_vgg(find_model(settings.network).architecture):
        return LAYER
    return parse_targets(settings.layers)[0].layer


def _small(cell: Mapping[str, Any], size: Any) -> JobRequest:
    return read_request(sized(cell, size))


def sized(cell: Mapping[str, Any], size: Any) -> dict[str, Any]:
    """Return the request of a cell at a size."""
    return {**cell, "settings": {**cell.get("settings", {}), "size": size}}


def _cells(
    wanted: str,
    of: str,
    base: Mapping[str, Any],
    document: Mapping[str, Any],
    names: Mapping[str, str],
) -> Iterator[tuple[str, dict[str, Any]]]:
    if wanted == "presets":
        for preset in usable_presets(of):
            # As on the page: what a preset is about comes from the preset.
            own = {k: v for k, v in base["settings"].items() if k not in preset.settings}
            yield preset.name, {**base, "preset": preset.name, "settings": own}
    elif wanted == "strengths":
        values = document.get("values", STRENGTHS[of])
        if not isinstance(values, list | tuple):
            raise SettingError("values is not a list of numbers")
        # A content weight says the same as a strength.
        own = {k: v for k, v in base["settings"].items() if k != "content_weight"}
        for value in values:
            settings = {**own, "strength": value}
            yield f"strength {value}", {**base, "settings": settings}
    else:
        for style in _pictures(document, "styles"):
            one = {**base["settings"]}
            for key in ("style_weights", "style_parts"):
                one.pop(key, None)
            yield names.get(style, style[:8]), {**base, "styles": [style], "settings": one}


def _preset(kind: str, name: Any) -> Preset:
    """Find a built-in preset; a request names no file."""
    name = DEFAULTS[kind] if name is None else name
    if not isinstance(name, str) or name not in every_preset_name(kind):
        raise UnknownNameError("preset", str(name), every_preset_name(kind))
    return find_preset(kind, name)


def usable_presets(kind: str) -> list[Preset]:
    """List the built-in presets whose networks are installed, the default first."""
    installed = model_names()
    found = (find_preset(kind, name) for name in every_preset_name(kind))
    return [each for each in found if each.apply().network in installed]


def _regions(document: Mapping[str, Any]) -> Iterator[Region]:
    entries = document.get("regions") or ()
    if not isinstance(entries, list | tuple):
        raise SettingError("regions is not a list")
    keep = _picture(document, "keep")
    if keep is not None:
        yield Region(keep, None)
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise SettingError("regions: an entry is not an object")
        _require_known(entry, ("mask", "style", "colour"))
        mask, style, colour = _picture(entry, "mask"), entry.get("style"), entry.get("colour")
        if mask is None or style is None:
            raise SettingError("regions: an entry needs a mask and a style, or keep as its style")
        if colour is not None and not isinstance(colour, str):
            raise SettingError("regions: colour is not a text such as '#ff0000'")
        yield Region(mask, None if style == KEEP else _picture(entry, "style"), colour)


def _choice(
    document: Mapping[str, Any], key: str, choices: Mapping[str, Any] | tuple[str, ...]
) -> str:
    value = document.get(key)
    if not isinstance(value, str) or value not in choices:
        raise UnknownNameError(f"value of '{key}'", str(value), choices)
    return value


def _require_known(document: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in document:
        if key not in keys:
            raise UnknownNameError("key", str(key), keys)


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SettingError(f"{key} is not an object")
    return value


def _picture(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise SettingError(f"{key}: {quoted(value)} is not the id of a picture")
    return value


def _pictures(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = document.get(key) or ()
    if not isinstance(values, list | tuple):
        raise SettingError(f"{key} is not a list")
    found = [_picture({key: value}, key) for value in values]
    return tuple(each for each in found if each is not None)


def changed_from_preset(request: JobRequest) -> dict[str, Any]:
    """List the settings that differ from the preset, as plain data; None where one is unset."""
    base = request.preset.apply(with_photo(request.photo, {}) if _is_dream(request) else {})
    found: dict[str, Any] = {}
    for each in fields(request.settings):
        value = getattr(request.settings, each.name)
        if value != getattr(base, each.name):
            plain = list(value) if isinstance(value, tuple) else value
            found[each.name] = dict(value) if each.type == "LayerWeights" else plain
    # Of two ways to say the same, only the one that holds.
    for name, other in getattr(type(request.settings), "ALTERNATIVES", {}).items():
        if found.get(name) is not None and found.get(other, 0) is None:
            del found[other]
    return found


def _is_dream(request: JobRequest) -> bool:
    return isinstance(request.settings, PRODUCTS["dream"])
