"""Make the pictures of docs/studio.md: the page in a real browser, with paintings of the samples.

    python tools/make_studio_pictures.py docs/studio

Call it from the root of the checkout. It needs Chromium, its driver and the extras ``test`` and
``studio``. Takes about three minutes on two cores.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, ".")

import av
import numpy as np
from PIL import Image

from tests.studio.browser import Page, Studio, running_browser

PHOTOS = Path("samples/photos")
QUALITY = 80
# Photos and styles in the history, oldest first.
PAINTED = (
    ("astronaut", "Mosaic"),
    ("astronaut", "Stained glass"),
    ("chelsea", "Marbling"),
    ("chelsea", "Woodcut"),
    ("coffee", "Ink wash"),
    ("coffee", "Brushwork"),
)


def clip_of(photo: Path, frames: int = 36, width: int = 360, height: int = 240) -> bytes:
    """An mp4 of 12 frames per second that moves across a photo."""
    whole = Image.open(photo).convert("RGB")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            left, top = number * 2, number
            part = whole.crop((left, top, left + width, top + height))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(part), "rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


class Photographer:
    """Drive the page and save what it shows."""

    def __init__(self, driver: Any, studio: Studio, folder: Path) -> None:
        self.driver, self.folder = driver, folder
        self.page = Page(driver, studio.address)

    def window(self, width: int, height: int, scale: int = 1) -> None:
        """Set the size of the page in CSS px, and the device px per CSS px."""
        metrics = {
            "width": width,
            "height": height,
            "deviceScaleFactor": scale,
            "mobile": width < 500,
        }
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def save(self, name: str) -> None:
        """Save what the page shows, scrolled to the top."""
        self.page.script(
            "document.querySelectorAll('*').forEach((each) => { each.scrollTop = 0; })"
        )
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        picture = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
        picture.save(self.folder / f"{name}.webp", quality=QUALITY, method=6)

    def begin(self, photo: Path, style: str) -> None:
        """Start to paint."""
        self.page.drop(".drop[data-drop=photo], .photo-card", photo)
        self.page.until(lambda: self.page.text(".photo-card p") == photo.name)
        if self.page.one(f"[aria-label='Style {style}']").get_attribute("aria-pressed") != "true":
            self.page.click(f"[aria-label='Style {style}']")

    def until(self, words: str) -> None:
        """Wait for a state, such as ``size 4 of 4``."""
        self.page.until(lambda: words in self.page.state(), seconds=240)


def take(photographer: Photographer, clip: Path) -> None:
    """Take all pictures."""
    page = photographer.page
    photographer.window(1440, 900)
    for photo, style in PAINTED:
        photographer.begin(PHOTOS / f"{photo}.jpg", style)
        photographer.until("Painting")
        photographer.until("Finished")
    page.script("document.documentElement.dataset.theme = 'dark'")
    page.click("#compare")
    time.sleep(1)
    photographer.save("dark")
    page.click("#compare")
    page.script("document.documentElement.dataset.theme = 'light'")
    photographer.begin(PHOTOS / "chelsea.jpg", "Ukiyo")
    photographer.until("size 4 of 4")
    time.sleep(1)
    photographer.save("light")
    photographer.until("Finished")
    photographer.window(390, 844, 2)
    photographer.begin(PHOTOS / "chelsea.jpg", "Woodcut")
    photographer.until("size 4 of 4")
    photographer.save("phone")
    photographer.until("Finished")
    photographer.window(1400, 900)
    photographer.begin(clip, "Ukiyo")
    photographer.until("Preview finished")
    time.sleep(1)
    photographer.save("clip")


def main(folder: Path) -> None:
    """Start a server and a browser, and take all pictures."""
    with tempfile.TemporaryDirectory() as place, running_browser(Path(place)) as driver:
        clip = Path(place) / "cat.mp4"
        clip.write_bytes(clip_of(PHOTOS / "chelsea.jpg"))
        studio = Studio(Path(place) / "pictures")
        try:
            take(Photographer(driver, studio, folder), clip)
        finally:
            studio.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
