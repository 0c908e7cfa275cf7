from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from stylize.errors import UnknownNameError, WeightsError
from stylize.networks import models as store
from stylize.networks.weight_files import (
    CAFFE,
    TORCHVISION,
    Preprocessing,
    convolution_shapes,
    decode,
    pick_convolutions,
)

ROOT = Path(__file__).parents[2]
HERE = Path("some.safetensors")


def outputs_of_the_tool() -> dict[str, str]:
    tree = ast.parse((ROOT / "tools" / "build_weights.py").read_text("utf-8"))
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "OUTPUTS"
    )
    return ast.literal_eval(value)


def write_record(folder: Path, name: str, **changes: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    record = {"architecture": "vgg16", "sha256": "0" * 64, "source": "somewhere"} | changes
    (folder / f"{name}.json").write_text(json.dumps(record), "utf-8")


def test_packaged_models_are_listed_and_intact():
    models = store.list_models()
    assert [(m.name, m.architecture, m.origin) for m in models] == [
        ("vgg16", "vgg16", "package"),
        ("vgg19", "vgg19", "package"),
    ]
    for model in models:
        store.verify(model)


def test_expected_digests_are_those_of_the_tool_that_builds():
    packaged = {f"{name}.safetensors": sha256 for name, (sha256, _) in store.PACKAGED.items()}
    assert packaged == outputs_of_the_tool()


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_packaged_weights(name):
    start = time.perf_counter()
    weights = store.load_weights(name)
    assert time.perf_counter() - start < 5
    assert {key: tuple(t.shape) for key, t in weights.tensors.items()} == convolution_shapes(name)
    assert all(t.dtype == torch.float32 for t in weights.tensors.values())
    assert all(t.is_contiguous() and t.isfinite().all() for t in weights.tensors.values())
    assert (weights.architecture, weights.preprocessing) == (name, CAFFE)
    assert weights.sha256 == store.PACKAGED[name][0]
    if name == "vgg16":  # as printed of the original model
        first = weights.tensors["conv1_1.weight"].flatten()[:3]
        torch.testing.assert_close(first, torch.tensor([0.42947057, 0.373467, -0.06136011]))


def test_unknown_model_gets_suggestions():
    with pytest.raises(UnknownNameError, match=r"unknown network 'vgg-19'.*did you mean vgg19"):
        store.find_model("vgg-19")


def test_downloadable_model_gets_the_command():
    with pytest.raises(WeightsError, match=r"not installed.*stylize models add vgg16-imagenet"):
        store.load_weights("vgg16-imagenet")


def test_names_are_no_paths(models_folder):
    write_record(models_folder.parent, "outside")
    models_folder.mkdir()
    with pytest.raises(UnknownNameError):
        store.find_model("../outside")


@pytest.mark.parametrize("position", [9, 1_000_000, -1])
def test_a_changed_byte_is_refused(tmp_path, position):
    model = store.find_model("vgg19")
    content = bytearray(model.path.read_bytes())
    content[position] ^= 1
    copy = tmp_path / "vgg19.safetensors"
    copy.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged") as caught:
        store.verify(replace(model, path=copy))
    message = str(caught.value)
    assert str(copy) in message and model.sha256 in message and "reinstall" in message
    assert "found" in message


def test_a_changed_file_is_not_loaded(models_folder):
    write_record(models_folder, "mine")
    (models_folder / "mine.safetensors").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="damaged: expected SHA-256 0000"):
        store.load_weights("mine")


def test_a_missing_file(models_folder):
    write_record(models_folder, "mine")
    with pytest.raises(WeightsError, match=r"cannot read .*mine\.safetensors"):
        store.load_weights("mine")
    with pytest.raises(WeightsError, match="add it again: stylize models add somewhere"):
        store.verify(store.find_model("mine"))


def test_a_model_of_the_user_cannot_stand_in_for_a_packaged_one(models_folder):
    write_record(models_folder, "vgg19")
    assert [model.origin for model in store.list_models()] == ["package", "package"]


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"architecture": "lenet", "sha256": "", "source": ""}']
)
def test_a_damaged_record(models_folder, text):
    models_folder.mkdir(parents=True)
    (models_folder / "mine.json").write_text(text)
    with pytest.raises(WeightsError, match=r"mine\.json is not the record of a model"):
        store.find_model("mine")
    assert store.load_weights("vgg16").name == "vgg16"


def test_a_record_cannot_lead_out_of_the_folder(models_folder):
    write_record(models_folder, "mine", classifier={"file": "../../secret", "sha256": "0"})
    assert store.find_model("mine").classifier.path == models_folder / "secret"


def test_palettes_are_looked_up():
    palette = torch.arange(256.0) / 8
    index = torch.tensor([[0, 255], [8, 1]], dtype=torch.uint8)
    content = save({"conv1_1.index": index, "conv1_1.palette": palette})
    tensors, described = decode(content, HERE)
    assert described == {}
    assert tensors["conv1_1.weight"].tolist() == [[0, 31.875], [1, 0.125]]


@pytest.mark.parametrize(
    "tensors",
    [
        {"conv1_1.index": torch.zeros(2, dtype=torch.uint8)},
        {"conv1_1.index": torch.zeros(2, dtype=torch.uint8), "conv1_1.palette": torch.zeros(9)},
        {"conv1_1.index": torch.zeros(2), "conv1_1.palette": torch.zeros(256)},
    ],
)
def test_palettes_that_do_not_fit(tensors):
    with pytest.raises(WeightsError, match=r"conv1_1\.index"):
        decode(save(tensors), HERE)


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, save({"a": torch.zeros(4)})[:-1]])
def test_no_safetensors(content):
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        decode(content, HERE)


def test_half_precision_becomes_single(plain_states):
    halves = {name: tensor.half() for name, tensor in plain_states["vgg16"].items()}
    vgg = pick_convolutions(halves, "vgg16", HERE)
    assert vgg["conv1_1.weight"].dtype == torch.float32


@pytest.mark.parametrize("preprocessing", [CAFFE, TORCHVISION])
def test_preprocessing_round_trip(preprocessing):
    written = json.loads(json.dumps(asdict(preprocessing)))
    assert Preprocessing.from_json(written) == preprocessing


@pytest.mark.parametrize(
    "change",
    [{"channels": "GRB"}, {"scale": 0}, {"mean": [1, 2]}, {"std": [1, 0, 1]}, {"scale": "nan"}],
)
def test_preprocessing_that_makes_no_sense(change):
    with pytest.raises(ValueError):
        Preprocessing.from_json(asdict(CAFFE) | change)


def test_importing_does_not_import_torch():
    program = (
        "import sys, stylize.networks.import_models, stylize.cli.models as m\n"
        "m.store.list_models(); m.store.verify(m.store.find_model('vgg19'))\n"
        "sys.exit('torch' in sys.modules or 'tqdm' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
