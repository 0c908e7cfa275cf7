"""Batches on a cluster: a head of no CPUs and two nodes of one, all on this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image, ImageChops

from stylize.batches.claims import Claims
from stylize.batches.local import BatchContext, LocalRunner, Outcome
from stylize.batches.painter import BatchPainter
from stylize.batches.ray import RayRunner, cluster
from stylize.batches.records import Ledger, read_all
from stylize.batches.tasks import Clips, Look, Task, token_of
from stylize.errors import ClusterError, OutputError
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.video import VideoSettings
from stylize.version import __version__
from stylize.video.clip import Cut
from tests.batches.ray_workers import Mortal, Named, Sociable, Stranger, Unlucky
from tests.cli.conftest import program
from tests.conftest import photo, save
from tests.video.clips import shots, write_clip

try:
    import ray
    from ray.cluster_utils import Cluster
except ImportError:
    ray = None

# Ray finds out its own address by a socket, and leaves pipes of its processes to the collector.
RAY = [
    pytest.mark.slow,
    pytest.mark.skipif(ray is None, reason="ray is not installed"),
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def on_ray(test: Any) -> Any:
    for mark in RAY:
        test = mark(test)
    return test


LOOK = Look("", DreamSettings(size="32", steps=1, octaves=1, layers="conv2_1"))
EXECUTION = Execution(device="cpu", precision="fp32", threads=1)
WORDS = ("--size", 32, "--steps", 1, "--octaves", 1, "--layer", "conv2_1")


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """The cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        # On a busy machine Ray itself would end workers, and take slow nodes for dead ones.
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")
        patch.setenv("RAY_health_check_timeout_ms", "60000")
        small = {"object_store_memory": 80 * 1024**2, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=small | {"num_cpus": 0})
        try:
            del small["include_dashboard"]
            started.small = small
            for _ in range(2):
                started.add_node(num_cpus=1, **small)
            yield started
        finally:
            ray.shutdown()
            started.shutdown()


@dataclass
class Batch:
    """A folder of pictures, and runs over it."""

    folder: Path
    tasks: list[Task]
    reported: list[Outcome] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.folder / "out"

    @property
    def statuses(self) -> dict[str, str]:
        return {outcome.task.target.stem: outcome.status for outcome in self.reported}

    def run(self, make: Callable[..., Any], **options: Any) -> None:
        self.reported.clear()
        self.output.mkdir(exist_ok=True)
        ledger = Ledger(self.output, {"": []})
        with Claims(self.output) as claims:
            reported = options.pop("reported", lambda outcome: None)

            def listen(outcome: Outcome) -> None:
                self.reported.append(outcome)
                reported(outcome)

            names = ("stop", "fail_fast")
            wanted = {name: options.pop(name) for name in names if name in options}
            context = BatchContext(ledger, claims, listen, **{"stop": lambda: False} | wanted)
            try:
                make(context, **options).run(self.tasks)
            finally:
                assert claims.tidy(), "every claim has been released"

    def on(self, head: Any, **options: Any) -> None:
        with cluster(head.address) as connection:

            def make(*words: Any, **named: Any) -> RayRunner:
                return RayRunner(connection, self.output, EXECUTION, *words, **named)

            self.run(make, **options)

    def locally(self) -> None:
        def make(*words: Any, **named: Any) -> LocalRunner:
            return LocalRunner(BatchPainter(EXECUTION), *words, **named)

        self.run(make)

    def files(self) -> set[str]:
        return {path.name for path in self.output.iterdir() if path.name != ".stylize"}


@pytest.fixture
def batch(tmp_path: Path) -> Callable[..., Batch]:
    def make(*names: str, folder: str = "") -> Batch:
        home = tmp_path / folder
        home.mkdir(exist_ok=True)
        sources = [save(photo(40 + 2 * i, 48), home / f"{n}.png") for i, n in enumerate(names)]
        tasks = [Task(each, home / "out" / each.name, LOOK) for each in sources]
        return Batch(home, tasks)

    return make


def pixels_differ(one: Path, other: Path) -> bool:
    with Image.open(one) as a, Image.open(other) as b:
        return ImageChops.difference(a, b).getbbox() is not None


