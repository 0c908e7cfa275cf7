"""The name on the index is ours, and no hint names a stranger's package."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "stylize-vgg"


def test_no_requirement_is_a_strangers_package() -> None:
    """The index has another ``stylize``: a code formatter that rewrites the current folder."""
    requirements = metadata.requires(NAME)
    assert requirements, "the metadata of the installed distribution is read"
    names = {re.split(r"[^A-Za-z0-9._-]", each)[0].lower() for each in requirements}
    assert "torch" in names
    assert "stylize" not in names


def test_the_command_belongs_to_it() -> None:
    (command,) = metadata.entry_points(group="console_scripts", name="stylize")
    assert command.dist is not None
    assert command.dist.name == NAME


def test_no_text_asks_for_it() -> None:
    texts = [ROOT / "pyproject.toml", *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    texts += [*ROOT.glob("stylize/**/*.py"), ROOT / ".ci" / "run"]
    wrong = re.compile(r"pip install (?!\.)[^&\n]*\bstylize(?![-\w/])")
    assert [str(path) for path in texts if path.exists() and wrong.search(path.read_text())] == []
    assert not any("stylize[" in path.read_text() for path in texts if path.exists())
