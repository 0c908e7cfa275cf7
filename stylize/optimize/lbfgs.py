"""L-BFGS in a box, with one evaluation per step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from torch import Tensor

from stylize.losses.loss import Evaluation
from stylize.optimize.snapshot import State, of_shape

# Length of the first step at each size, see LBFGS.
FIRST_STEP = 0.01


class LBFGS:
    """Projected limited-memory BFGS without a line search.

    Every step costs one evaluation. Pixels at a bound whose gradient points outwards are held
    fixed, the two-loop recursion runs on the others, and the step is clamped to the box.

    The length of a step, the mean absolute change of a pixel, is bounded by a trust region: at
    most twice the length of the last step that lowered the loss. A step that did not lower it is
    undone and tried again at a quarter of its length.

    Args:
        history: pairs of steps and gradient changes that are kept.
        first_step: length of the first step at each size.

    Reference:
        Nocedal, "Updating quasi-Newton matrices with limited storage", 1980; the held set is
        that of Bertsekas, "Projected Newton methods", 1982; the trust region follows Conn, Gould
        and Toint, "Trust-Region Methods", 2000, with the length of the step in place of a ratio
        of predicted and actual decrease.
    """

    # Chosen on ten pairs at 128 to 512 px, see docs/experiments.md.
    _GROWTH, _SHRINKAGE = 2.0, 0.25
    # Keeps a step without any movement from ending all movement.
    _SHORTEST = 1e-6
    # A pair is kept if its curvature is positive beyond the errors of bfloat16 gradients.
    _CURVATURE = 1e-3

    def __init__(self, history: int = 5, first_step: float = FIRST_STEP) -> None:
        self._pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=history)
        self._first_step = first_step
        self._forget()

    def _forget(self) -> None:
        """Drop all that belongs to one size: pairs, the last point, the trust region."""
        self._pairs.clear()
        self._length = self._first_step / self._GROWTH
        self._last: tuple[Tensor, Tensor, float] | None = None

    def step(self, image: Tensor, evaluate: Callable[[Tensor], Evaluation]) -> Evaluation:
        """One evaluation and one step; changes ``image`` in place.

        Returns:
            The evaluation at the image before the step.
        """
        found = evaluate(image)
        total, gradient = float(found.total), found.gradient
        if self._last is not None and total > self._last[2]:
            point, gradient, _ = self._last
            image.copy_(point)
            self._move(image, gradient, self._SHRINKAGE * self._length)
            return found
        self._learn(image, gradient)
        self._last = (image.clone(), gradient, total)
        self._move(image, gradient, self._GROWTH * self._length)
        return found

    def _move(self, image: Tensor, gradient: Tensor, most: float) -> None:
        """Take a step of at most this length."""
        direction = self._direction(image, gradient)
        before = image.clone()
        wanted = float(direction.abs().mean())
        image.add_(direction, alpha=min(1.0, most / max(wanted, 1e-30))).clamp_(0, 1)
        self._length = max(float((image - before).abs().mean()), self._SHORTEST)

    def _learn(self, image: Tensor, gradient: Tensor) -> None:
        if self._last is None:
            return
        step, change = image - self._last[0], gradient - self._last[1]
        curvature = float((step * change).sum())
        if curvature > self._CURVATURE * float(step.norm() * change.norm()):
            self._pairs.append((step, change, curvature))

    def _direction(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Minus the approximate inverse Hessian times the gradient of the free pixels."""
        held = ((image <= 0) & (gradient > 0)) | ((image >= 1) & (gradient < 0))
        q = gradient.masked_fill(held, 0)
        if not self._pairs:
            return q * (-self._first_step / q.abs().mean().clamp_min(1e-30))
        shares = []
        for step, change, curvature in reversed(self._pairs):
            share = (step * q).sum() / curvature
            q = q.sub(change * share)
            shares.append(share)
        _, change, curvature = self._pairs[-1]
        q = q * (curvature / change.square().sum())
        for (step, change, curvature), share in zip(self._pairs, reversed(shares), strict=True):
            q = q.add(step * (share - (change * q).sum() / curvature))
        return q.neg_().masked_fill_(held, 0)

    def result(self, image: Tensor) -> Tensor:
        """The picture so far: the newest iterate.

        The last step is worth an evaluation that it does not cost; to give the best iterate that
        was evaluated would throw it away.
        """
        return image.clone()

    def resample(self, resize: Callable[[Tensor], Tensor]) -> None:
        """Forget the history: curvature pairs of one size do not describe another."""
        self._forget()

    def state(self) -> State:
        """The state from which to continue after this step."""
        tensors: dict[str, Tensor] = {}
        numbers = {"length": self._length, "pairs": len(self._pairs)}
        for index, (step, change, curvature) in enumerate(self._pairs):
            tensors |= {f"step {index}": step, f"change {index}": change}
            numbers[f"curvature {index}"] = curvature
        if self._last is not None:
            tensors["last"], tensors["gradient"], numbers["last"] = self._last
        return State(tensors, numbers)

    def restore(self, state: State, image: Tensor) -> None:
        """Restore the result of :meth:`state`.

        Args:
            state: of another object with the same arguments.
            image: ``(1, 3, H, W)``, gives size and device.

        Raises:
            KeyError, ValueError: the state belongs to another optimizer or size.
        """
        kept, numbers = of_shape(state, image), state.numbers
        self._forget()
        for index in range(int(numbers["pairs"])):
            pair = kept[f"step {index}"], kept[f"change {index}"]
            self._pairs.append((*pair, numbers[f"curvature {index}"]))
        self._length = numbers["length"]
        if "last" in kept:
            self._last = kept["last"], kept["gradient"], numbers["last"]
