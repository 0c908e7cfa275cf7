import pytest
import torch
from torch import Tensor

from stylize.engine.evaluation import Evaluation
from stylize.errors import NumericalError
from stylize.optimize.adam import Adam
from stylize.optimize.events import Iterate
from stylize.optimize.loop import Descent
from stylize.optimize.schedule import Scale


def level(image: Tensor) -> Evaluation:
    value = (image - 0.8).square().mean()
    losses = {"half": value / 2, "other half": value / 2}
    return Evaluation(losses, value, 2 * (image - 0.8) / image.numel())


def flat(image: Tensor) -> Evaluation:
    return Evaluation({"flat": torch.tensor(1.0)}, torch.tensor(1.0), torch.zeros_like(image))


def descend(engine=level, steps: int = 30, **options):
    descent = Descent(Adam(0.01), [Scale(4, 6, steps)], **options)
    image = torch.full((1, 3, 4, 6), 0.2)
    return descent.run(0, image, engine, lambda picture: picture)


def test_tells_every_step() -> None:
    events: list[Iterate] = []
    outcome = descend(listener=events.append)
    assert [event.step for event in events] == list(range(1, 31))
    assert outcome.steps_done == 30
    assert all((event.scale, event.scales, event.size) == (1, 1, (4, 6)) for event in events)
    assert events[-1].total < events[0].total
    assert sum(events[5].losses.values()) == pytest.approx(events[5].total)
    assert events[3].seconds <= events[4].seconds
    assert events[-1].picture().shape == (1, 3, 4, 6)


def test_stops_when_asked_and_keeps_the_picture() -> None:
    events: list[Iterate] = []
    outcome = descend(listener=events.append, stop=lambda: len(events) == 4)
    assert (outcome.steps_done, outcome.stopped) == (4, True)


def test_ends_early_once_nothing_improves() -> None:
    assert descend(flat, steps=100, tolerance=0.01).steps_done == 20
    assert descend(flat, steps=100).steps_done == 100


def test_does_not_end_while_it_improves() -> None:
    assert descend(level, steps=40, tolerance=0.01).steps_done == 40


def test_numbers_that_are_not_finite_are_refused() -> None:
    def broken(image: Tensor) -> Evaluation:
        value = torch.tensor(float("nan"))
        return Evaluation({"broken": value}, value, torch.zeros_like(image))

    with pytest.raises(NumericalError, match=r"nan at 6×4.*precision fp32"):
        descend(broken)
