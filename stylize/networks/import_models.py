"""Import models: download them, or convert a user's file of weights."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import struct
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

from stylize.errors import (
    OutputError,
    SettingError,
    StylizeError,
    UnknownNameError,
    UsageError,
    WeightsError,
)
from stylize.images.atomic import move_without_replacing, reserved, scratch_folder
from stylize.networks import caffe
from stylize.networks.architecture import BLOCKS, architectures, convolutions, is_vgg
from stylize.networks.models import (
    DOWNLOADABLE,
    PACKAGED,
    ModelFile,
    added_names,
    find_model,
    read_record,
    record_path,
    user_directory,
    verify,
)
from stylize.networks.module_files import checked_state, is_needed, nearest, of_caffe, recognised
from stylize.networks.torchvision_models import torchvision_models
from stylize.networks.weight_files import (
    CAFFE,
    INCEPTION,
    MAX_FILE_BYTES,
    METADATA_KEY,
    PREPROCESSINGS,
    TORCHVISION,
    Preprocessing,
    checked_file,
    convolution_shapes,
    float32_copy,
    is_plain_float,
    map_file,
    pick_convolutions,
)

if TYPE_CHECKING:
    from torch import Tensor

TIMEOUT_S = 30.0

BLOCK_BYTES = 1 << 18

Progress = Callable[[int, int | None], None]

SUFFIXES = (".safetensors", ".pth", ".pt", ".tar")

_MAX_NAME = 80

# To move a model to its place takes milliseconds.
_MAX_WAITS, _WAIT_S = 200, 0.05

# How our own files store the weights of a layer.
_PACKED = ("index", "palette")


def add_file(
    path: Path | str,
    *,
    name: str | None = None,
    preprocessing: str = "auto",
    architecture: str | None = None,
    classes: Path | str | None = None,
) -> ModelFile:
    """Convert a user's file of weights and store it under a name.

    Args:
        path: ``.safetensors``, ``.pth``, ``.pt`` or ``.pth.tar``.
        name: the name of the model; by default made from the file name.
        preprocessing: ``auto``, ``caffe``, ``torchvision`` or ``inception``.
        architecture: of the network; None to recognise it by the names of its tensors.
        classes: a text file with the name of one class in each line.

    Raises:
        UnknownNameError: there is no such architecture.
        SettingError: the name is invalid.
        UsageError: the file of classes cannot be read.
        WeightsError: the file is not such a network, or the name is taken.
        OutputError: the folder of models cannot be written.
    """
    path = Path(path)
    if architecture is not None and architecture not in architectures():
        raise UnknownNameError("architecture", architecture, architectures())
    stem = path.name.removesuffix(".tar").removesuffix(path.suffix).removesuffix(".pth")
    name = _check_name(_slug(stem) if name is None else name)
    if path.suffix.lower() not in SUFFIXES:
        raise WeightsError(f"{path} is not a file of weights: expected .safetensors, .pth or .pt")
    checked_file(path)
    asked = _Asked(preprocessing, architecture, None if classes is None else Path(classes))
    with _scratch() as scratch:
        return _install(path, name, _printable(path.name), asked, scratch)


def download(
    name: str, *, progress: Progress | None = None, base_url: str | None = None
) -> ModelFile:
    """Download one of torchvision's models, unless it is there already; see :func:`installed`.

    Args:
        name: one of :data:`stylize.networks.models.DOWNLOADABLE`.
        progress: called with the bytes received and, if known, the total.
        base_url: the folder to download from instead of torchvision's.

    Raises:
        UnknownNameError: there is no such model.
        WeightsError: the download failed, is not the expected file, or the name is taken.
        OutputError: the folder of models cannot be written.
    """
    if name not in DOWNLOADABLE:
        raise UnknownNameError("network", name, DOWNLOADABLE)
    present = installed(name)
    if present is not None:
        return present
    url = address(name)
    file_name = url.rpartition("/")[2]
    if base_url is not None:
        url = f"{base_url.rstrip('/')}/{file_name}"
    by_hand = f"download it by other means, then: stylize models add {file_name} --name {name}"
    with _scratch() as scratch:
        path = scratch / file_name
        digest = _fetch(url, path, progress or (lambda done, total: None), by_hand)
        _check_prefix(url, digest)
        architecture = _architecture_of(name)
        preprocessing = "torchvision" if is_vgg(architecture) else "auto"
        return _install(path, name, url, _Asked(preprocessing, architecture), scratch)


def installed(name: str) -> ModelFile | None:
    """Find one of torchvision's models that is there already and intact.

    Args:
        name: one of :data:`stylize.networks.models.DOWNLOADABLE`.

    Returns:
        The model; None if it is missing or damaged.

    Raises:
        WeightsError: an intact model of another source has its name.
    """
    try:
        present = find_model(name)
        verify(present)
    except WeightsError:
        return None
    # A download and the same file, added by hand, are equally good.
    same_file = (_source_of(name) or "").startswith(_digits(address(name)))
    if not same_file or present.architecture != _architecture_of(name):
        raise _taken(name, "")
    return present


def _architecture_of(name: str) -> str:
    return name.removesuffix("-imagenet")


def remove(name: str) -> None:
    """Delete one of the user's models, also if its files are damaged.

    Raises:
        UnknownNameError: there is no such model.
        SettingError: the model came with the package.
        OutputError: its files cannot be deleted.
    """
    if name in PACKAGED:
        raise SettingError(f"'{name}' is built in and cannot be removed")
    if name not in added_names():
        raise UnknownNameError("network", name, added_names(), remedy="'stylize models list'")
    record = record_path(name)
    try:
        # Without its record the rest is not a model.
        for ending in (".json", ".safetensors", ".classifier.safetensors"):
            (record.parent / f"{name}{ending}").unlink(missing_ok=True)
    except OSError as err:
        raise OutputError(f"cannot delete {err.filename}: {err.strerror or err}") from err


def address(name: str) -> str:
    """Return torchvision's URL of a downloadable model."""
    weights: Any = torchvision_models().get_model_weights(_architecture_of(name))
    return str(weights.IMAGENET1K_V1.url)


