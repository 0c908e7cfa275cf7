"""The recipe of a picture: everything needed to make it again, as one JSON document.

It is stored inside the picture (see :mod:`stylize.images.metadata`). It contains all settings, what
was resolved from them, and names and SHA-256 of the inputs and of the weights; no paths, host,
user or time.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylize.errors import (
    RecipeError,
    SettingError,
    UnknownNameError,
    UsageError,
    WeightsError,
)
from stylize.images.contact_sheet import cell_name, parse_cell
from stylize.images.metadata import read_recipe
from stylize.images.open import pixel_limit, printable
from stylize.images.sizes import SizeSpec
from stylize.networks.models import find_model
from stylize.runs.inputs import wanted_of
from stylize.settings.dream import DreamSettings, TunnelSettings
from stylize.settings.fields import earlier_values, from_document
from stylize.settings.presets import (
    DEFAULTS,
    Preset,
    changes,
    check_layers,
    every_preset_name,
    find_preset,
)
from stylize.settings.transfer import TransferSettings
from stylize.version import __version__

if TYPE_CHECKING:
    from stylize.images.read import Picture

SCHEMA = 1

# Many inputs must fit into the 16 kB that every format can store.
MAX_NAME_BYTES = 80

KINDS = {kind.TECHNIQUE: kind for kind in (TransferSettings, DreamSettings, TunnelSettings)}

# A sheet's cells have settings with layers and weights.
_MAX_LEVELS = 16

# Seeds have 64; a float holds integers up to 1024.
_MAX_BITS = 1000

# The seed of a transfer varies its start only if the recipe says "seeded": earlier versions
# recorded a seed that nothing but noise used. The cells of a sheet may be transfers.
_SEEDED = ("transfer", "explore")

# Each can use the settings of the other.
_DREAMS = ("dream", "tunnel")

_REQUIRED = {"schema": int, "technique": str, "settings": dict, "inputs": list, "resolved": dict}


def compose(
    technique: str,
    settings: Mapping[str, Any],
    inputs: Iterable[tuple[str, Picture]],
    *,
    weights: Mapping[str, str],
    resolved: Mapping[str, Any],
    losses: Mapping[str, float],
    interrupted: bool,
    preset: str | None = None,
) -> dict[str, Any]:
    """Make the recipe of a finished picture.

    Args:
        technique: ``transfer`` …
        settings: all settings, as plain data.
        inputs: pictures with their roles.
        weights: name and SHA-256.
        resolved: what the run chose itself: device, precision, threads, sizes, steps.
        losses: weighted values at the end, by name.
        interrupted: whether the run was stopped.
        preset: the name of the preset that the settings are based on.
    """
    return {
        "schema": SCHEMA,
        "tool": "stylize",
        "version": __version__,
        "technique": technique,
        **({"preset": printable(preset)} if preset else {}),
        "settings": dict(settings),
        **({"seeded": True} if technique in _SEEDED and _may_vary(technique, settings) else {}),
        "inputs": [_described(role, picture) for role, picture in inputs],
        "weights": dict(weights),
        "resolved": dict(resolved),
        "losses": {name: float(f"{value:.4g}") for name, value in losses.items()},
        "interrupted": interrupted,
    }


def _may_vary(technique: str, settings: Mapping[str, Any]) -> bool:
    """Whether there is a seed, which each cell of a sheet may have for itself."""
    return technique == "explore" or "seed" in settings


def _described(role: str, picture: Picture) -> dict[str, Any]:
    height, width = picture.size
    return {
        "role": role,
        "name": picture.name.encode()[:MAX_NAME_BYTES].decode(errors="ignore"),
        "sha256": picture.sha256,
        "size": [width, height],
    }


def to_text(document: Mapping[str, Any]) -> str:
    """Write the recipe as compact JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def load_recipe(source: Path | bytes, name: str | None = None) -> dict[str, Any]:
    """Read the recipe inside a picture.

    Args:
        source: a file, or its content. The recipe is untrusted: use it as data only.
        name: the name of the source in error messages.

    Raises:
        RecipeError: the picture contains no recipe, or one that this version cannot read.
        PictureError: the file is not a picture.
    """
    name = name or (source.name if isinstance(source, Path) else "the picture")
    text = read_recipe(source)
    if text is None:
        raise RecipeError(
            f"{name} carries no recipe",
            hint="stylize writes one; programs that save the picture again often remove it",
        )
    document: dict[str, Any] = json.loads(text)
    check_recipe(document, name)
    return document


