"""The painters: each takes a random generator and returns a finished picture."""

from __future__ import annotations

from collections.abc import Callable

from numpy.random import Generator
from PIL import Image

from .brushwork import brushwork
from .ink_wash import ink_wash
from .marbling import marbling
from .mosaic import mosaic
from .pastel import pastel
from .stained_glass import stained_glass
from .ukiyo import ukiyo
from .woodcut import woodcut

STYLES: dict[str, Callable[[Generator], Image.Image]] = {
    "brushwork": brushwork,
    "ink-wash": ink_wash,
    "marbling": marbling,
    "mosaic": mosaic,
    "pastel": pastel,
    "stained-glass": stained_glass,
    "ukiyo": ukiyo,
    "woodcut": woodcut,
}
