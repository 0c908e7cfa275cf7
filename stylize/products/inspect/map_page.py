"""A map of photos as a page that zooms and pans, in one file that needs nothing but a browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from stylize.images.atomic import replacing
from stylize.products.inspect.folder import Album, page_path
from stylize.products.inspect.photo_map import Atlas

_QUALITY = 85

_STYLE = """\
html, body { margin: 0; height: 100%; overflow: hidden; background: #1c1c1c; color: #e0e0e0;
  font: 14px/1.4 system-ui, sans-serif; }
#view { position: absolute; inset: 0; overflow: hidden; cursor: grab; touch-action: none; }
#view:focus-visible { outline: 2px solid #8ab4f8; outline-offset: -2px; }
#map { position: absolute; left: 0; top: 0; transform-origin: 0 0; }
#map img { display: block; }
#mark { position: absolute; box-sizing: border-box; border: 2px solid #fff; display: none;
  pointer-events: none; }
#name { position: absolute; left: 0; bottom: 0; max-width: 100%; box-sizing: border-box;
  padding: .4em .8em; background: #000c; overflow-wrap: anywhere; }
#name:empty { display: none; }
"""

# One finger or the mouse moves, two fingers or the wheel zoom, a double click opens the photo.
_SCRIPT = """\
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const view = document.getElementById("view"), map = document.getElementById("map");
const mark = document.getElementById("mark"), label = document.getElementById("name");
const width = data.columns * data.cell, height = data.rows * data.cell;
const fingers = new Map();
let scale = 1, x = 0, y = 0, current = null;

function draw() {
  map.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
}
function fit() {
  scale = Math.min(view.clientWidth / width, view.clientHeight / height);
  x = (view.clientWidth - width * scale) / 2;
  y = (view.clientHeight - height * scale) / 2;
  draw();
}
function zoom(factor, atX, atY) {
  const next = Math.min(40, Math.max(0.02, scale * factor));
  x = atX - (atX - x) * next / scale;
  y = atY - (atY - y) * next / scale;
  scale = next;
  draw();
}
function show(event) {
  const column = Math.floor((event.clientX - x) / scale / data.cell);
  const row = Math.floor((event.clientY - y) / scale / data.cell);
  current = data.photos[`${row},${column}`] || null;
  label.textContent = current ? current[0] : "";
  mark.style.display = current ? "block" : "none";
  mark.style.left = `${column * data.cell}px`;
  mark.style.top = `${row * data.cell}px`;
  mark.style.width = mark.style.height = `${data.cell}px`;
  mark.style.borderWidth = `${2 / scale}px`;
}
function spread() {
  const [a, b] = [...fingers.values()];
  return [Math.hypot(a[0] - b[0], a[1] - b[1]), (a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
}
view.addEventListener("wheel", event => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX, event.clientY);
  show(event);
}, { passive: false });
view.addEventListener("pointerdown", event => {
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  view.setPointerCapture(event.pointerId);
  show(event);
});
view.addEventListener("pointermove", event => {
  const before = fingers.get(event.pointerId);
  if (!before) { show(event); return; }
  const was = fingers.size > 1 ? spread() : null;
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  if (was) {
    const now = spread();
    x += now[1] - was[1];
    y += now[2] - was[2];
    zoom(now[0] / Math.max(1, was[0]), now[1], now[2]);
  } else {
    x += event.clientX - before[0];
    y += event.clientY - before[1];
    draw();
  }
});
for (const kind of ["pointerup", "pointercancel"]) {
  view.addEventListener(kind, event => fingers.delete(event.pointerId));
}
view.addEventListener("dblclick", () => { if (current) window.open(current[1]); });
view.addEventListener("keydown", event => {
  const middle = [view.clientWidth / 2, view.clientHeight / 2], step = 60;
  const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step],
    ArrowDown: [0, -step] };
  if (event.key === "+" || event.key === "=") zoom(1.25, ...middle);
  else if (event.key === "-") zoom(0.8, ...middle);
  else if (event.key === "0") fit();
  else if (moves[event.key]) { x += moves[event.key][0]; y += moves[event.key][1]; draw(); }
  else return;
  event.preventDefault();
});
window.addEventListener("resize", fit);
fit();
view.focus();
"""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="stylize">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'sha256-{digest}'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<div id="view" tabindex="0" role="application" aria-label="{title}: drag to move, wheel or + and \
- to zoom, 0 for all, double click to open a photo">
<div id="map">
"""

_END = """\
<div id="mark"></div>
</div>
</div>
<div id="name" role="status"></div>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def write_page(target: Path, atlas: Atlas, album: Album) -> Path:
    """Write a map as a page: file names where one points, photos where one clicks twice.

    Args:
        target: the picture beside which it goes.
        atlas: the map.
        album: its photos, which the page links to and does not hold.

    Raises:
        OutputError: the system refuses.
    """
    page = page_path(target)
    with replacing(page) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_parts(atlas, album, page.parent))
    return page


def _parts(atlas: Atlas, album: Album, home: Path) -> Iterator[str]:
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    title = escape(f"{len(atlas.names)} photos of {_shown(os.path.basename(album.folder))}")
    yield _PAGE.format(digest=digest, title=title, style=_STYLE)
    yield from _strips(atlas)
    rows, columns = atlas.grid
    photos = {
        f"{row},{column}": [_shown(name), _link(album.folder / name, home)]
        for (row, column), name in atlas.names.items()
    }
    found = {"rows": rows, "columns": columns, "cell": atlas.cell_px, "photos": photos}
    # No name ends the script that holds it.
    yield _END.format(data=json.dumps(found).replace("<", "\\u003c"), script=_SCRIPT)


def _strips(atlas: Atlas) -> Iterator[str]:
    """A picture for each row: a browser need not decode the whole at once."""
    pixels = atlas.result.pixels[0]
    for row in range(atlas.grid[0]):
        strip = pixels[:, row * atlas.cell_px : (row + 1) * atlas.cell_px]
        strip = strip[:, :, : atlas.grid[1] * atlas.cell_px]
        levels = (strip * 255 + 0.5).clamp(0, 255).permute(1, 2, 0).numpy().astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(levels).save(buffer, "JPEG", quality=_QUALITY)
        data = base64.b64encode(buffer.getvalue()).decode()
        yield f'<img src="data:image/jpeg;base64,{data}" alt="">\n'


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _link(path: Path, home: Path) -> str:
    """A relative address; ``./`` keeps a colon in a name from being read as a protocol."""
    relative = os.path.relpath(os.path.abspath(path), os.path.abspath(home))
    return "./" + quote(os.fsencode(relative.replace(os.sep, "/")), safe="/")
