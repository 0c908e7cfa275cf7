"""A real browser on the page of a real server, for the tests of the page."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.studio.conftest import Running

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# A drop as the browser sends it: dragging over the target, then the drop, with files.
_DROP = """
const [target, files] = arguments;
const transfer = new DataTransfer();
for (const [name, type, data] of files) {
  const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
  transfer.items.add(new File([bytes], name, {type}));
}
for (const kind of ["dragenter", "dragover", "drop"]) {
  target.dispatchEvent(
    new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: transfer}));
}
"""

# The colours of the shown picture, made small, as a list of numbers.
_PIXELS = """
const img = document.querySelector("#picture img.result");
if (!img || !img.complete || !img.naturalWidth) return null;
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 24;
const context = canvas.getContext("2d");
context.drawImage(img, 0, 0, 24, 24);
return Array.from(context.getImageData(0, 0, 24, 24).data);
"""


class Page:
    """The page in a tab of its own."""

    def __init__(self, driver: Any, address: str) -> None:
        driver.switch_to.new_window("tab")
        driver.get(address)
        self._begin(driver)

    @classmethod
    def of_newest_tab(cls, driver: Any) -> Page:
        """The page in a tab that a script has opened."""
        page = cls.__new__(cls)
        driver.switch_to.window(driver.window_handles[-1])
        page._begin(driver)
        return page

    def _begin(self, driver: Any) -> None:
        self.driver, self.tab = driver, driver.current_window_handle
        self.until(lambda: self.text("#connection") == "Ready")
        self.until(lambda: self.all(".look"))

    def close(self) -> None:
        self.focus()
        self.driver.close()
        self.driver.switch_to.window(self.driver.window_handles[0])

    def focus(self) -> None:
        self.driver.switch_to.window(self.tab)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return str(
            self.script("return document.querySelector(arguments[0])?.textContent", selector)
        )

    def click(self, selector: str) -> None:
        """Click as soon as the control is enabled."""
        self.until(lambda: self.one(selector).is_enabled())
        node = self.one(selector)
        self.script("arguments[0].scrollIntoView({block: 'center'})", node)
        node.click()

    def script(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def drop(self, selector: str, *files: Path) -> None:
        sent = [
            [path.name, f"image/{path.suffix[1:]}", base64.b64encode(path.read_bytes()).decode()]
            for path in files
        ]
        self.script(_DROP, self.one(selector), sent)

    def drop_on_veil(self, role: str, path: Path) -> None:
        """Drop a file from outside on one of the three fields that cover the page then."""
        self.drop(f"#drop-veil [data-drop={role}]", path)

    def set(self, name: str, value: object) -> None:
        """Set a setting in the form of all settings."""
        from selenium.webdriver.common.keys import Keys

        if self.one("#all-settings").get_attribute("hidden"):
            self.click("#all-button")
        control = self.one(f"#setting-{name}")
        self.script("arguments[0].closest('details').open = true", control)
        control.send_keys(Keys.CONTROL, "a", Keys.NULL, str(value))

    def pixels(self) -> list[int] | None:
        found: list[int] | None = self.script(_PIXELS)
        return found

    def state(self) -> str:
        return self.text("#said")

    def until(self, check: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait until a check holds; the page and the painting have their own pace."""
        from selenium.common.exceptions import WebDriverException

        end = time.monotonic() + seconds
        while True:
            try:
                if found := check():
                    return found
            except WebDriverException:
                if time.monotonic() > end:
                    raise
            if time.monotonic() > end:
                said = self.text(".said"), self.text("#toasts")
                raise AssertionError(f"waited {seconds:g} s in vain; the page says {said}")
            time.sleep(0.1)


class Studio:
    """A server on a folder; it can be killed and started again at the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0
        self.start()

    def start(self) -> None:
        self._running = Running(self.folder, "--port", str(self.port))
        self.address = self._running.line
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/#token=\S+", self.address)
        assert found, self.address
        self.port = int(found[1])

    def cancel_all(self) -> None:
        """End what a test left running, as any program can."""
        for job in self.jobs():
            if job["state"] in ("queued", "running", "stopping"):
                with suppress(HTTPError):  # over by now
                    self._ask(f"jobs/{job['id']}/cancel", b"")

    def jobs(self) -> list[dict[str, Any]]:
        return list(self._ask("jobs")["jobs"])

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        place, token = self.address.split("/#token=")
        request = Request(f"{place}/api/v1/{path}", body, {"Authorization": f"Bearer {token}"})
        with urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def kill(self) -> None:
        self._running.stop(signal.SIGKILL)

    def stop(self) -> None:
        self._running.stop()

    @property
    def pid(self) -> int:
        return self._running.process.pid


@contextmanager
def running_browser(downloads: Path) -> Iterator[Any]:
    """Chromium without a window.

    Skips the test where there is no browser. In CI a skipped test is a failure.
    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver_program = shutil.which("chromedriver")
    if not program or not driver_program:
        pytest.skip("no browser: install chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for each in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{each}")
    options.add_argument("--window-size=1400,900")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    service = webdriver.ChromeService(executable_path=driver_program)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()
