"""Rules of the house that no linter knows, read off the syntax trees."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import click
import pytest

import stylize
from stylize.cli.main import cli

PACKAGE = Path(stylize.__file__).parent
SOURCES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in SOURCES.items()}

MAX_FUNCTION_LINES = 50
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
    return [f"{name}:{line}" for name, line in places()[text] if not name.startswith(outside)]


@cache
def places() -> defaultdict[str, list[tuple[str, int]]]:
    """Where each dotted name is used: the file and the line."""
    found = defaultdict(list)
    for name, node in nodes(ast.Attribute, ast.Name):
        assert isinstance(node, (ast.Attribute, ast.Name))
        found[ast.unparse(node)].append((name, node.lineno))
    return found


def test_there_is_something_to_read() -> None:
    assert len(SOURCES) > 40
    assert mentions("Path", outside="networks/"), "the rules below find what they look for"
    assert ("cli/main.py", "click") in set(imports(outside="-"))


@pytest.mark.parametrize(
    ("library", "exceptions"), [("click", []), ("tqdm", ["products/arguments.py"])]
)
def test_only_the_commands_know_the_terminal(library: str, exceptions: list[str]) -> None:
    # The Python functions draw a bar where the caller asks for one: progress=True.
    assert [name for name, found in imports("cli/") if found == library] == exceptions


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
        # Ray learns its token only from variables.
        allowed = ("directories.py", "batches/ray.py")
        assert [place for place in found if not place.startswith(allowed)] == []


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


def test_functions_are_short() -> None:
    """Under 50 lines, the docstring not counted."""
    long = {}
    for name, node in nodes(*FUNCTIONS):
        assert isinstance(node, FUNCTIONS)
        body = node.body[1:] if ast.get_docstring(node) else node.body
        lines = (
            node.body[0].lineno
            - node.lineno
            + sum((each.end_lineno or 0) - each.lineno + 1 for each in body)
        )
        if lines >= MAX_FUNCTION_LINES:
            long[f"{name}:{node.lineno} {node.name}"] = lines
    assert long == {}


def test_no_module_hides_a_public_function() -> None:
    """Importing a submodule ``stylize.transfer`` would replace the function ``transfer``."""
    for name in SOURCES:
        if name != "__main__.py":
            import_module("stylize." + name.removesuffix(".py").replace("/", "."))
    assert callable(stylize.transfer)
    assert callable(stylize.dream)


def command_helps(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The help of a command, of its options, and of all commands below it."""
    # click remembers the first help option that a command meets.
    names = cli.context_settings["help_option_names"]
    context = click.Context(command, info_name=words[-1], help_option_names=names)
    yield " ".join(words), command.get_short_help_str(200)
    yield " ".join(words), command.help or ""
    for parameter in command.get_params(context):
        yield " ".join((*words, parameter.opts[0])), getattr(parameter, "help", None) or ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from command_helps(below, (*words, name))


def test_help_is_plain_english() -> None:
    helps = list(command_helps(cli, ("stylize",)))
    assert len(helps) > 400
    odd = re.compile(r"\b(shall|told|one's|beside|lies|(?:bits|frames) an? \w+)\b|^Of\b", re.I)
    assert [(where, text) for where, text in helps if odd.search(text)] == []
