"""Both optimisers on problems whose answer is known."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from stylize.losses.loss import Evaluation
from stylize.optimize.adam import Adam
from stylize.optimize.lbfgs import LBFGS

SHAPE = (1, 3, 4, 5)
CURVATURES = torch.logspace(0, 1.5, 60).view(SHAPE)


def random(seed: int) -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))


def bowl(target: Tensor) -> Callable[[Tensor], Evaluation]:
    """An ill-conditioned quadratic with its minimum at ``target``."""

    def evaluate(image: Tensor) -> Evaluation:
        value = 0.5 * (CURVATURES * (image - target).square()).sum()
        return Evaluation({"bowl": value}, value, CURVATURES * (image - target))

    return evaluate


def minimise(optimizer: Adam | LBFGS, evaluate: Callable[[Tensor], Evaluation], steps: int):
    image = random(0)
    totals = [float(optimizer.step(image, evaluate).total) for _ in range(steps)]
    return optimizer.result(image), totals


@pytest.mark.parametrize("make", [lambda: Adam(0.05), LBFGS])
def test_finds_an_inner_minimum(make: Callable[[], Adam | LBFGS]) -> None:
    target = 0.2 + 0.6 * random(1)
    found, totals = minimise(make(), bowl(target), 150)
    torch.testing.assert_close(found, target, atol=0.01, rtol=0)
    assert totals[-1] < 1e-3 * totals[0]


@pytest.mark.parametrize("make", [lambda: Adam(0.05), LBFGS])
def test_respects_the_box(make: Callable[[], Adam | LBFGS]) -> None:
    target = 3 * random(2) - 1
    optimizer, image = make(), random(0)
    for _ in range(150):
        optimizer.step(image, bowl(target))
        assert float(image.min()) >= 0
        assert float(image.max()) <= 1
    torch.testing.assert_close(optimizer.result(image), target.clamp(0, 1), atol=0.01, rtol=0)


def test_lbfgs_needs_fewer_steps_than_adam_here() -> None:
    target = 0.2 + 0.6 * random(1)
    _, by_lbfgs = minimise(LBFGS(), bowl(target), 40)
    _, by_adam = minimise(Adam(0.05), bowl(target), 40)
    assert min(by_lbfgs) < 0.1 * min(by_adam)


def rosenbrock(image: Tensor) -> Evaluation:
    x = image.double().flatten().numpy() * 2
    value = scipy.optimize.rosen(x)
    gradient = torch.from_numpy(2 * scipy.optimize.rosen_der(x)).view(SHAPE).to(image.dtype)
    total = torch.tensor(value)
    return Evaluation({"rosenbrock": total}, total, gradient)


def test_lbfgs_descends_a_curved_valley_as_scipy_does() -> None:
    image, optimizer = random(3), LBFGS()
    for _ in range(80):
        optimizer.step(image, rosenbrock)
    found = float(rosenbrock(optimizer.result(image)).total)
    reference = scipy.optimize.minimize(
        lambda x: scipy.optimize.rosen(2 * x),
        random(3).double().flatten().numpy(),
        jac=lambda x: 2 * scipy.optimize.rosen_der(2 * x),
        method="L-BFGS-B",
        bounds=[(0, 1)] * 60,
        options={"maxfun": 80},
    )
    assert found < 10 * reference.fun + 1
    assert found < 0.05 * float(rosenbrock(random(3)).total)


def test_lbfgs_takes_back_a_step_that_went_up() -> None:
    """A wall that the first steps cannot foresee."""

    def evaluate(image: Tensor) -> Evaluation:
        wall = (image - 0.9).clamp_min(0)
        value = -image.sum() + 1e4 * wall.square().sum()
        return Evaluation({"wall": value}, value, -1 + 2e4 * wall)

    optimizer, image = LBFGS(first_step=0.5), torch.full(SHAPE, 0.5)
    for _ in range(60):
        optimizer.step(image, evaluate)
    assert float(evaluate(optimizer.result(image)).total) < -0.85 * image.numel()


def test_the_average_of_adam_is_bias_corrected() -> None:
    optimizer, image = Adam(0.01, average=0.9), random(0)
    seen, weights = [], []
    for _ in range(7):
        optimizer.step(image, bowl(random(1)))
        seen.append(image.clone())
    weights = np.array([0.9 ** (6 - index) for index in range(7)])
    expected = sum(w * x for w, x in zip(weights / weights.sum(), seen, strict=True))
    torch.testing.assert_close(optimizer.result(image), expected)


@pytest.mark.parametrize("make", [lambda: Adam(0.01, average=0), LBFGS])
def test_without_averaging_the_result_is_the_last_iterate(
    make: Callable[[], Adam | LBFGS],
) -> None:
    optimizer, image = make(), random(0)
    for _ in range(3):
        optimizer.step(image, bowl(random(1)))
    assert torch.equal(optimizer.result(image), image)


@pytest.mark.parametrize("make", [Adam, LBFGS])
def test_the_result_is_a_copy(make: Callable[[], Adam | LBFGS]) -> None:
    optimizer, image = make(), random(0)
    optimizer.step(image, bowl(random(1)))
    optimizer.result(image).fill_(7)
    assert float(optimizer.result(image).max()) <= 1


def test_adam_steps_on_after_a_change_of_size_as_if_nothing_had_been() -> None:
    """A plain picture: twice as many pixels, half the gradient each, the same path."""

    def evaluate(image: Tensor) -> Evaluation:
        value = (image - 0.8).square().mean()
        return Evaluation({"level": value}, value, 2 * (image - 0.8) / image.numel())

    small, large = Adam(0.01), Adam(0.01)
    one, two = torch.full((1, 3, 4, 4), 0.2), torch.full((1, 3, 4, 4), 0.2)
    for _ in range(5):
        small.step(one, evaluate)
        large.step(two, evaluate)
    large.resample(lambda state: torch.cat([state, state], dim=3))
    two = torch.cat([two, two], dim=3)
    for _ in range(5):
        small.step(one, evaluate)
        large.step(two, evaluate)
    torch.testing.assert_close(two[..., :4], one)


def test_lbfgs_starts_anew_after_a_change_of_size() -> None:
    optimizer, image = LBFGS(), random(0)
    for _ in range(5):
        optimizer.step(image, bowl(random(1)))
    optimizer.resample(lambda state: state)
    assert torch.equal(optimizer.result(image), image)