@on_ray
def test_pixels_are_those_of_the_local_runner(head: Any, batch: Callable[..., Batch]) -> None:
    names = ("a", "b", "c d", "é")
    far, near = batch(*names), batch(*names, folder="near")
    (far.folder / "e.png").write_bytes(b"no picture")
    far.tasks.append(Task(far.folder / "e.png", far.output / "e.png", LOOK))
    near.locally()
    far.on(head)
    assert far.statuses == dict.fromkeys(names, "done") | {"e": "failed"}
    assert far.files() == near.files() == {f"{name}.png" for name in names}
    for name in near.files():
        assert not pixels_differ(far.output / name, near.output / name)
    entries = read_all(far.output)
    losses = {name: entry.losses for name, entry in read_all(near.output).items()}
    assert {name: entry.losses for name, entry in entries.items() if entry.losses} == losses
    assert {entry.attempts for entry in entries.values()} == {1}
    # What is done needs no workers: these would not begin.
    far.on(head, worker=stillborn())
    assert far.statuses == dict.fromkeys(names, "skipped") | {"e": "failed"}


@on_ray
def test_poison(head: Any, batch: Callable[..., Batch]) -> None:
    made = batch("a", "poison", "b", "c")
    made.on(head, worker=Mortal)
    assert made.statuses == {"a": "done", "b": "done", "c": "done", "poison": "failed"}
    assert made.files() == {"a.png", "b.png", "c.png"}
    entry = read_all(made.output)["poison.png"]
    assert (entry.status, entry.attempts) == ("failed", 2)
    assert entry.error is not None and entry.error.startswith("2 workers died while painting it")


@on_ray
def test_stop(head: Any, batch: Callable[..., Batch]) -> None:
    names = [f"{number:02}" for number in range(8)]
    made = batch(*names)
    made.on(head, stop=lambda: bool(made.reported))
    first = set(made.statuses)
    assert set(made.statuses.values()) == {"done"}
    # Of two workers, each with two pictures; what they have finished meanwhile is kept.
    assert 1 <= len(first) <= 5
    assert made.files() == {f"{name}.png" for name in first}
    assert set(read_all(made.output)) == made.files()
    made.locally()
    assert made.statuses == {n: "skipped" if n in first else "done" for n in names}


def stillborn() -> Any:
    """A worker that dies when it begins; a class without a module, which need not be imported."""

    class Stillborn:
        def __init__(self, *words: object) -> None:
            os._exit(1)

        def greet(self, output: bytes) -> None: ...
        def make(self, message: object) -> None: ...
        def stop(self) -> None: ...

    return Stillborn


@on_ray
def test_workers_that_do_not_start(head: Any, batch: Callable[..., Batch]) -> None:
    made = batch("a", "b")
    with pytest.raises(ClusterError, match="workers do not start: "):
        made.on(head, worker=stillborn())
    assert (made.reported, made.files()) == ([], set())


@on_ray
def test_workers_of_another_version(head: Any, batch: Callable[..., Batch]) -> None:
    made = batch("a")
    with pytest.raises(ClusterError, match=f"far has stylize 0.0, this is {__version__}"):
        made.on(head, worker=Stranger)
    assert (made.reported, made.files()) == ([], set())


@on_ray
def test_a_folder_that_workers_do_not_see(head: Any, batch: Callable[..., Batch]) -> None:
    made = batch("a")
    made.output.mkdir()
    elsewhere = Ledger(made.output, {"": []})
    with (
        cluster(head.address) as connection,
        Claims(made.output) as claims,
        pytest.raises(ClusterError, match=r"cannot see .*nowhere"),
    ):
        RayRunner(
            connection,
            made.folder / "nowhere",
            EXECUTION,
            BatchContext(elsewhere, claims, lambda outcome: None, lambda: False),
        ).run(made.tasks)


@on_ray
@pytest.mark.parametrize(
    ("reason", "kind", "message"),
    [("disk", OutputError, "^bad luck$"), ("unable", ClusterError, "cannot paint: bad luck")],
)
def test_the_batch_ends_at_no_fault_of_a_picture(
    head: Any, batch: Callable[..., Batch], reason: str, kind: type[Exception], message: str
) -> None:
    made = batch(reason)
    with pytest.raises(kind, match=message):
        made.on(head, worker=Unlucky)
    assert (made.reported, read_all(made.output)) == ([], {})


@on_ray
def test_a_node_is_lost(head: Any, batch: Callable[..., Batch]) -> None:
    names = [f"{number:02}" for number in range(10)]
    made = batch(*names)
    lost: list[Any] = []

    def reported(outcome: Outcome) -> None:
        # Both workers have something in work: they have waited for each other.
        if not lost:
            lost.append(sorted(head.worker_nodes, key=id)[0])
            head.remove_node(lost[0], allow_graceful=False)

    try:
        made.on(head, worker=Sociable, reported=reported)
    finally:
        head.add_node(num_cpus=1, **head.small)
    assert made.statuses == dict.fromkeys(names, "done")
    assert made.files() == {f"{name}.png" for name in names}
    assert {entry.status for entry in read_all(made.output).values()} == {"done"}


