"""The techniques as plain functions, for use from Python."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

import numpy as np
import torch

from stylize.errors import InterruptedRunError, RecipeError, StylizeError
from stylize.images.convert import PictureSource, to_picture
from stylize.images.film import check_animation
from stylize.images.read import Picture
from stylize.optimize.loop import Step
from stylize.products.dream.dream import Dream
from stylize.products.dream.film import Reel, develop
from stylize.products.dream.tunnel import Tunnel
from stylize.products.transfer.style_groups import MaskRegion, Masks
from stylize.products.transfer.transfer import Transfer
from stylize.reruns.replay import execution_of, job_of, recorded_steps, run_until
from stylize.runs.inputs import find_sources, wanted_of
from stylize.runs.recipe import load_recipe, of_cell, settings_of
from stylize.runs.result import Result
from stylize.settings.dream import DreamSettings, TunnelSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import from_document, option_name
from stylize.settings.keywords import (
    DreamKeywords,
    ExecutionKeywords,
    Size,
    TransferKeywords,
    TunnelKeywords,
)
from stylize.settings.presets import DEFAULTS, find_preset
from stylize.settings.transfer import TransferSettings

PictureLike = PictureSource | Result
Progress = bool | Callable[[Step], None]
Stop = Callable[[], bool]

_EXECUTION = {each.name for each in fields(Execution)}

_PARAMETERS = {
    option_name(each): each.name
    for kind in (TransferSettings, TunnelSettings, DreamSettings, Execution)
    for each in fields(kind)
} | {"--substitute": "substitute", "--cell": "cell", "--input": "inputs"}

_OPTION = re.compile(r"--[a-z][a-z-]*")

_used = False
_forked = False


def transfer(
    content: PictureLike,
    style: PictureLike | Sequence[PictureLike],
    *,
    preset: str = DEFAULTS["transfer"],
    start: PictureLike | None = None,
    mask: PictureLike | None = None,
    keep: PictureLike | None = None,
    parts: Masks | None = None,
    progress: Progress = False,
    stop: Stop | None = None,
    **settings: Unpack[TransferKeywords],
) -> Result:
    """Paint a photo in the style of one or several style images.

    Args:
        content: the photo: a path, bytes, a binary file, a Pillow image, a NumPy array ``(H, W)``
            or ``(H, W, C)`` of uint8 or floats in [0, 1], a tensor ``(C, H, W)``, or a result.
        style: one style image or several, which are blended; ``()`` if ``parts`` has styles.
        preset: a name (``stylize presets list``), or the path of a preset file.
        start: the picture to start from; sets ``init``.
        mask: white where the photo is painted.
        keep: white where the photo stays as it is.
        parts: regions with their own styles, in addition to ``mask`` and ``keep``.
        progress: True shows a bar on stderr; a function is called with every :class:`Step`.
        stop: asked after every step; True ends the run with the picture so far.
        settings: fields of :class:`stylize.TransferSettings`, which beat the preset, and of
            :class:`stylize.Execution`: ``device``, ``threads`` …

    Raises:
        StylizeError: anything the caller can mend, see :mod:`stylize.errors`.

    Example:
        >>> stylize.transfer("photo.jpg", "style.jpg", size=1024, content_weight=0.1)
    """
    with _guarded():
        look = find_preset("transfer", preset)
        said, execution = _split(settings)
        if start is not None:
            said["init"] = "file"
        job = Transfer(
            _read(content, "content"),
            [_read(each, "style") for each in _listed(style)],
            look.apply(said),
            execution,
            start=_optional(start, "start"),
            parts=_masks(parts, mask, keep),
            preset=look.recorded,
        )
        with _listener(progress, job) as on_step:
            return job.run(on_step, stop)


def dream(
    photo: PictureLike | None = None,
    *,
    preset: str = DEFAULTS["dream"],
    guide: PictureLike | None = None,
    mask: PictureLike | None = None,
    progress: Progress = False,
    stop: Stop | None = None,
    **settings: Unpack[DreamKeywords],
) -> Result:
    """Let a network dream on a photo, or on noise.

    Args:
        photo: see :func:`transfer`; None with ``from_noise="640x480"``.
        preset: a name (``stylize presets list``), or the path of a preset file.
        guide: a picture whose motifs the dream uses.
        mask: white where the dream shows, black where the photo stays.
        progress, stop: see :func:`transfer`.
        settings: fields of :class:`stylize.DreamSettings`, which beat the preset, and of
            :class:`stylize.Execution`.

    Raises:
        StylizeError: anything the caller can mend, see :mod:`stylize.errors`.

    Example:
        >>> stylize.dream("photo.jpg", layers="conv4_2 + 0.5*conv3_3", strength=90)
    """
    with _guarded():
        look = find_preset("dream", preset)
        said, execution = _split(settings)
        job = Dream(
            _optional(photo, "photo"),
            look.apply(said),
            execution,
            guide=_optional(guide, "guide"),
            mask=_optional(mask, "mask"),
            preset=look.recorded,
        )
        with _listener(progress, job) as on_step:
            return job.run(on_step, stop)


def tunnel(
    photo: PictureLike | None,
    film: str | Path,
    *,
    preset: str = DEFAULTS["dream"],
    guide: PictureLike | None = None,
    quality: int = 90,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
    stop: Stop | None = None,
    **settings: Unpack[TunnelKeywords],
) -> Path:
    """Make a film that dreams its way into a photo; return the file that was written.

    Args:
        photo: see :func:`transfer`; None with ``from_noise="640x480"``.
        film: a ``.webp``, ``.gif``, ``.apng`` or ``.mp4`` file.
        preset, guide: see :func:`dream`.
        quality: 1 to 100, for WebP and mp4.
        overwrite: see :meth:`Result.save`.
        progress: called with the number of every finished frame.
        stop: asked after every step; True ends the run without a film.
        settings: fields of :class:`stylize.settings.dream.TunnelSettings` and
            :class:`stylize.Execution`.

    Raises:
        InterruptedRunError: ``stop`` ended the run.
        StylizeError: anything else the caller can mend.
    """
    with _guarded(), TemporaryDirectory(prefix="stylize-") as folder:
        look = find_preset("dream", preset)
        said, execution = _split(settings)
        base = from_document(TunnelSettings, look.settings)
        wanted: TunnelSettings = from_document(TunnelSettings, said, base)
        check_animation(Path(film), fps=wanted.fps, quality=quality)
        beginning, motif = _optional(photo, "photo"), _optional(guide, "guide")
        job = Tunnel(beginning, wanted, execution, guide=motif, preset=look.recorded)
        reel = Reel(Path(folder))
        if not reel.shoot(job, progress, stop):
            raise InterruptedRunError("stopped before the film was complete")
        return develop(job, reel, Path(film), quality=quality, overwrite=overwrite)


def replay(
    file: str | Path,
    *,
    size: Size | None = None,
    cell: str | None = None,
    inputs: Sequence[str | Path] = (),
    substitute: bool = False,
    progress: Progress = False,
    stop: Stop | None = None,
    **execution: Unpack[ExecutionKeywords],
) -> Result:
    """Make a picture again from its recipe.

    Args:
        file: a picture that was made by stylize.
        size: another size.
        cell: of a contact sheet, such as ``"B3"``.
        inputs: files or folders with the recipe's inputs, which are found by their content.
        substitute: use ``inputs`` in place of those that are not found.
        progress, stop: see :func:`transfer`.
        execution: fields of :class:`stylize.Execution`, which beat the recipe.

    Raises:
        StylizeError: anything the caller can mend, see :mod:`stylize.errors`.
    """
    with _guarded():
        path, overrides = Path(file), _plain(execution)
        recipe = of_cell(load_recipe(path), cell)
        settings = settings_of(recipe, None if size is None else str(_size(size)))
        wanted, given = wanted_of(recipe), [Path(each) for each in inputs]
        places = (path.parent, Path())
        paths = find_sources(wanted, given=given, folders=places, substitute=substitute)
        roles = [each.role for each in wanted]
        pictures = [(role, to_picture(each)) for role, each in zip(roles, paths, strict=True)]
        job = job_of(recipe, pictures, settings, execution_of(recipe, overrides))
        if isinstance(job, Tunnel):
            raise RecipeError("the file is a film", hint="use the command 'stylize replay'")
        with _listener(progress, job) as on_step:
            return run_until(job, recorded_steps(recipe), on_step, stop)


def _listed(style: PictureLike | Sequence[PictureLike]) -> list[Any]:
    return list(style) if isinstance(style, list | tuple) else [style]


def _read(source: PictureLike, role: str) -> Picture:
    if not isinstance(source, Result):
        return to_picture(source, role=role)
    return to_picture(np.asarray(source), role=role)


def _optional(source: PictureLike | None, role: str) -> Picture | None:
    return None if source is None else _read(source, role)


def _masks(parts: Masks | None, mask: PictureLike | None, keep: PictureLike | None) -> Masks | None:
    masks = parts or Masks()
    if mask is not None:
        masks = replace(masks, mask=_read(mask, "mask"))
    if keep is not None:
        masks = replace(masks, regions=(*masks.regions, MaskRegion(_read(keep, "keep"))))
    return masks


def _split(settings: Mapping[str, Any]) -> tuple[dict[str, Any], Execution]:
    """Separate how a result looks from where it is made."""
    plain = _plain(settings)
    execution = {key: plain.pop(key) for key in _EXECUTION & plain.keys()}
    return plain, Execution(**execution)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn NumPy's scalars and arrays into Python's, and pairs of layers into tables."""
    plain = {key: _unwrapped(value) for key, value in settings.items()}
    if "size" in plain:
        plain["size"] = _size(plain["size"])
    for key in ("style_layers", "content_layers"):
        value = plain.get(key)
        if isinstance(value, list) and all(isinstance(x, list) and len(x) == 2 for x in value):
            plain[key] = {str(name): weight for name, weight in value}
    return plain


