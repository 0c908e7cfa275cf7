"""How much a response falls where a grey patch hides the photo.

Reference:
    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylize.errors import InterruptedRunError, SettingError
from stylize.images.read import Picture
from stylize.products.inspect.response import Features, Query, Response, query, silence_of
from stylize.products.inspect.result import Finding, OnStep, Stop, brief, stretched
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import OcclusionSettings


@dataclass(frozen=True)
class Patch:
    """The patch that hides the photo.

    Attributes:
        side_px: of the square.
        step_px: distance from one place to the next.
        fill: grey level, in [0, 1].
    """

    side_px: int
    step_px: int
    fill: float = 0.5


@dataclass(frozen=True)
class Occlusion:
    """The response for each place of the patch.

    Attributes:
        whole: response to the photo without the patch.
        tops, lefts: corners of the patch in px, sorted; all pairs were tried.
        responses: ``(len(tops), len(lefts))``; ``whole`` for places that were not reached.
        interrupted: whether the run was stopped before the last place.
    """

    whole: float
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    responses: Tensor
    interrupted: bool = False

    @property
    def drops(self) -> Tensor:
        """The fall of the response at each place; negative where it rises."""
        return self.whole - self.responses


def places(side: int, patch: int, step: int) -> tuple[int, ...]:
    """Offsets of the patch along a side that cover all of it.

    Args:
        side: in px.
        patch: in px; a patch longer than the side has offset 0.
        step: from one place to the next; the last step may be shorter.
    """
    last = max(0, side - patch)
    return tuple(dict.fromkeys((*range(0, last, step), last)))


def require_uncovered(image: Tensor, patch_px: int) -> None:
    """Check that the patch leaves part of the photo uncovered.

    Args:
        image: ``(1, 3, H, W)``.
        patch_px: side of the patch.

    Raises:
        SettingError: the patch covers the whole photo, so that no place can be told from another.
    """
    height, width = image.shape[2:]
    if patch_px >= max(height, width):
        raise SettingError(
            f"--patch: {patch_px} px covers the whole photo of {width}×{height} px",
            hint=f"use at most {max(1, min(height, width) // 2)}, or a larger --size",
        )


@torch.no_grad()
def occlude(
    network: Callable[[Tensor], Features],
    response: Response,
    image: Tensor,
    patch: Patch,
    *,
    batch: int = 8,
    on_step: OnStep | None = None,
    stop: Stop | None = None,
) -> Occlusion:
    """Compute the response with the patch in every place.

    Args:
        network: gives the layers of the response.
        response: the response that is watched.
        image: ``(1, 3, H, W)`` RGB in [0, 1].
        patch: the patch.
        batch: pictures in one pass of the network.
        on_step: called after each pass with the number of places done and of all places.
        stop: called after each pass; True ends the run.
    """
    tops, lefts = (places(side, patch.side_px, patch.step_px) for side in image.shape[2:])
    corners = [(top, left) for top in tops for left in lefts]
    whole = float(response(network(image)))
    found = torch.full((len(corners),), whole, dtype=torch.float32)
    done = 0
    for hidden in _batches(image, corners, patch, batch):
        found[done : done + len(hidden)] = response(network(hidden)).float().cpu()
        done += len(hidden)
        if on_step is not None:
            on_step(done, len(corners))
        if stop is not None and stop():
            break
    shaped = found.view(len(tops), len(lefts))
    return Occlusion(whole, tops, lefts, shaped, interrupted=done < len(corners))


def _batches(
    image: Tensor, corners: list[tuple[int, int]], patch: Patch, batch: int
) -> Iterator[Tensor]:
    for start in range(0, len(corners), batch):
        part = corners[start : start + batch]
        hidden = image.repeat(len(part), 1, 1, 1)
        for each, (top, left) in zip(hidden, part, strict=True):
            each[:, top : top + patch.side_px, left : left + patch.side_px] = patch.fill
        yield hidden


def drop_map(occlusion: Occlusion, size: tuple[int, int], patch: int) -> Tensor:
    """The mean drop of the patches that hid each pixel, ``(1, 1, *size)``.

    Args:
        occlusion: the responses.
        size: ``(height, width)`` of the photo in px.
        patch: side of the patch in px.
    """
    total, count = torch.zeros(2, *size, dtype=torch.float32)
    for row, top in enumerate(occlusion.tops):
        for column, left in enumerate(occlusion.lefts):
            here = slice(top, top + patch), slice(left, left + patch)
            total[here] += occlusion.drops[row, column]
            count[here] += 1
    mean: Tensor = total / count
    return mean[None, None]


def show_occlusion(
    photo: Picture,
    settings: OcclusionSettings,
    execution: Execution | None = None,
    *,
    like: Picture | None = None,
    on_step: OnStep | None = None,
    stop: Stop | None = None,
    session: Session | None = None,
) -> Finding:
    """Show where a response falls when a grey patch hides the photo.

    Args:
        photo, execution, like, session: see :func:`stylize.products.inspect.response.query`.
        settings: of the target, the patch and the view.
        on_step: called after each pass with the number of places done and of all places.
        stop: called after each pass; True ends the run without a result.

    Raises:
        InterruptedRunError: stopped before all places were done.
        SettingError: the patch covers the whole photo.
        StylizeError: see :func:`stylize.products.inspect.response.query`.
    """
    asked = query(photo, settings, execution, like=like, session=session)
    patch, image = Patch(settings.patch, settings.step, settings.fill), asked.image
    require_uncovered(image, settings.patch)
    found = occlude(
        asked.vgg,
        asked.response,
        image,
        patch,
        batch=settings.batch,
        on_step=on_step,
        stop=stop,
    )
    if found.interrupted:
        raise InterruptedRunError("stopped before the patch reached every place")
    size = (image.shape[2], image.shape[3])
    shares = stretched(drop_map(found, size, settings.patch).clamp_min(0)).to(image)
    return asked.finding(
        shares,
        settings.view,
        _numbers(found, settings.patch, size, asked),
        silence_of(asked.response, asked.features()),
        [] if float(found.drops.max()) > 0 else ["hiding no part of the photo lowers the response"],
    )


def _numbers(found: Occlusion, patch: int, size: tuple[int, int], asked: Query) -> dict[str, Any]:
    row, column = divmod(int(found.drops.argmax()), len(found.lefts))
    corner = found.tops[row], found.lefts[column]
    down, across = (
        (first + min(first + patch, side)) / 2 / side
        for first, side in zip(corner, size, strict=True)
    )
    return {
        "response": brief(found.whole),
        "places": len(found.tops) * len(found.lefts),
        "largest_drop": brief(float(found.drops.max())),
        "least_drop": brief(float(found.drops.min())),
        "peak": asked.place(down, across),
    }
