"""Presets: what ships is sound and goes in the direction its name says; files are not trusted."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.cli.presets import cost_of
from stylize.errors import UnknownNameError, UsageError
from stylize.settings import presets
from stylize.settings.fields import from_document
from stylize.settings.presets import (
    DEFAULTS,
    MAX_BYTES,
    PRODUCTS,
    Preset,
    changes,
    find_preset,
    preset_directory,
    preset_names,
    read_preset,
    to_toml,
)
from stylize.settings.transfer import TransferSettings
from tests.strategies import objects

SHIPPED = sorted((Path(__file__).parents[2] / "presets").glob("*/*.toml"))
SLUGS = st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str | bytes, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def fresh_lookup() -> Iterator[None]:
    """The place of the presets is looked up again, also afterwards."""
    preset_directory.cache_clear()
    yield
    preset_directory.cache_clear()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_ships_is_sound(path: Path) -> None:
    preset = find_preset(path.parent.name, path.stem)
    assert preset.name == path.stem
    assert preset.technique == path.parent.name
    assert 20 <= len(preset.description) <= 80
    whole = from_document(PRODUCTS[preset.technique], changes(preset.apply()))
    assert preset.apply() == whole
    assert changes(preset.apply()) == preset.settings, "a preset holds only what differs"


def test_the_promised_looks_are_there() -> None:
    names = preset_names("transfer")
    assert names[0] == "balanced"
    assert {"draft", "balanced", "fine", "faithful", "bold"} <= set(names)
    dreams = preset_names("dream")
    assert dreams[0] == "dogs"
    assert {"subtle", "classic", "swirls", "eyes", "birds"} <= set(dreams)
    assert {"dreamy", "bad-trip", "impressionist", "takeover"} <= set(dreams)
    assert len(names) + len(dreams) == len(SHIPPED)
    assert not set(names) & set(dreams), "'presets show NAME' finds each"


@pytest.mark.parametrize("technique", PRODUCTS)
def test_the_default_preset_changes_nothing(technique: str) -> None:
    path = preset_directory() / technique / f"{DEFAULTS[technique]}.toml"
    assert set(tomllib.loads(path.read_text("utf-8"))) == {"name", "description"}
    assert find_preset(technique, DEFAULTS[technique]).apply() == PRODUCTS[technique]()


def test_the_looks_differ_as_their_names_say() -> None:
    settings = {name: find_preset("transfer", name).apply() for name in preset_names("transfer")}
    effort = [cost_of(settings[name])[0].tflop for name in ("draft", "balanced", "fine")]
    assert effort[0] < 0.5 * effort[1]
    assert 1.5 * effort[1] < effort[2]
    faithful, default, bold = (
        settings[name].content_loss_weight for name in ("faithful", "balanced", "bold")
    )
    assert faithful > default > bold


def test_overrides_beat_the_preset_and_the_preset_the_defaults() -> None:
    preset = Preset("mine", "transfer", "", {"steps": 7, "seed": 8})
    assert preset.apply({"seed": 9}) == TransferSettings(steps=7, seed=9)


@given(
    name=SLUGS,
    description=st.text(max_size=60),
    settings=objects(TransferSettings),
)
def test_to_a_file_and_back(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    description: str,
    settings: TransferSettings,
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.toml"
    preset = Preset(name, "transfer", description, changes(settings))
    text = to_toml(preset)
    path.write_bytes(text.encode())
    assert read_preset(path, "transfer") == preset
    assert read_preset(path, "transfer").apply() == settings
    assert all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.mark.parametrize(
    "description",
    ['"', "\\", "\\u0041", "'''", "a\nb\r\n\tc", "\0\x1b[31m\x7f\x9b", "# = []", "猫🎨"],
)
def test_odd_descriptions(write: Callable[..., Path], description: str) -> None:
    preset = Preset("odd", "transfer", description, {"size": description or "512"})
    text = to_toml(preset)
    assert tomllib.loads(text)["description"] == description
    assert tomllib.loads(text)["settings"]["size"] == description


def test_a_file_says_as_little_as_it_likes(write: Callable[..., Path]) -> None:
    assert read_preset(write(""), "transfer") == Preset("mine", "transfer", "", {})


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
)
def test_files_of_windows(write: Callable[..., Path], encoding: str) -> None:
    text = '\ufeffdescription = "Größer"\r\n[settings]\r\nsteps = 7\r\n'
    content = text.removeprefix("\ufeff" if encoding in ("utf-8-sig", "utf-16") else "")
    preset = read_preset(write(content.encode(encoding)), "transfer")
    assert (preset.description, preset.settings) == ("Größer", {"steps": 7})


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_files_of_windows_without_a_mark(write: Callable[..., Path], encoding: str) -> None:
    path = write('description = "Größer"\n'.encode(encoding))
    assert read_preset(path, "transfer").description == "Größer"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("steps = ", r"mine\.toml is not TOML"),
        (b"\xff", r"mine\.toml is not TOML: it is not UTF-8 text .save it as UTF-8"),
        ("seed = " + "9" * 5000, r"mine\.toml is not TOML"),
        ("a = " + "[" * 5000, r"mine\.toml is not TOML"),
        ("stepz = 3", r"unknown key in mine\.toml 'stepz'"),
        ("setting = 3", r"'setting' \(did you mean settings\?\)"),
        ("[settings]\nstepz = 3", r"mine\.toml: unknown setting 'stepz' \(did you mean steps"),
        ("[settings]\nsteps = 0", r"mine\.toml: --steps: 0 is too small \(at least 1\)"),
        ("[settings]\nsteps = true", "True is not a whole number"),
        ("[settings]\ncontent_weight = nan", "nan is not a finite number"),
        ("[settings]\nsmoothness = inf", "inf is not a finite number"),
        ("[settings]\nseed = 2020-02-02", "is not a whole number"),
        ("settings = 3", r"\[settings\] is not a table"),
        ('technique = "dream"', "is a preset for dream, not for transfer"),
        ('technique = "music"', "is a preset for music, not for transfer"),
        ('name = "My Look"', r"'My Look' is not of the form my-preset-2"),
        ('name = "../up"', "is not of the form"),
        ("name = 3", "the name 3 is not"),
        ("#" * (MAX_BYTES + 1), f"too large for a preset .at most {MAX_BYTES} bytes"),
    ],
)
def test_files_are_not_trusted(
    write: Callable[..., Path], text: str | bytes, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint) as raised:
        read_preset(write(text), "transfer")
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("technique", ['"music"', '["dream"]', "{}", "3"])
def test_no_such_technique(write: Callable[..., Path], technique: str) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown technique in mine\.toml"):
        read_preset(write(f"technique = {technique}"))


def test_a_file_at_the_limit_is_read(write: Callable[..., Path]) -> None:
    assert read_preset(write("#" * MAX_BYTES), "transfer").settings == {}


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no endless file on this system")
def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(UsageError, match="too large"):
        read_preset(Path("/dev/zero"), "transfer")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.toml: there is no such file .*presets list"):
        find_preset("transfer", str(tmp_path / "gone.toml"))
    with pytest.raises(UsageError, match="is a directory"):
        find_preset("transfer", f"{tmp_path}/")


@pytest.mark.parametrize("name", ["blod", "BOLD", "bold "])
def test_a_misspelt_name(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown preset '{name}'.*bold"):
        find_preset("transfer", name)


@pytest.mark.parametrize("name", ["", ".", "..", "*"])
def test_no_name_leads_to_a_file(name: str) -> None:
    with pytest.raises(UnknownNameError, match="known: balanced, bold"):
        find_preset("transfer", name)


def test_a_path_is_not_a_name(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """``../bold`` is the user's own file or nothing, never something near the program's."""
    path = write("description = 'not the shipped one'", "bold")
    monkeypatch.chdir(preset_directory() / "transfer")
    assert find_preset("transfer", str(path)).description == "not the shipped one"
    with pytest.raises(UsageError, match="no such file"):
        find_preset("transfer", "../bold")


def test_the_presets_of_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_lookup: None
) -> None:
    monkeypatch.setattr(presets.resources, "files", lambda package: tmp_path / package)
    folder = tmp_path / "stylize" / "_presets" / "transfer"
    folder.mkdir(parents=True)
    (folder / "balanced.toml").write_text('description = "packaged"')
    (folder / "aquarelle.toml").touch()
    assert preset_names("transfer") == ["balanced", "aquarelle"], "the default comes first"
    assert find_preset("transfer", "balanced").description == "packaged"


def test_the_presets_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_lookup: None
) -> None:
    """An editable install has no ``_presets`` in the package; they are next to it."""
    monkeypatch.setattr(presets.resources, "files", lambda package: tmp_path / package)
    monkeypatch.setattr(presets.resources, "files", lambda name: tmp_path / "checkout" / name)
    assert preset_directory() == tmp_path / "checkout" / "presets"


@pytest.mark.parametrize("settings", [{}, {"style_layers": (("conv4_2", 2),), "seed": 5}])
def test_what_differs_from_the_defaults(settings: dict[str, Any]) -> None:
    found = changes(TransferSettings(**settings))
    assert found == {k: dict(v) if k == "style_layers" else v for k, v in settings.items()}
