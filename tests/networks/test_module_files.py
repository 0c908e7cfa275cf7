"""Files of torchvision's classifiers: recognised, checked, stored, downloaded."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from stylize.errors import UnknownNameError, UsageError, WeightsError
from stylize.networks import import_models as additions
from stylize.networks import models as store
from stylize.networks.classifier import load_head
from stylize.networks.module import ModuleNetwork
from stylize.networks.weight_files import CAFFE, INCEPTION, TORCHVISION
from tests.networks.conftest import he_module
from tests.networks.test_import_models import Trap, serving


@cache
def state_of(architecture: str) -> dict[str, Tensor]:
    return he_module(architecture).state_dict()


@pytest.fixture
def save(tmp_path: Path):
    def write(state: object, name: str = "My Network.pth") -> Path:
        torch.save(state, tmp_path / name)
        return tmp_path / name

    return write


def test_add_and_load(save):
    state = state_of("googlenet")
    trained = {"aux1.fc1.weight": torch.zeros(3, 3), "aux2.conv.bn.running_mean": torch.zeros(3)}
    model = additions.add_file(save(state | trained))
    assert (model.name, model.architecture, model.origin) == ("my-network", "googlenet", "user")
    store.verify(model)
    weights = store.load_weights("my-network")
    assert (weights.classes, weights.preprocessing) == (10, INCEPTION)
    assert not any("aux" in name or "batches" in name for name in weights.tensors)
    for name in ("conv1.conv.weight", "inception4c.branch2.1.bn.running_var", "fc.bias"):
        assert torch.equal(weights.tensors[name], state[name])


@pytest.mark.parametrize("prefix", ["module."])
def test_checkpoints_of_training_programs(save, prefix):
    state = {f"{prefix}{name}": each for name, each in state_of("resnet18").items()}
    path = save({"epoch": 3, "state_dict": state}, "resnet18_places365.pth.tar")
    model = additions.add_file(path, preprocessing="auto")
    assert (model.name, model.architecture) == ("resnet18_places365", "resnet18")
    assert store.load_weights(model.name).preprocessing == TORCHVISION


def test_the_preprocessing_can_be_named(save):
    path = save(state_of("resnet18"))
    for name, wanted in (("caffe", CAFFE), ("inception", INCEPTION)):
        additions.add_file(path, name=name, preprocessing=name)
        assert store.load_weights(name).preprocessing == wanted


@pytest.mark.parametrize("architecture", ["squeezenet1_1", "alexnet"])
def test_networks_that_begin_like_a_vgg(save, architecture):
    state = he_module(architecture, classes=4).state_dict()
    small = {name: each.half() for name, each in state.items()}
    assert additions.add_file(save(small)).architecture == architecture


@pytest.mark.parametrize(
    ("changes", "architecture", "message"),
    [
        ({}, "resnet34", r"not a resnet34 .* expected layer1\.2\.conv1\.weight \(64, 64, 3, 3\)"),
        ({}, "vgg16", "not a vgg16|is not a VGG|expected conv1_1.weight"),
        (
            {"layer2.0.conv1.weight": torch.zeros(128, 64, 1, 1)},
            "resnet18",
            r"expected layer2\.0\.conv1\.weight \(128, 64, 3, 3\), found \(128, 64, 1, 1\)",
        ),
        (
            {"more.weight": torch.zeros(3)},
            "resnet18",
            r"no tensor of this name, found more\.weight",
        ),
        ({"fc.weight": torch.full((10, 512), torch.nan)}, "resnet18", r"fc\.weight .* not finite"),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7).int()}, "resnet18", r"of torch\.int32"),
        pytest.param(
            {"conv1.weight": torch.zeros(8, 3, 7, 7)},
            None,
            "none of torchvision's classifiers",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_wrong_files(save, changes, architecture, message):
    path = save(state_of("resnet18") | changes)
    with pytest.raises(WeightsError, match=message) as caught:
        additions.add_file(path, architecture=architecture)
    assert "\n" not in str(caught.value)
    assert "my-network" not in store.model_names()


def test_safetensors_with_counters_of_batches(tmp_path):
    state = state_of("resnet18")
    assert state["bn1.num_batches_tracked"].dtype == torch.int64
    save_file(state, tmp_path / "r.safetensors")
    additions.add_file(tmp_path / "r.safetensors")
    assert torch.equal(store.load_weights("r").tensors["fc.bias"], state["fc.bias"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"fc.weight": torch.zeros(1).expand(700_000, 512)},
            r"too large for a network: 1\.5 GB as float32, the limit is 1\.2 GB",
        ),
        (
            {"fc.bias": torch.full((10,), 1e300, dtype=torch.float64)},
            r"fc\.bias .* not finite in single",
        ),
        ({"bn1.running_var": -torch.ones(64)}, r"bn1\.running_var holds negative variances"),
        (
            {"fc.weight": torch.zeros(0, 512), "fc.bias": torch.zeros(0)},
            r"a resnet18 without classes",
        ),
        ({"more.weight": torch.zeros(3)}, r"it is like resnet18, but .* found more\.weight"),
    ],
)
def test_unusable_numbers(save, changes, message):
    with pytest.raises(WeightsError, match=message):
        additions.add_file(save(state_of("resnet18") | changes))


def test_a_hostile_pickle_is_not_run(save, tmp_path):
    path = save(state_of("resnet18") | {"fc.bias": Trap(tmp_path / "trapped")})
    with pytest.raises(WeightsError, match="contains Python objects other than tensors"):
        additions.add_file(path, architecture="resnet18")
    assert not (tmp_path / "trapped").exists()


def test_a_near_miss():
    with pytest.raises(UnknownNameError, match="googlenet"):
        additions.add_file("net.pth", architecture="googelnet")
    with pytest.raises(WeightsError, match=r"not installed .*stylize models add resnet50, or"):
        store.find_model("resnet50")


def test_names_of_classes(save, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"/a/air_field{n}/out {n}\n" for n in range(9)) + "cat\n")
    additions.add_file(save(state_of("resnet18")), name="mine", classes=names)
    head = load_head("mine")
    assert head.classes == 10
    assert (head.name_of(3), head.name_of(9)) == ("air field3 out", "cat")
    assert (head.index_of("Cat"), head.index_of("4")) == (9, 4)
    with pytest.raises(UnknownNameError, match="class 'dog'"):
        head.index_of("dog")
    record = store.record_path("mine")
    damaged = json.loads(record.read_text()) | {"class_names": ["cat"]}
    record.write_text(json.dumps(damaged))
    with pytest.raises(WeightsError, match=r"'mine' names 1 classes, and the network has 10 .*s F"):
        load_head("mine")
    with pytest.raises(UsageError, match=r"cannot read .*missing\.txt"):
        additions.add_file(
            save(state_of("resnet18")), name="other", classes=tmp_path / "missing.txt"
        )
    names.write_text("one\ntwo\n")
    with pytest.raises(UsageError, match="2 names, and the network has 10 classes"):
        additions.add_file(save(state_of("resnet18")), name="other", classes=names)


@pytest.mark.parametrize(
    "architecture", [pytest.param("googlenet", marks=pytest.mark.slow), "resnet18"]
)
def test_scores_are_those_of_torchvision(save, architecture):
    additions.add_file(save(state_of(architecture)), name="mine", preprocessing="torchvision")
    module, kept = he_module(architecture), []
    last = {"googlenet": "inception5b", "resnet18": "layer4"}[architecture]
    module.get_submodule(last).register_forward_hook(lambda m, i, output: kept.append(output))
    with torch.no_grad():
        scores = module(torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1)))
        torch.testing.assert_close(load_head("mine")(kept[0]), scores, rtol=1e-4, atol=1e-4)


def test_download(save, monkeypatch):
    path = save(state_of("resnet18"))
    body = path.read_bytes()
    good = f"resnet18-{hashlib.sha256(body).hexdigest()[:8]}.pth"
    monkeypatch.setattr(additions, "address", lambda name: f"https://nowhere.invalid/{good}")
    with serving(body, missing_bytes=9) as (url, _), pytest.raises(WeightsError, match="broke off"):
        additions.download("resnet18", base_url=url)
    with serving(b"x" + body) as (url, _), pytest.raises(WeightsError, match="not what it should"):
        additions.download("resnet18", base_url=url)
    with serving(body) as (url, asked):
        model = additions.download("resnet18", base_url=url)
    assert asked == [f"/models/{good}"]
    assert (model.name, model.architecture) == ("resnet18", "resnet18")
    assert store.load_weights("resnet18").preprocessing == TORCHVISION
    with serving(body) as (url, asked):
        assert additions.download("resnet18", base_url=url) == model
    assert asked == []
    additions.add_file(path, name="resnet50")
    with pytest.raises(WeightsError, match=r"'resnet50' already exists, from another source"):
        additions.download("resnet50", base_url="https://nowhere.invalid")
    assert store.find_model("resnet50").architecture == "resnet18"


def caffe_state() -> dict[str, Tensor]:
    """As converters of bvlc_googlenet.caffemodel write it."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"conv1_7x7_s2": (64, 3, 7, 7), "conv2_3x3_reduce": (64, 64, 1, 1)}
    shapes["conv2_3x3"] = (192, 64, 3, 3)
    channels_in = 192
    for block, (one, three_in, three, five_in, five, pool) in CAFFE_BLOCKS.items():
        for name, channels, before, side in (
            ("1x1", one, channels_in, 1),
            ("3x3_reduce", three_in, channels_in, 1),
            ("3x3", three, three_in, 3),
            ("5x5_reduce", five_in, channels_in, 1),
            ("5x5", five, five_in, 5),
            ("pool_proj", pool, channels_in, 1),
        ):
            shapes[f"inception_{block}_{name}"] = (channels, before, side, side)
        channels_in = one + three + five + pool
    shapes["loss3_classifier"] = (7, 1024)
    state = {}
    for name, shape in shapes.items():
        spread = (2 / torch.Size(shape[1:]).numel()) ** 0.5
        state[f"{name}.weight"] = spread * torch.randn(shape, generator=generator)
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=generator)
    return state


