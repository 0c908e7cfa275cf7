"""The techniques as plain functions, for use from Python."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from inspect import cleandoc, signature
from itertools import count
from pathlib import Path
from typing import Any, Unpack, overload

import numpy as np
import torch

from stylize.batches.claims import Claims
from stylize.batches.local import BatchContext, LocalRunner, Outcome, sweep
from stylize.batches.painter import BatchPainter
from stylize.batches.plan import make_plan, save_plan
from stylize.batches.records import Ledger
from stylize.batches.saving import Saving
from stylize.batches.tasks import Look, Task
from stylize.errors import (
    InterruptedRunError,
    OutputError,
    RecipeError,
    SettingError,
    StylizeError,
    UnknownNameError,
    UsageError,
    quoted,
)
from stylize.images.atomic import check_writable, refusals_named, reserved
from stylize.images.convert import PictureSource, to_picture
from stylize.images.film import STEPS_FPS, check_animation
from stylize.images.find import collect
from stylize.images.mosaic import in_rows
from stylize.images.names import neighbour
from stylize.images.read import Picture
from stylize.images.write import format_of
from stylize.networks.models import find_model
from stylize.optimize.loop import Step
from stylize.planning.device import require_own_threads
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
    VideoDreamKeywords,
    VideoTransferKeywords,
    described,
    in_python,
    settings_shown,
)
from stylize.settings.presets import DEFAULTS, check_layers, find_preset, preset_names
from stylize.settings.synonyms import ours
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings
from stylize.video.clip import Cut, FrameFiles, open_clip
from stylize.video.painter import ClipPainter, DreamClipPainter
from stylize.video.record import folder_for
from stylize.video.request import FOLDER, MaskFrames, Painter, Request, Target, format_for
from stylize.video.run import ClipRun
from stylize.video.turns import Turn

PictureLike = PictureSource | Result | Finding
Region = tuple[PictureLike, PictureLike | None] | tuple[PictureLike, PictureLike | None, str]
Progress = bool | Callable[[Step], None]
Stop = Callable[[], bool]

_EXECUTION = {each.name for each in fields(Execution)}

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

    Raises:
        StylizeError: anything the caller can fix, see :mod:`stylize.errors`.

    Example:
        >>> stylize.transfer("photo.jpg", "style.jpg", size=1024, strength=40)
    """
    with _guarded():
        target = _free_film(film, overwrite=overwrite)
        look = choose_preset("transfer", preset)
        said, execution = _split(settings)
        if start is not None:
            said["init"] = "file"
        job = Transfer(
            _read(content, "content"),
            [_read(each, "style") for each in _listed(style)],
            look.apply(said),
            execution,
            start=_optional(start, "start"),
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

    Args:
        photo: see :func:`transfer`; None with ``from_noise="640x480"``.
        preset: a name (``stylize presets list``), or the path of a preset file or of a result.
        guide: a picture whose motifs the dream uses.
        mask: white where the dream shows, black where the photo stays.
        film, overwrite, progress, stop: see :func:`transfer`.
        settings: fields of :class:`stylize.DreamSettings`, which beat the preset, and of
            :class:`stylize.Execution`.

    Raises:
        StylizeError: anything the caller can fix, see :mod:`stylize.errors`.

    Example:
        >>> stylize.dream("photo.jpg", layers="conv4_2 + 0.5*conv3_3", strength=90)
    """
    with _guarded():
        target = _free_film(film, overwrite=overwrite)
        look = choose_preset("dream", preset)
        said, execution = _split(settings)
        job = Dream(
            _optional(photo, "photo"),
            look.apply(with_photo(photo, said)),
            execution,
            guide=_optional(guide, "guide"),
            mask=_optional(mask, "mask"),
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
        with RunFilm(job.scales) as film:

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
    """Make a film that dreams its way into a photo; return the file that was written.

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

    Raises:
        InterruptedRunError: ``stop`` ended the run.
        StylizeError: anything else the caller can fix.
    """
    target = Path(film)
    with _guarded():
        look = choose_preset("tunnel", preset)
        said, execution = _split(settings)
        base = from_document(TunnelSettings, look.settings)
        wanted: TunnelSettings = from_document(TunnelSettings, with_photo(photo, said), base)
        check_animation(target, fps=wanted.fps, quality=quality)
        _require_free(target, overwrite=overwrite)
        beginning, motif = _optional(photo, "photo"), _optional(guide, "guide")
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
            with _counter(progress, job.raw_frames, "frame", lambda number: number) as on_frame:
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


ClipLike = str | Path


@overload
def video_transfer(
    clip: ClipLike,
    style: PictureLike | Sequence[PictureLike],
    output: str | Path,
    **options: Any,
) -> Path: ...


@overload
def video_transfer(
    clip: ClipLike,
    style: PictureLike | Sequence[PictureLike],
    output: None = None,
    **options: Any,
) -> Iterator[Result]: ...


@settings_shown(  # type: ignore[misc]
    VideoTransferKeywords, _TRANSFER, VideoSettings(), Execution()
)
def video_transfer(  # noqa: PLR0913 (what a clip can be asked for)
    clip: ClipLike,
    style: PictureLike | Sequence[PictureLike],
    output: str | Path | None = None,
    *,
    preset: str | Path = DEFAULTS["transfer"],
    mask: PictureLike | None = None,
    keep: PictureLike | None = None,
    regions: Sequence[Region] = (),
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    codec: str | None = None,
    quality: int = 90,
    overwrite: bool = False,
    progress: bool | Callable[[int, int], None] = False,
    stop: Stop | None = None,
    **settings: Unpack[VideoTransferKeywords],
) -> Path | Iterator[Result]:
    """Paint a clip in the style of one or several style images.

    The frames are kept in the folder ``OUTPUT.frames`` until the clip is complete: the same call
    continues a clip that was stopped.

    Args:
        clip: a video, an animated picture, a folder of frames, or a pattern for their names.
        style, preset, mask, keep, regions: see :func:`stylize.transfer`.
        output: a ``.mp4``, ``.webm``, ``.gif``, ``.webp`` or ``.apng`` file, or a folder for PNG
            files: a name without extension. Without it, the frames are returned one by one, each
            as soon as it is finished, and nothing is kept.
        start, end: part of the clip, in seconds from its beginning.
        fps: frames per second; the clip stays as long as it is.
        codec: ``h264``, ``h265`` or ``av1`` for mp4, ``vp9`` or ``av1`` for WebM.
        quality: 1 to 100, for mp4, WebM and WebP.
        overwrite: replace an existing clip, and the unfinished frames of another one.
        progress: True shows a bar on stderr; a function is called with the number of finished
            steps of the work, mostly one per frame, and of all.
        stop: asked after every step; True ends the run without a clip.

    Raises:
        InterruptedRunError: ``stop`` ended the run.
        StylizeError: anything else the caller can mend.
    """
    with _guarded():
        look = choose_preset("transfer", preset)
        video, said, execution = _split_video(settings)
        wanted = look.apply(said)
        styles = [_read(each, "style") for each in _listed(style)]
        masks = _masks(regions, mask, keep)

        def make(reference: Picture, frames: MaskFrames) -> Painter:
            return ClipPainter(
                reference, styles, wanted, video, execution, masks=masks, preset=look.recorded
            )

        others = masks.inputs()
        job = _ClipJob(
            clip,
            _cut(start, end, fps),
            wanted,
            video,
            make,
            [*(("style", each) for each in styles), *others],
            stop,
        )
        if output is None:
            return job.frames()
        return job.write(Path(output), codec, quality, progress, overwrite=overwrite)


@overload
def video_dream(clip: ClipLike, output: str | Path, **options: Any) -> Path: ...


@overload
def video_dream(clip: ClipLike, output: None = None, **options: Any) -> Iterator[Result]: ...


@settings_shown(  # type: ignore[misc]
    VideoDreamKeywords, _DREAM, VideoSettings(), Execution()
)
def video_dream(  # noqa: PLR0913 (what a clip can be asked for)
    clip: ClipLike,
    output: str | Path | None = None,
    *,
    preset: str | Path = DEFAULTS["dream"],
    guide: PictureLike | None = None,
    mask: PictureLike | None = None,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    codec: str | None = None,
    quality: int = 90,
    overwrite: bool = False,
    progress: bool | Callable[[int, int], None] = False,
    stop: Stop | None = None,
    **settings: Unpack[VideoDreamKeywords],
) -> Path | Iterator[Result]:
    """Let a network dream on a clip.

    Args:
        clip, output, start, end, fps: see :func:`stylize.video.transfer`.
        preset, guide, mask: see :func:`stylize.dream`.
        codec, quality, overwrite, progress, stop: see :func:`stylize.video.transfer`.

    Raises:
        InterruptedRunError: ``stop`` ended the run.
        StylizeError: anything else the caller can mend.
    """
    with _guarded():
        look = choose_preset("dream", preset)
        video, said, execution = _split_video(settings)
        wanted = look.apply(with_photo(clip, said))
        motif, area = _optional(guide, "guide"), _optional(mask, "mask")

        def make(reference: Picture, frames: MaskFrames) -> Painter:
            return DreamClipPainter(
                reference, wanted, video, execution, guide=motif, mask=area, preset=look.recorded
            )

        others = {"guide": motif, "mask": area}
        pictures = [(role, each) for role, each in others.items() if each is not None]
        job = _ClipJob(clip, _cut(start, end, fps), wanted, video, make, pictures, stop)
        if output is None:
            return job.frames()
        return job.write(Path(output), codec, quality, progress, overwrite=overwrite)


def _split_video(
    settings: Mapping[str, Any],
) -> tuple[VideoSettings, dict[str, Any], Execution]:
    """Separate how frames follow from each other, how they look, and where they are made."""
    said, execution = _split(settings)
    names = {each.name for each in fields(VideoSettings)}
    video = VideoSettings(**{name: said.pop(name) for name in names & said.keys()})
    return video, said, execution


def _cut(start: float | None, end: float | None, fps: float | None) -> Cut:
    try:
        values = [None if each is None else Fraction(str(each)) for each in (start, end, fps)]
    except ValueError as error:
        raise SettingError("start, end and fps are numbers", hint="such as 2.5") from error
    cut = Cut(*values)
    cut.check()
    return cut


@dataclass(frozen=True)
class _ClipJob:
    clip: ClipLike
    cut: Cut
    settings: Any
    video: VideoSettings
    make: Callable[[Picture, MaskFrames], Painter]
    pictures: Sequence[tuple[str, Picture]]
    stop: Stop | None

    def write(
        self,
        path: Path,
        codec: str | None,
        quality: int,
        progress: bool | Callable[[int, int], None],
        *,
        overwrite: bool,
    ) -> Path:
        """Paint the clip and write it."""
        format = FOLDER if not path.suffix or path.is_dir() else format_for(path)
        target = Target(path, format, codec, quality, overwrite)
        target.require_free()
        folder = folder_for(path)
        with reserved(Path(os.path.realpath(folder))) as is_ours:
            if not is_ours:
                raise OutputError(f"another run is making {path}", hint="wait for its end")
            request = self._request(target)
            request.check()
            with ClipRun(request, self.stop) as run:
                return self._written(run, progress)

    def _written(self, run: ClipRun, progress: bool | Callable[[int, int], None]) -> Path:
        with _counter(progress, None, "frame", lambda done, total: done) as on_turn:

            def report(turn: Turn, result: Result) -> None:
                if on_turn is not None:
                    on_turn(run.done, len(run.turns))

            if not run.paint(report, stop=self.stop):
                done = f"stopped after {run.frames_done} of {run.count} frames"
                raise InterruptedRunError(done, hint="the same call continues")
        return run.finish()

    def frames(self) -> Iterator[Result]:
        """Paint the clip in a temporary folder and give its frames in order."""
        with tempfile.TemporaryDirectory(prefix="stylize-") as folder:
            target = Target(Path(folder) / "clip", FOLDER)
            with _guarded():
                run = ClipRun(self._request(target), self.stop)
            with run:
                results = run.results(stop=self.stop)
                for index in count():
                    while not run.is_final(index):
                        with _guarded():
                            if next(results, None) is None:
                                break
                    if not run.is_final(index):
                        break
                    with _guarded():
                        frame = run.result(index)
                    yield frame
                if run.done < len(run.turns):
                    done = f"stopped after {run.frames_done} of {run.count} frames"
                    raise InterruptedRunError(done)

    def _request(self, target: Target) -> Request:
        clip = open_clip(os.fspath(self.clip), target.path)
        cut = self.cut
        if isinstance(clip, FrameFiles) and cut.fps is not None:
            clip.at_rate(cut.fps)
            cut = replace(cut, fps=None)
        inputs = [(role, picture.sha256) for role, picture in self.pictures]
        return Request(clip, cut, self.settings, self.video, self.make, inputs, (), target)


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
        settings: settings of all cells.
        size: size of the picture in a cell.
        columns: cells per row on a sheet of presets.
        progress: True shows a bar on stderr; a function is called with the label of every
            finished cell.
        stop: asked after every step; True ends the sheet with the cells so far.
        execution: fields of :class:`stylize.Execution`.

    Raises:
        StylizeError: anything the caller can fix.

    Example:
        >>> stylize.explore("photo.jpg", "style.jpg", vary={"content_weight": [0.01, 0.1]})
    """
    with _guarded():
        if columns < 1:
            raise SettingError(f"columns: {columns} is too small", hint="at least 1")
        styles = [_read(each, "style") for each in _listed(style)]
        common = _plain({**(settings or {}), "size": size})
        looks = _looks("transfer" if styles else "dream", presets, vary or {}, common)
        cells = _cells(styles, looks if vary else in_rows(looks[0], columns))
        picture = _read(photo, "photo")
        sheet = Exploration(picture, cells, Execution(**_plain(execution)))
        sheet.estimate()  # prepares every cell: one that cannot be made is found now
        with _counter(progress, sheet.count, "cell") as on_cell:
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
                preset.apply({**common, **_plain(first), **_plain(second)}),
            )
            for column, first in across
        ]
        for preset in found
        for row, second in down
    ]


