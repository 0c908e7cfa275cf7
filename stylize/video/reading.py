"""Read the frames of a clip into its work folder, in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Condition

import numpy as np
from PIL import Image

from stylize.errors import PictureError
from stylize.video.clip import Clip, Cut, Frame, cut_frames
from stylize.video.record import Record
from stylize.video.shots import ShotFinder, small
from stylize.video.work import Work


@dataclass(frozen=True)
class Source:
    """What is read.

    Attributes:
        clip: the clip.
        cut: the wanted part of it.
        masks: clips that are read in step with it.
        size: ``(height, width)`` at which frames are kept.
        expected: the number of frames, as far as the clip says.
    """

    clip: Clip
    cut: Cut
    masks: Sequence[Clip]
    size: tuple[int, int]
    expected: int


class Reading:
    """How far a clip has been read.

    Args:
        news: guards all attributes; whoever waits for it hears of every frame.
        expected: the number of frames, as far as the clip says.

    Attributes:
        times: when each frame is shown, in s from 0 on; once it is complete, also the end.
        names: of the files of the painted frames.
        starts: first frame of every shot that was found so far.
        decided: the number of frames that are there and surely belong to these shots.
        count: the number of all frames; a guess until it is complete.
        complete: whether everything has been read.
        cancelled: set it to end the reading.
    """

    def __init__(self, news: Condition, expected: int) -> None:
        self.news = news
        self.times: list[Fraction] = []
        self.names: list[str] = []
        self.starts: list[int] = [0]
        self.decided, self.count = 0, expected
        self.complete = self.cancelled = False

    @classmethod
    def recorded(cls, news: Condition, record: Record) -> Reading:
        """A clip that an earlier run has read."""
        reading = cls(news, record.count)
        reading.times, reading.names = list(record.times), list(record.names)
        reading.starts, reading.decided = list(record.shots[:-1]), record.count
        reading.complete = True
        return reading

    @property
    def shots(self) -> list[range]:
        """The frames of each shot; the last one ends with the clip until it is known better."""
        ends = [*self.starts[1:], self.count]
        return [range(*each) for each in zip(self.starts, ends, strict=True)]

    def read(self, source: Source, work: Work) -> None:
        """Keep the wanted frames, with those of the masks.

        Raises:
            PictureError: the clip or a mask is damaged, or holds no frames.
            OutputError: the system refuses to keep a frame.
        """
        finder, names = ShotFinder(), list[str]()
        height, width = source.size
        end = source.clip.outline.times[-1]
        masks = [shown_at(each) for each in source.masks]
        frames = source.clip.frames(source.cut.start)
        for frame, time in cut_frames(frames, source.cut, end):
            if self.cancelled:
                return
            image = Image.fromarray(frame.pixels)
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.LANCZOS)
            for number, shown in enumerate(masks):
                series = f"mask-{number + 1}"
                work.keep(finder.count, Image.fromarray(shown(time).pixels), series)
            work.keep(finder.count, image)
            finder.add(small(np.ascontiguousarray(np.asarray(image)[..., :3])))
            names.append(frame.name)
            self._tell(finder, time)
        if not finder.count:
            raise PictureError(f"{source.clip.name} holds no frames")
        finder.end()
        end = end if source.cut.end is None else min(end, source.cut.end)
        with self.news:
            self.names, self.count, self.complete = _names(names), finder.count, True
            self._tell(finder, max(end, self.times[-1] + Fraction(1, 1000)))

    def _tell(self, finder: ShotFinder, time: Fraction) -> None:
        with self.news:
            self.times.append(time)
            self.starts, self.decided = list(finder.starts), finder.decided
            self.count = max(self.count, finder.count)
            self.news.notify_all()


def shown_at(clip: Clip) -> Callable[[Fraction], Frame]:
    """A function that gives the frame of a clip at a time; times never fall, the last one stays.

    Raises:
        PictureError: there are no frames.
    """
    frames: Iterator[Frame] = clip.frames()
    shown = next(frames, None)
    if shown is None:
        raise PictureError(f"{clip.name} holds no frames")
    after = next(frames, None)

    def at(time: Fraction) -> Frame:
        nonlocal shown, after
        while after is not None and after.time <= time:
            shown, after = after, next(frames, None)
        assert shown is not None
        return shown

    return at


def numbered(count: int) -> list[str]:
    """Names of painted frames whose photos have none."""
    return [f"{index + 1:06d}.png" for index in range(count)]


def _names(files: Sequence[str]) -> list[str]:
    """Names of the painted frames: those of the files of the clip, where they are distinct."""
    stems = [f"{Path(name).stem}.png" for name in files]
    if all(files) and len(set(map(str.lower, stems))) == len(stems):
        return stems
    return numbered(len(files))
