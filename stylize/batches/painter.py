"""Make the pictures of a batch in one process; networks and style statistics are kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
from stylize.settings.transfer import TransferSettings, parse_style_crop


class BatchPainter:
    """Makes pictures one after the other.

    Args:
        execution: device, precision and threads.
    """

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._session = Session()
        self._styles: dict[Path, Picture] = {}

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

    def _style(self, path: Path) -> Picture:
        if path not in self._styles:
            self._styles[path] = read_picture(path)
        return self._styles[path]
