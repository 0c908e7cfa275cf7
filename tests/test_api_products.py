"""The Python functions for films, sheets, replays, inspections and batches."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from click.testing import Result as Invocation
from PIL import Image

import stylize
from stylize.cli.inspect import COMMANDS
from stylize.cli.main import cli
from stylize.errors import (
    CheckpointError,
    InterruptedRunError,
    OutputError,
    PictureError,
    RecipeError,
    SettingError,
    UnknownNameError,
    UsageError,
)
from stylize.images import open as open_module
from stylize.images.atomic import reserved
from stylize.images.read import read_picture
from stylize.optimize.loop import Step
from stylize.optimize.snapshot import SnapshotHooks, TakeSnapshot
from stylize.products.inspect import QUESTIONS
from stylize.products.transfer.transfer import Transfer
from stylize.runs.checkpoint import Request
from stylize.runs.checkpoint import save as save_checkpoint
from stylize.runs.recipe import load_recipe
from stylize.runs.result import Result
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings

FP32: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
QUICK: dict[str, Any] = {"layers": "conv1_2", "steps": 1, "size": 32, **FP32}
FEW: dict[str, Any] = {
    "style_layers": {"relu1_1": 1, "relu2_1": 1},
    "content_layers": {"relu2_2": 1},
}
STYLED: dict[str, Any] = {"size": 32, "min_size": 32, "steps": 2, **FEW, **FP32}
FILM: dict[str, Any] = {**QUICK, "octaves": 1, "frames": 3}

Files = tuple[Path, Path]


def command(*words: object) -> Invocation:
    try:
        return CliRunner().invoke(cli, [str(word) for word in words], prog_name="stylize")
    finally:
        torch.set_flush_denormal(False)  # a command sets it for its own process


def test_a_tunnel_writes_a_film_and_keeps_no_frames(files: Files, tmp_path: Path) -> None:
    numbers: list[int] = []
    film = stylize.tunnel(files[0], tmp_path / "film.gif", progress=numbers.append, **FILM)
    assert numbers == [1, 2, 3]
    with Image.open(film) as image:
        assert (image.n_frames, image.size) == (3, (32, 32))
    assert load_recipe(film)["settings"]["frames"] == 3
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "film.gif",
        "photo.png",
        "strokes.png",
    ]
    with pytest.raises(OutputError, match=r"film.gif already exists \(overwrite=True replaces it"):
        stylize.tunnel(files[0], film, **FILM)
    assert stylize.tunnel(files[0], film, overwrite=True, **FILM | {"seed": 1}) == film


def test_a_picture_has_a_film_of_its_growth(files: Files, tmp_path: Path) -> None:
    film, steps = tmp_path / "steps.gif", []
    result = stylize.transfer(*files, film=film, progress=steps.append, **STYLED)
    with Image.open(film) as image:
        assert (image.n_frames, image.size) == (len(steps) + 1, (32, 32))
    assert load_recipe(film)["settings"] == result.recipe["settings"]
    assert torch.equal(result.pixels, stylize.transfer(*files, **STYLED).pixels)
    with pytest.raises(OutputError, match=r"steps.gif already exists \(overwrite=True replaces it"):
        stylize.dream(files[0], film=film, **QUICK)
    stylize.dream(files[0], film=str(film), overwrite=True, **QUICK | {"octaves": 1})
    with Image.open(film) as image:
        assert image.n_frames == 2
    with pytest.raises(OutputError, match="no animation format"):
        stylize.dream(files[0], film="steps.avi", **QUICK)


def test_a_film_that_fails_does_not_lose_the_picture(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()

    def remove(step: Step) -> None:
        if folder.exists():
            folder.rmdir()

    result = stylize.dream(files[0], film=folder / "steps.gif", progress=remove, **QUICK)
    assert result.notes[-1].startswith(f"film: cannot write {folder / 'steps.gif'}")


def test_a_tunnel_that_was_stopped_goes_on_where_it_was(files: Files, tmp_path: Path) -> None:
    whole = stylize.tunnel(files[0], tmp_path / "whole.apng", **FILM)
    done: list[int] = []
    film = tmp_path / "film.apng"
    with pytest.raises(InterruptedRunError, match=r"after 2 of 3 frames \(the same call continues"):
        stylize.tunnel(files[0], film, progress=done.append, stop=lambda: len(done) == 2, **FILM)
    assert len(list((tmp_path / "film.apng.frames").glob("*.png"))) == 2
    with pytest.raises(OutputError, match=r"frames of another film.*overwrite=True"):
        stylize.tunnel(files[0], film, **FILM | {"seed": 1})
    calls: list[int] = []
    stylize.tunnel(files[0], film, progress=calls.append, **FILM)
    assert calls == [2, 3]
    assert film.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "film.apng.frames").exists()


def test_an_interrupted_tunnel_keeps_its_frames(files: Files, tmp_path: Path) -> None:
    def interrupt(number: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize.tunnel(files[0], tmp_path / "film.gif", progress=interrupt, **FILM)
    assert len(list((tmp_path / "film.gif.frames").glob("*.png"))) == 2
    with redirect_stderr(io.StringIO()) as bar:
        stylize.tunnel(files[0], tmp_path / "film.gif", progress=True, **FILM)
    assert "3/3" in bar.getvalue()


def test_a_replay_gives_the_same_pixels_and_may_have_another_size(
    files: Files, tmp_path: Path
) -> None:
    result = stylize.transfer(files[0], files[1], **STYLED)
    result.save(tmp_path / "out.png")
    found = stylize.replay(tmp_path / "out.png")
    assert torch.equal(found.pixels, result.pixels)
    assert found.recipe == result.recipe
    larger = stylize.replay(str(tmp_path / "out.png"), size=(48, 48), threads=1)
    assert larger.pixels.shape == (1, 3, 48, 48)


def test_a_replay_may_have_other_settings_and_inputs(files: Files, tmp_path: Path) -> None:
    stylize.transfer(files[0], files[1], **STYLED).save(tmp_path / "out.png")
    changed = stylize.replay(tmp_path / "out.png", content_weight=np.float32(0.5), seed=2)
    direct = stylize.transfer(files[0], files[1], content_weight=0.5, seed=2, **STYLED)
    assert torch.equal(changed.pixels, direct.pixels)
    assert changed.recipe == direct.recipe
    other = np.asarray(Image.open(files[1]))[:, ::-1]
    swapped = stylize.replay(tmp_path / "out.png", content=files[1], style=[files[0], other])
    direct = stylize.transfer(files[1], [files[0], other], **STYLED)
    assert torch.equal(swapped.pixels, direct.pixels)
    for changes, words in [
        ({"octaves": 3}, "unknown setting 'octaves'"),
        ({"content_weight": -1}, "^content_weight: -1 is too small"),
        ({"threads": 0}, "^threads: 0"),
    ]:
        with pytest.raises(UsageError, match=words):
            stylize.replay(tmp_path / "out.png", **changes)
    stylize.dream(files[0], **QUICK).save(tmp_path / "dream.png")
    with pytest.raises(UsageError, match=r"^style: the recipe has no style image"):
        stylize.replay(tmp_path / "dream.png", style=files[1])


def test_a_result_is_a_preset(files: Files, tmp_path: Path) -> None:
    stylize.transfer(files[0], files[1], content_weight=0.5, **STYLED).save(tmp_path / "out.png")
    found = stylize.transfer(files[1], files[0], preset=tmp_path / "out.png", **FP32)
    direct = stylize.transfer(files[1], files[0], content_weight=0.5, **STYLED)
    assert torch.equal(found.pixels, direct.pixels)
    noise = {"from_noise": "40x32", "octaves": 1, "layers": "conv1_2", "steps": 1, **FP32}
    stylize.dream(**noise).save(tmp_path / "noise.png")
    dreamt = stylize.dream(files[0], preset=str(tmp_path / "noise.png"), **QUICK)
    assert dreamt.recipe["settings"]["octaves"] == 1
    with pytest.raises(UsageError, match=r"preset: noise\.png was not made by 'stylize transfer'"):
        stylize.transfer(files[0], files[1], preset=str(tmp_path / "noise.png"))
    with pytest.raises(RecipeError, match="carries no recipe"):
        stylize.dream(files[0], preset=str(files[1]))


def test_a_replay_says_what_it_lacks(files: Files, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="recipe"):
        stylize.replay(files[0])
    with pytest.raises(PictureError, match=r"gone\.png"):
        stylize.replay("gone.png")
    array = np.asarray(Image.open(files[0]))
    stylize.dream(array, **QUICK).save(tmp_path / "array.png")
    with pytest.raises(RecipeError) as caught:
        stylize.replay(tmp_path / "array.png")
    assert "--" not in str(caught.value)
    found = stylize.replay(tmp_path / "array.png", inputs=[files[0]], substitute=True)
    assert torch.equal(found.pixels, stylize.dream(array, **QUICK).pixels)


def test_a_sheet_of_two_settings_has_columns_and_rows(files: Files, tmp_path: Path) -> None:
    labels: list[str] = []
    sheet = stylize.explore(
        files[0],
        files[1],
        vary={"content_weight": np.array([0.01, 0.5]), "style_size": [32, 64]},
        settings={"steps": 1, "min_size": 32, **FEW},
        size=32,
        progress=labels.append,
        **FP32,
    )
    assert labels == [
        "content_weight 0.01 · style_size 32",
        "content_weight 0.5 · style_size 32",
        "content_weight 0.01 · style_size 64",
        "content_weight 0.5 · style_size 64",
    ]
    sheet.save(tmp_path / "sheet.png")
    cell = stylize.replay(tmp_path / "sheet.png", cell="B2")
    wanted = {"content_weight": 0.5, "style_size": 64, "steps": 1}
    direct = stylize.transfer(*files, size=32, min_size=32, **FEW, **wanted, **FP32)
    assert torch.equal(cell.pixels, direct.pixels)
    with pytest.raises(RecipeError, match="choose with cell: A1"):
        stylize.replay(tmp_path / "sheet.png")


def test_a_sheet_of_presets_shows_those_that_differ(files: Files) -> None:
    labels: list[str] = []
    steps: Any = {"steps": 1, "final_steps": 1, "min_size": 32, "size_ratio": 2}
    stylize.explore(
        files[0],
        files[1],
        presets=["balanced", "draft", "bold"],  # of equal steps, a draft is the default
        settings=steps,
        size=32,
        columns=1,
        progress=labels.append,
        **FP32,
    )
    assert labels == ["balanced", "bold"]


def test_a_sheet_without_a_style_is_of_dreams(files: Files) -> None:
    labels: list[str] = []
    sheet = stylize.explore(
        np.asarray(Image.open(files[0])),
        vary={"layers": ["conv1_2", "conv2_1"]},
        presets=["dogs", "eyes"],
        settings={"steps": 1, "octaves": 1},
        size=32,
        progress=labels.append,
        **FP32,
    )
    assert sheet.recipe["of"] == "dream"
    assert labels[0] == "dogs · layers conv1_2"
    assert len(labels) == 4


def test_a_sheet_of_several_styles_has_rows_for_each(files: Files) -> None:
    labels: list[str] = []
    sheet = stylize.explore(
        files[0],
        [files[1], files[0]],
        presets=["bold"],
        settings={"steps": 1, "min_size": 32},
        size=32,
        progress=labels.append,
        **FP32,
    )
    assert labels == ["bold · strokes", "bold · photo"]
    assert [each["role"] for each in sheet.recipe["inputs"]] == ["content", "style", "style"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"vary": {"strength": [1], "octaves": [1], "steps": [1]}}, SettingError, "one or two"),
        ({"vary": {"strenght": [1]}}, UnknownNameError, "did you mean strength"),
        ({"vary": {"strength": [1, -1]}}, SettingError, "^strength: -1 is too small"),
        ({"vary": {"strength": []}}, SettingError, "^strength: no values"),
        ({"vary": {"strength": 3}}, SettingError, "^strength: 3 is not a list of values"),
        ({"vary": {"layers": "conv1_2"}}, SettingError, "is not a list of values"),
        ({"vary": {"layers": ["conv9_9"]}}, UsageError, "conv9_9"),
        ({"presets": ["dgos"]}, UnknownNameError, "did you mean dogs"),
        ({"columns": 0}, SettingError, "^columns: 0"),
        ({"settings": {"size": 64}}, SettingError, "^settings: size is a parameter of its own"),
    ],
)
def test_sheets_that_make_no_sense(
    files: Files, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        stylize.explore(files[0], size=32, **options, **FP32)


def stopped(files: Files, checkpoint: Path) -> Result:
    """A run that was stopped after its third step; its state is in the checkpoint."""
    layers: dict[str, Any] = {name: tuple(each.items()) for name, each in FEW.items()}
    settings = TransferSettings(size="32", min_size=32, steps=6, tolerance=0, **layers)
    job = Transfer(read_picture(files[0]), [read_picture(files[1])], settings, Execution(**FP32))
    done: list[Step] = []

    def keep(take: TakeSnapshot, last: bool) -> None:
        if last:
            save_checkpoint(checkpoint, take(), Request(None, None, "8", 95, False, 10**6, 5.0))

    return job.run(done.append, lambda: len(done) >= 3, SnapshotHooks(keep))


def test_a_run_that_was_stopped_is_resumed(files: Files, tmp_path: Path) -> None:
    checkpoint = tmp_path / "out.checkpoint"
    assert stopped(files, checkpoint).interrupted
    steps: list[int] = []
    found = stylize.resume(str(checkpoint), progress=lambda step: steps.append(step.step))
    whole = stylize.transfer(*files, size=32, min_size=32, steps=6, tolerance=0, **FEW, **FP32)
    assert steps == [4, 5, 6]
    assert torch.equal(found.pixels, whole.pixels)
    assert found.recipe == whole.recipe
    assert checkpoint.exists()


def test_a_run_is_resumed_with_the_pixel_limit_it_began_with(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "out.checkpoint"
    assert stopped(files, checkpoint).interrupted
    monkeypatch.setitem(open_module._limit, "max_pixels", 100)
    with pytest.raises(PictureError, match="use a smaller one") as caught:
        stylize.transfer(*files, **FP32)
    assert "max" not in str(caught.value)
    assert not stylize.resume(checkpoint).interrupted


def test_a_run_is_not_resumed_without_its_inputs(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests have opened pictures with the same content.
    monkeypatch.setattr("stylize.runs.inputs.cache_directory", lambda: tmp_path)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    stopped(files, folder / "out.checkpoint")
    files[1].write_bytes(b"another")
    with pytest.raises(RecipeError, match=r"strokes.png") as caught:
        stylize.resume(folder / "out.checkpoint", inputs=[files[0]])
    assert "--" not in str(caught.value)
    with pytest.raises(CheckpointError, match=r"photo.png"):
        stylize.resume(files[0])


def test_python_asks_what_the_commands_ask() -> None:
    assert list(QUESTIONS) == list(COMMANDS)


def test_a_report_is_a_page(files: Files, tmp_path: Path) -> None:
    found = stylize.inspect("report", files[0], size=64, steps=1, samples=1, channels=1, **FP32)
    assert found.save(tmp_path / "lesson.html") == tmp_path / "lesson.html"
    assert (tmp_path / "lesson.html").read_text("utf-8").startswith("<!doctype html>")


def test_saliency_is_what_the_command_says(files: Files, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {"size": 64, "target": "conv3_1", "method": "guided"}
    found = stylize.inspect("saliency", files[0], **wanted, **FP32)
    words = ["inspect", "saliency", str(files[0]), "conv3_1", "--method", "guided", "--size", "64"]
    words += ["--device", "cpu", "--precision", "fp32", "--json", "-o", str(tmp_path / "out.png")]
    printed = command(*words)
    assert printed.exit_code == 0, printed.stderr
    document = json.loads(printed.stdout)
    assert {key: document[key] for key in found.numbers} == found.numbers
    assert document["recipe"] == found.recipe
    shown = read_picture(tmp_path / "out.png").pixels
    assert torch.allclose(shown, found.pixels, atol=0.5 / 255 + 1e-6)
    assert np.array_equal(np.asarray(found), found.pixels[0].permute(1, 2, 0).numpy())
    assert np.array_equal(np.asarray(found.to_pil()), np.asarray(Image.open(tmp_path / "out.png")))
    assert repr(found) == "<Finding of inspect saliency, 64×64 px>"
    assert found._repr_png_().startswith(b"\x89PNG")


def test_an_inspection_takes_what_its_question_needs(files: Files, tmp_path: Path) -> None:
    array = np.asarray(Image.open(files[0]))
    settings: dict[str, Any] = {"size": 64, "target": "conv2_1", **FP32}
    like = stylize.inspect("saliency", array, like=array, **settings)
    assert [each["role"] for each in like.recipe["inputs"]] == ["content", "like"]
    assert stylize.inspect("filters", count=3).numbers["filters"] == 64
    steps: list[tuple[int, int]] = []
    grown = stylize.inspect(
        "feature",
        target="conv2_1",
        direction=[array],
        steps=2,
        size=64,
        progress=lambda *step: steps.append(step),
        **FP32,
    )
    assert steps == [(1, 2), (2, 2)]
    assert [each["role"] for each in grown.recipe["inputs"]] == ["direction"]
    dreamt = stylize.dream(grown, **QUICK)
    assert dreamt.pixels.shape == (1, 3, 32, 32)


def test_an_inspection_of_a_folder_saves_its_list_too(files: Files, tmp_path: Path) -> None:
    target = tmp_path / "pages" / "page.png"
    target.parent.mkdir()
    found = stylize.inspect("patches", files[0].parent, channels="relu1_1:3", size=64, **FP32)
    assert found.save(target) == target
    assert len((target.parent / "page.png.sha256").read_text().splitlines()) == 2
    target.unlink()
    with pytest.raises(OutputError, match=r"page.png.sha256 already exists"):
        found.save(target)
    assert not target.exists()
    found.save(target, overwrite=True)


@pytest.mark.parametrize(
    ("words", "options", "error", "complaint"),
    [
        ("salience", {}, UnknownNameError, "unknown question 'salience'.*did you mean saliency"),
        ("saliency", {"methode": "guided"}, UnknownNameError, "did you mean method"),
        ("saliency", {"photo": None}, UsageError, "'saliency' needs a photo"),
        ("filters", {}, UsageError, "'filters' takes no photo"),
        ("patches", {"photo": np.zeros((8, 8))}, UsageError, "'patches' needs a folder"),
        ("invert", {"like": "a.png"}, UsageError, "'invert' takes no like"),
        ("saliency", {"noise": 0.1}, SettingError, "^noise makes no difference with method"),
        ("saliency", {"target": "conv9_1"}, UsageError, "conv9_1"),
        ("saliency", {"category": "cat", "at": "3,4"}, SettingError, "^category cannot be"),
        ("saliency", {"photo": "gone.png"}, PictureError, "gone.png"),
    ],
)
def test_inspections_that_make_no_sense(
    files: Files, words: str, options: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint) as caught:
        stylize.inspect(words, **{"photo": files[0]} | options)
    assert "--" not in str(caught.value)


def test_python_replaces_nothing_that_appears(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, film = os.link, tmp_path / "film.gif"
    with (
        reserved(tmp_path / "film.gif.frames"),
        pytest.raises(OutputError, match="another run is making"),
    ):
        stylize.tunnel(files[0], film, **FILM)
    taken = [film, tmp_path / "out" / "photo.png"]

    def late(source: Any, target: Any, **options: Any) -> None:
        if Path(target) in taken and not Path(target).exists():
            Path(target).write_bytes(b"theirs")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", late)
    assert stylize.tunnel(files[0], film, **FILM) == tmp_path / "film-2.gif"
    settings: Any = {"size": 32, "steps": 1, "layers": "conv1_2"}
    (found,) = stylize.batch(files[0], tmp_path / "out", settings=settings, **FP32)
    assert found.status == "failed"
    assert str(found.error).endswith(
        "the picture was saved as " + str(tmp_path / "out/photo-2.png")
    )
    assert [each.read_bytes() for each in taken] == [b"theirs"] * 2


def test_a_batch_makes_each_picture_once(files: Files, tmp_path: Path) -> None:
    photos, output = tmp_path / "in", tmp_path / "out"
    photos.mkdir()
    for name in ("a.png", "b.png"):
        files[0].rename(photos / name) if name == "b.png" else Image.open(files[0]).save(
            photos / name
        )
    (photos / "c.png").write_bytes(b"no picture")
    wanted: Any = {"size": 32, "min_size": 32, "steps": 1}
    seen: list[Any] = []
    found = stylize.batch(
        photos, output, style=files[1], settings=wanted, progress=seen.append, **FP32
    )
    assert sorted((each.task.source.name, each.status) for each in found) == [
        ("a.png", "done"),
        ("b.png", "done"),
        ("c.png", "failed"),
    ]
    assert seen == found
    direct = stylize.transfer(photos / "a.png", files[1], **wanted, **FP32)
    assert load_recipe(output / "a.png") == direct.recipe
    again = stylize.batch(photos, output, style=files[1], settings=wanted, **FP32)
    assert sorted(each.status for each in again) == ["failed", "skipped", "skipped"]
    assert repr(again[0]) == f"<Outcome {output / 'a.png'} skipped>"
    status = command("batch", "status", str(output))
    assert "2" in status.stdout


def test_a_batch_of_dreams_is_stopped(files: Files, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert stylize.batch([str(files[0])], output, stop=lambda: True, **FP32) == []
    settings: Any = {"size": 32, "steps": 1, "layers": "conv1_2"}
    (found,) = stylize.batch([files[0]], output, settings=settings, suffix="jpg", **FP32)
    assert (found.task.target, found.status) == (output / "photo.jpg", "done")
    other: Any = settings | {"steps": 2}
    (found,) = stylize.batch([files[0]], output, settings=other, suffix=".jpg", **FP32)
    assert (found.task.target, found.status) == (output / "photo.jpg", "failed")
    assert (
        found.error == f"another picture is at {output / 'photo.jpg'} (overwrite=True replaces it)"
    )


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"suffix": "bmp"}, OutputError, "no picture format"),
        ({"settings": {"from_noise": "32x32"}}, SettingError, "^from_noise cannot be used"),
        ({"settings": {"strenght": 3}}, UnknownNameError, "did you mean strength"),
        ({"preset": "dgos"}, UnknownNameError, "did you mean dogs"),
        ({"style": "gone.png"}, PictureError, "gone.png"),
        ({"photos": "gone/"}, PictureError, "gone"),
    ],
)
def test_batches_that_make_no_sense_leave_no_folder(
    files: Files, tmp_path: Path, options: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint) as caught:
        stylize.batch(**{"photos": files[0], "output": tmp_path / "out", **FP32} | options)
    assert "--" not in str(caught.value)
    assert not (tmp_path / "out").exists()