def _fetch(url: str, target: Path, progress: Progress, by_hand: str) -> str:
    """Download a URL to a file and return its SHA-256."""
    digest, done = hashlib.sha256(), 0
    try:
        with closing(urlopen(url, timeout=TIMEOUT_S)) as reply, target.open("wb") as file:
            total: int | None = reply.length
            while block := reply.read(BLOCK_BYTES):
                if max(done + len(block), total or 0) > MAX_FILE_BYTES:
                    raise WeightsError(f"{url} is larger than any network", hint=by_hand)
                file.write(block)
                digest.update(block)
                done += len(block)
                progress(done, total)
    except (OSError, HTTPException) as err:
        if isinstance(err, HTTPError):
            err.close()
        raise WeightsError(f"cannot download {url}: {err}", hint=by_hand) from err
    if total is not None and done != total:
        raise WeightsError(
            f"the download of {url} broke off after {done} of {total} bytes", hint="try again"
        )
    return digest.hexdigest()


def _check_prefix(url: str, digest: str) -> None:
    expected = _digits(url)
    if not digest.startswith(expected):
        raise WeightsError(
            f"{url} is not what it should be: expected SHA-256 {expected}…, found {digest}",
            hint="try again; a proxy may have answered in the server's place",
        )


def _digits(url: str) -> str:
    """The first digits of the SHA-256, with which torchvision ends the names of its files."""
    return url.rpartition("-")[2].partition(".")[0]


@dataclass(frozen=True)
class _Asked:
    """What the user says about a file; see :func:`add_file`."""

    preprocessing: str
    architecture: str | None = None
    classes: Path | None = None