CAFFE_BLOCKS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


@pytest.mark.parametrize("architecture", [pytest.param(None, marks=pytest.mark.slow), "googlenet"])
def test_files_of_caffe(save, architecture):
    state = caffe_state()
    path = save(state | {"loss1_conv.weight": torch.zeros(3)}, "bvlc_googlenet.pth")
    model = additions.add_file(path, architecture=architecture)
    weights = store.load_weights(model.name)
    assert (model.architecture, weights.classes) == ("googlenet_caffe", 7)
    assert weights.preprocessing == CAFFE
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(2))
    found = ModuleNetwork(weights, ("conv3", "inception_3a"))(image)

    def convolved(x: Tensor, name: str, **more: int) -> Tensor:
        return F.relu(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **more))

    def normed(x: Tensor) -> Tensor:
        # The sum over five channels in a loop, as the paper of AlexNet defines it.
        squares = F.pad(x.square(), (0, 0, 0, 0, 2, 2))
        total = sum(squares[:, shift : shift + x.shape[1]] for shift in range(5))
        return x / (1 + 1e-4 / 5 * total) ** 0.75

    pixels = image.flip(1) * 255 - torch.tensor(CAFFE.mean).view(1, 3, 1, 1)
    x = convolved(pixels, "conv1_7x7_s2", stride=2, padding=3)
    x = normed(F.max_pool2d(x, 3, 2, ceil_mode=True))
    x = convolved(convolved(x, "conv2_3x3_reduce"), "conv2_3x3", padding=1)
    torch.testing.assert_close(found["conv3"], x, rtol=1e-3, atol=1e-2)
    x = F.max_pool2d(normed(x), 3, 2, ceil_mode=True)
    branches = [
        convolved(x, "inception_3a_1x1"),
        convolved(convolved(x, "inception_3a_3x3_reduce"), "inception_3a_3x3", padding=1),
        convolved(convolved(x, "inception_3a_5x5_reduce"), "inception_3a_5x5", padding=2),
        convolved(F.max_pool2d(x, 3, 1, 1), "inception_3a_pool_proj"),
    ]
    torch.testing.assert_close(found["inception_3a"], torch.cat(branches, 1), rtol=1e-3, atol=1e-2)
    assert load_head(model.name)(torch.ones(1, 1024, 2, 2)).shape == (1, 7)


def incomplete(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: each for name, each in state.items() if "4c_5x5." not in name}


@pytest.mark.parametrize("architecture", [None, "googlenet"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (incomplete, r"expected inception4c\.branch3\.1\.conv\.weight .* found nothing"),
        (lambda state: state | {"loss3_classifier.weight": torch.zeros(1, 1, 0, 0)}, r"fc\.weight"),
        (lambda state: state | {"prob_fc.bias": torch.zeros(7)}, r"found prob_fc\.bias"),
    ],
)
def test_damaged_files_of_caffe(save, architecture, change, message):
    with pytest.raises(WeightsError, match=f"not a googlenet_caffe .*{message}") as caught:
        additions.add_file(save(change(caffe_state())), architecture=architecture)
    assert "--architecture NAME" not in str(caught.value)


def test_addresses():
    base = "https://download.pytorch.org/models/"
    assert additions.address("googlenet") == base + "googlenet-1378be20.pth"
    assert additions.address("inception_v3") == base + "inception_v3_google-0cc3c7bd.pth"
    assert additions.address("resnet50") == base + "resnet50-0676ba61.pth"