@on_ray
def test_an_idle_worker_paints_shots_of_the_clip_of_another(
    head: Any, batch: Callable[..., Batch]
) -> None:
    """The whole last shot; it is killed in the second one, which the first worker completes."""
    made, near = batch(), batch(folder="near")
    frames = shots(4, 3, 4, size=(64, 48))
    look = replace(LOOK, settings=replace(LOOK.settings, size="64", steps=20))
    look = replace(look, clips=Clips(VideoSettings(), Cut(), "gif"))
    for each in (made, near):
        clip = write_clip(each.folder / "a.mp4", len(frames), frames=frames, size=(64, 48))
        each.tasks.append(Task(clip, each.output / "a.gif", look, (48, 64), len(frames)))
    near.locally()
    begun: list[bool] = []

    def pid(name: str) -> int:
        return int((made.folder / f"a.{name}").read_text())

    def is_open() -> bool:
        with Claims(made.output) as claims:
            sharing = claims.on_shots(token_of("a.gif"))
            return sharing is not None and sharing.is_open

    def pause_the_first() -> None:
        frame = made.output / "a.gif.frames" / "pass-1"
        end = time.monotonic() + 90
        while not ((frame / "000001.png").exists() and is_open()) and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(pid("make"), signal.SIGSTOP)
        while not (frame / "000005.png").exists() and time.monotonic() < end:
            time.sleep(0.01)
        begun.extend((frame / f"{number:06}.png").exists() for number in (5, 8, 11))
        try:
            os.kill(pid("join"), signal.SIGKILL)
        finally:
            os.kill(pid("make"), signal.SIGCONT)

    pausing = threading.Thread(target=pause_the_first)
    pausing.start()
    made.on(head, worker=Named)
    pausing.join()
    assert begun == [True, True, True]
    assert pid("make") != pid("join")
    assert made.statuses == near.statuses == {"a": "done"}
    assert made.files() == {"a.gif"}
    assert (made.output / "a.gif").read_bytes() == (near.output / "a.gif").read_bytes()


@on_ray
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_interrupted(head: Any, batch: Callable[..., Batch]) -> None:
    made = batch(*(f"{number:02}" for number in range(12)))
    call = program(
        *("batch", "dream", made.folder, "-o", made.output, *WORDS, "--precision", "fp32"),
        *("--runner", "ray", "--address", head.address, "--cpus-per-worker", 1, "--json"),
    )
    begun = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(**call, **begun, start_new_session=True)
    with process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "start"
        assert json.loads(process.stdout.readline())["status"] == "finished"
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    events = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 130, err
    assert events[-1]["event"] == "summary" and events[-1]["left"] > 0
    assert err.strip() == "stopping; the current picture is dropped (again to quit at once)"
    assert made.files() == set(read_all(made.output))
    assert len(made.files()) == events[-1]["finished"]


@on_ray
@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:9", "[::1]:9", "127.0.0.1:99999"])
def test_a_cluster_that_is_not_there(address: str) -> None:
    with pytest.raises(ClusterError, match="cannot be reached"), cluster(address):
        pass


class TestOptions:
    """What the command line refuses, and a cluster of its own."""

    def call(self, *words: object) -> subprocess.CompletedProcess[str]:
        call = program("batch", "dream", *words)
        return subprocess.run(**call, capture_output=True, text=True, timeout=120, check=False)

    @pytest.mark.parametrize("words", [("--address", "auto"), ("--cpus-per-worker", 2)])
    def test_of_ray_alone(self, tmp_path: Path, words: tuple[object, ...]) -> None:
        found = self.call(tmp_path, "-o", tmp_path / "out", *words)
        assert found.returncode == 2
        assert found.stderr == f"stylize: {words[0]} works only with Ray (--runner ray)\n"

    @on_ray
    def test_a_cluster_of_this_machine_alone(self, batch: Callable[..., Batch]) -> None:
        made = batch("a")
        words = (*WORDS, "--precision", "fp32", "--threads", 1, "--runner", "ray")
        found = self.call(made.folder, "-o", made.output, *words)
        assert found.returncode == 0, found.stderr
        assert found.stderr.splitlines()[-1] == "1 finished, 0 failed"
        own = [line for line in found.stderr.splitlines() if not line.startswith("1 of 1 pictures")]
        assert len(own) == 2, "Ray says nothing of its own"
        assert found.stdout == ""
        assert made.files() == {"a.png"}


LOOPBACK = ("127.", "::1", "::ffff:127.")

PROBE = """
import logging, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
print("connected")
ray.shutdown()
"""


