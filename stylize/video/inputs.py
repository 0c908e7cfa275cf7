"""The pictures and clips that a clip is made with, by the parts they play."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from stylize.images.read import Picture
from stylize.products.transfer.style_crop import Crops
from stylize.products.transfer.style_groups import Masks
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings
from stylize.video.clip import Clip
from stylize.video.painter import ClipPainter, DreamClipPainter
from stylize.video.request import MaskFrames, Painter


@dataclass
class ClipInputs:
    """The inputs of a clip, besides the clip itself.

    Attributes:
        pictures: with their roles, as recipes name them.
        masks: those masks that are clips, by their roles.
    """

    pictures: list[tuple[str, Picture]] = field(default_factory=list)
    masks: dict[str, Clip] = field(default_factory=dict)

    def digests(self) -> list[tuple[str, str]]:
        """The roles with the hashes of pictures, or with the numbers of clips."""
        found = [(role, picture.sha256) for role, picture in self.pictures]
        return found + [(role, f"clip {number}") for number, role in enumerate(self.masks, 1)]

    def maker(
        self,
        settings: TransferSettings | DreamSettings,
        video: VideoSettings,
        execution: Execution,
        *,
        preset: str | None,
        crops: Crops | None = None,
    ) -> Callable[[Picture, MaskFrames], Painter]:
        """Prepares the painter of a clip, see :attr:`stylize.video.request.Request.make`.

        Args:
            settings: how a frame looks.
            video: how frames follow from each other.
            execution: device, precision and threads.
            preset: the name of the preset behind the settings, for the recipe.
            crops: see :class:`stylize.video.painter.ClipPainter`.
        """

        def make(reference: Picture, frames: MaskFrames) -> Painter:
            def at(index: int) -> dict[str, list[Picture]]:
                return self._at(frames, index)

            first = at(0)
            one = {role: pictures[0] for role, pictures in first.items()}
            if isinstance(settings, DreamSettings):
                return DreamClipPainter(
                    reference,
                    settings,
                    video,
                    execution,
                    guide=one.get("guide"),
                    mask=(lambda index: at(index)["mask"][0]) if self.masks else one.get("mask"),
                    preset=preset,
                )
            return ClipPainter(
                reference,
                first.get("style", []),
                settings,
                video,
                execution,
                start=one.get("start"),
                masks=(lambda index: Masks.of_inputs(at(index)))
                if self.masks
                else Masks.of_inputs(first),
                preset=preset,
                crops=crops,
            )

        return make

    def _at(self, frames: MaskFrames, index: int) -> dict[str, list[Picture]]:
        """All pictures of a frame by their roles."""
        found: dict[str, list[Picture]] = {}
        for role, picture in self.pictures:
            found.setdefault(role, []).append(picture)
        for number, role in enumerate(self.masks):
            found[role] = [frames(number, index)]
        return found
