"""What the pictures of one process can share: networks in memory, statistics of styles."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from stylize.gradients.self_test import resolve
from stylize.losses.statistics import Moments
from stylize.networks.models import Weights, load_weights
from stylize.networks.vgg import VGG
from stylize.planning.device import Device
from stylize.settings.execution import Execution

# For each style. Its moments at one scale take 2.4 MB with the default layers; a picture of
# 2048 px has five scales. More would only serve batches whose pictures are of few sizes, but not
# of one, and would grow where all are of different sizes.
MOST_STATISTICS = 16

# Two hundred pictures need the same trunk; two presets may need two.
MOST_TRUNKS = 4

Value = TypeVar("Value")


class Session:
    """Loads and computes once what several pictures need, within bounds.

    A technique that is given none makes its own.
    """

    def __init__(self) -> None:
        self._weights: OrderedDict[Hashable, Weights] = OrderedDict()
        self._machines: OrderedDict[Hashable, Device] = OrderedDict()
        self._trunks: OrderedDict[Hashable, VGG] = OrderedDict()
        self._statistics: dict[str, OrderedDict[Hashable, dict[str, Moments]]] = {}

    def weights(self, network: str) -> Weights:
        """A network's weights, see :func:`stylize.networks.models.load_weights`."""
        return _kept(self._weights, network, lambda: load_weights(network), MOST_TRUNKS)

    def device(self, execution: Execution, weights: Weights) -> Device:
        """Where the work is done, see :func:`stylize.gradients.self_test.resolve`."""
        key = (execution, weights.sha256)
        return _kept(self._machines, key, lambda: resolve(execution, weights), MOST_TRUNKS)

    def vgg(self, weights: Weights, layers: Sequence[str], pooling: str, device: Device) -> VGG:
        """A network on its device, see :class:`stylize.networks.vgg.VGG`."""
        wanted = tuple(dict.fromkeys(layers))
        key = (weights.sha256, wanted, pooling, device.precision, device.name)

        def load() -> VGG:
            return VGG(
                weights,
                wanted,
                pooling=pooling,
                precision=device.precision,
                device=device.name,
            )

        return _kept(self._trunks, key, load, MOST_TRUNKS)

    def statistics(
        self, style: str, key: Hashable, compute: Callable[[], dict[str, Moments]]
    ) -> dict[str, Moments]:
        """The moments of a style by layer, computed unless they are known.

        Args:
            style: SHA-256 of the picture.
            key: whatever else they depend on.
            compute: gives them.
        """
        shelf = self._statistics.setdefault(style, OrderedDict())
        return _kept(shelf, key, compute, MOST_STATISTICS)


def _kept(
    shelf: OrderedDict[Hashable, Value], key: Hashable, make: Callable[[], Value], most: int
) -> Value:
    """The value on the shelf, made if it is not there; the one longest unused makes room."""
    if key not in shelf:
        shelf[key] = make()
        while len(shelf) > most:
            shelf.popitem(last=False)
    shelf.move_to_end(key)
    return shelf[key]
