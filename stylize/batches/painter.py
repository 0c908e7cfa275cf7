"""Make the pictures and clips of a batch; networks and style statistics are kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from stylize.batches.clips import ClipPainting
from stylize.batches.saving import Saving
from stylize.batches.tasks import Look, Task
from stylize.images.read import Picture, read_picture
from stylize.optimize.loop import Step
from stylize.products.dream.dream import Dream
from stylize.products.transfer.style_crop import require_inside
from stylize.products.transfer.transfer import Transfer
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.transfer import MAX_STYLES, TransferSettings, parse_style_crop
from stylize.video.clip import Clip, open_clip
from stylize.video.painter import ClipPainter, DreamClipPainter
from stylize.video.request import MaskFrames, Painter
from stylize.video.sharing import Sharing


def read_source(task: Task) -> Picture | Clip:
    """Read the photo of a task, or open its clip.

    Raises:
        PictureError: it cannot be read.
        MissingExtraError: its format needs a library that is not installed.
    """
    if task.look.clips is not None:
        return open_clip(str(task.source), task.target)
    return read_picture(task.source)


class BatchPainter:
    """Makes pictures one after the other.

    Args:
        execution: device, precision and threads.
    """

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._session = Session()
        # Those of one picture; with --each, a batch may have many more.
        self._style = lru_cache(MAX_STYLES)(read_picture)

    def prepare(self, task: Task, picture: Picture) -> Transfer | Dream:
        """Prepare the job of a task whose source was read.

        Raises:
            StylizeError: the task cannot be carried out.
        """
        look = task.look
        settings = look.settings
        if isinstance(settings, DreamSettings):
            return Dream(
                picture, settings, self._execution, preset=look.preset, session=self._session
            )
        styles = [self._style(path) for path in look.styles]
        return Transfer(
            picture, styles, settings, self._execution, preset=look.preset, session=self._session
        )

    def paint(
        self,
        task: Task,
        picture: Picture,
        on_step: Callable[[Step], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Result:
        """Prepare and run."""
        return self.prepare(task, picture).run(on_step, stop)

    def make(
        self,
        task: Task,
        source: Picture | Clip,
        saving: Saving,
        on_step: Callable[[Step], None] | None = None,
        stop: Callable[[], bool] | None = None,
        sharing: Sharing | None = None,
    ) -> Result | ClipPainting:
        """Paint a picture or a clip, to be saved with ``saving``.

        Args:
            task, source, saving, on_step, stop: what to paint and how.
            sharing: lets other runs paint some of the shots of a clip.

        Raises:
            InterruptedRunError: stopped too early for a result.
            StylizeError: the task cannot be carried out.
        """
        if isinstance(source, Picture):
            return self.paint(task, source, on_step, stop)
        painting = self.painting(task, source, saving, sharing)
        painting.paint(on_step, stop)
        return painting

    def painting(
        self, task: Task, source: Clip, saving: Saving, sharing: Sharing | None
    ) -> ClipPainting:
        """A clip to paint, or to join."""
        return ClipPainting(
            task,
            source,
            lambda first, masks: self._clip_painter(task.look, first, masks),
            self.inputs(task.look),
            sharing,
            quality=saving.quality,
            overwrite=saving.overwrite,
        )

    def _clip_painter(self, look: Look, first: Picture, _: MaskFrames) -> Painter:
        settings, clips = look.settings, look.clips
        assert clips is not None
        if isinstance(settings, DreamSettings):
            return DreamClipPainter(
                first,
                settings,
                clips.video,
                self._execution,
                preset=look.preset,
                session=self._session,
            )
        return ClipPainter(
            first,
            [self._style(path) for path in look.styles],
            settings,
            clips.video,
            self._execution,
            preset=look.preset,
            session=self._session,
        )

    def inputs(self, look: Look) -> list[tuple[str, str]]:
        """Role and SHA-256 of the inputs that all pictures of a look share.

        Raises:
            PictureError: a style image cannot be read.
            SettingError: it does not hold the rectangle of ``style_crop``.
        """
        if isinstance(look.settings, TransferSettings):
            crop = parse_style_crop(look.settings.style_crop)
            for path in look.styles:
                if crop is not None:
                    require_inside(self._style(path), crop)
        return [("style", self._style(path).sha256) for path in look.styles]
