"""Write the results of a batch."""

from __future__ import annotations

from dataclasses import dataclass

from stylize.batches.clips import ClipPainting
from stylize.batches.tasks import Task
from stylize.errors import OutputError
from stylize.images.atomic import refusals_named
from stylize.runs.result import Result


@dataclass(frozen=True)
class Saving:
    """How results are written; ``overwrite`` replaces files that have their names."""

    depth: int = 8
    quality: int = 95
    overwrite: bool = False

    def save(self, result: Result | ClipPainting, task: Task, token: str) -> None:
        """Write the picture or the clip of a task.

        Raises:
            OutputError: the system refuses; or a file has taken the name since the task was
                claimed, and the picture was saved under the next free name.
        """
        if isinstance(result, ClipPainting):
            result.save()
            return
        with refusals_named(task.target):
            task.target.parent.mkdir(parents=True, exist_ok=True)
        saved = result.save(
            task.target,
            depth=self.depth,
            quality=self.quality,
            token=token,
            overwrite=self.overwrite,
            numbered=True,
            follow_links=False,
        )
        if saved != task.target:
            raise OutputError(
                f"{task.target} appeared during the run; the picture was saved as {saved}"
            )
