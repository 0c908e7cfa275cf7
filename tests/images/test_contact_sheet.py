from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from stylize.errors import SettingError
from stylize.images import contact_sheet as contact_sheets
from stylize.images.contact_sheet import (
    BACKGROUND,
    Margins,
    _drawable,
    _fitting,
    cell_name,
    contact_sheet,
    parse_cell,
    sheet_size,
)

GAP = 8
DARK = BACKGROUND / 255


def plain(level: float = 0.5, height: int = 96, width: int = 128) -> torch.Tensor:
    return torch.full((1, 3, height, width), level)


def lit(part: torch.Tensor) -> torch.Tensor:
    """Where something is drawn on the ground, ``(H, W)``."""
    return ((part - DARK).abs() > 0.02).any(dim=1)[0]


@pytest.mark.parametrize(
    ("row", "column", "name"),
    [
        (0, 0, "A1"),
        (2, 1, "B3"),
        (9, 25, "Z10"),
        (0, 26, "AA1"),
        (0, 27, "AB1"),
        (0, 51, "AZ1"),
        (0, 52, "BA1"),
        (99, 701, "ZZ100"),
        (0, 702, "AAA1"),
    ],
)
def test_names_of_cells(row, column, name):
    assert cell_name(row, column) == name
    assert parse_cell(name) == (row, column)


@given(st.integers(0, 999_998), st.integers(0, 300_000_000))
def test_a_name_is_read_back_as_the_same_cell(row, column):
    assert parse_cell(cell_name(row, column)) == (row, column)


def test_names_in_other_spellings():
    assert parse_cell(" b3\n") == parse_cell("B3")


@pytest.mark.parametrize(
    "text", ["", "B", "3", "3B", "B0", "B03", "B-1", "B 3", "Ä1", "B٣", "A1000000", "A" * 7 + "1"]
)
def test_what_names_no_cell(text):
    with pytest.raises(SettingError, match="no such cell") as caught:
        parse_cell(text)
    assert caught.value.hint is not None
    assert "B3" in caught.value.hint


@given(st.text())
def test_any_text_is_a_cell_or_refused(text):
    try:
        row, column = parse_cell(text)
    except SettingError:
        return
    assert cell_name(row, column) == text.strip().upper()


@pytest.mark.parametrize(("row", "column"), [(-1, 0), (0, -1)])
def test_nothing_before_the_first_cell(row, column):
    with pytest.raises(ValueError, match=f"row {row}, column {column}"):
        cell_name(row, column)


def test_the_pictures_stand_in_a_grid():
    levels = torch.linspace(0.3, 0.9, 6).view(2, 3).tolist()
    sheet = contact_sheet([[("x", plain(level)) for level in row] for row in levels])
    assert sheet.dtype == torch.float32
    height, width = sheet.shape[2:]
    assert width == 4 * GAP + 3 * 128
    pitch = (height - GAP) // 2
    assert height == GAP + 2 * pitch
    for row in range(2):
        for column in range(3):
            top, left = GAP + row * pitch, GAP + column * (128 + GAP)
            cell = sheet[..., top : top + 96, left : left + 128]
            torch.testing.assert_close(cell, plain(levels[row][column]))
            assert lit(sheet[..., top + 96 : top + pitch - GAP, left : left + 128]).any()
            assert not lit(sheet[..., top : top + pitch, left - GAP : left]).any()


def test_pictures_are_not_changed():
    picture = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(3))
    before = picture.clone()
    sheet = contact_sheet([[("", picture)]], gap_px=0, max_cell_px=50)
    assert torch.equal(sheet[..., :40, :], picture)
    assert torch.equal(picture, before)


@pytest.mark.parametrize("empty", [None, "short"])
def test_an_empty_place_is_ground(empty):
    full = [("a", plain()), ("b", plain())]
    sheet = contact_sheet([full, full[:1] + ([None] if empty is None else [])])
    middle = (sheet.shape[2] + GAP) // 2
    assert lit(sheet[..., middle:, : GAP + 128]).any()
    assert not lit(sheet[..., middle:, GAP + 128 :]).any()


def test_large_pictures_are_shrunk():
    sheet = contact_sheet([[("", plain(0.5, 300, 600))]], max_cell_px=200)
    assert sheet.shape[3] == 200 + 2 * GAP
    torch.testing.assert_close(sheet[..., GAP : GAP + 100, GAP : GAP + 200], plain(0.5, 100, 200))
    assert not lit(sheet[..., GAP + 100 : GAP + 101, GAP : GAP + 200]).any()


def test_what_overshoots_is_cut_off():
    checkers = torch.arange(90).remainder(7).gt(2).float().expand(1, 3, 90, 90)
    sheet = contact_sheet([[("", checkers)]], max_cell_px=64)
    assert (sheet.min(), sheet.max()) == (0, 1)