def _axis(name: str, values: Sequence[Any]) -> list[tuple[str, dict[str, Any]]]:
    """The labels of a setting's values, and what each sets."""
    plain = _unwrapped(values)
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

    Raises:
        StylizeError: anything the caller can fix, see :mod:`stylize.errors`.

    Example:
        >>> stylize.replay("painted.png", content="other.jpg", strength=70, size=1024)
    """
    with _guarded():
        path, said = Path(file), _plain(settings)
        overrides = {key: said.pop(key) for key in _EXECUTION & said.keys()}
        recipe = of_cell(load_recipe(path), cell)
        new = [("style", _read(each, "style")) for each in _listed(() if style is None else style)]
        changed = changed_settings(recipe, said, len(new) or None)
        if content is not None:
            new.insert(0, ("content", _read(content, "content")))
        kept = kept_inputs(recipe, changed, [role for role, _ in new])
        pictures = [*new, *_sources(kept, inputs, path.parent, substitute=substitute)]
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

    Raises:
        StylizeError: anything the caller can fix, see :mod:`stylize.errors`.
    """
    with _guarded():
        path = Path(file)
        description = describe(path)
        recipe = description.recipe
        settings = settings_of(recipe)
        pictures = _sources(wanted_of(recipe), inputs, path.parent, substitute=False)
        job = job_of(recipe, pictures, settings, execution_of(recipe, _plain(execution)))
        if isinstance(job, Tunnel):
            raise RecipeError("the checkpoint belongs to a film, which needs no checkpoint")
        check_resumable(job, path, description)
        with _listener(progress, job) as on_step:
            return run_rest(job, path, description, on_step, stop)


