"""Who makes the pictures of a batch: this process, or workers of a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import click

from stylize.errors import MissingExtraError, UsageError
from stylize.settings import Execution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stylize.batch.claims import Claims
    from stylize.batch.ledger import Ledger
    from stylize.batch.local import Outcome
    from stylize.batch.shop import Shop
    from stylize.batch.tasks import Task
    from stylize.optimize.events import Iterate

runner_options = [
    click.option(
        "--runner",
        type=click.Choice(["local", "ray"]),
        default="local",
        help="Who works: this process, or a Ray cluster (extra 'ray').  [local]",
    ),
    click.option(
        "--address",
        metavar="HOST:PORT",
        help="The Ray cluster.  [RAY_ADDRESS, or one of this machine alone]",
    ),
    click.option(
        "--cpus-per-worker",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Cores of each Ray worker.  [shares of a node, at most 8; or of its GPUs]",
    ),
]

# What a worker's torch reads when it is loaded; see the program's entry.
_PASSED_ON = (
    "THP_MEM_ALLOC_ENABLE",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
    "LRU_CACHE_CAPACITY",
)


class Runner(Protocol):
    """Works through tasks."""

    def run(self, tasks: Sequence[Task]) -> None:
        """Do what is to do."""


class Messages(Protocol):
    """What wants to know how it goes."""

    def told(self, outcome: Outcome) -> None:
        """One more task that is dealt with."""

    def began(self, task: Task) -> Callable[[Iterate], None] | None:
        """A listener for the steps of one picture."""


def check_runner(options: dict[str, Any]) -> None:
    """Refuse what makes no sense, before anything is done.

    Raises:
        UsageError: an option of Ray's without Ray.
        MissingExtraError: Ray is not installed.
    """
    if options["runner"] == "ray":
        if find_spec("ray") is None:
            raise MissingExtraError("--runner ray", "ray")
        return
    for name in ("address", "cpus_per_worker"):
        if options[name] is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is for Ray alone", hint="--runner ray")


@contextmanager
def means(options: dict[str, Any], execution: Execution) -> Iterator[Any]:
    """The connection to Ray, if it is to be used; else None.

    Enter it before signals are taken over: Ray takes SIGTERM for itself.

    Raises:
        ClusterError: there is no such cluster.
        UsageError: it has no room for such workers.
    """
    if options["runner"] == "local":
        yield None
        return
    # Ray reads these when it is imported. It shall not report to its makers; and it would say
    # on stderr that a future version will leave the GPUs' variables alone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from stylize.batch.ray_cluster import berth_for, cluster, nodes

    with cluster(_address(options)) as ray:
        berth_for(nodes(ray), execution, options["cpus_per_worker"])
        yield ray


def _address(options: dict[str, Any]) -> str | None:
    return options["address"] or os.environ.get("RAY_ADDRESS")


def make_runner(
    ray: Any,
    shop: Shop,
    execution: Execution,
    ledger: Ledger,
    claims: Claims,
    messages: Messages,
    stop: Callable[[], bool],
    options: dict[str, Any],
) -> Runner:
    """The runner that the options ask for.

    Args:
        ray: of :func:`means`.
        shop: for a local one.
        messages: is told what happens.
        stop: tells whether to stop.
    """
    from stylize.batch.local import LocalRunner, Saving

    saving = Saving(int(options["depth"]), options["quality"])
    fail_fast = options["fail_fast"]
    if ray is None:
        return LocalRunner(
            shop,
            ledger,
            claims,
            saving=saving,
            told=messages.told,
            began=messages.began,
            stop=stop,
            fail_fast=fail_fast,
        )
    from stylize.batch.ray_runner import RayRunner

    # A cluster of our own inherits them.
    names = _PASSED_ON if _address(options) else ()
    return RayRunner(
        ray,
        options["output"],
        execution,
        ledger,
        claims,
        saving=saving,
        told=messages.told,
        stop=stop,
        fail_fast=fail_fast,
        cpus=options["cpus_per_worker"],
        environment={name: os.environ[name] for name in names if name in os.environ},
    )
