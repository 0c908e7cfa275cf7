"""What a network's response loses where a grey patch hides the photo.

Reference:
    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylize.errors import InterruptedRunError
from stylize.images.read import Picture
from stylize.products.inspect.heat_colors import stretched
from stylize.products.inspect.model import Finding, Inquiry, brief, inquire
from stylize.products.inspect.response import Features, Response
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import OcclusionSettings


@dataclass(frozen=True)
class Patch:
    """What hides the photo.

    Attributes:
        side_px: of the square.
        step_px: way from one place to the next.
        fill: its grey, in [0, 1].
    """

    side_px: int
    step_px: int
    fill: float = 0.5


@dataclass(frozen=True)
class Occlusion:
    """The response for each place of the patch.

    Attributes:
        whole: of the photo as it is.
        tops, lefts: corners of the patch in px, sorted; all pairs were tried.
        responses: ``(len(tops), len(lefts))``; of places that were not reached, ``whole``.
        interrupted: whether some were not.
    """

    whole: float
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    responses: Tensor
    interrupted: bool = False

    @property
    def drops(self) -> Tensor:
        """What the response loses, of the shape of ``responses``; below 0 it gains."""
        return self.whole - self.responses


def places(side: int, patch: int, step: int) -> tuple[int, ...]:
    """Where a patch begins along a side, so that all of it is covered.

    Args:
        side: in px.
        patch: in px; one that is longer than the side begins at 0.
        step: from one place to the next; the last may be nearer.
    """
    last = max(0, side - patch)
    return tuple(dict.fromkeys((*range(0, last, step), last)))


@torch.no_grad()
def occlude(
    network: Callable[[Tensor], Features],
    response: Response,
    image: Tensor,
    patch: Patch,
    *,
    batch: int = 8,
    on_step: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Occlusion:
    """The response with the patch in every place.

    Args:
        network: gives the layers of the response.
        response: what is watched.
        image: ``(1, 3, H, W)`` RGB in [0, 1].
        patch: what hides it.
        batch: pictures in one pass of the network.
        on_step: is told how many places were done, and how many there are, after each pass.
        stop: asked after each pass; True ends it.
    """
    tops, lefts = (places(side, patch.side_px, patch.step_px) for side in image.shape[2:])
    corners = [(top, left) for top in tops for left in lefts]
    whole = float(response(network(image)))
    found = torch.full((len(corners),), whole)
    done = 0
    for hidden in _batches(image, corners, patch, batch):
        found[done : done + len(hidden)] = response(network(hidden)).float().cpu()
        done += len(hidden)
        if on_step is not None:
            on_step(len(hidden), len(corners))
        if stop is not None and stop():
            break
    shaped = found.view(len(tops), len(lefts))
    return Occlusion(whole, tops, lefts, shaped, interrupted=done < len(corners))


def _batches(
    image: Tensor, corners: list[tuple[int, int]], patch: Patch, batch: int
) -> Iterator[Tensor]:
    """Copies of the photo, each with the patch in the next place."""
    for start in range(0, len(corners), batch):
        part = corners[start : start + batch]
        hidden = image.repeat(len(part), 1, 1, 1)
        for each, (top, left) in zip(hidden, part, strict=True):
            each[:, top : top + patch.side_px, left : left + patch.side_px] = patch.fill
        yield hidden


def drop_map(occlusion: Occlusion, size: tuple[int, int], patch: int) -> Tensor:
    """For every pixel the mean drop of the patches that hid it, ``(1, 1, *size)``.

    Args:
        occlusion: the responses.
        size: ``(height, width)`` of the photo in px.
        patch: side of the patch in px.
    """
    total, count = torch.zeros(2, *size)
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
    on_step: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    session: Session | None = None,
) -> Finding:
    """What a response loses where a grey patch hides the photo.

    Args:
        photo, execution, like, session: see :func:`stylize.products.inspect.model.inquire`.
        settings: of what, with which patch, and how it is shown.
        on_step: is told how many places were done, and how many there are, after each pass.
        stop: asked after each pass; True ends the run without a result.

    Raises:
        InterruptedRunError: stopped before all places were done.
        StylizeError: what :func:`stylize.products.inspect.model.inquire` raises.
    """
    inquiry = inquire(photo, settings, execution, like=like, session=session)
    patch, image = Patch(settings.patch, settings.step, settings.fill), inquiry.image
    found = occlude(
        inquiry.vgg,
        inquiry.response,
        image,
        patch,
        batch=settings.batch,
        on_step=on_step,
        stop=stop,
    )
    if found.interrupted:
        raise InterruptedRunError("stopped before the patch had been everywhere")
    size = (image.shape[2], image.shape[3])
    shares = stretched(drop_map(found, size, settings.patch).clamp_min(0)).to(image)
    return inquiry.finding(shares, settings.view, _numbers(found, settings.patch, size, inquiry))


def _numbers(
    found: Occlusion, patch: int, size: tuple[int, int], inquiry: Inquiry
) -> dict[str, Any]:
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
        "peak": inquiry.place(down, across),
    }
