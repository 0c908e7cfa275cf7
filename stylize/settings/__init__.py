"""Every setting, its default, its range and its help: the only place where they stand.

Command-line options, preset keys, the recipe in the picture and the help texts are all derived
from the fields here.
"""

from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution, Safekeeping
from stylize.settings.fields import LayerWeights, from_document, option_name, to_document
from stylize.settings.sizes import result_size, size_notes
from stylize.settings.transfer import MAX_STYLES, TransferSettings
from stylize.settings.tunnel import TunnelSettings

__all__ = [
    "MAX_STYLES",
    "DreamSettings",
    "Execution",
    "LayerWeights",
    "Safekeeping",
    "TransferSettings",
    "TunnelSettings",
    "from_document",
    "option_name",
    "result_size",
    "size_notes",
    "to_document",
]
