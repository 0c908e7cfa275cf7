import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stylize.errors import UsageError
from stylize.gradients import self_test
from stylize.gradients.self_test import resolve
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.planning import device
from stylize.planning import self_test_cache as calibration
from stylize.planning.self_test_cache import Verdict
from stylize.settings.execution import Execution

GOOD = Verdict(precision="bf16", gflops=300.0, speedup=2.0, cosine=0.999)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STYLIZE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_self_test_works_even_where_gradients_are_off(
    vgg16: Weights,
) -> None:
    with torch.no_grad():  # on a new machine the first command may be one that needs no gradients
        found = self_test.self_test("cpu", vgg16)
    assert found.gflops > 0
    if found.cosine == 0:
        assert found.speedup < self_test.HOPELESS
    else:
        assert 0.9 < found.cosine <= 1.0001
    assert found.precision == ("bf16" if found.cosine > 0.99 and found.speedup > 1 else "fp32")


@pytest.mark.parametrize(
    ("cosine", "times", "expected"),
    [(1.0, (2.0, 1.0), "bf16"), (1.0, (1.0, 50.0), "fp32"), (0.9, (2.0, 1.0), "fp32")],
)
def test_slow_or_wrong_bf16_is_not_used(
    vgg16: Weights,
    monkeypatch: pytest.MonkeyPatch,
    cosine: float,
    times: tuple[float, float],
    expected: str,
) -> None:
    """A machine without bf16 instructions, and one whose bf16 is wrong, by their probes."""
    exact = torch.tensor([1.0, 0.0])
    rounded = torch.tensor([cosine, (1 - cosine**2) ** 0.5])
    answers = {"fp32": (exact, times[0]), "bf16": (rounded, times[1])}
    monkeypatch.setattr(self_test, "_speedup_of_one", lambda device: 1.0)
    monkeypatch.setattr(self_test, "_probe", lambda vgg, layer, image: answers[vgg.precision])
    assert self_test.self_test("cpu", vgg16).precision == expected


