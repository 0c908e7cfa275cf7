"""Flicker of clips: warping errors of frames painted one by one and of coherent ones.

    python -m benchmarks.video OUT --style STYLE --photo PHOTO --move pan
    python -m benchmarks.video OUT --style STYLE --photo PHOTO --move sway --frames 200
    python -m benchmarks.video OUT --style STYLE --clip CLIP --start 40

The frames are views of a photo through a moving camera, whose motion is known exactly, or those of
one shot of a clip. The warping error is the mean squared difference of a result and a later one
moved back, where both show the same place; the motion is that of the input, never that of the
result. A blurred result has a small error, so the table also says how far the results are from the
style. A second table shows whether the mean luma and that distance drift in the course of the clip.

OUT receives the frames as PNG files and a sheet of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from torchvision.utils import make_grid

from benchmarks.report.judge import Judge
from benchmarks.report.pairs import Pair
from stylize.images.convert import to_picture
from stylize.images.luma import luma
from stylize.images.mp4 import pyav
from stylize.images.read import Picture, read_picture
from stylize.images.resampling import resize_clamped
from stylize.images.views import view, view_matrix
from stylize.images.warp import warped
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.dream import DreamSettings
from stylize.settings.fields import from_document
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings
from stylize.video.flow import Motion, motion
from stylize.video.painter import ClipPainter, DreamClipPainter
from stylize.video.turns import turns_of

DISTANCES = (1, 8)

# Frames, from 1, at which the drift is measured.
MARKS = (1, 50, 100, 200)

# Ways per frame of the camera, in shares of the picture, in zoom and in degrees; and how far it
# sways to both sides, in so many frames.
MOVES: dict[str, dict[str, float]] = {
    "pan": {"across": 0.012, "down": 0.004},
    "zoom": {"zoom": 1.012},
    "rotation": {"degrees": 1.0},
    "sway": {"sway": 0.1, "period": 50},
    "still": {},
}

# Part of the photo that the camera sees, so that it never reaches an edge.
SEEN = 0.7

# Where two frames show the same place.
SURE = 0.99

Flow = Callable[[int, int], Motion]


def camera(move: str, index: int, size: tuple[int, int]) -> Tensor:
    """The matrix of a view, ``(3, 3)``, see :func:`stylize.images.views.view_matrix`."""
    ways = MOVES[move]
    matrix = view_matrix(
        size,
        degrees=ways.get("degrees", 0.0) * index,
        zoom=ways.get("zoom", 1.0) ** index / SEEN,
        across=ways.get("across", 0.0) * index
        - 0.1 * bool(ways.get("across"))
        + ways.get("sway", 0.0) * math.sin(2 * math.pi * index / ways.get("period", 1.0)),
        down=ways.get("down", 0.0) * index - 0.05 * bool(ways.get("down")),
    )
    return torch.cat([matrix, torch.tensor([[0.0, 0.0, 1.0]], dtype=matrix.dtype)])


def exact_flow(move: str, here: int, there: int, size: tuple[int, int]) -> Motion:
    """The motion from one view to another."""
    height, width = size
    matrix = torch.linalg.inv(camera(move, there, size)) @ camera(move, here, size)
    down, right = torch.meshgrid(
        (2 * torch.arange(height, dtype=torch.float64) + 1) / height - 1,
        (2 * torch.arange(width, dtype=torch.float64) + 1) / width - 1,
        indexing="ij",
    )
    places = torch.stack([right, down, torch.ones_like(right)])
    moved = torch.einsum("ij,jhw->ihw", matrix, places)
    flow = (moved - places)[:2] * torch.tensor([width / 2, height / 2]).view(2, 1, 1)
    inside = (moved[:2].abs() < 1 - 2 / min(size)).all(0)
    shown = inside.float()[None, None]
    return Motion(flow.float()[None], shown, shown)


def views_of(photo: Picture, move: str, frames: int, size: int) -> list[Picture]:
    """Views of a photo through a moving camera."""
    height, width = photo.size
    shrink = min(1.0, 2 * size / max(height, width))
    pixels = resize_clamped(photo.pixels, (round(height * shrink), round(width * shrink)))
    found = []
    for index in range(frames):
        matrix = camera(move, index, (pixels.shape[2], pixels.shape[3]))[:2]
        seen = view(pixels, matrix, "bicubic").clamp(0, 1)
        found.append(as_picture(resize_clamped(seen, shape_for(seen, size))))
    return found


def frames_of(clip: Path, start: int, frames: int, size: int) -> list[Picture]:
    """Frames of a clip."""
    found = []
    with pyav().open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= start:
                levels = torch.from_numpy(frame.to_ndarray(format="rgb24"))
                pixels = levels.permute(2, 0, 1)[None] / 255
                found.append(as_picture(resize_clamped(pixels, shape_for(pixels, size))))
            if len(found) == frames:
                break
    return found


def shape_for(pixels: Tensor, size: int) -> tuple[int, int]:
    """The size with this long side."""
    height, width = pixels.shape[2:]
    scale = size / max(height, width)
    return round(height * scale), round(width * scale)


def as_picture(pixels: Tensor) -> Picture:
    """A picture as an 8-bit file would give it."""
    levels = (pixels[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return to_picture(np.ascontiguousarray(levels), role="frame")


def made(result: Result) -> Picture:
    """A result as it comes back from its file."""
    return as_picture(result.pixels.clamp(0, 1))


def paint_clip(
    painter: ClipPainter | DreamClipPainter, photos: Sequence[Picture]
) -> tuple[list[Picture], list[float]]:
    """All frames of a clip of one shot, and the seconds of every turn."""
    shot = range(len(photos))
    results: dict[int, Picture] = {}
    seconds = []
    for turn in turns_of(shot, painter.video):
        began = time.perf_counter()
        painted = painter.paint(turn, shot, photos.__getitem__, results.__getitem__)
        results[turn.index] = made(painted)
        seconds.append(time.perf_counter() - began)
    return [results[index] for index in shot], seconds


def warping_error(frames: Sequence[Picture], flow: Flow, distance: int) -> float:
    """Mean over pairs of the masked mean squared difference."""
    errors = []
    for index in range(len(frames) - distance):
        found = flow(index, index + distance)
        sure = (found.trust > SURE).float()
        back = warped(frames[index + distance].pixels, found.flow, "bilinear")
        difference = (back - frames[index].pixels).square().mean(1, keepdim=True)
        if sure.sum():
            errors.append(float((difference * sure).sum() / sure.sum()))
    return sum(errors) / len(errors) if errors else math.nan


def sheet_of(rows: Sequence[Sequence[Picture]], target: Path, most: int = 8) -> None:
    """Save a sheet: a row for each clip, with up to so many of its frames."""
    step = max(1, math.ceil(len(rows[0]) / most))
    pixels = torch.cat([picture.pixels for row in rows for picture in row[::step]])
    grid = make_grid(pixels, nrow=len(rows[0][::step]), padding=2)
    as_result(grid[None]).save(target, overwrite=True)


def as_result(pixels: Tensor) -> Result:
    """A picture to save."""
    return Result(pixels, None, {}, False)


def save_frames(frames: Sequence[Picture], folder: Path) -> list[Path]:
    """Write frames as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:04d}.png" for index in range(len(frames))]
    for frame, path in zip(frames, paths, strict=True):
        as_result(frame.pixels).save(path, overwrite=True)
    return paths


