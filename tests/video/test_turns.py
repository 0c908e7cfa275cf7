"""The order in which frames are made: each finds what it needs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stylize.settings.video import VideoSettings
from stylize.video.turns import Turn, continues, is_settled, neighbours, sources, turns_of


def test_frames_follow_each_other() -> None:
    assert turns_of(range(3, 6), VideoSettings()) == [Turn(3), Turn(4), Turn(5)]


def test_the_frames_between_come_when_both_neighbours_are_there() -> None:
    turns = turns_of(range(10, 16), VideoSettings(every=3))
    assert [each.index for each in turns] == [10, 13, 11, 12, 15, 14]
    assert [each.index for each in turns if each.carried] == [11, 12, 14]


def test_a_second_pass_goes_back_from_the_last_frame() -> None:
    turns = turns_of(range(3), VideoSettings(passes=2))
    assert turns == [Turn(0), Turn(1), Turn(2), Turn(1, 2), Turn(0, 2)]


def test_nearer_frames_are_asked_first() -> None:
    video = VideoSettings(every=2)
    assert sources(Turn(12), range(20), video) == [10, 8, 4]
    assert sources(Turn(12, 2), range(20), VideoSettings(passes=2)) == [13, 14, 16]


@given(st.integers(0, 9), st.integers(1, 30), st.integers(1, 7), st.integers(1, 2), st.booleans())
def test_every_frame_is_made_from_frames_that_are_there(
    start: int, count: int, every: int, passes: int, coherent: bool
) -> None:
    shot = range(start, start + count)
    video = VideoSettings(every=every, passes=passes, coherence=0.5 if coherent else 0.0)
    there: set[int] = set()
    for turn in turns_of(shot, video):
        if turn.carried:
            assert there.issuperset(neighbours(turn, shot, video))
        elif continues(turn, shot, video):
            needed = sources(turn, shot, video)
            assert needed
            assert there.issuperset([*needed, turn.index] if turn.number > 1 else needed)
        there.add(turn.index)
    assert there == set(shot)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.integers(1, 5), st.booleans())
def test_settled_turns_do_not_depend_on_where_the_shot_ends(
    decided: int, more: int, guessed: int, every: int, twice: bool
) -> None:
    video = VideoSettings(every=every, passes=2 if twice else 1)
    guess = range(decided + guessed)
    turns = turns_of(guess, video)
    settled = [is_settled(turn, guess, video, decided) for turn in turns]
    count = settled.index(False) if False in settled else len(settled)
    assert count > 0
    assert turns[:count] == turns_of(range(decided + more), video)[:count]
