"""DeepDream on plain tensors: what pictures, films and sheets of dreams have in common.

The method of Mordvintsev, Olah and Tyka, "Inceptionism: Going Deeper into Neural Networks"
(2015): gradient ascent on the energy of a layer, octave by octave, from small to large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from stylize.engine.evaluation import Engine
from stylize.engine.fitting import FittingEngine
from stylize.engine.layout import Demand, Layout, in_layout
from stylize.engine.machine import Machine
from stylize.engine.periodic import PeriodicEngine
from stylize.engine.plan import Cost, dream_cost, frame_px
from stylize.engine.tiled import features_of
from stylize.errors import InterruptedRunError, PictureError, SettingError
from stylize.images import Picture, resize, resize_clamped
from stylize.networks.architecture import find_layer, rectified
from stylize.networks.store import Weights
from stylize.networks.targets import Target, parse_targets, to_text
from stylize.objectives import DreamTerm, EnergyTerm, MatchTerm, Objective, ResponseTerm
from stylize.optimize.ascent import Ascent, Bounds, soft_clipped, with_colours_of
from stylize.optimize.conditioning import conditioning
from stylize.optimize.events import Iterate
from stylize.optimize.loop import Descent
from stylize.optimize.octaves import OctavePlan, dream_octaves
from stylize.optimize.schedule import Scale
from stylize.optimize.state import Keeping, ScaleOutcome
from stylize.settings import DreamSettings
from stylize.techniques.keeping import measured_in, placed
from stylize.techniques.studio import Studio
from stylize.transforms.periodic import periodic_part, resize_periodic

# Positions at the rim of a feature map that see more padding than picture (Keras's DeepDream
# example leaves out as many).
BORDER_CELLS = 2


@dataclass(frozen=True)
class Dreamt:
    """What came of it.

    Attributes:
        pixels: ``(1, 3, H, W)`` in [0, 1], on the dreamer's device.
        outcomes: of the octaves that were begun.
        interrupted: whether it was stopped.
    """

    pixels: Tensor
    outcomes: list[ScaleOutcome]
    interrupted: bool


class Dreamer:
    """The network and the objective of a dream, ready for pictures of any size.

    Args:
        settings: how it shall look.
        weights: of the network.
        machine: where the work is done.
        guide: a picture whose motifs the dream shall use.
        studio: what is shared with other pictures.
        photo: the picture, if there is one, that stays in memory beside the dream.

    Attributes:
        layout: how pictures are held in memory; set it before a dream.

    Raises:
        ExpressionError: the network has no such layer or channel.
        PictureError: the guide is smaller than what one position of the layer sees.
        SettingError: a guide together with channels.
    """

    def __init__(
        self,
        settings: DreamSettings,
        weights: Weights,
        machine: Machine,
        guide: Picture | None = None,
        studio: Studio | None = None,
        photo: Picture | None = None,
    ) -> None:
        settings.check_layers(weights.architecture)
        self.settings = settings
        self.machine = machine
        self.layout = Layout()
        self._architecture = weights.architecture
        self._targets = parse_targets(settings.layers)
        self._guided = guide is not None
        self._held_bytes = sum(each.nbytes for each in (photo, guide) if each is not None)
        self._layers = [find_layer(weights.architecture, each.layer) for each in self._targets]
        layers = [self._read_layer(each) for each in self._targets]
        self._trunk = (studio or Studio()).trunk(weights, layers, settings.pooling, machine)
        self._guide = {} if guide is None else self._features_of_guide(guide)

    @property
    def field_px(self) -> int:
        """Side of the patch that one position of the deepest layer sees."""
        return max(layer.receptive_field_px for layer in self._layers)

    def plan(self, size: tuple[int, int]) -> OctavePlan:
        """The octaves of a picture of ``(height, width)`` pixels."""
        return dream_octaves(self.settings, size, self._architecture)

    def cost(self, scales: tuple[Scale, ...]) -> Cost:
        """What a dream of these octaves will cost."""
        margin = self._margin_px if self.settings.tileable else 0
        whole = dream_cost(
            self._trunk.layers,
            scales,
            architecture=self._architecture,
            precision=self.machine.precision,
            gflops=self.machine.gflops,
            margin_px=margin,
        )
        framed = [Scale(s.height + 2 * margin, s.width + 2 * margin, s.steps) for s in scales]
        return in_layout(whole, self._demand, framed, self.layout, passes=2)

    def fit(self, size: tuple[int, int], budget_bytes: float | None) -> Layout:
        """The layout for a picture of ``(height, width)`` that memory allows.

        Raises:
            SettingError: none.
        """
        margin = self._margin_px if self.settings.tileable else 0
        return self._demand.choose((size[0] + 2 * margin, size[1] + 2 * margin), budget_bytes)

    @property
    def _demand(self) -> Demand:
        return Demand(
            self._architecture,
            self._trunk.layers,
            self.machine.precision,
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
        levels: float | None = None,
        generator: torch.Generator | None = None,
        listener: Callable[[Iterate], None] | None = None,
        stop: Callable[[], bool] | None = None,
        keeping: Keeping | None = None,
    ) -> Dreamt:
        """Dream on a picture.

        Args:
            photo: ``(1, 3, H, W)`` in [0, 1].
            scales: its octaves, as :meth:`plan` gives them.
            mask: ``(1, 1, H, W)`` in [0, 1], how much of the dream shows where; everywhere
                where it is 0, the result is ``photo`` to the bit; or its periodic part, where
                the edges shall meet.
            levels: grey levels a step; the strength, evenly spread, if None.
            generator: of the jitter; seeded by the settings if None.
            listener: is told of every step.
            stop: asked after every step; True ends it with the picture so far.
            keeping: who keeps the dream's state, and where it goes on.

        Raises:
            NumericalError: the objective left the finite numbers.
            InterruptedRunError: stopped before the first step was done.
            CheckpointError: what it shall go on from is of another dream.
        """
        photo = photo.to(self.machine.device)
        if self.settings.tileable:
            photo = periodic_part(photo).clamp_(0, 1)
        ascent = self._ascent(scales, levels, generator)
        keeping = (keeping or Keeping()).adding(
            lambda taken: placed(taken, self.layout, fitting.layout)
        )
        descent = Descent(ascent, list(scales), listener=listener, stop=stop, keeping=keeping)
        layout, self.layout = self.layout, measured_in(self.layout, descent.resume)
        terms = self._terms(self._resized(photo, scales[0].size))
        fitting = FittingEngine(self._trunk, Objective(terms), layout)
        engine = self._wrapped(fitting)
        picture, base = None, photo
        for index in range(descent.first, len(scales)):
            if descent.stops():
                break
            before, base = base, self._base(photo, scales[index].size)
            if descent.resume is not None:
                image = descent.resume.image.to(base.device)
            else:
                image = base.clone() if picture is None else self._carried(picture, before, base)
            ascent.begin(self._bounds(base, mask))
            descent.run(index, image, engine, partial(_blended, base, mask=mask))
            picture = image
        if picture is None:
            raise InterruptedRunError("stopped before the first step")
        self.layout, outcomes = fitting.layout, descent.outcomes
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

    def _carried(self, picture: Tensor, before: Tensor, base: Tensor) -> Tensor:
        """The picture at the next size: the photograph there with the detail added so far."""
        size = (base.shape[2], base.shape[3])
        if self.settings.carry == "detail":
            return soft_clipped(base + self._resized(picture - before, size), base)
        return soft_clipped(self._resized(picture, size), base)

    def _base(self, photo: Tensor, size: tuple[int, int]) -> Tensor:
        """The photograph at an octave; itself at its own size, so nothing may be changed in it."""
        resized = self._resized(photo, size)
        return photo if resized is photo else resized.clamp_(0, 1)

    def _resized(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        return (resize_periodic if self.settings.tileable else resize)(image, size)

    def _bounds(self, base: Tensor, mask: Tensor | None) -> Bounds:
        region = None
        if mask is not None:
            size = (base.shape[2], base.shape[3])
            region = (resize(mask.to(base.device), size) > 0).to(base.dtype)
        return Bounds(base, self.settings.fidelity, self.settings.keep_colors, region)

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
        return frame_px(self._architecture, self._trunk.layers)

    def _wrapped(self, engine: Engine) -> Engine:
        if not self.settings.tileable:
            return engine
        return PeriodicEngine(engine, self._margin_px, self._stride)

    def _terms(self, photo: Tensor) -> list[DreamTerm]:
        """What to amplify, in units of what a picture has of it."""
        features = features_of(self._trunk, photo, self._trunk.layers)
        return [
            self._term(target).relative_to(features[self._read_layer(target)])
            for target in self._targets
        ]

    def _read_layer(self, target: Target) -> str:
        """Whole layers after the ReLU; channels before it, where none of them is dead."""
        wanted = find_layer(self._architecture, target.layer).name
        return rectified(wanted) if target.channels is None else wanted

    def _term(self, target: Target) -> DreamTerm:
        layer = self._read_layer(target)
        name = f"dream {to_text([target])}"
        stride = find_layer(self._architecture, layer).stride
        border = self._margin_px // stride if self.settings.tileable else BORDER_CELLS
        if target.channels is not None:
            return ResponseTerm(name, layer, target.weight, channels=target.channels, border=border)
        if not self._guided:
            return EnergyTerm(name, layer, target.weight, border=border)
        guide = self._guide[layer]
        if self.settings.guide_mode == "match":
            return MatchTerm(name, layer, target.weight, guide=guide, border=border)
        shares = guide.float().mean((0, 2, 3))
        # A guide in which the layer sees nothing asks for nothing.
        shares /= shares.sum().clamp_min(torch.finfo(shares.dtype).tiny)
        return EnergyTerm(name, layer, target.weight, channels=shares, border=border)

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
                hint=f"the layer sees {self.field_px} px at a time",
            )
        shrink = max(
            self.settings.guide_size / max(height, width), self.field_px / min(height, width)
        )
        if shrink < 1:
            height, width = round(height * shrink), round(width * shrink)
        pixels = resize_clamped(guide.pixels, (height, width))
        return self._trunk(pixels.to(self.machine.device))


def _blended(photo: Tensor, picture: Tensor, *, mask: Tensor | None) -> Tensor:
    """A new picture: ``picture`` where a mask is 1, the photo where it is 0.

    Args:
        photo: ``(1, 3, H, W)``.
        picture: of the same shape.
        mask: ``(1, 1, h, w)`` in [0, 1], resized where need be; None for 1 everywhere.
    """
    if mask is None:
        return picture.clone()
    shown = resize_clamped(mask.to(photo.device), (photo.shape[2], photo.shape[3]))
    return photo + (picture - photo) * shown
