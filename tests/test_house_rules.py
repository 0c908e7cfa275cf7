"""Rules of the house that no linter knows, read off the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import stylize

PACKAGE = Path(stylize.__file__).parent
SOURCES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in SOURCES.items()}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Found = Iterator[tuple[str, int]]


def nodes(*kinds: type[ast.AST], outside: str = "-") -> Iterator[tuple[str, ast.AST]]:
    """All nodes of these kinds, except those in files whose names begin with ``outside``."""
    for name, tree in TREES.items():
        if not name.startswith(outside):
            yield from ((name, node) for node in ast.walk(tree) if isinstance(node, kinds))


def imports(outside: str) -> Iterator[tuple[str, str]]:
    """The top names of what is imported, with the file."""
    for name, node in nodes(ast.Import, ast.ImportFrom, outside=outside):
        if isinstance(node, ast.Import):
            yield from ((name, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield name, node.module.split(".")[0]


def mentions(text: str, outside: str = "-") -> list[str]:
    """Where a dotted name such as ``sys.exit`` is used, as ``file:line``."""
    kinds = (ast.Attribute, ast.Name)
    return [
        f"{name}:{node.lineno}"
        for name, node in nodes(*kinds, outside=outside)
        if isinstance(node, kinds) and ast.unparse(node) == text
    ]


def test_there_is_something_to_read() -> None:
    assert len(SOURCES) > 40
    assert mentions("Path", outside="networks/"), "the rules below find what they look for"
    assert ("cli/main.py", "click") in set(imports(outside="-"))


@pytest.mark.parametrize("library", ["click", "tqdm"])
def test_only_the_commands_know_the_terminal(library: str) -> None:
    assert [name for name, found in imports("cli/") if found == library] == []


@pytest.mark.parametrize("what", ["print", "input", "exit", "sys.stdout", "sys.stderr"])
def test_the_library_does_not_talk(what: str) -> None:
    assert mentions(what, outside="cli/") == []
    assert mentions(what) == [] or what.startswith("sys.")


@pytest.mark.parametrize("what", ["sys.exit", "sys.argv", "signal.signal"])
def test_the_library_does_not_exit_or_read_arguments(what: str) -> None:
    assert mentions(what, outside="cli/") == []


def test_the_environment_is_read_in_one_place() -> None:
    for what in ("os.environ", "os.getenv"):
        found = mentions(what, outside="cli/")
        assert [place for place in found if not place.startswith("directories.py")] == []


def test_the_commands_are_at_the_top() -> None:
    """Nothing imports the command line but what starts the program."""
    found = {
        name
        for name, node in nodes(ast.ImportFrom, outside="cli/")
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stylize.cli")
    }
    assert found == {"__main__.py"}


def test_nothing_global_is_reseeded() -> None:
    for what in ("torch.manual_seed", "np.random.seed", "random.seed", "torch.seed"):
        assert mentions(what) == []


def test_pickles_give_tensors_alone() -> None:
    loads = [
        (f"{name}:{node.lineno}", ast.unparse(node))
        for name, node in nodes(ast.Call)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "pickle.load")
    ]
    assert loads, "the rule finds what it looks for"
    assert [where for where, call in loads if "weights_only=True" not in call] == []


def test_nothing_is_decided_at_import() -> None:
    """No device, thread count or default type: modules define, they do not act."""
    acts = ("torch.device", "torch.cuda", "torch.set_", "torch.backends", "torch.get_num_threads")
    found = [
        f"{name}:{statement.lineno}"
        for name, tree in TREES.items()
        for statement in tree.body
        if not isinstance(statement, (*FUNCTIONS, ast.ClassDef, ast.Import, ast.ImportFrom))
        and any(act in ast.unparse(statement) for act in acts)
    ]
    assert found == []
