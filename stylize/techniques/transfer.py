"""Neural style transfer: a photograph's content in the style of other pictures.

The recipe of Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural
Networks" (CVPR 2016), run coarse to fine as in their "Controlling Perceptual Factors in Neural
Style Transfer" (CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.engine.canvas import Canvas
from stylize.engine.fitting import FittingEngine
from stylize.engine.layout import Demand, in_layout
from stylize.engine.machine import budget_bytes
from stylize.engine.plan import BYTES, Cost, transfer_cost
from stylize.engine.tiled import features_of, moments_of_layers
from stylize.errors import InterruptedRunError, PictureError, SettingError
from stylize.images import Picture, SizeSpec, resize
from stylize.networks.architecture import find_layer
from stylize.networks.trunk import Trunk
from stylize.objectives import ContentTerm, Moments, Objective, SmoothnessTerm, blend
from stylize.objectives.style import STYLE_TERMS
from stylize.optimize.adam import Adam
from stylize.optimize.events import Iterate
from stylize.optimize.lbfgs import LBFGS
from stylize.optimize.loop import Descent, Optimizer, ScaleOutcome
from stylize.optimize.schedule import Scale, schedule
from stylize.recipes import compose
from stylize.settings import Execution, LayerWeights, TransferSettings, to_document
from stylize.techniques.painting import Painting, alpha_of, resolution
from stylize.techniques.studio import Studio

# relu5_1 has one position for 16 pixels; a picture must hold at least one.
LEAST_SIDE = 16
# A style is not shrunk below this short side, however coarse the scale.
LEAST_STYLE_SIDE = 32

StyleTargets = dict[str, Moments]


class Transfer:
    """One transfer, prepared: the network is loaded, the sizes are known.

    Args:
        content: the photograph.
        styles: one or several; their statistics are blended.
        settings: how it shall look.
        execution: where it is done.
        start: the picture to start from, for ``init="file"``.
        preset: the name of the preset behind the settings, for the recipe.
        studio: what is shared with other pictures.

    Raises:
        StylizeError: the request cannot be carried out, see :mod:`stylize.errors`.
    """

    def __init__(
        self,
        content: Picture,
        styles: Sequence[Picture],
        settings: TransferSettings | None = None,
        execution: Execution | None = None,
        *,
        start: Picture | None = None,
        preset: str | None = None,
        studio: Studio | None = None,
    ) -> None:
        self.settings = settings or TransferSettings()
        self._studio = studio or Studio()
        self.content, self.styles, self.start = content, list(styles), start
        self._preset = preset
        self.notes: list[str] = []
        self._check()
        self.size = SizeSpec.parse(self.settings.size).fit(*content.size)
        self._require_sides()
        self.scales = schedule(
            *self.size,
            steps=self.settings.steps,
            final_steps=self.settings.steps_at_the_end,
            coarsest=self.settings.min_size,
        )
        self.weights = self._studio.weights(self.settings.network)
        self.settings.check_layers(self.weights.architecture)
        self.machine = self._studio.machine(execution or Execution(), self.weights)
        self._trunk = self._build_trunk()
        budget = budget_bytes(execution or Execution(), self.machine)
        self.layout = self._demand().choose(self.size, budget)

    def _check(self) -> None:
        self.settings.check_styles(len(self.styles))
        if (self.settings.init == "file") != (self.start is not None):
            raise SettingError("init 'file' and a picture to start from go together")

    def _require_sides(self) -> None:
        for picture, size in [(self.content, self.size), *((s, s.size) for s in self.styles)]:
            if min(size) < LEAST_SIDE:
                raise PictureError(
                    f"{picture.name}: {size[1]}×{size[0]} px is too small",
                    hint=f"the network needs at least {LEAST_SIDE} px a side",
                )

    def _build_trunk(self) -> Trunk:
        layers = [name for name, weight in self.settings.style_layers if weight]
        if self.settings.content_weight:
            layers += [name for name, weight in self.settings.content_layers if weight]
        return self._studio.trunk(self.weights, layers, self.settings.pooling, self.machine)

    def _demand(self) -> Demand:
        content = sum(
            find_layer(self.weights.architecture, name).channels
            / find_layer(self.weights.architecture, name).stride ** 2
            for name, _ in shares(self.settings.content_layers)
        )
        return Demand(
            self.weights.architecture,
            self._trunk.layers,
            self.machine.precision,
            self.settings.optimizer,
            content * BYTES[self.machine.precision],
        )

    def cost(self) -> Cost:
        """What the run will cost."""
        whole = transfer_cost(
            self.settings,
            self.scales,
            architecture=self.weights.architecture,
            precision=self.machine.precision,
            gflops=self.machine.gflops,
        )
        return in_layout(whole, self._demand(), self.scales, self.layout, passes=3)

    def run(
        self,
        listener: Callable[[Iterate], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Painting:
        """Paint.

        Args:
            listener: is told of every step.
            stop: asked after every step; True ends the run with the picture so far.

        Raises:
            NumericalError: the objective left the finite numbers.
            InterruptedRunError: stopped before the first step was done.
        """
        optimizer = self._build_optimizer()
        descent = Descent(
            optimizer,
            self.scales,
            tolerance=self.settings.tolerance,
            listener=listener,
            stop=stop,
        )
        picture = self._initial(self.scales[0].size).to(self.machine.device)
        stride = max(self._trunk.strides().values())
        before: Canvas | None = None
        outcomes: list[ScaleOutcome] = []
        for index, scale in enumerate(self.scales):
            if stop is not None and stop():
                break
            canvas = Canvas(scale.size, stride)
            image = canvas.extend(resize(picture, scale.size).clamp(0, 1)).contiguous()
            if before is not None:
                optimizer.resample(_between(before, canvas))
            engine = FittingEngine(self._trunk, self._objective(scale, canvas), self.layout)
            outcomes.append(descent.run(index, image, engine, canvas.crop))
            self.layout = engine.layout
            picture, before = canvas.crop(optimizer.result(image)), canvas
        return self._finish(picture, outcomes)

    def _finish(self, picture: Tensor, outcomes: list[ScaleOutcome]) -> Painting:
        if not outcomes:
            raise InterruptedRunError("stopped before the first step")
        interrupted = outcomes[-1].stopped or len(outcomes) < len(self.scales)
        return Painting(
            pixels=resize(picture, self.size).clamp(0, 1).cpu().contiguous(),
            alpha=alpha_of(self.content, self.size),
            recipe=self._recipe(outcomes, interrupted),
            interrupted=interrupted,
        )

    def _recipe(self, outcomes: list[ScaleOutcome], interrupted: bool) -> dict[str, Any]:
        inputs = [("content", self.content), *(("style", style) for style in self.styles)]
        if self.start is not None:
            inputs.append(("start", self.start))
        return compose(
            self.settings.TECHNIQUE,
            to_document(self.settings),
            inputs,
            weights={"name": self.weights.name, "sha256": self.weights.sha256},
            resolved=resolution(self.machine, self.size, outcomes, self.layout),
            losses=outcomes[-1].losses,
            interrupted=interrupted,
            preset=self._preset,
        )

    def _build_optimizer(self) -> Optimizer:
        if self.settings.optimizer == "lbfgs":
            return LBFGS(self.layout.history)
        return Adam(self.settings.learning_rate, average=self.settings.averaging)

    def _initial(self, size: tuple[int, int]) -> Tensor:
        """The picture before the first step, ``(1, 3, *size)``."""
        if self.settings.init == "noise":
            generator = torch.Generator().manual_seed(self.settings.seed)
            return torch.rand(1, 3, *size, generator=generator)
        if self.settings.init == "style":
            return cover(self.styles[0].pixels, size).clamp(0, 1)
        source = self.start if self.start is not None else self.content
        return resize(source.pixels, size).clamp(0, 1)

    def _objective(self, scale: Scale, canvas: Canvas) -> Objective:
        """What is wanted at one scale."""
        settings = self.settings
        targets = self.style_targets(max(scale.size) / max(self.size))
        term = STYLE_TERMS[settings.style_loss]
        features: list[ContentTerm | object] = [
            term(name, targets[name], weight) for name, weight in shares(settings.style_layers)
        ]
        if settings.content_weight:
            features += self._content_terms(canvas)
        pixels = [SmoothnessTerm(settings.smoothness)] if settings.smoothness else []
        return Objective(features, pixels)  # type: ignore[arg-type]

    @torch.no_grad()
    def _content_terms(self, canvas: Canvas) -> list[ContentTerm]:
        content = resize(self.content.pixels, canvas.size).clamp(0, 1).to(self.machine.device)
        names = [name for name, _ in shares(self.settings.content_layers)]
        features = features_of(self._trunk, canvas.extend(content), names, self.layout)
        return [
            ContentTerm(name, features[name], weight * self.settings.content_weight)
            for name, weight in shares(self.settings.content_layers)
        ]

    @torch.no_grad()
    def style_targets(self, share: float) -> StyleTargets:
        """Blended moments of the styles, by layer.

        Args:
            share: of the scale in the final size; styles shrink with the picture, so that
                strokes stay strokes.
        """
        side = (self.settings.style_size or max(self.size)) * share
        weights = self.settings.style_weights or (1.0,) * len(self.styles)
        chosen = [
            (self._moments(style, side), weight)
            for style, weight in zip(self.styles, weights, strict=True)
            if weight
        ]
        return {
            name: blend([moments[name] for moments, _ in chosen], [w for _, w in chosen])
            for name, _ in shares(self.settings.style_layers)
        }

    def _moments(self, style: Picture, side: float) -> StyleTargets:
        height, width = style.size
        shrink = max(side / max(height, width), LEAST_STYLE_SIDE / min(height, width))
        if shrink < 1:
            height, width = round(height * shrink), round(width * shrink)
        size = (height, width)
        key = (
            size,
            self.layout,
            tuple(name for name, _ in shares(self.settings.style_layers)),
            self.settings.pooling,
            self.weights.sha256,
            self.machine,
        )
        return self._studio.statistics(style.sha256, key, lambda: self._measured(style, size))

    def _measured(self, style: Picture, size: tuple[int, int]) -> StyleTargets:
        pixels = resize(style.pixels, size).clamp(0, 1).to(self.machine.device)
        names = [name for name, _ in shares(self.settings.style_layers)]
        return moments_of_layers(self._trunk, pixels, names, self.layout)


def shares(layers: LayerWeights) -> list[tuple[str, float]]:
    """Layers of positive weight, with weights that add up to one."""
    total = sum(weight for _, weight in layers)
    return [(name, weight / total) for name, weight in layers if weight]


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
    """Maps a tensor on one canvas to the next; bilinear, which invents no new extremes."""

    def carry(state: Tensor) -> Tensor:
        inner = F.interpolate(before.crop(state), size=after.size, mode="bilinear")
        return after.extend(inner).contiguous()

    return carry
