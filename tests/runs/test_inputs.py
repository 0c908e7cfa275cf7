"""Inputs found again: by what was given, by folder, by the index; never by a path in a recipe."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sqlite3
import stat
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stylize.errors import PictureError, RecipeError
from stylize.images.read import Picture, read_picture
from stylize.runs import inputs as sources
from stylize.runs.inputs import Wanted, digest, find_sources, recall, remember, wanted_of
from stylize.runs.recipe import compose
from tests.cli.conftest import program
from tests.conftest import as_picture, strokes

HASHES = [letter * 64 for letter in "0a5f"]


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The index of a cache of its own."""
    monkeypatch.setenv("STYLIZE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sources.sqlite"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def want(data: bytes, name: str = "photo.jpg", role: str = "content") -> Wanted:
    return Wanted(role, name, sha(data))


class TestIndex:
    def test_of_nothing(self) -> None:
        assert recall(HASHES[0]) == []

    @settings(deadline=None, max_examples=30)
    @given(st.data())
    def test_agrees_with_a_model(self, data: st.DataObject) -> None:
        """A list of places for each hash, of which files that are gone are left out."""
        with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setenv("STYLIZE_CACHE_DIR", str(Path(folder) / "cache"))
            paths = [Path(folder, name) for name in ("a.png", "猫 “b”.jpg", "gone.png")]
            for path in paths[:2]:
                path.touch()
            model: dict[str, list[Path]] = {each: [] for each in HASHES}
            for _ in range(data.draw(st.integers(0, 12))):
                each, path = data.draw(st.sampled_from(HASHES)), data.draw(st.sampled_from(paths))
                remember(path, each)
                model[each] = [path, *(other for other in model[each] if other != path)]
            for each in HASHES:
                assert recall(each) == [path for path in model[each] if path in paths[:2]]

    def test_paths_are_made_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(put(tmp_path / "here" / "a.png", b"").parent)
        remember(Path("a.png"), HASHES[0])
        monkeypatch.chdir(tmp_path)
        assert recall(HASHES[0]) == [tmp_path / "here" / "a.png"]

    @pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes exist on Linux alone")
    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        odd = put(tmp_path / os.fsdecode(b"odd-\xff\n.png"), b"")
        remember(odd, HASHES[0])
        assert recall(HASHES[0]) == [odd]

    @pytest.mark.parametrize("sha256", ["", "0" * 63, "g" * 64, "0" * 64 + "\n", "é" * 64, "\0"])
    def test_what_is_no_hash(self, tmp_path: Path, index: Path, sha256: str) -> None:
        remember(put(tmp_path / "a", b""), sha256)
        assert not index.exists()
        assert recall(sha256) == []

    @pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"x" * 5000])
    def test_a_damaged_file_counts_as_none(
        self, tmp_path: Path, index: Path, content: bytes
    ) -> None:
        path = put(tmp_path / "a.png", b"")
        put(index, content)
        assert recall(HASHES[0]) == []
        remember(path, HASHES[0])
        assert recall(HASHES[0]) == [path]

    def test_a_database_of_something_else(self, tmp_path: Path, index: Path) -> None:
        index.parent.mkdir()
        with closing(sqlite3.connect(index)) as other:
            other.execute("CREATE TABLE places (x)")
        remember(put(tmp_path / "a.png", b""), HASHES[0])
        assert recall(HASHES[0]) == []

    def test_hostile_places(self, tmp_path: Path, index: Path, monkeypatch: Any) -> None:
        path = put(tmp_path / "a.png", b"")
        remember(path, HASHES[0])
        with closing(sqlite3.connect(index)) as places, places:
            for hostile in (b"a.png", b"/a\0b", bytes(tmp_path), b"", b"/dev/zero"):
                places.execute("INSERT INTO places VALUES (?, ?)", [HASHES[0], hostile])
        monkeypatch.chdir(tmp_path)
        assert recall(HASHES[0]) == [path]

    def test_the_oldest_entries_are_dropped(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sources, "MAX_INDEX_ENTRIES", 3)
        path = put(tmp_path / "a.png", b"")
        for each in (*HASHES[:3], HASHES[0], HASHES[3]):
            remember(path, each)
        assert [bool(recall(each)) for each in HASHES] == [True, False, True, True]

    @pytest.mark.skipif(os.name == "nt", reason="permissions are of another kind there")
    def test_nobody_else_reads_it(self, tmp_path: Path, index: Path) -> None:
        remember(tmp_path, HASHES[0])
        assert stat.S_IMODE(index.stat().st_mode) == 0o600
        assert os.listdir(index.parent) == [index.name]

    def test_parallel_runs(self, tmp_path: Path, index: Path) -> None:
        script = (
            "import sys; from pathlib import Path; from stylize.runs.inputs import remember\n"
            "for n in range(200): remember(Path(sys.argv[2]), f'{n:063x}' + sys.argv[1])"
        )
        call = program()
        words = [[sys.executable, "-c", script, digit, str(tmp_path)] for digit in "12"]
        runs = [subprocess.Popen(**call | {"args": each}) for each in words]
        assert [run.wait(timeout=60) for run in runs] == [0, 0]
        with closing(sqlite3.connect(index)) as places:
            found = [each for (each,) in places.execute("SELECT sha256 FROM places")]
        assert sorted(found) == sorted(f"{n:063x}{digit}" for n in range(200) for digit in "12")

    def test_a_cache_that_cannot_be(self, tmp_path: Path) -> None:
        put(tmp_path / "cache", b"a file in its place")
        remember(tmp_path, HASHES[0])
        assert recall(HASHES[0]) == []
        assert (tmp_path / "cache").read_bytes() == b"a file in its place"

    def test_a_folder_in_the_place_of_the_index(self, tmp_path: Path, index: Path) -> None:
        index.mkdir(parents=True)
        remember(tmp_path, HASHES[0])
        assert recall(HASHES[0]) == []

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_a_pipe_in_the_place_of_the_index(self, tmp_path: Path, index: Path) -> None:
        index.parent.mkdir()
        os.mkfifo(index)
        remember(tmp_path, HASHES[0])
        assert recall(HASHES[0]) == []

    def test_a_refusal(self, tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise sqlite3.OperationalError("unable to open database file")

        remember(put(tmp_path / "a", b""), HASHES[0])
        monkeypatch.setattr(sqlite3, "connect", refuse)
        remember(tmp_path, HASHES[1])
        assert recall(HASHES[0]) == []
        monkeypatch.undo()
        assert index.stat().st_size > 0, "a refusal is no damage"


class TestDigest:
    @pytest.mark.parametrize(
        "format", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "MPO", "HEIF"]
    )
    def test_it_is_that_of_a_picture(self, tmp_path: Path, format: str) -> None:
        """Also where a decoder stops before the file ends, or holds several pictures."""
        if format == "HEIF":
            import pillow_heif

            pillow_heif.from_pillow(Image.new("RGB", (64, 64))).save(tmp_path / "a")
        else:
            more = {"save_all": True, "append_images": [Image.new("RGB", (8, 8), "red")]}
            extra = more if format in ("GIF", "TIFF", "MPO") else {}
            Image.new("RGB", (8, 8)).save(tmp_path / "a", format, **extra)
        data = (tmp_path / "a").read_bytes() + b"what follows the picture" * 9000
        path = put(tmp_path / "a", data)
        assert digest(path) == sha(data) == read_picture(path).sha256

    def test_what_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(PictureError, match="gone cannot be read: no such file"):
            digest(tmp_path / "gone")
        with pytest.raises(PictureError, match="is not a regular file"):
            digest(tmp_path)
        with pytest.raises(PictureError, match="null"):
            digest(tmp_path / "a\0b")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(PictureError, match="is not a regular file"):
            digest(tmp_path / "pipe.png")


