"""Look into a network: the questions that the command line and Python ask."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from stylize.settings.inspect import (
    ActivationsSettings,
    CaricatureSettings,
    FeatureSettings,
    FiltersSettings,
    InversionSettings,
    MapSettings,
    OcclusionSettings,
    PatchesSettings,
    ReportSettings,
    SaliencySettings,
    SegmentSettings,
)


@dataclass(frozen=True)
class Question:
    """What can be asked about a network.

    Attributes:
        settings: the settings class.
        place: ``module:name`` of the function that answers; it returns a
            :class:`stylize.products.inspect.result.Finding`.
    """

    settings: type[Any]
    place: str

    @property
    def function(self) -> Any:
        """The function that answers, imported now, with PyTorch."""
        return load_function(self.place)


def load_function(place: str) -> Any:
    """The function at ``module:name``, imported now."""
    module, name = place.split(":")
    return getattr(import_module(module), name)


QUESTIONS = {
    "filters": Question(FiltersSettings, f"{__name__}.filters:show_filters"),
    "activations": Question(ActivationsSettings, f"{__name__}.activations:show_activations"),
    "patches": Question(PatchesSettings, f"{__name__}.patches:show_patches"),
    "feature": Question(FeatureSettings, f"{__name__}.feature:show_feature"),
    "saliency": Question(SaliencySettings, f"{__name__}.saliency:show_saliency"),
    "occlude": Question(OcclusionSettings, f"{__name__}.occlude:show_occlusion"),
    "invert": Question(InversionSettings, f"{__name__}.invert:show_inversion"),
    "caricature": Question(CaricatureSettings, f"{__name__}.caricature:show_caricature"),
    "map": Question(MapSettings, f"{__name__}.map:show_map"),
    "segment": Question(SegmentSettings, f"{__name__}.segment:show_subject"),
    "report": Question(ReportSettings, f"{__name__}.report:show_report"),
}
