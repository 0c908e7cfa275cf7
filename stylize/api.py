"""The commands as plain functions, for use from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from inspect import cleandoc, signature
from pathlib import Path
from typing import Any, Unpack

from stylize.batches.claims import Claims
from stylize.batches.local import BatchContext, LocalRunner, Outcome, sweep
from stylize.batches.painter import BatchPainter
from stylize.batches.plan import make_plan, save_plan
from stylize.batches.records import Ledger, sources_made
from stylize.batches.saving import Saving
from stylize.batches.tasks import Look
from stylize.errors import (
    InterruptedRunError,
    OutputError,
    RecipeError,
    SettingError,
    UnknownNameError,
    UsageError,
    quoted,
)
from stylize.images.atomic import check_writable, refusals_named, reserved
from stylize.images.film import STEPS_FPS, check_animation
from stylize.images.find import collect
from stylize.images.mosaic import in_rows
from stylize.images.names import neighbour
from stylize.images.open import pixel_limit
from stylize.images.read import Picture, read_picture
from stylize.images.write import format_of
from stylize.networks.models import find_model
from stylize.optimize.loop import Step
from stylize.products.arguments import (
    EXECUTION_NAMES,
    PictureLike,
    Progress,
    Region,
    Stop,
    counter,
    guarded,
    listed,
    optional,
    parts_of,
    plain,
    read,
    split_settings,
    unwrapped,
)
from stylize.products.dream.dream import Dream
from stylize.products.dream.film import Reel, develop
from stylize.products.dream.tunnel import Tunnel
from stylize.products.inspect import QUESTIONS
from stylize.products.inspect.folder import open_album
from stylize.products.inspect.result import Finding
from stylize.products.transfer.style_groups import MaskRegion, Masks
from stylize.products.transfer.transfer import Transfer
from stylize.reruns.explore import Cell, Exploration
from stylize.reruns.replay import execution_of, job_of, recorded_steps, run_until
from stylize.reruns.resume import check_resumable, run_rest
from stylize.runs.checkpoint import describe
from stylize.runs.film import RunFilm
from stylize.runs.inputs import Wanted, find_sources, kept_inputs, wanted_of
from stylize.runs.recipe import (
    changed_settings,
    choose_preset,
    load_recipe,
    of_cell,
    settings_of,
)
from stylize.runs.result import Result
from stylize.settings.dream import DreamSettings, TunnelSettings, with_photo
from stylize.settings.execution import Execution
from stylize.settings.fields import from_document
from stylize.settings.inspect import (
    InspectSettings,
)
from stylize.settings.keywords import (
    DreamKeywords,
    ExecutionKeywords,
    ReplayKeywords,
    Size,
    TransferKeywords,
    TunnelKeywords,
    described,
    in_python,
    settings_shown,
)
from stylize.settings.presets import DEFAULTS, check_layers, find_preset, preset_names
from stylize.settings.transfer import TransferSettings

_TRANSFER: TransferSettings = find_preset("transfer", DEFAULTS["transfer"]).apply()
_DREAM: DreamSettings = find_preset("dream", DEFAULTS["dream"]).apply()
_TUNNEL: TunnelSettings = from_document(
    TunnelSettings, find_preset("dream", DEFAULTS["dream"]).settings
)


@settings_shown(TransferKeywords, _TRANSFER, Execution())
def transfer(  # noqa: PLR0913 (what a painting can be asked for)
    content: PictureLike,
    style: PictureLike | Sequence[PictureLike],
    *,
    preset: str | Path = DEFAULTS["transfer"],
    start: PictureLike | None = None,
    mask: PictureLike | None = None,
    keep: PictureLike | None = None,
    regions: Sequence[Region] = (),
    film: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = False,
    stop: Stop | None = None,
    **settings: Unpack[TransferKeywords],
) -> Result:
    """Paint a photo in the style of one or several style images.

    Reference:
        Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR
        2016.

    Args:
        content: the photo: a path, bytes, a binary file, a Pillow image, a NumPy array ``(H, W)``
            or ``(H, W, C)`` of uint8 or floats in [0, 1], a tensor ``(C, H, W)``, or a result.
        style: one style image or several, which are blended; ``()`` if ``regions`` have theirs.
        preset: a name (``stylize presets list``), or the path of a preset file or of a result.
        start: the picture to start from; sets ``init``.
        mask: white where the photo is painted.
        keep: white where the photo stays as it is.
        regions: ``(mask, style image)``, white where that style is used; or ``(map, style image,
            colour)`` for the area of one colour, such as ``"#ff0000"``. None as style image keeps
            the photo there.
        film: also save a film of the picture as it grows, a ``.webp``, ``.gif``, ``.apng`` or
            ``.mp4`` file.
        overwrite: replace an existing film.
        progress: True shows a bar on stderr; a function is called with every :class:`Step`.
        stop: asked after every step; True ends the run with the picture so far.
        settings: see below; they beat the preset.

    Returns:
        The result: ``pixels`` of shape ``(1, 3, H, W)``, float32 RGB in [0, 1], with ``recipe`` and
        ``notes``.

    Raises:
        StylizeError: anything the caller can fix, see :mod:`stylize.errors`.

    Example:
        >>> stylize.transfer("photo.jpg", "style.jpg", size=1024, strength=40)
    """
    with guarded():
        target = _free_film(film, overwrite=overwrite)
        look = choose_preset("transfer", preset)
        said, execution = split_settings(settings)
        if start is not None and said.setdefault("init", "file") != "file":
            raise SettingError(
                f"start and init={said['init']!r} exclude each other", hint="leave one of them out"
            )
        job = Transfer(
            read(content, "content"),
            [read(each, "style") for each in listed(style)],
            look.apply(said),
            execution,
            start=optional(start, "start"),
            parts=_masks(regions, mask, keep),
            preset=look.recorded,
        )
        return _filmed(job, target, progress, stop, overwrite=overwrite)


@settings_shown(DreamKeywords, _DREAM, Execution())
def dream(
    photo: PictureLike | None = None,
    *,
    preset: str | Path = DEFAULTS["dream"],
    guide: PictureLike | None = None,
    mask: PictureLike | None = None,
    film: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = False,
    stop: Stop | None = None,
    **settings: Unpack[DreamKeywords],
) -> Result:
    """Let a network dream on a photo, or on noise.

    Reference:
        Mordvintsev, Olah and Tyka, "Inceptionism: Going Deeper into Neural Networks", 2015.

    Args:
        photo: see :func:`transfer`; None with ``from_noise="640x480"``.
        preset: a name (``stylize presets list``), or the path of a preset file or of a result.
        guide: a picture whose motifs the dream uses.
        mask: white where the dream shows, black where the photo stays.
        film, overwrite, progress, stop: see :func:`transfer`.
        settings: fields of :class:`stylize.DreamSettings`, which beat the preset, and of
            :class:`stylize.Execution`.

    Returns:
        The result: ``pixels`` of shape ``(1, 3, H, W)``, float32 RGB in [0, 1], with ``recipe`` and
        ``notes``.

    Raises:
        StylizeError: anything the caller can fix, see :mod:`stylize.errors`.

    Example:
        >>> stylize.dream("photo.jpg", layers="conv4_2 + 0.5*conv3_3", strength=90)
    """
    with guarded():
        target = _free_film(film, overwrite=overwrite)
        look = choose_preset("dream", preset)
        said, execution = split_settings(settings)
        job = Dream(
            optional(photo, "photo"),
            look.apply(with_photo(photo, said)),
            execution,
            guide=optional(guide, "guide"),
            mask=optional(mask, "mask"),
            preset=look.recorded,
        )
        return _filmed(job, target, progress, stop, overwrite=overwrite)


def _free_film(film: str | Path | None, *, overwrite: bool) -> Path | None:
    """The file of a film, checked to be writable; None for no film."""
    if film is None:
        return None
    target = Path(film)
    check_animation(target, fps=STEPS_FPS)
    _require_free(target, overwrite=overwrite)
    return target


def _filmed(
    job: Transfer | Dream,
    target: Path | None,
    progress: Progress,
    stop: Stop | None,
    *,
    overwrite: bool,
) -> Result:
    """Run a job; a film that cannot be written does not lose the picture."""
    with _listener(progress, job) as listener:
        if target is None:
            return job.run(listener, stop)
        with RunFilm(job.scales, job.alpha) as film:

            def on_step(step: Step) -> None:
                film.on_step(step)
                if listener is not None:
                    listener(step)

            result = job.run(on_step, stop)
            fault = film.fault
            try:
                film.save(result, target, quality=90, overwrite=overwrite)
            except OutputError as error:
                fault = error
        return result if fault is None else replace(result, notes=(*result.notes, f"film: {fault}"))


@settings_shown(TunnelKeywords, _TUNNEL, Execution())
def tunnel(
    photo: PictureLike | None,
    film: str | Path,
    *,
    preset: str | Path = DEFAULTS["dream"],
    guide: PictureLike | None = None,
    quality: int = 90,
    overwrite: bool = False,
    progress: bool | Callable[[int], None] = False,
    stop: Stop | None = None,
    **settings: Unpack[TunnelKeywords],
) -> Path:
    """Make a film that dreams its way into a photo.

    The frames are kept in the folder ``FILM.frames`` until the film is complete: the same call
    continues a film that was stopped.

    Args:
        photo: see :func:`transfer`; None with ``from_noise="640x480"``.
        film: a ``.webp``, ``.gif``, ``.apng`` or ``.mp4`` file.
        preset, guide: see :func:`dream`.
        quality: 1 to 100, for WebP and mp4.
        overwrite: replace an existing film, and the frames of another one.
        progress: True shows a bar on stderr; a function is called with the number of every
            finished frame.
        stop: asked after every step; True ends the run without a film.
        settings: fields of :class:`stylize.settings.dream.TunnelSettings` and
            :class:`stylize.Execution`.

    Returns:
        The file that was written.

    Raises:
        InterruptedRunError: ``stop`` ended the run.
        StylizeError: anything else the caller can fix.
    """
    target = Path(film)
    with guarded():
        look = choose_preset("tunnel", preset)
        said, execution = split_settings(settings)
        base = from_document(TunnelSettings, look.settings)
        wanted: TunnelSettings = from_document(TunnelSettings, with_photo(photo, said), base)
        check_animation(target, fps=wanted.fps, quality=quality)
        _require_free(target, overwrite=overwrite)
        beginning, motif = optional(photo, "photo"), optional(guide, "guide")
        job = Tunnel(beginning, wanted, execution, guide=motif, preset=look.recorded)
        reel = Reel(neighbour(target, tail=".frames"))
        if reel.folder.is_symlink():
            raise OutputError(f"{reel.folder} is a link to another folder", hint="remove it")
        with reserved(Path(os.path.realpath(reel.folder))) as is_ours:
            if not is_ours:
                raise OutputError(
                    f"{reel.folder} holds the frames of a film that another run is making",
                    hint="wait for its end, or name another film",
                )
            with counter(progress, job.raw_frames, "frame", lambda number: number) as on_frame:
                _shoot(job, reel, on_frame, stop, overwrite=overwrite)
            saved = develop(job, reel, target, quality=quality, overwrite=overwrite)
            reel.clear()
        return saved


def _require_free(target: Path, *, overwrite: bool) -> None:
    check_writable(target)
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{target} already exists", hint="overwrite=True replaces it")


def _shoot(
    job: Tunnel,
    reel: Reel,
    on_frame: Callable[[int], None] | None,
    stop: Stop | None,
    *,
    overwrite: bool,
) -> None:
    """Dream all frames of a film, from the last one that is there."""
    if overwrite and not reel.is_of(job):
        reel.clear()
    reel.require(job)
    with refusals_named(reel.folder):
        reel.folder.mkdir(exist_ok=True)
    if not reel.shoot(job, on_frame, stop):
        done = f"stopped after {len(reel.numbers())} of {job.raw_frames} frames"
        raise InterruptedRunError(done, hint="the same call continues")


@settings_shown(ExecutionKeywords, Execution())
def explore(
    photo: PictureLike,
    style: PictureLike | Sequence[PictureLike] = (),
    *,
    vary: Mapping[str, Sequence[Any]] | None = None,
    presets: Sequence[str] = (),
    settings: TransferKeywords | DreamKeywords | None = None,
    size: Size = 256,
    columns: int = 5,
    progress: bool | Callable[[str], None] = False,
    stop: Stop | None = None,
    **execution: Unpack[ExecutionKeywords],
) -> Result:
    """Make a contact sheet to choose from: paintings with a style image, dreams without one.

    Save the sheet, then make a cell large with ``replay("sheet.png", cell="B3", size=1024)``.

    Args:
        photo: see :func:`transfer`.
        style: one style image or several, each with rows of its own.
        vary: one or two settings with the values to compare: the first gives the columns, the
            second the rows.
        presets: names to compare; with ``vary``, rows for each. By default all presets, with
            ``vary`` the default preset.
        settings: settings of all cells, except for the size.
        size: size of the picture in a cell.
        columns: cells per row on a sheet of presets.
        progress: True shows a bar on stderr; a function is called with the label of every
            finished cell.
        stop: asked after every step; True ends the sheet with the cells so far.
        execution: fields of :class:`stylize.Execution`.

    Returns:
        The sheet: ``pixels`` of shape ``(1, 3, H, W)``, float32 RGB in [0, 1], with ``recipe`` and
        ``notes``.

    Raises:
        StylizeError: anything the caller can fix.

    Example:
        >>> stylize.explore("photo.jpg", "style.jpg", vary={"strength": [30, 70]})
    """
    with guarded():
        if columns < 1:
            raise SettingError(f"columns: {columns} is too small", hint="at least 1")
        if "size" in (settings or {}):
            raise SettingError(
                "settings: size is a parameter of its own", hint="for instance size=256"
            )
        styles = [read(each, "style") for each in listed(style)]
        common = plain({**(settings or {}), "size": size})
        looks = _looks("transfer" if styles else "dream", presets, vary or {}, common)
        cells = _cells(styles, looks if vary else in_rows(looks[0], columns))
        picture = read(photo, "photo")
        sheet = Exploration(picture, cells, Execution(**plain(execution)))
        sheet.estimate()  # prepares every cell: one that cannot be made is found now
        with counter(progress, sheet.count, "cell") as on_cell:
            return sheet.run(on_cell, stop)


def _looks(
    product: str,
    presets: Sequence[str],
    vary: Mapping[str, Sequence[Any]],
    common: Mapping[str, Any],
) -> list[list[tuple[str, Any]]]:
    """Rows of labels and settings; a single row of presets that differ if nothing varies."""
    if len(vary) > 2:
        raise SettingError(f"vary: {len(vary)} settings are too many", hint="give one or two")
    names = presets or (preset_names(product) if not vary else (DEFAULTS[product],))
    found = [choose_preset(product, each) for each in names]
    if not vary:
        differing: dict[Any, str] = {}
        for preset in found:
            differing.setdefault(preset.apply(common), preset.name)
        return [[(name, look) for look, name in differing.items()]]
    axes = [_axis(name, values) for name, values in vary.items()]
    across, down = axes[0], axes[1] if len(axes) > 1 else [("", {})]
    return [
        [
            (
                " · ".join(filter(None, (preset.name if len(found) > 1 else "", column, row))),
                preset.apply({**common, **plain(first), **plain(second)}),
            )
            for column, first in across
        ]
        for preset in found
        for row, second in down
    ]


def _axis(name: str, values: Sequence[Any]) -> list[tuple[str, dict[str, Any]]]:
    """The labels of a setting's values, and what each sets."""
    plain = unwrapped(values)
    if not isinstance(plain, list):
        raise SettingError(f"{name}: {quoted(plain)} is not a list of values")
    if not plain:
        raise SettingError(f"{name}: no values to compare")
    return [(f"{name} {each}", {name: each}) for each in plain]


