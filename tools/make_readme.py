"""Make the pictures of the README and the guide, each with the command printed above it.

    python tools/make_readme.py                 all of them
    python tools/make_readme.py sheet tunnel    those with these names

Call it from the root of the checkout. A picture ``docs/readme/NAME`` directly after a block of
commands is the result of the one command in that block, made smaller. The film at the top of the
README has its command here. Takes about five minutes on two cores.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGES = (Path("README.md"), Path("docs/guide.md"))
FOLDER = Path("docs/readme")
FILM = "tunnel samples/photos/rocket.jpg --loop --zoom 1.05 --pace 0.3 -o tunnel.webp"
SMALL = {
    "transfer": "--size 320 --quality 75",
    "dream": "--size 320 --quality 75",
    "explore": "--size 160 --quality 75",
    "tunnel": "--size 288 --frames 26 --fps 10 --quality 40",
}
MAX_TOTAL_BYTES = 1_000_000


def commands() -> dict[str, list[str]]:
    """The words of each command after ``stylize``, by the name of its picture."""
    found = {"tunnel.webp": shlex.split(FILM)}
    block = r"```console\nstylize ((?:(?!```).)*?)\n```\n\n!\[[^]]*\]\((?:docs/)?readme/([\w.-]+)\)"
    for page in PAGES:
        for text, name in re.findall(block, page.read_text("utf-8"), flags=re.DOTALL):
            found[name] = shlex.split(text.replace("\\\n", " "))
    return found


def make(name: str, words: list[str]) -> None:
    """Run a command, smaller, and write its picture to the folder."""
    words = [*words, *shlex.split(SMALL[words[0]]), "-o", str(FOLDER / name), "--overwrite"]
    print("stylize", shlex.join(words), flush=True)
    if subprocess.run([sys.executable, "-m", "stylize", *words], check=False).returncode:
        sys.exit(f"{name} was not made")


def main(names: list[str]) -> None:
    """Make the pictures with these names, or all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = commands()
    if unknown := set(names) - {Path(name).stem for name in found}:
        sys.exit(f"not in the README or the guide: {', '.join(sorted(unknown))}")
    for name, words in found.items():
        if not names or Path(name).stem in names:
            make(name, words)
    total = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"{len(found)} pictures, {total / 1000:.0f} kB")
    if total > MAX_TOTAL_BYTES:
        sys.exit(f"more than {MAX_TOTAL_BYTES / 1000:.0f} kB: make them smaller")


if __name__ == "__main__":
    main(sys.argv[1:])
