"""The style losses by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from stylize.losses.gram import GramLoss
from stylize.losses.moments import MomentsLoss
from stylize.losses.statistics import Moments
from stylize.losses.wasserstein import WassersteinLoss

StyleLoss = GramLoss | MomentsLoss | WassersteinLoss

# Takes the layer, the style's moments there and the weight.
StyleLossKind = Callable[[str, Moments, float], StyleLoss]


def style_loss_kind(name: str, variance: float) -> StyleLossKind:
    """A kind of style loss.

    Args:
        name: ``"wasserstein"``, ``"moments"`` or ``"gram"``.
        variance: the share of the variance that the Wasserstein loss compares direction by
            direction.
    """
    kinds: dict[str, StyleLossKind] = {
        "moments": MomentsLoss,
        "gram": GramLoss,
        "wasserstein": partial(WassersteinLoss, share=variance),
    }
    return kinds[name]
