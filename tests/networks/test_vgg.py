"""The network on the real weights and small pictures."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylize.errors import UnknownNameError
from stylize.networks.models import Weights, load_weights
from stylize.networks.vgg import VGG, fold_preprocessing
from stylize.networks.weight_files import TORCHVISION
from tests.conftest import cat, photo


def energy_gradient(vgg: VGG, layer: str, image: Tensor) -> Tensor:
    leaf = image.clone().requires_grad_()
    features = vgg(leaf)[layer]
    (gradient,) = torch.autograd.grad(features, leaf, features.detach())
    return gradient


def cosine(one: Tensor, two: Tensor) -> float:
    return float(F.cosine_similarity(one.double().flatten(), two.double().flatten(), dim=0))


def test_layers_have_their_shapes_and_only_those_asked_for(vgg16: Weights) -> None:
    found = VGG(vgg16, ("relu1_1", "conv3_2", "relu5_1"))(photo(48, 80))
    shapes = {name: tuple(features.shape) for name, features in found.items()}
    assert shapes == {
        "relu1_1": (1, 64, 48, 80),
        "conv3_2": (1, 256, 12, 20),
        "relu5_1": (1, 512, 3, 5),
    }


def test_relu_is_the_rectified_convolution(vgg16: Weights) -> None:
    found = VGG(vgg16, ("conv2_1", "relu2_1"))(photo())
    assert float(found["conv2_1"].min()) < 0
    assert torch.equal(found["relu2_1"], found["conv2_1"].clamp_min(0))


def test_nothing_deeper_than_asked_is_needed(vgg16: Weights) -> None:
    shallow = {name: t for name, t in vgg16.tensors.items() if name.startswith(("conv1", "conv2"))}
    found = VGG(replace(vgg16, tensors=shallow), ("relu2_2",))(photo())
    assert found["relu2_2"].shape[1] == 128


def test_weights_get_no_gradient(vgg16: Weights) -> None:
    energy_gradient(VGG(vgg16, ("relu3_1",)), "relu3_1", photo())
    assert all(tensor.grad is None for tensor in vgg16.tensors.values())


def test_an_unknown_layer_names_its_neighbours(vgg16: Weights) -> None:
    with pytest.raises(UnknownNameError, match="relu4_2"):
        VGG(vgg16, ("relu4_22",))


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_first_layer_sees_what_the_network_wants(name: str) -> None:
    """Against the preprocessing written out: BGR, 0 to 255, minus the mean."""
    weights = load_weights(name)
    image = photo(20, 24)
    prepared = image.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    expected = F.conv2d(
        F.pad(prepared, (1, 1, 1, 1), mode="replicate"),
        weights.tensors["conv1_1.weight"],
        weights.tensors["conv1_1.bias"],
    )
    found = VGG(weights, ("conv1_1",))(image)["conv1_1"]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-2)


def test_torchvision_preprocessing_folds_too(vgg16: Weights) -> None:
    weights = replace(vgg16, preprocessing=TORCHVISION)
    weight, bias = weights.tensors["conv1_1.weight"], weights.tensors["conv1_1.bias"]
    mean = torch.tensor(TORCHVISION.mean).view(1, 3, 1, 1)
    std = torch.tensor(TORCHVISION.std).view(1, 3, 1, 1)
    image = photo(8, 8)
    expected = F.conv2d((image - mean) / std, weight, bias)
    folded_weight, folded_bias = fold_preprocessing(weights, weight, bias)
    found = F.conv2d(image.double(), folded_weight, folded_bias)
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-5)


def test_a_plain_surface_has_no_frame(vgg16: Weights) -> None:
    features = VGG(vgg16, ("conv1_1",))(torch.full((1, 3, 16, 16), 0.4))["conv1_1"]
    torch.testing.assert_close(features, features[..., :1, :1].expand_as(features))


def test_bf16_gives_the_gradient_of_fp32(vgg16: Weights) -> None:
    found = {
        precision: energy_gradient(
            VGG(vgg16, ("relu5_1",), precision=precision), "relu5_1", cat(64)
        )
        for precision in ("fp32", "bf16")
    }
    assert cosine(found["fp32"], found["bf16"]) > 0.99
    assert found["bf16"].dtype is torch.float32


def test_bf16_rounds_the_first_layer_once(vgg16: Weights) -> None:
    plain, rounded = (
        VGG(vgg16, ("conv1_1",), precision=precision)(photo())["conv1_1"]
        for precision in ("fp32", "bf16")
    )
    assert rounded.dtype is torch.bfloat16
    assert (rounded != plain.bfloat16()).float().mean() < 0.05
    of_bytes = VGG(vgg16, ("conv1_1",))(photo().bfloat16().float())["conv1_1"]
    assert (of_bytes.bfloat16() != plain.bfloat16()).float().mean() > 0.5


def test_fp64_is_fp64(vgg16: Weights) -> None:
    found = VGG(vgg16, ("relu1_2",), precision="fp64")(photo(16, 16).double())
    assert found["relu1_2"].dtype is torch.float64


def test_average_pooling_differs_and_keeps_the_scale(vgg16: Weights) -> None:
    layers = ("relu2_1", "relu3_1", "relu4_1", "relu5_1")
    maximum = VGG(vgg16, layers)(cat())
    average = VGG(vgg16, layers, pooling="avg")(cat())
    for name in layers:
        ratio = float(average[name].square().mean().sqrt() / maximum[name].square().mean().sqrt())
        assert 0.8 < ratio < 1.25, name
        assert not torch.allclose(average[name], maximum[name])


def test_vgg19_has_its_own_layers() -> None:
    found = VGG(load_weights("vgg19"), ("relu3_4",))(photo(16, 16))
    assert found["relu3_4"].shape == (1, 256, 4, 4)
