"""What the settings of several ``stylize inspect`` commands share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stylize.errors import SettingError
from stylize.images.sizes import SizeSpec
from stylize.networks.architecture import find_layer
from stylize.networks.targets import Target, check_targets, parse_targets
from stylize.settings.fields import check_fields, setting

NETWORK_HELP = "Network that sees the pictures; see 'stylize models list'."
SIZE_HELP = "Size at which the network sees {}: N (long side), WxH, 12MP or original."
PHOTO_SIZE_HELP = SIZE_HELP.format("the photo")
CLASS_HELP = "A class instead of TARGET, by number or name; the network has to know classes."
_AT_HELP = "One neuron instead of all: the one that looks at this place, as X,Y in px of the photo."
_MAX_PLACE = 1e6


class Sized:
    """Settings of which one is the ``size`` at which pictures are seen."""

    size: str

    def __post_init__(self) -> None:
        check_fields(self)
        SizeSpec.parse(self.size)


class WithLayer:
    """Settings that speak of one ``layer``."""

    layer: str

    def check_layers(self, architecture: str) -> None:
        """Check the layer against a network.

        Raises:
            UnknownNameError: the network has no such layer.
        """
        find_layer(architecture, self.layer)


class WithTarget:
    """Settings whose ``target`` is an expression of layers and channels, or else a class."""

    target: str
    category: str | None
    network: str

    @property
    def question(self) -> dict[str, str]:
        """What is asked of the network, for a report."""
        return {"target": self.target} if self.category is None else {"class": self.category}

    @property
    def targets(self) -> tuple[Target, ...]:
        """The expression, read."""
        return parse_targets(self.target)

    def check_layers(self, architecture: str) -> None:
        """Check the layers' names and channels against a network.

        Raises:
            ExpressionError: the network has no such layer or channel.
        """
        check_targets(self.target, self.targets, architecture)


@dataclass(frozen=True, kw_only=True)
class PhotoQuestion(Sized, WithTarget):
    """What is asked of a photo: a response, of all neurons or of one."""

    target: str
    category: str | None = setting(None, CLASS_HELP, option="--class")
    at: str | None = setting(None, _AT_HELP)

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_targets(self.target)
        if self.at is not None:
            _place(self.at)
        ask_alone(self.category, {"--at": self.at})

    def place_in(self, size: tuple[int, int]) -> tuple[float, float] | None:
        """How far down and to the right the neuron lies, as shares of a photo's sides.

        Args:
            size: ``(height, width)`` of the photo in px.

        Raises:
            SettingError: the place lies outside the photo.
        """
        if self.at is None:
            return None
        across, down = _place(self.at)
        height, width = size
        if across >= width or down >= height:
            raise SettingError(
                f"--at {self.at} lies outside the photo", hint=f"it has {width}×{height} px"
            )
        return down / height, across / width


def ask_alone(category: str | None, others: dict[str, object]) -> None:
    """Make sure that a class is not asked for together with what is about layers.

    Args:
        category: the class, if one is asked for.
        others: values of other options by their names, None where they were not given.

    Raises:
        SettingError: it is.
    """
    for name, value in others.items():
        if category is not None and value is not None:
            raise SettingError(f"--class and {name}", hint="leave one of them out")


def _place(text: str) -> tuple[float, float]:
    """``X,Y`` in pixels.

    Raises:
        SettingError: it is no such pair.
    """
    try:
        across, down = (float(word) for word in text.split(","))
    except ValueError as error:
        raise SettingError(f"--at: '{text}' is no place", hint="X,Y in pixels: 120,80") from error
    if not all(math.isfinite(each) and 0 <= each <= _MAX_PLACE for each in (across, down)):
        raise SettingError(f"--at: '{text}' is no place", hint="X,Y in pixels: 120,80")
    return across, down