def style_distance(judge: Judge, pair: Pair, path: Path) -> float:
    """How far a result is from the style."""
    return judge(pair, path).style


def drift_of(
    frames: Sequence[Picture], paths: Sequence[Path], styles: Callable[[Path], float] | None
) -> str:
    """Mean luma and style distance in the course of a clip."""
    places = [mark - 1 for mark in MARKS if mark <= len(frames)]
    found = []
    for place in places:
        text = f"{float(luma(frames[place].pixels).mean()):.3f}"
        found.append(text if styles is None else f"{text} {styles(paths[place]):.4f}")
    return "".join(f"{each:>16}" for each in found)


def report(clips: dict[str, Sequence[Picture]], flow: Flow, out: Path, style: Path | None) -> None:
    """Print a table with a line for each clip."""
    judge = Judge("vgg19") if style is not None else None
    floors: dict[int, float] = {}
    lines: list[str] = []
    click.echo(f"{'':16}" + "".join(f"{f'd={d}':>12}{'ratio':>8}" for d in DISTANCES) + "   style")
    for name, frames in clips.items():
        paths = save_frames(frames, out / name)
        line = f"{name:16}"
        for distance in DISTANCES:
            error = warping_error(frames, flow, distance)
            if name == "one by one":
                floors[distance] = error
            ratio = error / floors[distance] if distance in floors else math.nan
            line += f"{error:12.6f}{ratio:8.3f}"
        styles: Callable[[Path], float] | None = None
        if judge is not None and style is not None:
            pair = Pair(out / "input" / "0000.png", style)
            styles = partial(style_distance, judge, pair)
            chosen = paths[:: max(1, len(paths) // 4)]
            line += f"  {sum(map(styles, chosen)) / len(chosen):.4f}"
        click.echo(line)
        lines.append(f"{name:16}" + drift_of(frames, paths, styles))
    click.echo("Luma and style distance of frames " + ", ".join(map(str, MARKS)))
    click.echo("\n".join(lines))
    sheet_of(list(clips.values()), out / "sheet.png")


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--style", type=click.Path(path_type=Path), help="Paint; without it, dream.")
@click.option("--photo", type=click.Path(path_type=Path))
@click.option("--move", type=click.Choice(list(MOVES)), default="pan")
@click.option("--clip", type=click.Path(path_type=Path))
@click.option("--start", default=0, help="First frame of the clip.")
@click.option("--frames", default=12)
@click.option("--size", default=256)
@click.option("--video", multiple=True, help="NAME=VALUE of a video setting.")
@click.option("--steps", type=int, help="Steps of a still; by default as many as usual.")
@click.option("--baseline/--no-baseline", default=True, help="Also paint frames one by one.")
def main(  # noqa: PLR0913, PLR0917 (an option each)
    out: Path,
    style: Path | None,
    photo: Path | None,
    move: str,
    clip: Path | None,
    start: int,
    frames: int,
    size: int,
    video: Sequence[str],
    steps: int | None,
    baseline: bool,
) -> None:
    """Compare frames painted one by one with coherent ones."""
    if clip is not None:
        photos = frames_of(clip, start, frames, size)
    else:
        assert photo is not None
        photos = views_of(read_picture(photo), move, frames, size)

    def flow(here: int, there: int) -> Motion:
        if clip is None:
            return exact_flow(move, here, there, photos[0].size)
        return motion(photos[here].pixels, photos[there].pixels)

    chosen = dict(each.split("=") for each in video)
    kinds = {"every": int, "passes": int}
    values = {key: kinds.get(key, float)(value) for key, value in chosen.items()}
    session = Session()

    few = {} if steps is None else {"steps": steps}

    def painter(settings: VideoSettings) -> ClipPainter | DreamClipPainter:
        if style is None:
            return DreamClipPainter(photos[0], DreamSettings(**few), settings, session=session)
        look = TransferSettings(**few)
        return ClipPainter(photos[0], [read_picture(style)], look, settings, session=session)

    clips: dict[str, Sequence[Picture]] = {"input": photos}
    settings = {"coherent": from_document(VideoSettings, values)}
    if baseline:
        settings = {"one by one": VideoSettings(coherence=0)} | settings
    for name, each in settings.items():
        clips[name], seconds = paint_clip(painter(each), photos)
        rest = sum(seconds[1:]) / max(1, len(seconds) - 1)
        click.echo(f"{name}: {seconds[0]:.1f} s the first frame, {rest:.1f} s the others")
    report(clips, flow, out, style)


if __name__ == "__main__":
    main()
