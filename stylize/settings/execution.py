"""Settings of the machine: device, precision, threads, memory, checkpoints."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stylize.errors import SettingError, UnknownNameError
from stylize.settings.fields import Group, check_fields, setting
from stylize.settings.synonyms import ours

_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}

_AMOUNT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([kmgt]?)b?", re.I)


def parse_bytes(text: str) -> float:
    """``7GB``, ``800M`` or plain bytes, in powers of ten.

    Raises:
        SettingError: none of these, or zero.
    """
    match = _AMOUNT.fullmatch(text.strip())
    amount = float(match[1]) * _UNITS[match[2].lower()] if match else 0.0
    if amount <= 0:
        raise SettingError(f"no such amount of memory: '{text}'", hint="for instance 7GB or 800MB")
    return amount


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """How often the state of a run is written to its checkpoint."""

    checkpoint_every: float = setting(
        5.0, "Minutes between checkpoints.", Group.EXECUTION, above=0, high=1e6
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Device, precision, threads and memory limit."""

    device: str = setting("auto", "Device to use: auto, cpu, cuda, cuda:N or mps.", Group.EXECUTION)
    precision: str = setting(
        "auto",
        "Precision of the convolutions; auto takes the fastest that is accurate enough.",
        Group.EXECUTION,
        choices=("auto", "bf16", "fp32"),
    )
    threads: int | None = setting(
        None, "Number of CPU threads.  [all cores]", Group.EXECUTION, low=1, high=1024
    )
    max_memory: str | None = setting(
        None,
        "Memory limit, such as 7GB; pictures that need more are processed in tiles.  "
        "[all free memory]",
        Group.EXECUTION,
        metavar="AMOUNT",
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.max_memory is not None:
            parse_bytes(self.max_memory)
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            meant = [each.split()[1] for each in ours(self.device) if each.startswith("--device ")]
            known = ("auto", "cpu", "cuda", "cuda:0", "mps")
            raise UnknownNameError("device", self.device, known, meant=meant)
