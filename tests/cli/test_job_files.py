"""Batches as files: what they may say, what is refused, that they do what the line does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.batches.job_file import MAX_BYTES, JobFile, read_job
from stylize.errors import SettingError, UnknownNameError, UsageError
from stylize.settings.presets import Preset, to_toml
from tests.cli.conftest import Run, complaint, done, listing
from tests.conftest import photo, save, strokes

DREAM = """\
technique = "dream"
inputs = ["photos"]
output = "job"
recursive = true
[settings]
size = 32
steps = 1
octaves = 1
layers = "conv2_1"
[execution]
precision = "fp32"
threads = 1
"""
WORDS = ("--size", 32, "--steps", 1, "--octaves", 1, "--layer", "conv2_1")
EXACT = ("--precision", "fp32", "--threads", 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one of them in a folder below, and a style."""
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    save(photo(40, 48), tmp_path / "photos" / "a.png")
    save(photo(48, 40), tmp_path / "photos" / "deep" / "b.png")
    save(strokes(), tmp_path / "style.png")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "job.toml"
    path.write_text(text)
    return path


def pictures(folder: Path) -> dict[str, bytes | None]:
    """The results, without what the batch keeps for itself."""
    return {k: v for k, v in listing(folder).items() if not k.startswith(".stylize")}


class TestReading:
    def test_the_least(self, tmp_path: Path) -> None:
        job = read_job(write(tmp_path, 'technique="dream"\ninputs="a"\noutput="b"'))
        assert job == JobFile("dream", (str(tmp_path / "a"),), str(tmp_path / "b"))
        assert (job.recursive, job.suffix, job.depth, job.quality) == (False, "png", 8, 95)

    def test_all(self, tmp_path: Path) -> None:
        text = """
            technique = "transfer"
            inputs = ["a", "/b/*.jpg"]
            output = "/c"
            styles = ["s.jpg", "t.jpg"]
            presets = "bold"
            each = true
            recursive = true
            suffix = "tiff"
            depth = 16
            quality = 80
            [settings]
            steps = 5
            [execution]
            device = "cpu"
            """
        assert read_job(write(tmp_path, text)) == JobFile(
            technique="transfer",
            inputs=(str(tmp_path / "a"), "/b/*.jpg"),
            output="/c",
            styles=(str(tmp_path / "s.jpg"), str(tmp_path / "t.jpg")),
            presets=("bold",),
            each=True,
            recursive=True,
            suffix="tiff",
            depth=16,
            quality=80,
            settings={"steps": 5},
            execution={"device": "cpu"},
        )

    def test_a_preset_may_be_a_file(self, tmp_path: Path) -> None:
        text = 'technique="dream"\ninputs="a"\noutput="b"\npresets=["mine.toml", "eyes"]'
        assert read_job(write(tmp_path, text)).presets == (str(tmp_path / "mine.toml"), "eyes")

    def test_brackets_of_the_files_own_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "of [2]"
        folder.mkdir()
        text = 'technique="dream"\ninputs=["a", "*.png"]\noutput="b"'
        job = read_job(write(folder, text))
        assert job.inputs == (str(folder / "a"), str(tmp_path / "of [[]2]" / "*.png"))


MINIMAL = {"technique": '"dream"', "inputs": '["a"]', "output": '"b"'}


