"""The layers that a run reads, for the run and for the estimate of its cost. No torch."""

from __future__ import annotations

from stylize.networks.architecture import find_layer, is_vgg, rectified
from stylize.networks.layer_expressions import Target, parse_targets
from stylize.settings.dream import BaseDreamSettings
from stylize.settings.fields import LayerWeights
from stylize.settings.presets import dream_targets
from stylize.settings.transfer import TransferSettings, shares_of_styles

# Layers by which parts of the photo are matched with parts of the style images.
MATCH_LAYERS = ("relu3_1", "relu4_1")

# The layer whose activations are the target.
TARGET_LAYER = MATCH_LAYERS[-1]


def transfer_layers(
    settings: TransferSettings, architecture: str, styles: int = 1
) -> tuple[str, ...]:
    """The layers of a transfer's losses: style, content, match, dream.

    Args:
        settings: of the transfer.
        architecture: of the network.
        styles: how many style images the whole picture has, at least 1.
    """
    style = [name for name, _ in style_shares(settings, styles)]
    content = [name for name, _ in content_shares(settings)]
    match = MATCH_LAYERS if is_matched(settings, styles) else ()
    dream = [amplified_layer(each, architecture) for each in dream_targets(settings.dream)]
    return tuple(dict.fromkeys([*style, *content, *match, *dream]))


def is_matched(settings: TransferSettings, styles: int = 1) -> bool:
    """Whether parts of the photo borrow from similar parts of a style; grain alone has none."""
    parts, weights = settings.style_parts, settings.style_weights
    return settings.match > 0 and bool(shares_of_styles(TARGET_LAYER, parts, weights, styles))


def style_shares(settings: TransferSettings, styles: int = 1) -> list[tuple[str, float]]:
    """The style layers that are used, with weights that add up to one."""
    return shares(settings.painted_layers(styles))


def content_shares(settings: TransferSettings) -> list[tuple[str, float]]:
    """The content layers that are used, with weights that add up to one."""
    return shares(settings.content_layers) if settings.content_loss_weight else []


def shares(layers: LayerWeights) -> list[tuple[str, float]]:
    """Layers of positive weight, with weights that add up to one."""
    total = sum(weight for _, weight in layers)
    return [(name, weight / total) for name, weight in layers if weight]


def dream_layers(settings: BaseDreamSettings, architecture: str) -> tuple[str, ...]:
    """The layers that a dream amplifies."""
    found = [amplified_layer(each, architecture) for each in parse_targets(settings.layers)]
    return tuple(dict.fromkeys(found))


def amplified_layer(target: Target, architecture: str) -> str:
    """Whole layers are read after the ReLU; channels before it, where none of them is dead.

    Layers of a network that is no VGG are read as they are.
    """
    name = find_layer(architecture, target.layer).name
    if not is_vgg(architecture):
        return name
    return rectified(name) if target.channels is None else name