def _cells(styles: Sequence[Picture], rows: list[list[tuple[str, Any]]]) -> list[list[Cell]]:
    """For each style all rows; rows of dreams if there is none."""
    named: list[tuple[str, Picture | None]] = [
        (f" · {Path(each.name).stem}" if len(styles) > 1 else "", each) for each in styles
    ]
    return [
        [Cell(label + name, settings, style) for label, settings in row]
        for name, style in named or [("", None)]
        for row in rows
    ]


@settings_shown(ReplayKeywords, Execution(), recorded=(_TRANSFER, _DREAM))
def replay(
    file: str | Path,
    *,
    content: PictureLike | None = None,
    style: PictureLike | Sequence[PictureLike] | None = None,
    cell: str | None = None,
    inputs: Sequence[str | Path] = (),
    substitute: bool = False,
    progress: Progress = False,
    stop: Stop | None = None,
    **settings: Unpack[ReplayKeywords],
) -> Result:
    """Make a picture again from its recipe, or with a change.

    Args:
        file: a picture that was made by stylize.
        content: a photo in place of the recipe's.
        style: one style image or several in place of the recipe's.
        cell: of a contact sheet, such as ``"B3"``.
        inputs: files or folders with the recipe's inputs, which are found by their content.
        substitute: use ``inputs`` in place of those that are not found.
        progress, stop: see :func:`transfer`.
        settings: see below; they beat the recipe.

    Returns:
        The result: ``pixels`` of shape ``(1, 3, H, W)``, float32 RGB in [0, 1], with ``recipe`` and
        ``notes``.

    Raises:
        StylizeError: anything the caller can fix, see :mod:`stylize.errors`.

    Example:
        >>> stylize.replay("painted.png", content="other.jpg", strength=70, size=1024)
    """
    with guarded():
        path, said = Path(file), plain(settings)
        overrides = {key: said.pop(key) for key in EXECUTION_NAMES & said.keys()}
        recipe = of_cell(load_recipe(path), cell)
        new = [("style", read(each, "style")) for each in listed(() if style is None else style)]
        changed = changed_settings(recipe, said, len(new) or None)
        if content is not None:
            new.insert(0, ("content", read(content, "content")))
        kept = kept_inputs(recipe, changed, [role for role, _ in new])
        found = _sources(kept, inputs, path.parent, substitute=substitute)
        pictures = [*new, *((role, read_picture(each)) for role, each in found)]
        altered = bool(new or said.keys() - {"size", "enlarge"})
        execution = execution_of(recipe, overrides)
        job = job_of(recipe, pictures, changed, execution, changed=altered)
        if isinstance(job, Tunnel):
            raise RecipeError("the file is a film", hint="use the command 'stylize replay'")
        with _listener(progress, job) as on_step:
            steps = None if altered else recorded_steps(recipe)
            return run_until(job, steps, on_step, stop)