def label_of(text: str, width: int = 128) -> torch.Tensor:
    """The strip beneath a single picture."""
    return contact_sheet([[(text, plain(width=width))]], gap_px=0)[..., 96:, :]


def test_the_label_says_what_it_is_given():
    assert not torch.equal(label_of("conv4_3"), label_of("conv4_2"))
    assert torch.equal(label_of("a\n b"), label_of("a b"))
    assert lit(label_of("")).any()
    assert lit(label_of("conv4_3")).sum() > lit(label_of("")).sum()


def test_every_cell_has_its_name():
    cells = [[("", plain()) for _ in range(3)] for _ in range(3)]
    sheet = contact_sheet(cells, gap_px=0)
    pitch = sheet.shape[2] // 3
    strips = {
        sheet[..., row * pitch + 96 : (row + 1) * pitch, left : left + 128].numpy().tobytes()
        for row in range(3)
        for left in range(0, 384, 128)
    }
    assert len(strips) == 9


@pytest.mark.parametrize("width", [128, 256, 512])
def test_text_grows_with_the_cell_and_has_room(width):
    strip = lit(label_of("Ágjpqy|_", width))
    assert not strip[0].any()
    assert not strip[-1].any()
    rows = strip.any(dim=1).sum()
    assert max(11, 0.04 * width) <= rows <= max(16, 0.08 * width)


def test_long_labels_end_in_an_ellipsis():
    length = ImageFont.load_default(size=14).getlength
    text = "conv4_3 + 0.5*conv3_3:30-40"
    assert _fitting(text, length(text), length) == text
    for width in range(int(length(text))):
        shown = _fitting(text, width, length)
        assert length(shown) <= width
        if shown:
            assert shown.endswith("…")
            assert text.startswith(shown[:-1])
    assert _fitting(text, length("conv4_3 +…") + 1, length) == "conv4_3 +…"
    assert _fitting(text, -5, length) == ""


def strips(*labels: str, width: int = 128) -> list[torch.Tensor]:
    """The strips beneath pictures in a column, without the names of their cells."""
    sheet = contact_sheet([[(label, plain(width=width))] for label in labels], gap_px=0)
    pitch = sheet.shape[2] // len(labels)
    return [sheet[..., row * pitch + 96 : (row + 1) * pitch, 24:] for row in range(len(labels))]


def test_long_labels_that_differ_at_their_end_are_told_apart():
    first, second = strips("a photo of the lighthouse 1", "a photo of the lighthouse 2")
    assert not torch.equal(first, second)


ALPHABETS = [
    "Ночь",
    "Нить",
    "日本",
    "日光",
    "Größe",
    "Grosse",
    "Grösse",
    "שלום",
    "नमस्ते",
    "🐱",
    "é",
    "e",
]


@pytest.fixture
def without_fontconfig(monkeypatch):
    monkeypatch.setenv("PATH", "")
    contact_sheets._system_font.cache_clear()
    yield
    contact_sheets._system_font.cache_clear()


def test_labels_of_any_script_are_told_apart():
    found = strips(*ALPHABETS, width=256)
    assert len({each.numpy().tobytes() for each in found}) == len(ALPHABETS)


def test_labels_of_any_script_are_told_apart_without_fonts(without_fontconfig):
    found = strips(*ALPHABETS, width=256)
    assert len({each.numpy().tobytes() for each in found}) == len(ALPHABETS)


@pytest.mark.parametrize("text", ["Ночь", "日本", "שלום", "Größe"])
def test_what_a_font_of_the_system_has_is_drawn(text):
    if shutil.which("fc-list") is None:
        return
    charset = " ".join(f"{ord(letter):x}" for letter in text)
    query = ["fc-list", f":charset={charset}:scalable=true:color=false", "file"]
    drawn, lettering = _drawable(text, ImageFont.load_default(size=14))
    if subprocess.check_output(query):
        assert drawn == text
        boxes = {bytes(font.getmask("\uffff")) for _, font in lettering.runs(text)}
        assert not any(bytes(font.getmask(run)) in boxes for run, font in lettering.runs(text))


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("4 octaves · 60°", "4 octaves · 60°"),
        ("  a\n\tb ", "a b"),
        ("Straße, déjà vu", "Stra\\xdfe, d\\xe9j\\xe0 vu"),
        ("de\u0301ja\u0300", "d\\xe9j\\xe0"),
        ("2×3 – 4", "2x3 - 4"),
        ("a…", "a…"),
        ("日本\x1b", "\\u65e5\\u672c\\x1b"),
        ("\udcff", "\\udcff"),
    ],
)
def test_letters_that_no_font_has_are_escaped(without_fontconfig, text, drawn):
    assert _drawable(text, ImageFont.load_default(size=14))[0] == drawn


