"""Share networks in memory and statistics of style images between the runs of one process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from torch import Tensor

from stylize.gradients.self_test import resolve
from stylize.images.crop import Crop
from stylize.losses.statistics import Moments
from stylize.losses.style import StyleLoss
from stylize.networks.architecture import require_vgg
from stylize.networks.models import Weights, load_weights
from stylize.networks.network import Network, network_of
from stylize.networks.vgg import VGG
from stylize.planning.device import Device, require_own_threads
from stylize.settings.execution import Execution

# Per style image. Its moments at one scale take 2.4 MB with the default layers. A picture of 2048
# px has seven scales, with a ratio of √2 nine.
MOST_STATISTICS = 16

# A batch needs one network; two presets may need two.
MOST_NETWORKS = 4

# Sets of style losses, one per size. Each holds up to 8 MB. All sizes of a picture must find room,
# or none is found again.
MOST_LOSSES = 16

# A few bytes each.
MOST_CROPS = 1000

# What is matched of a style image at one size: 5 MB, more only if it is larger than the result.
# Three sizes of a picture are matched.
MOST_PLACES = 12

Value = TypeVar("Value")


class Session:
    """Load and compute only once what several pictures need, within limits.

    A run without a session makes its own.

    Raises:
        UsageError: this process was forked from one that had used PyTorch's threads.
    """

    def __init__(self) -> None:
        require_own_threads()
        self._weights: OrderedDict[Hashable, Weights] = OrderedDict()
        self._devices: OrderedDict[Hashable, Device] = OrderedDict()
        self._networks: OrderedDict[Hashable, Network] = OrderedDict()
        self._crops: OrderedDict[Hashable, Crop] = OrderedDict()
        self._losses: OrderedDict[Hashable, Sequence[StyleLoss]] = OrderedDict()
        self._places: OrderedDict[Hashable, tuple[Tensor, Tensor]] = OrderedDict()
        self._statistics: dict[str, OrderedDict[Hashable, dict[str, Moments]]] = {}

    def weights(self, network: str) -> Weights:
        """Return a network's weights, see :func:`stylize.networks.models.load_weights`."""
        require_own_threads()
        return _kept(self._weights, network, lambda: load_weights(network), MOST_NETWORKS)

    def device(self, execution: Execution, weights: Weights) -> Device:
        """Return the device of a run, see :func:`stylize.gradients.self_test.resolve`."""
        key = (execution, weights.sha256)
        return _kept(self._devices, key, lambda: resolve(execution, weights), MOST_NETWORKS)

    def vgg(self, weights: Weights, layers: Sequence[str], pooling: str, device: Device) -> VGG:
        """Return a VGG on its device, see :class:`stylize.networks.vgg.VGG`.

        Raises:
            SettingError: the network is no VGG.
        """
        require_vgg(weights.name, weights.architecture, "this")
        network = self.network(weights, layers, pooling, device)
        assert isinstance(network, VGG)
        return network

    def network(
        self, weights: Weights, layers: Sequence[str], pooling: str, device: Device
    ) -> Network:
        """Return a network on its device, see :mod:`stylize.networks.network`."""
        wanted = tuple(dict.fromkeys(layers))
        key = (weights.sha256, wanted, pooling, device.precision, device.name)

        def load() -> Network:
            return network_of(
                weights,
                wanted,
                pooling=pooling,
                precision=device.precision,
                device=device.name,
            )

        return _kept(self._networks, key, load, MOST_NETWORKS)

    def style_crop(self, style: str, find: Callable[[], Crop]) -> Crop:
        """Return the part of a style image without its frame, searched for unless it is known.

        Args:
            style: SHA-256 of the style image.
            find: finds it.
        """
        return _kept(self._crops, style, find, MOST_CROPS)

    def style_losses(
        self, key: Hashable, make: Callable[[], Sequence[StyleLoss]]
    ) -> Sequence[StyleLoss]:
        """Return the style losses of one size, made unless they are known.

        Args:
            key: whatever they depend on.
            make: makes them.
        """
        return _kept(self._losses, key, make, MOST_LOSSES)

    def places(
        self, key: Hashable, find: Callable[[], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Return what is matched of a style image at one size, found unless it is known.

        Args:
            key: whatever it depends on.
            find: finds it, see :func:`stylize.products.transfer.matching.places_of`.
        """
        return _kept(self._places, key, find, MOST_PLACES)

    def statistics(
        self, style: str, key: Hashable, compute: Callable[[], dict[str, Moments]]
    ) -> dict[str, Moments]:
        """Return the moments of a style image by layer, computed unless they are known.

        Args:
            style: SHA-256 of the style image.
            key: whatever else the moments depend on.
            compute: computes them.
        """
        cache = self._statistics.setdefault(style, OrderedDict())
        return _kept(cache, key, compute, MOST_STATISTICS)


def _kept(
    cache: OrderedDict[Hashable, Value], key: Hashable, make: Callable[[], Value], most: int
) -> Value:
    """Return a cached value, or make it and drop the least recently used one."""
    if key not in cache:
        cache[key] = make()
        while len(cache) > most:
            cache.popitem(last=False)
    cache.move_to_end(key)
    return cache[key]
