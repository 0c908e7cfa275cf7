from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stylize.errors import OutputError, SettingError, UnknownNameError, WeightsError
from stylize.networks import import_models as additions
from stylize.networks import models as store
from stylize.networks.import_models import KNOWN_FILES, torchvision_names
from stylize.networks.weight_files import CAFFE, TORCHVISION

ROOT = Path(__file__).parents[2]
NAME = "vgg16-imagenet"


class Trap:
    """Unpickled without care, it creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.fixture
def save(tmp_path):
    def write(state: object, name: str = "Some Network.pth") -> Path:
        torch.save(state, tmp_path / name)
        return tmp_path / name

    return write


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


# Files


@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_names_are_those_of_torchvision(architecture):
    from torchvision import models

    with torch.device("meta"):
        features = getattr(models, architecture)(init_weights=False).features
    theirs = {f"features.{name}": tuple(t.shape) for name, t in features.state_dict().items()}
    ours = torchvision_names(architecture)
    assert set(ours.values()) == theirs.keys()
    assert theirs[ours["conv4_1.weight"]] == (512, 256, 3, 3)
    assert (
        ours["conv5_1.weight"]
        == {"vgg16": "features.24.weight", "vgg19": "features.28.weight"}[architecture]
    )


@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_add_a_state_dict_of_torchvision(save, torchvision_states, models_folder, architecture):
    model = additions.add_file(save(torchvision_states[architecture]))
    assert (model.name, model.origin) == ("some-network", "user")
    assert (model.architecture, model.source) == (architecture, "Some Network.pth")
    assert model in store.list_models()
    store.verify(model)
    weights = store.load_weights("some-network")
    assert weights.preprocessing == TORCHVISION
    torch.testing.assert_close(
        weights.tensors["conv1_1.weight"], torchvision_states[architecture]["features.0.weight"]
    )
    assert contents(models_folder) == {
        "some-network.safetensors",
        "some-network.classifier.safetensors",
        "some-network.json",
    }


def test_the_record_says_everything(save, torchvision_states, models_folder):
    path = save(torchvision_states["vgg16"])
    model = additions.add_file(path, name="mine")
    record = json.loads((models_folder / "mine.json").read_text())
    assert record["source_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["sha256"] == hashlib.sha256(model.path.read_bytes()).hexdigest()
    assert record["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    classifier = models_folder / record["classifier"]["file"]
    assert record["classifier"]["sha256"] == hashlib.sha256(classifier.read_bytes()).hexdigest()
    assert load_file(classifier)["classifier.0.weight"].shape == (4, 8)


@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_add_a_state_dict_with_names_like_ours(save, plain_states, models_folder, architecture):
    model = additions.add_file(save(plain_states[architecture], "vgg_conv.pth"))
    assert (model.name, model.architecture) == ("vgg_conv", architecture)
    assert model.classifier is None
    assert store.load_weights("vgg_conv").preprocessing == CAFFE
    assert contents(models_folder) == {"vgg_conv.safetensors", "vgg_conv.json"}


def test_add_a_pickle_of_the_old_kind(tmp_path, torchvision_states):
    # torchvision's own VGG files are older than the zip format.
    path = tmp_path / "old.pth"
    torch.save(torchvision_states["vgg16"], path, _use_new_zipfile_serialization=False)
    store.verify(additions.add_file(path))


def test_add_one_of_our_own_files():
    packed = store.find_model("vgg19")
    store_weights = store.load_weights("vgg19")
    additions.add_file(packed.path, name="copy")
    copy = store.load_weights("copy")
    assert copy.preprocessing == store_weights.preprocessing
    assert all(copy.tensors[name].equal(t) for name, t in store_weights.tensors.items())


def test_metadata_beats_names_and_the_option_beats_metadata(tmp_path, plain_states):
    path = tmp_path / "described.safetensors"
    described = {"preprocessing": {"channels": "RGB", "scale": 255, "mean": [1, 2, 3]}}
    state = {name: tensor.contiguous() for name, tensor in plain_states["vgg16"].items()}
    save_file(state, path, metadata={"stylize": json.dumps(described)})
    additions.add_file(path)
    assert store.load_weights("described").preprocessing.mean == (1, 2, 3)
    additions.add_file(path, preprocessing="torchvision")
    assert store.load_weights("described").preprocessing == TORCHVISION

    described["preprocessing"]["channels"] = "GBR"
    save_file(state, path, metadata={"stylize": json.dumps(described)})
    with pytest.raises(WeightsError, match=r"an invalid preprocessing.*GBR.*--preprocessing"):
        additions.add_file(path, name="other")


def test_the_option_overrides_what_names_suggest(save, torchvision_states):
    additions.add_file(save(torchvision_states["vgg16"]), name="mine", preprocessing="caffe")
    assert store.load_weights("mine").preprocessing == CAFFE


def test_well_known_files_with_names_that_mislead(save, torchvision_states):
    state = torchvision_states["vgg16"] | {"classifier.0.bias": torch.full((4,), torch.nan)}
    model = additions.add_file(save(state, "vgg16_features-amdegroot-88682ab5.pth"), name="mine")
    assert model.classifier is None
    expected = KNOWN_FILES["vgg16_features-amdegroot-88682ab5"]
    assert store.load_weights("mine").preprocessing == expected


def test_unknown_preprocessing(save):
    with pytest.raises(UnknownNameError, match="did you mean caffe"):
        additions.add_file(save({}), preprocessing="cafe")


def test_a_hostile_pickle_is_not_run(tmp_path, save, models_folder):
    target = tmp_path / "opened"
    path = save({"conv1_1.weight": Trap(target)})
    with pytest.raises(WeightsError, match="refused: it is damaged or contains") as caught:
        additions.add_file(path)
    assert "weights_only" not in str(caught.value)
    assert not target.exists()
    assert contents(models_folder) == set()
    torch.load(path, weights_only=False)  # the trap does work
    assert target.exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04 not a zip"])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_damaged_files(tmp_path, content, suffix):
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        additions.add_file(path)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([1, 2], "holds no state dict, but a value of type list"),
        ({"epoch": 3}, "'epoch' is a int"),
        ({"state_dict": {}}, "'state_dict' is a dict"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "'a' is a tensor without plain values"),
        ({}, "that can be used: found nothing"),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, r"that can be used: found conv1\.weight"),
        (
            {"features.0.weight": torch.zeros(64, 3, 11, 11)},
            r"features\.0\.weight \(64, 3, 3, 3\), found \(64, 3, 11, 11\)",
        ),
        (
            {"features.0.weight": torch.zeros(64, 3, 3, 3)},
            r"expected features\.0\.bias \(64,\), found nothing",
        ),
        (
            {
                "features.0.weight": torch.zeros(64, 3, 3, 3),
                "features.1.running_mean": torch.ones(64),
            },
            "batch normalization",
        ),
        ({"conv1_1.weight": torch.zeros(64, 3, 3, 3).int()}, r"of torch\.int32"),
    ],
)
def test_other_things_than_vgg(save, models_folder, state, message):
    with pytest.raises(WeightsError, match=message):
        additions.add_file(save(state))
    assert contents(models_folder) == set()


def test_the_first_layer_that_does_not_fit_is_told(save, plain_states):
    state = plain_states["vgg19"] | {"conv3_2.weight": torch.zeros(256, 256, 1, 1)}
    with pytest.raises(WeightsError, match=r"not a vgg19: expected conv3_2\.weight .*1, 1\)"):
        additions.add_file(save(state))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite(save, torchvision_states, value):
    state = torchvision_states["vgg16"] | {"features.2.bias": torch.full((64,), value)}
    with pytest.raises(WeightsError, match=r"features\.2\.bias holds values that are not finite"):
        additions.add_file(save(state))


def test_views_of_one_storage_can_be_added(save, plain_states):
    shared = torch.zeros(128)
    state = plain_states["vgg16"] | {"conv1_1.bias": shared[:64], "conv1_2.bias": shared[64:]}
    store.verify(additions.add_file(save(state)))


@pytest.mark.parametrize("name", ["vgg.bin", "vgg"])
def test_other_kinds_of_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"expected \.safetensors, \.pth or \.pt"):
        additions.add_file(tmp_path / name)


def test_a_missing_file(tmp_path):
    with pytest.raises(WeightsError, match=r"cannot read .*No such file"):
        additions.add_file(tmp_path / "none.pth")


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a.b", "Ä", "-x", "a b"])
def test_names_that_cannot_be_used(save, name):
    with pytest.raises(SettingError, match="cannot be the name of a model"):
        additions.add_file(save({}), name=name)


def test_a_name_of_the_package(save):
    with pytest.raises(SettingError, match=r"'vgg19' belongs .*another --name"):
        additions.add_file(save({}, "vgg19.pth"))


def test_a_name_is_not_taken_over_by_another_source(save, plain_states):
    model = additions.add_file(save(plain_states["vgg16"]), name="mine")
    with pytest.raises(WeightsError, match=r"'mine' already.*another --name"):
        additions.add_file(save(plain_states["vgg19"]), name="mine")
    assert store.find_model("mine") == model


def test_adding_again_repairs(save, plain_states):
    path = save(plain_states["vgg16"])
    model = additions.add_file(path)
    model.path.write_bytes(b"broken")
    assert additions.add_file(path) == model
    store.verify(model)


@pytest.mark.parametrize("ending", [".safetensors", ".json"])
@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_in_the_way_stays(save, plain_states, tmp_path, ending, is_link):
    theirs = store.user_directory() / f"mine{ending}"
    theirs.parent.mkdir(parents=True, exist_ok=True)
    kept = tmp_path / "kept" if is_link else theirs
    kept.write_bytes(b"theirs")
    if is_link:
        theirs.symlink_to(kept)
    with pytest.raises(WeightsError, match="is in the way"):
        additions.add_file(save(plain_states["vgg16"]), name="mine")
    assert kept.read_bytes() == b"theirs"
    assert os.listdir(theirs.parent) == [theirs.name]


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, save):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STYLIZE_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot save a model .*STYLIZE_DATA_DIR"):
        additions.add_file(save({}))


# Downloads


@contextmanager
def serving(body: bytes, *, status: int = 200, missing_bytes: int = 0, clients: int = 1):
    """A server on this machine; yields its address and the paths it was asked for.

    It answers when ``clients`` have asked, so that they are at work at the same time.
    """
    together = threading.Barrier(clients, timeout=60)
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            together.wait()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + missing_bytes))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/models", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def published(save, torchvision_states, monkeypatch):
    """A file as torchvision would publish it: its name ends in digits of its SHA-256."""
    path = save(torchvision_states["vgg16"])
    path = path.rename(
        path.with_name(f"vgg16-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth")
    )
    monkeypatch.setattr(additions, "address", lambda name: f"https://nowhere.invalid/{path.name}")
    return path


def test_addresses_of_torchvision():
    assert additions.address(NAME) == "https://download.pytorch.org/models/vgg16-397923af.pth"
    assert additions.address("vgg19-imagenet").endswith("/vgg19-dcbb9e9d.pth")


def test_download(published, models_folder):
    calls: list[tuple[int, int | None]] = []
    content = published.read_bytes()
    with serving(content) as (url, asked):
        model = additions.download(
            NAME, base_url=url, progress=lambda done, total: calls.append((done, total))
        )
        assert additions.download(NAME, base_url=url) == model
    assert asked == [f"/models/{published.name}"]
    assert calls[-1] == (len(content), len(content))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert model.source == f"{url}/{published.name}"
    store.verify(model)
    weights = store.load_weights(NAME)
    assert (weights.architecture, weights.preprocessing) == ("vgg16", TORCHVISION)
    assert contents(models_folder) == {
        f"{NAME}.safetensors",
        f"{NAME}.classifier.safetensors",
        f"{NAME}.json",
    }


def test_a_damaged_model_is_downloaded_again(published):
    with serving(published.read_bytes()) as (url, asked):
        model = additions.download(NAME, base_url=url)
        model.classifier.path.write_bytes(b"broken")
        store.verify(additions.download(NAME, base_url=url))
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"body": b"half", "missing_bytes": 4}, "broke off after 4 of 8 bytes"),
        ({"body": b"a page of the hotel's"}, r"expected SHA-256 [0-9a-f]{8}…, found [0-9a-f]{64}"),
        ({"body": b"", "status": 404}, r"cannot download .*404.*stylize models add vgg16-"),
    ],
)
def test_failed_downloads_leave_nothing_and_the_next_succeeds(
    published, models_folder, answer, message
):
    with serving(**answer) as (url, _), pytest.raises(WeightsError, match=message):
        additions.download(NAME, base_url=url)
    assert contents(models_folder) == set()
    with serving(published.read_bytes()) as (url, _):
        store.verify(additions.download(NAME, base_url=url))


def test_nobody_listens(published, models_folder):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(WeightsError) as caught:
        additions.download(NAME, base_url=url)
    assert f"{url}/{published.name}" in str(caught.value)
    assert f"stylize models add {published.name} --name {NAME}" in str(caught.value)
    assert contents(models_folder) == set()


def test_a_server_that_falls_silent(published, models_folder, monkeypatch):
    monkeypatch.setattr(additions, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(WeightsError, match=r"cannot download .*timed out"):
            additions.download(NAME, base_url=url)
    assert contents(models_folder) == set()


def test_an_interrupted_download_leaves_nothing(published, models_folder):
    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with serving(published.read_bytes()) as (url, _), pytest.raises(KeyboardInterrupt):
        additions.download(NAME, base_url=url, progress=interrupt)
    assert contents(models_folder) == set()


def test_by_hand_as_the_error_says(published):
    model = additions.add_file(published, name=NAME)
    assert additions.download(NAME) == model


def test_no_such_download():
    with pytest.raises(UnknownNameError, match="did you mean vgg16-imagenet"):
        additions.download("vgg16_imagenet")


@pytest.mark.slow
def test_two_processes_at_once(published, models_folder):
    program = (
        "import sys; from stylize.networks import import_models as additions\n"
        "additions.address = lambda name: 'https://nowhere.invalid/' + sys.argv[2]\n"
        f"additions.download('{NAME}', base_url=sys.argv[1])"
    )
    with serving(published.read_bytes(), clients=2) as (url, _):
        command = [sys.executable, "-c", program, url, published.name]
        both = [subprocess.Popen(command, cwd=ROOT, env=dict(os.environ)) for _ in range(2)]
        assert [process.wait(timeout=60) for process in both] == [0, 0]
    store.verify(store.find_model(NAME))
    assert len(contents(models_folder)) == 3
