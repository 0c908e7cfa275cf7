"""The style losses by name."""

from __future__ import annotations

from stylize.losses.gram import GramTerm
from stylize.losses.moments import MomentsTerm
from stylize.losses.wasserstein import WassersteinTerm

StyleTerm = GramTerm | MomentsTerm | WassersteinTerm

STYLE_TERMS: dict[str, type[GramTerm] | type[MomentsTerm] | type[WassersteinTerm]] = {
    "moments": MomentsTerm,
    "gram": GramTerm,
    "wasserstein": WassersteinTerm,
}
