"""Masks and regions on the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylize.cli.completion import FILE
from stylize.cli.help import option
from stylize.cli.inputs import open_picture
from stylize.cli.options import group_of, make_parents
from stylize.cli.requests import Messages
from stylize.errors import UsageError
from stylize.settings.fields import Group
from stylize.settings.masks import KEEP, SubjectSettings, kept_part

if TYPE_CHECKING:
    from stylize.images.read import Picture
    from stylize.products.transfer.style_groups import Masks

save_mask_option = option(
    "--save-mask",
    group=Group.MASKS,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Save the mask that --subject or --background finds, so that you can edit it.",
)

region_options = group_of(
    [
        option(
            "--mask",
            "masks",
            type=FILE,
            group=Group.MASKS,
            everyday=True,
            multiple=True,
            metavar="FILE[=STYLE]",
            help="FILE: paint only its white area. FILE=STYLE: paint that area in STYLE. FILE=keep:"
            " leave it unpainted. Repeatable.",
        ),
        option(
            "--regions",
            "segments",
            type=FILE,
            group=Group.MASKS,
            metavar="FILE",
            help="Map of the photo in which each region has one colour; --region gives it a style.",
        ),
        option(
            "--region",
            "colours",
            type=FILE,
            group=Group.MASKS,
            multiple=True,
            metavar="COLOUR=STYLE",
            help="Style for the region of this colour: '#ff0000=monet.jpg', or keep. Repeatable.",
        ),
        save_mask_option,
    ]
)


def _no_mask(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value:
        raise UsageError(
            f"a batch takes no {parameter.opts[0]}: a mask belongs to one picture",
            hint="--subject and --background find a mask for each",
        )


# A batch says why it has none of these, instead of that there is no such option.
no_mask_options = group_of(
    click.option(name, multiple=True, hidden=True, expose_value=False, callback=_no_mask)
    for name in ("--mask", "--regions", "--region", "--save-mask")
)


@dataclass(frozen=True)
class RegionRequest:
    """A region as the command line names it.

    Attributes:
        mask: a picture's source.
        style: a style image's source; None keeps the photo.
        colour: of the region in ``mask``; None for the white of ``mask``.
    """

    mask: str
    style: str | None
    colour: str | None = None


@dataclass(frozen=True)
class MasksRequest:
    """What the command line says about parts of the photo.

    Attributes:
        mask: where the styles of the whole picture apply; None for everywhere.
        regions: with styles of their own, or kept.
    """

    mask: str | None = None
    regions: tuple[RegionRequest, ...] = ()

    @property
    def styles(self) -> tuple[str, ...]:
        """The style images of the regions, each once."""
        return tuple(dict.fromkeys(each.style for each in self.regions if each.style))

    @property
    def sources(self) -> list[str]:
        """All pictures, each once."""
        named = [source for each in self.regions for source in (each.mask, each.style)]
        return list(dict.fromkeys(source for source in (self.mask, *named) if source))

    def open(self, messages: Messages) -> Masks:
        """Read the pictures, each once."""
        return self.of({source: open_picture(source, messages) for source in self.sources})

    def of(self, read: Mapping[str, Picture]) -> Masks:
        """The same with the pictures by their sources."""
        from stylize.products.transfer.style_groups import MaskRegion, Masks

        regions = [
            MaskRegion(read[each.mask], read[each.style] if each.style else None, each.colour)
            for each in self.regions
        ]
        return Masks(read[self.mask] if self.mask else None, tuple(regions))


def take_masks(settings: SubjectSettings, options: dict[str, Any]) -> MasksRequest:
    """What the options say about parts of the photo; removes them from ``options``.

    Raises:
        UsageError: two masks for the style of the whole picture, or options that need others.
        SettingError: the subject and the background are treated alike.
    """
    texts, picture, colours = (options.pop(name) for name in ("masks", "segments", "colours"))
    bare = [text for text in texts if _is_bare(text)]
    if len(bare) > 1:
        raise UsageError(
            f"{len(bare)} masks without a style",
            hint="only one mask can do without; write the others as FILE=STYLE or FILE=keep",
        )
    if bool(picture) != bool(colours):
        raise UsageError(
            "--regions and --region go together",
            hint="for instance --regions map.png --region '#ff0000=monet.jpg'",
        )
    mask = bare[0] if bare else None
    check_one_mask(settings, mask)
    masked = [_masked_region(text) for text in texts if not _is_bare(text)]
    return MasksRequest(mask, (*masked, *(_coloured_region(picture, text) for text in colours)))


def check_one_mask(settings: SubjectSettings, mask: str | None) -> None:
    """Check that a mask is not given where one is to be found.

    Raises:
        UsageError: it is.
        SettingError: the subject and the background are treated alike.
    """
    if kept_part(settings) is not None and mask is not None:
        raise UsageError(
            "--mask cannot be combined with --subject or --background", hint="leave one of them out"
        )


def take_save_mask(
    settings: SubjectSettings,
    inputs: Sequence[Path],
    target: Path | None,
    *,
    overwrite: bool,
    options: dict[str, Any],
) -> Path | None:
    """Choose the file for the mask that is found; remove the option from ``options``.

    Raises:
        UsageError: no mask will be found.
        OutputError: it cannot be written there.
    """
    from stylize.images.atomic import check_writable
    from stylize.images.destinations import resolve_output

    path: Path | None = options.pop("save_mask")
    if path is None:
        return None
    if kept_part(settings) is None:
        raise UsageError("--save-mask needs a mask to find", hint="add --subject or --background")
    taken = [*inputs, *([target] if target is not None else [])]
    if target is not None and os.path.realpath(path) == os.path.realpath(target):
        raise UsageError(f"{path} is the file of the result", hint="name another with --save-mask")
    make_parents(path)
    found = resolve_output(
        path, content=None, suffix_words="mask", overwrite=overwrite, inputs=taken
    )
    check_writable(found)
    return found


def _is_bare(text: str) -> bool:
    """Whether ``--mask`` names a file alone; a file's name may hold ``=`` itself."""
    return "=" not in text or os.path.exists(text)


def _masked_region(text: str) -> RegionRequest:
    """``FILE=STYLE`` or ``FILE=keep``, parted at the first ``=`` that leaves an existing file."""
    places = [index for index, letter in enumerate(text) if letter == "="]
    place = next((each for each in places if os.path.exists(text[:each])), places[0])
    return _region(text[:place], text[place + 1 :], None, f"--mask '{text}'")


def _coloured_region(picture: str, text: str) -> RegionRequest:
    """``COLOUR=STYLE`` or ``COLOUR=keep``."""
    colour, _, style = text.partition("=")
    if not colour.strip():
        raise UsageError(
            f"--region '{text}' names no colour", hint="for instance '#ff0000=monet.jpg'"
        )
    return _region(picture, style, colour.strip(), f"--region '{text}'")


def _region(mask: str, style: str, colour: str | None, option: str) -> RegionRequest:
    if not mask or not style:
        raise UsageError(f"{option} names no style", hint="add =FILE or =keep")
    return RegionRequest(mask, None if style == KEEP else style, colour)
