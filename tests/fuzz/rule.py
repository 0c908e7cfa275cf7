"""The rule that holds for every input, and a sandbox in which the command is held to it.

Exit code 0, 1 or 2; one line on stderr if the run failed; no traceback; nothing written except
what was asked for; bounded memory.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result as Invocation

from stylize.cli.main import cli
from tests.fuzz.mutations import ROOT

# An input of a few kilobytes and pictures of 32 px: a run with the real network takes 250 MB.
MAX_GROWTH_BYTES = 500_000_000

MAX_LINE_LENGTH = 2000

# No file is made in the place of one of these, nor are they changed.
BAIT = "outside/precious.txt"

# In the cache, for later runs.
_CACHES = {"sources.sqlite", "machine.json", "warm.png"}

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# Audit events that change a file, with the places of the paths among their arguments.
_CHANGES = {
    "os.chmod": (0,),
    "os.link": (0, 1),
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "shutil.rmtree": (0,),
}

_PROGRAMS = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen"}


class Watch:
    """Notes which files this process changes outside a folder, and which programs it starts."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.found: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in _PROGRAMS:
            self.found.append(f"started a program: {event} {arguments[:1]!r}")
        elif event == "open":
            path, mode, flags = arguments
            if (isinstance(flags, int) and flags & _WRITING) or set(mode or "") & set("wax+"):
                self._note(event, path)
        elif event in _CHANGES:
            for place in _CHANGES[event]:
                self._note(event, arguments[place])

    def _note(self, event: str, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return  # an open file
        place = os.path.realpath(os.fsdecode(path))
        if place != os.devnull and not place.startswith(f"{self.folder}{os.sep}"):
            self.found.append(f"{event} {place}")


_watch = Watch()  # an audit hook stays for the rest of the process


class Sandbox:
    """A folder with all that a run may read or write.

    Attributes:
        root: of everything, the home and the cache included.
        work: the current folder of each run; emptied before it.
    """

    def __init__(self, root: Path, kept: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.work = self.root / "work"
        self._kept = kept
        for name in ("home", "cache", "data", "tmp", "work", "outside"):
            (self.root / name).mkdir(exist_ok=True)
        (self.root / BAIT).write_text("precious\n")
        self._runner = CliRunner()

    def check(
        self,
        words: Sequence[object],
        files: Mapping[str, bytes | str],
        *,
        makes: Callable[[str], bool] = lambda name: False,
        remains: Callable[[str], bool] = lambda name: False,
        codes: Collection[int] = (0, 1, 2),
        setup: Callable[[Path], None] = lambda folder: None,
    ) -> Invocation:
        """Run the command on new files and check the rule.

        Args:
            words: of the command line.
            files: by name, put into the current folder.
            makes: whether a run that succeeds may make or change the file of that name.
            remains: whether any run may, a failed one included.
            codes: the exit codes allowed.
            setup: makes more than files: folders, links.
        """
        self._start_afresh(files, setup)
        before = self.listing()
        result, printed, growth = self._run([str(word) for word in words])
        problems = [*_of_code(result, codes), *_of_text(result, printed), *_watch.found]
        allowed = makes if result.exit_code in (0, 130) else (lambda name: False)
        after = self.listing()
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name) and not (allowed(name) or remains(name)):
                problems.append(f"{name} {_fate(name in before, name in after)}")
        if growth > MAX_GROWTH_BYTES:
            problems.append(f"memory grew by {growth / 1e6:.0f} MB")
        if problems:
            self._fail(words, files, setup, problems, result, printed)
        return result

    def placed(self, data: bytes) -> bytes:
        """Put the path of this sandbox in the place of what stands for it."""
        return data.replace(ROOT.encode(), str(self.root).encode())

    def warm(self, words: Sequence[object]) -> None:
        """Run the command without the rule, from the root."""
        os.chdir(self.root)
        words = [*words, "-o", "cache/warm.png", "--overwrite"]
        result = self._runner.invoke(cli, [str(word) for word in words], prog_name="stylize")
        assert result.exit_code == 0, result.output

    def listing(self) -> dict[str, object]:
        """Everything below the root except what speeds up runs: contents, links, folders."""
        found: dict[str, object] = {}
        for folder, folders, names in os.walk(self.root):
            relative = os.path.relpath(folder, self.root)
            for name in {*folders, *names} - _CACHES:
                path = os.path.join(folder, name)
                found[os.path.normpath(os.path.join(relative, name))] = _content(path)
        return found

    def _start_afresh(
        self, files: Mapping[str, bytes | str], setup: Callable[[Path], None]
    ) -> None:
        os.chdir(self.root)
        for name in ("work", "outside", "tmp", "data/models", "cache/models"):
            shutil.rmtree(self.root / name, ignore_errors=True)
            (self.root / name).mkdir(exist_ok=True)
        (self.root / BAIT).write_text("precious\n")
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode(errors="surrogatepass") if isinstance(content, str) else content
            path.write_bytes(data)
        setup(self.work)
        os.chdir(self.work)

    def _run(self, words: list[str]) -> tuple[Invocation, str, int]:
        """Run; also what libraries printed past Python, and by how much memory grew at most."""
        memory = _resident()
        _reset_peak()
        with tempfile.TemporaryFile(dir=self.root / "cache") as printed, _to_file(printed):
            _watch.found, _watch.folder = [], str(self.root)
            try:
                result = self._runner.invoke(cli, words, prog_name="stylize")
            finally:
                _watch.folder = None
            printed.seek(0)
            text = printed.read().decode(errors="replace")
        return result, text, _peak() - memory

    def _fail(
        self,
        words: Sequence[object],
        files: Mapping[str, bytes | str],
        setup: Callable[[Path], None],
        problems: list[str],
        result: Invocation,
        printed: str,
    ) -> None:
        os.chdir(self.root)
        shutil.rmtree(self._kept, ignore_errors=True)
        self._start_afresh(files, setup)
        os.chdir(self.root)
        shutil.copytree(self.root, self._kept, symlinks=True)
        trace = "".join(_traceback(result))
        pytest.fail(
            f"{'; '.join(problems[:5])}\n"
            f"exit code {result.exit_code}\nstdout: {result.stdout[-500:]}\n"
            f"stderr: {result.stderr[-1500:]}\nfile descriptors 1 and 2: {printed[-500:]}\n{trace}"
            f"to repeat: cd {self._kept}/work && stylize {shlex.join(map(str, words))}",
            pytrace=False,
        )


def _of_code(result: Invocation, codes: Collection[int]) -> Iterator[str]:
    if result.exit_code not in codes:
        yield f"exit code {result.exit_code}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        yield f"{type(result.exception).__name__} escaped"


def _of_text(result: Invocation, printed: str) -> Iterator[str]:
    lines = result.stderr.splitlines()
    errors = [line for line in lines if line.startswith("stylize: ")]
    if len(errors) != (result.exit_code in (1, 2)) and not _of_several(result):
        yield f"{len(errors)} lines of errors"
    if printed:
        yield "a library printed"
    for sign in ("Traceback", "internal error", "Warning:"):
        if sign in result.stderr:
            yield f"'{sign}' on stderr"
    for text in (result.stdout, result.stderr):
        if hidden := [c for c in text if not c.isprintable() and c != "\n"]:
            yield f"characters {hidden[:3]!r} printed"
    if (longest := max(map(len, lines), default=0)) > MAX_LINE_LENGTH:
        yield f"a line of {longest} characters"
    if re.match(r"\s*[\[{]", result.stdout):
        yield from _of_json(result.stdout)


def _of_several(result: Invocation) -> bool:
    """Whether it is a batch, which fails with a line for each picture."""
    return result.exit_code == 1 and "failed" in result.output


def _of_json(text: str) -> Iterator[str]:
    """A document, or one a line, as the standard has it."""
    try:
        _strict(text)
        return
    except ValueError:
        pass
    for line in text.splitlines():
        try:
            _strict(line)
        except ValueError as error:
            yield f"no JSON on stdout: {error}"
            return


def _strict(text: str) -> None:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    json.loads(text, parse_constant=refuse)


def _fate(was: bool, stays: bool) -> str:
    if was:
        return "was changed" if stays else "was removed"
    return "was left behind"


def _content(path: str) -> object:
    if os.path.islink(path):
        return ("link", os.readlink(path))
    if not os.path.isfile(path):
        return "folder" if os.path.isdir(path) else "special"
    with open(path, "rb") as file:
        return file.read()


def _traceback(result: Invocation) -> Iterator[str]:
    import traceback

    error = result.exception
    if error is not None:
        yield from traceback.format_exception(error)[-25:]


@contextmanager
def _to_file(file: Any) -> Iterator[None]:
    """Send the descriptors 1 and 2 to a file: C libraries write to them."""
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
        yield
    finally:
        for descriptor, before in zip((1, 2), kept, strict=True):
            os.dup2(before, descriptor)
            os.close(before)


def _status(key: str) -> int:
    """A figure of this process in bytes; 0 where the system does not tell."""
    with suppress(OSError):
        text = Path("/proc/self/status").read_text()
        if found := re.search(rf"^{key}:\s+(\d+) kB", text, re.M):
            return 1024 * int(found[1])
    return 0


def _resident() -> int:
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _reset_peak() -> None:
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