@settings_shown(ExecutionKeywords, Execution())
def resume(
    file: str | Path,
    *,
    inputs: Sequence[str | Path] = (),
    progress: Progress = False,
    stop: Stop | None = None,
    **execution: Unpack[ExecutionKeywords],
) -> Result:
    """Continue a run of the command line that was stopped, from its checkpoint.

    The checkpoint is left as it is.

    Args:
        file: the checkpoint, such as ``poster.png.checkpoint``.
        inputs: files or folders with the run's inputs, which are found by their content.
        progress, stop: see :func:`transfer`.
        execution: fields of :class:`stylize.Execution`, which beat those of the run.

    Returns:
        The result: ``pixels`` of shape ``(1, 3, H, W)``, float32 RGB in [0, 1], with ``recipe`` and
        ``notes``.

    Raises:
        StylizeError: anything the caller can fix, see :mod:`stylize.errors`.
    """
    with guarded():
        path = Path(file)
        description = describe(path)
        recipe = description.recipe
        settings = settings_of(recipe)
        limit = max(description.request.max_input_pixels, pixel_limit())
        paths = _sources(wanted_of(recipe), inputs, path.parent, substitute=False)
        pictures = [(role, read_picture(each, max_pixels=limit)) for role, each in paths]
        job = job_of(recipe, pictures, settings, execution_of(recipe, plain(execution)))
        if isinstance(job, Tunnel):
            raise RecipeError("the checkpoint belongs to a film, which needs no checkpoint")
        check_resumable(job, path, description)
        with _listener(progress, job) as on_step:
            return run_rest(job, path, description, on_step, stop)


