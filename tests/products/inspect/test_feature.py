"""Pictures of channels, neurons and directions, and caricatures, on the real network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylize.errors import PictureError, SettingError
from stylize.products.inspect import feature as feature_module
from stylize.products.inspect.caricature import exaggeration, show_caricature
from stylize.products.inspect.feature import direction_of, show_feature
from stylize.products.inspect.model import Model
from stylize.products.inspect.response import mean_activations
from stylize.products.inspect.result import GAP_PX, row_of
from stylize.settings.execution import Execution
from stylize.settings.inspect import CaricatureSettings, FeatureSettings
from tests.conftest import as_picture, cat, photo, strokes

pytestmark = pytest.mark.usefixtures("network")
EXACT = Execution(precision="fp32")


def grown(**changes: object) -> Tensor:
    settings = FeatureSettings(**({"target": "conv3_1:7", "size": 32, "steps": 12} | changes))
    return show_feature(settings, EXACT).result.pixels


def answer(image: Tensor, text: str = "conv3_1", channel: int = 7) -> Tensor:
    with torch.no_grad():
        return Model("vgg16", EXACT).network((text,))(image)[text][0, channel]


class TestFeature:
    """Every option, in its direction."""

    def test_excites_its_channel(self) -> None:
        image = grown()
        assert image.shape == (1, 3, 32, 32)
        grey = answer(torch.full_like(image, 0.5)).mean()
        assert answer(image).mean() > grey + 100
        assert answer(grown(target="relu3_1:7")).mean() > grey + 100, "a channel has a slope there"
        assert answer(image).mean() > answer(image, channel=8).mean()

    def test_colourful_not_grey_noise(self) -> None:
        image = grown(steps=20, size=64)
        assert float((image.amax(1) - image.amin(1)).mean()) > 0.05
        assert float(image.std()) > 0.1

    def test_negative_is_the_opposite(self) -> None:
        assert answer(grown(negative=True)).mean() < answer(grown()).mean() - 200

    def test_a_neuron_changes_the_middle_alone(self) -> None:
        departure = (grown(neuron=True, size=96) - 0.5).abs().mean(1)[0]
        assert departure[40:56, 40:56].mean() > 1.5 * departure[:16].mean()

    def test_steps_and_rate(self) -> None:
        assert answer(grown(steps=20)).mean() > answer(grown(steps=6)).mean()
        assert answer(grown(rate=1.0)).mean() > answer(grown(rate=0.1)).mean()

    def test_decay(self) -> None:
        def roughness(image: Tensor) -> float:
            return float(image.diff(dim=3).square().mean() / image.var())

        assert roughness(grown(decay=2.0)) < roughness(grown(decay=0.5))

    def test_seeds(self) -> None:
        assert torch.equal(grown(), grown())
        assert not torch.equal(grown(), grown(seed=1))

    def test_a_row_of_different_ones(self) -> None:
        row = grown(diversity=3)
        assert row.shape == (1, 3, 32, 3 * 32 + 2 * GAP_PX)
        first, second = row[..., :32], row[..., 32 + GAP_PX :][..., :32]
        assert float((first - second).abs().mean()) > 0.02

    def test_a_strip_from_one_to_another(self) -> None:
        row = grown(to="conv3_1:50", frames=3, steps=20)
        pitch = 32 + GAP_PX
        pictures = [row[..., start : start + 32] for start in (0, pitch, 2 * pitch)]
        of_first = [float(answer(each).mean()) for each in pictures]
        of_second = [float(answer(each, channel=50).mean()) for each in pictures]
        assert of_first == sorted(of_first, reverse=True)
        assert of_second == sorted(of_second)

    def test_the_older_method(self) -> None:
        image = grown(method="cs231n")
        assert answer(image).mean() > answer(torch.full_like(image, 0.5)).mean() + 50
        assert not torch.equal(image, grown(method="cs231n", l2=0.2))
        assert not torch.equal(image, grown(method="cs231n", blur_every=0))
        assert not torch.equal(image, grown(method="cs231n", cut=0.6))

    def test_recipe_numbers_and_stop(self) -> None:
        settings = FeatureSettings(target="conv2_1:3", size=32, steps=9)
        reported: list[int] = []
        finding = show_feature(
            settings,
            EXACT,
            on_step=lambda step, total: reported.append(step),
            stop=lambda: len(reported) == 4,
        )
        recipe = finding.result.recipe
        assert recipe["technique"] == "inspect feature"
        assert recipe["settings"]["target"] == "conv2_1:3"
        assert recipe["interrupted"] and finding.result.interrupted
        assert finding.numbers["steps"] == recipe["resolved"]["steps"] == 4
        assert len(finding.numbers["responses"]) == 1


class TestDirection:
    """More of what photos share."""

    photos = (as_picture(strokes(64, 64), "a.png"), as_picture(strokes(64, 64, 9.0), "b.png"))

    def test_what_grows_is_nearer_to_them(self) -> None:
        settings = FeatureSettings(target="conv3_1", size=64, steps=20)
        image = show_feature(settings, EXACT, direction=self.photos).result.pixels
        model = Model("vgg16", EXACT)
        along = direction_of("conv3_1", model, self.photos).direction
        with torch.no_grad():
            means = [
                mean_activations(model.network(("conv3_1",))(each)["conv3_1"])[0]
                for each in (image, cat(64), photo(64, 64))
            ]
        of_it, of_cat, of_disc = (
            float(torch.cosine_similarity(each, along, dim=0)) for each in means
        )
        assert of_it > max(of_cat, of_disc)

    def test_the_recipe_names_them(self) -> None:
        settings = FeatureSettings(target="relu2_1", size=32, steps=1)
        finding = show_feature(settings, EXACT, direction=self.photos)
        inputs = finding.result.recipe["inputs"]
        assert [(each["role"], each["name"]) for each in inputs] == [
            ("direction", "a.png"),
            ("direction", "b.png"),
        ]

    @pytest.mark.parametrize("target", ["conv3_1:7", "conv3_1 + conv2_1", "2*conv3_1"])
    def test_needs_one_layer(self, target: str) -> None:
        with pytest.raises(SettingError, match="is not one layer"):
            show_feature(FeatureSettings(target=target), EXACT, direction=self.photos)

    def test_nothing_in_common(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With pictures of which nothing is unusual."""
        monkeypatch.setattr(feature_module, "subjectless", lambda: strokes(64, 64))
        settings = FeatureSettings(target="conv2_1", size=32, steps=1)
        with pytest.raises(SettingError, match="nothing in common at conv2_1"):
            show_feature(settings, EXACT, direction=self.photos[:1])

    def test_noise_of_no_subject(self) -> None:
        pictures = feature_module.subjectless()
        assert pictures.shape == (4, 3, 256, 256)
        assert float(pictures.mean()) == pytest.approx(0.5, abs=0.05)
        coarse, fine = (
            float((pictures[..., step:] - pictures[..., :-step]).square().mean())
            for step in (32, 1)
        )
        assert coarse > 3 * fine, "as in photographs, far pixels differ more than near ones"


