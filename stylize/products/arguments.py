"""What the Python functions have in common: their arguments, their errors, their progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from stylize.errors import SettingError, StylizeError, UnknownNameError
from stylize.images.convert import PictureSource, to_picture
from stylize.images.read import Picture
from stylize.optimize.loop import Step
from stylize.planning.device import require_own_threads
from stylize.products.inspect.result import Finding
from stylize.runs.result import Result
from stylize.settings.execution import Execution
from stylize.settings.keywords import in_python
from stylize.settings.synonyms import ours

PictureLike = PictureSource | Result | Finding
Region = tuple[PictureLike, PictureLike | None] | tuple[PictureLike, PictureLike | None, str]
Progress = bool | Callable[[Step], None]
Stop = Callable[[], bool]

EXECUTION_NAMES = {each.name for each in fields(Execution)}


def listed(style: PictureLike | Sequence[PictureLike]) -> list[Any]:
    return list(style) if isinstance(style, list | tuple) else [style]


def read(source: PictureLike, role: str) -> Picture:
    if not isinstance(source, Result | Finding):
        return to_picture(source, role=role)
    return to_picture(np.asarray(source), role=role)


def optional(source: PictureLike | None, role: str) -> Picture | None:
    return None if source is None else read(source, role)


def parts_of(region: Region) -> tuple[PictureLike, PictureLike | None, str | None]:
    """The mask, the style image and the colour of a region.

    Raises:
        SettingError: it has another form.
    """
    if not isinstance(region, tuple) or len(region) not in (2, 3):
        raise SettingError(
            "regions: each is (mask, style image), or (map, style image, colour)",
            hint='for instance regions=[("sky.png", "clouds.jpg")]',
        )
    mask, style, *colour = region
    return mask, style, colour[0] if colour else None


def split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], Execution]:
    """Separate how a result looks from where it is made."""
    said = plain(settings)
    execution = {key: said.pop(key) for key in EXECUTION_NAMES & said.keys()}
    for key in said:
        words = [each.partition(" ")[0] for each in ours(key)]
        meant = [each.removeprefix("--").replace("-", "_") for each in words]
        if found := [each for each in meant if each in EXECUTION_NAMES]:
            raise UnknownNameError("setting", key, EXECUTION_NAMES, meant=found)
    return said, Execution(**execution)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn NumPy's scalars and arrays into Python's, and pairs of layers into tables."""
    found = {key: unwrapped(value) for key, value in settings.items()}
    if "size" in found:
        found["size"] = _size(found["size"])
    for key in ("style_layers", "content_layers"):
        value = found.get(key)
        if isinstance(value, list) and all(isinstance(x, list) and len(x) == 2 for x in value):
            found[key] = {str(name): weight for name, weight in value}
    return found


def unwrapped(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: unwrapped(each) for key, each in value.items()}
    return [unwrapped(each) for each in value] if isinstance(value, list | tuple) else value


def _size(size: Any) -> Any:
    """Write a size given as ``(width, height)`` as a text."""
    found = unwrapped(size)
    pair = isinstance(found, list) and len(found) == 2
    return "x".join(map(str, found)) if pair else found


@contextmanager
def guarded() -> Iterator[None]:
    """Run with torch's usual modes; leave its state as it was; name parameters in errors."""
    require_own_threads()
    threads = torch.get_num_threads()
    try:
        with _usual_modes():
            yield
    except StylizeError as error:
        error.message = in_python(error.message)
        error.hint = error.hint and in_python(error.hint)
        error.args = (error.message,)
        raise
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


# Kinds of devices for which a host program may let torch choose the precision of operations.
_AUTOCAST = ("cpu", "cuda", "mps")


@contextmanager
def _usual_modes() -> Iterator[None]:
    """Gradients on, and neither the precision nor the device of the host program's ``with``."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in _AUTOCAST:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


@contextmanager
def counter(
    progress: bool | Callable[..., None],
    total: int | None,
    unit: str,
    done: Callable[..., int] | None = None,
) -> Iterator[Callable[..., None] | None]:
    """The caller's function, or one that moves a bar; ``done`` counts, by default the calls."""
    if not isinstance(progress, bool) or not progress:
        yield progress or None
        return
    from tqdm.auto import tqdm  # noqa: PLC0415

    with tqdm(total=total, unit=unit) as bar:

        def move(*event: Any) -> None:
            bar.total = event[-1] if total is None else total
            bar.update(1 if done is None else done(*event) - bar.n)

        yield move
