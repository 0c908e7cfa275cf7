"""Adam on pixels within a box, with averaged iterates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stylize.losses.loss import Evaluation
from stylize.optimize.snapshot import State, of_shape


class Adam:
    """Adam (Kingma and Ba, ICLR 2015) with clamping and an average of iterates.

    Args:
        learning_rate: approximate step of a pixel, in units of the range [0, 1].
        betas: decay of the first and second moment. The second is .99 instead of .999 because the
            runs are short.
        average: decay of the exponential average of iterates, in [0, 1); 0 for none. The
            average, without the jitter of single steps, is the :meth:`result`.

    Note:
        Clamping after every step is projected Adam. The state survives a change of size: both
        moments are resampled with the picture (after K. Crowson's style-transfer-pytorch),
        and the average starts again.
    """

    def __init__(
        self,
        learning_rate: float = 0.02,
        betas: tuple[float, float] = (0.9, 0.99),
        average: float = 0.9,
    ) -> None:
        self._rate = learning_rate
        self._betas = betas
        self._decay = average
        self._steps = 0
        self._first: Tensor | None = None
        self._second: Tensor | None = None
        self._average: Tensor | None = None
        self._averaged = 0

    def step(self, image: Tensor, evaluate: Callable[[Tensor], Evaluation]) -> Evaluation:
        """One evaluation and one step; changes ``image`` in place.

        Returns:
            The evaluation at the image before the step.
        """
        found = evaluate(image)
        if self._first is None or self._second is None:
            self._first, self._second = torch.zeros_like(image), torch.zeros_like(image)
        self._steps += 1
        beta1, beta2 = self._betas
        self._first.lerp_(found.gradient, 1 - beta1)
        self._second.mul_(beta2).addcmul_(found.gradient, found.gradient, value=1 - beta2)
        correction = (1 - beta2**self._steps) ** 0.5
        scale = (self._second.sqrt() / correction).add_(torch.finfo(torch.float32).tiny ** 0.5)
        image.addcdiv_(self._first, scale, value=-self._rate / (1 - beta1**self._steps))
        image.clamp_(0, 1)
        self._remember(image)
        return found

    def _remember(self, image: Tensor) -> None:
        if self._decay == 0:
            return
        if self._average is None:
            self._average = torch.zeros_like(image)
        self._average.lerp_(image, 1 - self._decay)
        self._averaged += 1

    def result(self, image: Tensor) -> Tensor:
        """The picture so far: the bias-corrected average of iterates at this size."""
        if self._average is None:
            return image.clone()
        return (self._average / (1 - self._decay**self._averaged)).clamp_(0, 1)

    def resample(self, resize: Callable[[Tensor], Tensor]) -> None:
        """Carry the state to another size.

        Args:
            resize: maps a tensor of the old image's shape to the new shape.
        """
        self._average, self._averaged = None, 0
        if self._first is not None and self._second is not None:
            before = self._first.numel()
            self._first, self._second = resize(self._first), resize(self._second)
            # Losses are means: a pixel's gradient shrinks as their number grows.
            ratio = before / self._first.numel()
            self._first *= ratio
            self._second *= ratio**2

    def state(self) -> State:
        """The state from which to continue after this step."""
        moments = {"first": self._first, "second": self._second, "average": self._average}
        return State(
            {name: moment for name, moment in moments.items() if moment is not None},
            {"steps": self._steps, "averaged": self._averaged},
        )

    def restore(self, state: State, image: Tensor) -> None:
        """Restore the result of :meth:`state`.

        Args:
            state: of another object with the same arguments.
            image: ``(1, 3, H, W)``, gives size and device.

        Raises:
            KeyError, ValueError: the state belongs to another optimizer or size.
        """
        kept = of_shape(state, image)
        self._first, self._second = kept["first"], kept["second"]
        self._average = kept.get("average")
        self._steps = int(state.numbers["steps"])
        self._averaged = int(state.numbers["averaged"])