def _sources(
    wanted: Sequence[Wanted], inputs: Sequence[str | Path], folder: Path, *, substitute: bool
) -> list[tuple[str, Path]]:
    """The files that a recipe names, with their roles."""
    given = [Path(each) for each in inputs]
    places = (folder, Path())
    paths = find_sources(wanted, given=given, folders=places, substitute=substitute)
    return [(each.role, path) for each, path in zip(wanted, paths, strict=True)]


def inspect(
    question: str,
    photo: PictureLike | None = None,
    *,
    like: PictureLike | None = None,
    direction: PictureLike | Sequence[PictureLike] = (),
    recursive: bool = False,
    progress: bool | Callable[[int, int], None] = False,
    stop: Stop | None = None,
    **settings: Any,
) -> Finding:
    """See what a network sees: a picture and its numbers.

    Args:
        question: ``filters``, ``activations``, ``patches``, ``feature``, ``saliency``,
            ``occlude``, ``invert``, ``caricature``, ``map``, ``segment`` or ``report``.
        photo: see :func:`transfer`; a folder for ``patches`` and ``map``; nothing for
            ``filters`` and ``feature``.
        like: a photo, for ``saliency`` and ``occlude``: explain the similarity to it.
        direction: photos, for ``feature``: show more of what they have in common.
        recursive: also search the subfolders of a folder.
        progress: True shows a bar; a function is called with the number of steps done and of all.
        stop: asked after every step; True ends the run.
        settings: those of the question, listed below; ``device``, ``precision`` and ``threads``.

    Returns:
        A picture with ``numbers``, ``notes``, ``recipe``, ``save``, ``to_pil`` and ``pixels``.

    Raises:
        StylizeError: anything the caller can fix.

    Example:
        >>> found = stylize.inspect("saliency", "photo.jpg", method="guided", size=320)
        >>> found.numbers["peak"]
    """
    with guarded():
        if question not in QUESTIONS:
            raise UnknownNameError("question", question, QUESTIONS)
        said, execution = split_settings(settings)
        aids: dict[str, Any] = {"like": like, "direction": listed(direction) or None}
        wanted = _checked(QUESTIONS[question].settings, said, aids)
        function: Callable[..., Finding] = QUESTIONS[question].function
        known = signature(function).parameters.keys()
        arguments = _opened(question, known, {"photo": photo, **aids}, recursive=recursive)
        with counter(progress, None, "step", lambda done, total: done) as on_step:
            options = {"execution": execution, "stop": stop, "on_step": on_step}
            options = {key: value for key, value in options.items() if key in known}
            return function(settings=wanted, **arguments, **options)


