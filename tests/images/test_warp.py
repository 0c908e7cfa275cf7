"""Pictures warped by a given flow; OpenCV is the oracle."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from stylize.images.warp import warped
from tests.conftest import cat


def test_whole_pixels_are_fetched_exactly() -> None:
    picture = cat(64)
    flow = torch.zeros(1, 2, *picture.shape[2:])
    flow[:, 0], flow[:, 1] = 3, -2
    for mode in ("nearest", "bilinear", "bicubic"):
        fetched = warped(picture, flow, mode)
        torch.testing.assert_close(fetched[..., 2:, :-3], picture[..., :-2, 3:], atol=1e-5, rtol=0)


def test_bilinear_is_that_of_opencv() -> None:
    picture = cat(48)
    height, width = picture.shape[2:]
    generator = torch.Generator().manual_seed(0)
    flow = 3 * torch.rand(1, 2, height, width, generator=generator) - 1.5
    down, right = np.mgrid[:height, :width].astype(np.float32)
    remapped = cv2.remap(
        picture[0].permute(1, 2, 0).numpy(),
        right + flow[0, 0].numpy(),
        down + flow[0, 1].numpy(),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    # OpenCV rounds places to 1/32 px.
    found = warped(picture, flow, "bilinear")[0].permute(1, 2, 0)
    np.testing.assert_allclose(found, remapped, atol=0.02)
