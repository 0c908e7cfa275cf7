"""The techniques as plain functions, for use from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stylize.images.read import Picture, read_picture
from stylize.optimize.loop import Step
from stylize.products.dream.dream import Dream
from stylize.products.transfer.style_groups import Masks
from stylize.products.transfer.transfer import Transfer
from stylize.runs.result import Result
from stylize.settings.execution import Execution
from stylize.settings.presets import DEFAULTS, find_preset

PictureLike = str | Path | Picture


def transfer(
    content: PictureLike,
    style: PictureLike | Sequence[PictureLike],
    *,
    preset: str = DEFAULTS["transfer"],
    start: PictureLike | None = None,
    parts: Masks | None = None,
    execution: Execution | None = None,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
    **settings: Any,
) -> Result:
    """Paint a photograph in the style of one or several pictures.

    Args:
        content: the photograph: a path, or a picture that was read before.
        style: one picture or several, whose styles are blended; none, ``()``, where ``parts``
            have styles of their own and all else stays as it is.
        preset: a name (``stylize presets list``), or the path of a preset file.
        start: the picture to start from; sets ``init``.
        parts: of the photo with styles of their own, or that stay as they are; masks are read
            with :func:`stylize.images.read_picture`.
        execution: device, precision, threads.
        on_step: called after every step.
        stop: asked after every step; True ends the run with the picture so far.
        settings: fields of :class:`stylize.settings.TransferSettings`; they beat the preset.

    Returns:
        The picture with its recipe; ``.save("out.png")`` writes both.

    Raises:
        StylizeError: anything the caller can mend, see :mod:`stylize.errors`.

    Example:
        >>> from stylize import transfer
        >>> painting = transfer("photo.jpg", "style.jpg", size=1024, content_weight=0.1)
        >>> painting.save("painting.png")
    """
    styles = [style] if isinstance(style, str | Path | Picture) else list(style)
    look = find_preset("transfer", preset)
    if start is not None:
        settings["init"] = "file"
    return Transfer(
        _read(content),
        [_read(each) for each in styles],
        look.apply(settings),
        execution,
        start=None if start is None else _read(start),
        parts=parts,
        preset=look.recorded,
    ).run(on_step, stop)


def dream(
    photo: PictureLike | None = None,
    *,
    preset: str = DEFAULTS["dream"],
    guide: PictureLike | None = None,
    mask: PictureLike | None = None,
    execution: Execution | None = None,
    on_step: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
    **settings: Any,
) -> Result:
    """Let a network dream on a photograph, or on noise.

    Args:
        photo: a path, or a picture that was read before; None with ``from_noise="640x480"``.
        preset: a name (``stylize presets list``), or the path of a preset file.
        guide: a picture whose motifs the dream uses.
        mask: white where the dream shows, black where the photograph stays.
        execution: device, precision, threads.
        on_step: called after every step.
        stop: asked after every step; True ends the run with the picture so far.
        settings: fields of :class:`stylize.settings.DreamSettings`; they beat the preset.

    Returns:
        The picture with its recipe; ``.save("out.png")`` writes both.

    Raises:
        StylizeError: anything the caller can mend, see :mod:`stylize.errors`.

    Example:
        >>> from stylize import dream
        >>> dream("photo.jpg", layers="conv4_2 + 0.5*conv3_3", strength=90).save("dream.png")
    """
    look = find_preset("dream", preset)
    return Dream(
        None if photo is None else _read(photo),
        look.apply(settings),
        execution,
        guide=None if guide is None else _read(guide),
        mask=None if mask is None else _read(mask),
        preset=look.recorded,
    ).run(on_step, stop)


def _read(picture: PictureLike) -> Picture:
    return picture if isinstance(picture, Picture) else read_picture(Path(picture))
