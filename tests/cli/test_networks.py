"""The commands with a network that is no VGG: a GoogLeNet whose weights are drawn here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from stylize.errors import SettingError
from stylize.images.read import read_picture
from stylize.networks.architecture import find_layer, listed_layers
from stylize.networks.import_models import add_file
from stylize.networks.layer_expressions import parse_targets
from stylize.networks.models import Weights, load_weights
from stylize.networks.module import ModuleNetwork
from stylize.networks.weight_files import Preprocessing
from stylize.products.inspect.response import TargetResponse
from stylize.products.inspect.saliency import gradient_of
from stylize.runs.recipe import load_recipe
from stylize.settings.inspect import SaliencySettings
from tests.cli.conftest import Run, complaint, done
from tests.conftest import cat, save
from tests.networks.conftest import he_module

NET = ("--network", "net", "--precision", "fp32", "-q")


@pytest.fixture(scope="module", autouse=True)
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("data")
    torch.save(he_module("googlenet", classes=3).state_dict(), folder / "net.pth")
    (folder / "names.txt").write_text("disc\nstripes\nnothing\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLIZE_DATA_DIR", str(folder))
        add_file(folder / "net.pth", classes=folder / "names.txt")
        torch.save(he_module("squeezenet1_1", classes=3).state_dict(), folder / "small.pth")
        add_file(folder / "small.pth")
        yield


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return save(cat(64), tmp_path / "cat.png")


def test_a_dream(run: Run, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--layer", "inception_3a + 0.5*inception3b.branch2:4-9", "--steps", 2, *NET)
    done(run("dream", scene, *words, "-o", tmp_path / "dream.png"))
    dreamt = read_picture(tmp_path / "dream.png").pixels
    assert float((dreamt - cat(64)).abs().mean()) > 0.02
    recipe = load_recipe(tmp_path / "dream.png")
    assert recipe["weights"]["name"] == "net"
    done(run("replay", tmp_path / "dream.png", "-o", tmp_path / "again.png", "-q"))
    assert torch.equal(read_picture(tmp_path / "again.png").pixels, dreamt)
    # Another network takes its name.
    monkeypatch.setenv("STYLIZE_DATA_DIR", str(tmp_path / "other"))
    torch.save(he_module("squeezenet1_1", classes=3).state_dict(), tmp_path / "net.pth")
    add_file(tmp_path / "net.pth")
    line = complaint(run("replay", tmp_path / "dream.png", "-o", tmp_path / "third.png"), 1)
    assert line.startswith("the weights of the network 'net' differ from those in the recipe")


@pytest.mark.slow
def test_a_tunnel_and_a_sheet(run: Run, scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "film.webp"
    done(
        run(
            "tunnel",
            scene,
            "--frames",
            2,
            "--layer",
            "inception_3a",
            "--octaves",
            1,
            "--steps",
            1,
            *NET,
            "-o",
            out,
        )
    )
    assert out.stat().st_size > 0
    sheet = tmp_path / "sheet.png"
    words = ("--channels", "inception_3b", "--top", 2, *NET, "-o", sheet)
    done(run("explore", "dream", scene, *words))
    labels = [cell["label"] for cell in load_recipe(sheet)["cells"].values()]
    assert all(label.startswith("inception_3b:") for label in labels)


QUESTIONS = [
    ("saliency", "{photo}", "--class", "disc", "--method", "grad-cam"),
    ("feature", "--class", "disc", "--size", "64", "--steps", "2", "--parameterization", "maco"),
]

MORE_QUESTIONS = [
    ("saliency", "{photo}", "inception_3b:4", "--method", "guided"),
    ("occlude", "{photo}", "--class", "stripes", "--size", "64", "--step", "48"),
    ("activations", "{photo}", "inception_4c"),
    ("caricature", "{photo}", "--layer", "inception_3b", "--steps", "2"),
    ("invert", "{photo}", "--layer", "conv2", "--steps", "2"),
    ("patches", "{folder}", "inception_3a:0,1"),
    ("feature", "inception_3b:5", "--size", "64", "--steps", "2"),
]


@pytest.mark.parametrize(
    "words",
    [*QUESTIONS, *(pytest.param(words, marks=pytest.mark.slow) for words in MORE_QUESTIONS)],
    ids=lambda words: "-".join(words[:1] + words[2:4]),
)
def test_inspect(run: Run, scene: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    named = [word.format(photo=scene, folder=scene.parent) for word in words]
    done(run("inspect", *named, *NET, "-o", tmp_path / "page.png"))
    assert float(read_picture(tmp_path / "page.png").pixels.std()) > 0


@pytest.mark.parametrize(
    ("words", "layers"),
    [
        (("saliency",), "features.12"),
        (("occlude", "--step", "48"), "features.12"),
        (("caricature", "--steps", "1"), "features.11"),
        (("invert", "--steps", "1"), "features.11"),
        (("invert", "--steps", "1", "--strip"), "features.0 features.4 features.7 features.12"),
        (("saliency", "--class", "2", "--method", "grad-cam"), None),
    ],
)
def test_defaults_suit_the_network(
    run: Run, scene: Path, tmp_path: Path, words: tuple[str, ...], layers: str | None
) -> None:
    first, *rest = words
    more = ("--network", "small", "--size", "64", "--json", "-q", "-o", tmp_path / "page.png")
    numbers = json.loads(done(run("inspect", first, scene, *rest, *more)).stdout)
    rows = numbers.get("layers", [{"layer": numbers.get("layer", numbers.get("target"))}])
    names = [row["layer"] for row in rows]
    assert names == ([None] if layers is None else layers.split())
    if names != [None] and len(names) == 1:
        settings = numbers["recipe"]["settings"]
        assert settings.get("target", settings.get("layer")) == layers


@pytest.mark.parametrize("name", ["small", pytest.param("net", marks=pytest.mark.slow)])
def test_a_report(run: Run, scene: Path, tmp_path: Path, name: str) -> None:
    words = ("--network", name, "--size", "64", "--steps", 1, "--samples", 1, "--patch", 48)
    done(run("inspect", "report", scene, *words, "-o", tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert ("features.12:" if name == "small" else "inception_5b:") in page
    assert f"--strip --steps 100 --network {name}" in page


def test_layers(run: Run) -> None:
    rows = json.loads(done(run("layers", "--network", "net", "--json")).stdout)
    assert [row["name"] for row in rows] == [each.name for each in listed_layers("googlenet")]
    (row,) = [row for row in rows if row["name"] == "inception_4c"]
    assert (row["channels"], row["stride_px"]) == (512, 16)
    assert row["receptive_field_px"] == find_layer("googlenet", "inception4c").receptive_field_px
    assert "inception_4c.branch2" in done(run("layers", "--network", "net")).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("dream", "--layer", "inception_4x"), "did you mean .*inception_4"),
        (
            ("dream",),
            "conv4_3, the default layer, .* --layer inception_4c; --preset classic-inception has",
        ),
        (
            ("dream", "--preset", "eyes"),
            "only VGG-16 and VGG-19 have it; name another, such as incep",
        ),
        (
            ("dream", "--preset", "classic-inception", "--layer", "conv4_3"),
            "conv4_3, the default layer, is one of VGG-16 and VGG-19, .* --preset .* has one",
        ),
        (("dream", "--layer", "zzz"), r"layer of googlenet 'zzz' \('stylize layers"),
        (("dream", "--layer", "inception_3a:256"), "no channel 256: inception_3a of googlenet"),
        (("dream", "--layer", "inception_3a", "--pooling", "avg"), "--pooling avg is for VGG"),
        (
            ("transfer", "{photo}"),
            "transfer works with VGG-16 and VGG-19 only, and 'net' is a googlenet",
        ),
        (("inspect filters",), "inspect filters works with VGG-16 and VGG-19 only"),
        (("inspect segment", "{photo}"), "inspect segment works with VGG-16 and VGG-19 only"),
    ],
)
def test_bad_requests(
    run: Run, scene: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    first, *rest = words
    photo = [] if first.startswith("inspect") else [scene]
    named = [word.format(photo=scene) for word in rest]
    out = tmp_path / "out.png"
    result = run(*first.split(), *photo, *named, "--network", "net", "-o", out)
    assert result.exit_code == 2
    assert re.search(message, result.stderr), result.stderr
    assert "Traceback" not in result.stderr
    assert not out.exists()


def test_a_missing_network_of_a_preset(run: Run, scene: Path) -> None:
    result = run("dream", scene, "--preset", "classic-inception")
    assert complaint(result, 1) == (
        "the network 'googlenet' is not installed"
        " (stylize models add googlenet, or models add FILE --name googlenet)"
    )


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_the_rules_hold_for_its_relus(rule: str) -> None:
    weights = load_weights("net")
    response = TargetResponse(parse_targets("conv1:3"))
    image = cat(64)
    found = gradient_of(ModuleNetwork(weights, ("conv1",)), response, image, rule)
    norm = {
        key.rpartition(".")[2]: each for key, each in weights.tensors.items() if "conv1.bn" in key
    }
    scale = norm["weight"] / (norm["running_var"] + 1e-3).sqrt()
    kernel = weights.tensors["conv1.conv.weight"]
    plain = F.batch_norm(
        F.conv2d(2 * image - 1, kernel, stride=2, padding=3),
        norm["running_mean"],
        norm["running_var"],
        norm["weight"],
        norm["bias"],
        eps=1e-3,
    )
    # The mean over positions sends the same gradient to each of them.
    sent = torch.zeros_like(plain)
    sent[:, 3] = 1 / sent[0, 3].numel()
    if rule == "guided":
        sent *= plain > 0
    back = F.conv_transpose2d(
        sent * scale.view(1, -1, 1, 1), kernel, stride=2, padding=3, output_padding=1
    )
    torch.testing.assert_close(found, 2 * back)


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_the_rules_hold_for_relu6(rule: str) -> None:
    module = he_module("mobilenet_v2")
    with torch.no_grad():
        module.features[0][1].bias[3] = 6  # so that the activations reach the upper bound
    plain = Preprocessing("RGB", 1.0, (0.0, 0.0, 0.0))
    weights = Weights("net", "mobilenet_v2", "0", plain, module.state_dict(), 10)
    image = cat(64)
    response = TargetResponse(parse_targets("features.0:3"))
    found = gradient_of(ModuleNetwork(weights, ("features.0",)), response, image, rule)
    conv, norm, _ = module.features[0]
    with torch.no_grad():
        before = norm(conv(image))
    assert 0 < float((before[:, 3] > 6).float().mean()) < 1
    sent = torch.zeros_like(before)
    sent[:, 3] = 1 / sent[0, 3].numel()
    if rule == "guided":
        sent *= (before > 0) & (before < 6)
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().view(1, -1, 1, 1)
    back = F.conv_transpose2d(
        sent * scale, conv.weight.detach(), stride=2, padding=1, output_padding=1
    )
    torch.testing.assert_close(found, back)


@pytest.mark.parametrize("method", ["guided", "deconvnet"])
def test_the_rules_are_refused_for_other_activations(method: str) -> None:
    settings = SaliencySettings(method=method, network="mine")
    with pytest.raises(SettingError, match="'mine' is a mobilenet_v3_small, which has other"):
        settings.for_network("mobilenet_v3_small")
    assert SaliencySettings(method=method).for_network("vgg19").target == "conv5_3"