def connects(address: str, **variables: str) -> bool:
    """Whether a program that knows this address, and these variables, is let in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    quick = {"RAY_NUM_REDIS_GET_RETRIES": "3", "RAY_USAGE_STATS_ENABLED": "0"}
    probe = [sys.executable, "-c", PROBE, address]
    environment = kept | quick | variables
    found = subprocess.run(
        probe, check=False, env=environment, capture_output=True, text=True, timeout=120
    )
    return "connected" in found.stdout


def listening(process: psutil.Process) -> dict[str, list[tuple[str, int]]]:
    """Where a process and those below it listen, by the names of the processes."""
    found: dict[str, list[tuple[str, int]]] = {}
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            places = [c.laddr for c in each.net_connections("tcp") if c.status == "LISTEN"]
            found.setdefault(each.name(), []).extend((p.ip, p.port) for p in places)
    return found


@on_ray
class TestWhoMayUseACluster:
    """Whoever reaches a socket of Ray without a token runs code as the user."""

    @pytest.fixture
    def started(self, tmp_path: Path) -> Iterator[psutil.Process]:
        """A long batch on a cluster of its own, whose user has switched tokens off."""
        (tmp_path / "in").mkdir()
        (tmp_path / "home").mkdir()
        save(photo(64, 64), tmp_path / "in" / "a.png")
        words = ["--octaves", 1, "--steps", 4000, "--runner", "ray", "--cpus-per-worker", 1]
        entry = program("batch", "dream", tmp_path / "in", "-o", tmp_path / "out", *words)
        entry["env"] |= {"RAY_AUTH_MODE": "disabled", "HOME": str(tmp_path / "home")}
        with subprocess.Popen(**entry, stderr=subprocess.PIPE) as process:
            found = psutil.Process(process.pid)
            try:
                end = time.monotonic() + 120
                while "ray::Worker" not in str(listening(found)) and time.monotonic() < end:
                    assert process.poll() is None, process.stderr.read()
                    time.sleep(0.5)
                yield found
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)
        assert process.returncode == 130
        assert list((tmp_path / "home").iterdir()) == []

    def test_its_own_needs_a_token(self, started: psutil.Process) -> None:
        places = listening(started)
        assert {"raylet", "gcs_server"} <= places.keys()
        assert all(ip.startswith(LOOPBACK) for found in places.values() for ip, _ in found)
        (gcs,) = (each for each in started.children() if each.name() == "gcs_server")
        address = f"127.0.0.1:{places['gcs_server'][0][1]}"
        token = gcs.environ()["RAY_AUTH_TOKEN"]
        assert len(token) >= 32
        local = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        assert not connects(address, RAY_AUTH_MODE="disabled", **local)
        assert not connects(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64, **local)
        assert connects(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token, **local)

    def test_the_variables_are_the_users_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
        with cluster(None):
            assert os.environ["RAY_AUTH_MODE"] == "token"
            first = os.environ["RAY_AUTH_TOKEN"]
        assert os.environ["RAY_AUTH_MODE"] == "disabled"
        assert "RAY_AUTH_TOKEN" not in os.environ
        with cluster("local"):
            assert os.environ["RAY_AUTH_TOKEN"] != first

    def test_a_running_cluster_is_used_with_the_users_token(self, tmp_path: Path) -> None:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a1" * 20}
        (tmp_path / "in").mkdir()
        save(photo(32, 32), tmp_path / "in" / "a.png")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        ray_program = Path(sys.executable).with_name("ray")
        flags = [f"--port={port}", "--num-cpus=1", "--include-dashboard=false", "--block"]
        head = [ray_program, "start", "--head", *flags, "--object-store-memory=80000000"]
        ways = program("batch", "dream", tmp_path / "in", "-o", tmp_path / "out", *WORDS)
        ways["args"] += ["--runner", "ray", "--address", f"127.0.0.1:{port}"]
        environment = ways["env"] | {"RAY_USAGE_STATS_ENABLED": "0"}
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(head, env=environment | token, **silent) as process:
            try:
                wait_for(port)
                wrong = token | {"RAY_AUTH_TOKEN": "b2" * 20}
                for extra, code in ((wrong, 1), (token, 0)):
                    ways["env"] = environment | extra | {"RAY_NUM_REDIS_GET_RETRIES": "3"}
                    ran = subprocess.run(
                        **ways, check=False, capture_output=True, text=True, timeout=200
                    )
                    assert ran.returncode == code, ran.stderr
                    if code:
                        (line,) = ran.stderr.splitlines()
                        assert "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in line
            finally:
                process.terminate()
                process.wait(60)


def wait_for(port: int) -> None:
    """Wait until something listens there."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.2)


@pytest.mark.skipif(ray is None, reason="ray is not installed")
def test_a_version_without_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylize.batches.ray.version", lambda name: "2.51.2")
    with pytest.raises(ClusterError, match=r"Ray 2.51.2 lets anyone.*ray>=2.52"), cluster(None):
        pass
