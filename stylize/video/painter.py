"""Paint the frames of a clip one by one, each from the frames that are there already."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from stylize.images.blur import blur
from stylize.images.periodic import periodic_part
from stylize.images.read import Picture
from stylize.images.resampling import resize_clamped
from stylize.images.warp import warped
from stylize.losses.temporal import nearest_first
from stylize.masks.masks import LEAST_PX
from stylize.networks.models import Weights
from stylize.optimize.loop import Step
from stylize.planning.cost import Cost
from stylize.planning.device import Device, processor
from stylize.planning.memory import MemoryPlan
from stylize.products.dream.dream import Dream, DreamStart
from stylize.products.transfer.clip_frame import ClipFrame, Continuation
from stylize.products.transfer.style_crop import Crops
from stylize.products.transfer.style_groups import Masks
from stylize.products.transfer.transfer import Transfer
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.masks import kept_part
from stylize.settings.schedule import Scale, transfer_scales
from stylize.settings.transfer import TransferSettings
from stylize.settings.video import VideoSettings
from stylize.video.flow import Motion, motion, opencv, softened
from stylize.video.turns import (
    FRESH,
    Turn,
    continues,
    first_scales,
    following_scales,
    neighbours,
    sources,
)

# Gives a frame by its number: as it was filmed, or its newest result as read back from the disk.
Frames = Callable[[int], Picture]

OnStep = Callable[[Step], None]
Stop = Callable[[], bool]

# Counts for what stands in for paint, where there is no other.
_DOUBTFUL = 1e-3

# Frames that are kept in memory at the size of the result.
_KEPT = 8


class _Painter(ABC):
    """What both kinds of clips have in common.

    What holds for the whole clip is decided once: sizes, style images and their crops, colours,
    the layout in memory. Every frame is a function of the photos, of results that exist, and of
    that alone, so that a clip that was stopped continues bit for bit.

    Args:
        still: a frame painted by itself.
        video: how frames follow from each other.

    Attributes:
        size: ``(height, width)`` of the result.
        notes: messages for the user about the plan.
        memory_plan: how a frame is held in memory; the same for all.
    """

    def __init__(self, still: Transfer | Dream, video: VideoSettings) -> None:
        opencv()
        self.video = video
        self.size: tuple[int, int] = still.size
        self.notes: list[str] = still.notes
        self.weights: Weights = still.weights
        self.device: Device = still.device
        self.scales: list[Scale] = still.scales
        self.memory_plan: MemoryPlan = still.memory_plan
        self._still = still
        self._masked = still.painted_area is not None
        self._known: OrderedDict[tuple[str, int], Tensor | None] = OrderedDict()

    @property
    def machine(self) -> dict[str, Any]:
        """What decides about rounding, besides the settings."""
        return {
            "device": self.device.name,
            "precision": self.device.precision,
            "threads": self.device.threads,
            "torch": str(torch.__version__),
            "OpenCV": str(opencv().__version__),
            "processor": hashlib.sha256(processor().encode()).hexdigest()[:12],
            "weights": self.weights.sha256,
        }

    def cost(self, turn: Turn, shot: range) -> Cost:
        """What a turn will cost, without following the motion."""
        still = self._still.cost()
        if turn.carried:
            return Cost(0.0, still.peak_bytes, None if still.seconds is None else 0.0)
        return self._cost_of_following() if continues(turn, shot, self.video) else still

    def paint(
        self,
        turn: Turn,
        shot: range,
        photo: Frames,
        result: Frames,
        on_step: OnStep | None = None,
        stop: Stop | None = None,
    ) -> Result:
        """Make a frame.

        Args:
            turn: one of :func:`stylize.video.turns.turns_of`.
            shot: numbers of the frames of its shot.
            photo: gives the frames as they were filmed; only those of the shot are asked for.
            result: gives the newest result of a frame as read back from an 8-bit PNG file. Only
                frames with an earlier turn are asked for.
            on_step, stop: see :class:`stylize.optimize.loop.Descent`.

        Raises:
            InterruptedRunError: stopped before the first step was done.
            StylizeError: see :meth:`stylize.products.transfer.transfer.Transfer.run`.
        """
        if continues(turn, shot, self.video) and not turn.carried:
            job = self._following(turn, shot, photo, result)
        else:
            job = self._job(turn.index, photo(turn.index))
        area = job.painted_area
        if area is not None:
            self._kept(("area", turn.index), lambda: area)
            if float(area.double().sum()) < LEAST_PX:
                return job.untouched()
        if turn.carried:
            return job.carried(self._between(turn, shot, photo, result))
        job.memory_plan = self.memory_plan
        return job.run(on_step, stop)

    @abstractmethod
    def _job(self, index: int, photo: Picture) -> Transfer | Dream:
        """A frame painted by itself."""

    @abstractmethod
    def _following(
        self, turn: Turn, shot: range, photo: Frames, result: Frames
    ) -> Transfer | Dream:
        """A frame that takes over the paint of others."""

    @abstractmethod
    def _cost_of_following(self) -> Cost:
        """What such a frame costs."""

    @abstractmethod
    def _layer(self, index: int, photo: Frames, result: Frames) -> Tensor:
        """What moves along with a frame, ``(1, 3, *size)``."""

    def _area(self, index: int, photo: Frames) -> Tensor | None:
        """How much of the paint shows in a frame, ``(1, 1, *size)``; None for all."""
        if not self._masked:
            return None
        return self._kept(("area", index), lambda: self._job(index, photo(index)).painted_area)

    def _moved(
        self, index: int, other: int, photo: Frames, result: Frames
    ) -> tuple[Tensor, Motion]:
        """The layer of another frame where it belongs in this one, and the way there."""
        found = motion(self._photo(index, photo), self._photo(other, photo))
        trust, area = found.trust, self._area(other, photo)
        if area is not None:
            # What was hidden by a mask was not painted.
            shown = (warped(area, found.flow, "bilinear") > 0.98).to(trust.dtype)
            trust = torch.minimum(trust, softened(shown))
        moved = warped(self._layer(other, photo, result), found.flow)
        return moved, Motion(found.flow, trust, torch.minimum(trust, found.steady))

    def _gathered(
        self, turn: Turn, shot: range, photo: Frames, result: Frames
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The moved layers of several frames as one, its trust, and where to hold it firmly."""
        others = sources(turn, shot, self.video)
        parts = [self._moved(turn.index, other, photo, result) for other in others]
        layer, trust = nearest_first([(moved, found.trust) for moved, found in parts])
        if turn.number > 1:
            # Half of the paint is the frame's own, from the pass before.
            own = self._layer(turn.index, photo, result)
            return (own + trust * layer) / (1 + trust), trust, torch.ones_like(trust)
        return layer, trust, torch.minimum(parts[0][1].steady, parts[-1][1].trust)

    def _between(self, turn: Turn, shot: range, photo: Frames, result: Frames) -> Tensor:
        """The layers of the two painted neighbours, moved to a frame between them."""
        before, after = neighbours(turn, shot, self.video)
        layer: Tensor | float = 0.0
        total: Tensor | float = 0.0
        for other, way in ((before, after - turn.index), (after, turn.index - before)):
            moved, found = self._moved(turn.index, other, photo, result)
            guess = self._guess(turn.index, other, (moved, found.flow), photo, result)
            share = way / (after - before)
            layer = layer + share * (found.trust * moved + _DOUBTFUL * guess)
            total = total + share * (found.trust + _DOUBTFUL)
        return torch.as_tensor(layer / total)

    def _guess(
        self,
        index: int,
        other: int,
        moved: tuple[Tensor, Tensor],
        photo: Frames,
        result: Frames,
    ) -> Tensor:
        """What stands in where no frame shows the same place.

        Args:
            index, other: of the frame, and of one that is painted.
            moved: the layer of the other frame, and the flow by which it was moved.
            photo, result: see :meth:`paint`.
        """
        return moved[0]

    def _photo(self, index: int, photo: Frames) -> Tensor:
        """A frame as it was filmed, at the size of the result."""
        found = self._kept(("photo", index), lambda: resize_clamped(photo(index).pixels, self.size))
        assert found is not None
        return found

    def _kept(self, key: tuple[str, int], make: Callable[[], Tensor | None]) -> Tensor | None:
        if key not in self._known:
            self._known[key] = make()
            while len(self._known) > 2 * _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]