def _install(path: Path, name: str, source: str, asked: _Asked, scratch: Path) -> ModelFile:
    """Convert a file and move the result to the user's models."""
    source_sha256 = _digest(path)
    _check_owner(name, source_sha256)
    network = read_network(path, asked.preprocessing, asked.architecture)
    named = {}
    if asked.classes is not None:
        named["class_names"] = _class_names(asked.classes, network.classes)
    record = {
        "source": source,
        "source_sha256": source_sha256,
        "architecture": network.architecture,
        "preprocessing": asdict(network.preprocessing),
        **named,
        **_write_tensors(network, name, source, scratch),
    }
    (scratch / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    with _publishing(name):
        _check_owner(name, source_sha256)
        endings = (".classifier.safetensors", ".safetensors", ".json")
        written = [path for ending in endings if (path := scratch / f"{name}{ending}").exists()]
        _publish(written, is_ours=_source_of(name) == source_sha256)
        return find_model(name)


def _publish(written: Sequence[Path], *, is_ours: bool) -> None:
    """Move files to the user's models, all or none of them.

    Args:
        written: the files.
        is_ours: replace the files of the same model. Otherwise only the same bytes, which a killed
            run has left, may be there.
    """
    moved: list[Path] = []
    try:
        for path in written:
            target = user_directory() / path.name
            if is_ours and target.is_file() and not target.is_symlink():
                os.replace(path, target)
                continue
            try:
                move_without_replacing(path, target)
                moved.append(target)
            except FileExistsError:
                if target.is_symlink() or not target.is_file() or _digest(target) != _digest(path):
                    raise WeightsError(
                        f"{target} is in the way", hint="move it elsewhere, or give another --name"
                    ) from None
    except BaseException:
        for target in moved:
            target.unlink(missing_ok=True)
        raise


@contextmanager
def _publishing(name: str) -> Iterator[None]:
    """Wait until no other run moves the files of a model of that name to their place."""
    for _ in range(_MAX_WAITS):
        with reserved(user_directory() / f"{name}.json") as is_ours:
            if is_ours:
                yield
                return
        time.sleep(_WAIT_S)
    raise WeightsError(f"another run is adding a network '{name}'", hint="give another --name")


def _write_tensors(
    network: ImportedNetwork, name: str, source: str, scratch: Path
) -> dict[str, Any]:
    """Write convolutions and classifier; return their entries of the record."""
    described = {
        "architecture": network.architecture,
        "preprocessing": asdict(network.preprocessing),
        "source": source,
    }
    entries: dict[str, Any] = {
        "sha256": _save(network.convolutions, scratch / f"{name}.safetensors", described)
    }
    if network.classifier:
        file = scratch / f"{name}.classifier.safetensors"
        sha256 = _save(network.classifier, file, described)
        entries["classifier"] = {"file": file.name, "sha256": sha256}
    return entries


def _save(tensors: dict[str, Tensor], path: Path, described: dict[str, Any]) -> str:
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    try:
        save_file(tensors, path, metadata={METADATA_KEY: json.dumps(described, sort_keys=True)})
    except SafetensorError as err:
        raise OutputError(f"cannot write {path}: {err}") from err
    return _digest(path)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as err:
        raise WeightsError(f"cannot read {path}: {err.strerror or err}") from err


@contextmanager
def _scratch() -> Iterator[Path]:
    """Make a temporary folder next to the models, and remove those of killed runs."""
    folder = user_directory()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder) as scratch:
            yield scratch
    except OSError as err:
        raise OutputError(
            f"cannot save a model in {folder}: {err.strerror or err}",
            hint="make room there, or name another folder in STYLIZE_DATA_DIR",
        ) from err


def _slug(text: str) -> str:
    parts = re.sub(r"[^a-z0-9]+", lambda found: "_" if found[0] == "_" else "-", text.lower())
    return parts.strip("-_")


