"""Where memory runs out after all, the same evaluation is tried again in smaller tiles."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylize.errors import is_out_of_memory
from stylize.gradients import adaptive
from stylize.gradients.adaptive import AdaptiveEngine
from stylize.losses.channels import EnergyLoss
from stylize.losses.loss import Evaluation, Objective
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.planning.memory import MemoryPlan

IMAGE = torch.rand(1, 3, 150, 160, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def vgg(vgg16: Weights) -> VGG:
    return VGG(vgg16, ("relu2_1",))


OBJECTIVE = Objective([EnergyLoss("e", "relu2_1", 1.0)])


def test_it_steps_down(vgg: VGG, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptive, "TILES_PX", (128, 64))
    expected = AdaptiveEngine(vgg, OBJECTIVE, MemoryPlan())(IMAGE)
    tried: list[str] = []

    class Tight(adaptive.TiledEngine):
        def __call__(self, image: Tensor) -> Evaluation:
            tried.append(f"{self._tile_px}")
            if self._tile_px is None:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
            if self._tile_px > 64:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().__call__(image)

    monkeypatch.setattr(adaptive, "TiledEngine", Tight)
    engine = AdaptiveEngine(vgg, OBJECTIVE, MemoryPlan(history=5))
    image = IMAGE.clone()
    found = engine(image)
    assert tried == ["None", "128", "64"]
    assert engine.memory_plan == MemoryPlan(64, 5)
    assert torch.equal(image, IMAGE)
    error = (found.gradient - expected.gradient).norm() / expected.gradient.norm()
    assert float(error) < 1e-5
    engine(image)
    assert tried[3:] == ["64"], "what did not fit is not tried again"


def test_other_errors_come_out(vgg: VGG, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(adaptive.TiledEngine):
        def __call__(self, image: Tensor) -> Evaluation:
            raise RuntimeError("shapes do not match")

    monkeypatch.setattr(adaptive, "TiledEngine", Broken)
    with pytest.raises(RuntimeError, match="shapes"):
        AdaptiveEngine(vgg, OBJECTIVE, MemoryPlan())(IMAGE)


def test_there_is_an_end(vgg: VGG, monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy(adaptive.TiledEngine):
        def __call__(self, image: Tensor) -> Evaluation:
            raise MemoryError

    monkeypatch.setattr(adaptive, "TiledEngine", Greedy)
    with pytest.raises(MemoryError):
        AdaptiveEngine(vgg, OBJECTIVE, MemoryPlan())(IMAGE[..., :96, :96])


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("not enough memory: you tried to allocate 5 bytes"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("memory"), False),
    ],
)
def test_what_lack_of_memory_looks_like(error: BaseException, answer: bool) -> None:
    assert is_out_of_memory(error) is answer
