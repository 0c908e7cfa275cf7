"""Paint the pictures of a batch with workers on a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stylize.batches.claims import Claim, Claims
from stylize.batches.local import Outcome, Saving, admit, one_line
from stylize.batches.records import Ledger, Standing
from stylize.batches.tasks import Task, token_of
from stylize.batches.worker import Worker, order
from stylize.errors import ClusterError, OutputError, UsageError
from stylize.extras import optional_module
from stylize.images.open import pixel_limit
from stylize.settings.execution import Execution
from stylize.version import __version__

# Convolutions of one small picture hardly gain from more.
_MOST_CPUS = 8

# Messages are paths and small dicts; by default, Ray sets a third of the memory aside.
_STORE_BYTES = 80 * 1024**2

_ANSWER_S = 5.0


@dataclass(frozen=True)
class Berth:
    """What each worker takes up of a node.

    Attributes:
        cpus: cores.
        gpus: 0 or 1.
    """

    cpus: int
    gpus: int = 0

    def places(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """How many workers the nodes have room for.

        Args:
            nodes: resources of each, as Ray names them.
        """
        return sum(map(self._room, nodes))

    def _room(self, node: Mapping[str, float]) -> int:
        room = int(node.get("CPU", 0)) // self.cpus
        return min(room, int(node.get("GPU", 0)) // self.gpus) if self.gpus else room


def berth_for(
    nodes: Sequence[Mapping[str, float]], execution: Execution, cpus: int | None = None
) -> Berth:
    """What a worker shall take up: a GPU where there are any, and its share of the cores.

    Args:
        nodes: resources of each, as Ray names them.
        execution: ``cpu`` leaves the GPUs alone; ``threads`` is the cores unless ``cpus`` is.
        cpus: cores of a worker; by default, those of the smallest node that can take part,
            divided by its GPUs, or else into shares of at most eight.

    Raises:
        UsageError: no node has room for a worker, or one GPU of several is asked for.
    """
    if execution.device.startswith("cuda:"):
        raise UsageError("Ray gives each worker its own GPU", hint="say --device cuda")
    gpus = [node for node in nodes if node.get("GPU", 0) >= 1 and node.get("CPU", 0) >= 1]
    use_gpus = bool(gpus) and execution.device in ("auto", "cuda")
    fit = gpus if use_gpus else [node for node in nodes if node.get("CPU", 0) >= 1]
    wanted = cpus or execution.threads
    share = wanted or min((_share(node, use_gpus) for node in fit), default=1)
    berth = Berth(share, int(use_gpus))
    if not berth.places(nodes):
        raise UsageError(
            f"no node of the cluster has room for a worker of {share} CPUs",
            hint="see --cpus-per-worker and 'ray status'",
        )
    return berth


def _share(node: Mapping[str, float], use_gpus: bool) -> int:
    cores = int(node["CPU"])
    workers = int(node["GPU"]) if use_gpus else -(-cores // _MOST_CPUS)
    return max(1, cores // workers)


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """A connection to Ray.

    Args:
        address: of a running cluster, ``HOST:PORT`` or ``auto``; None starts one of this
            machine alone, which ends with the block.

    Yields:
        The module ``ray``.

    Raises:
        MissingExtraError: Ray is not installed.
        ClusterError: there is no such cluster, or it cannot be started.
    """
    ray = optional_module("ray", what="--runner ray", requirement="ray>=2.9")
    if address:
        _require_answer(address)
    start = {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            **({} if address else start),
        )
    except Exception as error:
        if address:
            raise _unreachable(address, error) from error
        raise ClusterError(f"Ray cannot start: {one_line(error)}") from error
    # Even without log_to_driver Ray prints on stdout what befalls the cluster, in the midst of our
    # own lines. There is no public switch, and what matters comes to us as errors.
    ray._private.worker._worker_logs_enabled = False
    try:
        yield ray
    finally:
        ray.shutdown()
        ray._private.worker._worker_logs_enabled = True


def nodes(ray: Any) -> list[dict[str, float]]:
    """Resources of each node that is alive, as Ray names them."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _require_answer(address: str) -> None:
    """Refuse an address where nobody listens: Ray would ask for more than a minute, aloud."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
        except (OSError, OverflowError, UnicodeError) as error:
            raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> ClusterError:
    return ClusterError(
        f"the Ray cluster at {address} cannot be reached: {one_line(error)}",
        hint="HOST:PORT is what 'ray start --head' has printed, or auto",
    )


# Of pictures at a worker: one in work, one that it need not wait for.
_AT_A_WORKER = 2

# A picture that takes so many workers with it is at fault.
_MOST_DEATHS = 2

# One worker may be lost as it starts, and another; then something is wrong with all of them.
_MOST_FALSE_STARTS = 3

_PATIENCE_S = 0.5

# For the step in work when a run is stopped; then the worker is killed.
_GRACE_S = 10.0


@dataclass
class _Job:
    """A task on its way: what is held for it and known of it."""

    task: Task
    standing: Standing
    claim: Claim
    deaths: int = 0


@dataclass(eq=False)
class _Hand:
    """A worker.

    Attributes:
        actor: its handle.
        greeting: what it says when it is ready; None once it has.
        jobs: what it has been given, the one in work first.
    """

    actor: Any
    greeting: Any
    jobs: dict[Any, _Job] = field(default_factory=dict)

    @property
    def next(self) -> Any:
        """What it will say next; None while it has nothing to do."""
        return self.greeting if self.greeting is not None else next(iter(self.jobs), None)

    def has_room(self, load: int, job: _Job) -> bool:
        """Whether it can be given a task while it has no more than ``load`` others."""
        # The answer to the task before may be lost with the worker, and that task blamed. So a
        # task that has been blamed is given out alone: the second time there is no doubt.
        alone = any(each.deaths for each in (job, *self.jobs.values()))
        return self.greeting is None and len(self.jobs) <= (0 if alone else load)


class RayRunner:
    """Works through tasks, many at a time. Use it once.

    Args:
        ray: of :func:`~stylize.batches.ray.cluster`.
        output: the batch's folder, at the same path on all nodes.
        execution: where the work is done; of a worker's threads there are as many as its cores.
        ledger: knows what is done.
        claims: keep other runs off a picture in work.
        saving: how pictures are written.
        on_step: is told what became of each task.
        stop: asked all the time; True drops the pictures in work and ends the batch.
        fail_fast: end the batch at the first failure.
        cpus: cores of a worker, see :func:`~stylize.batches.ray.berth_for`.
        environment: variables that the workers' processes get.
        worker: what the actors are.

    Raises:
        UsageError: no node has room for a worker.
    """

    def __init__(  # noqa: PLR0913
        self,
        ray: Any,
        output: Path,
        execution: Execution,
        ledger: Ledger,
        claims: Claims,
        *,
        saving: Saving,
        on_step: Callable[[Outcome], None],
        stop: Callable[[], bool],
        fail_fast: bool = False,
        cpus: int | None = None,
        environment: Mapping[str, str] | None = None,
        worker: type[Worker] = Worker,
    ) -> None:
        self._ray = ray
        self._output = output
        self._ledger = ledger
        self._claims = claims
        self._saving = saving
        self._on_step = on_step
        self._stop = stop
        self._fail_fast = fail_fast
        self._failed = False
        self._berth = berth_for(nodes(ray), execution, cpus)
        self._execution = replace(execution, threads=execution.threads or self._berth.cpus)
        # A group of its own for stop(), which must be heard while a picture is in work.
        self._actor = ray.remote(
            num_cpus=self._berth.cpus,
            num_gpus=self._berth.gpus,
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={"control": 1},
            runtime_env={"env_vars": dict(environment)} if environment else None,
        )(worker)
        self._hands: list[_Hand] = []
        self._queue: deque[_Job] = deque()
        self._false_starts = 0

    def run(self, tasks: Sequence[Task]) -> None:
        """Do what is to do.

        Raises:
            OutputError: the disk is full or gone; what is done is safe.
            ClusterError: there are no workers, or they cannot begin; what is done is safe.
        """
        self._todo, self._most = iter(tasks), len(tasks)
        trouble: OutputError | ClusterError | None = None
        try:
            try:
                self._work()
            except (OutputError, ClusterError) as error:
                trouble = error
            self._dismiss()
        finally:
            self._leave()
        if trouble is not None:
            raise trouble

    def _work(self) -> None:
        while not self._over:
            self._fill()
            self._hand_out()
            if not self._queue and not any(hand.jobs for hand in self._hands):
                return
            self._hire()
            self._listen()

    @property
    def _over(self) -> bool:
        return self._stop() or (self._fail_fast and self._failed)

    def _fill(self) -> None:
        """See to it that a claimed task waits for a worker, as long as there are any."""
        for task in self._todo if not self._queue else ():
            job = self._claim(task)
            if job is not None:
                self._queue.append(job)
            if self._queue or self._over:
                return

    def _claim(self, task: Task) -> _Job | None:
        """Take a task, unless another run has it or it needs no work; says which."""
        admitted = admit(task, self._claims, self._ledger, self._tell)
        return None if admitted is None else _Job(task, *admitted)

    def _tell(self, outcome: Outcome) -> None:
        self._failed = self._failed or outcome.status == "failed"
        self._on_step(outcome)

    def _token(self, task: Task) -> str:
        return token_of(self._ledger.name(task))

    def _hand_out(self) -> None:
        """Give every worker that is ready a task, and then another."""
        for load in range(_AT_A_WORKER):
            for hand in self._hands:
                if self._queue and hand.has_room(load, self._queue[0]):
                    job = self._queue.popleft()
                    message = order(job.task, self._token(job.task), self._saving)
                    hand.jobs[hand.actor.make.remote(message)] = job
                    self._fill()

    def _hire(self) -> None:
        """As many workers as there is room for."""
        places = self._berth.places(nodes(self._ray))
        while len(self._hands) < min(places, self._most):
            actor = self._actor.remote(asdict(self._execution), pixel_limit())
            greeting = actor.greet.remote(os.fsencode(os.path.abspath(self._output)))
            self._hands.append(_Hand(actor, greeting))
        if not self._hands:
            raise ClusterError("no node of the cluster is left that has room for a worker")

    def _listen(self) -> None:
        """Wait a moment for what the workers have to say."""
        awaited = {hand.next: hand for hand in self._hands if hand.next is not None}
        said, _ = self._ray.wait(list(awaited), num_returns=1, timeout=_PATIENCE_S)
        for each in said:
            self._hear(awaited[each], each)

    def _hear(self, hand: _Hand, said: Any) -> None:
        failures = self._ray.exceptions
        try:
            answer = self._ray.get(said)
        except failures.RayTaskError as error:
            answer = {"outcome": "failed", "seconds": 0.0, "error": one_line(error.cause)}
        except failures.RayError as error:
            self._bury(hand, error)
            return
        if hand.greeting is None:
            self._settle(hand.jobs.pop(said), answer)
        else:
            self._welcome(hand, answer)

    def _welcome(self, hand: _Hand, answer: Mapping[str, Any]) -> None:
        """Take a worker into service.

        Raises:
            ClusterError: it cannot do the work of this batch.
        """
        host = answer.get("host")
        if host is None:
            raise ClusterError(f"a worker does not start: {answer['error']}")
        if answer["version"] != __version__:
            raise ClusterError(
                f"{host} has stylize {answer['version']}, this is {__version__}",
                hint="install the same version on all nodes",
            )
        if not answer["sees"]:
            raise ClusterError(
                f"{host} does not see {self._output}",
                hint="all nodes must have the same files at the same paths",
            )
        hand.greeting = None
        self._false_starts = 0

    def _bury(self, hand: _Hand, error: Exception) -> None:
        """Give up a worker that is dead or out of reach; its tasks wait for another.

        Raises:
            ClusterError: it has never begun, like those before it.
        """
        self._hands.remove(hand)
        self._kill(hand)
        if hand.greeting is not None:
            self._false_starts += 1
            if self._false_starts >= _MOST_FALSE_STARTS:
                raise ClusterError(f"workers do not start: {one_line(error)}")
        jobs = list(hand.jobs.values())
        if jobs:
            victim = jobs[0]
            victim.deaths += 1
            if victim.deaths >= _MOST_DEATHS:
                text = f"{victim.deaths} workers died of it (out of memory, perhaps)"
                self._fail(jobs.pop(0), text)
            else:
                attempts = victim.standing.attempts + 1
                victim.standing = replace(victim.standing, attempts=attempts)
        self._queue.extendleft(reversed(jobs))

    def _settle(self, job: _Job, answer: Mapping[str, Any]) -> None:
        """Write down what became of a task.

        Raises:
            OutputError: the disk is full or gone.
            ClusterError: no picture can be made there.
        """
        seconds = answer["seconds"]
        if answer["outcome"] in ("dropped", "disk", "unable"):
            job.claim.release()
        if answer["outcome"] == "disk":
            raise OutputError(answer["error"])
        if answer["outcome"] == "unable":
            raise ClusterError(f"a worker cannot paint: {answer['error']}")
        if answer["outcome"] == "failed":
            self._fail(job, answer["error"], seconds)
        elif answer["outcome"] == "done":
            self._ledger.write(job.task, job.standing, seconds=seconds, losses=answer["losses"])
            job.claim.release()
            notes = tuple(answer["notes"])
            self._on_step(Outcome(job.task, "done", seconds, notes=notes))

    def _fail(self, job: _Job, error: str, seconds: float = 0.0) -> None:
        self._failed = True
        self._ledger.write(job.task, job.standing, seconds=seconds, error=error)
        job.claim.release()
        self._on_step(Outcome(job.task, "failed", seconds, error))

    def _dismiss(self) -> None:
        """Have the workers drop what they still have in work, and wait until they have."""
        for hand in self._hands:
            hand.actor.stop.options(concurrency_group="control").remote()
        end = time.monotonic() + _GRACE_S
        while any(hand.jobs for hand in self._hands) and time.monotonic() < end:
            self._listen()

    def _leave(self) -> None:
        """End the workers and release what is still held for them."""
        for hand in self._hands:
            self._kill(hand)
        for job in [*self._queue, *(job for hand in self._hands for job in hand.jobs.values())]:
            job.claim.release()

    def _kill(self, hand: _Hand) -> None:
        # Of one that is dead already, or of a cluster that is gone, Ray complains.
        with suppress(Exception):
            self._ray.kill(hand.actor, no_restart=True)
