"""``stylize transfer``: where pictures come from, where they go, which settings hold."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from stylize.images.read import read_picture
from stylize.runs.recipe import load_recipe
from stylize.settings.presets import find_preset, read_preset
from stylize.settings.transfer import TransferSettings
from tests.cli.conftest import QUICK, Run, Sketch, complaint, listing, size_of
from tests.conftest import photo, save

Files = tuple[Path, Path]


class TestPainting:
    """A few runs with the real network."""

    def test_a_picture_with_its_recipe(self, run: Run, files: Files, tmp_path: Path) -> None:
        out = tmp_path / "out.png"
        result = run("transfer", *files, *QUICK, "-o", out, "--seed", 5)
        assert result.exit_code == 0, result.stderr
        assert result.stdout == ""
        assert result.stderr.startswith(f"saved {out} (32×32, ")
        recipe = load_recipe(out)
        assert recipe["settings"]["seed"] == 5
        assert recipe["resolved"]["scales"] == [[32, 32, 2]]
        assert not recipe["interrupted"]
        assert size_of(out) == (32, 32)
        pixels = read_picture(out).pixels
        assert float((pixels - photo(32, 32)).abs().mean()) > 0.005, "nothing was painted"

    def test_json_lines(self, run: Run, files: Files, tmp_path: Path) -> None:
        out = tmp_path / "out.png"
        result = run("transfer", *files, *QUICK, "-o", out, "--json")
        assert result.stderr == ""
        events = [json.loads(line) for line in result.stdout.splitlines()]
        assert [each["event"] for each in events] == ["start", "step", "step", "done"]
        events = events[1:]
        assert [each["step"] for each in events[:2]] == [1, 2]
        assert events[0]["size"] == [32, 32]
        for each in events[:2]:
            assert each["total"] == pytest.approx(sum(each["losses"].values()), rel=1e-4)
        assert events[2]["file"] == str(out)
        assert events[2]["recipe"] == load_recipe(out)
        assert events[2]["seconds"] > 0

    def test_from_stdin_to_stdout(self, run: Run, files: Files, tmp_path: Path) -> None:
        before = listing(tmp_path)
        words = ("transfer", "-", files[1], *QUICK, "-o", "-", "--format", "jpeg")
        result = run(*words, input=files[0].read_bytes())
        assert result.exit_code == 0, result.stderr
        assert result.stderr == ""
        with Image.open(io.BytesIO(result.stdout_bytes)) as image:
            assert (image.format, image.size) == ("JPEG", (32, 32))
        recipe = load_recipe(result.stdout_bytes)
        assert [each["name"] for each in recipe["inputs"]] == ["stdin", "strokes.png"]
        assert listing(tmp_path) == before

    def test_a_start_of_ones_own(self, run: Run, files: Files, tmp_path: Path) -> None:
        out = tmp_path / "out.png"
        result = run("transfer", *files, *QUICK, "--init", files[1], "-o", out)
        assert result.exit_code == 0, result.stderr
        recipe = load_recipe(out)
        assert recipe["settings"]["init"] == "file"
        assert recipe["inputs"][2]["name"] == "strokes.png"


class TestOutput:
    """Where the picture goes."""

    def test_beside_the_content_under_the_next_free_name(
        self, run: Run, sketch: type[Sketch], files: Files
    ) -> None:
        for name in ("photo-strokes.png", "photo-strokes-2.png", "photo-strokes-3.png"):
            result = run("transfer", *files)
            assert (files[0].parent / name).exists()
            assert result.stderr.startswith(f"saved {files[0].parent / name} (64×48, ")

    def test_into_a_folder(
        self, run: Run, sketch: type[Sketch], files: Files, tmp_path: Path
    ) -> None:
        folder = tmp_path / "results"
        folder.mkdir()
        run("transfer", *files, "-o", folder)
        run("transfer", *files, files[0], "-o", f"{folder}/")
        assert [path.name for path in sorted(folder.iterdir())] == [
            "photo-strokes-photo.png",
            "photo-strokes.png",
        ]

    def test_from_stdin_into_the_working_folder(
        self,
        run: Run,
        sketch: type[Sketch],
        files: Files,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        result = run("transfer", "-", files[1], input=files[0].read_bytes())
        assert result.stderr.startswith("saved strokes.png (")
        assert Path("strokes.png").exists()

    @pytest.mark.parametrize(
        ("name", "format"),
        [("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP"), ("a.avif", "AVIF")],
    )
    def test_the_suffix_decides(
        self, run: Run, sketch: type[Sketch], files: Files, tmp_path: Path, name: str, format: str
    ) -> None:
        assert run("transfer", *files, "-o", tmp_path / name).exit_code == 0
        with Image.open(tmp_path / name) as image:
            assert image.format == format

    def test_stdout_is_png_unless_said_otherwise(
        self, run: Run, sketch: type[Sketch], files: Files
    ) -> None:
        for words, magic in [((), b"\x89PNG"), (("--format", "tiff"), b"II*\0")]:
            assert run("transfer", *files, "-o", "-", *words).stdout_bytes.startswith(magic)

    def test_quality(self, run: Run, sketch: type[Sketch], files: Files, tmp_path: Path) -> None:
        tables = []
        for quality in (20, 90):
            run("transfer", *files, "-o", tmp_path / f"{quality}.jpg", "--quality", quality)
            with Image.open(tmp_path / f"{quality}.jpg") as image:
                tables.append(sum(image.quantization[0]))
        assert tables[0] > 3 * tables[1]

    @pytest.mark.parametrize("name", ["deep.png", "deep.tiff"])
    def test_sixteen_bits(
        self, run: Run, sketch: type[Sketch], files: Files, tmp_path: Path, name: str
    ) -> None:
        assert run("transfer", *files, "-o", tmp_path / name, "--depth", 16).exit_code == 0
        if name == "deep.png":
            assert (tmp_path / name).read_bytes()[24] == 16
            return
        # Half grey is between two levels of 8 bits.
        assert float(read_picture(tmp_path / name).pixels.mean()) == pytest.approx(0.5, abs=1e-4)

    def test_an_existing_file_needs_overwrite(
        self, run: Run, sketch: type[Sketch], files: Files, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.png"
        out.write_text("precious")
        line = complaint(run("transfer", *files, "-o", out), 1)
        assert line == f"{out} already exists (replace it with --overwrite)"
        assert out.read_text() == "precious"
        assert run("transfer", *files, "-o", out, "--overwrite").exit_code == 0
        assert size_of(out) == (64, 48)

    @pytest.mark.parametrize("which", [0, 1])
    def test_never_onto_an_input(
        self, run: Run, sketch: type[Sketch], files: Files, tmp_path: Path, which: int
    ) -> None:
        before = listing(tmp_path)
        result = run("transfer", *files, "-o", files[which], "--overwrite")
        assert "is an input of this run" in complaint(result, 1)
        start = save(photo(), tmp_path / "start.png")
        result = run("transfer", *files, "--init", start, "-o", start, "--overwrite")
        assert "is an input of this run" in complaint(result, 1)
        start.unlink()
        assert listing(tmp_path) == before


class TestPresets:
    """Flags over preset over defaults."""

    def test_flags_beat_the_preset(
        self, run: Run, sketch: type[Sketch], files: Files, tmp_path: Path
    ) -> None:
        preset = tmp_path / "mine.toml"
        preset.write_text("[settings]\nsteps = 7\nseed = 8\nstyle_layers = { relu3_1 = 2 }\n")
        assert run("transfer", *files, "--preset", preset, "--seed", 9).exit_code == 0
        job = sketch.made[-1]
        assert job.settings == TransferSettings(steps=7, seed=9, style_layers=(("relu3_1", 2),))
        assert job.preset == "mine"

    def test_by_name(self, run: Run, sketch: type[Sketch], files: Files) -> None:
        run("transfer", *files, "--preset", "bold")
        assert sketch.made[-1].settings == find_preset("transfer", "bold").apply()
        assert sketch.made[-1].preset == "bold"
        run("transfer", *files)
        assert sketch.made[-1].preset is None

    def test_saved_and_used_again(
        self, run: Run, sketch: type[Sketch], files: Files, tmp_path: Path
    ) -> None:
        preset = tmp_path / "My Löök 2.toml"
        words = ["--content-layers", "relu3_1:0.3", "--steps", 12, "--smoothness", 1e-9]
        words += ["--preset", "bold", "--style-weight", 2, "--init", "noise", "--save-preset"]
        assert run("transfer", *files, *words, preset).exit_code == 0
        assert read_preset(preset, "transfer").name == "my-l-k-2"
        assert run("transfer", *files, "--preset", preset).exit_code == 0
        assert sketch.made[1].settings == sketch.made[0].settings != TransferSettings()
        line = complaint(run("transfer", *files, "--save-preset", preset), 1)
        assert line == f"{preset} already exists (replace it with --overwrite)"
        assert run("transfer", *files, "--save-preset", preset, "--overwrite").exit_code == 0
        assert read_preset(preset, "transfer").settings == {}

    def test_a_preset_that_starts_from_a_picture(
        self, run: Run, sketch: type[Sketch], files: Files, tmp_path: Path
    ) -> None:
        preset = tmp_path / "p.toml"
        preset.write_text('[settings]\ninit = "file"\n')
        line = complaint(run("transfer", *files, "--preset", preset), 2)
        assert line == "the preset starts from a picture (name it with --init FILE)"
        run("transfer", *files, "--preset", preset, "--init", files[1])
        assert sketch.made[-1].start is not None
        assert sketch.made[-1].start.name == "strokes.png"


@pytest.mark.parametrize("command", ["transfer", "dream", "tunnel"])
def test_an_empty_file_name_is_refused(run: Run, files: Files, command: str) -> None:
    """An unset variable leaves one; as a path it would be the current folder."""
    inputs = files if command == "transfer" else files[:1]
    failed = run(command, *inputs, "-o", "")
    assert complaint(failed, 2) == "--output is empty (name a file)"
