"""The command line. Nothing outside this folder knows click or tqdm, prints, or exits."""

from __future__ import annotations

from stylize.commands.entry import cli, main

__all__ = ["cli", "main"]
