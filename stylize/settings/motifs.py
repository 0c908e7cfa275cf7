"""What a transfer dreams while it paints, as people write it: ``dogs`` or ``eyes:0.5``."""

from __future__ import annotations

import math

from stylize.errors import SettingError, UnknownNameError
from stylize.networks.targets import Target, parse_targets

MAX_MOTIF_WEIGHT = 1000.0


def parse_motif(text: str) -> tuple[str, float]:
    """The name of a dream preset, and its weight.

    Raises:
        SettingError: the weight is no number from 0 to 1000.
    """
    name, colon, number = text.partition(":")
    try:
        weight = float(number) if colon else 1.0
    except ValueError:
        weight = math.nan
    if not name or not 0 <= weight <= MAX_MOTIF_WEIGHT:
        raise SettingError(
            f"--dream: '{text}' is not PRESET or PRESET:WEIGHT",
            hint=f"for instance dogs:0.5; the weight is 0 to {MAX_MOTIF_WEIGHT:g}",
        )
    return name, weight


def motif_targets(text: str | None) -> tuple[Target, ...]:
    """What is to be amplified, with weights whose sizes add up to that of the motif.

    Args:
        text: as :func:`parse_motif` reads it; None, or a weight of 0, is nothing.

    Raises:
        UnknownNameError: the program has no dream of this name.
        SettingError: the weight is no number from 0 to 1000.
    """
    if text is None:
        return ()
    # Presets are made of settings, so they cannot be imported before these.
    from stylize.presets import find_preset, preset_names  # noqa: PLC0415

    name, weight = parse_motif(text)
    if name not in preset_names("dream"):
        raise UnknownNameError("dream preset", name, preset_names("dream"))
    if not weight:
        return ()
    targets = parse_targets(find_preset("dream", name).apply().layers)
    total = sum(abs(each.weight) for each in targets)
    return tuple(
        Target(each.layer, weight * each.weight / total, each.channels) for each in targets
    )
