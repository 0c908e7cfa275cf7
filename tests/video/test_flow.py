"""Optical flow: known movements are found, and places that come into view are told from others."""

from __future__ import annotations

import cv2
import pytest
import torch
from torch import Tensor

from stylize.video.flow import motion
from tests.conftest import cat


def moved(picture: Tensor, right: int, down: int) -> Tensor:
    return picture.roll((down, right), (2, 3))


def test_a_shift_is_found() -> None:
    picture = cat(128)
    found = motion(moved(picture, 4, -3), picture)
    inner = found.flow[..., 16:-16, 16:-16]
    assert float((inner[:, 0] + 4).abs().mean()) < 0.1
    assert float((inner[:, 1] - 3).abs().mean()) < 0.1
    assert float(found.trust[..., 16:-16, 16:-16].mean()) > 0.9


def test_what_comes_into_view_is_not_trusted() -> None:
    picture = cat(160)
    frame, other = picture[..., :-16], picture[..., 16:]
    found = motion(frame, other)
    assert float(found.trust[..., :15].max()) == 0
    assert float(found.trust[..., 24:].mean()) > 0.9


def test_unrelated_frames_share_nothing() -> None:
    generator = torch.Generator().manual_seed(2)
    other = torch.rand(1, 3, *cat(96).shape[2:], generator=generator)
    assert float(motion(cat(96), other).trust.mean()) < 0.05


def test_a_still_camera_moves_nothing() -> None:
    found = motion(cat(96), cat(96))
    assert float(found.flow.abs().max()) == 0
    assert float(found.trust.min()) == 1


@pytest.mark.parametrize("side", [16, 40])
def test_small_pictures_have_motion_too(side: int) -> None:
    assert motion(cat(side), moved(cat(side), 1, 0)).flow.shape[2:] == cat(side).shape[2:]


def test_the_number_of_threads_changes_nothing() -> None:
    one, two = cat(128), moved(cat(128), 5, 2)
    before, found = cv2.getNumThreads(), []
    try:
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            found.append(motion(one, two).flow)
            assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(before)
    assert torch.equal(*found)
