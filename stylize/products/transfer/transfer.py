"""Neural style transfer: paint a photo in the style of other pictures.

The method of Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural
Networks" (CVPR 2016), run coarse to fine as in their "Controlling Perceptual Factors in Neural
Style Transfer" (CVPR 2017).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.errors import InterruptedRunError, PictureError, SettingError
from stylize.gradients.adaptive import AdaptiveEngine
from stylize.gradients.canvas import Canvas
from stylize.gradients.tiled import features_of
from stylize.images.cleanup import clean_up
from stylize.images.grain import with_grain
from stylize.images.read import Picture
from stylize.images.resampling import resize, resize_clamped
from stylize.images.retouch import retouched
from stylize.images.sizes import size_for_short_side
from stylize.losses.content import ContentLoss
from stylize.losses.edges import EdgesLoss
from stylize.losses.loss import FeatureLoss, ImageLoss, Objective
from stylize.losses.regions import confined
from stylize.losses.smoothness import SmoothnessLoss
from stylize.losses.statistics import blend
from stylize.losses.style import StyleLoss, StyleLossKind, style_loss_kind
from stylize.masks.plain import plain_areas
from stylize.networks.architecture import find_layer
from stylize.optimize.adam import Adam
from stylize.optimize.lbfgs import FIRST_STEP, LBFGS
from stylize.optimize.loop import Descent, Optimizer, Step
from stylize.optimize.snapshot import ScaleOutcome, Snapshot, SnapshotHooks, measured_in, placed
from stylize.planning.cost import BYTES, Cost, transfer_cost
from stylize.planning.device import budget_bytes
from stylize.planning.memory import MemoryNeed, MemoryPlan, cost_in_tiles
from stylize.products.transfer.clip_frame import ClipFrame
from stylize.products.transfer.color import finished
from stylize.products.transfer.dream_loss import dream_losses
from stylize.products.transfer.matching import (
    MATCHED_PX,
    UNIT,
    matched_features,
)
from stylize.products.transfer.style_crop import (
    Crops,
    crop_notes,
    cropped_style,
    resolved_crops,
)
from stylize.products.transfer.style_groups import Masks, StyleGroups, regions_of, with_photo
from stylize.products.transfer.style_targets import StyleStatistics, StyleTargets
from stylize.runs.recipe import compose
from stylize.runs.result import Result, alpha_of, resolution
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.fields import to_document
from stylize.settings.layers import (
    TARGET_LAYER,
    content_shares,
    is_matched,
    style_shares,
    transfer_layers,
)
from stylize.settings.presets import check_layers
from stylize.settings.schedule import Scale, result_size, size_notes, transfer_scales
from stylize.settings.transfer import TransferSettings, sees_motifs, shares_of_styles

# relu5_1 has one position per 16 pixels; a picture needs at least one.
LEAST_SIDE = 16


# Sizes of the patches by which a seed varies the start, in px of the smallest size, and how much.
VARIATION = ((16, 0.15), (4, 0.15))

# A style that is asked for at this layer lends the painting its finest detail.
FINEST_LAYER = "relu1_1"


class Transfer:
    """A prepared transfer: the network is loaded, the sizes are known.

    Args:
        content: the photo.
        styles: the style images; their statistics are blended. May be empty if regions have their
            own styles: then the rest of the photo stays unpainted.
        settings: how the result looks.
        execution: device, precision and threads.
        start: the picture to start from, for ``init="file"``.
        parts: regions with their own styles, and regions that stay unpainted.
        preset: the name of the preset behind the settings, for the recipe.
        frame: what a frame of a clip takes from the rest of the clip.
        crops: what an earlier run left out of the style images, instead of looking for frames.
        session: keeps networks in memory and shares them between calls.

    Attributes:
        styles: the style images without what ``style_crop`` leaves out.
        area: white where the styles of the whole picture apply; None for everywhere.

    Raises:
        StylizeError: the request cannot be carried out, see :mod:`stylize.errors`.
    """

    def __init__(  # noqa: PLR0913 (what a painting can be asked for)
        self,
        content: Picture,
        styles: Sequence[Picture],
        settings: TransferSettings | None = None,
        execution: Execution | None = None,
        *,
        start: Picture | None = None,
        parts: Masks | None = None,
        preset: str | None = None,
        frame: ClipFrame | None = None,
        crops: Crops | None = None,
        session: Session | None = None,
    ) -> None:
        self.settings = settings or TransferSettings()
        self._session = session or Session()
        self.content, self.styles, self.start = content, list(styles), start
        self._preset, self._parts = preset, parts or Masks()
        self._frame = None if frame is None else frame.continuation
        self._reference = None if frame is None else frame.reference
        self._check()
        self._files = self._inputs()
        self._crop_styles(crops)
        self.size = result_size(self.settings, content.size)
        self.notes += size_notes(self.settings, content.size)
        self._require_sides()
        self.scales = transfer_scales(self.settings, self.size)
        if self._frame is not None:
            self.scales = list(self._frame.scales)
        self.weights = self._session.weights(self.settings.network)
        check_layers(self.settings, self.weights.architecture)
        self.device = self._session.device(execution or Execution(), self.weights)
        self._layers = style_shares(self.settings, len(styles) or 1)
        layers = transfer_layers(self.settings, self.weights.architecture, len(styles) or 1)
        self._vgg = self._session.vgg(self.weights, layers, self.settings.pooling, self.device)
        photo = self._reference or content
        self._style_statistics = StyleStatistics(
            self._vgg, photo, self.settings, self.device, self._session, self._style_side(1.0)
        )
        self._motifs = [name for name, _ in self._layers if sees_motifs(name)]
        self._plain = self._find_plain_areas()
        may_be_empty = frame is not None and frame.may_be_empty
        self._regions = self._find_regions(execution, may_be_empty=may_be_empty)
        self.notes += self._regions.notes if self._regions else []
        self._note_missing_motifs()
        self.area = self._regions.mask if self._regions else None
        budget = budget_bytes(execution or Execution(), self.device)
        self.memory_plan = self._memory_need().choose(self.size, budget)
        self._memory_need().require_measurable(self._largest_style, budget)

    def _find_regions(
        self, execution: Execution | None, *, may_be_empty: bool
    ) -> StyleGroups | None:
        return regions_of(
            self.content,
            self.settings,
            self._parts,
            execution,
            self._session,
            whole=bool(self.styles),
            may_be_empty=may_be_empty,
        )

    def _find_plain_areas(self) -> Tensor | None:
        """Where the photo has room for motifs; None if they may be anywhere, or there are none."""
        if self.settings.motifs == "anywhere" or not self._motifs:
            return None
        return plain_areas(self.content.pixels)

    def _note_missing_motifs(self) -> None:
        """Say that there are no motifs if nothing that is painted is plain."""
        if self._plain is None or self._frame is not None:
            return
        plain, where = self._plain, "the photo"
        if self._regions is not None:
            size = (plain.shape[2], plain.shape[3])
            plain, where = plain * resize_clamped(self._regions.area, size), "the painted part"
        # As in _within: a position counts if more than half of it does.
        if float(plain.amax()) <= 0.5:
            self.notes.append(
                f"no motifs: {where} has no plain area, such as a sky; --motifs anywhere paints "
                "them all over"
            )

    def _check(self) -> None:
        self._parts.check(self.settings, len(self.styles))
        if (self.settings.init == "file") != (self.start is not None):
            raise SettingError(
                "init='file' needs a picture to start from",
                hint="content, noise and style need none",
            )

    def _crop_styles(self, recorded: Crops | None) -> None:
        """Leave out what ``style_crop`` says; the recipe still describes the whole files."""
        files = [*self.styles, *self._parts.styles]

        def cropped(style: Picture) -> Picture:
            return cropped_style(style, self.settings, self._session, recorded)

        self.styles = [cropped(style) for style in self.styles]
        self._parts = self._parts.with_styles(cropped)
        self._all_styles = [*self.styles, *self._parts.styles]
        self.notes = crop_notes(self._all_styles, files, self.settings)

    def _require_sides(self) -> None:
        for picture, size in [
            (self.content, self.size),
            *((s, s.size) for s in self._all_styles),
        ]:
            if min(size) < LEAST_SIDE:
                remedy = ""
                if picture is self.content:
                    remedy = f": {size_for_short_side(*picture.size, LEAST_SIDE)}"
                raise PictureError(
                    f"{picture.name}: {size[1]}×{size[0]} px is too small",
                    hint=f"the network needs at least {LEAST_SIDE} px a side{remedy}",
                )

    def _memory_need(self) -> MemoryNeed:
        content = sum(
            find_layer(self.weights.architecture, name).channels
            / find_layer(self.weights.architecture, name).stride ** 2
            for name, _ in content_shares(self.settings)
        )
        return MemoryNeed(
            self.weights.architecture,
            self._vgg.layers,
            self.device.precision,
            self.settings.optimizer,
            content * BYTES[self.device.precision]
            + (self._regions.bytes_per_px if self._regions else 0.0),
            held_bytes=sum(picture.nbytes for _, picture in self._files)
            + self._style_statistics.cleared_bytes(self._all_styles),
        )

    @property
    def _largest_style(self) -> tuple[int, int]:
        """``(height, width)`` at which the largest style image is measured."""
        side = self._style_side(1.0)
        sizes = [self._style_statistics.size(style, side) for style in self._all_styles]
        return max(sizes, key=math.prod)

    def _inputs(self) -> list[tuple[str, Picture]]:
        """All pictures that were read, with their roles."""
        inputs = [("content", self.content), *(("style", style) for style in self.styles)]
        if self.start is not None:
            inputs.append(("start", self.start))
        return [*inputs, *self._parts.inputs()]

    def cost(self) -> Cost:
        """What the run will cost."""
        whole = transfer_cost(
            self.settings,
            self.scales,
            architecture=self.weights.architecture,
            precision=self.device.precision,
            gflops=self.device.gflops,
            styles=len(self.styles) or 1,
        )
        need = self._memory_need()
        cost = cost_in_tiles(whole, need, self.scales, self.memory_plan, passes=3)
        peak = max(cost.peak_bytes, need.measuring_bytes(self._largest_style))
        return dataclasses.replace(cost, peak_bytes=peak)

    def run(
        self,
        on_step: Callable[[Step], None] | None = None,
        stop: Callable[[], bool] | None = None,
        snapshots: SnapshotHooks | None = None,
    ) -> Result:
        """Paint.

        Args:
            on_step, stop, snapshots: see :class:`stylize.optimize.loop.Descent`.

        Raises:
            InterruptedRunError: stopped before the first step was done.
            StylizeError: see :meth:`stylize.optimize.loop.Descent.run`.
        """
        optimizer = self._build_optimizer()
        descent = Descent(
            optimizer,
            self.scales,
            tolerance=self.settings.tolerance,
            on_step=on_step,
            stop=stop,
            snapshots=(snapshots or SnapshotHooks()).adding(self._described),
        )
        stride = max(self._vgg.strides().values())
        picture, before = None, None
        for index in range(descent.first, len(self.scales)):
            if descent.stops():
                break
            canvas = Canvas(self.scales[index].size, stride)
            if descent.resume is not None:
                image = descent.resume.image.to(self.device.name)
            else:
                image = self._enlarged(picture, canvas)
                if before is not None:
                    optimizer.resample(_between(before, canvas))
            self._fit(self.scales[index], canvas, descent.resume)
            descent.run(index, image, self._engine, self._shown_from(canvas))
            self.memory_plan = self._engine.memory_plan
            picture, before = canvas.crop(optimizer.result(image)), canvas
        return self._finish(picture, descent.outcomes)

    def _enlarged(self, picture: Tensor | None, canvas: Canvas) -> Tensor:
        """The picture of the previous scale, or the initial one, on the next canvas."""
        if picture is None:
            image = self._varied(self._initial(canvas.size)).to(self.device.name)
        else:
            image = self._grown(picture, canvas.size)
        return canvas.extend(image.clamp(0, 1)).contiguous()

    def _grown(self, picture: Tensor, size: tuple[int, int]) -> Tensor:
        """Enlarge the picture and add a share of the detail that the smaller size could not show.

        The larger scale then needs no steps to find the outlines again (after the Laplacian pyramid
        of Kolkin et al., "Style Transfer by Relaxed Optimal Transport", CVPR 2019).
        """
        if self._frame is not None:
            return self._frame.enlarged(picture, size)
        grown = resize(picture, size)
        if self.settings.detail and self.settings.init in ("content", "file"):
            fine = self._initial(size).to(grown.device)
            seen = resize(fine, (picture.shape[2], picture.shape[3]))
            grown = grown.add(fine - resize(seen, size), alpha=self.settings.detail)
        return grown

    def _fit(self, scale: Scale, canvas: Canvas, resume: Snapshot | None) -> None:
        """The engine of one scale; its targets are measured with ``memory_plan``."""
        memory_plan, self.memory_plan = self.memory_plan, measured_in(self.memory_plan, resume)
        self._engine = AdaptiveEngine(self._vgg, self._objective(scale, canvas), memory_plan)

    def carried(self, paint: Tensor) -> Result:
        """The result for a frame of a clip whose paint comes from other frames.

        Args:
            paint: ``(1, 3, *size)`` in [0, 1], on the CPU.
        """
        pixels = self._coloured(paint, dataclasses.replace(self.settings, blend=1.0))
        return self._unpainted(with_photo(pixels, self.content, self._regions))

    def untouched(self) -> Result:
        """The result for a frame of a clip whose masks leave nothing to paint."""
        return self._unpainted(resize_clamped(self.content.pixels, self.size).clone())

    def _unpainted(self, pixels: Tensor) -> Result:
        return Result(
            pixels=pixels,
            alpha=self.alpha,
            recipe=self._recipe([], interrupted=False, memory_plan=self.memory_plan),
            interrupted=False,
            notes=tuple(self.notes),
        )

    @property
    def painted_area(self) -> Tensor | None:
        """How much of the paint shows where, ``(1, 1, *size)`` in [0, 1]; None for everywhere."""
        return None if self._regions is None else self._regions.area

    @property
    def alpha(self) -> Tensor | None:
        """The transparency of the result, ``(1, 1, *size)``: that of the photo; None if opaque."""
        return alpha_of(self.content, self.size)

    def _described(self, snapshot: Snapshot) -> Snapshot:
        """Add to a snapshot of the loop whatever is needed to prepare the same run again."""
        memory_plan = self._engine.memory_plan
        recipe = self._recipe(snapshot.outcomes, interrupted=True, memory_plan=memory_plan)
        return placed(snapshot, self.memory_plan, memory_plan, recipe)

    def _shown_from(self, canvas: Canvas) -> Callable[[Tensor], Tensor]:
        """The picture that ``on_step`` gets for an image on a canvas, finished like a result.

        Only retouching is left out: it takes more time than a step.
        """
        return lambda image: self._shown(canvas.crop(image), retouch=False)

    def _shown(self, picture: Tensor, *, retouch: bool) -> Tensor:
        """A picture of any size, finished, with the requested colours and kept regions."""
        painted = self._grained(self._finished_paint(picture, retouch=retouch))
        painted = self._coloured(painted, self.settings)
        return with_photo(painted, self.content, self._regions)

    def _finished_paint(self, picture: Tensor, *, retouch: bool) -> Tensor:
        """The picture on the CPU, finished; paint from another frame is only retouched a little."""
        # MPS cannot sample beyond the border.
        raw = (picture if picture.is_cuda else picture.cpu()).contiguous()
        finer = self._retouched(raw) if retouch else raw
        cleaned = clean_up(finer, self.settings.cleanup_amount)
        if self._frame is not None:
            size = (raw.shape[2], raw.shape[3])
            trust = resize_clamped(self._frame.trust, size).to(raw.device)
            carried = torch.lerp(raw, finer, self._frame.retouch)
            cleaned = torch.lerp(cleaned, carried, trust)
        return cleaned.cpu()

    def _retouched(self, picture: Tensor) -> Tensor:
        """The picture with the finest detail of its styles."""
        amount = self.settings.retouch_amount
        if not amount:
            return picture

        def of_style(style: Picture | None) -> Tensor:
            chosen = [(style, 1.0)] if style else self._styles_at(FINEST_LAYER)
            if not any(weight for _, weight in chosen):
                return picture
            patches = self._style_statistics.patches(chosen).to(picture.device)
            return retouched(picture, patches, amount)

        return self._in_each_region(of_style)

    def _grained(self, painted: Tensor) -> Tensor:
        """The picture with the grain of its styles; without it in a clip."""
        amount, in_clip = self.settings.grain_amount, self._reference is not None
        # There, grain would flicker, and paint that moves along would carry it away.
        if not amount or in_clip:
            return painted

        def with_grain_of(style: Picture | None) -> Tensor:
            chosen = [(style, 1.0)] if style else self._styles_at(FINEST_LAYER)
            total, found = sum(weight for _, weight in chosen), painted
            for each, weight in chosen:
                grain = self._style_statistics.grain(each)
                found = with_grain(found, grain, amount * weight / total)
            return found

        return self._in_each_region(with_grain_of)

    def _in_each_region(self, painted: Callable[[Picture | None], Tensor]) -> Tensor:
        """What is painted with the style of each region, or with those of the whole picture."""
        if self._regions is None:
            return painted(None)
        return self._regions.joined(map(painted, self._regions.styles.values()))

    def _coloured(self, painted: Tensor, settings: TransferSettings) -> Tensor:
        """A painting with the requested colours; each region takes those of its own style."""

        def in_colours_of(style: Picture | None) -> Tensor:
            styles, chosen = self.styles, settings
            if style is not None:
                styles, chosen = [style], dataclasses.replace(settings, style_weights=())
            return finished(painted, self.content, styles, chosen, self._reference)

        if self._regions is None or settings.color != "palette":
            return in_colours_of(None)
        return self._regions.joined(map(in_colours_of, self._regions.styles.values()))

    def _finish(self, picture: Tensor | None, outcomes: list[ScaleOutcome]) -> Result:
        if picture is None:
            raise InterruptedRunError("stopped before the first step")
        interrupted = outcomes[-1].stopped or len(outcomes) < len(self.scales)
        return Result(
            pixels=self._shown(resize(picture, self.size).clamp_(0, 1), retouch=True),
            alpha=self.alpha,
            recipe=self._recipe(outcomes, interrupted, self.memory_plan),
            interrupted=interrupted,
            notes=tuple(self.notes),
        )

    def _recipe(
        self, outcomes: Sequence[ScaleOutcome], interrupted: bool, memory_plan: MemoryPlan
    ) -> dict[str, Any]:
        return compose(
            self.settings.TECHNIQUE,
            to_document(self.settings),
            self._files,
            weights={"name": self.weights.name, "sha256": self.weights.sha256},
            resolved={
                **resolution(self.device, self.size, outcomes, memory_plan),
                **resolved_crops(self._all_styles, self.settings),
                "content_weight": self.settings.content_loss_weight,
            },
            losses=outcomes[-1].losses if outcomes else {},
            interrupted=interrupted,
            preset=self._preset,
        )

    def _build_optimizer(self) -> Optimizer:
        caution = 1.0 if self._frame is None else self._frame.caution
        if self.settings.optimizer == "lbfgs":
            return LBFGS(self.memory_plan.history, FIRST_STEP * caution)
        return Adam(self.settings.learning_rate * caution, average=self.settings.averaging)

    def _initial(self, size: tuple[int, int]) -> Tensor:
        """The picture before the first step, ``(1, 3, *size)``."""
        if self._frame is not None:
            return resize_clamped(self._frame.start, size)
        if self.settings.init == "noise":
            generator = torch.Generator().manual_seed(self.settings.seed or 0)
            return torch.rand(1, 3, *size, generator=generator, dtype=torch.float32)
        if self.settings.init == "style":
            return cover(self._style_statistics.seen(self.styles[0]), size).clamp(0, 1)
        source = self.start if self.start is not None else self.content
        return resize_clamped(source.pixels, size)

    def _varied(self, start: Tensor) -> Tensor:
        """The start with soft noise from the seed; unchanged without a seed.

        Patches of colour and of light decide where the strokes go. Finer noise would only be
        smoothed away.
        """
        if self.settings.seed is None or self.settings.init == "noise" or self._frame:
            return start
        generator = torch.Generator().manual_seed(self.settings.seed)
        size = (start.shape[2], start.shape[3])
        varied = start
        for cell, amount in VARIATION:
            shape = [max(2, round(side / cell)) for side in size]
            noise = torch.randn(1, 3, *shape, generator=generator, dtype=torch.float32)
            varied = varied + amount * resize(noise, size)
        return varied.clamp(0, 1)

    def _objective(self, scale: Scale, canvas: Canvas) -> Objective:
        """The losses of one scale."""
        settings, share = self.settings, max(scale.size) / max(self.size)
        features = [*self._style_losses(share, canvas)]
        if settings.content_loss_weight:
            features += self._content_losses(canvas)
        if is_matched(settings, len(self.styles) or 1) and max(scale.size) <= MATCHED_PX:
            features.append(self._match_loss(share, canvas))
        if settings.dream:
            features += dream_losses(self._vgg, self._photo(canvas), settings)
        pixels: list[ImageLoss] = []
        if settings.smoothness:
            pixels.append(SmoothnessLoss(settings.smoothness))
        if settings.edges_weight:
            clear = settings.edges_kept == "clear"
            pixels.append(EdgesLoss(self._photo(canvas), settings.edges_weight, clear=clear))
        if self._frame is not None:
            pixels.append(self._frame.loss(canvas, self.device.name))
        return Objective(features, pixels)

    def _style_losses(self, share: float, canvas: Canvas) -> Sequence[FeatureLoss]:
        within = self._within(canvas)
        if self._regions is None:
            # All frames of a clip and all pictures of a batch share them, if they have one size.
            losses = self._session.style_losses(
                (self._style_key(), share), lambda: self._whole_losses(share)
            )
            return confined(losses, within, "plain areas")
        side = self._style_side(share)
        parts = {
            name: self._moments(style, side) if style else self.style_targets(share)
            for name, style in self._regions.styles.items()
        }
        return self._regions.terms(
            self._loss_kind, self._layers, parts, canvas, self.weights.architecture, within
        )

    def _within(self, canvas: Canvas) -> dict[str, Tensor]:
        """Masks of the positions that count, by layer; without a mask, all of them do."""
        if self._plain is None:
            return {}
        areas = canvas.extend(resize_clamped(self._plain.to(self.device.name), canvas.size))
        architecture = self.weights.architecture
        # More than half of what a position covers has to be plain, or motifs would reach beyond.
        return {
            name: (2 * F.avg_pool2d(areas, find_layer(architecture, name).stride) - 1).clamp(0, 1)
            for name in self._motifs
        }

    def _whole_losses(self, share: float) -> Sequence[StyleLoss]:
        """The style losses of the whole picture."""
        kind, targets = self._loss_kind, self.style_targets(share)
        return [kind(name, targets[name], weight) for name, weight in self._layers]

    @property
    def _loss_kind(self) -> StyleLossKind:
        return style_loss_kind(self.settings.style_loss, self.settings.style_variance)

    def _style_key(self) -> Hashable:
        """What these depend on, apart from the size of the scale."""
        photo = self._reference or self.content
        return (
            self.settings,
            self.size,
            tuple((style.sha256, style.crop) for style in self.styles),
            photo.sha256 if self.settings.color == "match" else None,
            self._vgg.identity,
            self.device,
        )

    def _photo(self, canvas: Canvas) -> Tensor:
        """The photo on the canvas of a scale."""
        content = resize_clamped(self.content.pixels, canvas.size)
        return canvas.extend(content.to(self.device.name))

    @torch.no_grad()
    def _content_losses(self, canvas: Canvas) -> list[ContentLoss]:
        names = [name for name, _ in content_shares(self.settings)]
        features = features_of(self._vgg, self._photo(canvas), names)
        return [
            ContentLoss(name, features[name], weight * self.settings.content_loss_weight)
            for name, weight in content_shares(self.settings)
        ]

    def _match_loss(self, share: float, canvas: Canvas) -> ContentLoss:
        """Draw each part of the photo towards similar parts of its styles."""
        photo, side = self._photo(canvas), self._style_side(share)

        def matched(style: Picture | None) -> Tensor:
            chosen = [(style, 1.0)] if style else self._styles_at(TARGET_LAYER)
            places = [
                (self._style_statistics.places(each, side), weight) for each, weight in chosen
            ]
            return matched_features(self._vgg, photo, places)

        if self._regions is None:
            target = matched(None)
        else:
            parts = {name: matched(style) for name, style in self._regions.styles.items()}
            target = self._regions.mixed(parts, canvas)
        return ContentLoss(TARGET_LAYER, target, UNIT * self.settings.match, kind="match")

    @torch.no_grad()
    def style_targets(self, share: float) -> StyleTargets:
        """Blended moments of the styles, by layer.

        Args:
            share: the scale's size relative to the final size; style images shrink with the
                picture, which keeps their strokes in proportion.
        """
        side = self._style_side(share)
        return {
            name: blend(
                [self._moments(style, side)[name] for style, _ in chosen],
                [weight for _, weight in chosen],
            )
            for name, _ in self._layers
            if (chosen := self._styles_at(name))
        }

    def _style_side(self, share: float) -> float:
        """The long side of the style images at a scale, in px."""
        return (self.settings.style_size or max(self.size)) * share

    def _styles_at(self, layer: str) -> list[tuple[Picture, float]]:
        """The styles of the whole picture that a layer is asked for, with their weights."""
        parts, weights = self.settings.style_parts, self.settings.style_weights
        chosen = shares_of_styles(layer, parts, weights, len(self.styles))
        return [(self.styles[index], weight) for index, weight in chosen]

    def _moments(self, style: Picture, side: float) -> StyleTargets:
        return self._style_statistics.moments(style, side, [name for name, _ in self._layers])


def cover(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """``picture`` resized and cropped at its centre so that it fills ``size``."""
    height, width = picture.shape[2:]
    grow = max(size[0] / height, size[1] / width)
    scaled = resize(
        picture, (max(size[0], round(height * grow)), max(size[1], round(width * grow)))
    )
    top, left = (scaled.shape[2] - size[0]) // 2, (scaled.shape[3] - size[1]) // 2
    return scaled[..., top : top + size[0], left : left + size[1]]


def _between(before: Canvas, after: Canvas) -> Callable[[Tensor], Tensor]:
    """Map a tensor from one canvas to the next; bilinear, which creates no new extremes."""

    def carry(state: Tensor) -> Tensor:
        inner = F.interpolate(before.crop(state), size=after.size, mode="bilinear")
        return after.extend(inner).contiguous()

    return carry
