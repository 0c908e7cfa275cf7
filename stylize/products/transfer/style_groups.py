"""Regions of a photo with their own styles, and regions that stay unpainted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.errors import RecipeError, SettingError
from stylize.gradients.canvas import Canvas
from stylize.images.read import Picture
from stylize.images.resampling import resize, resize_clamped
from stylize.losses.regions import RegionLoss, region_losses
from stylize.losses.statistics import Moments
from stylize.losses.style import StyleLossKind
from stylize.masks.masks import (
    LEAST_PX,
    composed,
    feather,
    fitted,
    mask_at,
    mask_weights,
    masks_by_colour,
    partition,
    require_some,
    soft_inside,
)
from stylize.runs.masks import requested_mask, subject_notes
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.masks import kept_part
from stylize.settings.schedule import result_size
from stylize.settings.transfer import MAX_STYLES, TransferSettings

# Names for the region to which the styles of the whole picture apply.
REST, MASKED = "the rest", "the mask"

_MAX_NAME = 24

# The recipe in the picture has room for the losses of this many regions at five layers.
MOST_REGIONS = 12

_ROLE = re.compile(r"region ([1-9][0-9]?)(?: (.+))?")

_STYLE = "style"


@dataclass(frozen=True)
class MaskRegion:
    """A region of the photo.

    Attributes:
        mask: white in the region; or, with ``colour``, a map in which each region has one colour.
        style: the style image; None leaves the region unpainted.
        colour: the region's colour in ``mask``, such as ``#ff0000``.
    """

    mask: Picture
    style: Picture | None = None
    colour: str | None = None

    @property
    def name(self) -> str:
        """The name of the region in messages."""
        return self.colour or self.mask.name


@dataclass(frozen=True)
class Masks:
    """The requested regions of a photo.

    Attributes:
        mask: where the styles of the whole picture apply; None for everything outside the regions.
        regions: regions with their own styles, or kept. Where two styles overlap, they are blended;
            keeping a region overrides everything else.
    """

    mask: Picture | None = None
    regions: tuple[MaskRegion, ...] = ()

    @property
    def styles(self) -> list[Picture]:
        """The style images of the regions."""
        return [each.style for each in self.regions if each.style is not None]

    def with_styles(self, change: Callable[[Picture], Picture]) -> Masks:
        """The same regions with their style images changed."""
        regions = [
            replace(each, style=None if each.style is None else change(each.style))
            for each in self.regions
        ]
        return replace(self, regions=tuple(regions))

    def check(self, settings: TransferSettings, styles: int) -> None:
        """Check that settings and regions fit together.

        Args:
            settings: of the transfer.
            styles: of the whole picture.

        Raises:
            SettingError: they do not, there are too many styles, or there is none.
        """
        settings.check_styles(styles, regions=len(self.styles))
        self.check_room(styles)
        if not styles and (self.mask is not None or kept_part(settings) is not None):
            raise SettingError(
                "the mask has no style, and no STYLE was given",
                hint="name a STYLE, or give the mask a style of its own: --mask FILE=STYLE",
            )

    def inputs(self) -> Iterator[tuple[str, Picture]]:
        """The pictures with their roles, for a recipe."""
        if self.mask is not None:
            yield "mask", self.mask
        for number, each in enumerate(self.regions, 1):
            yield f"region {number}" + (f" {each.colour}" if each.colour else ""), each.mask
            if each.style is not None:
                yield f"region {number} {_STYLE}", each.style

    def check_room(self, styles: int) -> None:
        """Check that the recipe in the picture has room for all inputs.

        Args:
            styles: of the whole picture.

        Raises:
            SettingError: there are too many.
        """
        count = styles + len(list(self.inputs()))
        if len(self.regions) > MOST_REGIONS or count > MAX_STYLES:
            raise SettingError(
                f"too many regions or styles ({len(self.regions)} and {styles})",
                hint=f"at most {MOST_REGIONS} regions, and {MAX_STYLES} pictures in all",
            )

    @staticmethod
    def of_inputs(pictures: Mapping[str, Sequence[Picture]]) -> Masks:
        """The inverse of :meth:`inputs`.

        Args:
            pictures: by their roles; those with other roles are ignored.

        Raises:
            RecipeError: a style without a region.
        """
        masks: dict[int, tuple[Picture, str | None]] = {}
        styles: dict[int, Picture] = {}
        for role, (picture, *_) in pictures.items():
            match = _ROLE.fullmatch(role)
            if match is not None and match[2] == _STYLE:
                styles[int(match[1])] = picture
            elif match is not None:
                masks[int(match[1])] = picture, match[2]
        if styles.keys() - masks.keys():
            raise RecipeError("damaged recipe: a style without its region")
        regions = [MaskRegion(masks[n][0], styles.get(n), masks[n][1]) for n in sorted(masks)]
        return Masks(next(iter(pictures.get("mask", [])), None), tuple(regions))


class StyleGroups:
    """The regions of one picture, ready for use.

    Args:
        parts: the requested regions. If there are any, the photo stays in memory, too.
        size: ``(height, width)`` of the result.
        feather_px: width of the soft edges, see :func:`stylize.masks.masks.soft_inside`.
        whole: whether there are styles of the whole picture; without them, everything outside the
            regions stays unpainted.
        photo: named in errors.
        may_be_empty: leave out regions that are empty, as those of a frame of a clip may be; then
            nothing may be left to paint.

    Attributes:
        mask: where the styles of the whole picture apply.
        styles: the style of each painted region, by name; None for those of the whole picture.
        masks: ``(R, 1, *size)``, the soft masks of these regions; their sum is at most ``area``.
        area: ``(1, 1, *size)``: where any style applies.
        notes: messages for the user.

    Raises:
        PictureError: a mask has another aspect ratio than the picture, or is empty.
        SettingError: there are too many regions, or a colour is not in the map.
    """

    def __init__(
        self,
        parts: Masks,
        size: tuple[int, int],
        feather_px: float,
        *,
        whole: bool = True,
        photo: Picture | None = None,
        may_be_empty: bool = False,
    ) -> None:
        regions, mask = parts.regions, parts.mask
        weights = [_weights_of(each, size, photo, may_lack=may_be_empty) for each in regions]
        styled = [index for index, each in enumerate(regions) if each.style]
        names = _distinct([regions[index].name for index in styled])
        self.mask = mask
        self.styles: dict[str, Picture | None] = {
            name: regions[index].style for name, index in zip(names, styled, strict=True)
        }
        masks = [weights[index] for index in styled]
        if mask is not None:
            self.styles[MASKED] = None
            masks.append(mask_weights(mask, size, photo))
        kept = [part for part, each in zip(weights, regions, strict=True) if not each.style]
        area = _area(masks, kept, size, everywhere=whole and mask is None)
        self.area = soft_inside(area, feather_px)
        self.masks = _shared([part * area for part in masks], size, feather_px) * self.area
        if mask is not None or not whole:
            self.masks = self.masks[:-1]
        elif float(self.masks[-1].double().sum()) >= LEAST_PX:
            self.styles[REST] = None
        else:
            self.masks = self.masks[:-1]
        self._count = len(self.styles)
        self.notes: list[str] = []
        if may_be_empty:
            self._leave_out_empty()
            return
        self._check()
        if whole and None not in self.styles.values():
            self.notes.append("the regions cover the whole picture, so STYLE has no effect")

    def _check(self) -> None:
        require_some(self.area, "the part to be painted")
        for name, part in zip(self.styles, self.masks, strict=True):
            require_some(part, f"the region '{name}'")

    def _leave_out_empty(self) -> None:
        held = [float(part.double().sum()) >= LEAST_PX for part in self.masks]
        self.styles = dict(compress(self.styles.items(), held))
        self.masks = self.masks[torch.tensor(held, dtype=torch.bool)]
        if not self.styles:
            self.area = torch.zeros_like(self.area)

    @property
    def bytes_per_px(self) -> float:
        """Approximate memory per pixel of the masks and the losses.

        The losses hold weights and indices of positions for every layer.
        """
        weights = 4.0 * self._count
        return 4.0 + weights + (weights + 8.0) * 4 / 3

    def terms(
        self,
        kind: StyleLossKind,
        layers: Sequence[tuple[str, float]],
        targets: Mapping[str, Mapping[str, Moments]],
        canvas: Canvas,
        architecture: str,
        within: Mapping[str, Tensor],
    ) -> list[RegionLoss]:
        """The style losses of one scale.

        Args:
            kind: the kind of loss.
            layers: names and weights.
            targets: moments by the region's name and the layer.
            canvas: of the scale.
            architecture: ``vgg16`` or ``vgg19``.
            within: by layer, ``(1, 1, h, w)`` weights of the positions that count there; without
                one, all do.

        Note:
            The weights add up to the weight of the layer times the painted share of the picture.
            This keeps the balance of style and content the same as without regions.
        """
        masks = canvas.extend(resize(self.masks, canvas.size).clamp(0, 1))
        share = float(self.area.mean())
        found: list[RegionLoss] = []
        for layer, weight in layers:
            inside = {
                name: mask_at(part[None], layer, architecture, name=name)
                for name, part in zip(self.styles, masks, strict=True)
            }
            counted = 1.0
            if layer in within:
                whole = _positions(inside.values())
                inside = _within(inside, within[layer].cpu())
                counted = _positions(inside.values()) / whole
            moments = {name: targets[name][layer] for name in inside}
            found += region_losses(kind, layer, moments, inside, weight * share * counted)
        return found

    def mixed(self, targets: Mapping[str, Tensor], canvas: Canvas) -> Tensor:
        """Activations of all regions, each where its mask is.

        Args:
            targets: ``(1, C, h, w)`` by the region's name.
            canvas: of the scale.
        """
        masks = canvas.extend(resize(self.masks, canvas.size).clamp(0, 1))
        found = list(targets.values())
        small = F.interpolate(masks, size=found[0].shape[2:], mode="area").to(found[0])
        shares = small / small.sum(0).clamp_min(torch.finfo(torch.float32).eps)
        mixed = torch.stack([each * part for each, part in zip(found, shares, strict=True)]).sum(0)
        return mixed.contiguous(memory_format=torch.channels_last)

    def joined(self, pictures: Iterable[Tensor]) -> Tensor:
        """Pictures of all regions, each where its mask is.

        Args:
            pictures: ``(1, 3, H, W)`` for each of ``styles``; of the result's size, or smaller.
        """
        first, *others = pictures
        if not others:
            return first
        masks = resize(self.masks, (first.shape[2], first.shape[3])).clamp(0, 1).to(first.device)
        shares = masks / masks.sum(0).clamp_min(torch.finfo(torch.float32).eps)
        joined = first.clone()
        for each, share in zip(others, shares[1:], strict=True):
            joined += (each - first) * share
        return joined.clamp_(0, 1)

    def composed(self, picture: Tensor, photo: Picture) -> Tensor:
        """The picture with the photo where nothing is painted.

        Args:
            picture: ``(1, 3, H, W)`` in [0, 1], on the CPU; of the result's size, or smaller.
            photo: of any size.
        """
        size = (picture.shape[2], picture.shape[3])
        area = resize_clamped(self.area, size)
        return composed(picture, resize_clamped(photo.pixels, size), area)


def regions_of(
    photo: Picture,
    settings: TransferSettings,
    parts: Masks,
    execution: Execution | None,
    session: Session,
    *,
    whole: bool = True,
    may_be_empty: bool = False,
) -> StyleGroups | None:
    """The regions that are painted differently; None if everything is painted alike.

    Args:
        photo: the photo.
        settings: size, soft edges, and whether the subject or the background is kept.
        parts: what is asked for.
        execution, session: for the network that finds the subject.
        whole, may_be_empty: see :class:`StyleGroups`.

    Raises:
        StylizeError: see :class:`StyleGroups` and :func:`stylize.runs.masks.requested_mask`.
    """
    area = requested_mask(photo, settings, parts.mask, execution, session)
    if area is None and not parts.regions:
        return None
    size = result_size(settings, photo.size)
    masks = Masks(area, parts.regions)
    found = StyleGroups(
        masks, size, settings.feather, whole=whole, photo=photo, may_be_empty=may_be_empty
    )
    found.notes += subject_notes(area, parts.mask)
    return found


def with_photo(picture: Tensor, photo: Picture, regions: StyleGroups | None) -> Tensor:
    """See :meth:`StyleGroups.composed`; the picture itself if there are no regions."""
    return picture if regions is None else regions.composed(picture, photo)


def _weights_of(
    region: MaskRegion, size: tuple[int, int], photo: Picture | None, *, may_lack: bool
) -> Tensor:
    """``(1, 1, *size)`` in [0, 1]."""
    if region.colour is None:
        return mask_weights(region.mask, size, photo)
    name = region.mask.name
    weights = masks_by_colour(region.mask.pixels, [region.colour], name=name, may_lack=may_lack)
    return fitted(weights, size, name, photo)


def _area(
    masks: Sequence[Tensor], kept: Sequence[Tensor], size: tuple[int, int], *, everywhere: bool
) -> Tensor:
    """Where any style applies, ``(1, 1, *size)``, with the edges of the masks."""
    area = torch.ones(1, 1, *size, dtype=torch.float32)
    if not everywhere:
        area = torch.stack(list(masks)).sum(0).clamp(0, 1)
    for each in kept:
        area = area * (1 - each)
    return area


def _shared(masks: Sequence[Tensor], size: tuple[int, int], feather_px: float) -> Tensor:
    """Soft masks and the rest, which add up to 1, ``(R + 1, 1, *size)``."""
    if not masks:
        return torch.ones(1, 1, *size, dtype=torch.float32)
    return partition(feather(torch.cat(list(masks)), feather_px))


def _within(masks: Mapping[str, Tensor], part: Tensor) -> dict[str, Tensor]:
    """The share of each mask in a part; masks with less than a position there drop out."""
    found = {name: mask * part for name, mask in masks.items()}
    return {name: mask for name, mask in found.items() if _positions([mask]) >= 1}


def _positions(masks: Iterable[Tensor]) -> float:
    """How many positions masks cover together."""
    return sum(float(mask.double().sum()) for mask in masks)


def _distinct(names: Sequence[str]) -> list[str]:
    """Short names, each different from the others."""
    found: list[str] = []
    for name in names:
        short = name[:_MAX_NAME]
        number = sum(each.rpartition(" #")[0] == short or each == short for each in found) + 1
        found.append(short if number == 1 else f"{short} #{number}")
    return found
