from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
import torch
from click.testing import CliRunner

from stylize.cli.models import models
from stylize.errors import SettingError, UnknownNameError, UsageError, WeightsError
from stylize.networks import import_models as additions
from stylize.networks import models as store
from stylize.networks.weight_files import convolution_shapes
from tests.cli.conftest import HELP


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLIZE_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(models, arguments, **HELP)


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "network.pth"
    shapes = convolution_shapes("vgg16")
    torch.save({name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}, path)
    return path


def test_list(run):
    result = run("list")
    assert result.exit_code == 0
    assert [line.split()[:3] for line in result.stdout.splitlines()] == [
        ["name", "architecture", "origin"],
        ["vgg16", "vgg16", "package"],
        ["vgg19", "vgg19", "package"],
    ]
    assert result.stderr == ""


def test_list_as_json(run):
    result = run("list", "--json")
    found = json.loads(result.stdout)
    assert [model["name"] for model in found] == ["vgg16", "vgg19"]
    assert found[0]["sha256"] == store.find_model("vgg16").sha256
    assert result.stderr == ""


def test_verify(run):
    result = run("verify")
    assert result.exit_code == 0
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["vgg16", "vgg19"]
    assert run("verify", "vgg19").stdout.startswith("vgg19: intact, SHA-256 58dc01f9")


def test_verify_goes_on_after_a_damaged_model(run, network):
    for name in ("first", "second"):
        path = additions.add_file(network, name=name).path
        path.write_bytes(b"broken")
    result = run("verify")
    assert isinstance(result.exception, WeightsError)
    assert "second.safetensors is damaged" in str(result.exception)
    assert "first.safetensors is damaged" in result.stderr
    assert "vgg19: intact" in result.stdout
    assert result.stdout.endswith("first: damaged\nsecond: damaged\n")


def test_path(run):
    assert run("path", "vgg16").stdout == f"{store.find_model('vgg16').path}\n"


@pytest.mark.parametrize("command", ["path", "verify"])
def test_unknown_name(run, command):
    result = run(command, "vgg18")
    assert isinstance(result.exception, UnknownNameError)
    assert "did you mean vgg1" in str(result.exception)


def test_add_a_file(run, network):
    result = run("add", str(network), "--name", "mine", "--preprocessing", "torchvision")
    assert result.exit_code == 0, result.exception
    assert result.stdout == f"{store.find_model('mine').path}\n"
    assert result.stderr == "added mine (vgg16)\n"
    assert store.load_weights("mine").preprocessing.channels == "RGB"
    assert "mine" in run("list").stdout


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("vgg16-imagnet", "did you mean vgg16-imagenet"),
        ("googlnet", "did you mean googlenet"),
        ("gone.pth", "give a file of weights (.safetensors, .pth, .pt), or one of vgg16-imagenet"),
        ("folder/googlenet", "give a file of weights"),
    ],
)
def test_add_neither_a_name_nor_a_file(run, source, hint):
    found = run("add", source).exception
    assert isinstance(found, UsageError)
    assert str(found).startswith(
        f"{source}: there is no such file, and no such network to download"
    )
    assert hint in str(found)


def test_remove(run, network):
    run("add", str(network), "--name", "mine")
    folder = store.find_model("mine").path.parent
    (folder / "mine.safetensors").write_bytes(b"damaged")
    result = run("remove", "mine")
    assert (result.exit_code, result.stderr) == (0, "removed mine\n")
    assert not list(folder.glob("mine*"))
    assert isinstance(run("remove", "mine").exception, UnknownNameError)
    assert isinstance(run("remove", "vgg16").exception, SettingError)
    assert store.find_model("vgg16").path.exists()


def test_download(run, monkeypatch):
    def download(name, *, progress):
        progress(10, 20)
        progress(20, 20)
        return store.find_model("vgg16")

    monkeypatch.setattr(additions, "download", download)
    result = run("add", "vgg16-imagenet")
    assert result.exit_code == 0, result.exception
    assert result.stdout.endswith("vgg16.safetensors\n")
    assert "added vgg16" in result.stderr


@pytest.mark.parametrize("in_the_way", ["file", "folder"])
def test_a_download_is_not_hidden_by_its_name(run, tmp_path, monkeypatch, in_the_way):
    """Nor does it get the advice about files, whose options downloads refuse."""

    def download(name, *, progress):
        return dataclasses.replace(store.find_model("vgg16"), name=name, architecture=name)

    monkeypatch.setattr(additions, "download", download)
    monkeypatch.chdir(tmp_path)
    if in_the_way == "folder":
        (tmp_path / "googlenet").mkdir()
    else:
        (tmp_path / "googlenet").write_text("notes")
    result = run("add", "googlenet")
    assert result.exit_code == 0, result.exception
    assert result.stderr.endswith("added googlenet (googlenet)\n")


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("verify",)])
def test_one_damaged_record_hides_no_other_model(run, network, words):
    for name in ("aaa", "mine"):
        run("add", str(network), "--name", name)
    record = store.record_path("aaa")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"class_names": None}))
    result = run(*words)
    assert all(name in result.stdout for name in ("vgg16", "vgg19", "mine"))
    assert isinstance(result.exception, WeightsError)
    assert "aaa.json is not the record of a model" in str(result.exception)


def test_the_remedy_is_a_command_that_can_be_copied(run, network):
    spaced = network.rename(network.with_name("my network.pth"))
    run("add", str(spaced), "--name", "mine", "--preprocessing", "torchvision")
    store.find_model("mine").path.write_bytes(b"damaged")
    assert str(run("verify", "mine").exception).endswith(
        "(add it again: stylize models add 'my network.pth' --name mine --architecture vgg16"
        " --preprocessing torchvision)"
    )


def test_what_is_already_installed(run, network, monkeypatch):
    run("add", str(network), "--name", "vgg16-imagenet")
    result = run("add", "vgg16-imagenet")
    assert isinstance(result.exception, WeightsError)
    assert "a network 'vgg16-imagenet' already exists, from another source" in str(result.exception)
    digits = hashlib.sha256(network.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(additions, "address", lambda name: f"https://x.invalid/vgg-{digits}.pth")
    result = run("add", "vgg16-imagenet")
    assert (result.exit_code, result.stderr) == (0, "vgg16-imagenet (vgg16) is already installed\n")


@pytest.mark.parametrize(
    "option", [["--name", "mine"], ["--preprocessing", "caffe"], ["--architecture", "resnet18"]]
)
def test_options_for_files_are_refused_for_downloads(run, option):
    assert isinstance(run("add", "vgg16-imagenet", *option).exception, SettingError)


def test_names_are_completed():
    parameter = next(p for p in models.commands["path"].params if p.name == "name")
    context = models.commands["path"].make_context("path", ["vgg16"], **HELP)
    assert [item.value for item in parameter.shell_complete(context, "vgg1")] == ["vgg16", "vgg19"]
