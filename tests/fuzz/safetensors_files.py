"""Take safetensors files apart and put them together again, checksums of checkpoints included."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from tests.fuzz.mutations import to_json

_KINDS = {"F32": "float32", "F64": "float64", "I64": "int64", "U8": "uint8", "F16": "float16"}


def parted(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header, as a document, and the values of all tensors."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: dict[str, Any], body: bytes) -> bytes:
    """The file."""
    text = to_json(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def described(data: bytes) -> dict[str, Any]:
    """The description inside a checkpoint."""
    found: dict[str, Any] = json.loads(parted(data)[0]["__metadata__"]["stylize"])
    return found


def sealed(data: bytes, text: str) -> bytes:
    """The same checkpoint with another description and the checksum that belongs to it."""
    header, body = parted(data)
    found = hashlib.sha256(text.encode(errors="surrogatepass"))
    for name in sorted(header.keys() - {"__metadata__"}):
        entry = header[name]
        start, end = entry["data_offsets"]
        kind, shape = np.dtype(_KINDS[entry["dtype"]]), tuple(entry["shape"])
        found.update(f"{name} {kind} {shape}".encode())
        found.update(body[start:end])
    header["__metadata__"] = {"stylize": text, "sha256": found.hexdigest()}
    return joined(header, body)
