"""How a cluster is divided, without one."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.batches.ray import WorkerSize, cluster, worker_size
from stylize.errors import MissingExtraError, UsageError
from stylize.settings.execution import Execution

CORES = st.integers(1, 128)
NODES = st.lists(
    st.builds(
        lambda cpu, gpu: {"CPU": float(cpu), "GPU": float(gpu), "memory": 1e9},
        st.integers(0, 128),
        st.integers(0, 8),
    ),
    max_size=6,
)


class TestWorkerSizes:
    """What a worker takes up."""

    @pytest.mark.parametrize(
        ("cores", "cpus", "places"), [(1, 1, 1), (2, 2, 1), (8, 8, 1), (12, 6, 2), (64, 8, 8)]
    )
    def test_shares_of_at_most_eight(self, cores: int, cpus: int, places: int) -> None:
        nodes = [{"CPU": cores}]
        size = worker_size(nodes, Execution())
        assert size == WorkerSize(cpus)
        assert size.capacity(nodes) == places

    def test_the_smallest_node_decides(self) -> None:
        nodes = [{"CPU": 0.0}, {"CPU": 2.0}, {"CPU": 16.0}, {}]
        assert worker_size(nodes, Execution()) == WorkerSize(2)
        assert WorkerSize(2).capacity(nodes) == 9

    def test_one_worker_a_gpu(self) -> None:
        nodes = [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 4.0}]
        assert worker_size(nodes, Execution()) == WorkerSize(8, 1)
        assert WorkerSize(8, 1).capacity(nodes) == 2
        assert worker_size(nodes, Execution(device="cpu")) == WorkerSize(4)
        assert worker_size(nodes, Execution(), 20 // 2) == WorkerSize(10, 1)

    def test_threads_are_cores_unless_these_are_given(self) -> None:
        nodes = [{"CPU": 16.0}]
        assert worker_size(nodes, Execution(threads=3)) == WorkerSize(3)
        assert worker_size(nodes, Execution(threads=3), 5) == WorkerSize(5)

    @pytest.mark.parametrize("nodes", [[], [{"CPU": 0.0}], [{"CPU": 4.0}]])
    def test_no_room(self, nodes: list[dict[str, float]]) -> None:
        with pytest.raises(UsageError, match="no node of the cluster has room for a worker"):
            worker_size(nodes, Execution(), 5)

    def test_not_a_certain_gpu(self) -> None:
        with pytest.raises(UsageError, match="its own GPU"):
            worker_size([{"CPU": 4.0, "GPU": 4.0}], Execution(device="cuda:1"))

    @given(nodes=NODES, cpus=st.none() | CORES)
    def test_workers_fit(self, nodes: list[dict[str, float]], cpus: int | None) -> None:
        try:
            size = worker_size(nodes, Execution(), cpus)
        except UsageError:
            most = max((node["CPU"] for node in nodes), default=0)
            # The GPUs may be where the cores are not.
            assert most < (cpus or 1) or any(node["GPU"] for node in nodes)
            return
        room = [size.capacity([node]) for node in nodes]
        assert size.capacity(nodes) == sum(room) >= 1
        for node, workers in zip(nodes, room, strict=True):
            assert workers * size.cpus <= node["CPU"]
            assert workers * size.gpus <= node["GPU"]


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install .ray>=2.52"), cluster(None):
        pass
