"""``stylize dream``: what it dreams on, what its options do, what it refuses."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from PIL import Image

from stylize.cli.dream import dream
from stylize.images.read import read_picture
from stylize.images.resampling import resize
from stylize.images.write import write_picture
from stylize.masks import subject
from stylize.runs.recipe import load_recipe
from stylize.settings.dream import DreamSettings
from stylize.settings.execution import Execution
from stylize.settings.fields import option_name
from stylize.settings.presets import DEFAULTS, read_preset
from tests.cli.conftest import (
    BRIEF,
    Run,
    StopAfter,
    complaint,
    done,
    listing,
    pointed_at,
    size_of,
)
from tests.conftest import cat, photo, save, strokes

pytestmark = pytest.mark.usefixtures("network")
# What is typed for each setting, and what it means.
TYPED: dict[str, tuple[list[object], Any]] = {
    "size": ([24], "24"),
    "enlarge": ([], True),
    "from_noise": (["24x20"], "24x20"),
    "layers": (["conv1_2", "0.5*conv2_1:3"], "conv1_2 + 0.5*conv2_1:3"),
    "strength": ([7.5], 7.5),
    "octaves": ([2], 2),
    "octave_scale": ([1.6], 1.6),
    "min_octave": ([20], 20),
    "steps": ([2], 2),
    "carry": (["rescale"], "rescale"),
    "palette": (["neon"], "neon"),
    "smoothing": (["laplacian"], "laplacian"),
    "guide_mode": (["channels"], "channels"),
    "guide_size": ([100], 100),
    "keep_colors": ([], True),
    "fidelity": ([0.25], 0.25),
    "subject": (["keep"], "keep"),
    "background": (["keep"], "keep"),
    "feather": ([3], 3),
    "tileable": ([], True),
    "jitter": ([3], 3),
    "seed": ([5], 5),
    "pooling": (["avg"], "avg"),
    "network": (["vgg16"], "vgg16"),
}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return save(cat(48), tmp_path / "cat.png")


def pixels_of(path: Path) -> torch.Tensor:
    return read_picture(path).pixels


@pytest.fixture(autouse=True)
def glance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network sees less: how well a subject is found is another file's matter."""
    monkeypatch.setattr(subject, "SEEN_PX", 96)
    monkeypatch.setattr(subject, "PROPOSED_PX", 48)