def test_imitated_bf16_is_not_tried_on_the_whole_network(
    own_cache: Path, vgg16: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One convolution tells: a processor without such products would need a minute."""
    probed = []

    def probe(vgg: VGG, layer: str, image: Tensor) -> tuple[Tensor, float]:
        probed.append(vgg.precision)
        return torch.ones(2), 1.0

    monkeypatch.setattr(self_test, "_speedup_of_one", lambda device: 0.05)
    monkeypatch.setattr(self_test, "_probe", probe)
    found = self_test.self_test("cpu", vgg16)
    assert set(probed) == {"fp32"}
    assert (found.precision, found.speedup, found.cosine) == ("fp32", 0.05, 0)
    calibration.remember("this machine", found)
    assert calibration.recall("this machine") == found


def test_the_verdict_is_measured_once(
    own_cache: Path, vgg16: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(self_test, "self_test", lambda *args: calls.append(args) or GOOD)
    first = resolve(Execution(device="cpu"), vgg16)
    second = resolve(Execution(device="cpu"), vgg16)
    assert first == second
    assert first.precision == "bf16"
    assert len(calls) == 1
    assert calibration.latest() == GOOD


def verdict(**values: str) -> str:
    """The cache as text, some of its values replaced."""
    good = {"precision": '"fp32"', "gflops": "1.0", "speedup": "1.0", "cosine": "1.0"} | values
    return '{"a": {' + ", ".join(f'"{key}": {value}' for key, value in good.items()) + "}}"


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[1]",
        "[" * 100_000,
        '{"a": {"precision": 1}}',
        verdict(precision='""'),
        verdict(precision="[]"),
        verdict(gflops="0"),
        verdict(gflops="5e-324"),
        verdict(gflops="NaN"),
        verdict(speedup="1" + "0" * 400),
        verdict(cosine="null"),
    ],
    ids=lambda text: text[:50],
)
def test_a_damaged_cache_counts_as_none(own_cache: Path, damage: str) -> None:
    own_cache.mkdir()
    (own_cache / "machine.json").write_text(damage)
    assert calibration.recall("a") is None
    calibration.remember("b", GOOD)
    assert calibration.recall("b") == GOOD


def test_a_verdict_is_never_written_through_a_link(own_cache: Path, tmp_path: Path) -> None:
    own_cache.mkdir()
    (tmp_path / "other").write_text("precious")
    (own_cache / "machine.json").symlink_to(tmp_path / "other")
    calibration.remember("a", GOOD)
    assert (tmp_path / "other").read_text() == "precious"


def test_a_cache_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STYLIZE_CACHE_DIR", str(tmp_path / "file"))
    calibration.remember("a", GOOD)
    assert calibration.recall("a") is None


def test_verdicts_are_kept_in_order_and_leave_no_other_file(own_cache: Path) -> None:
    other = Verdict("fp32", 100.0, 0.5, 1.0)
    calibration.remember("a", GOOD)
    calibration.remember("b", other)
    calibration.remember("a", GOOD)
    assert calibration.latest() == GOOD
    assert [path.name for path in own_cache.iterdir()] == ["machine.json"]
    assert set(json.loads((own_cache / "machine.json").read_text())) == {"a", "b"}


def test_a_forced_precision_is_obeyed_and_its_rate_estimated(
    own_cache: Path, vgg16: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "self_test", lambda *args: GOOD)
    found = resolve(Execution(device="cpu", precision="fp32"), vgg16)
    assert (found.precision, found.gflops) == ("fp32", 150.0)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match=r"cuda:7.*it has:.*cpu"):
        device.choose_device("cuda:7")


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs, of which the second has less free memory."""
    names, free = {"cuda:0": "Card A", "cuda:1": "Card B"}, {"cuda:0": 8e9, "cuda:1": 3e9}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", names.__getitem__)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda name: (free[name], 80e9))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("two_cards")
class TestCards:
    """What follows from the GPUs of a machine, here of one that only says it has them."""

    @pytest.mark.parametrize(
        ("requested", "chosen"),
        [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")],
    )
    def test_the_choice(self, requested: str, chosen: str) -> None:
        assert device.choose_device(requested) == chosen

    def test_a_card_that_is_not_there(self) -> None:
        with pytest.raises(UsageError, match=r"'cuda:2' \(it has: cuda:0, cuda:1, cpu\)"):
            device.choose_device("cuda:2")

    def test_runs_plan_with_the_free_memory_of_the_card(self) -> None:
        for name, free in (("cuda:0", 8e9), ("cuda:1", 3e9)):
            chosen = device.Device(name, "bf16", 4)
            budget = device.budget_bytes(Execution(), chosen)
            assert budget is not None and 0.7 * free < budget < free
            assert device.budget_bytes(Execution(max_memory="2GB"), chosen) == 2e9

    def test_each_card_has_its_own_self_test(self, vgg16: Weights) -> None:
        found = [device.fingerprint(name, vgg16) for name in ("cuda:0", "cuda:1", "cpu")]
        assert len(set(found)) == 3

    def test_convolutions_keep_the_precision_of_float32(self) -> None:
        convolutions = torch.backends.cudnn.conv
        before = convolutions.fp32_precision
        try:
            convolutions.fp32_precision = "tf32"
            assert device.prepare_device(Execution(device="cuda:1")) == "cuda:1"
            assert convolutions.fp32_precision == "ieee"
        finally:
            convolutions.fp32_precision = before


def test_an_apple_is_preferred_to_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device.choose_device("auto") == "mps"


def test_threads_are_obeyed(vgg16: Weights) -> None:
    before = torch.get_num_threads()
    try:
        assert resolve(Execution(device="cpu", threads=1), vgg16).threads == 1
    finally:
        torch.set_num_threads(before)


def test_the_fingerprint_tells_machines_apart(
    vgg16: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = device.fingerprint("cpu", vgg16)
    monkeypatch.setattr(device, "processor", lambda: "another processor")
    assert device.fingerprint("cpu", vgg16) != here


def test_no_more_threads_than_the_quota_allows(
    own_cache: Path, vgg16: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(self_test, "self_test", lambda *args: GOOD)
    monkeypatch.setattr(device, "available_processors", lambda: 2)
    try:
        torch.set_num_threads(3)
        assert resolve(Execution(device="cpu"), vgg16).threads == 2
        assert resolve(Execution(device="cpu", threads=3), vgg16).threads == 3
        torch.set_num_threads(1)
        assert resolve(Execution(device="cpu"), vgg16).threads == 1
    finally:
        torch.set_num_threads(before)


def test_the_kept_rate_follows_finished_runs(own_cache: Path) -> None:
    calibration.remember("a", GOOD)
    calibration.correct_rate("a", 2.0)
    assert calibration.recall("a") == dataclasses.replace(GOOD, gflops=2 * GOOD.gflops)
    calibration.correct_rate("a", 0.5)  # slower, perhaps because of other programs: half of it
    assert calibration.recall("a") == dataclasses.replace(GOOD, gflops=1.5 * GOOD.gflops)
    for nonsense in (0.0, -1.0, 1e9, float("nan"), float("inf")):
        calibration.correct_rate("a", nonsense)
    assert calibration.recall("a") == dataclasses.replace(GOOD, gflops=1.5 * GOOD.gflops)
    calibration.correct_rate("unknown", 2.0)
    assert calibration.recall("unknown") is None
