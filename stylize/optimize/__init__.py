"""The loop that follows the gradient: optimisers, the coarse-to-fine schedule, events."""

from stylize.optimize.adam import Adam
from stylize.optimize.events import Iterate
from stylize.optimize.lbfgs import LBFGS
from stylize.optimize.loop import Descent, Optimizer, ScaleOutcome
from stylize.optimize.schedule import Scale, schedule

__all__ = [
    "LBFGS",
    "Adam",
    "Descent",
    "Iterate",
    "Optimizer",
    "Scale",
    "ScaleOutcome",
    "schedule",
]
