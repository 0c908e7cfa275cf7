"""The functions of :mod:`stylize.video`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any, Unpack, overload

from stylize.errors import InterruptedRunError, OutputError, PictureError, SettingError
from stylize.images.atomic import reserved
from stylize.products.arguments import (
    PictureLike,
    Region,
    Stop,
    counter,
    guarded,
    listed,
    parts_of,
    read,
    split_settings,
)
from stylize.runs.recipe import choose_preset
from stylize.runs.result import Result
from stylize.settings.dream import DreamSettings, with_photo
from stylize.settings.execution import Execution
from stylize.settings.keywords import VideoDreamKeywords, VideoTransferKeywords, settings_shown
from stylize.settings.presets import DEFAULTS, Preset, find_preset
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings
from stylize.video.clip import Cut, is_clip, open_clip
from stylize.video.inputs import ClipInputs
from stylize.video.record import folder_for
from stylize.video.request import FOLDER, Request, Target, existing, folder_at, format_for
from stylize.video.run import ClipRun
from stylize.video.turns import Turn

ClipLike = str | Path
Progress = bool | Callable[[int, int], None]

_TRANSFER: TransferSettings = find_preset("transfer", DEFAULTS["transfer"]).apply()
_DREAM: DreamSettings = find_preset("dream", DEFAULTS["dream"]).apply()


@overload
def transfer(
    clip: ClipLike,
    style: PictureLike | Sequence[PictureLike],
    output: str | Path,
    **options: Any,
) -> Path: ...


@overload
def transfer(
    clip: ClipLike,
    style: PictureLike | Sequence[PictureLike],
    output: None = None,
    **options: Any,
) -> Iterator[Result]: ...


@settings_shown(  # type: ignore[misc]
    VideoTransferKeywords, _TRANSFER, VideoSettings(), Execution()
)
def transfer(  # noqa: PLR0913 (what a clip can be asked for)
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
    progress: Progress = False,
    stop: Stop | None = None,
    **settings: Unpack[VideoTransferKeywords],
) -> Path | Iterator[Result]:
    """Paint a clip in the style of one or several style images.

    The frames are kept in the folder ``OUTPUT.frames`` until the clip is complete: the same call
    continues a clip that was stopped.

    Args:
        clip: a video, an animated picture, a folder of frames, or a pattern for their names.
            Masks may be clips, too.
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

    Returns:
        The file or folder that was written; without ``output``, the frames as results.

    Raises:
        InterruptedRunError: ``stop`` ended the run.
        StylizeError: anything else the caller can fix.
    """
    with guarded():
        look = choose_preset("transfer", preset)
        job = _Job(clip, _cut(start, end, fps), look, settings, stop)
        for each in listed(style):
            job.add("style", each, "style")
        if mask is not None:
            job.add("mask", mask, "mask")
        job.add_regions(regions, keep)
        return job.make(output, codec, quality, progress, overwrite=overwrite)


@overload
def dream(clip: ClipLike, output: str | Path, **options: Any) -> Path: ...


@overload
def dream(clip: ClipLike, output: None = None, **options: Any) -> Iterator[Result]: ...


@settings_shown(  # type: ignore[misc]
    VideoDreamKeywords, _DREAM, VideoSettings(), Execution()
)
def dream(  # noqa: PLR0913 (what a clip can be asked for)
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
    progress: Progress = False,
    stop: Stop | None = None,
    **settings: Unpack[VideoDreamKeywords],
) -> Path | Iterator[Result]:
    """Let a network dream on a clip.

    Args:
        clip, output, start, end, fps: see :func:`stylize.video.transfer`.
        preset, guide, mask: see :func:`stylize.dream`.
        codec, quality, overwrite, progress, stop: see :func:`stylize.video.transfer`.

    Returns:
        The file or folder that was written; without ``output``, the frames as results.

    Raises:
        InterruptedRunError: ``stop`` ended the run.
        StylizeError: anything else the caller can fix.
    """
    with guarded():
        look = choose_preset("dream", preset)
        job = _Job(clip, _cut(start, end, fps), look, with_photo(clip, settings), stop)
        for role, each in (("guide", guide), ("mask", mask)):
            if each is not None:
                job.add(role, each, role)
        return job.make(output, codec, quality, progress, overwrite=overwrite)


def _cut(start: float | None, end: float | None, fps: float | None) -> Cut:
    try:
        values = [None if each is None else Fraction(str(each)) for each in (start, end, fps)]
    except ValueError as error:
        raise SettingError("start, end and fps are numbers", hint="such as 2.5") from error
    cut = Cut(*values)
    cut.check()
    return cut


class _Job:
    """A clip to make, with its inputs.

    Args:
        clip: see :func:`transfer`.
        cut: the wanted part of it.
        preset: the look.
        settings: keywords that beat the preset, and those of the clip and of the execution.
        stop: see :func:`transfer`.
    """

    def __init__(
        self,
        clip: ClipLike,
        cut: Cut,
        preset: Preset,
        settings: Mapping[str, Any],
        stop: Stop | None,
    ) -> None:
        if not isinstance(clip, str | os.PathLike):
            raise PictureError(
                f"clip: an object of type {type(clip).__name__} is not a clip",
                hint="give the path of a video, of an animated picture or of a folder of frames",
            )
        said, self._execution = split_settings(settings)
        names = {each.name for each in fields(VideoSettings)}
        self._video = VideoSettings(**{name: said.pop(name) for name in names & said.keys()})
        self._settings, self._preset = preset.apply(said), preset.recorded
        self._clip, self._cut, self._stop = clip, cut, stop
        self._inputs = ClipInputs()
        self._moving: dict[str, str] = {}
        self._files = [os.fspath(clip)]

    def add(self, role: str, source: PictureLike, name: str) -> None:
        """Add an input.

        Args:
            role: as recipes name it.
            source: a picture; of a mask also a clip.
            name: the parameter, for messages.
        """
        if isinstance(source, str | Path):
            self._files.append(os.fspath(source))
        is_mask = role == "mask" or (role.startswith("region ") and not role.endswith(" style"))
        if is_mask and isinstance(source, str | Path) and is_clip(os.fspath(source)):
            self._moving[role] = os.fspath(source)
        else:
            self._inputs.pictures.append((role, read(source, name)))

    def add_regions(self, regions: Sequence[Region], keep: PictureLike | None) -> None:
        """Add the regions, and what is kept as another one."""
        for number, region in enumerate(regions, 1):
            where, style, colour = parts_of(region)
            self.add(f"region {number}" + (f" {colour}" if colour else ""), where, "regions")
            if style is not None:
                self.add(f"region {number} style", style, "regions")
        if keep is not None:
            self.add(f"region {len(regions) + 1}", keep, "keep")

    def make(
        self,
        output: str | Path | None,
        codec: str | None,
        quality: int,
        progress: Progress,
        *,
        overwrite: bool,
    ) -> Path | Iterator[Result]:
        """Make the clip, or its frames one by one if there is no output."""
        if output is None:
            return self._frames()
        path = Path(output)
        format = FOLDER if not path.suffix or path.is_dir() else format_for(path)
        path = folder_at(path) if format == FOLDER else path
        target = Target(path, format, codec, quality, overwrite)
        target.require_free(existing(self._files))
        with reserved(Path(os.path.realpath(folder_for(path)))) as is_ours:
            if not is_ours:
                raise OutputError(f"another run is making {path}", hint="wait for its end")
            request = self._request(target)
            request.check()
            with ClipRun(request, self._stop) as run:
                return self._written(run, progress)

    def _written(self, run: ClipRun, progress: Progress) -> Path:
        with counter(progress, None, "frame", lambda done, total: done) as on_turn:

            def report(turn: Turn, result: Result) -> None:
                if on_turn is not None:
                    on_turn(run.done, len(run.turns))

            if not run.paint(report, stop=self._stop):
                done = f"stopped after {run.frames_done} of {run.count} frames"
                raise InterruptedRunError(done, hint="the same call continues")
        return run.finish(self._stop)

    def _frames(self) -> Iterator[Result]:
        """Paint the clip in a temporary folder and give its frames in order."""
        with tempfile.TemporaryDirectory(prefix="stylize-") as folder:
            target = Target(Path(folder) / "clip", FOLDER)
            with guarded():
                run = ClipRun(self._request(target), self._stop)
            with run:
                results = run.results(stop=self._stop)
                for index in count():
                    with guarded():
                        while not run.is_final(index) and next(results, None) is not None:
                            pass
                        if not run.is_final(index):
                            break
                        frame = run.result(index)
                    yield frame
                if not run.is_painted:
                    done = f"stopped after {run.frames_done} of {run.count} frames"
                    raise InterruptedRunError(done)

    def _request(self, target: Target) -> Request:
        clip, inputs = open_clip(os.fspath(self._clip), target.path), self._inputs
        for role, source in self._moving.items():
            inputs.masks[role] = open_clip(source, target.path)
        return Request(
            clip,
            self._cut,
            self._settings,
            self._video,
            inputs.maker(self._settings, self._video, self._execution, preset=self._preset),
            inputs.digests(),
            list(inputs.masks.values()),
            target,
        )
