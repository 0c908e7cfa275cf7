"""Make a picture again from its recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from stylize.errors import RecipeError, UsageError
from stylize.images.read import Picture
from stylize.optimize.loop import Step
from stylize.planning.device import available_devices, choose_device
from stylize.planning.memory import HISTORIES, TILES_PX, MemoryPlan
from stylize.products.dream.dream import Dream
from stylize.products.dream.tunnel import Tunnel
from stylize.products.transfer.style_crop import Crops, recorded_crops
from stylize.products.transfer.style_groups import Masks
from stylize.products.transfer.transfer import Transfer
from stylize.runs.recipe import check_weights, not_followed
from stylize.runs.result import Result
from stylize.settings.dream import TunnelSettings
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings


def execution_of(recipe: Mapping[str, Any], overrides: Mapping[str, Any]) -> Execution:
    """Return device, precision and threads of a recipe, changed by ``overrides``.

    Raises:
        UsageError: an override is invalid, or names a device that this machine does not have.
        RecipeError: the recipe is damaged.
    """
    choose_device(Execution(**overrides).device)
    resolved = recipe["resolved"]
    asked = {key: resolved.get(key) for key in ("device", "precision", "threads")}
    if asked["device"] not in available_devices():
        asked["device"] = "auto"
    try:
        return Execution(**{k: v for k, v in asked.items() if v is not None} | dict(overrides))
    except UsageError as error:
        raise RecipeError(f"damaged recipe: {error.message}") from error


def job_of(
    recipe: Mapping[str, Any],
    inputs: Sequence[tuple[str, Picture]],
    settings: Any,
    execution: Execution,
    *,
    changed: bool = False,
) -> Transfer | Dream | Tunnel:
    """Prepare the job that makes the picture again.

    Args:
        recipe: as :func:`stylize.runs.recipe.of_cell` gives it.
        inputs: pictures with their roles.
        settings: as :func:`stylize.runs.recipe.settings_of` gives them.
        execution: as :func:`execution_of` gives it.
        changed: whether settings or inputs differ from those of the recipe.

    Raises:
        WeightsError: the network's weights are not those of the recipe.
        StylizeError: the job cannot be carried out.
    """
    if not changed or settings.network == recipe["settings"].get("network"):
        check_weights(recipe, settings.network)
    parts: dict[str, list[Picture]] = {}
    for role, picture in inputs:
        parts.setdefault(role, []).append(picture)
    preset = recipe.get("preset")
    try:
        job = _job(
            parts,
            settings,
            execution,
            preset if isinstance(preset, str) else None,
            recorded_crops(recipe),
        )
    except UsageError as error:
        if changed:
            raise
        raise not_followed(recipe, error) from error
    job.memory_plan = _memory_plan(recipe["resolved"], job)
    return job


def _memory_plan(resolved: Mapping[str, Any], job: Transfer | Dream | Tunnel) -> MemoryPlan:
    """Follow the recipe's memory plan if the size is the same and the memory allows it."""
    tile, history = resolved.get("tile_px"), resolved.get("history")
    chosen = job.memory_plan
    same = resolved.get("size") == [job.size[1], job.size[0]]
    if not same or not isinstance(history, int) or history not in HISTORIES:
        return chosen
    if tile is None:
        return chosen if chosen.tile_px is not None else MemoryPlan(None, history)
    fits = tile in TILES_PX and (chosen.tile_px is None or tile <= chosen.tile_px)
    return MemoryPlan(tile, history) if fits else chosen


def _job(
    parts: Mapping[str, list[Picture]],
    settings: Any,
    execution: Execution,
    preset: str | None,
    crops: Crops | None,
) -> Transfer | Dream | Tunnel:
    def one(role: str) -> Picture | None:
        return next(iter(parts.get(role, [])), None)

    photo, guide = one("content"), one("guide")
    if isinstance(settings, TransferSettings):
        if photo is None:
            raise RecipeError("damaged recipe: a transfer without a content picture")
        styles = parts.get("style", [])
        return Transfer(
            photo,
            styles,
            settings,
            execution,
            start=one("start"),
            parts=Masks.of_inputs(parts),
            preset=preset,
            crops=crops,
        )
    if isinstance(settings, TunnelSettings):
        return Tunnel(photo, settings, execution, guide=guide, preset=preset)
    return Dream(photo, settings, execution, guide=guide, mask=one("mask"), preset=preset)


def recorded_steps(recipe: Mapping[str, Any]) -> int | None:
    """Return the number of steps of an interrupted run; None for a complete one.

    Raises:
        RecipeError: the recipe does not say.
    """
    if not recipe.get("interrupted"):
        return None
    try:
        steps = [int(steps) for _, _, steps in recipe["resolved"]["scales"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RecipeError("damaged recipe: no scales") from error
    if not steps or min(steps) < 0 or sum(steps) == 0:
        raise RecipeError("damaged recipe: a picture without a step")
    return sum(steps)


def run_until(
    job: Transfer | Dream,
    steps: int | None,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Result:
    """Run a job, or only its first steps.

    Args:
        job: makes the picture.
        steps: how many; None for all.
        on_step, stop: see :meth:`stylize.products.transfer.transfer.Transfer.run`.

    Returns:
        The picture; it counts as complete after as many steps as were asked for.
    """
    done = 0

    def count(event: Step) -> None:
        nonlocal done
        done += 1
        if on_step is not None:
            on_step(event)

    result = job.run(count, lambda: done == steps or (stop is not None and stop()))
    return dataclasses.replace(result, interrupted=False) if done == steps else result


def difference(picture: Picture, result: Result) -> tuple[float, float] | None:
    """Return the largest and the mean difference, from 0 to 255; None if the sizes differ."""
    if picture.pixels.shape != result.pixels.shape:
        return None
    new, old = result.pixels.clamp(0, 1), _levels(picture.pixels)
    # A PNG of 16 bits is read at 8; the lower bits are cut off.
    cut_off = ((new * 65535 + 0.5).floor() / 256).floor()
    rounded, deep = ((levels - old).abs() for levels in (_levels(new), cut_off))
    found = min(rounded, deep, key=lambda levels: float(levels.max()))
    return float(found.max()), float(found.mean())


def _levels(pixels: Tensor) -> Tensor:
    """Round as files do, see :func:`stylize.images.write_picture`."""
    return (pixels.clamp(0, 1) * 255 + 0.5).floor()
