"""The walk through docs/python.md runs as it is written, with smaller pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import stylize
from stylize.runs.recipe import load_recipe
from tests.conftest import photo, save, strokes
from tests.video.clips import write_clip

PAGE = Path(__file__).resolve().parent.parent / "docs" / "python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.mark.slow  # paints a dozen pictures
def test_the_walk_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save(photo(), Path("photo.jpg"))
    save(strokes(), Path("painting.jpg"))
    Path("photos").mkdir()
    save(photo(48, 64), Path("photos/one.png"))
    save(photo(64, 48), Path("photos/two.png"))
    write_clip(Path("clip.mp4"), 2)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        quick = block.replace("size=512", "size=512, steps=2")
        small = re.sub(r"\bsize(=|\": )\d+", r"size\g<1>32", quick)
        exec(compile(small, str(PAGE), "exec"), names)
    assert load_recipe(Path("painted.png"))["settings"]["strength"] == 40
    assert torch.equal(names["tensor"][0].permute(1, 2, 0), torch.tensor(names["array"]))
    assert isinstance(names["image"], Image.Image)
    assert names["large"].recipe["settings"]["style_size"] == 256
    assert names["film"] == Path("tunnel.webp")
    assert load_recipe(Path("painted.mp4"))["clip"]["frames"] == 2
    assert [each.status for each in names["outcomes"]] == ["done", "done"]
    assert sorted(each.name for each in Path("dreams").glob("*.png")) == ["one.png", "two.png"]
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "True"
    assert shown[1] == "70"
    assert shown[-1].startswith("unknown setting 'content_wieght' (did you mean content_weight or ")


def test_the_page_names_every_function_and_module() -> None:
    text = PAGE.read_text()
    for name in stylize.__all__:
        if name[0].islower():
            call = "(" if callable(getattr(stylize, name)) else ""
            assert f"stylize.{name}{call}" in text
