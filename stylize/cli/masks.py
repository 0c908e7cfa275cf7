"""Masks and regions on the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stylize.cli.inputs import open_picture
from stylize.cli.options import group_of
from stylize.errors import UsageError
from stylize.images.atomic import check_writable
from stylize.images.destinations import resolve_output
from stylize.images.write import write_picture
from stylize.settings.masks import KEEP, SubjectSettings, kept_part

if TYPE_CHECKING:
    from stylize.images.read import Picture
    from stylize.products.dream.dream import Dream
    from stylize.products.transfer.style_groups import Masks
    from stylize.products.transfer.transfer import Transfer

Prepared = TypeVar("Prepared", bound="Transfer | Dream")

save_mask_option = click.option(
    "--save-mask",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the mask that --subject or --background finds, to look at and paint over.",
)

region_options = group_of(
    [
        click.option(
            "--mask",
            "masks",
            multiple=True,
            metavar="FILE[=STYLE]",
            help="Paint where the picture is white: alone, in the style of the whole, and nothing"
            " else; with a picture, in that style; with =keep, leave it as it is. Repeatable.",
        ),
        click.option(
            "--regions",
            "segments",
            metavar="FILE",
            help="A picture in which every region has a colour of its own.",
        ),
        click.option(
            "--region",
            "colours",
            multiple=True,
            metavar="COLOUR=STYLE",
            help="The style of the region of this colour, or keep: '#ff0000=monet.jpg'."
            " Repeatable.",
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
        style: likewise; None leaves the photo as it is.
        colour: of the region in ``mask``.
    """

    mask: str
    style: str | None
    colour: str | None = None


@dataclass(frozen=True)
class MasksRequest:
    """What the command line says about parts of the photo.

    Attributes:
        mask: where the styles of the whole picture apply.
        regions: with styles of their own, or kept.
    """

    mask: str | None = None
    regions: tuple[RegionRequest, ...] = ()

    @property
    def styles(self) -> tuple[str, ...]:
        """Those of the regions, each once."""
        return tuple(dict.fromkeys(each.style for each in self.regions if each.style))

    @property
    def sources(self) -> list[str]:
        """All pictures, each once."""
        named = [source for each in self.regions for source in (each.mask, each.style)]
        return list(dict.fromkeys(source for source in (self.mask, *named) if source))

    def open(self, options: dict[str, Any]) -> Masks:
        """Read the pictures, each once."""
        from stylize.products.transfer.style_groups import Masks, Region

        read: dict[str, Picture] = {
            source: open_picture(source, options) for source in self.sources
        }
        regions = [
            Region(read[each.mask], read[each.style] if each.style else None, each.colour)
            for each in self.regions
        ]
        return Masks(read[self.mask] if self.mask else None, tuple(regions))


def read_parts(settings: SubjectSettings, options: dict[str, Any]) -> MasksRequest:
    """What the options say about parts of the photo; removes them from ``options``.

    Raises:
        UsageError: two masks for the style of the whole picture, or options that need others.
        SettingError: the subject and the background are treated alike.
    """
    masks = [_split(text) for text in options.pop("masks")]
    bare = [each.mask for each in masks if each.style == ""]
    segments, colours = options.pop("segments"), options.pop("colours")
    if len(bare) > 1:
        raise UsageError(
            f"{len(bare)} masks without a style",
            hint="one can say where the style applies; others need one: FILE=STYLE or FILE=keep",
        )
    if bool(segments) != bool(colours):
        raise UsageError(
            "--regions and --region go together",
            hint="--regions FILE --region '#ff0000=monet.jpg'",
        )
    check_one_mask(settings, bare[0] if bare else None)
    coloured = [_coloured(segments, text) for text in colours]
    named = [_kept(each) for each in masks if each.style != ""]
    return MasksRequest(bare[0] if bare else None, (*named, *coloured))


def check_one_mask(settings: SubjectSettings, mask: str | None) -> None:
    """Make sure that a mask is not beside one that would be found.

    Raises:
        UsageError: it is.
        SettingError: the subject and the background are treated alike.
    """
    if kept_part(settings) is not None and mask is not None:
        raise UsageError("--mask beside --subject or --background", hint="leave one of them out")


def read_save_mask(
    settings: SubjectSettings, inputs: Sequence[Path], target: Path | None, options: dict[str, Any]
) -> Path | None:
    """Where the mask that is found is to be written; removes the option from ``options``.

    Raises:
        UsageError: no mask will be found.
        OutputError: it cannot be written there.
    """
    path: Path | None = options.pop("save_mask")
    if path is None:
        return None
    if kept_part(settings) is None:
        raise UsageError(
            "--save-mask without a mask to be found", hint="add --subject or --background"
        )
    taken = [*inputs, *([target] if target is not None else [])]
    if target is not None and os.path.realpath(path) == os.path.realpath(target):
        raise UsageError(f"{path} is the result's own file", hint="name another with --save-mask")
    found = resolve_output(
        path, content=None, suffix_words="mask", overwrite=options["overwrite"], inputs=taken
    )
    check_writable(found)
    return found


def saving_mask(prepare: Callable[[], Prepared], path: Path | None) -> Callable[[], Prepared]:
    """The same, with the mask that was found being written: white where the picture changes."""
    if path is None:
        return prepare

    def prepared() -> Prepared:
        job = prepare()
        assert job.area is not None
        write_picture(path, job.area.pixels)
        return job

    return prepared


def _split(text: str) -> RegionRequest:
    """``FILE`` or ``FILE=STYLE``; a file's name may hold ``=`` itself. No style is ``""``."""
    if "=" not in text or os.path.exists(text):
        return RegionRequest(text, "")
    places = [index for index, letter in enumerate(text) if letter == "="]
    place = next((each for each in places if os.path.exists(text[:each])), places[0])
    return _complete(RegionRequest(text[:place], text[place + 1 :]), text, "--mask")


def _coloured(segments: str, text: str) -> RegionRequest:
    colour, _, style = text.partition("=")
    request = RegionRequest(segments, style, colour.strip())
    if not request.colour:
        raise UsageError(f"--region '{text}' names no colour", hint="'#ff0000=monet.jpg'")
    return _kept(_complete(request, text, "--region"))


def _complete(request: RegionRequest, text: str, option: str) -> RegionRequest:
    if not request.mask or not request.style:
        raise UsageError(f"{option} '{text}' names no style", hint="a picture, or keep, after =")
    return request


def _kept(request: RegionRequest) -> RegionRequest:
    """With None for a region that stays as it is."""
    if request.style != KEEP:
        return request
    return RegionRequest(request.mask, None, request.colour)
