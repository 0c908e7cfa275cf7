import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stylize.errors import CheckpointError, NumericalError
from stylize.losses.loss import Evaluation
from stylize.optimize.adam import Adam
from stylize.optimize.lbfgs import LBFGS
from stylize.optimize.loop import Descent, Step
from stylize.optimize.snapshot import Snapshot, SnapshotHooks, State, TakeSnapshot
from stylize.settings.schedule import Scale


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
    events: list[Step] = []
    outcome = descend(on_step=events.append)
    assert [event.step for event in events] == list(range(1, 31))
    assert outcome.steps_done == 30
    assert all((event.scale, event.scales, event.size) == (1, 1, (4, 6)) for event in events)
    assert events[-1].total < events[0].total
    assert sum(events[5].losses.values()) == pytest.approx(events[5].total)
    assert events[3].seconds <= events[4].seconds
    assert events[-1].picture().shape == (1, 3, 4, 6)


def test_stops_when_asked_and_keeps_the_picture() -> None:
    events: list[Step] = []
    outcome = descend(on_step=events.append, stop=lambda: len(events) == 4)
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


@pytest.mark.parametrize("make", [lambda: Adam(0.01), lambda: Adam(0.01, average=0.0), LBFGS])
@pytest.mark.parametrize("steps", [1, 2, 11, 29, 30])
def test_a_snapshot_is_all_that_the_rest_needs(make: Callable[[], Any], steps: int) -> None:
    def run(snapshots: SnapshotHooks | None, stop_at: int, image: Tensor) -> tuple[Any, Tensor]:
        events: list[Step] = []
        options = {"on_step": events.append, "stop": lambda: len(events) == stop_at}
        descent = Descent(make(), [Scale(4, 6, 30)], tolerance=1e-9, snapshots=snapshots, **options)
        if descent.resume is not None:
            image = descent.resume.image
        outcome = descent.run(0, image, level, lambda picture: picture)
        return outcome, descent.optimizer.result(image)

    start, taken = torch.full((1, 3, 4, 6), 0.2), []

    def keep(take: TakeSnapshot, last: bool) -> None:
        if last:
            taken.append(copy.deepcopy(take()))

    outcome, expected = run(None, -1, start.clone())
    run(SnapshotHooks(keep), steps, start.clone())
    (snapshot,) = taken
    assert snapshot.outcomes[-1].steps_done == len(snapshot.totals) == steps
    again, found = run(SnapshotHooks(resume=lambda: snapshot), -1, start)
    assert torch.equal(found, expected)
    assert again == outcome


def test_nothing_is_taken_unless_it_is_wanted() -> None:
    offers: list[bool] = []
    descend(steps=5, snapshots=SnapshotHooks(lambda take, last: offers.append(last)))
    assert offers == [False] * 5


def test_the_state_of_another_optimiser() -> None:
    taken: list[Snapshot] = []
    descend(steps=5, snapshots=SnapshotHooks(lambda take, last: taken.append(take())))
    good = taken[-1]
    for state in (
        State({}, {"steps": 1, "averaged": 0}),
        State({"first": torch.zeros(1, 3, 4, 6)}, good.optimizer.numbers),
        State(good.optimizer.tensors, {}),
        State(dict(good.optimizer.tensors) | {"second": torch.zeros(1, 3, 4, 5)}, {}),
    ):
        wrong = dataclasses.replace(good, optimizer=state)
        with pytest.raises(CheckpointError, match="that of another run"):
            descend(steps=9, snapshots=SnapshotHooks(resume=lambda wrong=wrong: wrong))
