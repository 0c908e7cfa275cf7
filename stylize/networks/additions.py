"""Put models into the user's cache, from a file or from torchvision's server.

A model is two or three files, ``NAME.safetensors``, perhaps ``NAME.classifier.safetensors``, and
the record ``NAME.json``. All are written to a scratch folder and renamed, the record last: a model
is there entirely or not at all, whatever interrupts this and whoever else does the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

from stylize.errors import OutputError, SettingError, StylizeError, UnknownNameError, WeightsError
from stylize.networks.foreign import ForeignNetwork, read_network
from stylize.networks.formats import METADATA_KEY
from stylize.networks.store import (
    DOWNLOADABLE,
    PACKAGED,
    ModelFile,
    find_model,
    user_directory,
    verify,
)

if TYPE_CHECKING:
    from torch import Tensor

TIMEOUT_S = 30.0
BLOCK_BYTES = 1 << 18

Progress = Callable[[int, int | None], None]


def add_file(
    path: Path | str, *, name: str | None = None, preprocessing: str = "auto"
) -> ModelFile:
    """Convert a weights file of the user's and keep it under a name.

    Args:
        path: ``.safetensors``, ``.pth`` or ``.pt`` with a VGG-16 or VGG-19.
        name: what to call it; made from the file name if not given.
        preprocessing: ``auto``, ``caffe`` or ``torchvision``.
    Raises:
        SettingError: the name cannot be used.
        WeightsError: the file is not such a network, or the name belongs to another one.
        OutputError: the cache cannot be written.
    """
    path = Path(path)
    name = _check_name(_slug(path.stem) if name is None else name)
    with _scratch() as scratch:
        return _install(path, name, _printable(path.name), preprocessing, scratch)


def download(
    name: str, *, progress: Progress | None = None, base_url: str | None = None
) -> ModelFile:
    """Fetch one of torchvision's models, unless it is already there and intact.

    Args:
        name: one of :data:`stylize.networks.store.DOWNLOADABLE`.
        progress: called with the bytes that have come and, if known, those to come in all.
        base_url: the folder to fetch from instead of torchvision's.
    Raises:
        UnknownNameError: no such model.
        WeightsError: the server cannot be reached, or what came is not the model.
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
    by_hand = f"fetch it by other means, then: stylize models add {file_name} --name {name}"
    with _scratch() as scratch:
        path = scratch / file_name
        digest = _fetch(url, path, progress or (lambda done, total: None), by_hand)
        _check_prefix(url, digest)
        return _install(path, name, url, "torchvision", scratch)


def address(name: str) -> str:
    """Where torchvision keeps a downloadable model."""
    from torchvision.models import VGG16_Weights, VGG19_Weights  # noqa: PLC0415

    weights = {"vgg16-imagenet": VGG16_Weights, "vgg19-imagenet": VGG19_Weights}[name]
    return str(weights.IMAGENET1K_V1.url)


def _fetch(url: str, target: Path, progress: Progress, by_hand: str) -> str:
    """Stream a URL into a file; returns the SHA-256."""
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
    """Convert a file and move the outcome to its place."""
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
    network: ForeignNetwork, name: str, source: str, scratch: Path
) -> dict[str, Any]:
    """Write trunk and classifier; returns their entries of the record."""
    described = {
        "architecture": network.architecture,
        "preprocessing": asdict(network.preprocessing),
        "source": source,
    }
    entries: dict[str, Any] = {
        "sha256": _save(network.trunk, scratch / f"{name}.safetensors", described)
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
    """A folder next to the models that is gone afterwards."""
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
    # Lists show it: a file name must not move the cursor.
    return "".join(char if char.isprintable() else "?" for char in text)


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+([-_][a-z0-9]+)*", name):
        raise SettingError(
            f"'{_printable(name)}' cannot name a model",
            hint="give --name with a–z, 0–9 and single - or _ between them",
        )
    if name in PACKAGED:
        raise SettingError(
            f"the name '{name}' belongs to a model of the package", hint="give another --name"
        )
    return name


def _check_owner(name: str, source_sha256: str) -> None:
    """The same source may be added again, which repairs or corrects it; another may not."""
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
