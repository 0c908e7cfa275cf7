"""What the documents say is what the program does."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import click
import pytest

from stylize.cli.main import cli
from stylize.runs.recipe import load_recipe
from stylize.settings.presets import preset_names

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


def commands_in(page: Path) -> list[str]:
    """Every ``stylize …`` line in the code blocks of a page, continuation lines joined."""
    blocks = re.findall(r"```(?:console|sh|bash)\n(.*?)```", page.read_text(), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in line.split("#")[0].split("&&")]
    return [part for part in parts if part.startswith("stylize ")]


EXAMPLES = [(page.name, line) for page in PAGES for line in commands_in(page)]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 10


def parse(line: str) -> None:
    """Read a command as the program does."""
    words = shlex.split(re.split(r"[<>|]", line)[0])[1:]
    command: click.Command = cli
    # A command remembers the help option of its first context.
    names = cli.context_settings["help_option_names"]
    context = click.Context(cli, info_name="stylize", help_option_names=names)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize(("page", "line"), EXAMPLES)
def test_every_example_parses(page: str, line: str) -> None:
    parse(line)


@pytest.mark.parametrize(("page", "line"), EXAMPLES)
def test_samples_in_examples_exist(page: str, line: str) -> None:
    for word in re.split(r"[\s=<>|]+", line):
        if word.startswith("samples/"):
            assert (ROOT / word).exists(), word


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)\)", page.read_text()):
        if target.startswith("cookbook/") and not (page.parent / "cookbook").exists():
            continue  # made by tools/make_cookbook.py; test_cookbook.py counts them
        assert (page.parent / target).exists(), target


def test_the_pictures_of_inspect_are_made_by_one_tool() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "make_inspect_gallery.py"))
    shown = re.findall(r"gallery/inspect-(\w+)\.jpg", (ROOT / "docs" / "inspect.md").read_text())
    assert sorted(shown) == sorted([*tool["ALONE"], *tool["SHEETS"]])
    rows = [row for _, rows in tool["SHEETS"].values() for row in rows]
    cells = [words for row in rows for words in row.values()]
    for words in [*tool["ALONE"].values(), *cells]:
        if not (ROOT / words).exists():
            parse(f"stylize inspect {words}")


def test_the_reference_is_what_help_says() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "make_cli_docs.py"))
    assert (ROOT / "docs" / "cli.md").read_text() == tool["page"](), (
        "run python tools/make_cli_docs.py"
    )


def test_every_preset_is_in_the_guide() -> None:
    text = (ROOT / "docs" / "guide.md").read_text()
    for name in (*preset_names("transfer"), *preset_names("dream")):
        assert f"`{name}`" in text


def test_the_readme_has_one_command_for_users_and_one_for_developers() -> None:
    users, developers = README.read_text().split("## For developers")
    (first, *_), (test,) = (
        re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL) for text in (users, developers)
    )
    assert first.startswith("pip install . && stylize transfer samples/")
    assert first.count("\n") == 1
    assert test == 'pip install ".[test]" && pytest\n'


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    text = README.read_text()
    assert len(text.split()) < 700
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)\)", text))
    pages = {f"docs/{page.name}" for page in PAGES if page.parent.name == "docs"}
    assert pages - linked <= {"docs/experiments.md"}, "for developers"


def test_the_pictures_of_the_readme_are_made_by_one_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tool = runpy.run_path(str(ROOT / "tools" / "make_readme.py"))
    commands = tool["commands"]()
    shown = re.findall(r"\]\(docs/readme/([\w.-]+)\)", README.read_text())
    assert len(shown) == 6, "five commands and a film"
    assert set(shown) < set(commands)
    pictures = list((ROOT / "docs" / "readme").iterdir())
    assert {path.name for path in pictures} == set(commands)
    assert sum(path.stat().st_size for path in pictures) <= tool["MAX_TOTAL_BYTES"]
    for path in pictures:
        words = commands[path.name]
        recipe = load_recipe(path)
        assert words[0] == recipe["technique"].split()[0]
        inputs = {entry["name"] for entry in recipe["inputs"]}
        assert inputs == {Path(word.split("=")[0]).name for word in words if "samples/" in word}


def test_the_changelog_has_a_place_for_what_comes() -> None:
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()


def test_pictures_in_the_repository_are_small() -> None:
    for path in [*ROOT.glob("samples/**/*"), *ROOT.glob("docs/**/*")]:
        if path.suffix in {".jpg", ".png", ".webp"}:
            assert path.stat().st_size < 300_000, path