class TestCaricature:
    """``dot · max(0.1, cos)^power``."""

    def test_by_hand(self) -> None:
        reference = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
        grown = torch.tensor([3.0, 0.0]).view(1, 2, 1, 1)
        # The product is 9 of 25, the cosine 3/5.
        for power, expected in [(0, 0.36), (1, 0.216), (2, 0.1296)]:
            assert float(exaggeration(grown, reference, power)) == pytest.approx(expected)
        assert float(exaggeration(-reference, reference, 1)) == pytest.approx(-0.1)
        assert float(exaggeration(2 * reference, reference, 3)) == pytest.approx(2)

    def settings(self, **changes: object) -> CaricatureSettings:
        usual = {"layer": "relu2_2", "size": "48", "steps": 40}
        return CaricatureSettings(**(usual | changes))

    def similarity(self, image: Tensor) -> float:
        with torch.no_grad():
            both = Model("vgg16", EXACT).network(("relu2_2",))(torch.cat([image, cat(48)]))
        first, second = both["relu2_2"].flatten(1)
        return float(torch.cosine_similarity(first, second, dim=0))

    def test_of_a_cat(self) -> None:
        scene = as_picture(cat(48), "cat.png")
        faithful, wild = (
            show_caricature(scene, self.settings(power=power), EXACT) for power in (4.0, 0.0)
        )
        assert self.similarity(faithful.result.pixels) > self.similarity(wild.result.pixels)
        assert self.similarity(faithful.result.pixels) > 0.5
        assert wild.numbers["exaggeration"] > faithful.numbers["exaggeration"]
        assert faithful.result.recipe["technique"] == "inspect caricature"

    def test_options(self) -> None:
        scene = as_picture(cat(48), "cat.png")

        def drawn(**changes: object) -> Tensor:
            settings = self.settings(**({"steps": 3} | changes))
            return show_caricature(scene, settings, EXACT).result.pixels

        usual = drawn()
        for changes in ({"seed": 1}, {"rate": 3.0}, {"decay": 2.0}, {"layer": "relu1_1"}):
            assert not torch.equal(drawn(**changes), usual), changes
        assert drawn(size="32").shape == (1, 3, 32, 32)

    def test_too_small(self) -> None:
        with pytest.raises(PictureError, match="too small for relu5_1"):
            show_caricature(as_picture(cat(16)), self.settings(layer="relu5_1", size="8"), EXACT)


def test_a_row() -> None:
    pictures = torch.rand(3, 3, 4, 5)
    row = row_of(pictures)
    assert row.shape == (1, 3, 4, 3 * 5 + 2 * GAP_PX)
    assert torch.equal(row[0, ..., 5 + GAP_PX : 10 + GAP_PX], pictures[1])
    assert float(row[..., 5 : 5 + GAP_PX].std()) == 0
