"""``enlarge``: a result larger than the photograph, where that is asked for."""

from __future__ import annotations

import pytest
import torch

from stylize.images.resampling import resize
from stylize.networks.models import Weights
from stylize.products.dream.dream import Dream
from stylize.products.dream.tunnel import Tunnel
from stylize.products.transfer.transfer import Transfer
from stylize.settings.dream import DreamSettings, TunnelSettings
from stylize.settings.execution import Execution
from stylize.settings.transfer import TransferSettings
from tests.conftest import as_picture, photo, strokes

FP32 = Execution(device="cpu", precision="fp32")
NOTE = ["kept at 32×24 px: add --enlarge to reach 64"]


@pytest.fixture
def small(vgg16: Weights):
    return as_picture(photo(24, 32), "photo.png", alpha=photo(24, 32)[:, :1])


@pytest.mark.parametrize(("enlarge", "size"), [(False, (24, 32)), (True, (48, 64))])
def test_a_transfer(small, enlarge, size):
    settings = TransferSettings(size="64", enlarge=enlarge, steps=1, min_size=64)
    job = Transfer(small, [as_picture(strokes(), "strokes.png")], settings, FP32)
    assert job.size == size
    assert job.notes == ([] if enlarge else NOTE)
    result = job.run()
    assert result.pixels.shape[2:] == size
    assert result.alpha is not None
    assert result.alpha.shape[2:] == size
    assert result.recipe["settings"]["enlarge"] is enlarge
    back = resize(result.pixels, small.size)
    assert torch.corrcoef(torch.stack([back.flatten(), small.pixels.flatten()]))[0, 1] > 0.5


@pytest.mark.parametrize(("enlarge", "size"), [(False, (24, 32)), (True, (48, 64))])
def test_a_dream(small, enlarge, size):
    settings = DreamSettings(size="64", enlarge=enlarge, steps=1, octaves=1, layers="conv1_2")
    job = Dream(small, settings, FP32)
    assert job.size == size
    assert job.notes == ([] if enlarge else NOTE)
    assert job.run().pixels.shape[2:] == size


def test_a_film(small):
    changes = {"steps": 1, "octaves": 1, "layers": "conv1_2", "frames": 2}
    job = Tunnel(small, TunnelSettings(size="64", enlarge=True, **changes), FP32)
    assert job.size == (48, 64)
    assert Tunnel(small, TunnelSettings(size="64", **changes), FP32).notes == NOTE


def test_noise_has_the_size_it_has():
    job = Dream(None, DreamSettings(from_noise="40x24", size="64", enlarge=True), FP32)
    assert job.size == (24, 40)
