"""torchvision's classifiers: activations, gradients, receptive fields and exact tiles."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from stylize.errors import SettingError, UnknownNameError
from stylize.gradients.tiled import TiledEngine, features_of
from stylize.losses.channels import ChannelLoss, EnergyLoss
from stylize.losses.content import ContentLoss
from stylize.losses.loss import Objective
from stylize.networks.architecture import (
    can_be_tiled,
    deepest_layer,
    find_layer,
    layer_names,
    listed_layers,
    macs_per_px,
    positions,
    scales,
    usual_layer,
)
from stylize.networks.graph import ARCHITECTURES, build
from stylize.networks.models import Weights
from stylize.networks.module import ModuleNetwork
from stylize.networks.weight_files import INCEPTION, TORCHVISION, Preprocessing
from stylize.planning.memory import MemoryNeed, MemoryPlan
from stylize.planning.tiles import halo_px
from tests.networks.conftest import he_module

NETWORKS = {
    "googlenet": (
        INCEPTION,
        {
            "conv1": "conv1",
            "conv2.conv": "conv2.conv",
            "inception_3a.branch2": "inception3a.branch2",
            "inception_4c": "inception4c",
        },
    ),
    "resnet18": (
        TORCHVISION,
        {"conv1": "conv1", "layer1.0.bn1": "layer1.0.bn1", "layer3": "layer3"},
    ),
    "inception_v3": (
        INCEPTION,
        {"Mixed_5b": "Mixed_5b", "mixed_6a.branch3x3": "Mixed_6a.branch3x3"},
    ),
    "mnasnet0_5": (TORCHVISION, {"layers.10": "layers.10"}),
}


@cache
def module_of(architecture: str) -> torch.nn.Module:
    return he_module(architecture).double().requires_grad_(False)


@cache
def weights_of(architecture: str) -> Weights:
    module = module_of(architecture)
    preprocessing, _ = NETWORKS[architecture]
    return Weights("test", architecture, "0", preprocessing, module.state_dict(), 10)


def network(architecture: str, *layers: str, precision: str = "fp64") -> ModuleNetwork:
    return ModuleNetwork(weights_of(architecture), layers, precision=precision)


def noise(*size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, *size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    "architecture",
    ["googlenet", "resnet18", "mnasnet0_5", pytest.param("inception_v3", marks=pytest.mark.slow)],
)
def test_activations_and_gradients_are_those_of_torchvision(architecture):
    preprocessing, layers = NETWORKS[architecture]
    module, image = module_of(architecture), noise(107, 96)
    found: dict[str, Tensor] = {}

    def keep(path: str):
        # A copy, because the next module may work in place.
        return lambda module, inputs, output: found.update({path: output.clone()})

    handles = [module.get_submodule(p).register_forward_hook(keep(p)) for p in layers.values()]
    leaf = image.clone().requires_grad_()
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1)
        for v in (preprocessing.mean, preprocessing.std)
    )
    module((leaf - mean) / std)
    for handle in handles:
        handle.remove()
    ours = image.clone().requires_grad_()
    named = network(architecture, *layers)(ours)
    for name, path in layers.items():
        torch.testing.assert_close(named[name], found[path])
        assert named[name].shape[2:] == positions(architecture, name, (107, 96))
    (theirs,) = torch.autograd.grad(sum(found[p].square().sum() for p in layers.values()), leaf)
    (mine,) = torch.autograd.grad(sum(named[n].square().sum() for n in layers), ours)
    torch.testing.assert_close(mine, theirs)


def test_transform_input_of_torchvision_is_the_preprocessing_called_inception():
    module, image = module_of("googlenet"), noise(64, 64)
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1)
        for v in (TORCHVISION.mean, TORCHVISION.std)
    )
    module.transform_input = True
    try:
        theirs = module._transform_input((image - mean) / std)
    finally:
        module.transform_input = False
    torch.testing.assert_close(network("googlenet", "conv1")._input(image), theirs)


@pytest.mark.parametrize(
    ("architecture", "name", "side"),
    [
        ("googlenet", "inception_4a", 200),
        pytest.param("resnet18", "layer2", 160, marks=pytest.mark.slow),
        pytest.param("inception_v3", "Mixed_5b", 160, marks=pytest.mark.slow),
    ],
)
def test_the_receptive_field_is_where_gradients_arrive(architecture, name, side):
    # Means instead of maxima and weights above zero: every pixel of the field has a gradient.
    module = he_module(architecture)
    for parent in list(module.modules()):
        for key, child in parent.named_children():
            if isinstance(child, torch.nn.MaxPool2d):
                size = child.kernel_size, child.stride, child.padding, child.ceil_mode
                setattr(parent, key, torch.nn.AvgPool2d(*size))
    for parameter in module.parameters():
        parameter.data.abs_().add_(1e-3)
    for norm in (each for each in module.modules() if isinstance(each, torch.nn.BatchNorm2d)):
        norm.running_mean.zero_()
    layer, kept = find_layer(architecture, name), []
    path = name.replace("inception_", "inception")
    module.get_submodule(path).register_forward_hook(lambda m, i, output: kept.append(output))
    leaf = torch.ones(1, 3, side, side, requires_grad=True)
    module(leaf)
    row = kept[0].shape[2] // 2
    (gradient,) = torch.autograd.grad(kept[0][0, :, row, row].sum(), leaf)
    rows = gradient[0].sum((0, 2)).nonzero().flatten()
    first = row * layer.stride + layer.first_px
    assert (int(rows[0]), int(rows[-1])) == (first, first + layer.receptive_field_px - 1)


def test_cost_counts_every_convolution():
    # 1.498 GFLOP at 224 px, says torchvision of GoogLeNet; the last layer has 1.024 M of them.
    total = macs_per_px("googlenet", ["inception_5b"]) * 224**2
    assert total == pytest.approx(1.498e9 - 1.024e6, rel=0.001)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(75, 98), (139, 111), (200, 187)])
def test_positions_of_odd_sizes(size):
    names = ("Conv2d_2a_3x3", "Mixed_5d", "Mixed_6e")
    found = network("inception_v3", *names, precision="fp32")(noise(*size).float())
    for name in names:
        assert found[name].shape[2:] == positions("inception_v3", name, size)


def test_the_smallest_picture():
    layer = find_layer("inception_v3", "Mixed_7c")
    assert layer.least_px == 75  # as torchvision documents it
    assert positions("inception_v3", "Mixed_7c", (74, 200))[0] == 0


@pytest.mark.parametrize(
    ("architecture", "names", "size"),
    [
        pytest.param(
            "googlenet", ("inception_3a", "inception_4a"), (96, 333), marks=pytest.mark.slow
        ),
        ("googlenet", ("conv3",), (101, 150)),
        pytest.param("inception_v3", ("Mixed_5b",), (90, 311), marks=pytest.mark.slow),
        pytest.param("resnet18", ("layer2",), (301, 64), marks=pytest.mark.slow),
    ],
)
def test_tiles_are_exact(architecture, names, size):
    net = network(architecture, *names)
    assert can_be_tiled(architecture, names)
    image = noise(*size)
    features = features_of(net, image, names)
    wanted = features[names[0]] * 0.5 + 0.1
    losses = [
        EnergyLoss("energy", names[-1], -1.0, border=2),
        ChannelLoss("channels", names[-1], -0.5, channels=(1, 5), border=1),
        ContentLoss(names[0], wanted, 1.0),
    ]
    for each in (Objective(losses), Objective(losses[:2])):
        whole = TiledEngine(net, each, tile_px=None)(image)
        tiled = TiledEngine(net, each, tile_px=64)(image)
        assert 64 + 2 * halo_px(architecture, names) < max(size)
        torch.testing.assert_close(tiled.total, whole.total)
        torch.testing.assert_close(tiled.gradient, whole.gradient)


def test_a_network_that_looks_at_the_whole_picture_has_no_tiles():
    need = MemoryNeed("mobilenet_v3_small", ("features.6",), "fp32", "ascent")
    assert not can_be_tiled("mobilenet_v3_small", ("features.6",))
    assert need.choose((1024, 1024), 8e9) == MemoryPlan()
    with pytest.raises(SettingError, match="no tiles: each position of a mobilenet_v3_small sees"):
        need.choose((8000, 8000), 1.5e9)


def test_names():
    names = layer_names("googlenet")
    assert {"conv1", "inception_4c", "inception_4c.branch2", "inception_5b"} < set(names)
    assert find_layer("googlenet", "inception4c") == find_layer("googlenet", "inception_4c")
    assert [each.name for each in listed_layers("resnet18")][:4] == [
        "conv1",
        "layer1.0",
        "layer1.1",
        "layer1",
    ]
    with pytest.raises(UnknownNameError, match="inception_4c"):
        find_layer("googlenet", "inception_4x")


def test_pooling_is_that_of_the_training():
    with pytest.raises(SettingError, match="--pooling avg is for VGG-16 and VGG-19"):
        ModuleNetwork(weights_of("googlenet"), ("conv1",), pooling="avg")


def test_half_precision_keeps_the_first_convolution_exact():
    image = noise(96, 96).float()
    exact = network("googlenet", "conv1.conv", "inception_4c", precision="fp32")(image)
    half = network("googlenet", "conv1.conv", "inception_4c", precision="bf16")(image)
    torch.testing.assert_close(half["conv1.conv"], exact["conv1.conv"].bfloat16())
    error = (half["inception_4c"] - exact["inception_4c"]).norm() / exact["inception_4c"].norm()
    assert float(error) < 0.05


# To follow all of them takes a quarter of a minute.
SOME = ("densenet121", "mobilenet_v3_small", "alexnet", "vgg11_bn", "mnasnet0_5", "squeezenet1_1")


@pytest.mark.parametrize(
    "architecture",
    [
        each if each in SOME else pytest.param(each, marks=pytest.mark.slow)
        for each in ARCHITECTURES
    ],
)
def test_every_network_has_layers_to_suggest(architecture):
    shown = [each.name for each in listed_layers(architecture)]
    for name in (usual_layer(architecture), deepest_layer(architecture), *scales(architecture)):
        assert name in shown
        # Not the container of the whole network.
        assert name not in ("features", "layers")
    strides = [find_layer(architecture, name).stride for name in scales(architecture)]
    assert strides == sorted(set(strides))
    # A file may have any number of classes.
    assert all(find_layer(architecture, n).channels != 1000 for n in layer_names(architecture))


def test_layers_of_stride_1_and_parts_that_run_twice():
    assert [find_layer("vgg11_bn", f"features.{n}").stride for n in range(4)] == [1, 1, 1, 2]
    state = {
        name: torch.zeros(()).expand(each.shape)
        for name, each in build("vgg11_bn", 10).state_dict().items()
    }
    stem = torch.nn.Sequential(
        torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.BatchNorm2d(64), torch.nn.ReLU()
    ).eval()
    state |= {f"features.{name}": each.detach() for name, each in stem.state_dict().items()}
    plain = Preprocessing("RGB", 1.0, (0.0, 0.0, 0.0))
    image = noise(32, 32).float()
    network = ModuleNetwork(Weights("test", "vgg11_bn", "0", plain, state, 10), ("features.2",))
    with torch.no_grad():
        torch.testing.assert_close(network(image)["features.2"], stem(image))
    with pytest.raises(UnknownNameError, match=r"runs more than once; .* it, layer1\.0;"):
        find_layer("resnet18", "layer1.0.relu")