# The weight of the temporal loss at half coherence, in the units of each style loss, and the most
# coherence that counts: with a larger weight, the few steps of a frame paint nothing new. Chosen
# by eye.
_WEIGHT, _MOST = {"wasserstein": 12.0, "moments": 60.0, "gram": 60.0}, 0.95

# Share of that weight at the edges of movements, and where the furthest frame shows nothing yet:
# new paint can develop. Above the default coherence, which has these odds, it grows no more.
_LOOSE, _USUAL_ODDS = 0.05, 4.0

# Length of the first step of such a frame, relative to that of a still.
_CAUTION = 0.5

# How much of the retouching the paint of other frames gets, per share that is missing to full
# coherence. Without any, the marks of the network come back from frame to frame; with much, the
# paint flickers.
_RETOUCH = 1.25

# Of what stands in between painted frames, strokes up to this size are those of a neighbour, the
# rest is the photo in the colours of the paint.
_STROKES = 1 / 64

# Side of the picture on which the colours of new paint are estimated, and the ridge against noise.
_SMALL, _RIDGE = 96, 1e-3


class ClipPainter(_Painter):
    """Paints the frames of a clip in the style of pictures.

    Args:
        reference: the first frame of the clip. It gives the size, and the colours that
            ``color="match"`` and ``color="palette"`` start from.
        styles: see :class:`stylize.products.transfer.transfer.Transfer`.
        settings: how a frame looks.
        video: how frames follow from each other.
        execution: device, precision and threads.
        start: the picture that shots start from, for ``init="file"``.
        masks: regions with their own styles and regions that stay unpainted; a function gives
            those of a frame by its number.
        preset: the name of the preset behind the settings, for the recipe.
        crops: what an earlier run left out of the style images, instead of looking for frames.
        session: keeps networks in memory and shares them between calls.

    Raises:
        StylizeError: the request cannot be carried out, see :mod:`stylize.errors`.
    """

    def __init__(  # noqa: PLR0913 (what a clip can be asked for)
        self,
        reference: Picture,
        styles: Sequence[Picture],
        settings: TransferSettings,
        video: VideoSettings,
        execution: Execution | None = None,
        *,
        start: Picture | None = None,
        masks: Masks | Callable[[int], Masks] | None = None,
        preset: str | None = None,
        crops: Crops | None = None,
        session: Session | None = None,
    ) -> None:
        self.settings = settings
        self._reference, self._styles = reference, list(styles)
        self._execution, self._preset = execution, preset
        self._start, self._masks, self._crops = start, masks, crops
        self._session = session or Session()
        self.video = video
        super().__init__(self._job(0, reference), video)

    def _job(self, index: int, photo: Picture, taken: Continuation | None = None) -> Transfer:
        job = Transfer(
            photo,
            self._styles,
            self.settings,
            self._execution,
            start=self._start,
            parts=self._masks(index) if callable(self._masks) else self._masks,
            preset=self._preset,
            crops=self._crops,
            session=self._session,
            frame=ClipFrame(self._reference, taken, _may_be_empty(self._masks, self.settings)),
        )
        if taken is None:
            job.scales = first_scales(self.video, job.scales)
        return job

    def _following(self, turn: Turn, shot: range, photo: Frames, result: Frames) -> Transfer:
        target, trust, firm = self._gathered(turn, shot, photo, result)
        target = target.clamp(0, 1)
        coherence = min(self.video.coherence, _MOST)
        odds = coherence / (1 - coherence)
        loose = _LOOSE * min(1.0, _USUAL_ODDS / odds)
        taken = Continuation(
            start=torch.lerp(self._new(turn, shot, photo, result), target, trust),
            target=target,
            trust=trust * (loose + (1 - loose) * firm),
            weight=_WEIGHT[self.settings.style_loss] * odds,
            scales=self._scales_of_following(),
            caution=_CAUTION,
            retouch=min(1.0, _RETOUCH * (1 - self.video.coherence)),
        )
        return self._job(turn.index, photo(turn.index), taken)

    def _new(self, turn: Turn, shot: range, photo: Frames, result: Frames) -> Tensor:
        """What to start from where no frame can give its paint."""
        if turn.number > 1:
            return self._layer(turn.index, photo, result)
        nearest = sources(turn, shot, self.video)[0]
        return self._recoloured(turn.index, nearest, photo, result)

    def _guess(
        self,
        index: int,
        other: int,
        moved: tuple[Tensor, Tensor],
        photo: Frames,
        result: Frames,
    ) -> Tensor:
        layer, flow = moved
        # Without the outlines of the photo, which belong elsewhere in this frame.
        strokes = layer - warped(self._recoloured(other, other, photo, result), flow)
        strokes -= blur(strokes, _STROKES * max(self.size))
        return (self._recoloured(index, other, photo, result) + strokes).clamp(0, 1)

    def _recoloured(self, index: int, other: int, photo: Frames, result: Frames) -> Tensor:
        return recoloured(
            self._photo(index, photo),
            self._photo(other, photo),
            self._layer(other, photo, result),
        )

    def _layer(self, index: int, photo: Frames, result: Frames) -> Tensor:
        return resize_clamped(result(index).pixels, self.size)

    def _scales_of_following(self) -> list[Scale]:
        scales = transfer_scales(self.settings, self.size)
        return following_scales(self.settings, self.video, scales)

    def _cost_of_following(self) -> Cost:
        job = self._job(0, self._reference)
        job.scales = self._scales_of_following()
        return job.cost()


