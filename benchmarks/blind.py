"""Blind comparison of paintings: sheets for judges, votes, and win rates.

    python -m benchmarks.blind sheets SHEETS ours=DIR peer=DIR --photos DIR --styles DIR
    python -m benchmarks.blind vote VOTES 012 A --judge anna --fault B:ghost
    python -m benchmarks.blind score SHEETS-key.json VOTES

Each result folder holds paintings with the name PHOTO-STYLE, such as lion-wave.png. A sheet shows
the photo and the style image on top, and the results A and B of two folders below them. The order
of the sheets, and which result is A, are random. The key to both is kept outside the folder of the
sheets, which judges may see. The file sittings.txt there lists the sheets for one judge in one
sitting, a line each: no photo in the same style comes twice in a line.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, product
from pathlib import Path
from typing import Any

import click
from PIL import Image, ImageDraw, ImageFont

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

FAULTS = ("ghost", "eaten", "veil", "grid", "frame", "marks")

GAP_PX, TITLE_PX = 24, 28

# Of the normal distribution, for 95 %.
Z = 1.959964

SIDES = ("A", "B")


@dataclass(frozen=True)
class Comparison:
    """Two results of one photo in one style.

    Attributes:
        photo, style: names without suffixes.
        A, B: names of the result folders.
    """

    photo: str
    style: str
    A: str
    B: str


@dataclass(frozen=True)
class Vote:
    """What one judge said about one sheet.

    Attributes:
        sheet: its number, such as ``012``.
        vote: ``A``, ``B`` or ``tie``.
        judge: a name.
        faults: seen in each result.
    """

    sheet: str
    vote: str
    judge: str
    faults: Mapping[str, Sequence[str]] = field(default_factory=dict)


def pictures(folder: Path) -> dict[str, Path]:
    """The pictures in a folder by their names without suffixes."""
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}


def comparisons(
    photos: Iterable[str],
    styles: Iterable[str],
    results: Mapping[str, Iterable[str]],
    rng: random.Random,
) -> list[Comparison]:
    """Every two results of the same photo and style, in random order.

    Args:
        photos, styles: names.
        results: the names PHOTO-STYLE in each result folder.
        rng: decides the order, and which result is A.
    """
    found = [
        Comparison(photo, style, *rng.sample(names, 2))
        for photo, style in product(sorted(photos), sorted(styles))
        for names in combinations(sorted(results), 2)
        if all(f"{photo}-{style}" in results[name] for name in names)
    ]
    rng.shuffle(found)
    return found


def sittings(found: Sequence[Comparison]) -> list[list[int]]:
    """Deal sheets to sittings, so that no photo in the same style comes twice in one.

    Args:
        found: in the order of the sheets.

    Returns:
        Their places, as few lists as possible.
    """
    seen: Counter[tuple[str, str]] = Counter()
    lists: defaultdict[int, list[int]] = defaultdict(list)
    for place, each in enumerate(found):
        lists[seen[each.photo, each.style]].append(place)
        seen[each.photo, each.style] += 1
    return [lists[number] for number in sorted(lists)]


def fitted(image: Image.Image, side: int) -> Image.Image:
    """An image scaled to a long side."""
    scale = side / max(image.size)
    size = tuple(max(1, round(length * scale)) for length in image.size)
    return image.resize(size, Image.Resampling.LANCZOS)


def details(
    images: Sequence[Image.Image], side: int, count: int, rng: random.Random
) -> list[list[Image.Image]]:
    """Crops at 1:1 of all images, at the same random places of each."""
    places = [(rng.random(), rng.random()) for _ in range(count)]
    return [[_detail(image, side, place) for image in images] for place in places]


def _detail(image: Image.Image, side: int, place: tuple[float, float]) -> Image.Image:
    width, height = min(side, image.width), min(side, image.height)
    left, top = round(place[0] * (image.width - width)), round(place[1] * (image.height - height))
    return image.crop((left, top, left + width, top + height))


def sheet(rows: Sequence[Sequence[Image.Image]], titles: Sequence[Sequence[str]]) -> Image.Image:
    """Rows of two pictures, with a title above each."""
    column = max(image.width for row in rows for image in row)
    heights = [TITLE_PX + max(image.height for image in row) for row in rows]
    page = Image.new("RGB", (2 * column + GAP_PX, sum(heights) + GAP_PX * (len(rows) - 1)), "white")
    pen, font, top = ImageDraw.Draw(page), ImageFont.load_default(TITLE_PX * 0.7), 0
    for row, words, height in zip(rows, titles, heights, strict=True):
        for place, (image, word) in enumerate(zip(row, words, strict=True)):
            left = place * (column + GAP_PX)
            pen.text((left, top), word, "black", font)
            page.paste(image, (left, top + TITLE_PX))
        top += height + GAP_PX
    return page


def wilson(wins: float, votes: int) -> tuple[float, float]:
    """The 95 % interval of a win rate (Wilson 1927); a tie is half a win.

    Args:
        wins: from 0 to ``votes``.
        votes: at least 1.
    """
    rate, share = wins / votes, Z * Z / votes
    middle = (rate + share / 2) / (1 + share)
    reach = Z / (1 + share) * math.sqrt(rate * (1 - rate) / votes + share / votes / 4)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def tally(
    key: Mapping[str, Comparison], votes: Iterable[Vote]
) -> dict[tuple[str, str], tuple[float, int]]:
    """Wins and votes of each result folder against each other, by ``(name, other)``."""
    found: defaultdict[tuple[str, str], tuple[float, int]] = defaultdict(lambda: (0.0, 0))
    for each in votes:
        names = asdict(key[each.sheet])
        for side, other in (("A", "B"), ("B", "A")):
            pair = names[side], names[other]
            won = 0.5 if each.vote == "tie" else float(each.vote == side)
            found[pair] = found[pair][0] + won, found[pair][1] + 1
    return dict(found)


def fault_counts(
    key: Mapping[str, Comparison], votes: Iterable[Vote]
) -> dict[str, tuple[Counter[str], int]]:
    """The faults that judges saw in each result folder, and how often they looked at it."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    views: Counter[str] = Counter()
    for each in votes:
        names = asdict(key[each.sheet])
        for side in SIDES:
            views[names[side]] += 1
            counts[names[side]].update(each.faults.get(side, ()))
    return {name: (counts[name], views[name]) for name in sorted(views)}