def _sources(
    wanted: Sequence[Wanted], inputs: Sequence[str | Path], folder: Path, *, substitute: bool
) -> list[tuple[str, Picture]]:
    """The pictures that a recipe names, with their roles."""
    given = [Path(each) for each in inputs]
    places = (folder, Path())
    paths = find_sources(wanted, given=given, folders=places, substitute=substitute)
    return [(each.role, to_picture(path)) for each, path in zip(wanted, paths, strict=True)]


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
    with _guarded():
        if question not in QUESTIONS:
            raise UnknownNameError("question", question, QUESTIONS)
        said, execution = _split(settings)
        aids: dict[str, Any] = {"like": like, "direction": _listed(direction) or None}
        wanted = _checked(QUESTIONS[question].settings, said, aids)
        function: Callable[..., Finding] = QUESTIONS[question].function
        known = signature(function).parameters.keys()
        arguments = _opened(question, known, {"photo": photo, **aids}, recursive=recursive)
        with _counter(progress, None, "step", lambda done, total: done) as on_step:
            options = {"execution": execution, "stop": stop, "on_step": on_step}
            options = {key: value for key, value in options.items() if key in known}
            return function(settings=wanted, **arguments, **options)


def _checked(
    kind: type[InspectSettings], said: Mapping[str, Any], aids: Mapping[str, Any]
) -> InspectSettings:
    """The settings of a question."""
    wanted: InspectSettings = from_document(kind, said)
    wanted.check_layers(find_model(wanted.network).architecture)
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
        name: [_read(one, name) for one in each] if name == "direction" else _read(each, name)
        for name, each in given.items()
    }