def check_recipe(document: Mapping[str, Any], name: str) -> None:
    """Check the outline of a recipe.

    Args:
        document: untrusted.
        name: the file that contains it, for error messages.

    Raises:
        RecipeError: it is of another program or schema, incomplete or damaged.
    """
    if document.get("tool") != "stylize":
        raise RecipeError(f"{name} carries a recipe of another program")
    if document.get("schema") != SCHEMA:
        raise RecipeError(
            f"{name} carries a recipe of schema {document.get('schema')}, this version reads"
            f" {SCHEMA}",
            hint="use the version of stylize that made it",
        )
    for key, kind in _REQUIRED.items():
        if not isinstance(document.get(key), kind):
            raise RecipeError(f"{name} carries a damaged recipe: no {key}")
    for key, value in document.items():
        if fault := _fault(value):
            raise RecipeError(f"{name} carries a damaged recipe: {printable(key)[:40]} {fault}")


def _fault(value: Any) -> str | None:
    """Name what JSON allows and no recipe contains: NaN, huge numbers, deep nesting."""
    level = [value]
    for _ in range(_MAX_LEVELS):
        if any(isinstance(each, float) and not math.isfinite(each) for each in level):
            return "holds a number that is not finite"
        if any(isinstance(each, int) and each.bit_length() > _MAX_BITS for each in level):
            return "holds a number that is too large"
        level = [inner for each in level for inner in _contents(each)]
        if not level:
            return None
    return "is nested too deeply"


