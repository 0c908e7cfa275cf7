"""Import models: download them, or convert a user's file of weights."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

from stylize.errors import OutputError, SettingError, StylizeError, UnknownNameError, WeightsError
from stylize.networks.architecture import BLOCKS, convolutions
from stylize.networks.models import (
    DOWNLOADABLE,
    PACKAGED,
    ModelFile,
    find_model,
    user_directory,
    verify,
)
from stylize.networks.weight_files import (
    CAFFE,
    METADATA_KEY,
    TORCHVISION,
    Preprocessing,
    convolution_shapes,
    decode,
    float32_copy,
    pick_convolutions,
)

if TYPE_CHECKING:
    from torch import Tensor

TIMEOUT_S = 30.0

BLOCK_BYTES = 1 << 18

Progress = Callable[[int, int | None], None]


def add_file(
    path: Path | str, *, name: str | None = None, preprocessing: str = "auto"
) -> ModelFile:
    """Convert a user's file of weights and store it under a name.

    Args:
        path: ``.safetensors``, ``.pth`` or ``.pt`` with a VGG-16 or VGG-19.
        name: the name of the model; by default made from the file name.
        preprocessing: ``auto``, ``caffe`` or ``torchvision``.

    Raises:
        SettingError: the name is invalid.
        WeightsError: the file is not a VGG-16 or VGG-19, or the name is taken.
        OutputError: the cache cannot be written.
    """
    path = Path(path)
    name = _check_name(_slug(path.stem) if name is None else name)
    with _scratch() as scratch:
        return _install(path, name, _printable(path.name), preprocessing, scratch)


def download(
    name: str, *, progress: Progress | None = None, base_url: str | None = None
) -> ModelFile:
    """Download one of torchvision's models, unless it is already there and intact.

    Args:
        name: one of :data:`stylize.networks.models.DOWNLOADABLE`.
        progress: called with the bytes received and, if known, the total.
        base_url: the folder to download from instead of torchvision's.

    Raises:
        UnknownNameError: there is no such model.
        WeightsError: the download failed, or is not the expected file.
        OutputError: the cache cannot be written.
    """
    if name not in DOWNLOADABLE:
        raise UnknownNameError("model", name, DOWNLOADABLE)
    with suppress(WeightsError):
        present = find_model(name)
        verify(present)
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
        return _install(path, name, url, "torchvision", scratch)


def address(name: str) -> str:
    """Return torchvision's URL of a downloadable model."""
    from torchvision.models import VGG16_Weights, VGG19_Weights  # noqa: PLC0415

    weights = {"vgg16-imagenet": VGG16_Weights, "vgg19-imagenet": VGG19_Weights}[name]
    return str(weights.IMAGENET1K_V1.url)


def _fetch(url: str, target: Path, progress: Progress, by_hand: str) -> str:
    """Download a URL to a file and return its SHA-256."""
    digest, done = hashlib.sha256(), 0
    try:
        with closing(urlopen(url, timeout=TIMEOUT_S)) as reply, target.open("wb") as file:
            total: int | None = reply.length
            while block := reply.read(BLOCK_BYTES):
                file.write(block)
                digest.update(block)
                done += len(block)
                progress(done, total)
    except (OSError, HTTPException) as err:
        if isinstance(err, HTTPError):
            err.close()
        raise WeightsError(f"cannot download {url}: {err}", hint=by_hand) from err
    if total is not None and done != total:
        raise WeightsError(f"{url} broke off after {done} of {total} bytes", hint="try again")
    return digest.hexdigest()


def _check_prefix(url: str, digest: str) -> None:
    # torchvision ends its file names with the first digits of the SHA-256.
    expected = url.rpartition("-")[2].partition(".")[0]
    if not digest.startswith(expected):
        raise WeightsError(
            f"{url} is not what it should be: expected SHA-256 {expected}…, found {digest}",
            hint="try again; a proxy may have answered in the server's place",
        )


def _install(path: Path, name: str, source: str, preprocessing: str, scratch: Path) -> ModelFile:
    """Convert a file and move the result to the user's models."""
    source_sha256 = _digest(path)
    _check_owner(name, source_sha256)
    network = read_network(path, preprocessing)
    record = {
        "source": source,
        "source_sha256": source_sha256,
        "architecture": network.architecture,
        "preprocessing": asdict(network.preprocessing),
        **_write_tensors(network, name, source, scratch),
    }
    (scratch / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    for ending in (".classifier.safetensors", ".safetensors", ".json"):
        written = scratch / f"{name}{ending}"
        if written.exists():
            os.replace(written, user_directory() / written.name)
    return find_model(name)


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
    """Make a temporary folder next to the models."""
    folder = user_directory()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".adding-", dir=folder) as scratch:
            yield Path(scratch)
    except OSError as err:
        raise OutputError(
            f"cannot keep a model in {folder}: {err.strerror or err}",
            hint="make room there, or name another folder in STYLIZE_CACHE_DIR",
        ) from err


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _printable(text: str) -> str:
    # Terminals show it: a file name must not move the cursor.
    return "".join(char if char.isprintable() else "?" for char in text)


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+([-_][a-z0-9]+)*", name):
        raise SettingError(
            f"'{_printable(name)}' cannot name a model",
            hint="give --name with a–z, 0–9 and single - or _ between them",
        )
    if name in PACKAGED:
        raise SettingError(
            f"the name '{name}' belongs to a built-in model", hint="give another --name"
        )
    return name


