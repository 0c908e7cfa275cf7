from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.errors import OutputError, UnknownNameError
from stylize.images.destinations import fill_template, resolve_output


@pytest.fixture
def content(tmp_path):
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"a cat")
    return path


def _resolve(requested, content=None, *, words="starry night", overwrite=False, inputs=None):
    inputs = [content] if inputs is None and content else inputs or []
    return resolve_output(
        requested, content=content, suffix_words=words, overwrite=overwrite, inputs=inputs
    )


class TestUnrequested:
    def test_beside_the_content(self, content):
        assert _resolve(None, content) == content.parent / "cat-starry-night.png"

    def test_numbered_when_taken(self, content):
        for expected in (
            "cat-starry-night.png",
            "cat-starry-night-2.png",
            "cat-starry-night-3.png",
        ):
            path = _resolve(None, content)
            assert path == content.parent / expected
            path.touch()

    def test_a_dangling_link_is_taken(self, content):
        (content.parent / "cat-starry-night.png").symlink_to("nowhere")
        assert _resolve(None, content).name == "cat-starry-night-2.png"

    def test_overwriting_takes_the_first_name_that_is_no_input(self, content):
        first = content.parent / "cat-starry-night.png"
        first.touch()
        assert _resolve(None, content, overwrite=True) == first
        second = _resolve(None, content, overwrite=True, inputs=[content, first])
        assert second.name == "cat-starry-night-2.png"

    def test_without_a_content(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert _resolve(None, words="dream") == Path("dream.png")
        assert _resolve(None, words="") == Path("picture.png")

    @pytest.mark.parametrize(
        ("words", "name"),
        [
            ("../../etc/passwd", "cat-etc-passwd.png"),
            ("a:b*c?", "cat-a-b-c.png"),
            ("", "cat.png"),
            ("猫", "cat-猫.png"),
        ],
    )
    def test_words_stay_words(self, content, words, name):
        assert _resolve(None, content, words=words) == content.parent / name

    @given(st.text(max_size=300), st.text(min_size=1, max_size=300))
    def test_any_words_make_one_name(self, words, stem):
        content = Path("folder") / (stem.replace("/", "_").replace("\0", "_") + ".jpg")
        path = _resolve(None, content, words=words.replace("\ud800", ""))
        assert path.parent == Path("folder")
        assert len(os.fsencode(path.name)) <= 245
        assert path.suffix == ".png"


class TestRequested:
    def test_a_new_file(self, tmp_path, content):
        assert _resolve(tmp_path / "out.webp", content) == tmp_path / "out.webp"

    def test_an_existing_file_needs_overwrite(self, tmp_path, content):
        path = tmp_path / "out.png"
        path.touch()
        with pytest.raises(OutputError, match=r"already exists \(replace it with --overwrite\)"):
            _resolve(path, content)
        assert _resolve(path, content, overwrite=True) == path

    @pytest.mark.parametrize("link", [None, "symlink_to", "hardlink_to"])
    @pytest.mark.parametrize("overwrite", [True, False])
    def test_never_onto_an_input(self, tmp_path, content, link, overwrite):
        path = content
        if link:
            path = tmp_path / "other.png"
            getattr(path, link)(content)
        with pytest.raises(OutputError, match="is an input of this run"):
            _resolve(path, content, overwrite=overwrite)

    def test_never_onto_an_input_by_another_spelling(self, tmp_path, content):
        (tmp_path / "sub").mkdir()
        with pytest.raises(OutputError, match="is an input"):
            _resolve(tmp_path / "sub" / ".." / "cat.jpg", content, overwrite=True)

    def test_inputs_that_are_gone_do_not_matter(self, tmp_path):
        path = tmp_path / "out.png"
        path.touch()
        assert _resolve(path, overwrite=True, inputs=[tmp_path / "gone.png"]) == path

    def test_missing_folders_are_made(self, tmp_path: Path, content: Path) -> None:
        wanted = tmp_path / "gone" / "deep" / "out.png"
        found = resolve_output(
            wanted, content=content, suffix_words="x", overwrite=False, inputs=[content]
        )
        assert found == wanted
        assert wanted.parent.is_dir()

    def test_a_file_where_a_folder_should_be(self, content):
        with pytest.raises(OutputError, match="is not a folder"):
            _resolve(content / "out.png", content)

    def test_a_suffix_is_checked_before_the_run(self, tmp_path, content):
        with pytest.raises(OutputError, match=r"extension '\.gif'"):
            _resolve(tmp_path / "out.gif", content)


class TestFolder:
    def test_the_name_inside(self, tmp_path, content):
        folder = tmp_path / "results"
        folder.mkdir()
        expected = folder / "cat-starry-night.png"
        assert _resolve(folder, content) == expected
        assert _resolve(f"{folder}/", content) == expected
        expected.touch()
        assert _resolve(folder, content) == folder / "cat-starry-night-2.png"
        assert _resolve(folder, content, overwrite=True) == expected

    def test_a_slash_asks_for_a_folder(self, tmp_path: Path, content: Path) -> None:
        found = resolve_output(
            f"{tmp_path}/gone/", content=content, suffix_words="x", overwrite=False, inputs=[]
        )
        assert found == tmp_path / "gone" / "cat-x.png"
        assert found.parent.is_dir()


class TestTemplates:
    """Placeholders in a requested name."""

    def test_values_never_leave_the_folder(self) -> None:
        found = fill_template("out/{photo}-{{x}}.png", {"photo": "../../etc/pass"})
        assert Path(found).parent == Path("out")
        assert found.endswith("-{x}.png")

    def test_an_unknown_placeholder_names_the_known_ones(self) -> None:
        with pytest.raises(UnknownNameError, match=r"'fhoto' \(did you mean photo"):
            fill_template("{fhoto}.png", {"photo": "a", "style": "b"})

    def test_braces_around_anything_else_are_part_of_the_name(self) -> None:
        assert fill_template("{}{2}{{a}}.png", {"a": 1}) == "{}{2}{a}.png"

    @pytest.mark.parametrize(
        ("value", "text"), [(0.05, "0.05"), (1.0, "1"), (None, "none"), (True, "true"), ("A", "A")]
    )
    def test_values_are_written_as_options_are(self, value: object, text: str) -> None:
        assert fill_template("{x}.png", {"x": value}) == f"{text}.png"
