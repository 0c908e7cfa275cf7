"""A Ray cluster: the way in, and the room that there is for workers."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stylize.batch.local import one_line
from stylize.errors import ClusterError, UsageError
from stylize.images.extras import optional_module
from stylize.settings import Execution

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
    ray = optional_module("ray", what="--runner ray", extra="ray")
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