def read_key(path: Path) -> dict[str, Comparison]:
    """The comparisons by the numbers of their sheets."""
    return {name: Comparison(**each) for name, each in json.loads(path.read_text()).items()}


def read_votes(path: Path) -> list[Vote]:
    """The votes in a file, one JSON object a line; none where there is no file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Vote(**json.loads(line)) for line in lines if line.strip()]


@click.group()
def main() -> None:
    """Make sheets for blind comparisons, record votes, print win rates."""


def _split_folders(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, Path]:
    pairs = [value.partition("=") for value in values]
    found = {name: Path(folder) for name, _, folder in pairs}
    if len(found) < max(2, len(values)) or not all(path.is_dir() for path in found.values()):
        raise click.BadParameter("name two or more folders as NAME=DIR, each with its own name")
    return found


FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@main.command("sheets")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("results", nargs=-1, metavar="NAME=DIR...", callback=_split_folders)
@click.option("--photos", type=FOLDER, required=True, help="Folder of the photos.")
@click.option("--styles", type=FOLDER, required=True, help="Folder of the style images.")
@click.option("--key", type=click.Path(path_type=Path), help="Key file.  [OUT-key.json]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random order.")
@click.option("--width", type=click.IntRange(64), default=512, show_default=True, help="Px.")
@click.option("--crops", type=click.IntRange(0), default=0, help="Number of crops at 1:1.")
def make_sheets(
    out: Path,
    results: dict[str, Path],
    photos: Path,
    styles: Path,
    key: Path | None,
    seed: int,
    width: int,
    crops: int,
) -> None:
    """Make the sheets, the sittings and the key."""
    key = key or out.with_name(f"{out.name}-key.json")
    if out.resolve() in key.resolve().parents:
        raise click.UsageError("the key must not be in the folder of the sheets")
    if key.exists() or (out.exists() and any(out.iterdir())):
        raise click.UsageError(f"{out} or {key} is there already: votes may depend on it")
    rng, inputs = random.Random(seed), (pictures(photos), pictures(styles))
    painted = {name: pictures(folder) for name, folder in results.items()}
    found = comparisons(*inputs, painted, rng)
    if not found:
        raise click.UsageError("no two folders have a result PHOTO-STYLE of the same names")
    out.mkdir(parents=True, exist_ok=True)
    numbers = [f"{number:03d}" for number in range(1, len(found) + 1)]
    for number, each in zip(numbers, found, strict=True):
        paths = [painted[name][f"{each.photo}-{each.style}"] for name in (each.A, each.B)]
        top = [inputs[0][each.photo], inputs[1][each.style]]
        rgb = [Image.open(path).convert("RGB") for path in (*top, *paths)]
        rows = [[fitted(image, width * 3 // 4) for image in rgb[:2]]]
        rows += [[fitted(image, width) for image in rgb[2:]]]
        rows += details(rgb[2:], width, crops, rng)
        titles = [("photo", "style"), SIDES, *[("A, 1:1", "B, 1:1")] * crops]
        sheet(rows, titles).save(out / f"{number}.png")
    lines = [" ".join(numbers[place] for place in places) for places in sittings(found)]
    (out / "sittings.txt").write_text("\n".join(lines) + "\n")
    key.write_text(json.dumps(dict(zip(numbers, map(asdict, found), strict=True)), indent=1))
    click.echo(f"{len(found)} sheets in {out} for {len(lines)} sittings; the key is {key}")


def _read_faults(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for value in values:
        side, _, fault = value.partition(":")
        if side not in SIDES or fault not in FAULTS:
            raise click.BadParameter(
                f"'{value}' is not A:FAULT or B:FAULT with {', '.join(FAULTS)}"
            )
        found.setdefault(side, []).append(fault)
    return found


@main.command("vote")
@click.argument("votes", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("number")
@click.argument(
    "choice", type=click.Choice([*SIDES, "tie"], case_sensitive=False), metavar="A|B|tie"
)
@click.option("--judge", required=True, help="Name of the judge.")
@click.option("--fault", "faults", multiple=True, callback=_read_faults, help="Such as A:ghost.")
def record(votes: Path, number: str, choice: str, judge: str, faults: dict[str, Any]) -> None:
    """Record the vote of a judge for the sheet NUMBER."""
    if not number.isdecimal():
        raise click.BadParameter(f"'{number}' is not the number of a sheet")
    vote = Vote(f"{int(number):03d}", choice, judge, faults)
    if any((each.sheet, each.judge) == (vote.sheet, judge) for each in read_votes(votes)):
        raise click.UsageError(f"{judge} has voted on sheet {vote.sheet}")
    with votes.open("a") as file:
        file.write(json.dumps(asdict(vote)) + "\n")


@main.command("score")
@click.argument("key", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("votes", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def score(key: Path, votes: Path) -> None:
    """Print win rates with 95 % intervals for each two names and overall, and faults."""
    known, given = read_key(key), read_votes(votes)
    if strange := sorted({each.sheet for each in given} - known.keys()):
        raise click.UsageError(f"the key has no sheet {', '.join(strange)}")
    found = tally(known, given)
    for name, other in sorted(found):
        if name < other:
            click.echo(_line(f"{name} over {other}", *found[name, other]))
    for name in sorted({name for name, _ in found}):
        parts = [each for (one, _), each in found.items() if one == name]
        wins, count = sum(won for won, _ in parts), sum(number for _, number in parts)
        click.echo(_line(f"{name} overall", wins, count))
    for name, (counts, views) in fault_counts(known, given).items():
        if counts:
            text = ", ".join(f"{fault} {counts[fault]}" for fault in FAULTS if counts[fault])
            click.echo(f"faults of {name} in {views} views: {text}")


def _line(title: str, wins: float, votes: int) -> str:
    low, high = (100 * bound for bound in wilson(wins, votes))
    rate = 100 * wins / votes
    return f"{title}: {wins:g} of {votes} ({rate:.0f} %, 95 % interval {low:.0f} to {high:.0f} %)"


if __name__ == "__main__":
    main()