def _contents(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()


def of_cell(recipe: Mapping[str, Any], cell: str | None) -> dict[str, Any]:
    """Extract the recipe of one cell of a contact sheet; any other picture has no cells.

    Args:
        recipe: of the file.
        cell: a name such as ``B3``; None for a picture that is not a sheet.

    Raises:
        RecipeError: a sheet without a cell, a cell without a sheet, or no such cell.
        SettingError: the cell's name is invalid.
    """
    cells = recipe.get("cells")
    if not isinstance(cells, Mapping):
        if cell is not None:
            raise RecipeError("the picture is not a contact sheet", hint="leave --cell out")
        return dict(recipe)
    if cell is None:
        raise RecipeError(
            "the picture is a contact sheet", hint=f"choose with --cell: {', '.join(cells)}"
        )
    found = cells.get(cell_name(*parse_cell(cell)))
    if not isinstance(found, Mapping) or not isinstance(found.get("settings"), Mapping):
        raise RecipeError(f"the sheet has no cell {cell}", hint=f"it has: {', '.join(cells)}")
    settings = {**recipe["settings"], **found["settings"]}
    # The cells of a sheet that was stopped are complete.
    whole = {"technique": recipe.get("of"), "interrupted": False}
    inputs = _inputs_of(found, recipe["inputs"])
    # Of a network that the sheet's first cell does not have.
    own = {"weights": found["weights"]} if "weights" in found else {}
    return {**recipe, **whole, "settings": settings, "inputs": inputs, **own}


def _inputs_of(cell: Mapping[str, Any], inputs: list[Any]) -> list[Any]:
    """Select the sheet's inputs that a cell uses; all if it does not say."""
    places = cell.get("inputs", list(range(len(inputs))))
    if not isinstance(places, list) or not all(
        isinstance(place, int) and 0 <= place < len(inputs) for place in places
    ):
        raise RecipeError("damaged recipe: a cell of inputs that the sheet does not have")
    return [inputs[place] for place in places]


def settings_of(recipe: Mapping[str, Any], size: str | None = None) -> Any:
    """Read and check the settings in a recipe.

    Args:
        recipe: untrusted.
        size: another size, as ``--size`` takes it.

    Raises:
        RecipeError: this version does not know the technique or a setting.
        WeightsError: the network is not installed, or another one has its name.
        SettingError: the size is invalid.
    """
    technique = recipe.get("technique")
    if not isinstance(technique, str) or technique not in KINDS:
        raise RecipeError(f"a recipe for '{technique}' cannot be replayed")
    try:
        settings = from_document(KINDS[technique], effective_settings(recipe))
        architecture = _architecture(settings.network)
        try:
            check_layers(settings, architecture)
        except UsageError:
            check_weights(recipe, settings.network)
            raise
    except UsageError as error:
        raise not_followed(recipe, error) from error
    if size is not None:
        settings = _resized(settings, size)
    _check_noise(settings)
    return settings


def changed_settings(
    recipe: Mapping[str, Any], said: Mapping[str, Any], styles: int | None = None
) -> Any:
    """Read the settings in a recipe and change some of them.

    Args:
        recipe: untrusted.
        said: the changes as plain data, by the names of the fields.
        styles: number of the style images that replace those of the recipe; None keeps them.

    Raises:
        UsageError: no such setting, or a value that is not allowed.
        StylizeError: see :func:`settings_of`.
    """
    size = said.get("size")
    settings = settings_of(recipe, None if size is None else str(size))
    more = {key: value for key, value in said.items() if key != "size"}
    before = [each.role for each in wanted_of(recipe)].count("style")
    if before and styles not in (None, before):
        # They were meant for the other style images.
        more = {"style_weights": [], "style_parts": []} | more
    if styles is not None and getattr(settings, "style_crop", "none") not in ("auto", "none"):
        more = {"style_crop": "auto"} | more
    if not more:
        return settings
    changed = from_document(type(settings), more, settings)
    check_layers(changed, find_model(changed.network).architecture)
    _check_noise(changed)
    return changed


def choose_preset(product: str, wanted: str | Path) -> Preset:
    """Find a preset by its name or file, or take the settings of a picture made by stylize.

    Args:
        product: ``transfer``, ``dream`` or ``tunnel``, which takes the presets of dreams.
        wanted: a name, a ``.toml`` file or a picture.

    Raises:
        UsageError: there is no such preset, or the picture was made by another command.
        RecipeError: the picture has no recipe.
    """
    wanted, path = os.fspath(wanted), Path(wanted)
    kind = "dream" if product == "tunnel" else product
    if wanted in every_preset_name(kind) or path.suffix == ".toml" or not path.is_file():
        return find_preset(kind, wanted)
    recipe = load_recipe(path)
    usable = _DREAMS if product in _DREAMS else (product,)
    if recipe["technique"] not in usable:
        raise SettingError(
            f"--preset: {path.name} was not made by 'stylize {product}'",
            hint=f"'stylize info {path}' shows how it was made",
        )
    # A dream has no frames, and a film no masks.
    names = {each.name for each in dataclasses.fields(KINDS[product])}
    found = {k: v for k, v in changes(settings_of(recipe)).items() if k in names}
    name = str(recipe.get("preset") or DEFAULTS[kind])
    return Preset(name, kind, f"From {path.name}", found)


def effective_settings(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the settings as the version that wrote them meant them.

    A seed that had no effect is left out; settings that did not exist have their earlier values.
    """
    kind = KINDS.get(recipe["technique"])
    document: dict[str, Any] = (earlier_values(kind) if kind else {}) | dict(recipe["settings"])
    if kind is TransferSettings:
        document = _former_final_steps(recipe["settings"]) | document
    if recipe["technique"] not in _SEEDED or recipe.get("seeded") or "seed" not in document:
        return document
    if document.get("init") == "noise" and document["seed"] != 0:
        return document
    return {key: value for key, value in document.items() if key != "seed"}


def _former_final_steps(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The final steps of a transfer whose recipe left them to a default that has changed since."""
    steps = settings.get("steps")
    if "style_crop" in settings or not isinstance(steps, int):
        return {}
    return {"final_steps": max(1, round(steps / 2))}


def not_followed(recipe: Mapping[str, Any], error: UsageError) -> RecipeError:
    """Turn an invalid setting into an error of the recipe, not of the user's request."""
    return RecipeError(
        f"this version cannot follow the recipe: {error.message}",
        hint=f"stylize {recipe.get('version')} made it",
    )


def check_weights(recipe: Mapping[str, Any], network: str) -> None:
    """Check that a network has the weights with which a picture was made.

    Raises:
        WeightsError: it has others.
    """
    weights = recipe.get("weights")
    wanted = weights.get("sha256") if isinstance(weights, Mapping) else None
    if find_model(network).sha256 != wanted:
        raise WeightsError(
            f"the weights of the network '{network}' differ from those in the recipe",
            hint="add the right ones with 'stylize models add'",
        )


def _architecture(network: str) -> str:
    try:
        return find_model(network).architecture
    except UnknownNameError as error:
        raise WeightsError(
            f"the recipe's network '{network}' is not installed",
            hint="add it with 'stylize models add'",
        ) from error


def _check_noise(settings: Any) -> None:
    """Apply the pixel limit to noise, whose size comes from the untrusted recipe."""
    height, width = getattr(settings, "noise_size", None) or (1, 1)
    if height * width > pixel_limit():
        raise RecipeError(
            f"the recipe begins from {width}×{height} pixels of noise",
            hint="raise the limit with --max-input-pixels",
        )


def _resized(settings: Any, size: str) -> Any:
    if getattr(settings, "noise_size", None) is None:
        return dataclasses.replace(settings, size=size)
    height, width = SizeSpec.parse(size).fit(*settings.noise_size, enlarge=True)
    return dataclasses.replace(settings, from_noise=f"{width}x{height}")