def _checked(
    kind: type[InspectSettings], said: Mapping[str, Any], aids: Mapping[str, Any]
) -> InspectSettings:
    """The settings of a question."""
    wanted: InspectSettings = from_document(kind, said)
    wanted = wanted.for_network(find_model(wanted.network).architecture)
    given = {name: [name] for name, aid in aids.items() if aid is not None}
    wanted.check_request(said.keys(), given)
    return wanted


def _opened(
    question: str, known: Collection[str], pictures: Mapping[str, Any], *, recursive: bool
) -> dict[str, Any]:
    """The pictures that a question needs, by parameter.

    Raises:
        UsageError: it needs another one, or none.
    """
    photo = "album" if "album" in known else "photo"
    given = {photo if name == "photo" else name: each for name, each in pictures.items()}
    given = {name: each for name, each in given.items() if each is not None}
    for name in given.keys() - known:
        raise UsageError(f"'{question}' takes no {name}")
    if photo == "album":
        if not isinstance(given.get("album"), str | os.PathLike):
            raise UsageError(f"'{question}' needs a folder of photos")
        return {"album": open_album(Path(given["album"]), recursive=recursive)}
    if "photo" in known and "photo" not in given:
        raise UsageError(f"'{question}' needs a photo")
    return {
        name: [read(one, name) for one in each] if name == "direction" else read(each, name)
        for name, each in given.items()
    }


