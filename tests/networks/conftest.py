"""State dicts of the right shapes that weigh next to nothing: all but the first layer is zero."""

from __future__ import annotations

import pytest
import torch

from stylize.networks.import_models import torchvision_names
from stylize.networks.weight_files import convolution_shapes


def light_tensors(architecture: str) -> dict[str, torch.Tensor]:
    # An expanded tensor is saved as the one value it has.
    vgg = {
        name: torch.zeros(1).expand(shape)
        for name, shape in convolution_shapes(architecture).items()
    }
    generator = torch.Generator().manual_seed(7)
    vgg["conv1_1.weight"] = torch.randn(64, 3, 3, 3, generator=generator)
    return vgg


@pytest.fixture(scope="session")
def plain_states():
    return {architecture: light_tensors(architecture) for architecture in ("vgg16", "vgg19")}


@pytest.fixture(scope="session")
def torchvision_states(plain_states):
    return {
        architecture: {torchvision_names(architecture)[name]: t for name, t in vgg.items()}
        | {"classifier.0.weight": torch.ones(4, 8), "classifier.0.bias": torch.ones(4)}
        for architecture, vgg in plain_states.items()
    }


@pytest.fixture(autouse=True)
def models_folder(tmp_path, monkeypatch):
    """Where models go in this test; keeps every test out of the real cache."""
    monkeypatch.setenv("STYLIZE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"
