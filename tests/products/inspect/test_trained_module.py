"""A network that is trained here: its classes can be maximized, its saliency finds the object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from torchvision.models import shufflenet_v2_x1_0

from stylize.images.resampling import resize
from stylize.networks.import_models import add_file
from stylize.products.inspect.feature import show_feature
from stylize.products.inspect.saliency import show_saliency
from stylize.settings.execution import Execution
from stylize.settings.inspect import FeatureSettings, SaliencySettings
from tests.cli.test_inspect_classes import DISC, STRIPES, scene
from tests.conftest import as_picture

pytestmark = pytest.mark.slow

EXACT = Execution(precision="fp32")


def drawn(across: int, down: int, kind: int) -> torch.Tensor:
    """A disc, stripes or nothing but grey."""
    return scene(across, down, (DISC, STRIPES)[kind]) if kind < 2 else scene(-99, -99, DISC)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[torch.nn.Module]:
    """Three classes: discs, stripes and nothing; its pixels go from -1 to 1.

    In float64 the training ends alike on all processors; in float32 it depends on how they round.
    """
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(0)
    module = shufflenet_v2_x1_0(num_classes=3).double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        places = torch.randint(20, 76, (18, 2), generator=generator).tolist()
        kinds = [index % 3 for index in range(18)]
        batch = torch.cat([drawn(*at, kind) for at, kind in zip(places, kinds, strict=True)])
        batch += 0.05 * torch.randn(batch.shape, generator=generator)
        loss = cross_entropy(module(2 * batch.double() - 1), torch.tensor(kinds))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.float().eval()
    torch.save(module.state_dict(), folder / "shapes.pth")
    Path(folder / "names.txt").write_text("disc\nstripes\nnothing\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLIZE_DATA_DIR", str(folder))
        add_file(folder / "shapes.pth", preprocessing="inception", classes=folder / "names.txt")
        yield module


@torch.no_grad()
def likely(module: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    probabilities: torch.Tensor = module(2 * pixels - 1)[0].softmax(0)
    return probabilities


def test_it_has_learnt(trained: torch.nn.Module) -> None:
    assert float(likely(trained, scene(40, 50, DISC))[0]) > 0.9
    assert float(likely(trained, scene(60, 30, STRIPES))[1]) > 0.9


@pytest.mark.parametrize("parameterization", ["fourier", "maco"])
@pytest.mark.parametrize(("name", "index"), [("disc", 0), ("stripes", 1)])
def test_maximizing_a_class_raises_its_score(
    trained: torch.nn.Module, parameterization: str, name: str, index: int
) -> None:
    scores = []
    for steps in (1, 40):
        settings = FeatureSettings(
            category=name,
            network="shapes",
            size=96,
            steps=steps,
            parameterization=parameterization,
        )
        found = show_feature(settings, EXACT).result.pixels
        with torch.no_grad():
            scores.append(float(trained(2 * found - 1)[0, index]))
    assert scores[1] > scores[0] + 3
    if parameterization == "fourier":
        assert float(likely(trained, found)[index]) > 0.9


def test_saliency_points_at_the_object(trained: torch.nn.Module) -> None:
    """On average over five places; without training the ratio is about 1."""
    settings = SaliencySettings(
        category=STRIPES, network="shapes", size="96", method="smoothgrad", view="mask"
    )
    y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    ratios = []
    for across, down in [(28, 60), (66, 34), (34, 30), (60, 66), (48, 48)]:
        photo = as_picture(scene(across, down, STRIPES))
        shown = resize(show_saliency(photo, settings, EXACT).result.pixels, (96, 96))[0].mean(0)
        near = (x - across).square() + (y - down).square() < 22**2
        ratios.append(float(shown[near].mean() / shown[~near].mean()))
    assert sum(ratios) / len(ratios) > 2, ratios
