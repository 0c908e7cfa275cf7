"""What is done, read off the pictures; what failed, read off the manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stylize.batches import records as ledger_module
from stylize.batches.records import Ledger, Standing, is_made, read_all, state_folder
from stylize.batches.tasks import Look, Task, identity, identity_of, token_of
from stylize.images.open import pixel_limit, set_pixel_limit
from stylize.images.write import write_picture
from stylize.networks.models import find_model
from stylize.settings.dream import DreamSettings
from stylize.settings.fields import to_document
from tests.conftest import photo, save

LOOK = Look("", DreamSettings(steps=1))


def make_task(folder: Path, look: Look = LOOK, name: str = "a.png") -> Task:
    """A picture in a folder, and the target of its dream."""
    source = folder / name
    if not source.exists():
        save(photo(24, 32), source)
    return Task(source, folder / "out" / name, look, (24, 32))


def recipe_of(task: Task) -> dict[str, Any]:
    """As a run writes it, where it matters."""
    digest = hashlib.sha256(task.source.read_bytes()).hexdigest()
    return {
        "schema": 1,
        "tool": "stylize",
        "technique": "dream",
        "settings": to_document(task.look.settings),
        "inputs": [{"role": "content", "sha256": digest}],
        "weights": {"sha256": find_model("vgg16").sha256},
        "resolved": {},
        "interrupted": False,
    }


def paint(task: Task, **changes: Any) -> None:
    """Put a picture with a recipe in the task's place."""
    task.target.parent.mkdir(parents=True, exist_ok=True)
    write_picture(task.target, photo(24, 32), recipe=json.dumps(recipe_of(task) | changes))


def open_ledger(task: Task, **options: bool) -> Ledger:
    return Ledger(task.target.parent, {"": []}, **options)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return make_task(tmp_path)


@pytest.fixture
def few_pixels() -> Iterator[None]:
    """So many as the source has, and no more."""
    before, pillows = pixel_limit(), Image.MAX_IMAGE_PIXELS
    set_pixel_limit(24 * 32)
    yield
    set_pixel_limit(before)
    Image.MAX_IMAGE_PIXELS = pillows


