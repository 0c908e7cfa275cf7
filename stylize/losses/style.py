"""The style losses by name."""

from __future__ import annotations

from stylize.losses.gram import GramLoss
from stylize.losses.moments import MomentsLoss
from stylize.losses.wasserstein import WassersteinLoss

StyleLoss = GramLoss | MomentsLoss | WassersteinLoss

STYLE_LOSSES: dict[str, type[GramLoss] | type[MomentsLoss] | type[WassersteinLoss]] = {
    "moments": MomentsLoss,
    "gram": GramLoss,
    "wasserstein": WassersteinLoss,
}
