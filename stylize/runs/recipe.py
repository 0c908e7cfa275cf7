"""The recipe of a picture: everything needed to make it again, as one JSON document.

It is stored inside the picture (see :mod:`stylize.images.metadata`). It contains all settings, what
was resolved from them, and names and SHA-256 of the inputs and of the weights; no paths, host,
user or time.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylize.errors import RecipeError, UnknownNameError, UsageError, WeightsError
from stylize.images.contact_sheet import cell_name, parse_cell
from stylize.images.metadata import read_recipe
from stylize.images.open import pixel_limit, printable
from stylize.images.sizes import SizeSpec
from stylize.networks.models import find_model
from stylize.settings.dream import DreamSettings, TunnelSettings
from stylize.settings.fields import earlier_values, from_document
from stylize.settings.presets import check_layers
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
        "inputs": [_described(role, picture) for role, picture in inputs],
        "weights": dict(weights),
        "resolved": dict(resolved),
        "losses": {name: float(f"{value:.4g}") for name, value in losses.items()},
        "interrupted": interrupted,
    }


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
            f"{name} carries no recipe", hint="only pictures made by stylize do, if not re-saved"
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
    """What no recipe of ours contains and JSON does: NaN, numbers beyond floats, deep nesting."""
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
    return {**recipe, **whole, "settings": settings, "inputs": inputs}


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
        WeightsError: the network is not installed.
        SettingError: the size is invalid.
    """
    technique = recipe.get("technique")
    if not isinstance(technique, str) or technique not in KINDS:
        raise RecipeError(f"a recipe for '{technique}' cannot be replayed")
    kind = KINDS[technique]
    try:
        settings = from_document(kind, earlier_values(kind) | recipe["settings"])
        check_layers(settings, _architecture(settings.network))
    except UsageError as error:
        raise not_followed(recipe, error) from error
    if size is not None:
        settings = _resized(settings, size)
    _check_noise(settings)
    return settings


def not_followed(recipe: Mapping[str, Any], error: UsageError) -> RecipeError:
    """Report an invalid setting as a fault of the recipe, not of the user's request."""
    return RecipeError(
        f"this version cannot follow the recipe: {error.message}",
        hint=f"stylize {recipe.get('version')} made it",
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
