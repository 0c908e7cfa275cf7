"""A picture made again from its recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stylize.engine.machine import available_devices
from stylize.errors import RecipeError, StylizeError, WeightsError
from stylize.images import Picture, SizeSpec
from stylize.images.sheet import cell_name, parse_cell
from stylize.networks.store import find_model, load_weights
from stylize.optimize.events import Iterate
from stylize.settings import (
    DreamSettings,
    Execution,
    TransferSettings,
    TunnelSettings,
    from_document,
)
from stylize.techniques.dream import Dream
from stylize.techniques.painting import Painting
from stylize.techniques.transfer import Transfer
from stylize.techniques.tunnel import Tunnel

KINDS = {kind.TECHNIQUE: kind for kind in (TransferSettings, DreamSettings, TunnelSettings)}


def of_cell(recipe: Mapping[str, Any], cell: str | None) -> dict[str, Any]:
    """The recipe of one cell of a sheet, or of a picture that is no sheet.

    Args:
        recipe: of the file.
        cell: such as ``B3``; None for a picture.

    Raises:
        RecipeError: a sheet without a cell, a cell without a sheet, or no such cell.
        SettingError: the cell's name is none.
    """
    cells = recipe.get("cells")
    if not isinstance(cells, Mapping):
        if cell is not None:
            raise RecipeError("the picture is no sheet", hint="leave --cell out")
        return dict(recipe)
    if cell is None:
        raise RecipeError("the picture is a sheet", hint=f"choose with --cell: {', '.join(cells)}")
    found = cells.get(cell_name(*parse_cell(cell)))
    if not isinstance(found, Mapping) or not isinstance(found.get("settings"), Mapping):
        raise RecipeError(f"the sheet has no cell {cell}", hint=f"it has: {', '.join(cells)}")
    settings = {**recipe["settings"], **found["settings"]}
    return {**recipe, "technique": recipe.get("of"), "settings": settings}


def settings_of(recipe: Mapping[str, Any], size: str | None = None) -> Any:
    """The settings that a recipe holds, checked.

    Args:
        recipe: untrusted.
        size: another size, as ``--size`` takes it.

    Raises:
        RecipeError: a technique or a setting that this version does not know.
        SettingError: the size is none.
    """
    technique = recipe.get("technique")
    if technique not in KINDS:
        raise RecipeError(f"a recipe for '{technique}' cannot be replayed")
    try:
        settings = from_document(KINDS[technique], recipe["settings"])
    except StylizeError as error:
        raise RecipeError(
            f"this version cannot follow the recipe: {error}",
            hint=f"stylize {recipe.get('version')} made it",
        ) from error
    return settings if size is None else _resized(settings, size)


def _resized(settings: Any, size: str) -> Any:
    if getattr(settings, "noise_size", None) is None:
        return dataclasses.replace(settings, size=size)
    height, width = SizeSpec.parse(size).fit(*settings.noise_size, enlarge=True)
    return dataclasses.replace(settings, from_noise=f"{width}x{height}")


def execution_of(recipe: Mapping[str, Any], overrides: Mapping[str, Any]) -> Execution:
    """Device, precision and threads as the recipe resolved them, under ``overrides``."""
    resolved = recipe["resolved"]
    told = {key: resolved.get(key) for key in ("device", "precision", "threads")}
    if told["device"] not in available_devices():
        told["device"] = "auto"
    try:
        return Execution(**{k: v for k, v in told.items() if v is not None} | dict(overrides))
    except TypeError as error:
        raise RecipeError("damaged recipe: resolved") from error


def prepare(
    recipe: Mapping[str, Any],
    inputs: Sequence[tuple[str, Picture]],
    settings: Any,
    execution: Execution,
) -> Transfer | Dream | Tunnel:
    """The job that makes the picture again.

    Args:
        recipe: as :func:`of_cell` gives it.
        inputs: pictures with the part each plays.
        settings: as :func:`settings_of` gives them.
        execution: as :func:`execution_of` gives it.

    Raises:
        WeightsError: the network's weights are not those of the recipe.
        StylizeError: the job cannot be carried out.
    """
    _check_weights(recipe, settings.network)
    preset = recipe.get("preset")
    preset = preset if isinstance(preset, str) else None
    parts: dict[str, list[Picture]] = {}
    for role, picture in inputs:
        parts.setdefault(role, []).append(picture)

    def one(role: str) -> Picture | None:
        return next(iter(parts.get(role, [])), None)

    photo = one("content")
    if isinstance(settings, TransferSettings):
        if photo is None:
            raise RecipeError("damaged recipe: a transfer without a content picture")
        styles, start = parts.get("style", []), one("start")
        return Transfer(photo, styles, settings, execution, start=start, preset=preset)
    if isinstance(settings, TunnelSettings):
        return Tunnel(photo, settings, execution, guide=one("guide"), preset=preset)
    return Dream(photo, settings, execution, guide=one("guide"), mask=one("mask"), preset=preset)


def _check_weights(recipe: Mapping[str, Any], network: str) -> None:
    told = recipe.get("weights")
    wanted = told.get("sha256") if isinstance(told, Mapping) else None
    if load_weights(find_model(network).name).sha256 != wanted:
        raise WeightsError(
            f"the network '{network}' has other weights than the recipe's",
            hint="add the right ones with 'stylize models add'",
        )


class Replayed:
    """A job that stops where the recorded run was stopped.

    Args:
        job: makes the picture.
        recipe: of the picture.
    """

    def __init__(self, job: Transfer | Dream, recipe: Mapping[str, Any]) -> None:
        self._job = job
        self.settings, self.scales = job.settings, job.scales
        self.machine, self.notes, self.cost = job.machine, job.notes, job.cost
        self._steps = _steps_done(recipe) if recipe.get("interrupted") else None

    def run(
        self,
        listener: Callable[[Iterate], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Painting:
        """Paint, as :meth:`stylize.techniques.transfer.Transfer.run` does."""
        done = 0

        def listen(event: Iterate) -> None:
            nonlocal done
            done += 1
            if listener is not None:
                listener(event)

        def stopped() -> bool:
            return done == self._steps or (stop is not None and stop())

        return self._job.run(listen, stopped)


def _steps_done(recipe: Mapping[str, Any]) -> int:
    try:
        return sum(int(steps) for _, _, steps in recipe["resolved"]["scales"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecipeError("damaged recipe: no scales") from error


def difference(picture: Picture, painting: Painting) -> tuple[float, float] | None:
    """Largest and mean difference in grey levels of 255; None for pictures of different sizes."""
    if picture.pixels.shape != painting.pixels.shape:
        return None
    # Rounded as a file's values are, see write_picture.
    new, old = ((each.clamp(0, 1) * 255 + 0.5).floor() for each in (painting.pixels, picture.pixels))
    levels = new - old
    return float(levels.abs().max()), float(levels.abs().mean())
