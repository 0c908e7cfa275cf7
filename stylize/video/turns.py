"""The order in which the frames of a shot are made. Pure arithmetic, no torch."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from stylize.settings.video import VideoSettings

# Paint is taken from frames at these distances, counted in painted frames (Ruder et al.).
DISTANCES = (1, 2, 4)


@dataclass(frozen=True)
class Turn:
    """One piece of the work on a shot.

    Attributes:
        index: number of the frame in the clip, from 0.
        number: of the pass, from 1.
        carried: whether the frame only gets paint from its neighbours, without being painted.
    """

    index: int
    number: int = 1
    carried: bool = False


def turns_of(shot: range, video: VideoSettings) -> list[Turn]:
    """The work on a shot, in an order in which every frame finds what it needs.

    A frame may have several turns; each result replaces the one before.

    Args:
        shot: numbers of its frames, one after the other.
        video: decides which frames are painted, and how often.
    """
    painted = painted_frames(shot, video)
    turns = [Turn(index) for index in painted]
    backwards = video.passes > 1 and video.coherence > 0 and len(painted) > 1
    if backwards:
        turns += [Turn(index, 2) for index in reversed(painted[:-1])]
    # Frames between two others follow the second of these.
    between = {
        (before if backwards else after): range(before + 1, after)
        for before, after in itertools.pairwise(painted)
    }
    order: list[Turn] = []
    for turn in turns:
        order.append(turn)
        if turn.number == turns[-1].number:
            order += [Turn(each, turn.number, True) for each in between.get(turn.index, ())]
    return order


def painted_frames(shot: range, video: VideoSettings) -> list[int]:
    """The frames of a shot that are painted: every Nth, and the last."""
    painted = list(shot[:: video.every])
    if painted and painted[-1] != shot[-1]:
        painted.append(shot[-1])
    return painted


def continues(turn: Turn, shot: range, video: VideoSettings) -> bool:
    """Whether a painted frame takes over the paint of others."""
    return video.coherence > 0 and (turn.index != shot.start or turn.number > 1)


def sources(turn: Turn, shot: range, video: VideoSettings) -> list[int]:
    """The frames whose paint a frame takes over, the nearest first.

    Args:
        turn: of a frame that continues others.
        shot: numbers of the frames of its shot.
        video: decides which frames are painted.
    """
    painted = painted_frames(shot, video)
    if turn.number > 1:
        painted.reverse()
    place = painted.index(turn.index)
    return [painted[place - each] for each in DISTANCES if each <= place]


def neighbours(turn: Turn, shot: range, video: VideoSettings) -> tuple[int, int]:
    """The painted frames before and after one that only gets their paint."""
    painted = painted_frames(shot, video)
    before = max(each for each in painted if each < turn.index)
    after = min(each for each in painted if each > turn.index)
    return before, after
