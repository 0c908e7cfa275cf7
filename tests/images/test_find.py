"""The pictures of a batch, found among everything that a folder can hold."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path, PurePath

import pytest
from PIL import ExifTags, Image, PngImagePlugin

from stylize.errors import PictureError, UsageError
from stylize.images import find as room
from stylize.images.find import Collection, collect, measure, read_list
from stylize.images.read import read_picture
from tests.cli.conftest import program


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(path: str | Path, size: tuple[int, int] = (3, 2), recipe: object = None) -> Path:
    """A PNG of ``(width, height)``; no two have the same bytes."""
    info = PngImagePlugin.PngInfo()
    if recipe is not None:
        info.add_itxt("stylize", json.dumps(recipe))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, "PNG", pnginfo=info)
    return path


def look(*inputs: object, recursive: bool = False, output: str = "out", **extra) -> Collection:
    return collect(
        [str(each) for each in inputs], recursive=recursive, output=Path(output), **extra
    )


def names(collection: Collection) -> list[str]:
    return [each.relative.as_posix() for each in collection.found]


def reasons(collection: Collection) -> dict[str, str]:
    return {path.as_posix(): reason for path, reason in collection.skipped}


class TestInputs:
    def test_a_file_is_called_by_its_name(self, here: Path) -> None:
        path = picture("photos/2024/a.png")
        (found,) = look(path).found
        assert (found.path, found.relative) == (path, PurePath("a.png"))
        assert (found.size, found.problem) == ((2, 3), None)

    def test_a_folder_and_below(self, here: Path) -> None:
        for name in ("a10.png", "a2.PNG", "sub/b.jpeg", "sub/deep/c.tiff"):
            picture(f"photos/{name}")
        flat = look("photos")
        assert names(flat) == ["a2.PNG", "a10.png"]
        assert reasons(flat) == {"photos/sub": room.BELOW}
        deep = look("photos", recursive=True)
        assert names(deep) == ["a2.PNG", "a10.png", "sub/b.jpeg", "sub/deep/c.tiff"]
        assert deep.skipped == []
        assert [each.path for each in deep.found] == [
            Path("photos", each.relative) for each in deep.found
        ]

    def test_the_current_folder(self, here: Path) -> None:
        picture("a.png")
        assert names(look(".")) == names(look("./")) == names(look(here)) == ["a.png"]

    def test_folders_do_not_mix(self, here: Path) -> None:
        for folder in ("x/pics", "y/Pics", "z"):
            picture(f"{folder}/a.png")
        expected = {"pics": "x/pics/a.png", "Pics-2": "y/Pics/a.png", "z": "z/a.png"}
        for order in (["x/pics", "y/Pics", "z"], ["z", "y/Pics", "x/pics", "./z"]):
            found = {each.relative.parent.as_posix(): each for each in look(*order).found}
            assert {name: each.path.as_posix() for name, each in found.items()} == expected

    def test_a_folder_and_a_file(self, here: Path) -> None:
        picture("photos/a.png")
        assert names(look("photos", picture("b.png"))) == ["a.png", "b.png"]

    @pytest.mark.parametrize(
        ("pattern", "recursive", "expected"),
        [
            ("photos/*.png", False, ["a1.png", "a3.png"]),
            ("photos/a[12].png", False, ["a1.png"]),
            ("photos/**/*.png", False, ["a1.png", "a3.png", "s/b.png", "s/t/c.png"]),
            ("photos/**", False, ["a1.png", "a3.png", "s/b.png", "s/t/c.png"]),
            ("photos/*", False, ["a1.png", "a3.png", "s/b.png"]),
            ("ph*", False, ["photos/a1.png", "photos/a3.png"]),
            ("ph*/s", True, ["photos/s/b.png", "photos/s/t/c.png"]),
            ("**/c.*", False, ["photos/s/t/c.png"]),
        ],
    )
    def test_patterns(self, here: Path, pattern: str, recursive: bool, expected: list[str]) -> None:
        for name in ("a1.png", "a3.png", "s/b.png", "s/t/c.png"):
            picture(f"photos/{name}")
        found = look(pattern, recursive=recursive)
        assert names(found) == expected
        assert found.skipped == []
        absolute = look(here / pattern, recursive=recursive)
        assert names(absolute) == expected

    def test_a_name_that_looks_like_a_pattern(self, here: Path) -> None:
        picture("a[1].png")
        picture("a1.png")
        assert names(look("a[1].png")) == ["a[1].png"]
        os.remove("a[1].png")
        assert names(look("a[1].png")) == ["a1.png"]

    @pytest.mark.parametrize("pattern", ["*.jpg", "gone/*", "a.png/*", "**/b.png", "a\0*"])
    def test_a_pattern_that_matches_nothing(self, here: Path, pattern: str) -> None:
        picture("a.png")
        with pytest.raises(UsageError, match="nothing matches"):
            look(pattern)

    @pytest.mark.parametrize("name", ["gone.png", "", "gone\n.png", "a\0b"])
    def test_no_such_file(self, here: Path, name: str) -> None:
        with pytest.raises(PictureError, match=r"^[^\n]+: there is no such file$"):
            look(name)

    def test_no_file_at_all(self, here: Path) -> None:
        assert look() == Collection([], [])

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe")
    def test_pipes_are_not_opened(self, here: Path) -> None:
        os.mkfifo("pipe.png")
        assert reasons(look(".")) == {"pipe.png": room.IRREGULAR}
        with pytest.raises(PictureError, match=r"^pipe\.png is not a regular file$"):
            look("pipe.png")

    def test_a_list_names_paths_alone(self, here: Path) -> None:
        picture("photos/#1.png")
        picture("b.png")
        listed = read_list("# mine\n\nphotos\r\nb.png\n")
        assert names(look(listed=listed)) == ["#1.png", "b.png"]
        with pytest.raises(PictureError, match=r"\*\.png: there is no such file"):
            look(listed=["*.png"])


class TestReadList:
    def test_lines(self) -> None:
        text = "\ufeffa.png\r\n\n  \n# no\n./#1.png\n b .png \nx\u2028y\n"
        assert read_list(text) == ["a.png", "./#1.png", " b .png ", "x\u2028y"]

    def test_between_nul_characters_all_is_name(self) -> None:
        assert read_list("a\nb.png\0# 1\0\0c.png\0") == ["a\nb.png", "# 1", "c.png"]

    def test_nothing(self) -> None:
        assert read_list("") == read_list("\n") == []


class TestSkipped:
    def test_by_name(self, here: Path) -> None:
        picture(".hidden.png")
        picture(".git/a.png")
        picture("noext")
        Path("notes.txt").write_text("no picture")
        found = look(".", recursive=True)
        assert found.found == []
        assert reasons(found) == {
            ".git": room.HIDDEN,
            ".hidden.png": room.HIDDEN,
            "noext": room.NO_PICTURE,
            "notes.txt": room.NO_PICTURE,
        }

    def test_what_is_named_is_taken(self, here: Path) -> None:
        Path("notes.txt").write_text("no picture")
        hidden, ours = picture(".h.png"), picture("ours.png", recipe={"tool": "stylize"})
        found = look(".", hidden, ours, "notes.txt")
        assert names(found) == [".h.png", "notes.txt", "ours.png"]
        assert set(reasons(found).values()) == {room.TAKEN}
        broken = found.found[1]
        assert broken.size is None
        assert broken.problem is not None
        assert broken.problem.startswith("notes.txt is not a picture this program reads")

    def test_our_own_pictures(self, here: Path) -> None:
        for name, recipe in {
            "ours": {"tool": "stylize", "schema": 99},
            "other": {"tool": "camera"},
            "odd": ["tool"],
        }.items():
            picture(f"{name}.png", recipe=recipe)
        for found in (look("."), look("*.png")):
            assert names(found) == ["odd.png", "other.png"]
            assert reasons(found) == {"ours.png": room.MADE_HERE}

    @pytest.mark.parametrize("where", ["photos", "photos/**/*.png"])
    def test_the_output_inside_an_input(self, here: Path, where: str) -> None:
        picture("photos/a.png")
        picture("photos/out/a.png")
        picture("photos/out/deep/a.png")
        picture("photos/outside/a.png")
        found = look(where, recursive=True, output="photos/x/../out")
        assert names(found) == ["a.png", "outside/a.png"]
        if where == "photos":
            assert reasons(found) == {"photos/out": room.OUTPUT}

    def test_links_into_the_output(self, here: Path) -> None:
        picture("out/a.png")
        picture("photos/b.png")
        Path("photos/a.png").symlink_to(here / "out/a.png")
        Path("photos/to").symlink_to(here / "out")
        found = look("photos", recursive=True)
        assert names(found) == ["b.png"]
        assert set(reasons(found).values()) == {room.OUTPUT}

    @pytest.mark.parametrize("output", ["photos", "."])
    def test_an_input_in_the_output_is_searched(self, here: Path, output: str) -> None:
        picture("photos/a.png")
        picture("photos/sub/b.png")
        found = look("photos", recursive=True, output=output)
        assert names(found) == ["a.png", "sub/b.png"]

    def test_a_file_named_twice(self, here: Path) -> None:
        path = picture("photos/a.png")
        found = look("photos", path, "photos/./a.png", "photos/*.png")
        assert names(found) == ["a.png"]
        assert [reason for _, reason in found.skipped] == [room.TAKEN] * 3

    @pytest.mark.parametrize("order", [["photos", "photos/sub"], ["photos/sub", "photos"]])
    def test_a_folder_in_a_folder(self, here: Path, order: list[str]) -> None:
        picture("photos/sub/a.png")
        found = look(*order, recursive=True)
        assert [each.path.as_posix() for each in found.found] == ["photos/sub/a.png"]
        assert room.TAKEN in reasons(found).values()

    def test_a_folder_that_cannot_be_read(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Faked, since an administrator reads them all."""
        picture("photos/a.png")
        picture("photos/closed/b.png")
        really = os.listdir

        def listdir(folder: Path) -> list[str]:
            if folder.name == "closed":
                raise PermissionError(13, "Permission denied")
            return really(folder)

        monkeypatch.setattr(os, "listdir", listdir)
        found = look("photos", recursive=True)
        assert names(found) == ["a.png"]
        assert reasons(found) == {"photos/closed": "cannot be read: permission denied"}
        with pytest.raises(
            PictureError, match=r"^photos/closed cannot be read: permission denied$"
        ):
            look("photos/closed")