class TestStanding:
    def test_a_link_that_leads_nowhere_is_not_written_through(self, task: Task) -> None:
        task.target.parent.mkdir()
        task.target.symlink_to(task.source.with_name("absent.png"))
        assert open_ledger(task).standing(task).state == "foreign"

    def test_nothing_is_there(self, task: Task) -> None:
        found = open_ledger(task).standing(task)
        assert (found.state, found.attempts, found.error) == ("todo", 0, None)
        assert found.sha256 == hashlib.sha256(task.source.read_bytes()).hexdigest()
        assert found.identity == identity_of(recipe_of(task))

    def test_the_picture_is_there(self, task: Task) -> None:
        paint(task)
        assert open_ledger(task).standing(task).state == "done"

    def test_it_may_be_done_again(self, task: Task) -> None:
        paint(task)
        assert open_ledger(task, overwrite=True).standing(task).state == "todo"

    @pytest.mark.parametrize(
        "changes",
        [
            {"interrupted": True},
            {"settings": to_document(LOOK.settings) | {"seed": 5}},
            {"inputs": []},
            {"weights": {"sha256": "0" * 64}},
            {"technique": "transfer"},
            {"tool": "camera"},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_another_is_in_its_place(self, task: Task, changes: dict[str, Any]) -> None:
        paint(task, **changes)
        assert open_ledger(task).standing(task).state == "foreign"
        assert open_ledger(task, retry=True).standing(task).state == "foreign"

    def test_a_folder_is_in_its_place(self, task: Task) -> None:
        task.target.mkdir(parents=True)
        assert open_ledger(task).standing(task).state == "foreign"

    def test_its_pixels_are_damaged(self, task: Task) -> None:
        paint(task)
        data = task.target.read_bytes()
        assert is_made(task.target, identity_of(recipe_of(task)) or "")
        task.target.write_bytes(data[: len(data) * 3 // 4])
        assert open_ledger(task).standing(task).state == "foreign"

    @pytest.mark.parametrize(
        ("size", "state"),
        [((24, 32), "done"), ((48, 64), "foreign"), (None, "foreign")],
        ids=["as it was asked for", "larger", "of a source of unknown size"],
    )
    def test_it_is_larger_than_a_source_may_be(
        self, tmp_path: Path, size: tuple[int, int] | None, state: str, few_pixels: None
    ) -> None:
        """What is enlarged may be; but no more than that is read."""
        settings = DreamSettings(steps=1, size="256", enlarge=True)
        task = dataclasses.replace(make_task(tmp_path, Look("", settings)), size=size)
        task.target.parent.mkdir(parents=True)
        scale = 1 if size is None else 24 / size[0]
        pixels = photo(round(192 / scale), round(256 / scale))
        write_picture(task.target, pixels, recipe=json.dumps(recipe_of(task)))
        assert open_ledger(task).standing(task).state == state

    def test_the_source_has_changed(self, task: Task) -> None:
        paint(task)
        save(photo(32, 32), task.source)
        assert open_ledger(task).standing(task).state == "foreign"

    def test_a_style_has_changed(self, task: Task) -> None:
        look = Look("", LOOK.settings, (task.source,))
        other = dataclasses.replace(task, look=look)
        found = {
            Ledger(task.target.parent, {"": [("style", digest)]}).standing(other).identity
            for digest in ("1" * 64, "2" * 64)
        }
        assert len(found) == 2

    def test_no_source(self, task: Task) -> None:
        task.source.unlink()
        found = open_ledger(task).standing(task)
        assert (found.state, found.identity, found.sha256) == ("todo", "", None)
        assert str(task.source) in (found.error or "")


class TestFailures:
    """Remembered as long as nothing about them has changed."""

    def fail(self, task: Task, **options: bool) -> Standing:
        ledger = open_ledger(task, **options)
        standing = ledger.standing(task)
        ledger.write(task, standing, seconds=1.0, error="no luck")
        return standing

    def test_remembered(self, task: Task) -> None:
        self.fail(task)
        found = open_ledger(task).standing(task)
        assert (found.state, found.attempts, found.error) == ("failed", 1, "no luck")

    def test_also_by_the_run_itself(self, task: Task) -> None:
        ledger = open_ledger(task)
        ledger.write(task, ledger.standing(task), seconds=1.0, error="no luck")
        assert ledger.standing(task).state == "failed"

    @pytest.mark.parametrize("option", ["retry", "overwrite"])
    def test_tried_again(self, task: Task, option: str) -> None:
        self.fail(task)
        assert self.fail(task, **{option: True}) == Standing(
            "todo",
            identity_of(recipe_of(task)) or "",
            hashlib.sha256(task.source.read_bytes()).hexdigest(),
            1,
        )
        assert read_all(task.target.parent)["a.png"].attempts == 2

    def test_another_source_has_no_past(self, task: Task) -> None:
        self.fail(task)
        save(photo(32, 32), task.source)
        found = open_ledger(task).standing(task)
        assert (found.state, found.attempts) == ("todo", 0)

    def test_nor_have_other_settings(self, task: Task) -> None:
        self.fail(task)
        look = dataclasses.replace(LOOK, settings=dataclasses.replace(LOOK.settings, seed=5))
        assert open_ledger(task).standing(make_task(task.source.parent, look)).state == "todo"

    def test_a_source_that_cannot_be_read(self, task: Task) -> None:
        task.source.unlink()
        self.fail(task)
        assert open_ledger(task).standing(task).state == "failed"

    def test_success_is_later(self, task: Task) -> None:
        self.fail(task)
        paint(task)
        assert open_ledger(task).standing(task).state == "done"


def lines(output: Path) -> list[dict[str, Any]]:
    """All lines of all manifests."""
    files = sorted(state_folder(output).glob("manifest-*"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


class TestSettling:
    """A picture whose run was killed between its rename and its line."""

    def test_gets_its_line(self, task: Task) -> None:
        paint(task)
        ledger = open_ledger(task)
        ledger.standing(task)
        ledger.settle()
        ledger.settle()
        (line,) = lines(task.target.parent)
        assert (line["target"], line["status"], line["error"]) == ("a.png", "done", None)
        assert line["identity"] == identity_of(recipe_of(task))
        later = open_ledger(task)
        later.standing(task)
        later.settle()
        assert len(lines(task.target.parent)) == 1

    def test_unless_another_run_wrote_it_meanwhile(self, task: Task) -> None:
        slow, quick = open_ledger(task), open_ledger(task)
        standing = quick.standing(task)
        paint(task)
        quick.write(task, standing, seconds=1.0)
        assert slow.standing(task).state == "done"
        slow.settle()
        assert len(lines(task.target.parent)) == 1

    def test_a_line_of_a_failure_does_not_stand(self, task: Task) -> None:
        TestFailures().fail(task)
        paint(task)
        ledger = open_ledger(task)
        ledger.standing(task)
        ledger.settle()
        assert read_all(task.target.parent)["a.png"].status == "done"

    def test_what_is_foreign_gets_none(self, task: Task) -> None:
        paint(task, inputs=[])
        ledger = open_ledger(task)
        ledger.standing(task)
        ledger.settle()
        assert lines(task.target.parent) == []


def test_what_is_written(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module.time, "time", lambda: 1234.5)
    ledger = open_ledger(task)
    standing = ledger.standing(task)
    ledger.write(task, standing, seconds=1.23456, losses={"dream": 0.5})
    (line,) = lines(task.target.parent)
    assert line == {
        "target": "a.png",
        "source": str(task.source),
        "identity": standing.identity,
        "status": "done",
        "attempts": 1,
        "seconds": 1.235,
        "error": None,
        "losses": {"dream": 0.5},
        "time": 1234.5,
        "input_sha256": standing.sha256,
        "revision": 1,
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


class TestIdentity:
    @given(st.sampled_from(["settings", "inputs", "weights", "interrupted"]), json_values)
    def test_no_recipe_breaks_it(self, key: str, value: Any) -> None:
        recipe = {
            "technique": "dream",
            "settings": {"seed": 1},
            "inputs": [],
            "weights": {"sha256": "0"},
            "interrupted": False,
        }
        found = identity_of(recipe | {key: value})
        assert found is None or len(found) == 64

    @given(st.permutations(sorted(to_document(LOOK.settings))))
    def test_the_order_of_settings_does_not_matter(self, keys: list[str]) -> None:
        document = to_document(LOOK.settings)
        shuffled = {key: document[key] for key in keys}
        assert identity("dream", shuffled, [], "0") == identity("dream", document, [], "0")

    def test_the_order_of_styles_does(self) -> None:
        styles = [("style", "1"), ("style", "2")]
        assert identity("transfer", {}, styles, "0") != identity("transfer", {}, styles[::-1], "0")


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_tokens_tell_names_apart(one: str, other: str) -> None:
    encode: Callable[[str], bytes] = lambda text: text.encode(errors="surrogatepass")  # noqa: E731
    assert (token_of(one) == token_of(other)) == (encode(one) == encode(other))
    assert len(token_of(one)) == 32


def test_a_name_that_cannot_be_decoded_has_a_token() -> None:
    assert token_of("\udcff.png") != token_of("ÿ.png")
