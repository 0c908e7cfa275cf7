"""The plain engine: one forward and one backward pass over the whole picture."""

from __future__ import annotations

import torch
from torch import Tensor

from stylize.engine.evaluation import Evaluation
from stylize.networks.trunk import Trunk
from stylize.objectives.objective import FeatureTerm, Objective


class WholeEngine:
    """Evaluates an objective with the whole picture in memory.

    Args:
        trunk: gives at least the layers that the objective reads.
        objective: what is wanted.
    """

    def __init__(self, trunk: Trunk, objective: Objective) -> None:
        self._trunk = trunk
        self._objective = objective
        self._terms: dict[str, list[FeatureTerm]] = {name: [] for name in objective.layers}
        for term in objective.features:
            self._terms[term.layer].append(term)

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Evaluation:
        """The objective and its gradient at ``(1, 3, H, W)`` RGB pixels in [0, 1]."""
        losses: dict[str, Tensor] = {}
        gradient = self._through_network(image, losses)
        for term in self._objective.pixels:
            value, slope = term.value_and_gradient(image)
            losses[term.name] = term.weight * value
            gradient = gradient.add(slope, alpha=term.weight)
        return Evaluation(losses, torch.stack(list(losses.values())).sum(), gradient)

    def _through_network(self, image: Tensor, losses: dict[str, Tensor]) -> Tensor:
        if not self._terms:
            return torch.zeros_like(image)
        leaf = image.detach().requires_grad_()
        with torch.enable_grad():
            features = self._trunk(leaf)
        seeds = [
            self._seed(self._terms[name], features[name], losses).to(features[name].dtype)
            for name in self._terms
        ]
        outputs = [features[name] for name in self._terms]
        (gradient,) = torch.autograd.grad(outputs, leaf, seeds)
        return gradient

    @staticmethod
    def _seed(terms: list[FeatureTerm], features: Tensor, losses: dict[str, Tensor]) -> Tensor:
        """Derivative of all terms on one layer; adds their values to ``losses``."""
        known = features.detach()
        if known.dtype is torch.bfloat16:
            known = known.float()
        positions = known.shape[2] * known.shape[3]
        seed = None
        for term in terms:
            value, slope = term.evaluate(term.sums(known), positions)
            losses[term.name] = term.weight * value
            part = term.seed(known, slope).mul_(term.weight)
            seed = part if seed is None else seed.add_(part)
        assert seed is not None
        return seed
