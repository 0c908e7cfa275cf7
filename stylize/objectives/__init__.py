"""What is wanted of the picture, as a sum of named terms that an engine can evaluate."""

from stylize.objectives.content import ContentTerm
from stylize.objectives.dream import DreamTerm, EnergyTerm, MatchTerm, ResponseTerm
from stylize.objectives.edges import EdgesTerm
from stylize.objectives.moments import Moments, blend
from stylize.objectives.objective import FeatureTerm, ImageTerm, Objective
from stylize.objectives.smoothness import SmoothnessTerm
from stylize.objectives.style import GramTerm, MomentsTerm, WassersteinTerm

__all__ = [
    "ContentTerm",
    "DreamTerm",
    "EdgesTerm",
    "EnergyTerm",
    "FeatureTerm",
    "GramTerm",
    "ImageTerm",
    "MatchTerm",
    "Moments",
    "MomentsTerm",
    "Objective",
    "ResponseTerm",
    "SmoothnessTerm",
    "WassersteinTerm",
    "blend",
]
