"""``stylize inspect``: the group, and its commands about filters, channels and folders."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.cli import inspect
from stylize.cli.inspect import COMMANDS, Command
from stylize.cli.output import deliver
from stylize.errors import SettingError
from stylize.products.inspect import Question
from stylize.runs.recipe import load_recipe
from stylize.settings.fields import from_document, setting, to_document
from stylize.settings.inspect import (
    ActivationsSettings,
    FiltersSettings,
    InspectSettings,
    MapSettings,
    PatchesSettings,
)
from tests.cli.conftest import Run, complaint, done, listing, pointed_at, program, size_of
from tests.conftest import cat, save
from tests.products.inspect.albums import planted_folder
from tests.strategies import values

if TYPE_CHECKING:
    from stylize.images.read import Picture
    from stylize.products.inspect.result import Finding, OnStep

KINDS = (FiltersSettings, ActivationsSettings, PatchesSettings, MapSettings)
FAST = ("--precision", "fp32")
SMALL = ("--size", 32, "--thumbnail", 16)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DarkerSettings(InspectSettings):
    """Settings of a command that only this test has."""

    share: float = setting(0.5, "Share of the light.", low=0, high=1)
    network: str = setting("vgg16", "Network.")

    TECHNIQUE: ClassVar[str] = "inspect darker"


def show_darker(photo: Picture, settings: DarkerSettings, *, on_step: OnStep) -> Finding:
    from stylize.products.inspect.result import Finding, with_recipe
    from stylize.runs.session import Session

    on_step(1, 1)
    page = photo.pixels * settings.share
    weights = Session().weights(settings.network)
    result = with_recipe(page, settings, [("content", photo)], weights=weights, resolved={})
    return Finding(result, {"share": settings.share})


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return save(cat(32), tmp_path / "cat.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return planted_folder(tmp_path / "photos", 6).folder


class TestGroup:
    """The table, the help, the suggestions."""

    def test_every_command_has_its_summary(self, run: Run) -> None:
        shown = done(run("inspect", "--help")).stdout
        for name, entry in COMMANDS.items():
            assert f"  {name} " in shown
            assert entry.summary in shown

    def test_a_new_command_is_one_entry(
        self, run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = Command(
            "Show the photo darker.",
            Question(DarkerSettings, f"{__name__}:show_darker"),
            lambda settings: "darker",
            "Show PHOTO darker.",
            {"photo": "PHOTO"},
            on_device=False,
            unit="step",
        )
        monkeypatch.setitem(COMMANDS, "darker", entry)
        assert "  darker       Show the photo darker." in done(run("inspect", "-h")).stdout
        assert "--share N" in done(run("inspect", "darker", "--help-all")).stdout
        document = json.loads(done(run("inspect", "darker", scene, "--json")).stdout)
        assert document["share"] == 0.5
        assert document["file"] == str(scene.with_name("cat-darker.png"))
        assert load_recipe(scene.with_name("cat-darker.png"))["settings"]["share"] == 0.5
        line = complaint(run("inspect", "darker", scene, "--share", 2), 2)
        assert line.startswith("--share: 2 is too large")

    @pytest.mark.parametrize("name", ["filters", "activations", "patches", "map"])
    def test_help(self, run: Run, name: str) -> None:
        assert name in COMMANDS
        shown = done(run("inspect", name, "--help-all")).stdout
        assert f"stylize inspect {name}" in shown
        assert "--json" in shown
        assert "--max-memory" not in shown

    def test_misspelt(self, run: Run) -> None:
        line = complaint(run("inspect", "filtres"), 2)
        assert line.startswith("unknown inspect command 'filtres' (did you mean filters")
        assert run("inspect").exit_code == 2

    def test_torch_stays_away(self, tmp_path: Path) -> None:
        probe = (
            "import sys; from stylize.cli.main import cli\n"
            "for words in (['inspect', 'map', '--help'], ['inspect', 'patches', '--help'],\n"
            "              ['inspect', 'activations', 'x.png', 'conv9_9'], ['inspect', '-h']):\n"
            "    try: cli.main(words, 'stylize')\n"
            "    except SystemExit: pass\n"
            "sys.exit('torch' in sys.modules)"
        )
        call = program() | {"args": [sys.executable, "-c", probe]}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        assert subprocess.run(**call, **quiet, check=False, timeout=60).returncode == 0


class TestSettings:
    """As those of the other techniques."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_field_is_documented_and_bounded(self, kind: type[Any]) -> None:
        for each in dataclasses.fields(kind):
            assert each.metadata["help"].endswith(".")
            if str(each.type) in ("int", "float"):
                assert each.metadata["low"] is not None
                high = each.metadata["high"]
                with pytest.raises(SettingError, match="too large"):
                    kind(**{each.name: high + 1})

    @pytest.mark.parametrize("kind", [FiltersSettings, MapSettings])
    def test_there_and_back(self, kind: type[Any]) -> None:
        fields = [each for each in dataclasses.fields(kind) if each.name != "layer"]
        names = st.sampled_from(["conv1_1", "relu5_3"])

        @given(st.builds(kind, layer=names, **{each.name: values(each) for each in fields}))
        def check(settings: Any) -> None:
            assert from_document(kind, json.loads(json.dumps(to_document(settings)))) == settings

        check()