def test_control_characters_are_escaped_with_all_fonts():
    drawn, _ = _drawable("日\x1b\u202e", ImageFont.load_default(size=14))
    assert drawn.endswith("\\x1b\\u202e")


def test_all_drawn_letters_are_in_the_font(without_fontconfig):
    font = ImageFont.load_default(size=20)
    missing = bytes(font.getmask("\N{CJK UNIFIED IDEOGRAPH-65E5}"))
    for letter in map(chr, range(ord("!"), 0x250)):
        for drawn in _drawable(letter, font)[0]:
            assert bytes(font.getmask(drawn)) != missing, letter


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 9),
    st.integers(1, 60),
)
def test_its_size_is_known_before(picture, rows, columns, gap_px, max_cell_px):
    cells = [[("x", torch.zeros(1, 3, *picture))] * columns] * rows
    sheet = contact_sheet(cells, gap_px=gap_px, max_cell_px=max_cell_px)
    size = sheet_size(picture, rows, columns, gap_px=gap_px, max_cell_px=max_cell_px)
    assert sheet.shape == (1, 3, *size)


def test_a_title_stands_above_the_grid():
    cells = [[("x", plain(0.9))]]
    bare, titled = contact_sheet(cells), contact_sheet(cells, title="Dreams")
    extra = titled.shape[2] - bare.shape[2]
    assert extra > GAP
    assert torch.equal(titled[..., extra:, :], bare)
    assert lit(titled[..., :extra, :]).any()
    assert not lit(contact_sheet(cells, title="")[..., :extra, :]).any()


@pytest.mark.parametrize("cells", [[], [[]], [[None], []]])
def test_a_sheet_needs_a_picture(cells):
    with pytest.raises(ValueError, match="without a picture"):
        contact_sheet(cells)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (3, 8, 8), (2, 3, 8, 8)])
def test_pictures_of_other_shapes(shape):
    with pytest.raises(ValueError, match="pictures"):
        contact_sheet([[("x", torch.zeros(shape))]])


def test_smaller_pictures_are_scaled_to_the_largest_and_centred():
    sheet = contact_sheet([[("", plain(0.5, 96, 128)), ("", plain(0.8, 24, 16))]], gap_px=0)
    cell = sheet[..., :96, 128:]
    torch.testing.assert_close(cell[..., 32:96], plain(0.8, 96, 64))
    assert not lit(cell[..., :32]).any()
    assert not lit(cell[..., 96:]).any()


def test_titles_and_inputs_around_the_cells():
    cells = [[("", plain()), ("", plain())]] * 2
    inputs = [[("photo", "cat", plain(0.9))], [None]]
    margins = Margins(["draft", "bold"], ["first", "second"], inputs)
    bare, full = contact_sheet(cells), contact_sheet(cells, margins=margins)
    head, side = (full.shape[axis] - bare.shape[axis] for axis in (2, 3))
    assert full.shape[2:] == sheet_size((96, 128), 2, 2, margins=margins.shape)
    assert torch.equal(full[..., head + GAP :, side + GAP :], bare[..., GAP:, GAP:])
    torch.testing.assert_close(full[..., head + GAP :, GAP:][..., :96, :128], plain(0.9))
    above = full[..., : head + GAP, side:]
    assert lit(above[..., : above.shape[3] // 2]).any()
    assert lit(above[..., above.shape[3] // 2 :]).any()
    between = full[..., head + GAP :, 2 * GAP + 128 - 1 : side + GAP]
    assert lit(between[..., :96, :]).any()
    assert lit(between[..., between.shape[2] // 2 :, :]).any()
    pitch = (bare.shape[2] - GAP) // 2
    assert not lit(full[..., head + GAP + pitch :, : GAP + 128]).any(), "an empty place"


def test_titles_that_begin_alike_are_told_apart():
    titles = [f"a setting with a very long name {value}" for value in (1, 2)]
    cells = [[("", plain(width=64)), ("", plain(width=64))]]
    columns = contact_sheet(cells, margins=Margins(titles), gap_px=0)
    first, second = columns[..., :18, :64], columns[..., :18, 64:]
    assert lit(first).any()
    assert not torch.equal(first, second)


@pytest.mark.parametrize("wrong", [{"gap_px": -1}, {"max_cell_px": 0}])
def test_figures_that_make_no_sheet(wrong):
    with pytest.raises(ValueError, match="px"):
        contact_sheet([[("x", plain())]], **wrong)


@pytest.mark.parametrize("side", [1, 5, 20])
def test_tiny_cells_are_possible(side):
    sheet = contact_sheet([[("label", plain(0.5, side, side))] * 2], title="title")
    assert sheet.shape[3] == 2 * side + 3 * GAP
    assert 0 <= sheet.min() <= sheet.max() <= 1


def test_cells_can_be_named_without_torch():
    program = (
        "import sys; from stylize.images.contact_sheet import parse_cell;"
        "parse_cell('B3'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
