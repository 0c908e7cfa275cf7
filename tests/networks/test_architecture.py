from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import avg_pool2d, conv2d

from stylize.errors import UnknownNameError
from stylize.networks.architecture import convolutions, find_layer, layer_names, rectified, up_to
from stylize.networks.weight_files import convolution_shapes


def seen_px(architecture: str, name: str) -> int:
    """Side of the patch with a gradient at one position of a net of ones, one channel wide."""
    image = torch.ones(1, 1, 512, 512, dtype=torch.float64, requires_grad=True)
    kernel = torch.ones(1, 1, 3, 3, dtype=torch.float64) / 9
    features = image
    for layer in up_to(architecture, (name,)):
        if layer.pooled:
            features = avg_pool2d(features, 2)
        features = conv2d(features, kernel, padding=1)
    middle = features.shape[-1] // 2
    (gradient,) = torch.autograd.grad(features[0, 0, middle, middle], image)
    return int(gradient[0, 0].any(dim=0).sum())


def test_names_of_vgg16():
    names = [layer.name for layer in convolutions("vgg16")]
    assert names == [
        *("conv1_1", "conv1_2"),
        *("conv2_1", "conv2_2"),
        *("conv3_1", "conv3_2", "conv3_3"),
        *("conv4_1", "conv4_2", "conv4_3"),
        *("conv5_1", "conv5_2", "conv5_3"),
    ]
    assert layer_names("vgg16")[:4] == ("conv1_1", "relu1_1", "conv1_2", "relu1_2")


def test_vgg19_has_a_fourth_convolution_in_the_last_three_blocks():
    only = {layer.name for layer in convolutions("vgg19")} - {
        layer.name for layer in convolutions("vgg16")
    }
    assert only == {"conv3_4", "conv4_4", "conv5_4"}


# By hand for VGG-16, (3, 5), +1, (10, 14), +2, (24, 32, 40), +4, (60, 76, 92), +8, (132, 164, 196).
@pytest.mark.parametrize(
    ("architecture", "name", "field_px", "stride"),
    [
        ("vgg16", "relu1_1", 3, 1),
        ("vgg16", "relu1_2", 5, 1),
        ("vgg16", "relu2_1", 10, 2),
        ("vgg16", "relu3_3", 40, 4),
        ("vgg16", "relu4_3", 92, 8),
        ("vgg16", "relu5_3", 196, 16),
        ("vgg19", "relu4_1", 68, 8),
        ("vgg19", "relu5_1", 156, 16),
    ],
)
def test_receptive_field_is_that_of_the_gradient(architecture, name, field_px, stride):
    layer = find_layer(architecture, name)
    assert (layer.receptive_field_px, layer.stride) == (field_px, stride)
    assert seen_px(architecture, name) == field_px


# Parameters of the convolutions as Keras prints them without the top.
@pytest.mark.parametrize(("architecture", "count"), [("vgg16", 14714688), ("vgg19", 20024384)])
def test_parameters(architecture, count):
    assert sum(math.prod(shape) for shape in convolution_shapes(architecture).values()) == count


# The papers' 15.5 and 19.6 G at 224 × 224 have 0.124 G of fully connected layers in them.
@pytest.mark.parametrize(("architecture", "macs"), [("vgg16", 15346630656), ("vgg19", 19508428800)])
def test_macs(architecture, macs):
    per_px = sum(layer.macs_per_px for layer in convolutions(architecture))
    assert per_px * 224 * 224 == macs


def test_a_layer_is_found_before_and_after_its_relu():
    assert find_layer("vgg19", "relu4_2") is find_layer("vgg19", "conv4_2")
    assert rectified("conv4_2") == "relu4_2"


def test_up_to_ends_at_the_deepest():
    assert [layer.name for layer in up_to("vgg16", ("relu2_1", "relu1_1"))] == [
        "conv1_1",
        "conv1_2",
        "conv2_1",
    ]


@pytest.mark.parametrize("name", ["relu4_4", "relu6_1", "rel4_3", "4_3", ""])
def test_unknown_layers(name):
    with pytest.raises(UnknownNameError, match="unknown layer of vgg16"):
        find_layer("vgg16", name)


def test_suggestions():
    with pytest.raises(UnknownNameError, match=r"did you mean .*relu4_3") as caught:
        find_layer("vgg16", "relu_4_3")
    assert caught.value.exit_code == 2
    with pytest.raises(UnknownNameError, match="did you mean vgg1"):
        convolutions("vgg-16")