def text_of(changes: dict[str, str]) -> str:
    """A job file of keys with their values in TOML; empty ones are left out."""
    values = {key: value for key, value in (MINIMAL | changes).items() if value}
    return "".join(f"{key} = {value}\n" for key, value in values.items())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_windows(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "job.toml"
    path.write_bytes(text_of({"inputs": '["Größe"]'}).replace("\n", "\r\n").encode(encoding))
    assert read_job(path).inputs == (str(tmp_path / "Größe"),)


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"input": '["a"]'}, "unknown key in job.toml 'input' (did you mean inputs"),
            ({"style_size": "9"}, "style_size is not in [settings] (write [settings]"),
            ({"threads": "1"}, "job.toml: threads is not in [execution]"),
            ({"technique": '"draem"'}, "did you mean dream"),
            ({"technique": "5"}, "technique = 5 has the wrong type"),
            ({"technique": ""}, "has no 'technique'"),
            ({"inputs": ""}, "has no 'inputs'"),
            ({"inputs": "[]"}, "has no 'inputs'"),
            ({"inputs": "[1]"}, "inputs is not a list of strings"),
            ({"inputs": '["a", ""]'}, "inputs holds an empty text"),
            ({"inputs": '"a\\u0000"'}, "inputs holds a NUL character"),
            ({"output": ""}, "has no 'output'"),
            ({"output": '"a\\u0000"'}, "output holds a NUL character"),
            ({"styles": '["s"]'}, "a dream has no styles"),
            ({"technique": '"transfer"'}, "has no 'styles'"),
            (
                {"technique": '"transfer"', "styles": '"s"', "presets": '["bold", "fine"]'},
                "a transfer has one preset",
            ),
            ({"each": "1"}, "each = 1 has the wrong type"),
            ({"depth": "true"}, "depth = True has the wrong type"),
            ({"depth": "12"}, "depth = 12 (8 or 16)"),
            ({"suffix": '"jpeg"'}, "unknown suffix in job.toml 'jpeg'"),
            ({"settings": "5"}, "settings = 5 has the wrong type"),
            ({"execution": "{ thread = 1 }"}, "did you mean threads"),
            ({"presets": '"a\\u0000.toml"'}, "presets holds a NUL character"),
        ],
    )
    def test_what_makes_no_sense(
        self, tmp_path: Path, changes: dict[str, str], message: str
    ) -> None:
        with pytest.raises(UsageError) as caught:
            read_job(write(tmp_path, text_of(changes)))
        assert message in str(caught.value)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such file"):
            read_job(tmp_path / "job.toml")
        with pytest.raises(UsageError, match="directory"):
            read_job(tmp_path)

    @pytest.mark.parametrize("content", [b"\xff", b"a = ", b"a = " + b"[" * 5000, b"a = 1" * 2])
    def test_no_toml(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "job.toml"
        path.write_bytes(content)
        with pytest.raises(UsageError, match="is not TOML"):
            read_job(path)

    def test_too_large(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="too large"):
            read_job(write(tmp_path, "#" * (MAX_BYTES + 1)))


toml_values = st.sampled_from(
    ["1", "-1", "1.5", "nan", "true", '""', '"x"', "[]", "[1]", '["x"]', "{}", "{x = 1}", "[[]]"]
)
keys = st.sampled_from(sorted(JobFile.__dataclass_fields__))


@given(st.dictionaries(keys, toml_values, max_size=4))
def test_nothing_else_escapes(tmp_path_factory: Any, changes: dict[str, str]) -> None:
    path = write(tmp_path_factory.getbasetemp(), text_of(changes))
    try:
        job = read_job(path)
    except (UsageError, SettingError, UnknownNameError):
        return
    assert job.inputs
    assert all(os.path.isabs(each) for each in (*job.inputs, *job.styles, job.output))


class TestRunning:
    """The same as the command line, to the bit."""

    def test_a_dream(self, run: Run, folder: Path) -> None:
        line = folder / "line"
        done(run("batch", "dream", folder / "photos", "-r", "-o", line, *WORDS, *EXACT))
        result = done(run("batch", "run", write(folder, DREAM)))
        assert "2 finished, 0 failed" in result.stderr
        found = pictures(folder / "job")
        assert found == pictures(line)
        assert {"a.png", "deep/b.png"} <= found.keys()
        assert "2 finished before" in done(run("batch", "run", folder / "job.toml")).stderr

    def test_a_transfer(self, run: Run, folder: Path) -> None:
        shared = ("--size", 32, "--min-size", 32, "--steps", 1, "--preset", "draft", *EXACT)
        line = ("--style", folder / "style.png", "-o", folder / "line", "--suffix", "webp")
        done(run("batch", "transfer", folder / "photos" / "a.png", *line, *shared))
        text = """
            technique = "transfer"
            inputs = "photos/*.png"
            output = "job"
            styles = "style.png"
            presets = "draft"
            suffix = "webp"
            settings = { size = "32", min_size = 32, steps = 1 }
            execution = { precision = "fp32", threads = 1 }
            """
        done(run("batch", "run", write(folder, text)))
        assert pictures(folder / "job") == pictures(folder / "line") != {}

    def test_settings_without_effect_are_named(self, run: Run, folder: Path) -> None:
        text = """
            technique = "transfer"
            inputs = "photos/*.png"
            output = "job"
            styles = "style.png"
            settings = { learning_rate = 0.1 }
            """
        result = done(run("batch", "run", write(folder, text), "--dry-run"))
        assert "--learning-rate has no effect without --optimizer adam" in result.stderr

    def test_presets_by_name_and_by_file(self, run: Run, folder: Path) -> None:
        mine = Preset("mine", "dream", "", {"layers": "conv1_2"})
        (folder / "mine.toml").write_text(to_toml(mine))
        text = DREAM.replace('layers = "conv2_1"\n', "")
        text = 'each = true\npresets = ["mine.toml", "impressionist"]\n' + text
        done(run("batch", "run", write(folder, text)))
        names = {"a-mine.png", "a-impressionist.png"}
        assert names <= pictures(folder / "job").keys()

    def test_the_line_decides_on_the_run(self, run: Run, folder: Path) -> None:
        path = write(folder, DREAM)
        before = listing(folder)
        result = done(run("batch", "run", path, "--dry-run"))
        assert "2 pictures" in result.stdout
        assert listing(folder) == before
        done(run("batch", "run", path, "--shard", "1/2"))
        assert len([k for k in pictures(folder / "job") if k.endswith(".png")]) == 1

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("steps = 1", "stepps = 1", "unknown setting 'stepps' (did you mean steps"),
            ("steps = 1", "steps = -1", "--steps: -1 is too small"),
            ("threads = 1", "threads = 0", "--threads: 0 is too small"),
            ("size = 32", 'size = "big"', "no such size: 'big'"),
            ("recursive = true", "quality = 500", "the quality is 1 to 100"),
            ("recursive = true", 'presets = "dgos"', "did you mean dogs"),
            ("recursive = true", 'presets = ["dogs", "eyes"]', "presets cannot be blended"),
            ("recursive = true", 'suffix = "jpg"\ndepth = 16', "holds 8 bits per channel"),
            ("size = 32", 'from_noise = "32x32"', "--from-noise cannot be used in a batch"),
        ],
    )
    def test_refusals_leave_nothing_behind(
        self, run: Run, folder: Path, old: str, new: str, message: str
    ) -> None:
        path = write(folder, DREAM.replace(old, new))
        before = listing(folder)
        assert message in complaint(run("batch", "run", path), 2)
        assert listing(folder) == before

    def test_an_input_that_is_not_there(self, run: Run, folder: Path) -> None:
        path = write(folder, DREAM.replace('"photos"', '"photo"'))
        assert "there is no such file" in complaint(run("batch", "run", path), 1)