def _unwrapped(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _unwrapped(each) for key, each in value.items()}
    return [_unwrapped(each) for each in value] if isinstance(value, list | tuple) else value


def _size(size: Any) -> Any:
    """Write a size given as ``(width, height)`` as a text."""
    plain = _unwrapped(size)
    pair = isinstance(plain, list) and len(plain) == 2
    return "x".join(map(str, plain)) if pair else plain


@contextmanager
def _guarded() -> Iterator[None]:
    """Run with gradients on; leave torch's state as it was; name parameters in errors."""
    global _used  # noqa: PLW0603
    if _forked:
        raise StylizeError(
            "this process was forked after stylize had run, and PyTorch's threads do not survive"
            " a fork",
            hint='start workers with multiprocessing.get_context("spawn")',
        )
    _used = True
    threads = torch.get_num_threads()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    except StylizeError as error:
        error.message = _OPTION.sub(_parameter, error.message)
        error.hint = error.hint and _OPTION.sub(_parameter, error.hint)
        error.args = (error.message,)
        raise
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _parameter(option: re.Match[str]) -> str:
    return _PARAMETERS.get(option[0], option[0].removeprefix("--").replace("-", "_"))


@contextmanager
def _listener(progress: Progress, job: Transfer | Dream) -> Iterator[Callable[[Step], None] | None]:
    if not isinstance(progress, bool):
        yield progress
        return
    if not progress:
        yield None
        return
    from tqdm.auto import tqdm  # noqa: PLC0415

    before = [sum(scale.steps for scale in job.scales[:index]) for index in range(len(job.scales))]
    with tqdm(total=sum(scale.steps for scale in job.scales), unit="step") as bar:

        def on_step(step: Step) -> None:
            bar.set_description(f"size {step.scale} of {step.scales}", refresh=False)
            bar.update(before[step.scale - 1] + step.step - bar.n)

        yield on_step


def _after_fork() -> None:
    global _forked  # noqa: PLW0603
    _forked = _used


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
