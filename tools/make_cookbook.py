"""Make the pictures of the cookbook: each by the command printed next to it.

    python tools/make_cookbook.py docs/cookbook            all of them
    python tools/make_cookbook.py docs/cookbook cut ink    those with these names

The commands are read from ``docs/cookbook.md``, next to the folder, and run from the
current folder, so call it from the root of the checkout. Every picture is made again, smaller. The
first that fails ends the run. Takes about five minutes on two cores; the extra ``masks`` is needed.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

SIZE_PX = 384
QUALITY = 60
MAX_TOTAL_BYTES = 600_000


def commands(page: Path) -> dict[str, list[str]]:
    """The words of each command after ``stylize``, by the file that its ``-o`` names."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)
    found = {}
    for block in blocks:
        program, *words = shlex.split(block.replace("\\\n", " "))
        found[words[words.index("-o") + 1]] = words
        if program != "stylize" or program in words:
            sys.exit(f"{page}: not one command in one block:\n{block}")
    if len(found) < len(blocks):
        sys.exit(f"{page}: two commands make one picture")
    return found


def in_small(words: list[str]) -> list[str]:
    """The command, quicker where its size is not part of the look."""
    sized = words[0] == "explore" or "--from-noise" in words
    return [*words, *([] if sized else ["--size", str(SIZE_PX)]), "--quality", str(QUALITY)]


def make(words: list[str], target: Path) -> None:
    """Run a command, with its picture going to ``target``."""
    words = [*in_small(words), "-o", str(target), "--overwrite"]
    print("stylize", shlex.join(words), flush=True)
    if subprocess.run([sys.executable, "-m", "stylize", *words], check=False).returncode:
        sys.exit(f"{target} was not made")


def main(folder: Path, names: list[str]) -> None:
    """Make the pictures of these names, or all; remove those of looks that are no more."""
    looks = commands(folder.with_suffix(".md"))
    if unknown := set(names) - {Path(look).stem for look in looks}:
        sys.exit(f"not in the cookbook: {', '.join(sorted(unknown))}")
    folder.mkdir(parents=True, exist_ok=True)
    for look, words in looks.items():
        if not names or Path(look).stem in names:
            make(words, folder / look)
    for picture in folder.iterdir():
        if picture.name not in looks:
            picture.unlink()
    total = sum(picture.stat().st_size for picture in folder.iterdir())
    print(f"{len(looks)} looks, {total / 1000:.0f} kB")
    if total > MAX_TOTAL_BYTES:
        sys.exit(f"more than {MAX_TOTAL_BYTES / 1000:.0f} kB: make them smaller")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