def recipe(**pictures: Picture) -> dict[str, Any]:
    """A recipe of these inputs."""
    return compose(
        "transfer", {}, pictures.items(), weights={}, resolved={}, losses={}, interrupted=False
    )


class TestRecipe:
    def test_one_of_ours(self) -> None:
        names = {"content": "photo.jpg", "style": "猫" * 90, "init": "stdin"}
        document = recipe(**{role: as_picture(strokes(), name) for role, name in names.items()})
        sha256 = as_picture(strokes()).sha256
        assert wanted_of(document) == [
            Wanted("content", "photo.jpg", sha256),
            Wanted("style", "猫" * 26, sha256),
            Wanted("init", "stdin", sha256),
        ]
        assert wanted_of({"inputs": []}) == []

    @pytest.mark.parametrize("inputs", [None, {}, "content", 3])
    def test_no_inputs(self, inputs: object) -> None:
        with pytest.raises(RecipeError, match=r"^damaged recipe: no inputs$"):
            wanted_of({"inputs": inputs})

    @pytest.mark.parametrize(
        "changed",
        [
            *({"name": each} for each in ("", ".", "..", "../a", "a/b", "a\\b", "\0", "n" * 256)),
            *({"name": each} for each in (None, 3, ["a"])),
            *({"sha256": each} for each in ("", "0" * 63, "0" * 65, "G" * 64, "0" * 64 + "\n")),
            *({"sha256": each} for each in (None, 0, "٣" * 64, "../../etc/passwd")),
            *({"role": each} for each in (None, 1, "", "r" * 81, "a\nb")),
        ],
    )
    def test_damaged(self, changed: dict[str, object]) -> None:
        good: dict[str, object] = {"role": "style", "name": "..a.", "sha256": "0" * 64}
        assert len(wanted_of({"inputs": [good, good]})) == 2
        with pytest.raises(RecipeError, match="damaged recipe: input 2 has no proper") as raised:
            wanted_of({"inputs": [good, good | changed]})
        assert raised.value.exit_code == 1

    @given(st.recursive(st.none() | st.text() | st.integers(), st.lists))
    def test_anything_else(self, inputs: object) -> None:
        if inputs == []:
            return
        with pytest.raises(RecipeError, match="damaged recipe"):
            wanted_of({"inputs": inputs})


