"""How a gradient is had: ``(image, objective) -> (named losses, gradient)``."""

from stylize.engine.evaluation import Engine, Evaluation
from stylize.engine.whole import WholeEngine

__all__ = ["Engine", "Evaluation", "WholeEngine"]
