"""Convergence is not worse than recorded; ``python -m tools.record_convergence`` records it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.trajectories import CASES, RECORD, losses

RECORDED: dict[str, dict[str, dict[str, float]]] = json.loads(RECORD.read_text())


def bounds(name: str) -> list[float]:
    """What a loss may be: noise, and as much as other processors' arithmetic adds to it."""
    marks = RECORDED[name].values()
    return [each["mean"] + max(4 * each["deviation"], 0.02 * each["mean"]) for each in marks]


def is_worse(name: str, **changes: Any) -> bool:
    found = losses(CASES[name], 0, **changes)
    return any(loss > bound for loss, bound in zip(found, bounds(name), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_convergence_is_as_it_was(name: str) -> None:
    assert not is_worse(name)


def test_the_record_is_of_these_cases() -> None:
    assert {name: tuple(map(int, marks)) for name, marks in RECORDED.items()} == {
        name: case.marks for name, case in CASES.items()
    }


@pytest.mark.slow
def test_a_shorter_memory_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylize.optimize.lbfgs.LBFGS._learn", lambda *_: None)
    assert is_worse("L-BFGS")


@pytest.mark.slow
def test_a_worse_schedule_is_noticed() -> None:
    assert is_worse("coarse to fine", steps=8)


@pytest.mark.slow
def test_a_worse_rate_is_noticed() -> None:
    assert is_worse("Adam", learning_rate=0.008)