def _check_owner(name: str, source_sha256: str) -> None:
    """Refuse the name of another source; adding the same source again repairs the model."""
    record_path = user_directory() / f"{name}.json"
    try:
        owner = json.loads(record_path.read_text("utf-8"))["source_sha256"]
        verify(find_model(name))
    except (OSError, ValueError, KeyError, TypeError, StylizeError):
        return
    if owner != source_sha256:
        raise WeightsError(
            f"there is a model '{name}' already, from another source",
            hint=f"give another --name, or delete {record_path}",
        )


PREPROCESSINGS = {"caffe": CAFFE, "torchvision": TORCHVISION}

# Files with torchvision's names and another preprocessing. The first two are the original Oxford
# weights from github.com/jcjohnson/pytorch-vgg, the third is torchvision's own
# VGG16_Weights.IMAGENET1K_FEATURES, whose mean is given there as a fraction of 255.
KNOWN_FILES = {
    "vgg16-00b39a1b": CAFFE,
    "vgg19-d01eb7cb": CAFFE,
    "vgg16_features-amdegroot-88682ab5": Preprocessing("RGB", 255.0, (123.0, 117.0, 104.0)),
}

_CLASSIFIER = "classifier."


@dataclass(frozen=True)
class ImportedNetwork:
    """The contents of a file.

    Attributes:
        convolutions: all tensors of the convolutions, by our names, float32.
        classifier: those of the layers after them, by torchvision's names; may be empty.
    """

    architecture: str
    preprocessing: Preprocessing
    convolutions: dict[str, Tensor]
    classifier: dict[str, Tensor]


def read_network(path: Path, preprocessing: str = "auto") -> ImportedNetwork:
    """Read a VGG-16 or VGG-19 from a safetensors file or a pickled state dict.

    Args:
        path: ``.safetensors``, ``.pth`` or ``.pt``; only tensors are unpickled.
        preprocessing: ``caffe``, ``torchvision``, or ``auto``: as the file says, or as the names
            of its tensors suggest.

    Raises:
        UnknownNameError: there is no such preprocessing.
        WeightsError: the file cannot be read or is another network.
    """
    if preprocessing not in ("auto", *PREPROCESSINGS):
        raise UnknownNameError("preprocessing", preprocessing, ("auto", *PREPROCESSINGS))
    state, described = _read(path)
    architecture, aliases = _recognise(state, path)
    tensors = pick_convolutions(state, architecture, path, aliases)
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise WeightsError(f"{path}: {aliases[name]} holds values that are not finite")
    if preprocessing == "auto":
        wanted = _described_preprocessing(described, path) or _usual_preprocessing(aliases, path)
    else:
        wanted = PREPROCESSINGS[preprocessing]
    return ImportedNetwork(architecture, wanted, tensors, _classifier(state))


def torchvision_names(architecture: str) -> dict[str, str]:
    """Map our names to torchvision's, such as ``conv1_2.bias`` to ``features.2.bias``."""
    names, index = {}, 0
    for layer in convolutions(architecture):
        index += layer.pooled
        for part in ("weight", "bias"):
            names[f"{layer.name}.{part}"] = f"features.{index}.{part}"
        index += 2
    return names


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    suffix = path.suffix.lower()
    if suffix not in (".safetensors", ".pth", ".pt"):
        raise WeightsError(f"{path} is not a file of weights: expected .safetensors, .pth or .pt")
    try:
        if suffix == ".safetensors":
            return decode(path.read_bytes(), path)
        return _check_tensors(_unpickle(path), path), {}
    except OSError as err:
        raise WeightsError(f"cannot read {path}: {err.strerror or err}") from err


def _unpickle(path: Path) -> object:
    import torch  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about TorchScript before it refuses it
            state: object = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as err:  # a damaged pickle can raise anything
        raise WeightsError(
            f"{path} was refused: it is damaged or holds other Python objects than tensors",
            hint="save it with torch.save(model.state_dict(), FILE) or as .safetensors",
        ) from err
    return state


def _check_tensors(state: object, path: Path) -> dict[str, Tensor]:
    import torch  # noqa: PLC0415

    if not isinstance(state, dict):
        raise WeightsError(f"{path} is not a state dict but a {type(state).__name__}")
    for name, value in state.items():
        # weights_only accepts sparse and meta tensors, which have no values to read.
        plain = isinstance(value, torch.Tensor) and value.layout == torch.strided
        if not isinstance(name, str) or not plain or value.is_meta:
            kind = type(value).__name__
            what = "tensor without plain values" if isinstance(value, torch.Tensor) else kind
            raise WeightsError(f"{path} is not a state dict of tensors: {name!r} is a {what}")
    return state


def _recognise(state: Mapping[str, Tensor], path: Path) -> tuple[str, dict[str, str]]:
    """Find the architecture and the naming scheme that match most tensors."""
    normalised = next((name for name in state if name.endswith("running_mean")), None)
    if normalised:
        raise WeightsError(
            f"{path} is a network with batch normalisation ({normalised})",
            hint="only VGG-16 and VGG-19 without it are supported",
        )
    candidates = [
        (architecture, names)
        for architecture in BLOCKS
        for names in (
            {name: name for name in convolution_shapes(architecture)},
            torchvision_names(architecture),
        )
    ]
    best = max(candidates, key=lambda candidate: len(candidate[1].values() & state.keys()))
    if not best[1].values() & state.keys():
        found = ", ".join(list(state)[:3]) or "nothing"
        raise WeightsError(
            f"{path} is not a VGG: expected conv1_1.weight or features.0.weight, found {found}"
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


def _classifier(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy the layers after the convolutions, unless they are unusable: some files hold NaN."""
    layers = {name: tensor for name, tensor in state.items() if name.startswith(_CLASSIFIER)}
    usable = all(t.is_floating_point() and bool(t.isfinite().all()) for t in layers.values())
    return {name: float32_copy(tensor) for name, tensor in layers.items()} if usable else {}
