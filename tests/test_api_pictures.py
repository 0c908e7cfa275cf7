"""Every kind of picture that a Python program holds, in and out of the functions."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stylize import dream, inspect, transfer
from stylize.errors import OutputError, PictureError
from stylize.images.convert import to_picture
from stylize.images.read import read_picture
from stylize.runs.recipe import load_recipe
from tests.conftest import photo, save, strokes

QUICK: dict[str, Any] = {
    "layers": "conv1_2",
    "steps": 1,
    "size": 32,
    "device": "cpu",
    "precision": "fp32",
}
STYLED: dict[str, Any] = {
    "size": 32,
    "min_size": 32,
    "steps": 2,
    "device": "cpu",
    "precision": "fp32",
}

Files = tuple[Path, Path]

LEVELS = (photo(40, 48)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
GREY = LEVELS[..., 0]
OPACITY = np.linspace(0, 255, GREY.size).reshape(GREY.shape).round().astype(np.uint8)


def shown(source: Any) -> np.ndarray:
    """The colours that a source is read as, ``(H, W, 3)`` in [0, 1]."""
    return to_picture(source).pixels[0].permute(1, 2, 0).numpy()


def grey_of(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


ARRAYS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "uint8": (LEVELS, LEVELS / 255),
    "uint16": (LEVELS.astype(np.uint16) * 257, LEVELS / 255),
    "big-endian uint16": ((LEVELS.astype(np.uint16) * 257).astype(">u2"), LEVELS / 255),
    "float16": ((LEVELS / 255).astype(np.float16), LEVELS / 255),
    "float32": ((LEVELS / 255).astype(np.float32), LEVELS / 255),
    "float64": (LEVELS / 255, LEVELS / 255),
    "grey": (GREY, grey_of(GREY / 255)),
    "grey with one channel": (GREY[..., None], grey_of(GREY / 255)),
    "bool": (GREY > 99, grey_of((GREY > 99).astype(float))),
    "a batch of one": (LEVELS[None], LEVELS / 255),
    "a subclass": (GREY.view(np.memmap), grey_of(GREY / 255)),
    "floats rounded up": (LEVELS / LEVELS.max() * (1 + 1e-7), LEVELS / LEVELS.max()),
    "mirrored view": (LEVELS[:, ::-1], LEVELS[:, ::-1] / 255),
    "every other pixel": (LEVELS[::2, ::2], LEVELS[::2, ::2] / 255),
    "Fortran order": (np.asfortranarray(LEVELS), LEVELS / 255),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_are_read_at_their_full_scale(kind: str) -> None:
    given, expected = ARRAYS[kind]
    before = given.copy()
    np.testing.assert_allclose(shown(given), expected, atol=5e-4 if kind == "float16" else 1e-6)
    assert np.array_equal(given, before)


def test_a_read_only_array_is_read() -> None:
    frozen = LEVELS.copy()
    frozen.setflags(write=False)
    np.testing.assert_allclose(shown(frozen), LEVELS / 255, atol=1e-6)


@pytest.mark.parametrize("colour", [GREY[..., None], LEVELS], ids=["grey", "RGB"])
def test_the_last_of_two_or_four_channels_is_opacity(colour: np.ndarray) -> None:
    found = to_picture(np.concatenate([colour, OPACITY[..., None]], axis=2))
    assert found.alpha is not None
    np.testing.assert_allclose(found.alpha[0, 0].numpy(), OPACITY / 255, atol=1e-6)
    opaque = np.concatenate([colour, np.full_like(OPACITY, 255)[..., None]], axis=2)
    assert to_picture(opaque).alpha is None


class Unreadable:
    """A file whose reading fails, or gives no bytes."""

    def __init__(self, answer: Exception | None) -> None:
        self._answer = answer

    def read(self) -> None:
        if self._answer is not None:
            raise self._answer


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (LEVELS.astype(np.int64), "source: an array of int64.*uint8, uint16, or floats"),
        (LEVELS.astype(np.float32), "source: the values go from 26 to 230.*floats go from 0 to 1"),
        (LEVELS / 255 - 0.5, "floats go from 0 to 1"),
        (np.full((4, 4), np.nan), "source: the values go from nan to nan"),
        (np.full((4, 4), np.inf), "source: the values go from inf to inf"),
        (LEVELS.astype(complex), "source: an array of complex128"),
        (np.array([["a"]]), "source: an array of <U1"),
        (np.array([[None]]), "source: an array of object"),
        (LEVELS[0, 0], r"source: an array of shape \(3,\).*give \(H, W\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), "source: an array of shape"),
        (np.zeros((4, 4, 5), np.uint8), "source: an array of shape"),
        (np.zeros((0, 4, 3), np.uint8), "source: an array of shape"),
        (np.uint8(3), "source: an object of type uint8 is not a picture"),
        (None, "source: an object of type NoneType is not a picture.*give a path, bytes"),
        (3, "source: an object of type int is not a picture"),
        ([["a"]], "source: an object of type list is not a picture"),
        (torch.zeros(3), r"source: a tensor of shape \(3,\)"),
        (torch.zeros(2, 3, 4, 4), r"source: a tensor of shape \(2, 3, 4, 4\)"),
        (torch.zeros(40, 48, 3), r"source: a tensor of shape \(40, 48, 3\)"),
        (Image.new("LAB", (4, 4)), "source has the unsupported colour mode LAB"),
        (Image.new("F", (4, 4), 200), "floats go from 0 to 1"),
        (Image.new("I", (4, 4), 65536), "source: the values go from 65536 to 65536.*to 65535"),
        (Image.new("I", (4, 4), -1), "source: the values go from -1 to -1"),
        (
            np.ma.masked_less(GREY, 9),
            r"source: a masked array is not a picture \(give array\.filled",
        ),
        (torch.empty(3, 4, 4, device="meta"), "source: a tensor that is not dense"),
        (torch.ones(4, 4).to_sparse(), "source: a tensor that is not dense"),
        (torch.ones(4, 4, dtype=torch.long), "source: an array of int64"),
        (b"", "empty"),
        (b"no picture", "not a picture"),
        ("", "is a folder"),
        ("a\0b", "cannot be read"),
        (Image.new("RGB", (0, 5)), "source: the image is empty"),
        (Unreadable(OSError(5, "broken")), "source: the file cannot be read: .*broken"),
        (Unreadable(ValueError("closed")), "source: the file cannot be read: closed"),
        (Unreadable(None), "source: the file gives a NoneType instead of bytes"),
        (io.StringIO("text"), 'source: the file is open as text.*mode "rb"'),
    ],
)
def test_what_holds_no_picture_is_refused_in_one_line(array: Any, words: str) -> None:
    with pytest.raises(PictureError, match=words) as caught:
        to_picture(array, role="source")
    assert "\n" not in str(caught.value)


TENSORS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "CHW": lambda x: x,
    "NCHW": lambda x: x[None],
    "uint8": lambda x: (x * 255).round().to(torch.uint8),
    "float64": torch.Tensor.double,
    "needing a gradient": lambda x: x.clone().requires_grad_(),
    "channels last": lambda x: x[None].to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_are_read(kind: str) -> None:
    tensor = torch.from_numpy(LEVELS).permute(2, 0, 1).float() / 255
    np.testing.assert_allclose(shown(TENSORS[kind](tensor)), LEVELS / 255, atol=1e-6)


def test_a_bfloat16_tensor_and_a_grey_one_are_read() -> None:
    grey = torch.from_numpy(GREY).float() / 255
    np.testing.assert_allclose(shown(grey), grey_of(GREY / 255), atol=1e-6)
    np.testing.assert_allclose(shown(grey.bfloat16()), grey_of(GREY / 255), atol=0.003)


MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"]


@pytest.mark.parametrize("mode", MODES)
def test_pillow_images_of_every_mode_are_read(mode: str) -> None:
    image = Image.fromarray(LEVELS)
    given = image.convert("LA").convert(mode) if mode == "PA" else image.convert(mode)
    expected = np.asarray(given.convert("RGB")) / 255
    # Print colours are judged by a profile where there is one, not by Pillow's rule of thumb.
    assert np.abs(shown(given) - expected).max() < (0.35 if mode == "CMYK" else 0.005)
    assert given.mode == mode


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_pillow_images_of_more_than_eight_bits_are_read(mode: str) -> None:
    levels = GREY.astype(np.uint16) * 257
    given = {
        "I;16": lambda: Image.fromarray(levels),
        "I": lambda: Image.fromarray(levels.astype(np.int32)),
        "F": lambda: Image.fromarray((GREY / 255).astype(np.float32)),
    }[mode]()
    assert given.mode == mode
    np.testing.assert_allclose(shown(given), grey_of(GREY / 255), atol=0.005)


def test_a_pillow_image_is_turned_as_its_exif_says_and_left_alone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90° clockwise for display
    Image.fromarray(LEVELS).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        np.testing.assert_allclose(shown(image), np.rot90(LEVELS, -1) / 255, atol=1e-6)
        assert image.size == (48, 40)


def test_a_damaged_pillow_image_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with (
        Image.open(path) as image,
        pytest.raises(PictureError, match=r"^content: the Pillow image"),
    ):
        transfer(image, path, **STYLED)


def test_all_kinds_of_one_picture_give_one_result(files: Files) -> None:
    path = files[0]
    with Image.open(path) as image, path.open("rb") as file:
        levels = np.asarray(image)
        kinds: list[Any] = [
            path,
            str(path),
            path.read_bytes(),
            bytearray(path.read_bytes()),
            file,
            io.BytesIO(path.read_bytes()),
            image,
            levels,
            levels.astype(np.uint16) * 257,
            levels / 255,
            np.dstack([levels, np.full(levels.shape[:2], 255, np.uint8)]),
            torch.from_numpy(levels.copy()).permute(2, 0, 1),
            read_picture(path),
        ]
        found = [dream(each, **QUICK).pixels for each in kinds]
    assert all(torch.allclose(each, found[0], atol=1e-5) for each in found)


def test_a_file_is_read_from_its_start(files: Files) -> None:
    with files[0].open("rb") as file:
        first = shown(file)
        assert np.array_equal(shown(file), first)


def test_styles_guides_masks_and_starts_may_be_of_any_kind(files: Files) -> None:
    with Image.open(files[1]) as image:
        style = np.asarray(image)
    both = transfer(files[0], [files[1], style], start=style / 255, **STYLED)
    assert [each["role"] for each in both.recipe["inputs"]] == [
        "content",
        "style",
        "style",
        "start",
    ]
    found = dream(files[0], guide=style, mask=np.ones((8, 8), bool), **QUICK)
    assert [each["role"] for each in found.recipe["inputs"]] == ["content", "guide", "mask"]


def test_a_result_is_the_input_of_the_next(files: Files) -> None:
    first = dream(files[0], **QUICK)
    expected = transfer(np.asarray(first), files[1], **STYLED)
    assert torch.equal(transfer(first, files[1], **STYLED).pixels, expected.pixels)


def test_mask_and_keep_leave_the_photo_where_they_say(files: Files) -> None:
    photo_levels = np.asarray(Image.open(files[0]).resize((32, 32), Image.Resampling.LANCZOS))
    left = np.zeros((32, 32), bool)
    left[:, :16] = True
    masked = np.asarray(transfer(photo_levels, files[1], mask=left, feather=0, **STYLED))
    kept = np.asarray(transfer(photo_levels, files[1], keep=left, feather=0, **STYLED))
    plain = photo_levels / 255
    assert np.abs(masked[:, 18:] - plain[:, 18:]).max() < 0.01
    assert np.abs(masked[:, :14] - plain[:, :14]).mean() > 0.02
    assert np.abs(kept[:, :14] - plain[:, :14]).max() < 0.01
    assert np.abs(kept[:, 18:] - plain[:, 18:]).mean() > 0.02
    dreamt = np.asarray(dream(photo_levels, mask=left, **QUICK))
    assert np.abs(dreamt[:, 18:] - plain[:, 18:]).max() < 0.01
    assert np.abs(dreamt[:, :14] - plain[:, :14]).mean() > 0.01


def test_a_result_becomes_an_array_an_image_and_a_png(files: Files) -> None:
    result = dream(files[0], **QUICK)
    array = np.asarray(result)
    assert (array.shape, array.dtype) == ((32, 32, 3), np.float32)
    assert np.array_equal(array, result.pixels[0].permute(1, 2, 0).numpy())
    image = result.to_pil()
    assert (image.mode, image.size) == ("RGB", (32, 32))
    assert np.abs(np.asarray(image) / 255 - array).max() <= 0.5 / 255 + 1e-6
    with Image.open(io.BytesIO(result._repr_png_())) as png:
        assert png.format == "PNG"
        assert np.array_equal(np.asarray(png), np.asarray(image))


def test_arrays_of_a_result_follow_numpys_rules_of_copying(files: Files) -> None:
    result = dream(files[0], **QUICK)
    before = result.pixels.clone()
    for array in (np.asarray(result), np.array(result), np.array(result, dtype=np.float64)):
        array[:] = 0
    assert torch.equal(result.pixels, before)
    assert np.asarray(result, dtype=np.float16).dtype == np.float16
    with pytest.raises(ValueError, match="always a copy"):
        np.array(result, copy=False)


def test_transparency_goes_through_arrays_and_images() -> None:
    result = dream(np.dstack([LEVELS, OPACITY]), **QUICK)
    assert result.to_pil().mode == "RGBA"
    assert np.asarray(result).shape[2] == 4
    again = dream(result, **QUICK)
    assert again.alpha is not None and result.alpha is not None
    assert torch.allclose(again.alpha, result.alpha, atol=1e-6)


def test_a_result_saves_its_recipe_and_replaces_nothing_unasked(
    files: Files, tmp_path: Path
) -> None:
    result = dream(files[0], **QUICK)
    target = tmp_path / "out.png"
    assert result.save(str(target)) == target
    assert load_recipe(target) == result.recipe
    before = target.read_bytes()
    other = dream(files[1], **QUICK)
    with pytest.raises(OutputError, match=r"out.png already exists \(overwrite=True replaces it\)"):
        other.save(target)
    assert target.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "out.png",
        "photo.png",
        "strokes.png",
    ]
    assert other.save(target, overwrite=True) == target
    assert load_recipe(target) == other.recipe
    (tmp_path / "link.png").symlink_to("nowhere.png")
    with pytest.raises(OutputError, match="already exists"):
        result.save(tmp_path / "link.png")
    with pytest.raises(OutputError, match=r" is a folder \(name a file in it: .png"):
        result.save(tmp_path)
    stream = io.BytesIO()
    assert result.save(stream, format="jpeg") is None
    assert stream.getvalue().startswith(b"\xff\xd8")


def test_a_result_describes_itself_in_one_line(files: Files) -> None:
    assert repr(dream(files[0], **QUICK)) == "<Result of dream, 32×32 px>"


def test_results_can_be_looked_up(files: Files) -> None:
    results = [dream(files[0], **QUICK), dream(files[0], **QUICK)]
    assert results.index(results[1]) == 1
    names = dict(zip(results, "ab", strict=True))
    assert [names[each] for each in results] == ["a", "b"]
    findings = [inspect("activations", files[0], size=32, device="cpu") for _ in results]
    assert findings.index(findings[1]) == 1


def test_two_styles_in_an_array_of_pictures_are_a_mistake_that_is_named() -> None:
    with pytest.raises(PictureError, match=r"^style: an array of shape"):
        transfer(LEVELS, np.stack([LEVELS, LEVELS]), **STYLED)


def test_pictures_saved_by_tests_are_what_they_say(tmp_path: Path) -> None:
    path = save(strokes(8, 8), tmp_path / "a.png")
    np.testing.assert_allclose(shown(path), strokes(8, 8)[0].permute(1, 2, 0), atol=0.002)