class TestPlaces:
    """Where the photograph comes from and the picture goes."""

    def test_a_picture_with_its_recipe(self, run: Run, scene: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.png"
        result = done(run("dream", scene, *BRIEF, "-o", out, "--seed", 5))
        assert result.stdout == ""
        assert result.stderr.startswith(f"saved {out} (48×48, ")
        recipe = load_recipe(out)
        assert (recipe["technique"], recipe["settings"]["seed"]) == ("dream", 5)
        assert recipe["resolved"]["scales"] == [[48, 48, 1]]
        assert [(each["role"], each["name"]) for each in recipe["inputs"]] == [
            ("content", "cat.png")
        ]
        assert not recipe["interrupted"]
        assert float((pixels_of(out) - cat(48)).abs().mean()) > 0.05, "nothing was dreamt"

    @pytest.mark.parametrize(
        ("words", "name"),
        [
            ((), "cat-dogs-layer-conv2_2.png"),
            (("--preset", "eyes"), "cat-eyes-layer-conv2_2.png"),
            (("--preset", "mine.toml"), "cat-mine-layer-conv2_2.png"),
        ],
    )
    def test_beside_the_photo_called_by_the_preset(
        self,
        run: Run,
        scene: Path,
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
        name: str,
    ) -> None:
        (scene.parent / "mine.toml").write_text('technique = "dream"\n[settings]\nseed = 3\n')
        (scene.parent / "elsewhere").mkdir()
        monkeypatch.chdir(scene.parent)
        done(run("dream", "cat.png", *words, *BRIEF))
        done(run("dream", scene, *words, *BRIEF, "-o", "elsewhere"))
        done(run("dream", scene, *words, *BRIEF))
        assert (scene.parent / name).exists()
        assert (scene.parent / "elsewhere" / name).exists()
        assert (scene.parent / name.replace(".png", "-2.png")).exists()

    def test_noise_in_the_current_folder(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        result = done(run("dream", "--from-noise", "40x24", *BRIEF))
        assert result.stderr.startswith("saved noise-dogs-layer-conv2_2.png (40×24, ")
        assert size_of(tmp_path / "noise-dogs-layer-conv2_2.png") == (40, 24)
        assert load_recipe(tmp_path / "noise-dogs-layer-conv2_2.png")["inputs"] == []

    def test_from_stdin_to_stdout(self, run: Run, scene: Path, tmp_path: Path) -> None:
        before = listing(tmp_path)
        words = ("dream", "-", *BRIEF, "-o", "-", "--format", "jpeg", "--size", 32)
        result = done(run(*words, input=scene.read_bytes()))
        assert result.stderr == ""
        with Image.open(io.BytesIO(result.stdout_bytes)) as image:
            assert (image.format, image.size) == ("JPEG", (32, 32))
        (source,) = load_recipe(result.stdout_bytes)["inputs"]
        assert source["name"] == "stdin"
        assert listing(tmp_path) == before

    def test_transparency_stays(self, run: Run, tmp_path: Path) -> None:
        image = Image.new("RGBA", (32, 32), (200, 100, 50, 255))
        image.paste((0, 0, 0, 0), (0, 0, 16, 32))
        image.save(tmp_path / "half.png")
        done(run("dream", tmp_path / "half.png", *BRIEF, "-o", tmp_path / "out.png"))
        alpha = read_picture(tmp_path / "out.png").alpha
        assert alpha is not None
        assert float(alpha[..., :16].max()) == 0
        assert float(alpha[..., 16:].min()) == 1

    @pytest.mark.parametrize("which", ["cat.png", "mask.png", "guide.png"])
    def test_never_onto_an_input(self, run: Run, scene: Path, tmp_path: Path, which: str) -> None:
        save(photo(48, 48), tmp_path / "mask.png")
        save(strokes(48, 48), tmp_path / "guide.png")
        before = listing(tmp_path)
        words = ("--mask", tmp_path / "mask.png", "--guide", tmp_path / "guide.png", "--overwrite")
        result = run("dream", scene, *BRIEF, *words, "-o", tmp_path / which)
        assert "is an input of this run" in complaint(result, 1)
        assert listing(tmp_path) == before


class TestMessages:
    """What is printed on the way."""

    def test_json_lines(self, run: Run, scene: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.png"
        words = ("--octaves", 2, "--steps", 2, "--json", "-o", out)
        result = done(run("dream", scene, *BRIEF, *words))
        assert result.stderr == ""
        events = [json.loads(line) for line in result.stdout.splitlines()]
        assert [each["event"] for each in events] == ["start", *["step"] * 4, "done"]
        events = events[1:]
        places = [
            (each["scale"], each["scales"], each["step"], each["size"]) for each in events[:4]
        ]
        assert places == [
            (1, 2, 1, [34, 34]),
            (1, 2, 2, [34, 34]),
            (2, 2, 1, [48, 48]),
            (2, 2, 2, [48, 48]),
        ]
        assert all(each["losses"].keys() == {"dream conv2_2"} for each in events[:4])
        assert events[1]["total"] > events[0]["total"], "what is wanted grows"
        assert events[4]["file"] == str(out)
        assert events[4]["recipe"] == load_recipe(out)

    def test_the_plan(self, run: Run, scene: Path, tmp_path: Path) -> None:
        words = ("dream", scene, *BRIEF, "--octaves", 2, "-o", tmp_path / "out.png", "-v")
        plan = done(run(*words, "--threads", 1)).stderr.splitlines()
        assert plan[0] == "device cpu, fp32, 1 thread"
        assert plan[1] == "scales 34×34: 1, 48×48: 1"
        assert "TFLOP" in plan[2]
        assert "GB of memory" in plan[2]
        assert plan[3].startswith("saved ")

    def test_the_note_about_fewer_octaves(self, run: Run, scene: Path, tmp_path: Path) -> None:
        words = ("dream", scene, "--steps", 1, "--precision", "fp32", "--overwrite")
        words += ("-o", tmp_path / "out.png")
        note = "1 octave instead of 4: conv4_3 needs 64 px on the short side"
        assert done(run(*words)).stderr.startswith("saved"), "nobody asked for octaves"
        assert done(run(*words, "--octaves", 4)).stderr.splitlines()[0] == note
        assert done(run(*words, "-v")).stderr.splitlines()[0] == note
        assert done(run(*words, "--min-octave", 16)).stderr.startswith("saved")
        assert done(run(*words, "--quiet")).stderr == ""
        assert done(run(*words, "--octaves", 1)).stderr.startswith("saved")

    def test_stopped_early(
        self, run: Run, scene: Path, tmp_path: Path, stop_after: StopAfter
    ) -> None:
        out = tmp_path / "out.png"
        words = ("dream", scene, *BRIEF, "--octaves", 2, "--steps", 3, "-o", out)
        stop_after(3)
        result = done(run(*words), 130)
        assert result.stderr.startswith(f"stopped early, saved {out} (48×48, ")
        recipe = load_recipe(out)
        assert recipe["interrupted"]
        assert sum(steps for _, _, steps in recipe["resolved"]["scales"]) < 6
        out.unlink()
        stop_after(0)
        assert complaint(run(*words), 130) == "stopped before the first step"
        assert not out.exists()


class TestOptions:
    """Each does something, and what it says."""

    @pytest.mark.parametrize("each", dataclasses.fields(DreamSettings), ids=lambda each: each.name)
    def test_from_the_command_line_into_the_recipe(
        self, run: Run, scene: Path, tmp_path: Path, each: dataclasses.Field[Any]
    ) -> None:
        (option,) = (p for p in dream.params if p.name == each.name)
        assert isinstance(option, click.Option)
        assert option.opts == [option_name(each)]
        assert option.default is None, "only the settings know defaults"
        assert option.help is not None
        assert option.help.startswith(each.metadata["help"])
        typed, meant = TYPED[each.name]
        said = [word for value in typed for word in (option_name(each), value)]
        brief = dict(zip(BRIEF[::2], BRIEF[1::2], strict=True))
        if each.name == "enlarge":
            brief["--size"] = 64
        brief.pop(option_name(each), None)
        words = [word for pair in brief.items() for word in pair]
        start = () if each.name == "from_noise" else (scene,)
        out = tmp_path / "out.png"
        done(run("dream", *start, *words, *(said or [option_name(each)]), "-o", out))
        assert load_recipe(out)["settings"][each.name] == meant

    def test_no_option_beside_the_settings_goes_unnoticed(self) -> None:
        execution = {each.name for each in dataclasses.fields(Execution)}
        own = {p.name for p in dream.params} - TYPED.keys() - execution
        plumbing = "photo guide mask preset save_preset as_json quiet verbose max_input_pixels"
        files = "output overwrite format depth quality save_steps film save_mask show variants"
        safety = "checkpoint no_checkpoint checkpoint_every help_all"
        assert own == {*plumbing.split(), *files.split(), *safety.split()}

    def test_the_mask_keeps_the_photo(self, run: Run, scene: Path, tmp_path: Path) -> None:
        white = torch.zeros(1, 3, 96, 96)
        white[..., :48, :] = 1
        mask, out = save(white, tmp_path / "mask.png"), tmp_path / "out.png"
        done(run("dream", scene, *BRIEF, "--size", 32, "--mask", mask, "-o", out))
        write_picture(tmp_path / "small.png", resize(read_picture(scene).pixels, (32, 32)))
        change = (pixels_of(out) - pixels_of(tmp_path / "small.png")).abs() * 255
        assert float(change[..., 20:, :].max()) == 0
        assert float(change[..., :14, :].mean()) > 5
        assert [each["role"] for each in load_recipe(out)["inputs"]] == ["content", "mask"]

    def test_the_guide_changes_the_dream(self, run: Run, scene: Path, tmp_path: Path) -> None:
        guide = save(strokes(64, 64), tmp_path / "guide.png")
        pictures = []
        for number, words in enumerate(
            [(), ("--guide", guide), ("--guide", guide, "--guide-mode", "channels")]
        ):
            out = tmp_path / f"{number}.png"
            done(run("dream", scene, *BRIEF, *words, "-o", out))
            pictures.append(pixels_of(out))
        assert load_recipe(out)["inputs"][1]["name"] == "guide.png"
        for one, other in [(0, 1), (0, 2), (1, 2)]:
            assert float((pictures[one] - pictures[other]).abs().mean()) > 0.01

    def test_colours_that_stay(self, run: Run, scene: Path, tmp_path: Path) -> None:
        def chroma(pixels: torch.Tensor) -> torch.Tensor:
            red, green, blue = pixels[0]
            luma = 0.299 * red + 0.587 * green + 0.114 * blue
            return torch.stack([blue - luma, red - luma])

        moved = []
        for words in ((), ("--keep-colors",)):
            out = tmp_path / f"{len(words)}.png"
            done(run("dream", scene, *BRIEF, *words, "-o", out))
            moved.append(float((chroma(pixels_of(out)) - chroma(cat(48))).abs().mean()))
        assert moved[1] < 0.004
        assert moved[0] > 0.02

    def test_edges_that_meet(self, run: Run, tmp_path: Path) -> None:
        ramp = save(photo(48, 48), tmp_path / "ramp.png")
        jumps = []
        for words in ((), ("--tileable",)):
            out = tmp_path / f"{len(words)}.png"
            done(run("dream", ramp, *BRIEF, "--strength", 10, *words, "-o", out))
            pixels = pixels_of(out)
            jumps.append(float((pixels[..., 0, :] - pixels[..., -1, :]).abs().mean()))
        assert jumps[1] < 0.25 * jumps[0]

    def test_pictures_on_the_way(self, run: Run, scene: Path, tmp_path: Path) -> None:
        steps, out = tmp_path / "steps", tmp_path / "out.png"
        words = ("--octaves", 2, "--steps", 2, "--save-steps", steps)
        done(run("dream", scene, *BRIEF, *words, "-o", out))
        assert [path.name for path in sorted(steps.iterdir())] == [
            "scale-1-34x34-step-0001.png",
            "scale-1-34x34-step-0002.png",
            "scale-2-48x48-step-0001.png",
            "scale-2-48x48-step-0002.png",
        ]
        last = pixels_of(steps / "scale-2-48x48-step-0002.png")
        assert torch.equal(last, pixels_of(out))
        assert size_of(steps / "scale-1-34x34-step-0001.png") == (34, 34)

    def test_no_input_among_the_pictures_on_the_way(self, run: Run, tmp_path: Path) -> None:
        steps = tmp_path / "steps"
        steps.mkdir()
        scene = save(cat(48), steps / "scale-1-48x48-step-0001.png")
        words = ("--save-steps", steps, "-o", tmp_path / "out.png")
        line = complaint(run("dream", scene, *BRIEF, *words), 1)
        assert "is an input of this run (keep previews elsewhere)" in line

    def test_a_preset_saved_and_used_again(self, run: Run, scene: Path, tmp_path: Path) -> None:
        mine, outs = tmp_path / "mine.toml", [tmp_path / "1.png", tmp_path / "2.png"]
        words = (*BRIEF[:-2], "--palette", "neon", "--seed", 4, "--save-preset", mine)
        done(run("dream", scene, *words, "--precision", "fp32", "-o", outs[0]))
        saved = read_preset(mine, "dream")
        assert saved.settings == {
            "layers": "conv2_2",
            "octaves": 1,
            "palette": "neon",
            "seed": 4,
            "steps": 1,
        }
        words = ("--preset", mine, "--precision", "fp32", "-o")
        done(run("dream", scene, *words, outs[1]))
        assert torch.equal(pixels_of(outs[0]), pixels_of(outs[1]))
        assert load_recipe(outs[1])["preset"] == "mine"
        done(run("dream", scene, *words, outs[0], "--seed", 5, "--overwrite"))
        assert load_recipe(outs[0])["settings"]["seed"] == 5
        line = complaint(run("dream", scene, "--save-preset", mine), 1)
        assert line == f"{mine} already exists (replace it with --overwrite)"

    def test_the_default_preset_is_not_recorded(
        self, run: Run, scene: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.png"
        done(run("dream", scene, *BRIEF, "--preset", DEFAULTS["dream"], "-o", out))
        assert "preset" not in load_recipe(out)


def text_file(folder: Path) -> Path:
    (folder / "bad.png").write_text("This is no picture.")
    return folder / "bad.png"


def cut_off(folder: Path) -> Path:
    path = save(cat(48), folder / "bad.png")
    path.write_bytes(path.read_bytes()[:-500])
    return path


def missing(folder: Path) -> Path:
    return folder / "bad.png"


def a_folder(folder: Path) -> Path:
    (folder / "bad.png").mkdir()
    return folder / "bad.png"


class TestBadInput:
    """One line, the right code, nothing left behind."""

    @pytest.mark.parametrize("place", ["photo", "guide", "mask"])
    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (text_file, "bad.png is not a picture this program reads"),
            (cut_off, "bad.png is damaged or incomplete"),
            (missing, "bad.png: there is no such file"),
            (a_folder, "bad.png is a folder, not a picture"),
        ],
    )
    def test_pictures(
        self,
        run: Run,
        scene: Path,
        tmp_path: Path,
        place: str,
        make: Callable[[Path], Path],
        said: str,
    ) -> None:
        bad = make(tmp_path)
        before = listing(tmp_path)
        words = (bad,) if place == "photo" else (scene, f"--{place}", bad)
        aside = ("--save-preset", tmp_path / "p.toml", "--save-steps", tmp_path / "steps")
        assert said in complaint(run("dream", *words, *BRIEF, *aside), 1)
        assert listing(tmp_path) == before

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ((), "nothing to dream on (name a picture, or --from-noise 640x480)"),
            (("cat.png", "--from-noise", "32x32"), "--from-noise needs no photo (leave one of"),
            (
                ("--from-noise", "32x32", "--size", "64"),
                "--size cannot be combined with --from-noise",
            ),
            (("--from-noise", "512"), "--from-noise: '512' is not WxH (for instance 640x480)"),
            (("--from-noise", "0x32"), "a side is 1 to 100000 pixels"),
            (
                ("cat.png", "cat.png"),
                "Got unexpected extra argument 'cat.png' ('stylize transfer' paints in a style",
            ),
            (("cat.png", "--octaves", "-2"), "--octaves: -2 is too small (at least 1)"),
            (("cat.png", "--octaves", "many"), "'many' is not a whole number"),
            (("cat.png", "--strength", "nan"), "--strength: nan is not a finite number"),
            (("cat.png", "--strength", "-1"), "--strength: -1 is too small (at least 0)"),
            (("cat.png", "--fidelity", "1.5"), "--fidelity: 1.5 is too large (at most 1)"),
            (("cat.png", "--octave-scale", "1"), "--octave-scale: 1 is too small"),
            (("cat.png", "--preset", "dgos"), "unknown preset 'dgos' (did you mean dogs"),
            (("cat.png", "--preset", "bold"), "unknown preset 'bold'"),
            (("cat.png", "--network", "vgg61"), "unknown network 'vgg61' (did you mean "),
            (("cat.png", "--size", "big"), "no such size: 'big'"),
            (("cat.png", "--palette", "loud"), "'loud' is not one of 'natural', 'neon'"),
            (("-", "--guide", "-"), "stdin can give only one picture"),
            (("cat.png", "-o", "-", "--json"), "-o - and --json both want stdout"),
            (("cat.png", "--format", "png"), "--format works only with -o -"),
            (("cat.png", "--save-preset", "p.txt"), "p.txt does not end in .toml"),
        ],
    )
    def test_requests(
        self,
        run: Run,
        scene: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
        said: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        before = listing(tmp_path)
        assert said in complaint(run("dream", *words), 2)
        assert listing(tmp_path) == before

    @pytest.mark.parametrize(
        ("expression", "said", "rest"),
        [
            ("conv4_9", "unknown layer of vgg16 'conv4_9' (did you mean conv4_", "conv4_9"),
            ("conv3_3 + conv6_1", "unknown layer of vgg16 'conv6_1'", "conv6_1"),
            ("conv5_1:7,512", "no channel 512: conv5_1 of vgg16 has 512 channels (0 to 5", "512"),
            ("conv1_1:60-70", "no channel 64: conv1_1 of vgg16 has 64 channels", "60-70"),
            ("conv4_3 + ", "expected a layer or a weight, found the end", ""),
            ("conv4_3 conv3_3", "expected + or -, found 'c'", "conv3_3"),
            ("2x*conv4_3", "expected * after the weight, found 'x'", "x*conv4_3"),
            ("nan*conv4_3", "expected a number after *, found 'c'", "conv4_3"),
            ("", "no layer is named", ""),
            ("conv4_3 + conv4_3", "'conv4_3' is named twice", "conv4_3"),
        ],
    )
    def test_expressions(
        self, run: Run, scene: Path, tmp_path: Path, expression: str, said: str, rest: str
    ) -> None:
        before = listing(tmp_path)
        line, pointed = pointed_at(run("dream", scene, "--layer", expression))
        assert line.startswith(said)
        assert pointed == rest
        assert listing(tmp_path) == before

    def test_an_expression_in_a_preset(self, run: Run, scene: Path, tmp_path: Path) -> None:
        mine = tmp_path / "mine.toml"
        mine.write_text('technique = "dream"\n[settings]\nlayers = "conv4_3 +"\n')
        line = complaint(run("dream", scene, "--preset", mine), 2)
        assert line.startswith("mine.toml: expected a layer or a weight, found the end")
        mine.write_text('technique = "transfer"\n')
        assert "is a preset for transfer, not for dream" in complaint(
            run("dream", scene, "--preset", mine), 2
        )

    def test_pictures_that_do_not_fit(self, run: Run, scene: Path, tmp_path: Path) -> None:
        small, wide = (
            save(photo(13, 40), tmp_path / "s.png"),
            save(photo(24, 48), tmp_path / "w.png"),
        )
        before = listing(tmp_path)
        line = complaint(run("dream", scene, *BRIEF, "--mask", wide), 1)
        assert line == (
            f"w.png: a mask of 48×24 px does not fit the photo '{scene.name}' of 48×48 px"
            " (make it 48×48 px, or any size of the same aspect ratio)"
        )
        line = complaint(run("dream", scene, *BRIEF, "--guide", small), 1)
        assert line == ("s.png: 40×13 px is too small for a guide (the layer needs 14 px a side)")
        line = complaint(run("dream", scene, "--layer", "conv3_1:3", "--guide", wide), 2)
        assert line.startswith("a guide works on whole layers")
        line = complaint(run("dream", small, *BRIEF), 1)
        assert line.startswith("s.png: 40×13 px is too small (the network needs at least 16 px")
        line = complaint(run("dream", "--from-noise", "15x99", *BRIEF, "-o", tmp_path), 1)
        assert line.startswith("the noise: 15×99 px is too small")
        assert listing(tmp_path) == before

    def test_an_output_in_the_way(self, run: Run, scene: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.png"
        out.write_text("precious")
        line = complaint(run("dream", scene, *BRIEF, "-o", out), 1)
        assert line == f"{out} already exists (replace it with --overwrite)"
        assert out.read_text() == "precious"
        line = complaint(run("dream", scene, *BRIEF, "-o", tmp_path / "out.gif"), 1)
        assert "out.gif is the name of a film" in line
        assert "--film" in line
        line = complaint(run("dream", scene, *BRIEF, "-o", out / "gone" / "out.png"), 1)
        assert line == f"the folder {out / 'gone'} cannot be made: not a directory"
        made = tmp_path / "new" / "deep" / "out.png"
        done(run("dream", scene, *BRIEF, "-o", made))
        assert size_of(made) == (48, 48)
        done(run("dream", scene, *BRIEF, "-o", out, "--overwrite"))
        assert size_of(out) == (48, 48)

    def test_too_many_pixels(self, run: Run, scene: Path, tmp_path: Path) -> None:
        line = complaint(run("dream", scene, *BRIEF, "--max-input-pixels", 2303), 1)
        assert "48×48 = 0.002304 MP, the limit is 0.002303 MP" in line