class TestLinks:
    def test_loops_end(self, here: Path) -> None:
        picture("photos/sub/a.png")
        for name in ("one", "two", "sub/three", "sub/four"):
            Path("photos", name).symlink_to(here / "photos")
        for where in ("photos", "photos/**/*.png"):
            found = look(where, recursive=True)
            assert names(found) == ["sub/a.png"]
        assert len(look("photos", recursive=True).skipped) == 4

    def test_a_link_to_itself_is_a_picture_that_cannot_be_read(self, here: Path) -> None:
        Path("loop.png").symlink_to("loop.png")
        Path("broken.jpg").symlink_to("gone.jpg")
        found = {each.path.name: each for each in look(".").found}
        assert [each.size for each in found.values()] == [None, None]
        assert found["broken.jpg"].problem == "broken.jpg: there is no such file"
        assert (found["loop.png"].problem or "").startswith("loop.png cannot be read")

    def test_a_linked_folder_is_searched_once(self, here: Path) -> None:
        picture("elsewhere/a.png")
        Path("photos").mkdir()
        for name in ("one", "two"):
            Path("photos", name).symlink_to(here / "elsewhere")
        found = look("photos", recursive=True)
        assert names(found) == ["one/a.png"]
        assert reasons(found) == {"photos/two": room.TAKEN}

    def test_the_picture_itself_rather_than_a_link(self, here: Path) -> None:
        picture("photos/z/b.png")
        Path("photos/a.png").symlink_to("z/b.png")
        Path("photos/y").symlink_to("z")
        found = look("photos", recursive=True)
        assert names(found) == ["z/b.png"]
        assert reasons(found) == {"photos/a.png": room.TAKEN, "photos/y": room.TAKEN}