inspect.__doc__ = "\n".join(
    [cleandoc(inspect.__doc__ or "")]
    + [
        f"\nSettings of '{question}':\n{described(each.settings(), with_defaults=True)}"
        for question, each in QUESTIONS.items()
    ]
)


@settings_shown(ExecutionKeywords, Execution())
def batch(  # noqa: PLR0913 (what a batch can be asked for)
    photos: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    style: str | Path | Sequence[str | Path] = (),
    preset: str | Path | None = None,
    settings: TransferKeywords | DreamKeywords | None = None,
    recursive: bool = False,
    include_results: bool = False,
    suffix: str = "png",
    overwrite: bool = False,
    retry_failed: bool = False,
    progress: bool | Callable[[Outcome], None] = False,
    stop: Stop | None = None,
    **execution: Unpack[ExecutionKeywords],
) -> list[Outcome]:
    """Process whole folders of photos. The same call continues a batch that was stopped.

    Args:
        photos: files, folders or patterns.
        output: folder for the results, with the subfolders of the inputs.
        style: files of one style image or several, which are blended; dreams without one.
        preset: a name, or the path of a preset file or of a result.
        settings: see :func:`transfer` or :func:`dream`; without masks.
        recursive: also search the subfolders.
        include_results: also take pictures made by stylize.
        suffix: format of the results: ``png``, ``jpg``, ``webp``, ``avif`` or ``tiff``.
        overwrite: make finished pictures again.
        retry_failed: try failed pictures again.
        progress: True shows a bar; a function is called with every outcome, from any thread.
        stop: asked after every step; True drops the current picture and ends the batch.

    Returns:
        What became of each picture: ``status``, ``error``, ``task.source``, ``task.target`` …

    Raises:
        StylizeError: no picture can be made. A photo that fails is an outcome, not an error.
    """
    with guarded():
        look = _batch_look(tuple(map(Path, listed(style))), preset, plain(settings or {}))
        folder, inputs = Path(output), [os.fspath(each) for each in listed(photos)]
        extension = f".{suffix.removeprefix('.')}"
        format_of(Path(f"a{extension}"))  # refuses what is no format
        found = collect(
            inputs, recursive=recursive, output=folder, include_results=include_results
        ).found
        tasks = make_plan(found, [look], folder, suffix=extension, made=sources_made(folder))
        if not tasks:
            raise UsageError("there are no pictures among the photos")
        painter = BatchPainter(Execution(**plain(execution)))
        common = {look.name: painter.inputs(look)}
        save_plan(folder, tasks, inputs)
        ledger = Ledger(folder, common, retry=retry_failed, overwrite=overwrite)
        outcomes: dict[Path, Outcome] = {}
        with counter(progress, len(tasks), "picture") as on_picture, Claims(folder) as claims:

            def report(outcome: Outcome) -> None:
                said = replace(outcome, error=outcome.error and in_python(outcome.error))
                outcomes[outcome.task.target] = said
                if on_picture is not None:
                    on_picture(said)

            stopped, saving = stop or (lambda: False), Saving(overwrite=overwrite)
            context = BatchContext(ledger, claims, report, stopped, saving)
            LocalRunner(painter, context).run(tasks)
            sweep(tasks, ledger, claims)
            ledger.settle()
            claims.tidy()
        return list(outcomes.values())