def _may_be_empty(masks: object, settings: TransferSettings | DreamSettings) -> bool:
    """Whether each frame has masks of its own, some of which may be empty."""
    return callable(masks) or kept_part(settings) is not None


def recoloured(photo: Tensor, other: Tensor, painted: Tensor) -> Tensor:
    """Give a photo the colours that paint gave to another photo of the same scene.

    Args:
        photo, other, painted: ``(1, 3, H, W)`` in [0, 1].

    Returns:
        The photo under the affine map of colours that leads from ``other`` to ``painted`` best.
    """
    height, width = (
        max(1, round(side * _SMALL / max(photo.shape[2:]))) for side in photo.shape[2:]
    )
    seen = resize_clamped(other, (height, width)).flatten(2)[0].double()
    wanted = resize_clamped(painted, (height, width)).flatten(2)[0].double()
    centre, mean = seen.mean(1, keepdim=True), wanted.mean(1, keepdim=True)
    seen = seen - centre
    spread = seen @ seen.T / seen.shape[1] + _RIDGE * torch.eye(3, dtype=torch.float64)
    shared = (wanted - mean) @ seen.T / seen.shape[1]
    matrix: Tensor = torch.linalg.solve(spread, shared.T).T
    flat = matrix.float() @ (photo.flatten(2)[0] - centre.float()) + mean.float()
    return flat.view_as(photo).clamp(0, 1)


