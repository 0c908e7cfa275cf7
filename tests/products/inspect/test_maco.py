"""Phases under the amplitudes of photographs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from stylize.errors import SettingError
from stylize.networks.layer_expressions import parse_targets
from stylize.networks.models import Weights
from stylize.networks.vgg import VGG
from stylize.products.inspect.growth import (
    COLOUR_AXES,
    PHOTO_WAVES,
    Course,
    PhaseImage,
    Views,
    grow,
    wave_scales,
)
from stylize.products.inspect.response import TargetResponse
from stylize.settings.inspect import FeatureSettings
from tests.conftest import SAMPLES


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def planes_of(pictures: np.ndarray) -> np.ndarray:
    """The logits of ``(3, H, W)`` along the colour axes."""
    logits = np.log(pictures / (1 - pictures))
    return np.einsum("ij,jhw->ihw", np.linalg.inv(np.array(COLOUR_AXES)), logits)


def test_only_phases_change(vgg16: Weights) -> None:
    image = PhaseImage(1, (48, 64), generator())
    response = TargetResponse(parse_targets("conv2_1:5"))
    vgg = VGG(vgg16, response.layers)
    with torch.no_grad():
        before = float(response(vgg(image())))
    still = Views(0, 0, 0)
    course = Course(15, 0.2)
    grown = grow(vgg, response, image, course, views=still, generator=generator())
    assert grown.responses[0] > 2 * abs(before)
    spectrum = np.abs(np.fft.rfft2(planes_of(grown.pictures[0].double().numpy()), norm="ortho"))
    for plane, (level, decay) in zip(spectrum, PHOTO_WAVES, strict=True):
        wanted = level * wave_scales((48, 64), decay).numpy()
        # The first and the last column hold each wave twice.
        np.testing.assert_allclose(plane[:, 1:-1], wanted[:, 1:-1], rtol=1e-3)


def test_the_amplitudes_are_those_of_the_sample_photos() -> None:
    found = []
    for path in sorted((SAMPLES / "photos").glob("*.jpg")):
        square = Image.open(path).convert("RGB").resize((128, 128), Image.Resampling.LANCZOS)
        pixels = np.asarray(square).transpose(2, 0, 1) / 255
        planes = planes_of(pixels.clip(0.02, 0.98))
        window = np.hanning(128)[:, None] * np.hanning(128)
        planes = (planes - planes.mean((1, 2), keepdims=True)) * window / (window**2).mean() ** 0.5
        found.append(np.abs(np.fft.rfft2(planes, norm="ortho")))
    measured = np.mean(found, 0)
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128))
    band = (frequency > 0.05) & (frequency < 0.3)
    for plane, (level, decay) in zip(measured, PHOTO_WAVES, strict=True):
        ratio = plane[band].mean() / (level * frequency[band] ** -decay).mean()
        assert 0.6 < ratio < 1.7


def test_decay_is_of_the_other_parameterization() -> None:
    with pytest.raises(SettingError, match="--decay makes no difference"):
        FeatureSettings(parameterization="maco").check_request({"decay", "target"}, {})