def find(
    *wanted: Wanted, given: Sequence[Path] = (), folders: Sequence[Path] = (), **extra: bool
) -> list[Path]:
    return find_sources(wanted, given=given, folders=folders, **extra)


class TestFinding:
    def test_the_order_of_the_search(self, tmp_path: Path) -> None:
        """Each place is used only when those before it hold no such file."""
        places = [
            put(tmp_path / "any" / "given.bin", b"x"),
            put(tmp_path / "folder" / "other.png", b"x"),
            put(tmp_path / "first" / "photo.jpg", b"x"),
            put(tmp_path / "first" / "a.webp", b"x"),
            put(tmp_path / "second" / "a.png", b"x"),
            put(tmp_path / "indexed" / "a", b"x"),
        ]
        remember(places[-1], sha(b"x"))
        while places:
            given = [path for path in (places[0], tmp_path / "folder") if path.exists()]
            given = [path for path in given if path.name in ("given.bin", "folder")]
            folders = [tmp_path / "first", tmp_path / "second"]
            assert find(want(b"x"), given=given, folders=folders) == [places[0]]
            places.pop(0).unlink()
        with pytest.raises(RecipeError, match="cannot find"):
            find(want(b"x"), folders=folders)

    def test_several_in_their_order(self, tmp_path: Path) -> None:
        files = {each: put(tmp_path / f"{each}.png", each.encode()) for each in "abc"}
        wanted = [want(each.encode(), f"{each}.png", "style") for each in "cabca"]
        assert find(*wanted, folders=[tmp_path]) == [files[each] for each in "cabca"]
        assert find(*wanted, given=list(files.values())) == [files[each] for each in "cabca"]
        twin = put(tmp_path / "twin.png", b"a")
        assert find(wanted[1], given=[twin, files["a"]]) == [twin], "the first of equals"
        assert find() == []

    def test_names_may_have_been_swapped(self, tmp_path: Path) -> None:
        a, b = put(tmp_path / "a.png", b"b"), put(tmp_path / "b.png", b"a")
        assert find(want(b"a", "a.png"), want(b"b", "b.png"), folders=[tmp_path]) == [b, a]

    @pytest.mark.parametrize("suffix", ["png", "JPG", "jpeg", "webp", "tif", "TIFF", "gif", "HEIC"])
    def test_of_any_name(self, tmp_path: Path, suffix: str) -> None:
        path = put(tmp_path / f"renamed.{suffix}", b"x")
        assert find(want(b"x"), folders=[tmp_path]) == [path]

    def test_only_pictures_and_what_has_the_name(self, tmp_path: Path) -> None:
        put(tmp_path / "renamed.doc", b"x")
        put(tmp_path / "below" / "photo.jpg", b"x")
        with pytest.raises(RecipeError, match="cannot find"):
            find(want(b"x"), folders=[tmp_path])
        assert find(want(b"x", "renamed.doc"), folders=[tmp_path]) == [tmp_path / "renamed.doc"]

    @pytest.mark.parametrize(
        "name", ["n" * 200 + ".jpg", "猫" * 60, "a\tb\u202e.jpg", unicodedata.normalize("NFD", "é")]
    )
    def test_names_as_a_recipe_writes_them(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        Image.new("L", (1, 1)).save(path, "PNG")
        (recorded,) = wanted_of(recipe(content=read_picture(path)))
        for spelling in ("NFC", "NFD"):
            put(path, b"other content")
            each = dataclasses.replace(
                recorded, name=unicodedata.normalize(spelling, recorded.name)
            )
            with pytest.raises(RecipeError, match="has other content"):
                find(each, folders=[tmp_path])

    def test_the_number_of_files_is_bounded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(sources.MAX_FILES):
            put(tmp_path / f"{number:04}.png", b"%d" % number)
        assert find(want(b"1999"), folders=[tmp_path]) == [tmp_path / "1999.png"]
        put(tmp_path / "00.png", b"one more before it")
        with pytest.raises(RecipeError):
            find(want(b"1999"), folders=[tmp_path])
        assert find(want(b"1999", "1999.png"), folders=[tmp_path]) == [tmp_path / "1999.png"]
        remember(tmp_path / "1999.png", sha(b"1999"))
        assert find(want(b"1999"), folders=[tmp_path]) == [tmp_path / "1999.png"]

    def test_huge_and_empty_files_are_not_read(self, tmp_path: Path) -> None:
        with (tmp_path / "photo.jpg").open("wb") as file:
            file.truncate(sources.MAX_FILE_BYTES + 1)
        put(tmp_path / "a.png", b"")
        for each in (want(b"x"), want(b"")):
            with pytest.raises(RecipeError) as raised:
                find(each, folders=[tmp_path])
            assert "other content" not in raised.value.message

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_what_is_no_file(self, tmp_path: Path) -> None:
        folder = tmp_path / "pictures"
        path = put(folder / "zebra.png", b"x")
        (folder / "photo.jpg").mkdir()
        os.mkfifo(folder / "pipe.jpg")
        (folder / "device.png").symlink_to("/dev/zero")
        (folder / "dangling.png").symlink_to("gone")
        (folder / "loop.png").symlink_to("loop.png")
        assert find(want(b"x"), folders=[tmp_path / "gone", path, folder]) == [path]
        with pytest.raises(PictureError, match=r"pipe\.jpg is not a regular file"):
            find(want(b"x"), given=[folder / "pipe.jpg"], folders=[folder])

    def test_unreadable_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(self: Path, *_: Any) -> Any:
            if self.name == "photo.jpg":
                raise PermissionError(13, "Permission denied")
            return open(self, "rb")

        locked, free = put(tmp_path / "photo.jpg", b"x"), put(tmp_path / "z.png", b"x")
        monkeypatch.setattr(Path, "open", refuse)
        assert find(want(b"x"), folders=[tmp_path]) == [free]
        with pytest.raises(PictureError, match=r"photo\.jpg cannot be read: permission denied"):
            find(want(b"x"), given=[locked], folders=[tmp_path])

    def test_the_index_is_not_believed(self, tmp_path: Path) -> None:
        path = put(tmp_path / "photo.jpg", b"changed since")
        remember(path, sha(b"x"))
        with pytest.raises(RecipeError, match=r"photo\.jpg has other content"):
            find(want(b"x"))


class TestSubstitutes:
    def test_a_given_file_must_be_an_input(self, tmp_path: Path) -> None:
        right, wrong = put(tmp_path / "right.png", b"x"), put(tmp_path / "wrong.png", b"y")
        with pytest.raises(RecipeError) as raised:
            find(want(b"x"), given=[wrong])
        assert raised.value.message == f"{wrong} is none of the recipe's inputs"
        place = f"content 'photo.jpg' ({sha(b'x')[:8]}…)"
        assert raised.value.hint == f"to use it instead of {place}, add --substitute"
        for substitute in (True, False):
            with pytest.raises(RecipeError, match=r"wrong\.png is not needed.*leave it out"):
                find(want(b"x"), given=[right, wrong], substitute=substitute)

    def test_they_fill_what_is_missing_in_order(self, tmp_path: Path) -> None:
        a, x, b = (put(tmp_path / f"{name}.png", name.encode()) for name in "axb")
        wanted = [want(b"1"), want(b"x"), want(b"2", role="style"), want(b"1", role="init")]
        assert find(*wanted, given=[a, x, b], substitute=True) == [a, x, b, a]
        assert find(*wanted, given=[b, a], folders=[tmp_path], substitute=True) == [b, x, a, b]
        once = [want(b"1"), want(b"1", role="init"), want(b"2", role="style")]
        assert find(*once, given=[a, b], substitute=True) == [a, a, b]

    def test_too_many_and_too_few(self, tmp_path: Path) -> None:
        a, b, c = (put(tmp_path / f"{name}.png", name.encode()) for name in "abc")
        wanted = [want(b"1", "one.png"), want(b"2", "two.png", "style")]
        with pytest.raises(RecipeError, match=r"c\.png is not needed"):
            find(*wanted, given=[a, b, c], substitute=True)
        with pytest.raises(RecipeError, match=r"b\.png, .*c\.png are not needed.*leave them out"):
            find(wanted[0], given=[a, b, c], substitute=True)
        with pytest.raises(RecipeError) as raised:
            find(*wanted, given=[a], substitute=True)
        assert "one.png" not in str(raised.value) and "style 'two.png'" in str(raised.value)

    def test_a_folder_gives_no_substitutes(self, tmp_path: Path) -> None:
        put(tmp_path / "other.png", b"y")
        with pytest.raises(RecipeError, match="cannot find"):
            find(want(b"x"), given=[tmp_path], substitute=True)

    def test_a_path_that_is_not_there(self, tmp_path: Path) -> None:
        put(tmp_path / "photo.jpg", b"x")
        for name in ("gone.png", "a\0b"):
            with pytest.raises(PictureError, match="there is no such file"):
                find(want(b"x"), given=[tmp_path / name], folders=[tmp_path])


class TestWhatIsMissing:
    def test_all_are_listed(self, tmp_path: Path) -> None:
        here = put(tmp_path / "here.png", b"here")
        wanted = [
            want(b"1", "one.png"),
            want(b"here"),
            want(b"2", "stdin", "style"),
            want(b"1", "one.png", "init"),
        ]
        with pytest.raises(RecipeError) as raised:
            find(*wanted, folders=[here.parent])
        assert raised.value.exit_code == 1
        assert raised.value.message == (
            f"cannot find the recipe's content 'one.png' ({sha(b'1')[:8]}…);"
            f" style 'stdin' ({sha(b'2')[:8]}…); init 'one.png' ({sha(b'1')[:8]}…)"
        )
        assert raised.value.hint == (
            "name the file with --input PATH; --content or --style names another picture"
        )

    def test_a_file_of_that_name_but_other_content(self, tmp_path: Path) -> None:
        path = put(tmp_path / "photo.jpg", b"edited")
        put(tmp_path / "stdin", b"no picture at all")
        with pytest.raises(RecipeError) as raised:
            find(want(b"x"), want(b"y", "stdin", "style"), folders=[tmp_path])
        content, style = raised.value.message.split("; ")
        assert content.endswith(f"({sha(b'x')[:8]}…), but {path} has other content")
        assert style == f"style 'stdin' ({sha(b'y')[:8]}…)"
        assert raised.value.hint is not None and "--input PATH; --substitute" in raised.value.hint

    @pytest.mark.parametrize(
        "name",
        ["../secret.png", "..", ".", "", "a/../../secret.png", "\0", "..\\secret.png", "n" * 10**6],
    )
    def test_a_hostile_name_leads_nowhere(self, tmp_path: Path, name: str) -> None:
        put(tmp_path / "secret.png", b"x")
        folder = put(tmp_path / "folder" / "a.png", b"y").parent
        for each in (want(b"x", name), want(b"x", str(tmp_path / "secret.png"))):
            with pytest.raises(RecipeError, match="cannot find") as raised:
                find(each, folders=[folder], given=[folder])
            assert "other content" not in raised.value.message
            assert len(raised.value.message) < 200

    def test_messages_are_harmless(self) -> None:
        hostile = Wanted("con\x1b[2Jtent", "a\u202eb\n\udcff.png", "\x1b" + "z" * 99)
        with pytest.raises(RecipeError) as raised:
            find(hostile)
        assert raised.value.message == "cannot find the recipe's con[2Jtent 'ab.png' (zzzzzzzz…)"

    @settings(max_examples=50, deadline=None)
    @given(st.text(), st.text(), st.text() | st.sampled_from(HASHES))
    def test_any_text_at_all(self, role: str, name: str, sha256: str) -> None:
        with pytest.raises(RecipeError, match="cannot find"):
            find(Wanted(role, name, sha256), folders=[Path(__file__).parent])


def test_it_is_cheap() -> None:
    call = program()
    probe = "import sys, stylize.runs.inputs; print({'torch', 'scipy'} & sys.modules.keys())"
    call["args"] = [sys.executable, "-c", probe]
    assert subprocess.check_output(**call, text=True) == "set()\n"
