"""``stylize inspect … --class``: a small head, trained here, behind the real convolutions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from stylize.errors import UnknownNameError, WeightsError
from stylize.networks.classifier import Head, imagenet_names, load_head
from stylize.networks.import_models import add_file, torchvision_names
from stylize.networks.models import Weights, load_weights, user_directory
from stylize.networks.vgg import VGG
from stylize.products.inspect.feature import show_feature
from stylize.products.inspect.occlude import show_occlusion
from stylize.products.inspect.saliency import show_saliency
from stylize.runs.recipe import load_recipe
from stylize.settings.execution import Execution
from stylize.settings.inspect import FeatureSettings, OcclusionSettings, SaliencySettings
from tests.cli.conftest import Run, complaint, done
from tests.conftest import as_picture, save

EXACT = Execution(precision="fp32")
DISC, STRIPES = "0", "1"
SIDE = 96


def scene(across: int, down: int, kind: str) -> Tensor:
    """A red disc or black stripes at a place on grey, ``(1, 3, 96, 96)``."""
    image = torch.full((1, 3, SIDE, SIDE), 0.5)
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    near = (x - across).square() + (y - down).square() < 14**2
    if kind == DISC:
        image[0, :, near] = torch.tensor([0.9, 0.1, 0.1])[:, None]
    else:
        image[0, :, near & (x % 6 < 3)] = 0.0
    return image


def examples(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Pictures of both kinds, and which each is."""
    places = torch.randint(20, 76, (count, 2), generator=torch.Generator().manual_seed(seed))
    kinds = [str(index % 2) for index in range(count)]
    images = [scene(*place, kind) for place, kind in zip(places.tolist(), kinds, strict=True)]
    return torch.cat(images), torch.tensor([int(kind) for kind in kinds])


def trained(vgg16: Weights) -> dict[str, Tensor]:
    """A hidden layer of 8 and two classes, by Adam on the features of 24 pictures."""
    images, kinds = examples(0, 24)
    with torch.no_grad():
        features = VGG(vgg16, ("relu5_3",))(images)["relu5_3"]
    generator = torch.Generator().manual_seed(0)
    shapes = {"classifier.0.weight": (8, 512), "classifier.0.bias": (8,)}
    shapes |= {"classifier.3.weight": (2, 8), "classifier.3.bias": (2,)}
    tensors = {
        name: (0.05 * torch.randn(shape, generator=generator)).requires_grad_()
        for name, shape in shapes.items()
    }
    optimizer = torch.optim.Adam(tensors.values(), lr=0.02)
    for _ in range(60):
        head = Head("relu5_3", pairs(tensors), "")
        loss = torch.nn.functional.cross_entropy(head(features), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: tensor.detach() for name, tensor in tensors.items()}


def pairs(tensors: dict[str, Tensor]) -> tuple[tuple[Tensor, Tensor], ...]:
    return tuple(
        (tensors[f"classifier.{n}.weight"], tensors[f"classifier.{n}.bias"]) for n in (0, 3)
    )


