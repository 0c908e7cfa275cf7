"""The kit for blind comparisons of paintings."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from scipy.stats import binomtest

from benchmarks.blind import (
    Comparison,
    comparisons,
    details,
    main,
    read_key,
    read_votes,
    sittings,
    wilson,
)

COLOURS = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255)}

PAIRS = ("lion-wave", "lion-star", "old-town-wave")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three folders of plain results, with photos and styles."""
    for name, colour in COLOURS.items():
        (tmp_path / name).mkdir()
        for pair in PAIRS:
            Image.new("RGB", (90, 60), colour).save(tmp_path / name / f"{pair}.png")
    for kind, names in (("photos", ("lion", "old-town")), ("styles", ("wave", "star"))):
        (tmp_path / kind).mkdir()
        for name in names:
            Image.new("RGB", (80, 80), "grey").save(tmp_path / kind / f"{name}.jpg")
    return tmp_path


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def make(folder: Path, name: str = "sheets", *more: object) -> Result:
    results = [f"{each}={folder / each}" for each in COLOURS]
    inputs = ("--photos", folder / "photos", "--styles", folder / "styles", "--width", 120)
    return run("sheets", folder / name, *results, *inputs, *more)


@pytest.mark.parametrize("votes", [1, 4, 17, 60])
def test_the_interval_is_that_of_scipy(votes: int) -> None:
    for wins in range(votes + 1):
        wanted = binomtest(wins, votes).proportion_ci(method="wilson")
        assert wilson(wins, votes) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_the_interval_of_no_win() -> None:
    squared = 1.959964**2
    assert wilson(0, 10) == pytest.approx((0, squared / (10 + squared)))


def test_every_two_results_of_a_photo_in_a_style_are_compared_once() -> None:
    results = {"x": PAIRS, "y": PAIRS, "z": PAIRS[:1]}
    found = comparisons(["lion", "old-town"], ["wave", "star"], results, random.Random(0))
    seen = sorted((f"{c.photo}-{c.style}", *sorted((c.A, c.B))) for c in found)
    wanted = [(pair, "x", "y") for pair in PAIRS]
    wanted += [("lion-wave", "x", "z"), ("lion-wave", "y", "z")]
    assert seen == sorted(wanted)


def test_sides_and_order_are_random_and_repeatable() -> None:
    photos, names = [f"p{i}" for i in range(200)], [f"p{i}-s" for i in range(200)]

    def draw(seed: int) -> list[Comparison]:
        return comparisons(photos, ["s"], {"x": names, "y": names}, random.Random(seed))

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert 70 < sum(each.A == "x" for each in draw(1)) < 130
    assert [each.photo for each in draw(1)] != sorted(photos)


def test_no_pair_comes_twice_in_a_sitting() -> None:
    results = {name: PAIRS for name in "wxyz"}
    found = comparisons(["lion", "old-town"], ["wave", "star"], results, random.Random(3))
    dealt = sittings(found)
    assert sorted(place for each in dealt for place in each) == list(range(len(found)))
    assert len(dealt) == 6  # two of four results
    for each in dealt:
        pairs = [(found[place].photo, found[place].style) for place in each]
        assert len(set(pairs)) == len(pairs)


def test_the_sheets_say_nothing_and_the_key_is_elsewhere(folder: Path) -> None:
    assert make(folder).exit_code == 0
    names = [path.name for path in sorted((folder / "sheets").iterdir())]
    assert names == [*(f"{number:03d}.png" for number in range(1, 10)), "sittings.txt"]
    for path in (folder / "sheets").iterdir():
        content = path.read_bytes()
        assert not any(word.encode() in content for word in (*COLOURS, *PAIRS))
    lines = (folder / "sheets" / "sittings.txt").read_text().splitlines()
    assert sorted(" ".join(lines).split()) == [f"{number:03d}" for number in range(1, 10)]


