"""Files <-> tensors: pictures come in as sRGB in [0, 1], go out with their profile and recipe.

The names are fetched on first use, so that parsing a size or choosing an output path does not
pay for importing torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylize.images.animation import animation_format, check_animation, write_animation
    from stylize.images.destinations import check_writable, resolve_output
    from stylize.images.footprint import reading_bytes, saving_bytes
    from stylize.images.metadata import read_recipe
    from stylize.images.opening import set_pixel_limit
    from stylize.images.picture import Picture, read_picture
    from stylize.images.resampling import resize, resize_clamped
    from stylize.images.sizes import SizeSpec
    from stylize.images.writing import write_picture

__all__ = [
    "Picture",
    "SizeSpec",
    "animation_format",
    "check_animation",
    "check_writable",
    "read_picture",
    "read_recipe",
    "reading_bytes",
    "resize",
    "resize_clamped",
    "resolve_output",
    "saving_bytes",
    "set_pixel_limit",
    "write_animation",
    "write_picture",
]

_HOMES = {
    "Picture": "picture",
    "SizeSpec": "sizes",
    "animation_format": "animation",
    "check_animation": "animation",
    "check_writable": "destinations",
    "read_picture": "picture",
    "read_recipe": "metadata",
    "reading_bytes": "footprint",
    "resize": "resampling",
    "resize_clamped": "resampling",
    "resolve_output": "destinations",
    "saving_bytes": "footprint",
    "set_pixel_limit": "opening",
    "write_animation": "animation",
    "write_picture": "writing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