inspect.__doc__ = "\n".join(
    [cleandoc(inspect.__doc__ or "")]
    + [
        f"\nSettings of '{question}':\n{described(each.settings())}"
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
    with _guarded():
        look = _batch_look(tuple(map(Path, _listed(style))), preset, _plain(settings or {}))
        folder, inputs = Path(output), [os.fspath(each) for each in _listed(photos)]
        format_of(Path(f"a.{suffix}"))  # refuses what is no format
        found = collect(
            inputs, recursive=recursive, output=folder, include_results=include_results
        ).found
        tasks = make_plan(found, [look], folder, suffix=f".{suffix}")
        if not tasks:
            raise UsageError("there are no pictures among the photos")
        painter = BatchPainter(Execution(**_plain(execution)))
        common = {look.name: painter.inputs(look)}
        _prepare(folder, tasks, inputs)
        ledger = Ledger(folder, common, retry=retry_failed, overwrite=overwrite)
        with _counter(progress, len(tasks), "picture") as report, Claims(folder) as claims:
            saving = Saving(overwrite=overwrite)
            return _made(tasks, painter, ledger, claims, saving, report, stop)


def _prepare(folder: Path, tasks: Sequence[Task], inputs: Sequence[str]) -> None:
    save_plan(folder, tasks, inputs)


def _made(
    tasks: Sequence[Task],
    painter: BatchPainter,
    ledger: Ledger,
    claims: Claims,
    saving: Saving,
    on_picture: Callable[[Outcome], None] | None,
    stop: Stop | None,
) -> list[Outcome]:
    """Make the pictures of a batch that need work."""
    outcomes: list[Outcome] = []

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if on_picture is not None:
            on_picture(outcome)

    context = BatchContext(ledger, claims, report, stop or (lambda: False), saving)
    LocalRunner(painter, context).run(tasks)
    sweep(tasks, ledger, claims)
    ledger.settle()
    claims.tidy()
    return outcomes


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


def _listed(style: PictureLike | Sequence[PictureLike]) -> list[Any]:
    return list(style) if isinstance(style, list | tuple) else [style]


def _read(source: PictureLike, role: str) -> Picture:
    if not isinstance(source, Result | Finding):
        return to_picture(source, role=role)
    return to_picture(np.asarray(source), role=role)


def _optional(source: PictureLike | None, role: str) -> Picture | None:
    return None if source is None else _read(source, role)


def _masks(regions: Sequence[Region], mask: PictureLike | None, keep: PictureLike | None) -> Masks:
    found = [_region(each) for each in regions]
    if keep is not None:
        found.append(MaskRegion(_read(keep, "keep")))
    return Masks(_optional(mask, "mask"), tuple(found))


def _region(region: Region) -> MaskRegion:
    if not isinstance(region, tuple) or len(region) not in (2, 3):
        raise SettingError(
            "regions: each is (mask, style image), or (map, style image, colour)",
            hint='for instance regions=[("sky.png", "clouds.jpg")]',
        )
    mask, style, *colour = region
    return MaskRegion(_read(mask, "regions"), _optional(style, "regions"), *colour)


def _split(settings: Mapping[str, Any]) -> tuple[dict[str, Any], Execution]:
    """Separate how a result looks from where it is made."""
    plain = _plain(settings)
    execution = {key: plain.pop(key) for key in _EXECUTION & plain.keys()}
    for key in plain:
        words = [each.partition(" ")[0] for each in ours(key)]
        meant = [each.removeprefix("--").replace("-", "_") for each in words]
        if found := [each for each in meant if each in _EXECUTION]:
            raise UnknownNameError("setting", key, _EXECUTION, meant=found)
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
    require_own_threads()
    threads = torch.get_num_threads()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    except StylizeError as error:
        error.message = in_python(error.message)
        error.hint = error.hint and in_python(error.hint)
        error.args = (error.message,)
        raise
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@contextmanager
def _listener(progress: Progress, job: Transfer | Dream) -> Iterator[Callable[[Step], None] | None]:
    before = [sum(scale.steps for scale in job.scales[:index]) for index in range(len(job.scales))]
    total = sum(scale.steps for scale in job.scales)
    with _counter(progress, total, "step", lambda step: before[step.scale - 1] + step.step) as on:
        yield on


@contextmanager
def _counter(
    progress: bool | Callable[..., None],
    total: int | None,
    unit: str,
    done: Callable[..., int] | None = None,
) -> Iterator[Callable[..., None] | None]:
    """The caller's function, or one that moves a bar; ``done`` counts, by default the calls."""
    if not isinstance(progress, bool) or not progress:
        yield progress or None
        return
    from tqdm.auto import tqdm  # noqa: PLC0415

    with tqdm(total=total, unit=unit) as bar:

        def move(*event: Any) -> None:
            bar.total = event[-1] if total is None else total
            bar.update(1 if done is None else done(*event) - bar.n)

        yield move
