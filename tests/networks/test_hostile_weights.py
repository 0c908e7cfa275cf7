"""Files of weights from strangers: one line each, and neither memory nor time is spent on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stylize.errors import SettingError, WeightsError
from stylize.networks import import_models as additions
from stylize.networks import models as store
from stylize.networks.weight_files import MAX_FILE_BYTES, MAX_HEADER_BYTES, convolution_shapes

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")


@pytest.fixture
def tensors(tmp_path):
    """Write a safetensors file: the packaged VGG-16 with a changed header and more data."""
    content = store.find_model("vgg16").path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    body = content[8 + length :]

    def write(change, more: bytes = b"") -> Path:
        header = json.loads(content[8 : 8 + length])
        header = change(header, len(body)) or header
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path = tmp_path / "mine.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text + body + more)
        return path

    return write


def sparse(path: Path, start: bytes, size: int) -> Path:
    path.write_bytes(start)
    os.truncate(path, size)
    return path


def complaint(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        additions.add_file(path, name="mine")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(path), "")) < 400
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "count", "size"),
    [("F4", 16, 8), ("F8_E8M0", 8, 8), ("F8_E4M3", 8, 8), ("F6_E2M3", 32, 24), ("C64", 1, 8)],
)
def test_modern_kinds_of_numbers_elsewhere_do_no_harm(tensors, kind, count, size):
    def add(header, end):
        header["extra"] = {"dtype": kind, "shape": [count], "data_offsets": [end, end + size]}

    store.verify(additions.add_file(tensors(add, bytes(size)), name="mine"))


@pytest.mark.parametrize("kind", ["F4", "F8_E4M3", "F8_E8M0", "I64", "Q4_K", ["F32"], None])
def test_kinds_of_numbers_that_are_not_read(tensors, kind):
    def add(header, end):
        header["classifier.0.weight"] = {
            "dtype": kind,
            "shape": [8],
            "data_offsets": [end, end + 8],
        }

    assert "stores classifier.0.weight as" in complaint(tensors(add, bytes(8)))


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_kinds_of_numbers_that_are_read(tmp_path, kind):
    state = {name: torch.ones(1, dtype=kind).expand(s).contiguous() for name, s in shapes().items()}
    save_file(state, tmp_path / "mine.safetensors")
    additions.add_file(tmp_path / "mine.safetensors")
    weights = store.load_weights("mine")
    assert all(tensor.dtype == torch.float32 for tensor in weights.tensors.values())
    assert weights.tensors["conv4_2.bias"].tolist() == [1] * 512


def shapes() -> dict[str, tuple[int, ...]]:
    return convolution_shapes("vgg16")


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_pickles_with_eight_bits(tmp_path, kind):
    state = {name: torch.zeros(1).to(kind).expand(shape) for name, shape in shapes().items()}
    torch.save(state, tmp_path / "mine.pth")
    assert "of torch.float8" in complaint(tmp_path / "mine.pth")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda h, n: b"[" * 100_000, "nested too deeply"),
        (lambda h, n: b"[1]", "its header is not an object"),
        (lambda h, n: b" " * (MAX_HEADER_BYTES + 1), "its header takes 4194305 bytes"),
        (lambda h, n: h["conv1_1.bias"].update(data_offsets=[0, 8]), "not a complete safetensors"),
        (lambda h, n: h["conv1_1.bias"].update(shape=[2**40, 2**40]), "not a complete safetens"),
        (lambda h, n: h.update({"conv1_1.bias": 7}), "stores conv1_1.bias as None"),
        (lambda h, n: h["__metadata__"].update(stylize="[" * 5000), "nested too deeply"),
        (lambda h, n: h["__metadata__"].update(stylize="9" * 5000), "not a complete safetensors"),
        (lambda h, n: h.update(__metadata__=5), "not a complete safetensors"),
        (
            lambda h, n: h["__metadata__"].update(stylize='{"preprocessing": [1]}'),
            "describes an invalid preprocessing",
        ),
        (
            lambda h, n: h["__metadata__"].update(
                stylize='{"preprocessing": {"channels": "RGB", "mean": [0, 0, 0], "scale": 1'
                + "0" * 400
                + "}}"
            ),
            "describes an invalid preprocessing: a number is beyond any float",
        ),
    ],
)
def test_headers(tensors, change, said):
    assert said in complaint(tensors(change))


@posix
def test_what_is_no_regular_file(tmp_path):
    (tmp_path / "folder.pth").mkdir()
    assert "it is a folder" in complaint(tmp_path / "folder.pth")
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "not a regular file" in complaint(tmp_path / "pipe.safetensors")
    for name in ("zero.safetensors", "zero.pt"):
        (tmp_path / name).symlink_to("/dev/zero")
        assert "not a regular file" in complaint(tmp_path / name)
    (tmp_path / "loop.pth").symlink_to("loop.pth")
    assert "cannot read" in complaint(tmp_path / "loop.pth")


@posix
@pytest.mark.parametrize("name", ["mine.safetensors", "mine.pth"])
def test_terabytes_without_content(tmp_path, name):
    header = json.dumps({"conv1_1.weight": {"dtype": "F32", "shape": [2**38]}}).encode()
    path = sparse(tmp_path / name, len(header).to_bytes(8, "little") + header, 2**40)
    assert "is too large for a network: 1099.5 GB, the limit is 1.2 GB" in complaint(path)


@posix
def test_memory_is_bounded_by_the_architecture(tmp_path):
    """A gigabyte of zeros that a header declares is refused without reading it."""
    size = MAX_FILE_BYTES - 4096
    entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"conv1_1.weight": entry}).encode()
    start = len(header).to_bytes(8, "little") + header
    path = sparse(tmp_path / "mine.safetensors", start, len(start) + size)
    code = (
        "import resource, sys, torch\n"
        "from stylize.networks import import_models as additions\n"
        "from stylize.errors import WeightsError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: additions.read_network(__import__('pathlib').Path(sys.argv[1]))\n"
        "except WeightsError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(path)]
    said, grown = subprocess.check_output(command, text=True, cwd=root).splitlines()
    assert "expected conv1_1.weight (64, 3, 3, 3), found" in said
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(grown) * unit < 200_000_000


def views(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    light = {name: torch.zeros(1).expand(shape) for name, shape in shapes().items()}
    return light | {name.replace("_0_", ".0."): tensor for name, tensor in more.items()}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            views(classifier_0_weight=torch.zeros(1).expand(10**7, 10**6)),
            "a classifier that is larger than any of a VGG",
        ),
        ({"conv1_1.weight": torch.zeros(1).expand(10**7, 10**6)}, "found (10000000, 1000000)"),
        ({"\x1b]0;x\x07" * 1000: 3}, "is a int"),
        ({("a",) * 10_000: torch.zeros(1)}, "it has a key of type tuple"),
        ({"a" * 10_000: torch.zeros(1)}, "is none of torchvision"),
    ],
)
def test_views_and_names_of_any_size(tmp_path, state, said):
    torch.save(state, tmp_path / "mine.pth")
    assert said in complaint(tmp_path / "mine.pth")


def test_tensors_that_are_not_needed_may_be_of_any_size(tmp_path):
    torch.save(views(junk=torch.zeros(1).expand(10**7, 10**6)), tmp_path / "mine.pth")
    store.verify(additions.add_file(tmp_path / "mine.pth"))


def test_archives_that_torch_does_not_write(tmp_path):
    path = tmp_path / "mine.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(100_000_000))
    assert path.stat().st_size < 200_000
    assert "it is a compressed archive" in complaint(path)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(50_000):
            archive.writestr(f"{number:0400}", b"")
    assert "not a complete archive" in complaint(path)


def test_torchscript(tmp_path):
    path = tmp_path / "mine.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/code/x.py", "pass", zipfile.ZIP_DEFLATED)
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/constants.pkl", b"\x80\x02).")
        archive.writestr("a/version", b"3\n")
    assert "was refused: it is damaged or contains Python objects" in complaint(path)


def test_a_name_longer_than_files_can_have(tmp_path):
    with pytest.raises(SettingError, match="cannot be the name of a model"):
        additions.add_file(tmp_path / "mine.pth", name="a" * 300)


# The folder of models


def record(folder: Path, name: str, text: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    whole = '{"architecture": "vgg16", "sha256": "", "source": "there"}'
    (folder / f"{name}.json").write_text(text or whole)


def test_models_are_data_not_cache(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    for name in ("STYLIZE_CACHE_DIR", "STYLIZE_DATA_DIR", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform == "linux":
        assert store.user_directory() == home / ".local" / "share" / "stylize" / "models"
    monkeypatch.setenv("STYLIZE_CACHE_DIR", str(tmp_path / "cache"))
    assert store.user_directory() == tmp_path / "cache" / "models"
    monkeypatch.setenv("STYLIZE_DATA_DIR", str(tmp_path / "data"))
    assert store.user_directory() == tmp_path / "data" / "models"


def test_models_in_the_old_cache_are_still_used(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLIZE_CACHE_DIR", str(tmp_path / "cache"))
    torch.save(views(), tmp_path / "w.pth")
    before = additions.add_file(tmp_path / "w.pth", name="old")
    monkeypatch.setenv("STYLIZE_DATA_DIR", str(tmp_path / "data"))
    assert store.find_model("old") == before
    assert store.model_names() == ["vgg16", "vgg19", "old"]
    store.verify(store.find_model("old"))
    added = additions.add_file(tmp_path / "w.pth", name="new")
    assert added.path == tmp_path / "data" / "models" / "new.safetensors"
    again = additions.add_file(tmp_path / "w.pth", name="old")
    assert again.path.parent == added.path.parent


@posix
def test_records_from_strangers(models_folder):
    record(models_folder, "deep", "[" * 100_000)
    record(models_folder, "list", "[]")
    record(models_folder, "kind", '{"architecture": ["vgg16"]}')
    os.mkfifo(models_folder / "pipe.json")
    for name in ("deep", "list", "kind", "pipe"):
        with pytest.raises(WeightsError, match="is not the record of a model"):
            store.find_model(name)


@posix
def test_pipes_instead_of_models(models_folder):
    record(models_folder, "mine")
    os.mkfifo(models_folder / "mine.safetensors")
    for read in (
        lambda: store.load_weights("mine"),
        lambda: store.verify(store.find_model("mine")),
    ):
        with pytest.raises(WeightsError, match=r"not a regular file .add it again"):
            read()


@posix
def test_what_killed_runs_left_is_removed(tmp_path, models_folder):
    torch.save(views(), tmp_path / "w.pth")
    for name in (".stylize-0123456789abcdef.work", ".stylize-mine.work"):
        (models_folder / name).mkdir(parents=True)
        (models_folder / name / "part").write_bytes(b"x")
    additions.add_file(tmp_path / "w.pth", name="mine")
    kept = {path.name for path in models_folder.iterdir()}
    assert kept == {".stylize-mine.work", "mine.json", "mine.safetensors"}


@posix
def test_the_folder_of_a_living_run_is_kept(tmp_path, models_folder):
    torch.save(views(), tmp_path / "w.pth")
    with additions._scratch() as scratch:
        (scratch / "part").write_bytes(b"x")
        added: list[object] = []
        other = threading.Thread(
            target=lambda: added.append(additions.add_file(tmp_path / "w.pth", name="mine"))
        )
        other.start()
        other.join()
        assert added
        assert (scratch / "part").read_bytes() == b"x"
    assert not scratch.exists()