@pytest.mark.parametrize("crops", [0, 2])
def test_a_sheet_shows_what_the_key_says(folder: Path, crops: int) -> None:
    assert make(folder, "sheets", "--crops", crops).exit_code == 0
    for number, each in read_key(folder / "sheets-key.json").items():
        page = Image.open(folder / "sheets" / f"{number}.png")
        middle = 28 + 90 + 24 + 28 + 40
        assert page.getpixel((60, middle)) == COLOURS[each.A]
        assert page.getpixel((120 + 24 + 60, middle)) == COLOURS[each.B]
        rows = 28 + 90 + 24 + 28 + 80 + crops * (24 + 28 + 60)
        assert page.size == (2 * 120 + 24, rows)


def test_details_are_pixels_of_the_same_places() -> None:
    image = Image.effect_noise((200, 150), 80).convert("RGB")
    for left, right in details([image, image], 64, 3, random.Random(0)):
        assert left.size == (64, 64)
        assert left.tobytes() == right.tobytes()
        assert any(
            image.crop((x, y, x + 64, y + 64)).tobytes() == left.tobytes()
            for x in range(137)
            for y in range(87)
        )


def test_the_key_may_not_be_with_the_sheets(folder: Path) -> None:
    assert make(folder, "sheets", "--key", folder / "sheets" / "key.json").exit_code == 2
    assert not (folder / "sheets").exists()


def test_nothing_is_overwritten(folder: Path) -> None:
    make(folder)
    before = (folder / "sheets-key.json").read_bytes()
    assert make(folder, "sheets", "--seed", 5).exit_code == 2
    assert (folder / "sheets-key.json").read_bytes() == before


def test_votes_and_their_score(folder: Path) -> None:
    key = {
        "001": {"photo": "lion", "style": "wave", "A": "new", "B": "old"},
        "002": {"photo": "lion", "style": "star", "A": "old", "B": "new"},
        "003": {"photo": "lion", "style": "wave", "A": "peer", "B": "new"},
    }
    (folder / "key.json").write_text(json.dumps(key))
    votes = folder / "votes.jsonl"
    assert run("vote", votes, "1", "A", "--judge", "anna", "--fault", "B:ghost").exit_code == 0
    assert run("vote", votes, "002", "b", "--judge", "anna").exit_code == 0
    assert run("vote", votes, "001", "tie", "--judge", "ben", "--fault", "B:ghost").exit_code == 0
    assert run("vote", votes, "003", "A", "--judge", "ben", "--fault", "B:veil").exit_code == 0
    assert [each.vote for each in read_votes(votes)] == ["A", "B", "tie", "A"]
    lines = run("score", folder / "key.json", votes).stdout.splitlines()
    low, high = (100 * bound for bound in wilson(2.5, 3))
    assert lines == [
        f"new over old: 2.5 of 3 (83 %, 95 % interval {low:.0f} to {high:.0f} %)",
        "new over peer: 0 of 1 (0 %, 95 % interval 0 to 79 %)",
        "new overall: 2.5 of 4 (62 %, 95 % interval 22 to 91 %)",
        "old overall: 0.5 of 3 (17 %, 95 % interval 2 to 69 %)",
        "peer overall: 1 of 1 (100 %, 95 % interval 21 to 100 %)",
        "faults of new in 4 views: veil 1",
        "faults of old in 3 views: ghost 2",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("12x", "A", "--judge", "anna"),
        ("1", "C", "--judge", "anna"),
        ("1", "A"),
        ("1", "A", "--judge", "anna", "--fault", "ghost"),
        ("1", "A", "--judge", "anna", "--fault", "A:ugly"),
    ],
)
def test_votes_that_make_no_sense(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert run("vote", tmp_path / "votes", *words).exit_code == 2
    assert not (tmp_path / "votes").exists()


def test_a_judge_votes_once_on_a_sheet(tmp_path: Path) -> None:
    for code in (0, 2):
        assert run("vote", tmp_path / "votes", "1", "A", "--judge", "anna").exit_code == code
    assert len(read_votes(tmp_path / "votes")) == 1


def test_votes_on_unknown_sheets(tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text("{}")
    run("vote", tmp_path / "votes", "7", "A", "--judge", "anna")
    result = run("score", tmp_path / "key.json", tmp_path / "votes")
    assert result.exit_code == 2
    assert "no sheet 007" in result.stderr
