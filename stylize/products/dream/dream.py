"""DeepDream on pictures and on plain tensors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from stylize.errors import InterruptedRunError, PictureError, SettingError
from stylize.gradients.adaptive import AdaptiveEngine
from stylize.gradients.periodic import PeriodicEngine
from stylize.gradients.tiled import features_of
from stylize.images.periodic import periodic_part, resize_periodic
from stylize.images.read import Picture
from stylize.images.resampling import resize, resize_clamped
from stylize.images.sizes import size_for_short_side
from stylize.losses.channels import BORDER_CELLS, ChannelLoss, EnergyLoss, PositionLoss
from stylize.losses.guide import GuideLoss
from stylize.losses.loss import Engine, Objective
from stylize.masks.masks import mask_weights, require_some, soft_inside
from stylize.networks.architecture import find_layer, positions
from stylize.networks.layer_expressions import Target, parse_targets, to_text
from stylize.networks.models import Weights
from stylize.optimize.ascent import Ascent, Bounds, conditioning, soft_clipped, with_colours_of
from stylize.optimize.loop import Descent, Step
from stylize.optimize.snapshot import ScaleOutcome, Snapshot, SnapshotHooks, measured_in, placed
from stylize.planning.cost import Cost, dream_cost, frame_px
from stylize.planning.device import Device, budget_bytes
from stylize.planning.memory import MemoryNeed, MemoryPlan, cost_in_tiles
from stylize.runs.masks import requested_mask, subject_notes
from stylize.runs.recipe import compose
from stylize.runs.result import Result, alpha_of, resolution
from stylize.runs.session import Session
from stylize.settings.dream import BaseDreamSettings, DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import to_document
from stylize.settings.layers import amplified_layer, dream_layers
from stylize.settings.schedule import OctavePlan, Scale, dream_octaves, result_size, size_notes


@dataclass(frozen=True)
class Dreamt:
    """The result of a dream on a tensor.

    Attributes:
        pixels: ``(1, 3, H, W)`` in [0, 1], on the network's device.
        outcomes: of the octaves that were started.
        interrupted: whether it was stopped.
    """

    pixels: Tensor
    outcomes: list[ScaleOutcome]
    interrupted: bool


@dataclass(frozen=True)
class DreamStart:
    """The dream that a frame of a clip takes over from other frames.

    Attributes:
        detail: ``(1, 3, H, W)``, what the dream adds to the photo before the first step.
        gain: ``(1, 1, H, W)`` in [0, 1], the share of each step that counts.
        scales: the octaves with their steps.
    """

    detail: Tensor
    gain: Tensor
    scales: tuple[Scale, ...]


class TensorDream:
    """A dream on tensors of any size: the network and the objective, without files and recipes.

    :class:`Dream` makes pictures with it, :class:`stylize.products.dream.tunnel.Tunnel` films.

    Args:
        settings: how the result looks.
        weights: of the network.
        device: the device that does the work.
        guide: a picture whose motifs the dream uses.
        session: keeps networks in memory and shares them between calls.
        photo: the photo, if any; it stays in memory during the dream.

    Attributes:
        memory_plan: how pictures are held in memory; set it before a dream.

    Raises:
        ExpressionError: the network has no such layer or channel.
        PictureError: the guide is smaller than what one position of the layer sees.
        SettingError: a guide together with channels.
    """

    def __init__(
        self,
        settings: BaseDreamSettings,
        weights: Weights,
        device: Device,
        guide: Picture | None = None,
        session: Session | None = None,
        photo: Picture | None = None,
    ) -> None:
        settings.check_layers(weights.architecture)
        self.settings = settings
        self.device = device
        self.memory_plan = MemoryPlan()
        self._architecture = weights.architecture
        self._targets = parse_targets(settings.layers)
        self._guided = guide is not None
        self._held_bytes = sum(each.nbytes for each in (photo, guide) if each is not None)
        self._layers = [find_layer(weights.architecture, each.layer) for each in self._targets]
        layers = dream_layers(settings, weights.architecture)
        self._vgg = (session or Session()).network(weights, layers, settings.pooling, device)
        if settings.tileable:
            require_even_maps(weights.name, weights.architecture, layers)
        self._guide = {} if guide is None else self._features_of_guide(guide)

    @property
    def field_px(self) -> int:
        """Side of the patch that one position of the deepest layer sees."""
        return max(layer.receptive_field_px for layer in self._layers)

    def plan(self, size: tuple[int, int]) -> OctavePlan:
        """The octaves of a picture of ``(height, width)`` pixels.

        Raises:
            PictureError: the picture is too small for a layer.
        """
        deepest = max(self._layers, key=lambda layer: layer.least_px)
        if min(size) < deepest.least_px:
            raise PictureError(
                f"{size[1]}×{size[0]} px is too small for {deepest.name}",
                hint=f"it needs at least {deepest.least_px} px a side",
            )
        return dream_octaves(self.settings, size, self._architecture)

    def cost(self, scales: tuple[Scale, ...]) -> Cost:
        """What a dream of these octaves will cost."""
        margin = self._margin_px if self.settings.tileable else 0
        whole = dream_cost(
            self._vgg.layers,
            scales,
            architecture=self._architecture,
            precision=self.device.precision,
            gflops=self.device.gflops,
            margin_px=margin,
        )
        framed = [Scale(s.height + 2 * margin, s.width + 2 * margin, s.steps) for s in scales]
        return cost_in_tiles(whole, self._memory_need, framed, self.memory_plan, passes=2)

    def fit(self, size: tuple[int, int], budget_bytes: float | None) -> MemoryPlan:
        """Choose the memory plan for a picture of ``(height, width)``.

        Raises:
            SettingError: the picture does not fit into memory.
        """
        margin = self._margin_px if self.settings.tileable else 0
        return self._memory_need.choose((size[0] + 2 * margin, size[1] + 2 * margin), budget_bytes)

    @property
    def _memory_need(self) -> MemoryNeed:
        return MemoryNeed(
            self._architecture,
            self._vgg.layers,
            self.device.precision,
            "ascent",
            held_bytes=self._held_bytes,
        )

    @torch.no_grad()
    def dream(
        self,
        photo: Tensor,
        scales: tuple[Scale, ...],
        *,
        mask: Tensor | None = None,
        start: DreamStart | None = None,
        levels: float | None = None,
        generator: torch.Generator | None = None,
        on_step: Callable[[Step], None] | None = None,
        stop: Callable[[], bool] | None = None,
        snapshots: SnapshotHooks | None = None,
    ) -> Dreamt:
        """Dream on a picture.

        Args:
            photo: ``(1, 3, H, W)`` in [0, 1].
            scales: its octaves, as :meth:`plan` gives them.
            mask: ``(1, 1, H, W)`` in [0, 1], how much of the dream shows at each pixel. Where it
                is 0, the result is exactly ``photo``, or its periodic part for a tileable
                picture.
            start: the dream that a frame of a clip takes over from others.
            levels: grey levels per step; None spreads the strength evenly.
            generator: source of the jitter; None seeds one from the settings.
            on_step: called after every step.
            stop: called after every step; True ends the run with the picture so far.
            snapshots: receives snapshots, and says where to resume.

        Raises:
            NumericalError: the objective is not finite.
            InterruptedRunError: stopped before the end of the first step.
            CheckpointError: the state to continue from belongs to another dream.
        """
        photo = photo.to(self.device.name)
        if self.settings.tileable:
            photo = periodic_part(photo).clamp_(0, 1)
        ascent = self._ascent(scales, levels, generator)
        snapshots = (snapshots or SnapshotHooks()).adding(
            lambda taken: placed(taken, self.memory_plan, fitting.memory_plan)
        )
        descent = Descent(ascent, list(scales), on_step=on_step, stop=stop, snapshots=snapshots)
        memory_plan, self.memory_plan = (
            self.memory_plan,
            measured_in(self.memory_plan, descent.resume),
        )
        terms = self._terms(self._resized(photo, scales[0].size))
        fitting = AdaptiveEngine(self._vgg, Objective(terms), memory_plan)
        engine = self._wrapped(fitting)
        picture, base = None, photo
        for index in range(descent.first, len(scales)):
            if descent.stops():
                break
            before, base = base, self._base(photo, scales[index].size)
            if descent.resume is not None:
                image = descent.resume.image.to(base.device)
            else:
                image = self._begun(picture, before, base, start)
            ascent.begin(self._bounds(base, mask, start))
            descent.run(index, image, engine, partial(_blended, base, mask=mask))
            picture = image
        if picture is None:
            raise InterruptedRunError("stopped before the first step")
        self.memory_plan, outcomes = fitting.memory_plan, descent.outcomes
        stopped = outcomes[-1].stopped or len(outcomes) < len(scales)
        return Dreamt(self._finished(picture, base, photo, mask), outcomes, stopped)

    def _finished(
        self, picture: Tensor, base: Tensor, photo: Tensor, mask: Tensor | None
    ) -> Tensor:
        if picture.shape != photo.shape:
            picture = self._carried(picture, base, photo)
            if self.settings.keep_colors:
                picture = with_colours_of(photo, picture)
        return picture if mask is None else _blended(photo, picture, mask=mask)

    def _begun(
        self, picture: Tensor | None, before: Tensor, base: Tensor, start: DreamStart | None
    ) -> Tensor:
        """The picture before the first step of an octave."""
        if start is None:
            return base.clone() if picture is None else self._carried(picture, before, base)
        size = (base.shape[2], base.shape[3])
        detail = self._resized(start.detail.to(base.device), size)
        if picture is not None:
            # What the octave before added to the dream that was there.
            there = self._resized(start.detail.to(base.device), (before.shape[2], before.shape[3]))
            detail = detail + self._resized(picture - (before + there).clamp(0, 1), size)
        return (base + detail).clamp(0, 1)

    def _carried(self, picture: Tensor, before: Tensor, base: Tensor) -> Tensor:
        """The picture at the next size: the photo at that size plus the detail added so far."""
        size = (base.shape[2], base.shape[3])
        if self.settings.carry == "detail":
            return soft_clipped(base + self._resized(picture - before, size), base)
        return soft_clipped(self._resized(picture, size), base)

    def _base(self, photo: Tensor, size: tuple[int, int]) -> Tensor:
        """The photo at an octave. At full size it is the photo itself, so do not modify it."""
        resized = self._resized(photo, size)
        return photo if resized is photo else resized.clamp_(0, 1)

    def _resized(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        return (resize_periodic if self.settings.tileable else resize)(image, size)

    def _bounds(self, base: Tensor, mask: Tensor | None, start: DreamStart | None) -> Bounds:
        size = (base.shape[2], base.shape[3])
        gain, region = None, None
        if start is not None:
            gain = self._resized(start.gain.to(base.device), size).clamp(0, 1)
        if mask is not None:
            region = (resize(mask.to(base.device), size) > 0).to(base.dtype)
        return Bounds(base, self.settings.fidelity, self.settings.keep_colors, region, gain)

    def _ascent(
        self, scales: tuple[Scale, ...], levels: float | None, generator: torch.Generator | None
    ) -> Ascent:
        settings = self.settings
        if levels is None:
            levels = settings.strength / sum(scale.steps for scale in scales)
        return Ascent(
            levels,
            steps=max(scale.steps for scale in scales),
            jitter=settings.jitter,
            condition=conditioning(
                settings.palette, settings.smoothing, periodic=settings.tileable
            ),
            generator=generator or torch.Generator().manual_seed(settings.seed),
        )

    @property
    def _stride(self) -> int:
        return max(layer.stride for layer in self._layers)

    @property
    def _margin_px(self) -> int:
        """The frame of a picture that tiles."""
        return frame_px(self._architecture, self._vgg.layers)

    def _wrapped(self, engine: Engine) -> Engine:
        if not self.settings.tileable:
            return engine
        return PeriodicEngine(engine, self._margin_px, self._stride)

    def _terms(self, photo: Tensor) -> list[PositionLoss]:
        """The losses to amplify, relative to their values for a picture."""
        features = features_of(self._vgg, photo, self._vgg.layers)
        return [
            self._term(target).relative_to(features[amplified_layer(target, self._architecture)])
            for target in self._targets
        ]

    def _term(self, target: Target) -> PositionLoss:
        layer = amplified_layer(target, self._architecture)
        name = f"dream {to_text([target])}"
        stride = find_layer(self._architecture, layer).stride
        border = self._margin_px // stride if self.settings.tileable else BORDER_CELLS
        if target.channels is not None:
            return ChannelLoss(name, layer, target.weight, channels=target.channels, border=border)
        if not self._guided:
            return EnergyLoss(name, layer, target.weight, border=border)
        guide = self._guide[layer]
        if self.settings.guide_mode == "match":
            return GuideLoss(name, layer, target.weight, guide=guide, border=border)
        shares = guide.float().mean((0, 2, 3))
        # A guide without any activation at the layer has nothing to amplify.
        shares /= shares.sum().clamp_min(torch.finfo(shares.dtype).tiny)
        return EnergyLoss(name, layer, target.weight, channels=shares, border=border)

    @torch.no_grad()
    def _features_of_guide(self, guide: Picture) -> dict[str, Tensor]:
        if any(target.channels is not None for target in self._targets):
            raise SettingError(
                "a guide works on whole layers", hint="leave the channels out of --layer"
            )
        height, width = guide.size
        if min(height, width) < self.field_px:
            raise PictureError(
                f"{guide.name}: {width}×{height} px is too small for a guide",
                hint=f"the layer needs {self.field_px} px a side",
            )
        shrink = max(
            self.settings.guide_size / max(height, width), self.field_px / min(height, width)
        )
        if shrink < 1:
            height, width = round(height * shrink), round(width * shrink)
        pixels = resize_clamped(guide.pixels, (height, width))
        return self._vgg(pixels.to(self.device.name))


def require_even_maps(network: str, architecture: str, layers: Sequence[str]) -> None:
    """Refuse layers whose maps leave out the edges of the picture: a seam would show there.

    Raises:
        SettingError: the network has a convolution without padding.
    """
    for name in layers:
        side = 32 * find_layer(architecture, name).stride
        if positions(architecture, name, (side, side)) != (32, 32):
            raise SettingError(
                f"--tileable needs maps that cover the whole picture, and {name} of {network} does"
                " not",
                hint="choose another network, such as vgg16 or googlenet",
            )


def _blended(photo: Tensor, picture: Tensor, *, mask: Tensor | None) -> Tensor:
    """A new picture: ``picture`` where a mask is 1, the photo where it is 0.

    Args:
        photo: ``(1, 3, H, W)``.
        picture: of the same shape.
        mask: ``(1, 1, h, w)`` in [0, 1], resized if necessary; None for 1 everywhere.
    """
    if mask is None:
        return picture.clone()
    shown = resize_clamped(mask.to(photo.device), (photo.shape[2], photo.shape[3]))
    return photo + (picture - photo) * shown


# Below this side the deepest layer has no position.
LEAST_SIDE = 16


class Dream:
    """A prepared dream: the network is loaded, the octaves are known.

    Args:
        photo: the picture to dream on; None for the noise that ``from_noise`` asks for.
        settings: how the result looks.
        execution: device, precision and threads.
        guide: a picture whose motifs the dream uses.
        mask: white where the dream shows, black where the photo stays.
        preset: the name of the preset behind the settings, for the recipe.
        start: the dream that a frame of a clip takes over from others.
        may_be_empty: whether the mask may leave nothing to dream on, as in a frame of a clip.
        session: keeps networks in memory and shares them between calls.

    Attributes:
        notes: messages for the user about the plan.
        octave_notes: why there are fewer octaves than the settings say; among the notes if the
            settings ask for another number than usual.
        area: white where the dream shows; None for everywhere.

    Raises:
        StylizeError: the request cannot be carried out, see :mod:`stylize.errors`.
    """

    def __init__(
        self,
        photo: Picture | None,
        settings: DreamSettings | None = None,
        execution: Execution | None = None,
        *,
        guide: Picture | None = None,
        mask: Picture | None = None,
        preset: str | None = None,
        start: DreamStart | None = None,
        may_be_empty: bool = False,
        session: Session | None = None,
    ) -> None:
        session = session or Session()
        self.settings = settings or DreamSettings()
        self.photo, self.guide, self.mask = photo, guide, mask
        self._preset, self._start = preset, start
        self.size = picture_size(photo, self.settings)
        area = requested_mask(photo, self.settings, mask, execution, session)
        self._mask = None
        if area is not None:
            self._mask = dream_area(area, self.size, self.settings.feather, photo)
            if not may_be_empty:
                require_some(self._mask, area.name)
        self.area = area
        self.weights = session.weights(self.settings.network)
        self.device = session.device(execution or Execution(), self.weights)
        self._tensor_dream = TensorDream(
            self.settings, self.weights, self.device, guide, session, photo
        )
        budget = budget_bytes(execution or Execution(), self.device)
        self._tensor_dream.memory_plan = self._tensor_dream.fit(self.size, budget)
        plan = self._tensor_dream.plan(self.size)
        self.scales = list(plan.scales if start is None else start.scales)
        self.notes = [] if photo is None else size_notes(self.settings, photo.size)
        self.octave_notes = plan.notes(self.settings.floor)
        self.notes += self.octave_notes if self.settings.asks_for_octaves else []
        self.notes += subject_notes(area, mask)

    @property
    def memory_plan(self) -> MemoryPlan:
        """The plan for holding the picture in memory, whole or in tiles."""
        return self._tensor_dream.memory_plan

    @memory_plan.setter
    def memory_plan(self, memory_plan: MemoryPlan) -> None:
        """Replace the plan."""
        self._tensor_dream.memory_plan = memory_plan

    def cost(self) -> Cost:
        """What the run will cost."""
        return self._tensor_dream.cost(tuple(self.scales))

    def run(
        self,
        on_step: Callable[[Step], None] | None = None,
        stop: Callable[[], bool] | None = None,
        snapshots: SnapshotHooks | None = None,
    ) -> Result:
        """Dream.

        Args:
            on_step, stop, snapshots: see :class:`stylize.optimize.loop.Descent`.

        Raises:
            InterruptedRunError: stopped before the first step was done.
            StylizeError: see :meth:`stylize.optimize.loop.Descent.run`.
        """
        found = self._tensor_dream.dream(
            starting_pixels(self.photo, self.settings, self.size),
            tuple(self.scales),
            mask=self._mask,
            start=self._start,
            on_step=on_step,
            stop=stop,
            snapshots=(snapshots or SnapshotHooks()).adding(self._described),
        )
        return Result(
            pixels=found.pixels.cpu().contiguous(),
            alpha=self.alpha,
            recipe=self._recipe(found.outcomes, found.interrupted, self.memory_plan),
            interrupted=found.interrupted,
            notes=tuple(self.notes),
        )

    def carried(self, detail: Tensor) -> Result:
        """The result for a frame of a clip whose dream comes from other frames.

        Args:
            detail: ``(1, 3, *size)``, what the dream adds to the photo, on the CPU.
        """
        base = self.base
        picture = soft_clipped(base + detail, base)
        if self.settings.keep_colors:
            picture = with_colours_of(base, picture)
        return self._undreamt(_blended(base, picture, mask=self._mask).contiguous())

    def untouched(self) -> Result:
        """The result for a frame of a clip whose mask leaves nothing to dream on."""
        return self._undreamt(self.base.clone())

    def _undreamt(self, pixels: Tensor) -> Result:
        return Result(
            pixels=pixels,
            alpha=self.alpha,
            recipe=self._recipe([], False, self.memory_plan),
            interrupted=False,
            notes=tuple(self.notes),
        )

    @property
    def painted_area(self) -> Tensor | None:
        """How much of the dream shows where, ``(1, 1, *size)`` in [0, 1]; None for everywhere."""
        return self._mask

    @property
    def alpha(self) -> Tensor | None:
        """The transparency of the result, ``(1, 1, *size)``: that of the photo; None if opaque."""
        return None if self.photo is None else alpha_of(self.photo, self.size)

    @property
    def base(self) -> Tensor:
        """The picture that the dream changes, ``(1, 3, *size)`` in [0, 1]."""
        pixels = starting_pixels(self.photo, self.settings, self.size)
        return periodic_part(pixels).clamp_(0, 1) if self.settings.tileable else pixels

    def _described(self, snapshot: Snapshot) -> Snapshot:
        """Add to a snapshot of the loop whatever is needed to prepare the same run again."""
        memory_plan = dataclasses.replace(self.memory_plan, tile_px=snapshot.tile_px)
        recipe = self._recipe(snapshot.outcomes, interrupted=True, memory_plan=memory_plan)
        return dataclasses.replace(snapshot, recipe=recipe)

    def _recipe(
        self, outcomes: Sequence[ScaleOutcome], interrupted: bool, memory_plan: MemoryPlan
    ) -> dict[str, Any]:
        roles = {"content": self.photo, "guide": self.guide, "mask": self.mask}
        return compose(
            self.settings.TECHNIQUE,
            to_document(self.settings),
            [(role, picture) for role, picture in roles.items() if picture is not None],
            weights={"name": self.weights.name, "sha256": self.weights.sha256},
            resolved=resolution(self.device, self.size, outcomes, memory_plan),
            losses=outcomes[-1].losses if outcomes else {},
            interrupted=interrupted,
            preset=self._preset,
        )


def picture_size(photo: Picture | None, settings: BaseDreamSettings) -> tuple[int, int]:
    """``(height, width)`` of the result.

    Raises:
        SettingError: both a photo and noise are given, or neither.
        PictureError: the picture is too small for the network.
    """
    noise = settings.noise_size
    if (photo is None) == (noise is None):
        raise SettingError("a dream starts either from a photo or from noise")
    size = noise if photo is None else result_size(settings, photo.size)
    assert size is not None
    if min(size) < LEAST_SIDE:
        remedy = "" if photo is None else f": {size_for_short_side(*photo.size, LEAST_SIDE)}"
        raise PictureError(
            f"{'the noise' if photo is None else photo.name}: {size[1]}×{size[0]} px is too small",
            hint=f"the network needs at least {LEAST_SIDE} px a side{remedy}",
        )
    return size


def starting_pixels(
    photo: Picture | None, settings: BaseDreamSettings, size: tuple[int, int]
) -> Tensor:
    """The picture before the dream, ``(1, 3, *size)``: the photo resized, or noise."""
    if photo is not None:
        return resize_clamped(photo.pixels, size)
    generator = torch.Generator().manual_seed(settings.seed)
    return noise(size, generator)


def noise(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Faint noise on grey, of the same strength at every octave, ``(1, 3, *size)``."""
    picture = torch.full((1, 3, *size), 0.5, dtype=torch.float32)
    side, longest = 4, max(size)
    while side < 2 * longest:
        cells = [math.ceil(side * each / longest) for each in size]
        picture += 0.02 * resize(
            torch.randn(1, 3, *cells, generator=generator, dtype=torch.float32), size
        )
        side *= 2
    return picture.clamp_(0, 1)


def dream_area(
    area: Picture, size: tuple[int, int], feather_px: float, photo: Picture | None = None
) -> Tensor:
    """How much of a dream shows where, ``(1, 1, *size)`` in [0, 1].

    Raises:
        PictureError: the mask has another aspect ratio than the picture.
    """
    return soft_inside(mask_weights(area, size, photo), feather_px)
