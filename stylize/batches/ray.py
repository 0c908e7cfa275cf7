"""Make the pictures of a batch with workers on a Ray cluster."""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stylize.batches.local import BatchContext, Job, Runner, admit, one_line
from stylize.batches.tasks import Task
from stylize.batches.worker import Answer, Assignment, Worker, assignment
from stylize.errors import ClusterError, OutputError, StylizeError, UsageError
from stylize.extras import optional_module
from stylize.images.open import pixel_limit
from stylize.planning.limits import require_address_space
from stylize.settings.execution import Execution
from stylize.version import __version__
from stylize.video.record import folder_for, read_record

# The first version that asks for tokens.
REQUIREMENT = "ray>=2.52"

# Convolutions of one small picture gain little from more cores.
_MAX_CPUS = 8

# Messages are small; by default, Ray reserves a third of the memory.
_STORE_BYTES = 80 * 1024**2

_ANSWER_S = 5.0

# Address space that Ray's threads take in this process; without it they end the process.
_DRIVER_BYTES = 2e9


@dataclass(frozen=True)
class WorkerSize:
    """The resources that each worker needs.

    Attributes:
        cpus: cores.
        gpus: 0 or 1.
    """

    cpus: int
    gpus: int = 0

    def capacity(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """How many workers the nodes have room for.

        Args:
            nodes: resources of each, as Ray names them.
        """
        return sum(map(self._room, nodes))

    def _room(self, node: Mapping[str, float]) -> int:
        room = int(node.get("CPU", 0)) // self.cpus
        return min(room, int(node.get("GPU", 0)) // self.gpus) if self.gpus else room


def worker_size(
    nodes: Sequence[Mapping[str, float]], execution: Execution, cpus: int | None = None
) -> WorkerSize:
    """Choose the resources of a worker: a GPU where there are any, and its share of the cores.

    Args:
        nodes: resources of each, as Ray names them.
        execution: the device ``cpu`` uses no GPUs; ``threads`` is the default of ``cpus``.
        cpus: cores of a worker. The default divides the cores of the smallest node by its GPUs,
            or else into shares of at most eight.

    Raises:
        UsageError: no node has room for a worker, or the device is one GPU of several.
    """
    if execution.device.startswith("cuda:"):
        raise UsageError("Ray gives each worker its own GPU", hint="use --device cuda")
    gpus = [node for node in nodes if node.get("GPU", 0) >= 1 and node.get("CPU", 0) >= 1]
    use_gpus = bool(gpus) and execution.device in ("auto", "cuda")
    fit = gpus if use_gpus else [node for node in nodes if node.get("CPU", 0) >= 1]
    wanted = cpus or execution.threads
    share = wanted or min((_share(node, use_gpus) for node in fit), default=1)
    size = WorkerSize(share, int(use_gpus))
    if not size.capacity(nodes):
        raise UsageError(
            f"no node of the cluster has room for a worker of {share} CPUs",
            hint="see --cpus-per-worker and 'ray status'",
        )
    return size


def _share(node: Mapping[str, float], use_gpus: bool) -> int:
    cores = int(node["CPU"])
    workers = int(node["GPU"]) if use_gpus else -(-cores // _MAX_CPUS)
    return max(1, cores // workers)


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """A connection to Ray.

    A cluster of this machine alone listens on the loopback interface where Ray can do that, and
    asks for a random token that only its own processes know. A cluster at an address is used with
    the ``RAY_AUTH_MODE`` and the token of the caller's environment.

    Args:
        address: of a running cluster, ``HOST:PORT`` or ``auto``; None or ``local`` starts one of
            this machine alone, which ends with the block.

    Yields:
        The module ``ray``.

    Raises:
        MissingExtraError: Ray is not installed.
        ClusterError: there is no such cluster, it cannot be started, or Ray is too old.
    """
    _require_version()
    require_address_space(_DRIVER_BYTES)
    if address in (None, "", "local"):
        with _own_environment():
            ray = _imported()
            _reload_authentication()
            try:
                yield from _connection(ray, None)
            finally:
                ray.shutdown()
        # The variables are the caller's again.
        _reload_authentication()
    else:
        _require_answer(str(address))
        yield from _connection(_imported(), address)


def _connection(ray: Any, address: str | None) -> Iterator[Any]:
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    start = {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        if address:
            with _without_stderr():
                ray.init(address=address, **quiet)
        else:
            ray.init(address="local", **quiet, **start)
    except Exception as error:
        if address:
            raise _unreachable(address, error) from error
        raise ClusterError(f"Ray cannot start: {one_line(error)}") from error
    # Even without log_to_driver, Ray prints events of the cluster to stdout, between our own lines.
    # There is no public switch, and what matters is raised as an error.
    ray._private.worker._worker_logs_enabled = False
    try:
        yield ray
    finally:
        ray.shutdown()
        ray._private.worker._worker_logs_enabled = True


def _imported() -> Any:
    return optional_module("ray", what="--runner ray", requirement=REQUIREMENT)


def _require_version() -> None:
    """Refuse versions that let anyone who reaches their ports run code (CVE-2023-48022)."""
    with suppress(PackageNotFoundError):
        found = version("ray")
        if tuple(map(int, re.findall(r"\d+", found)[:2])) < (2, 52):
            raise ClusterError(
                f"Ray {found} lets anyone who can reach its ports run code here",
                hint=f'pip install "{REQUIREMENT}"',
            )


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Keep Ray's C++ from writing a line for each try; no setting reaches it so early."""
    try:
        kept = os.dup(2)
    except OSError:  # closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _own_environment() -> Iterator[None]:
    """The variables that a cluster of this machine alone inherits; undone after the block."""
    own = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # Despite its name it makes a node listen on the loopback interface alone, on any system.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _reload_authentication() -> None:
    """Have Ray read its variables again; it does so once, perhaps before they were set."""
    # There is no public call; the order is the one of Ray's own tests.
    raylet = import_module("ray._raylet")

    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def nodes(ray: Any) -> list[dict[str, float]]:
    """Resources of each node that is alive, as Ray names them."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _require_answer(address: str) -> None:
    """Refuse an address that does not answer: Ray would print retries for over a minute."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
        except (OSError, OverflowError, UnicodeError) as error:
            raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> ClusterError:
    hint = "use the HOST:PORT that 'ray start --head' printed, or auto"
    # Ray raises ConnectionError itself for a wrong token.
    if type(error).__name__ in ("AuthenticationError", "ConnectionError"):
        hint = "if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
    return ClusterError(
        f"the Ray cluster at {address} cannot be reached: {_reason(error)}", hint=hint
    )


def _reason(error: Exception) -> str:
    """The first sentence, without the advice that Ray adds."""
    return one_line(error).partition(". ")[0]


# One that is being painted, and one so that the worker need not wait.
_TASKS_PER_WORKER = 2

# A picture fails once this many workers have died while painting it. A clip is no longer shared
# once this many have died while painting its shots for another worker.
_MAX_DEATHS = 2

# How long an idle worker rests that has found no shot to paint, and how often clips are looked at.
_REST_S = 2.0

# The batch ends once this many workers in a row have not started.
_MAX_FAILED_STARTS = 3

_WAIT_S = 0.5

# Time to finish the current step when a run is stopped; then the worker is killed.
_GRACE_S = 10.0


@dataclass(eq=False)
class _Job(Job):
    """A task for a worker.

    Attributes:
        deaths: of workers that were painting it.
        shots: number of shots of a clip; 0 until it has been read.
        lost: number of workers that died while painting its shots for another worker.
    """

    deaths: int = 0
    shots: int = 0
    lost: int = 0

    @property
    def is_shared(self) -> bool:
        """Whether other workers may paint some of the shots."""
        return self.shots > 1 and self.lost < _MAX_DEATHS


@dataclass(eq=False)
class _RemoteWorker:
    """A worker, as this process sees it.

    Attributes:
        actor: its handle.
        greeting: the pending greeting; None once it has arrived.
        jobs: the tasks assigned to it by pending answer, the current one first.
        guest: the clip of another worker of which it paints a shot, by pending answer.
        unfit: clips of which it can paint no shot.
        visits: how often it has looked for a shot to paint.
        rests_until: by :func:`time.monotonic`.
    """

    actor: Any
    greeting: Any
    jobs: dict[Any, _Job] = field(default_factory=dict)
    guest: dict[Any, _Job] = field(default_factory=dict)
    unfit: list[_Job] = field(default_factory=list)
    visits: int = 0
    rests_until: float = 0.0

    @property
    def next(self) -> Any:
        """The next pending answer; None while the worker is idle."""
        if self.greeting is not None:
            return self.greeting
        return next(iter(self.jobs or self.guest), None)

    @property
    def is_busy(self) -> bool:
        """Whether it works on something."""
        return bool(self.jobs or self.guest)

    def has_room(self, load: int, job: _Job) -> bool:
        """Whether the worker can take a job while it has no more than ``load`` others."""
        # When a worker dies, the answer for a finished task may be lost, and that task is blamed.
        # A task that was blamed runs alone, so that the second time there is no doubt.
        # A clip takes long, so it waits for the first worker that is free.
        alone = any(each.deaths or each.task.look.clips for each in (job, *self.jobs.values()))
        free = self.greeting is None and not self.guest
        return free and len(self.jobs) <= (0 if alone else load)


class RayRunner(Runner):
    """Make the pictures of a batch on a cluster, many at a time. Use it once.

    Args:
        ray: of :func:`~stylize.batches.ray.cluster`.
        output: the batch's folder, at the same path on all nodes.
        execution: device, precision and threads; by default a worker has a thread for each core.
        context: what the batch needs.
        cpus: cores of a worker, see :func:`~stylize.batches.ray.worker_size`.
        environment: environment variables for the workers.
        worker: class of the actors.

    Raises:
        UsageError: no node has room for a worker.
    """

    def __init__(
        self,
        ray: Any,
        output: Path,
        execution: Execution,
        context: BatchContext,
        *,
        cpus: int | None = None,
        environment: Mapping[str, str] | None = None,
        worker: type[Worker] = Worker,
    ) -> None:
        super().__init__(context)
        self._ray = ray
        self._output = output
        self._size = worker_size(nodes(ray), execution, cpus)
        self._execution = replace(execution, threads=execution.threads or self._size.cpus)
        # A concurrency group of its own for stop(), which must run while make() does.
        self._actor = ray.remote(
            num_cpus=self._size.cpus,
            num_gpus=self._size.gpus,
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={"control": 1},
            runtime_env={"env_vars": dict(environment)} if environment else None,
        )(worker)
        self._workers: list[_RemoteWorker] = []
        self._queue: deque[_Job] = deque()
        self._failed_starts = 0
        self._looked_s = 0.0

    def run(self, tasks: Sequence[Task]) -> None:
        """Make all pictures that need work.

        Raises:
            OutputError: the disk is full or gone; finished pictures are safe.
            ClusterError: there are no workers, or they do not start; finished pictures are safe.
        """
        self._todo, self._most = iter(tasks), len(tasks)
        trouble: OutputError | ClusterError | None = None
        try:
            try:
                self._work()
            except (OutputError, ClusterError) as error:
                trouble = error
            self._stop_workers()
        finally:
            self._clean_up()
        if trouble is not None:
            raise trouble

    def _work(self) -> None:
        while not self._over:
            self._fill()
            self._assign()
            if not self._queue and not any(worker.jobs for worker in self._workers):
                return
            self._join_clips()
            self._start_workers()
            self._wait()

    def _fill(self) -> None:
        """Keep one claimed task waiting for a worker, as long as there are tasks."""
        for task in self._todo if not self._queue else ():
            job = self._claim(task)
            if job is not None:
                self._queue.append(job)
            if self._queue or self._over:
                return

    def _claim(self, task: Task) -> _Job | None:
        admitted = admit(task, self._context, self._report)
        return None if admitted is None else _Job(task, *admitted)

    def _assign(self) -> None:
        """Give every idle worker a task, and then a second one to each."""
        for load in range(_TASKS_PER_WORKER):
            for worker in self._workers:
                if self._queue and worker.has_room(load, self._queue[0]):
                    job = self._queue.popleft()
                    worker.jobs[worker.actor.make.remote(self._sent(job))] = job
                    self._fill()

    def _sent(self, job: _Job) -> Assignment:
        return assignment(job.task, self._token(job.task), self._context.saving, self._output)

    @property
    def _painting(self) -> list[_Job]:
        """The tasks that workers are making."""
        return [job for worker in self._workers for job in list(worker.jobs.values())[:1]]

    def _join_clips(self) -> None:
        """Have idle workers paint shots of the clips that others make."""
        now = time.monotonic()
        if now - self._looked_s > _REST_S:
            self._looked_s = now
            for job in self._painting:
                if job.task.look.clips is not None and not job.shots:
                    job.shots = _count_shots(job.task.target)
        shared = [job for job in self._painting if job.is_shared]
        for worker in self._workers:
            clips = [job for job in shared if job not in worker.unfit]
            free = worker.greeting is None and not worker.is_busy and now >= worker.rests_until
            if clips and free:
                job = clips[worker.visits % len(clips)]
                worker.visits += 1
                worker.guest[worker.actor.join.remote(self._sent(job))] = job

    def _start_workers(self) -> None:
        """Start as many workers as there is room and work for."""
        capacity = self._size.capacity(nodes(self._ray))
        more = sum(job.shots - 1 for job in self._painting if job.is_shared)
        while len(self._workers) < min(capacity, self._most + more):
            actor = self._actor.remote(self._execution, pixel_limit())
            greeting = actor.greet.remote(Path(os.path.abspath(self._output)))
            self._workers.append(_RemoteWorker(actor, greeting))
        if not self._workers:
            raise ClusterError("no node of the cluster has room for a worker any more")

    def _wait(self) -> None:
        """Wait a moment for answers of the workers."""
        awaited = {worker.next: worker for worker in self._workers if worker.next is not None}
        said, _ = self._ray.wait(list(awaited), num_returns=1, timeout=_WAIT_S)
        for each in said:
            self._receive(awaited[each], each)

    def _receive(self, worker: _RemoteWorker, said: Any) -> None:
        failures = self._ray.exceptions
        try:
            answer = self._ray.get(said)
        except failures.RayTaskError as error:
            answer = Answer("failed", error=one_line(error.cause))
        except failures.RayError as error:
            self._replace_dead(worker, error)
            return
        if worker.greeting is not None:
            self._accept(worker, answer)
        elif said in worker.guest:
            job = worker.guest.pop(said)
            if answer in ("later", "nothing"):
                worker.rests_until = time.monotonic() + _REST_S
            elif answer != "painted":
                worker.unfit.append(job)
        else:
            self._settle(worker.jobs.pop(said), answer)

    def _accept(self, worker: _RemoteWorker, answer: Answer | Mapping[str, Any]) -> None:
        """Check the greeting of a worker.

        Raises:
            ClusterError: the worker cannot do the work of this batch.
        """
        if isinstance(answer, Answer):
            raise ClusterError(f"a worker does not start: {answer.error}")
        host = answer["host"]
        if answer["version"] != __version__:
            raise ClusterError(
                f"{host} has stylize {answer['version']}, this is {__version__}",
                hint="install the same version on all nodes",
            )
        if not answer["sees"]:
            raise ClusterError(
                f"{host} cannot see {self._output}",
                hint="all nodes must have the same files at the same paths",
            )
        worker.greeting = None
        self._failed_starts = 0

    def _replace_dead(self, worker: _RemoteWorker, error: Exception) -> None:
        """Give up a worker that is dead or unreachable; another one gets its tasks.

        Raises:
            ClusterError: several workers in a row have not started.
        """
        self._workers.remove(worker)
        self._kill(worker)
        if worker.greeting is not None:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                raise ClusterError(f"workers do not start: {one_line(error)}")
        for job in worker.guest.values():
            job.lost += 1
        jobs = list(worker.jobs.values())
        if jobs:
            first = jobs[0]
            first.deaths += 1
            if first.deaths >= _MAX_DEATHS:
                text = f"{first.deaths} workers died while painting it (perhaps out of memory)"
                self._fail(jobs.pop(0), text)
            else:
                attempts = first.standing.attempts + 1
                first.standing = replace(first.standing, attempts=attempts)
        self._queue.extendleft(reversed(jobs))

    def _settle(self, job: _Job, answer: Answer) -> None:
        """Record what became of a task.

        Raises:
            OutputError: the disk is full or gone.
            ClusterError: no picture can be made there.
        """
        seconds = answer.seconds
        if answer.outcome in ("dropped", "disk", "unable"):
            job.claim.release()
        if answer.outcome == "disk":
            raise OutputError(answer.error or answer.outcome)
        if answer.outcome == "unable":
            raise ClusterError(f"a worker cannot paint: {answer.error}")
        if answer.outcome == "failed":
            self._fail(job, answer.error or answer.outcome, seconds)
        elif answer.outcome == "done":
            self._finish(job, seconds, answer.losses, answer.notes)

    def _stop_workers(self) -> None:
        """Tell the workers to drop their pictures, and wait until they have."""
        for worker in self._workers:
            worker.actor.stop.options(concurrency_group="control").remote()
        end = time.monotonic() + _GRACE_S
        while any(worker.is_busy for worker in self._workers) and time.monotonic() < end:
            self._wait()

    def _clean_up(self) -> None:
        """End the workers and release what is still held for them."""
        for worker in self._workers:
            self._kill(worker)
        for job in [
            *self._queue,
            *(job for worker in self._workers for job in worker.jobs.values()),
        ]:
            job.claim.release()

    def _kill(self, worker: _RemoteWorker) -> None:
        # Ray raises an error if the worker is dead or the cluster is gone.
        with suppress(Exception):
            self._ray.kill(worker.actor, no_restart=True)


def _count_shots(target: Path) -> int:
    """How many shots a clip in progress has; 0 until it has been read."""
    with suppress(StylizeError, OSError):
        record = read_record(folder_for(target))
        return len(record.ranges) if record is not None else 0
    return 0
