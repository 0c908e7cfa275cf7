"""What all tests share: a cache of their own, small pictures, the real networks."""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from PIL import Image

from stylize.images.read import Picture, read_picture
from stylize.images.resampling import resize
from stylize.networks.models import Weights, load_weights

# No test may fail for want of speed.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")
# As many processes as cores run the tests; so those that they start must not spin while they wait.
torch.set_num_threads(1)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "100")

# Reasons for which a test may be skipped in CI. There is no Ray for the newest Python, see the
# extra 'test'; elsewhere its tests must run.
SKIPS: tuple[str, ...] = ("root may write everywhere",)
if sys.version_info >= (3, 15):
    SKIPS += ("ray is not installed",)


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """In CI a skipped test is a failed run, unless its reason is listed above."""
    if not os.environ.get("CI"):
        return
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    unlisted = [each for each in reasons if not any(reason in each for reason in SKIPS)]
    if unlisted:
        terminalreporter.write_line(f"skipped without a listed reason: {unlisted}", red=True)
        terminalreporter._session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test touches the user's own cache; the self-test of the machine runs once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLIZE_CACHE_DIR", str(folder))
        patch.delenv("STYLIZE_DATA_DIR", raising=False)
        yield folder


@pytest.fixture(scope="session")
def vgg16() -> Weights:
    return load_weights("vgg16")


@pytest.fixture(scope="session")
def vgg19() -> Weights:
    return load_weights("vgg19")


@pytest.fixture
def network(vgg16: Weights, vgg19: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the usual networks are read and verified once for all pictures of the tests."""
    known = {each.name: each for each in (vgg16, vgg19)}
    for name, module in list(sys.modules.items()):
        if name.startswith("stylize.") and hasattr(module, "load_weights"):
            monkeypatch.setattr(
                module,
                "load_weights",
                lambda name: known.get(name) or load_weights(name),
            )


SAMPLES = Path(__file__).parent.parent / "samples"


def cat(side: int = 128) -> torch.Tensor:
    """A real photograph's middle, ``(1, 3, side, side)``."""
    pixels = read_picture(SAMPLES / "photos" / "chelsea.jpg").pixels
    top, left = (pixels.shape[2] - 256) // 2, (pixels.shape[3] - 256) // 2
    return resize(pixels[..., top : top + 256, left : left + 256], (side, side)).clamp(0, 1)


def photo(height: int = 64, width: int = 64) -> torch.Tensor:
    """A smooth scene with a dark disc on a gradient, ``(1, 3, H, W)``."""
    y = torch.linspace(0, 1, height).view(-1, 1).expand(height, width)
    x = torch.linspace(0, 1, width).view(1, -1).expand(height, width)
    disc = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.06).float()
    planes = [0.3 + 0.5 * x - 0.3 * disc, 0.6 - 0.3 * y, 0.8 * y + 0.1 * (1 - disc)]
    return torch.stack(planes)[None].clamp(0, 1)


def strokes(height: int = 64, width: int = 64, period: float = 8.0) -> torch.Tensor:
    """Diagonal stripes in warm colours, ``(1, 3, H, W)``."""
    y = torch.arange(height).view(-1, 1).float()
    x = torch.arange(width).view(1, -1).float()
    wave = 0.5 + 0.5 * torch.sin(2 * torch.pi * (x + y) / period)
    return torch.stack([0.3 + 0.6 * wave, 0.15 + 0.5 * wave, 0.4 - 0.3 * wave])[None]


def as_picture(pixels: torch.Tensor, name: str = "test.png", alpha: torch.Tensor | None = None):
    digest = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
    return Picture(pixels=pixels, alpha=alpha, name=name, sha256=digest, notes=())


@pytest.fixture
def content() -> Picture:
    return as_picture(photo(), "photo.png")


@pytest.fixture
def style() -> Picture:
    return as_picture(strokes(), "strokes.png")


def save(pixels: torch.Tensor, path: Path) -> Path:
    levels = (pixels[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(levels).save(path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A content and a style file in a folder of their own."""
    return save(photo(), tmp_path / "photo.png"), save(strokes(), tmp_path / "strokes.png")


@pytest.fixture
def pictures() -> Callable[..., Picture]:
    return as_picture


@contextmanager
def unprivileged() -> Iterator[None]:
    """Make permissions hold for root, too."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    sets = (ctypes.c_uint32 * 6)()
    if not sys.platform.startswith("linux") or libc.capget(header, sets):
        pytest.skip("root may write everywhere")
    before = sets[0]
    sets[0] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, sets) == 0
    try:
        yield
    finally:
        sets[0] = before
        assert libc.capset(header, sets) == 0