def _batch_look(
    styles: tuple[Path, ...], preset: str | Path | None, said: Mapping[str, Any]
) -> Look:
    product = "transfer" if styles else "dream"
    found = choose_preset(product, preset or DEFAULTS[product])
    settings: TransferSettings | DreamSettings = found.apply(said)
    if isinstance(settings, TransferSettings):
        if settings.init == "file":
            raise SettingError("a batch starts from content, noise or style")
        settings.check_styles(len(styles))
    elif settings.from_noise is not None:
        raise SettingError("--from-noise cannot be used in a batch")
    check_layers(settings, find_model(settings.network).architecture)
    return Look("", settings, styles, found.recorded)


def _masks(regions: Sequence[Region], mask: PictureLike | None, keep: PictureLike | None) -> Masks:
    found = []
    for each in regions:
        where, style, colour = parts_of(each)
        found.append(MaskRegion(read(where, "regions"), optional(style, "regions"), colour))
    if keep is not None:
        found.append(MaskRegion(read(keep, "keep")))
    return Masks(optional(mask, "mask"), tuple(found))


@contextmanager
def _listener(progress: Progress, job: Transfer | Dream) -> Iterator[Callable[[Step], None] | None]:
    before = [sum(scale.steps for scale in job.scales[:index]) for index in range(len(job.scales))]
    total = sum(scale.steps for scale in job.scales)
    with counter(progress, total, "step", lambda step: before[step.scale - 1] + step.step) as on:
        yield on