@pytest.mark.usefixtures("network")
class TestSheets:
    """Of filters and of activations."""

    def test_filters(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        result = done(run("inspect", "filters", "--count", 4, "--columns", 2))
        assert result.stderr.startswith("saved filters-conv1_1.png (")
        assert load_recipe(tmp_path / "filters-conv1_1.png")["settings"]["count"] == 4
        done(run("inspect", "filters", "--layer", "relu3_2", "--slices", 9, "--count", 2, "-q"))
        assert (tmp_path / "filters-relu3_2.png").exists()

    def test_activations(self, run: Run, scene: Path) -> None:
        words = ("inspect", "activations", scene, "relu2_1", *FAST, "--count", 3)
        result = done(run(*words, "--json"))
        document = json.loads(result.stdout)
        out = scene.with_name("cat-activations-relu2_1.png")
        assert document["file"] == str(out)
        assert len(document["shown"]) == 3
        assert document["recipe"] == load_recipe(out)
        verbose = done(run(*words, "-v", "-o", scene.with_name("b.png")))
        assert verbose.stderr.startswith("device cpu, fp32, ")

    def test_overlay_and_stdin(self, run: Run, scene: Path) -> None:
        words = ("inspect", "activations", "-", "relu1_1", *FAST, "--count", 1, "-o", "-")
        pages = [
            done(run(*words, *more, input=scene.read_bytes())).stdout_bytes
            for more in ((), ("--overlay",), ("--no-overlay",))
        ]
        assert pages[0] == pages[2] != pages[1]
        assert load_recipe(pages[1])["settings"]["overlay"] is True

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (("filters", "--layer", "conv9_9"), 2, "unknown layer of vgg16 'conv9_9'"),
            (("filters", "--network", "vgg18"), 2, "unknown network 'vgg18'"),
            (("filters", "--count", "0"), 2, "--count: 0 is too small (at least 1)"),
            (("filters", "--normalize", "none"), 2, "'none' is not one of"),
            (("filters", "-o", "x.gif"), 1, "no picture format has the extension '.gif'"),
            (("filters", "-o", "-", "--json"), 2, "-o - and --json both want stdout"),
            (("activations", "gone.png", "relu1_1"), 1, "gone.png: there is no such file"),
            (("activations", "cat.png", "relu1_1 + relu1_2"), 2, "is more than one layer"),
            (("activations", "cat.png", "2*relu1_1"), 2, "has a weight or a minus"),
            (("activations", "cat.png", "relu1_1", "--size", "big"), 2, "no such size"),
            (("activations", "cat.png", "relu5_1", "--size", "9"), 1, "9×9 px is too small for"),
            (("activations", "cat.png", "relu1_1", "--device", "cuda:9"), 2, "no device"),
            (("activations", "bad.png", "relu1_1"), 1, "bad.png is not a picture"),
            (("activations", "cat.png"), 2, "Missing argument 'LAYER'"),
        ],
    )
    def test_bad_requests(
        self,
        run: Run,
        scene: Path,
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
        code: int,
        said: str,
    ) -> None:
        monkeypatch.chdir(scene.parent)
        (scene.parent / "bad.png").write_text("no picture")
        before = listing(scene.parent)
        assert said in complaint(run("inspect", *words), code)
        assert listing(scene.parent) == before

    def test_expressions(self, run: Run, scene: Path) -> None:
        line, rest = pointed_at(run("inspect", "activations", scene, "relu1_1:3,64"))
        assert line.startswith("no channel 64")
        assert rest == "64"