def _printable(text: str) -> str:
    # Terminals show it: a file name must not move the cursor.
    return "".join(char if char.isprintable() else "?" for char in text)


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+([-_][a-z0-9]+)*", name) or len(name) > _MAX_NAME:
        raise SettingError(
            f"'{_printable(name)[:_MAX_NAME]}' cannot be the name of a model",
            hint=f"give --name with a–z, 0–9 and single - or _ between them, at most {_MAX_NAME}",
        )
    if name in PACKAGED:
        raise SettingError(
            f"the name '{name}' belongs to a built-in model", hint="give another --name"
        )
    return name


def _check_owner(name: str, source_sha256: str) -> None:
    """Refuse the name of another source; adding the same source again repairs the model."""
    try:
        verify(find_model(name))
    except (OSError, ValueError, KeyError, TypeError, StylizeError):
        return
    if _source_of(name) not in (None, source_sha256):
        raise _taken(name, "give another --name, or ")


def _taken(name: str, remedy: str) -> WeightsError:
    return WeightsError(
        f"a network '{name}' already exists, from another source",
        hint=f"{remedy}stylize models remove {name}",
    )


def _source_of(name: str) -> str | None:
    """The SHA-256 of the file that a model was made from; None without a record that says it."""
    try:
        found = json.loads(read_record(record_path(name)))["source_sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


# Architectures whose files of torchvision expect pixels from -1 to 1.
INCEPTIONS = ("googlenet", "inception_v3")

_PREPROCESSING_OF = {**dict.fromkeys(INCEPTIONS, INCEPTION), caffe.NAME: CAFFE}

# Files with torchvision's names and another preprocessing. The first two are the original Oxford
# weights from github.com/jcjohnson/pytorch-vgg, the third is torchvision's own
# VGG16_Weights.IMAGENET1K_FEATURES, whose mean is given there as a fraction of 255.
KNOWN_FILES = {
    "vgg16-00b39a1b": CAFFE,
    "vgg19-d01eb7cb": CAFFE,
    "vgg16_features-amdegroot-88682ab5": Preprocessing("RGB", 255.0, (123.0, 117.0, 104.0)),
}

_CLASSIFIER = re.compile(r"classifier\.[0-9]{1,3}\.(weight|bias)")

# That of VGG takes 500 MB with a thousand classes, 850 MB with the 22 000 of all of ImageNet.
_MAX_CLASSIFIER_BYTES = 1_000_000_000

_SAVE = "save it with torch.save(model.state_dict(), FILE) or as .safetensors"

_MAX_PICKLE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class ImportedNetwork:
    """The contents of a file.

    Attributes:
        convolutions: all tensors of a VGG's convolutions, by our names, float32; of another
            network all tensors, by torchvision's names.
        classifier: of a VGG, those of the layers after them, by torchvision's names; may be empty.
        classes: the number of classes, 0 without a classifier.
    """

    architecture: str
    preprocessing: Preprocessing
    convolutions: dict[str, Tensor]
    classifier: dict[str, Tensor]
    classes: int = 0


def read_network(
    path: Path, preprocessing: str = "auto", architecture: str | None = None
) -> ImportedNetwork:
    """Read a network from a safetensors file or a pickled state dict.

    Args:
        path: ``.safetensors``, ``.pth``, ``.pt`` or ``.pth.tar``; only tensors are unpickled.
        preprocessing: ``caffe``, ``torchvision``, ``inception``, or ``auto``: as the file says, or
            as the names of its tensors suggest.
        architecture: of the network; None to recognise it by the names of its tensors.

    Raises:
        UnknownNameError: there is no such preprocessing.
        WeightsError: the file cannot be read or is another network.
    """
    if preprocessing not in ("auto", *PREPROCESSINGS):
        raise UnknownNameError("preprocessing", preprocessing, ("auto", *PREPROCESSINGS))
    if architecture is None or is_vgg(architecture):
        state, described, names = _read(path)
        if architecture is not None or _is_plain_vgg(names):
            return _read_vgg(path, preprocessing, architecture, (state, described, names))
    return _read_module(path, preprocessing, architecture)


def _read_module(path: Path, preprocessing: str, architecture: str | None) -> ImportedNetwork:
    state, described, names = _read(path, everything=True)
    _check_amount(state, path)
    if of_caffe(state) and architecture in (None, "googlenet"):
        architecture = caffe.NAME
    architecture = architecture or recognised(state)
    if architecture is None:
        raise _unrecognised(path, state, names)
    tensors, classes = checked_state(state, architecture, path)
    copies = {name: float32_copy(tensor) for name, tensor in tensors.items()}
    for name, tensor in copies.items():
        _check_numbers(tensor, name, path)
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise WeightsError(f"{path}: {name} holds negative variances")
    wanted = PREPROCESSINGS.get(preprocessing) or _described_preprocessing(described, path)
    if wanted is None:
        wanted = _PREPROCESSING_OF.get(architecture, TORCHVISION)
    return ImportedNetwork(architecture, wanted, copies, {}, classes)


def _check_amount(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that would fill the memory: a view can be far larger than what is stored."""
    amount = sum(4 * math.prod(tensor.shape) for tensor in state.values())
    if amount > MAX_FILE_BYTES:
        raise WeightsError(
            f"{path} is too large for a network: {amount / 1e9:.1f} GB as float32, the limit is"
            f" {MAX_FILE_BYTES / 1e9:.1f} GB"
        )


def _check_numbers(tensor: Tensor, name: str, path: Path) -> None:
    """Refuse NaN, and what is infinite as float32."""
    if not tensor.isfinite().all():
        raise WeightsError(f"{path}: {name} holds values that are not finite in single precision")


def _unrecognised(path: Path, state: Mapping[str, Tensor], names: Sequence[str]) -> WeightsError:
    """The error for a file whose network is not recognised."""
    message = f"{path} is none of torchvision's classifiers that can be used"
    similar = nearest(state)
    if similar is not None:
        try:
            checked_state(state, similar, path)
        except WeightsError as err:
            _, _, difference = err.message.partition(": expected ")
            return WeightsError(
                f"{message}: it is like {similar}, but expected {difference}",
                hint=f"save the state dict of torchvision's own {similar}",
            )
    found = ", ".join(name[:60] for name in names[:3]) or "nothing"
    with_norm = any(name.endswith("running_mean") for name in names)
    return WeightsError(
        f"{message}: found {found}{', with batch normalization' if with_norm else ''}",
        hint="give --architecture NAME to see which of that network's tensors are missing",
    )


def _class_names(path: Path, classes: int) -> list[str]:
    """Read the names of classes, one in each line.

    Raises:
        UsageError: the file cannot be read, or has another number of names.
    """
    try:
        text = checked_file(path).read_text("utf-8", "replace")
    except WeightsError as err:
        raise UsageError(f"--classes: {err.message}") from err
    except OSError as err:
        raise UsageError(f"--classes: cannot read {path}: {err.strerror or err}") from err
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # Places365 lists its classes as "/a/airport_terminal 2".
    names = [
        match[1].replace("/", " ").replace("_", " ") if (match := _PLACE.fullmatch(line)) else line
        for line in lines
    ]
    if len(names) != classes:
        raise UsageError(
            f"{path} has {len(names)} names, and the network has {classes} classes",
            hint="one name in each line",
        )
    return [_printable(name) for name in names]


_PLACE = re.compile(r"/[a-z]/(\S+) [0-9]+")


def _is_plain_vgg(names: Sequence[str]) -> bool:
    """Whether a file may be a VGG without batch normalization."""
    known = _convolution_names()
    # AlexNet and SqueezeNet begin like a VGG.
    others = [n for n in names if n.startswith("features.") and n not in known]
    with_norm = any(name.endswith("running_mean") for name in names)
    return any(name in known for name in names) and not others and not with_norm


def _read_vgg(
    path: Path,
    preprocessing: str,
    wanted_architecture: str | None,
    contents: tuple[dict[str, Tensor], dict[str, Any], list[str]],
) -> ImportedNetwork:
    state, described, names = contents
    architecture, aliases = _recognise(names, path)
    if wanted_architecture not in (None, architecture):
        raise WeightsError(f"{path} is a {architecture}, not a {wanted_architecture}")
    tensors = pick_convolutions(state, architecture, path, aliases)
    for name, tensor in tensors.items():
        _check_numbers(tensor, aliases[name], path)
    if preprocessing == "auto":
        wanted = _described_preprocessing(described, path) or _usual_preprocessing(aliases, path)
    else:
        wanted = PREPROCESSINGS[preprocessing]
    classifier = _classifier(state, path)
    last = max((name for name in classifier if name.endswith(".weight")), key=_number, default=None)
    classes = classifier[last].shape[0] if last else 0
    return ImportedNetwork(architecture, wanted, tensors, classifier, classes)


def _number(name: str) -> int:
    return int(name.split(".")[1])


def torchvision_names(architecture: str) -> dict[str, str]:
    """Map our names to torchvision's, such as ``conv1_2.bias`` to ``features.2.bias``."""
    names, index = {}, 0
    for layer in convolutions(architecture):
        index += layer.pooled
        for part in ("weight", "bias"):
            names[f"{layer.name}.{part}"] = f"features.{index}.{part}"
        index += 2
    return names


def _read(
    path: Path, *, everything: bool = False
) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
    """Map the tensors of a file, its description, and the names of all that it contains."""
    checked_file(path)
    try:
        if path.suffix.lower() == ".safetensors":
            return map_file(path, is_needed if everything else _is_wanted)
        state = _check_tensors(_state_of(_unpickle(path)), path)
        return state, {}, list(state)
    except OSError as err:
        raise WeightsError(f"cannot read {path}: {err.strerror or err}") from err


def _state_of(content: object) -> object:
    """The state dict of a checkpoint, which training programs save with other values."""
    inner = content.get("state_dict") if isinstance(content, dict) else None
    return inner if isinstance(inner, dict) and inner else content


def _is_wanted(name: str) -> bool:
    return name in _convolution_names() or _CLASSIFIER.fullmatch(name) is not None


@cache
def _convolution_names() -> frozenset[str]:
    names = {
        each
        for architecture in BLOCKS
        for ours, theirs in torchvision_names(architecture).items()
        for each in (ours, theirs)
    }
    packed = {name.replace(".weight", f".{part}") for name in names for part in _PACKED}
    return frozenset(names | packed)


def _unpickle(path: Path) -> object:
    import torch  # noqa: PLC0415

    with path.open("rb") as stream:
        is_zip = stream.read(4) == b"PK\3\4"
    if is_zip:
        _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about TorchScript before it refuses it
            # Mapped, so that only the tensors of a VGG are read. torch takes no other name for it.
            mapped = is_zip and _is_text(str(path))
            state: object = torch.load(
                str(path) if mapped else path, map_location="cpu", weights_only=True, mmap=mapped
            )
    except OSError:
        raise
    except Exception as err:  # a damaged pickle can raise anything
        raise WeightsError(
            f"{path} was refused: it is damaged or contains Python objects other than tensors",
            hint=_SAVE,
        ) from err
    return state


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Frugal(io.FileIO):
    """A file from which no more is read at once than the directory of an honest archive takes."""

    def read(self, size: int | None = -1, /) -> bytes:
        left = os.fstat(self.fileno()).st_size - self.tell()
        size = left if size is None or size < 0 else size
        if size > _MAX_PICKLE_BYTES:
            raise zipfile.BadZipFile(f"{size} bytes at once")
        return super().read(size)


def _check_archive(path: Path) -> None:
    """Refuse archives that torch would not write: what they unpack to may be of any size."""
    try:
        with _Frugal(path) as stream, zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as err:
        raise WeightsError(
            f"{path} is damaged: not a complete archive of torch",
            hint="get the file again",
        ) from err
    # The code of TorchScript is compressed; torch itself refuses that.
    data = [entry for entry in entries if "/code/" not in entry.filename]
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in data):
        raise WeightsError(
            f"{path} was refused: it is a compressed archive, which torch does not write",
            hint=_SAVE,
        )
    pickles = [entry.file_size for entry in entries if entry.filename.endswith(".pkl")]
    if max(pickles, default=0) > _MAX_PICKLE_BYTES:
        raise WeightsError(f"{path} was refused: it contains Python objects other than tensors")


def _check_tensors(state: object, path: Path) -> dict[str, Tensor]:
    import torch  # noqa: PLC0415

    if not isinstance(state, dict):
        raise WeightsError(
            f"{path} holds no state dict, but a value of type {type(state).__name__}", hint=_SAVE
        )
    for name, value in state.items():
        if not isinstance(name, str):
            # The key itself may be of any length.
            kind = type(name).__name__
            raise WeightsError(f"{path} is not a state dict: it has a key of type {kind}")
        # weights_only accepts sparse, nested and meta tensors, which have no values to read.
        plain = isinstance(value, torch.Tensor) and value.layout == torch.strided
        if not plain or value.is_meta or value.is_nested:
            kind = type(value).__name__
            what = "tensor without plain values" if isinstance(value, torch.Tensor) else kind
            raise WeightsError(f"{path} is not a state dict of tensors: {name[:60]!r} is a {what}")
    return state


def _recognise(names: Sequence[str], path: Path) -> tuple[str, dict[str, str]]:
    """Find the architecture and the naming scheme that match most tensors."""
    candidates = [
        (architecture, aliases)
        for architecture in BLOCKS
        for aliases in (
            {name: name for name in convolution_shapes(architecture)},
            torchvision_names(architecture),
        )
    ]
    known = {name.replace(".index", ".weight") for name in names}
    best = max(candidates, key=lambda candidate: len(known.intersection(candidate[1].values())))
    if not known.intersection(best[1].values()):
        found = ", ".join(name[:60] for name in names[:3]) or "nothing"
        raise WeightsError(
            f"{path} is not a VGG-16 or VGG-19: expected conv1_1.weight or features.0.weight,"
            f" found {found}",
            hint="name another --architecture, or leave it out",
        )
    return best


def _described_preprocessing(described: Mapping[str, Any], path: Path) -> Preprocessing | None:
    if "preprocessing" not in described:
        return None
    try:
        return Preprocessing.from_json(described["preprocessing"])
    except (KeyError, TypeError, ValueError) as err:
        raise WeightsError(
            f"{path} describes an invalid preprocessing: {err}",
            hint="override it with --preprocessing",
        ) from err


def _usual_preprocessing(aliases: Mapping[str, str], path: Path) -> Preprocessing:
    for stem, known in KNOWN_FILES.items():
        if path.name.startswith(stem):
            return known
    return CAFFE if "conv1_1.weight" in aliases.values() else TORCHVISION


def _classifier(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Copy the layers after the convolutions, unless they are unusable: some files hold NaN."""
    layers = {name: tensor for name, tensor in state.items() if _CLASSIFIER.fullmatch(name)}
    # A view can be far larger than what is stored of it.
    if sum(4 * tensor.numel() for tensor in layers.values()) > _MAX_CLASSIFIER_BYTES:
        raise WeightsError(f"{path} has a classifier that is larger than any of a VGG")
    if not all(is_plain_float(tensor) and tensor.numel() for tensor in layers.values()):
        return {}
    copies = {name: float32_copy(tensor) for name, tensor in layers.items()}
    return copies if all(bool(tensor.isfinite().all()) for tensor in copies.values()) else {}
