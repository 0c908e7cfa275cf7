"""A film of a run: the picture as it grows, step by step."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor

from stylize.errors import OutputError
from stylize.images.atomic import refusals_named, scratch_folder
from stylize.images.film import STEPS_FPS, write_animation
from stylize.images.resampling import resize_clamped
from stylize.images.sizes import SizeSpec
from stylize.images.write import write_picture
from stylize.optimize.loop import Step
from stylize.runs.recipe import to_text
from stylize.runs.result import Result
from stylize.settings.schedule import Scale

HOLD_S = 2.0

# What bounds the memory and the length of a film, however large the picture and long the run.
MAX_FRAMES, MAX_SIDE_PX = 150, 720


class RunFilm:
    """Collect frames during a run, in a temporary folder; write the film at the end.

    All frames have the size of the finished picture, or less: the steps at coarse scales are
    enlarged. Of a run with many steps only some are shown, evenly spaced. Where the result is
    transparent, the film is white.

    Args:
        scales: the schedule of the run.
        alpha: of the result, ``(1, 1, H, W)`` in [0, 1]; None if it is opaque.

    Attributes:
        fault: why no more frames are taken: the temporary folder is full.
    """

    def __init__(self, scales: Sequence[Scale], alpha: Tensor | None = None) -> None:
        self._size = SizeSpec(long_side_px=MAX_SIDE_PX).fit(*scales[-1].size)
        self._alpha = None if alpha is None else resize_clamped(alpha, self._size)
        # The last frame is the result itself.
        self._every = math.ceil(sum(scale.steps for scale in scales) / (MAX_FRAMES - 1))
        self._steps = 0
        self._cleanup = ExitStack()
        with refusals_named(Path(tempfile.gettempdir())):
            scratch = scratch_folder(Path(tempfile.gettempdir()))
            self._folder = self._cleanup.enter_context(scratch)
        self._frames: list[Path] = []
        self.fault: OutputError | None = None

    def __enter__(self) -> RunFilm:
        return self

    def __exit__(self, *details: object) -> None:
        self._cleanup.close()

    def on_step(self, event: Step) -> None:
        """Take a frame, if this step is one to be shown."""
        chosen = self._steps % self._every == 0 and len(self._frames) < MAX_FRAMES - 1
        self._steps += 1
        if chosen and self.fault is None:
            try:
                self._take(event.picture())
            except OutputError as error:
                self.fault = error

    def _take(self, pixels: Tensor) -> None:
        path = self._folder / f"frame-{len(self._frames):03d}.png"
        picture = resize_clamped(pixels.float().cpu(), self._size)
        if self._alpha is not None:
            picture = picture * self._alpha + (1 - self._alpha)
        write_picture(path, picture)
        self._frames.append(path)

    @property
    def length(self) -> int:
        """Number of frames so far."""
        return len(self._frames)

    def save(self, result: Result, target: Path, *, quality: int, overwrite: bool) -> Path:
        """Write the film, which ends with the result and a pause.

        Args:
            result: of the run, complete or not.
            target: see :func:`stylize.images.film.write_animation`.
            quality: 1 to 100, for webp and mp4.
            overwrite: replace an existing file; otherwise the film gets the next free name.

        Returns:
            The file that was written.

        Raises:
            OutputError: it cannot be written; nothing is left behind.
        """
        try:
            self._take(result.pixels)
        except OutputError:
            if not self._frames:
                raise
        return write_animation(
            target,
            self._frames,
            fps=STEPS_FPS,
            hold_s=HOLD_S,
            recipe=to_text({**result.recipe, "film": True}),
            quality=quality,
            overwrite=overwrite,
        )