@pytest.mark.usefixtures("network")
class TestFolders:
    """Patches and maps."""

    def test_patches(self, run: Run, folder: Path, tmp_path: Path) -> None:
        words = ("inspect", "patches", folder, "relu2_2:3,5", *FAST, "--top", 2, "--cell", 32)
        result = done(run(*words, "--json"))
        out = tmp_path / "photos-patches-relu2_2-3-5.png"
        document = json.loads(result.stdout)
        assert document["file"] == str(out)
        assert list(document["channels"]) == ["relu2_2:3", "relu2_2:5"]
        assert load_recipe(out)["inputs"][0]["count"] == 6
        nearby = {path.name for path in tmp_path.iterdir()}
        assert nearby == {"photos", out.name, f"{out.name}.sha256"}
        assert len((tmp_path / f"{out.name}.sha256").read_text().splitlines()) == 6
        (folder / "bad.png").write_text("no picture")
        again = done(run(*words, "-o", out, "--overwrite"))
        skipped, count, saved = again.stderr.splitlines()
        assert skipped.startswith("skipped: ")
        assert count == "1 of 7 photos skipped"
        assert saved.startswith(f"saved {out} (")
        assert done(run(*words, "-o", out, "--overwrite", "-q")).stderr == ""

    def test_patches_that_were_stopped(
        self, run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = ("inspect", "patches", folder, "relu1_2:3", *FAST, "--cell", 32, "-o")
        done(run(*words, tmp_path / "whole.png"))
        from stylize.products.inspect.patches import PatchSearch

        search = PatchSearch.run
        count = iter(range(100))

        def stopped(self: PatchSearch, state: Path, reported: Any, warned: Any, stop: Any) -> Any:
            return search(self, state, reported, warned, lambda: next(count) == 3)

        monkeypatch.setattr(PatchSearch, "run", stopped)
        line = complaint(run(*words, tmp_path / "page.png"), 130)
        assert line == "stopped after 3 of 6 photos (the same command continues from there)"
        assert {path.name for path in tmp_path.iterdir()} == {
            "photos",
            "whole.png",
            "whole.png.sha256",
            ".page.png.search",
        }
        monkeypatch.setattr(PatchSearch, "run", search)
        done(run(*words, tmp_path / "page.png"))
        assert (tmp_path / "page.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
        assert not (tmp_path / ".page.png.search").exists()

    @pytest.mark.parametrize(("name", "times"), [("SIGINT", 1), ("SIGINT", 2), ("SIGTERM", 2)])
    def test_a_signal_while_the_page_is_written(
        self,
        run: Run,
        folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        times: int,
    ) -> None:
        """The first does not cost the page, the second not the search."""
        left = iter(range(times))

        def interrupted(*arguments: Any) -> Any:
            for _ in left:
                signal.raise_signal(getattr(signal, name))
            return deliver(*arguments)

        monkeypatch.setattr(inspect, "deliver", interrupted)
        page, state = tmp_path / "page.png", tmp_path / ".page.png.search"
        words = ("inspect", "patches", folder, "relu1_2:3", *FAST, "--cell", 32, "-o", page)
        first = run(*words)
        assert "saving the finished result (again to quit at once)" in first.stderr
        assert page.exists() == (times == 1), first.stderr
        assert state.exists() == (times == 2)
        if times == 2:
            assert first.exit_code == (130 if name == "SIGINT" else 143)
            first = run(*words)
        assert f"saved {page}" in done(first).stderr
        assert {path.name for path in tmp_path.iterdir()} == {
            "photos",
            "page.png",
            "page.png.sha256",
        }

    def test_map(self, run: Run, folder: Path, tmp_path: Path) -> None:
        words = ("inspect", "map", folder, *FAST, *SMALL)
        document = json.loads(done(run(*words, "--json")).stdout)
        out = tmp_path / "photos-map.png"
        assert size_of(out) == (3 * 18 + 2, 2 * 18 + 2)
        assert {each["photo"] for each in document["photos"]} == set(listing(folder))
        first = listing(tmp_path)
        assert set(first) - set(first["photos"] or []) >= {
            "photos-map.html",
            "photos-map.png.sha256",
        }
        done(run(*words, "-o", out, "--overwrite"))
        assert listing(tmp_path) == first, "the same folder, the same map"
        line = complaint(run(*words, "-o", tmp_path / "photos-map.webp"), 1)
        assert line.endswith("photos-map.html already exists (replace it with --overwrite)")

    def test_to_stdout_nothing_is_written(self, run: Run, folder: Path, tmp_path: Path) -> None:
        before = listing(tmp_path)
        for words in (("map", folder, *SMALL), ("patches", folder, "relu1_1:3", "--cell", 32)):
            result = done(run("inspect", *words, *FAST, "-o", "-"))
            assert load_recipe(result.stdout_bytes)["inputs"][0]["role"] == "photos"
        assert listing(tmp_path) == before

    def test_recursive(self, run: Run, folder: Path) -> None:
        (folder / "below").mkdir()
        save(cat(32), folder / "below" / "cat.png")
        counts = []
        for more in ((), ("-r",)):
            result = run("inspect", "map", folder, *FAST, *SMALL, *more, "--json", "--overwrite")
            counts.append(len(json.loads(done(result).stdout)["photos"]))
        assert counts == [6, 7]

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (("patches", "gone", "relu1_1:3"), 1, "gone is not a folder"),
            (("patches", "photos/p01.png", "relu1_1:3"), 1, "p01.png is not a folder"),
            (("patches", "empty", "relu1_1:3"), 1, "empty holds no photos (-r also looks"),
            (("patches", "photos", "relu2_1"), 2, "128 channels are too many for one page"),
            (("patches", "photos", "0.5*relu2_1:3"), 2, "has a weight or a minus"),
            (("patches", "photos", "relu1_1:3", "--top", "0"), 2, "--top: 0 is too small"),
            (("patches", "photos", "relu1_1:3", "-o", "-", "--json"), 2, "both want stdout"),
            (("map", "empty"), 1, "empty holds no photos"),
            (("map", "photos", "--layer", "relu5_9"), 2, "unknown layer of vgg16 'relu5_9'"),
            (("map", "photos", "--perplexity", "nan"), 2, "--perplexity: nan is not a finite"),
            (("map", "photos", "--size", "8"), 1, "no photo can be used: p00.png: 8×8 px is too"),
            (("map", "photos", "-o", "photos/p01.png", "--overwrite"), 1, "is an input of this"),
        ],
    )
    def test_bad_requests(
        self,
        run: Run,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
        code: int,
        said: str,
    ) -> None:
        monkeypatch.chdir(folder.parent)
        (folder.parent / "empty").mkdir()
        before = listing(folder.parent)
        quiet = () if "--json" in words else ("-q",)
        assert said in complaint(run("inspect", *words, *quiet), code)
        assert listing(folder.parent) == before
