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


def he_module(architecture: str, *, classes: int = 10, seed: int = 0) -> torch.nn.Module:
    """torchvision's own module with activations of an even size in every layer."""
    from torchvision.models import get_model

    plain = architecture in ("googlenet", "inception_v3")
    more = {"aux_logits": False, "init_weights": False} if plain else {}
    module = get_model(architecture, weights=None, num_classes=classes, **more).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in module.modules():
            if isinstance(each, torch.nn.Conv2d | torch.nn.Linear):
                spread = (2 / each.weight[0].numel()) ** 0.5
                each.weight.normal_(0, spread, generator=generator)
                if each.bias is not None:
                    each.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(each, torch.nn.BatchNorm2d):
                each.weight.uniform_(0.5, 1.5, generator=generator)
                each.bias.normal_(0, 0.1, generator=generator)
                each.running_mean.normal_(0, 0.1, generator=generator)
                each.running_var.uniform_(0.5, 1.5, generator=generator)
    return module


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
