"""What every inspection returns, and the pictures that it is made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stylize.errors import OutputError
from stylize.images.contact_sheet import BACKGROUND
from stylize.images.luma import luma
from stylize.images.read import Picture
from stylize.images.write import check_alpha, format_of
from stylize.networks.models import Weights
from stylize.products.inspect.folder import inventory_path, write_inventory
from stylize.runs.recipe import compose
from stylize.runs.result import Result
from stylize.settings.fields import to_document

# Called with the number of steps done, from 1, and the number of all steps.
OnStep = Callable[[int, int], None]

Stop = Callable[[], bool]

# Between the pictures of a row.
GAP_PX = 8


@dataclass(frozen=True, repr=False, eq=False)
class Finding:
    """The result of an inspection.

    Attributes:
        result: the picture, with its recipe.
        numbers: what the picture shows, as plain data for JSON.
        digests: SHA-256 of each photo by name, if the input is a folder.
        notes: messages for the user, one line each.
    """

    result: Result
    numbers: dict[str, Any]
    digests: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def pixels(self) -> Tensor:
        """The picture, ``(1, 3, H, W)`` float32 RGB in [0, 1]."""
        return self.result.pixels

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe of the picture."""
        return self.result.recipe

    def save(self, target: str | Path, *, overwrite: bool = False, quality: int = 95) -> Path:
        """Write the picture, its recipe, and the files that go next to it.

        Args:
            target: a file; its suffix decides the format.
            overwrite: replace existing files.
            quality: 1 to 100, for the lossy formats.

        Raises:
            OutputError: a name is taken, or the system refuses.
            SettingError: the format holds no transparency, and the picture is a cutout.
        """
        path = Path(target)
        if self.result.alpha is not None:
            check_alpha(format_of(path), "view='cutout'")
        for each in self.companions(path):
            if os.path.lexists(each) and not overwrite:
                raise OutputError(f"{each} already exists", hint="overwrite=True replaces it")
        self.result.save(path, overwrite=overwrite, quality=quality)
        self.save_companions(path, overwrite=overwrite)
        return path

    def to_pil(self) -> Image.Image:
        """Make a Pillow image."""
        return self.result.to_pil()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return ``(H, W, 3)`` float32 in [0, 1]."""
        return self.result.__array__(dtype, copy)

    def _repr_png_(self) -> bytes:
        return self.result._repr_png_()

    def companions(self, target: Path) -> list[Path]:
        """List the files that :meth:`save_companions` writes."""
        return [inventory_path(target)] if self.digests else []

    def save_companions(self, target: Path, *, overwrite: bool) -> list[Path]:
        """Write the files that go next to the picture ``target``; return their paths.

        Without ``overwrite`` they replace nothing, but take the next free names.

        Raises:
            OutputError: the system refuses.
        """
        if not self.digests:
            return []
        return [write_inventory(target, self.digests, overwrite=overwrite)]

    def __repr__(self) -> str:
        height, width = self.pixels.shape[-2:]
        return f"<{type(self).__name__} of {self.recipe['technique']}, {width}×{height} px>"


def with_recipe(
    page: Tensor,
    settings: Any,
    inputs: Sequence[tuple[str, Picture]],
    *,
    weights: Weights,
    resolved: Mapping[str, Any],
    interrupted: bool = False,
) -> Result:
    """A page with its recipe.

    Args:
        page: ``(1, 3, H, W)`` RGB in [0, 1].
        settings: of the inspection, with its ``TECHNIQUE``.
        inputs: the role of each picture, and the picture.
        weights: of the network.
        resolved: values that the run chose itself.
        interrupted: whether the run was stopped.
    """
    recipe = compose(
        settings.TECHNIQUE,
        to_document(settings),
        inputs,
        weights={"name": weights.name, "sha256": weights.sha256},
        resolved={"size": [page.shape[-1], page.shape[-2]], **resolved},
        losses={},
        interrupted=interrupted,
    )
    return Result(page.float().cpu().contiguous(), None, recipe, interrupted=interrupted)


def row_of(pictures: Tensor) -> Tensor:
    """Pictures ``(N, 3, h, w)`` side by side, ``(1, 3, h, W)``, with gaps between them."""
    count, _, height, width = pictures.shape
    pitch = width + GAP_PX
    row = pictures.new_full((1, 3, height, count * pitch - GAP_PX), BACKGROUND / 255)
    for index, picture in enumerate(pictures):
        row[0, :, :, index * pitch : index * pitch + width] = picture
    return row


def brief(value: float) -> float:
    """A number with six significant digits."""
    return float(f"{value:.6g}")


# Equal steps from 0 to 1. Each colour is brighter than the one before it, so that the order
# survives a print in grey.
RAMP = (
    (0.00, 0.00, 0.02),
    (0.17, 0.04, 0.36),
    (0.52, 0.10, 0.43),
    (0.86, 0.26, 0.24),
    (0.98, 0.58, 0.10),
    (0.99, 0.98, 0.75),
)

# Colours of negative values, each as bright as its warm counterpart.
COOL = (
    (0.00, 0.00, 0.02),
    (0.02, 0.11, 0.26),
    (0.04, 0.26, 0.50),
    (0.10, 0.48, 0.70),
    (0.35, 0.74, 0.86),
    (0.85, 0.98, 0.99),
)


def heat(values: Tensor) -> Tensor:
    """Values ``(n, 1, h, w)`` in [-1, 1] as colours ``(n, 3, h, w)``; 0 is black."""
    ramps = torch.tensor((RAMP, COOL), dtype=values.dtype, device=values.device)
    signs = (values[:, 0] < 0).long()
    position = values[:, 0].abs().clamp(0, 1) * (len(RAMP) - 1)
    below = position.floor().clamp_max(len(RAMP) - 2)
    index = below.long()
    part = (position - below)[..., None]
    return torch.lerp(ramps[signs, index], ramps[signs, index + 1], part).permute(0, 3, 1, 2)


def overlay(values: Tensor, photo: Tensor) -> Tensor:
    """The colours over a grey photo: larger values hide more of it.

    Args:
        values: ``(n, 1, h, w)`` in [-1, 1].
        photo: ``(1, 3, h, w)`` in [0, 1].
    """
    grey = 0.7 * luma(photo)
    return torch.lerp(grey, heat(values), 0.8 * values.abs().clamp(0, 1).sqrt())


# Share of the positions above the end of the scale. Without it, a few single pixels would leave
# everything else dark.
CLIPPED = 0.005

_TINY = 1e-30


def stretched(amounts: Tensor) -> Tensor:
    """Scale amounts to [0, 1] by a high quantile.

    Args:
        amounts: ``(1, 1, H, W)``, at least 0.

    Returns:
        Values in [0, 1]; all 0 if all amounts are 0.
    """
    flat = amounts.flatten()
    index = max(1, round((1 - CLIPPED) * flat.numel()))
    top = flat.kthvalue(index).values
    if float(top) <= 0:
        top = flat.max()
    return (amounts / top.clamp_min(_TINY)).clamp(0, 1)


def rendered(shares: Tensor, photo: Tensor, view: str) -> Tensor:
    """Shares in [0, 1] as a view ``heat``, ``overlay`` or ``mask``, ``(1, 3, H, W)``."""
    if view == "overlay":
        return overlay(shares, photo)
    return heat(shares) if view == "heat" else shares.expand(-1, 3, -1, -1).contiguous()