class DreamClipPainter(_Painter):
    """Dreams on the frames of a clip, so that creatures stay where they are.

    Only what the dream adds to a photo moves along; the photo itself is always that of the frame.

    Args:
        reference: the first frame of the clip, which gives the size.
        settings: how a frame looks.
        video: how frames follow from each other.
        execution: device, precision and threads.
        guide: see :class:`stylize.products.dream.dream.Dream`.
        mask: white where the dream shows; a function gives that of a frame by its number.
        preset: the name of the preset behind the settings, for the recipe.
        session: keeps networks in memory and shares them between calls.

    Raises:
        StylizeError: the request cannot be carried out, see :mod:`stylize.errors`.
    """

    def __init__(
        self,
        reference: Picture,
        settings: DreamSettings,
        video: VideoSettings,
        execution: Execution | None = None,
        *,
        guide: Picture | None = None,
        mask: Picture | Callable[[int], Picture] | None = None,
        preset: str | None = None,
        session: Session | None = None,
    ) -> None:
        self.settings = settings
        self._reference, self._guide, self._mask = reference, guide, mask
        self._execution, self._preset = execution, preset
        self._session = session or Session()
        super().__init__(self._job(0, reference), video)

    def _job(self, index: int, photo: Picture, start: DreamStart | None = None) -> Dream:
        return Dream(
            photo,
            self.settings,
            self._execution,
            guide=self._guide,
            mask=self._mask(index) if callable(self._mask) else self._mask,
            preset=self._preset,
            start=start,
            may_be_empty=_may_be_empty(self._mask, self.settings),
            session=self._session,
        )

    def _following(self, turn: Turn, shot: range, photo: Frames, result: Frames) -> Dream:
        detail, trust, _ = self._gathered(turn, shot, photo, result)
        fresh = FRESH * (1 - self.video.coherence)
        if turn.number == 1:
            detail = detail * trust
        start = DreamStart(
            detail=(1 - fresh) * detail,
            gain=1 - trust * (1 - fresh) if turn.number == 1 else torch.full_like(trust, fresh),
            scales=self._scales_of_following(),
        )
        return self._job(turn.index, photo(turn.index), start)

    def _layer(self, index: int, photo: Frames, result: Frames) -> Tensor:
        base = self._photo(index, photo)
        return resize_clamped(result(index).pixels, self.size) - base

    def _photo(self, index: int, photo: Frames) -> Tensor:
        pixels = super()._photo(index, photo)
        return periodic_part(pixels).clamp(0, 1) if self.settings.tileable else pixels

    def _scales_of_following(self) -> tuple[Scale, ...]:
        return tuple(following_scales(self.settings, self.video, self.scales))

    def _cost_of_following(self) -> Cost:
        job = self._job(0, self._reference)
        job.scales = list(self._scales_of_following())
        return job.cost()
