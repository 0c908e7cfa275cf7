"""Choose the file of a result before the long run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from stylize.errors import OutputError, UnknownNameError
from stylize.images.atomic import check_writable, numbered_names, reserved
from stylize.images.names import safe_name
from stylize.images.write import format_of

__all__ = ["check_writable", "fill_template", "make_folder", "resolve_output"]

# File systems allow 255 bytes for a name, including the number and the suffix.
_MAX_STEM_BYTES, _MAX_WORDS_BYTES = 150, 80


def resolve_output(
    requested: Path | str | None,
    *,
    content: Path | None,
    suffix_words: str,
    overwrite: bool,
    inputs: Sequence[Path],
    suffix: str | None = None,
    reservations: ExitStack | None = None,
) -> Path:
    """Choose the file that a result will be written to.

    Without a requested file name, the name is made of the photo's stem and ``suffix_words``.

    Args:
        requested: a file, or a folder (also a text that ends in a slash); None for the folder of
            the photo, or the current folder without a photo.
        content: the photo.
        suffix_words: the end of the stem, such as ``starry-night``.
        overwrite: replace an existing file; otherwise a name that is not requested is numbered
            ``-2``, ``-3`` …
        inputs: files that are read, and never overwritten.
        suffix: for a name that is not requested, if the result is not a still picture; the caller
            then checks the suffix of a requested name.
        reservations: holds the reservation of a name not requested until it is closed, so that
            no other run takes it meanwhile.

    Raises:
        OutputError: a folder that cannot be made, unknown suffix, an input, or an existing file.
    """
    if requested is None:
        folder = content.parent if content else Path()
        return _free(folder, content, suffix_words, overwrite, inputs, suffix, reservations)
    path = Path(requested)
    if os.path.isdir(path) or os.fspath(requested).endswith(("/", os.sep)):
        make_folder(path, reservations)
        return _free(path, content, suffix_words, overwrite, inputs, suffix, reservations)
    if suffix is None:
        if not path.suffix:
            raise OutputError(
                f"{requested} is neither a folder nor a file name with an extension",
                hint=f"write {requested}/ to make a folder, or {requested}.png for a file",
            )
        format_of(path)
    accepted = _accepted(path, overwrite, inputs)
    make_folder(path.parent, reservations)
    return accepted


def fill_template(requested: str, values: Mapping[str, Any]) -> str:
    """Fill in the placeholders of a requested file name, such as ``{photo}-{style}.png``.

    Args:
        requested: with ``{{`` and ``}}`` for braces; ``{2}``, which names nothing, is kept.
        values: by placeholder. What file systems cannot hold is replaced: a value never leads to
            another folder.

    Raises:
        UnknownNameError: an unknown placeholder.
    """

    def value_of(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        if found[1] not in values:
            raise UnknownNameError("placeholder", found[1], values)
        value = values[found[1]]
        text = f"{value:g}" if isinstance(value, float) else str(value).lower()
        if isinstance(value, str):
            text = value
        return _clipped(safe_name(text), _MAX_WORDS_BYTES)

    return re.sub(r"\{\{|\}\}|\{([A-Za-z_]\w*)\}", value_of, requested)


def make_folder(folder: Path, reservations: ExitStack | None) -> None:
    """Make a folder and those above it; ``reservations`` removes them in the end if empty."""
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    if missing and reservations is not None:
        reservations.callback(_remove_empty, missing)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"{folder} is not a folder") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"the folder {folder} cannot be made: {reason}") from error


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _accepted(path: Path, overwrite: bool, inputs: Iterable[Path]) -> Path:
    if _is_one_of(path, inputs):
        raise OutputError(f"{path} is an input of this run", hint="write to another file")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} already exists", hint="replace it with --overwrite")
    return path


def _free(
    folder: Path,
    content: Path | None,
    words: str,
    overwrite: bool,
    inputs: Sequence[Path],
    suffix: str | None,
    reservations: ExitStack | None,
) -> Path:
    stem = "-".join(part for part in (_stem(content), _slug(words)) if part) or "picture"
    suffix = suffix or ".png"
    paths = numbered_names(folder / f"{stem}{suffix}")
    return next(
        path for path in paths if _is_free(path, overwrite, inputs) and _reserve(path, reservations)
    )


def _reserve(path: Path, reservations: ExitStack | None) -> bool:
    """Reserve a free name; False if another run has."""
    if reservations is None:
        return True
    with ExitStack() as stack:
        ours = stack.enter_context(reserved(path))
        if ours:
            reservations.push(stack.pop_all())
    return ours


def _is_free(path: Path, overwrite: bool, inputs: Sequence[Path]) -> bool:
    if not os.path.lexists(path):
        return True
    # A link that the user did not name would lead the picture elsewhere.
    is_file = os.path.isfile(path) and not os.path.islink(path)
    return overwrite and is_file and not _is_one_of(path, inputs)


def _is_one_of(path: Path, inputs: Iterable[Path]) -> bool:
    """Return whether ``path`` is the same file as an input, also by a link."""
    if not os.path.exists(path):
        return False
    return any(os.path.samefile(path, other) for other in inputs if os.path.exists(other))


def _stem(content: Path | None) -> str:
    return _clipped(content.stem, _MAX_STEM_BYTES) if content else ""


def _slug(words: str) -> str:
    """Replace whatever is special to file systems."""
    return _clipped(re.sub(r"[^\w.]+", "-", words).strip("-."), _MAX_WORDS_BYTES)


def _clipped(text: str, max_bytes: int) -> str:
    data = os.fsencode(text)
    return text if len(data) <= max_bytes else data[:max_bytes].decode(errors="ignore")