def test_any_name_that_a_file_can_have(here: Path) -> None:
    wanted = ["-rf.png", " a b .png", "a\nb.png", "😀.png", os.fsdecode(b"\xff\xfe.png")]
    for name in wanted:
        picture(Path("photos", name))
    found = look("photos")
    assert sorted(names(found)) == sorted(wanted)
    assert {each.size for each in found.found} == {(2, 3)}
    assert len(look(*(each.path for each in found.found)).found) == len(wanted)


class TestMeasure:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
    def test_upright_as_it_will_be_read(
        self, tmp_path: Path, format: str, orientation: int
    ) -> None:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        path = tmp_path / "a.picture"
        Image.new("RGB", (48, 32)).save(path, format, exif=exif)
        expected = (48, 32) if orientation > 4 else (32, 48)
        assert measure(path) == (expected, None)
        assert read_picture(path).size == expected

    @pytest.mark.parametrize("format", ["GIF", "BMP"])
    def test_without_exif(self, tmp_path: Path, format: str) -> None:
        path = tmp_path / "a.picture"
        Image.new("L", (48, 32)).save(path, format)
        assert measure(path) == ((32, 48), None)

    @pytest.mark.parametrize(("format", "share"), [("PNG", 0.3), ("JPEG", 0.5)])
    def test_pixels_are_not_decoded(self, tmp_path: Path, format: str, share: float) -> None:
        buffer = io.BytesIO()
        Image.effect_noise((64, 48), 90).save(buffer, format)
        path = tmp_path / "torn"
        path.write_bytes(buffer.getvalue()[: int(share * buffer.tell())])
        assert measure(path) == ((48, 64), None)
        with pytest.raises(PictureError, match="damaged"):
            read_picture(path)

    def test_odd_exif_costs_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "odd.jpg"
        Image.new("L", (48, 32)).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
        assert measure(path) == ((32, 48), None)

    @pytest.mark.parametrize(
        ("content", "reported"),
        [(b"", "is empty"), (b"hello", "is not a picture"), (None, "folder")],
    )
    def test_problems_are_one_line(
        self, tmp_path: Path, content: bytes | None, reported: str
    ) -> None:
        path = tmp_path / "a\nb.png"
        path.mkdir() if content is None else path.write_bytes(content)
        size, problem = measure(path)
        assert size is None
        assert problem is not None
        assert reported in problem
        assert "\n" not in problem

    def test_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "pixel_limit", lambda: 5)
        size, problem = measure(picture(tmp_path / "a.png"))
        assert size is None
        assert "is too large: 3×2" in (problem or "")


@pytest.mark.parametrize("module", ["images.find", "batches.plan"])
def test_a_plan_needs_no_torch(module: str) -> None:
    call = program()
    probe = f"import sys, stylize.{module}; print('torch' in sys.modules)"
    call["args"] = [sys.executable, "-c", probe]
    assert subprocess.check_output(**call, text=True) == "False\n"