@pytest.fixture(scope="module")
def shapes(vgg16: Weights, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a model that knows discs from stripes, added as a user adds one."""
    path = tmp_path_factory.mktemp("shapes") / "shapes.safetensors"
    save_file(dict(vgg16.tensors) | trained(vgg16), path)
    model = add_file(path, preprocessing="caffe")
    assert load_weights(model.name).preprocessing == vgg16.preprocessing
    yield model.name
    for made in user_directory().glob(f"{model.name}.*"):
        made.unlink()


class TestHead:
    """Reading it, and what it says."""

    def test_tells_new_pictures_apart(self, shapes: str, vgg16: Weights) -> None:
        head = load_head(shapes)
        assert head.classes == 2
        images, kinds = examples(1, 12)
        with torch.no_grad():
            scores = head(VGG(vgg16, (head.layer,))(images)[head.layer])
        assert scores.argmax(1).tolist() == kinds.tolist()

    def test_layers_by_hand(self) -> None:
        first = torch.zeros(2, 512), torch.tensor([-1.0, 3.0])
        first[0][0, 5] = 2.0
        second = torch.tensor([[1.0, 10.0]]), torch.tensor([0.5])
        features = torch.zeros(1, 512, 2, 2)
        features[0, 5, 1, 1] = 4.0
        # The pooled maximum is 4: relu(2·4 − 1) + 10·relu(3) + 0.5.
        assert Head("relu5_3", (first, second), "")(features).tolist() == [[37.5]]

    def test_names(self, shapes: str) -> None:
        head = load_head(shapes)
        assert head.index_of("1") == 1
        with pytest.raises(UnknownNameError, match=r"unknown class '2' \(known: 0 to 1\)"):
            head.index_of("2")
        thousand = Head("relu5_3", ((torch.zeros(1000, 512), torch.zeros(1000)),), "")
        assert len(imagenet_names()) == 1000
        assert thousand.index_of("Golden Retriever") == thousand.index_of("207") == 207
        with pytest.raises(UnknownNameError, match="did you mean golden retriever"):
            thousand.index_of("golden retreiver")

    def test_a_model_without(self) -> None:
        with pytest.raises(WeightsError, match="'vgg16' has no classifier"):
            load_head("vgg16")

    @pytest.mark.parametrize(
        ("tensors", "said"),
        [
            ({"classifier.0.weight": torch.zeros(2, 512)}, "does not contain a classifier"),
            (
                {"classifier.0.weight": torch.zeros(2, 7), "classifier.0.bias": torch.zeros(2)},
                "does not contain a classifier",
            ),
            (None, "is damaged: expected SHA-256"),
        ],
    )
    def test_files_that_are_none(
        self, vgg16: Weights, tmp_path: Path, tensors: dict[str, Tensor] | None, said: str
    ) -> None:
        path = tmp_path / "odd.safetensors"
        whole = {"classifier.0.weight": torch.zeros(2, 512), "classifier.0.bias": torch.zeros(2)}
        save_file(dict(vgg16.tensors) | (whole if tensors is None else tensors), path)
        model = add_file(path)
        assert model.classifier is not None
        if tensors is None:
            model.classifier.path.write_bytes(b"odd")
        with pytest.raises(WeightsError) as caught:
            load_head(model.name)
        assert said in str(caught.value)
        for each in model.path.parent.glob("odd.*"):
            each.unlink()


class TestInspection:
    """``--class`` in the three commands that have it."""

    def test_saliency_is_where_the_thing_is(self, shapes: str) -> None:
        photo = as_picture(scene(28, 64, DISC), "disc.png")
        settings = SaliencySettings(
            category=DISC, network=shapes, method="guided", view="mask", size=str(SIDE)
        )
        finding = show_saliency(photo, settings, EXACT)
        mask = finding.result.pixels[0, 0]
        assert float(mask[44:84, 8:48].mean()) > 3 * float(mask[:40, 56:].mean())
        assert finding.numbers["class"] == DISC
        assert finding.result.recipe["settings"]["category"] == DISC

    def test_hiding_the_thing_costs_its_class_most(self, shapes: str) -> None:
        both = torch.cat([scene(24, 48, DISC)[..., :48], scene(72, 48, STRIPES)[..., 48:]], 3)
        photo = as_picture(both, "both.png")
        common = {"network": shapes, "patch": 32, "step": 32, "size": str(SIDE)}
        across = [
            show_occlusion(photo, OcclusionSettings(category=each, **common), EXACT).numbers[
                "peak"
            ][0]
            for each in (DISC, STRIPES)
        ]
        assert across[0] < 48 < across[1]

    def test_a_picture_of_the_class(self, shapes: str) -> None:
        settings = FeatureSettings(category=STRIPES, network=shapes, size=SIDE, steps=10)
        finding = show_feature(settings, EXACT)
        head = load_head(shapes)
        with torch.no_grad():
            vgg = VGG(load_weights(shapes), (head.layer,))
            grown = head(vgg(finding.result.pixels)[head.layer])[0]
        assert float(grown[1]) > float(grown[0]) + 1

    def test_grad_cam_is_where_the_thing_is(self, shapes: str) -> None:
        photo = as_picture(scene(28, 64, DISC), "disc.png")
        settings = SaliencySettings(
            category=DISC, network=shapes, method="grad-cam", view="mask", size=str(SIDE)
        )
        mask = show_saliency(photo, settings, EXACT).result.pixels[0, 0]
        assert float(mask[44:84, 8:48].mean()) > 2 * float(mask[:40, 56:].mean())

    def test_says_when_another_class_is_there(self, shapes: str) -> None:
        photo = as_picture(scene(28, 64, DISC), "disc.png")
        for category, silent in ((DISC, []), (STRIPES, [STRIPES])):
            settings = SaliencySettings(category=category, network=shapes, size=str(SIDE))
            finding = show_saliency(photo, settings, EXACT)
            assert finding.numbers["silent"] == silent
            assert finding.numbers["strongest"] == [DISC, STRIPES]
            assert len(finding.notes) == len(silent)
        assert finding.notes[0].startswith("the network does not see class 1 in this photo")

    def test_a_report_names_the_classes(self, run: Run, shapes: str, tmp_path: Path) -> None:
        photo = save(scene(28, 64, DISC), tmp_path / "disc.png")
        words = ("inspect", "report", photo, "--network", shapes, "--class", DISC, "--size", SIDE)
        small = ("--steps", 1, "--samples", 1, "--step", 48, "--channels", 1, "--json")
        document = json.loads(done(run(*words, *small)).stdout)
        assert [each["class"] for each in document["classes"]] == [DISC, STRIPES]
        assert sum(each["probability"] for each in document["classes"]) == pytest.approx(1)
        page = Path(document["file"]).read_text(encoding="utf-8")
        assert "1. 0 · " in page
        assert "2. 1 · " in page
        assert "Saliency of class 0" in page

    def test_on_the_command_line(self, run: Run, shapes: str, tmp_path: Path) -> None:
        photo = save(scene(28, 64, DISC), tmp_path / "disc.png")
        words = ("inspect", "saliency", photo, "--class", DISC, "--precision", "fp32")
        result = done(run(*words, "--network", shapes, "--json"))
        assert json.loads(result.stdout)["class"] == DISC
        before = sorted(tmp_path.iterdir())
        assert "unknown class '7'" in complaint(
            run(*words[:3], "--class", 7, "--network", shapes, "-o", tmp_path / "x.png"), 2
        )
        line = complaint(run(*words, "-o", tmp_path / "x.png"), 1)
        assert line.startswith("the network 'vgg16' has no classifier (stylize models add")
        assert sorted(tmp_path.iterdir()) == before

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("feature",), "nothing to visualize (name a channel"),
            (("feature", "conv1_1:2", "--class", "1"), "--class cannot be combined with TARGET"),
            (
                ("feature", "--class", "1", "--direction", "a.png"),
                "--class cannot be combined with --direction",
            ),
            (
                ("feature", "--class", "1", "--to", "conv1_1:2"),
                "--class cannot be combined with --to",
            ),
            (("feature", "--class", "1", "--neuron"), "--class cannot be combined with --neuron"),
            (
                ("saliency", "a.png", "conv1_1", "--class", "1"),
                "--class cannot be combined with TARGET",
            ),
            (
                ("saliency", "a.png", "--like", "b.png", "--class", "1"),
                "--class cannot be combined with --like",
            ),
            (
                ("occlude", "a.png", "--at", "1,1", "--class", "1"),
                "--class cannot be combined with --at",
            ),
        ],
    )
    def test_one_question_at_a_time(self, run: Run, words: tuple[str, ...], said: str) -> None:
        assert said in complaint(run("inspect", *words), 2)


@pytest.fixture(scope="module")
def classifier() -> torch.nn.Module:
    """Torchvision's own layers, with random weights and narrow between the first and last."""
    with torch.device("meta"):
        layers = torchvision.models.vgg16().classifier
    torch.manual_seed(0)
    layers[0], layers[3], layers[6] = (
        torch.nn.Linear(*sides) for sides in ((512 * 7 * 7, 24), (24, 24), (24, 1000))
    )
    narrow: torch.nn.Module = layers.eval()
    return narrow


@pytest.fixture(scope="module")
def imagenet(
    vgg16: Weights, classifier: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a model that was added from a state dict in torchvision's format."""
    state = {torchvision_names("vgg16")[name]: each for name, each in vgg16.tensors.items()}
    state |= {f"classifier.{name}": each for name, each in classifier.state_dict().items()}
    with torch.device("meta"):
        assert set(state) == set(torchvision.models.vgg16().state_dict())
    path = tmp_path_factory.mktemp("imagenet") / "whole.pth"
    torch.save(state, path)
    yield add_file(path, preprocessing="caffe").name
    for made in user_directory().glob("whole.*"):
        made.unlink()


class TestTorchvision:
    """A whole VGG-16 in torchvision's format: its names, 7 × 7 cells, three layers, ImageNet."""

    @pytest.mark.parametrize("size", [(4, 6), (14, 14), (31, 17)])
    def test_scores_are_those_of_torchvision(
        self, imagenet: str, classifier: torch.nn.Module, size: tuple[int, int]
    ) -> None:
        features = torch.rand(1, 512, *size, generator=torch.Generator().manual_seed(1))
        pooled = torch.nn.functional.max_pool2d(features, 2)
        with torch.no_grad():
            expected = classifier(torch.nn.AdaptiveAvgPool2d(7)(pooled).flatten(1))
            torch.testing.assert_close(load_head(imagenet)(features), expected)

    def test_by_its_name_in_all_three(self, run: Run, imagenet: str, tmp_path: Path) -> None:
        photo = save(scene(28, 64, DISC), tmp_path / "disc.png")
        common = ("--class", "golden retriever", "--network", imagenet, "--size", SIDE, "--json")
        for words in (
            ("saliency", photo),
            ("occlude", photo, "--patch", 48, "--step", 48),
            ("feature", "--steps", 2),
        ):
            out = tmp_path / f"{words[0]}.png"
            document = json.loads(done(run("inspect", *words, *common, "-o", out)).stdout)
            assert document["class"] == "golden retriever"
            assert load_recipe(out)["weights"]["name"] == imagenet
