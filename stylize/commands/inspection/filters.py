"""``stylize inspect filters``."""

from __future__ import annotations

from typing import Any

import click

from stylize.commands.inspecting import fields_options, number_options, perform, taken
from stylize.commands.options import check_streams, group_of, result_options
from stylize.commands.results import choose_target
from stylize.networks.store import find_model
from stylize.settings.inspection import FiltersSettings


@click.command()
@group_of([result_options, fields_options(FiltersSettings), number_options])
def filters(**options: Any) -> None:
    """The kernels of a layer, as they are: zero is middle grey, what is brighter is positive.

    \b
    Examples:
      stylize inspect filters
      stylize inspect filters --layer conv3_1 --slices 25 --normalize each

    Those of conv1_1 are little pictures in RGB. A deeper layer's have a slice for each channel
    before them; a cell shows the first 16 of these (--slices), in grey, of the first 64 filters
    (--count).
    """
    settings = taken(FiltersSettings, options)
    settings.check_layers(find_model(settings.network).architecture)
    check_streams(options["output"], [], as_json=options["as_json"])
    target = choose_target(None, [], f"filters-{settings.layer}", options)

    def look() -> Any:
        from stylize.inspection.filters import show_filters

        return show_filters(settings)

    perform(look, target, options)
