"""Compare bf16 with fp32 on this machine: accuracy of the gradient and speed."""

from __future__ import annotations

import dataclasses
import time

import torch
from torch import Tensor

from stylize.networks.architecture import probe_layer
from stylize.networks.models import Weights
from stylize.networks.network import Network, network_of
from stylize.planning.cost import network_flop_per_px
from stylize.planning.device import (
    Device,
    fingerprint,
    prepare_device,
    with_verdict,
)
from stylize.planning.self_test_cache import Verdict, recall, remember
from stylize.settings.execution import Execution

PROBE_SIZE = 192

# With a lower speedup of one convolution (time in fp32 over time in bf16), bf16 is not tried on the
# whole network.
HOPELESS = 0.25

ROUNDS = 3

# With a lower cosine between the gradients in bf16 and fp32, bf16 is not used.
LEAST_COSINE = 0.99


def resolve(execution: Execution, weights: Weights) -> Device:
    """Choose device and precision; measures once per machine, then remembers.

    Raises:
        UsageError: this machine does not have the requested device.
    """
    device = prepare_device(execution)
    if device == "mps":
        # No bf16 convolutions to rely on, see PyTorch issues 174269 and 175190.
        return Device(device, "fp32", torch.get_num_threads())
    chosen = with_verdict(execution, device, verdict_for(device, weights))
    return dataclasses.replace(chosen, key=fingerprint(device, weights))


def verdict_for(device: str, weights: Weights) -> Verdict:
    """The self-test's verdict, from the cache if this machine has been tested before."""
    key = fingerprint(device, weights)
    known = recall(key)
    if known is not None:
        return known
    verdict = self_test(device, weights)
    remember(key, verdict)
    return verdict


def self_test(device: str, weights: Weights) -> Verdict:
    """Compare bf16 with fp32 on the real network and a small picture: gradient and time.

    Processors without products in bf16 imitate them, many times as slowly. One convolution shows
    that within milliseconds; the whole network would take a minute.
    """
    speedup, cosine = _speedup_of_one(device), 0.0
    tried = ["fp32"] if speedup < HOPELESS else ["fp32", "bf16"]
    layer = probe_layer(weights.architecture, PROBE_SIZE)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(
        1, 3, PROBE_SIZE // 8, PROBE_SIZE // 8, generator=generator, dtype=torch.float32
    )
    image = torch.nn.functional.interpolate(image, scale_factor=8, mode="bilinear").to(device)
    networks = {
        each: network_of(weights, (layer,), precision=each, device=device) for each in tried
    }
    # Alternate, so that other programs slow both down equally.
    rounds = [
        {each: _probe(network, layer, image) for each, network in networks.items()}
        for _ in range(ROUNDS)
    ]
    seconds = {each: min(probes[each][1] for probes in rounds) for each in networks}
    if "bf16" in networks:
        speedup = seconds["fp32"] / seconds["bf16"]
        exact, rounded = (rounds[-1][each][0].flatten() for each in tried)
        cosine = float(torch.nn.functional.cosine_similarity(exact, rounded, dim=0))
    precision = "bf16" if cosine > LEAST_COSINE and speedup > 1 else "fp32"
    flop = network_flop_per_px(weights.architecture, (layer,)) * PROBE_SIZE**2
    return Verdict(precision, flop / seconds[precision] / 1e9, speedup, cosine)


def _speedup_of_one(device: str) -> float:
    """Time of one small convolution in fp32 over its time in bf16."""
    seconds = [
        min(_one_convolution(dtype, device) for _ in range(ROUNDS))
        for dtype in (torch.float32, torch.bfloat16)
    ]
    return seconds[0] / seconds[1]


def _one_convolution(dtype: torch.dtype, device: str) -> float:
    """The time of a convolution of 64 channels, in seconds."""
    x = torch.ones(1, 64, 32, 32, dtype=dtype, device=device)
    weight = torch.ones(64, 64, 3, 3, dtype=dtype, device=device)
    started = time.perf_counter()
    float(torch.nn.functional.conv2d(x, weight)[0, 0, 0, 0])
    return time.perf_counter() - started


@torch.enable_grad()
def _probe(network: Network, layer: str, image: Tensor) -> tuple[Tensor, float]:
    """Gradient of a layer's energy, and the time it took, in seconds."""
    leaf = image.detach().requires_grad_()
    started = time.perf_counter()
    features = network(leaf)[layer]
    # A scalar: torch would import its compiler to check the shape of any other slope.
    (gradient,) = torch.autograd.grad((features * features.detach()).sum(), leaf)
    gradient = gradient.float()
    float(gradient.sum())
    return gradient, time.perf_counter() - started
