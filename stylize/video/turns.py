"""The order in which the frames of a shot are made. Pure arithmetic, no torch."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from stylize.settings.dream import DreamSettings
from stylize.settings.schedule import Scale
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings

# Following the motion from some other frames, and reading and writing frames; measured on a core.
SECONDS_PER_TURN, SECONDS_PER_PX = 0.05, 3e-6

# Steps of a painted frame that continues others, relative to a still's at the same size, and at
# least.
_SHARE, _LEAST = 0.25, 5

# Least steps, at each size, of the first frame of a shot: if its paint were less finished, it would
# grow sharper from frame to frame.
_FINISHED = 8

# Share of a dream that is new in every frame, at no coherence.
FRESH = 0.5

# Least and largest share of a still's steps that a dream takes which continues others.
_LEAST_PACE, _LARGEST_PACE = 0.2, 0.4

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


def is_settled(turn: Turn, shot: range, video: VideoSettings, decided: int) -> bool:
    """Whether a turn is the same wherever its shot will turn out to end.

    Args:
        turn: one of the shot.
        shot: numbers of its frames; its end is a guess.
        video: decides which frames are painted.
        decided: number of frames of the clip that are there and in shots that are known.
    """
    if turn.number > 1:
        return False
    last = neighbours(turn, shot, video)[1] if turn.carried else turn.index
    return last < decided and (last - shot.start) % video.every == 0


def first_scales(video: VideoSettings, scales: Sequence[Scale]) -> list[Scale]:
    """The steps of a painted frame that others follow, given those of a still."""
    least = _FINISHED if video.coherence > 0 else 1
    return [dataclasses.replace(scale, steps=max(scale.steps, least)) for scale in scales]


def following_scales(
    settings: TransferSettings | DreamSettings, video: VideoSettings, scales: Sequence[Scale]
) -> list[Scale]:
    """The steps of a frame that continues others, given those of a still."""
    if isinstance(settings, DreamSettings):
        pace = min(max(FRESH * (1 - video.coherence), _LEAST_PACE), _LARGEST_PACE)
        return [
            dataclasses.replace(scale, steps=max(1, round(scale.steps * pace))) for scale in scales
        ]
    return [
        dataclasses.replace(scale, steps=min(scale.steps, max(_LEAST, round(_SHARE * scale.steps))))
        for scale in scales
    ]
