"""The page of the studio, in a real browser and through the real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.studio.browser import Page, Studio, running_browser
from tests.studio.test_clips import clip as moving_square

pytestmark = pytest.mark.slow

PHOTO, STYLE = ".drop[data-drop=photo]", ".tile.add[data-drop=style]"

ENDLESS = 100_000


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    server = Studio(tmp_path_factory.mktemp("studio") / "pictures")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_browser(tmp_path_factory.mktemp("downloads")) as found:
        yield found


@pytest.fixture
def page(driver: Any, studio: Studio) -> Iterator[Page]:
    """A fresh page; no script fails on it, and nothing breaks the content security policy."""
    found = Page(driver, studio.address)
    driver.get_log("browser")
    yield found
    found.focus()
    severe = [each["message"] for each in driver.get_log("browser") if each["level"] == "SEVERE"]
    unexpected = [each for each in severe if "status of 4" not in each]
    found.close()
    studio.cancel_all()
    assert not unexpected


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small photo: the result is never larger than it, so runs are short."""
    down, across = np.mgrid[:64, :96] / 96
    values = np.stack([across, down, (across * 6).astype(int) % 2], axis=-1)
    path = tmp_path_factory.mktemp("inputs") / "small photo.png"
    Image.fromarray((255 * values).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def style(photo: Path) -> Path:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = photo.with_name("noise.png")
    Image.fromarray(noise).resize((96, 96)).save(path)
    return path


def results(studio: Studio) -> set[Path]:
    return set(studio.folder.glob("*.png"))


def recipe_of(path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "stylize", "info", str(path), "--json"]
    found: dict[str, Any] = json.loads(subprocess.check_output(command))
    return found


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def begin(page: Page, photo: Path, style: Path) -> None:
    page.drop(PHOTO, photo)
    page.until(lambda: page.text(".photo-card p") == photo.name)
    page.drop(STYLE, style)


def finish(page: Page) -> None:
    page.until(lambda: page.state().startswith("Finished"))


def test_a_dropped_photo_is_painted_while_one_watches(
    page: Page, studio: Studio, photo: Path, style: Path
) -> None:
    before = results(studio)
    page.set("steps", 16)
    page.click("#drawer-back")
    begin(page, photo, style)
    seen = []

    def watch() -> bool:
        now = page.pixels()
        if now and (not seen or seen[-1] != now):
            seen.append(now)
        return page.state().startswith("Finished")

    page.until(watch)
    assert len(seen) >= 4, "the photo, at least two previews and the result"
    page.until(lambda: page.all(".shot"))
    (result,) = results(studio) - before
    assert recipe_of(result)["settings"]["steps"] == 16
    assert pixels_of(result).shape == (64, 96, 3)


def test_stop_and_keep_saves_the_picture_so_far(
    page: Page, studio: Studio, photo: Path, style: Path
) -> None:
    before = results(studio)
    page.set("steps", ENDLESS)
    page.set("tolerance", 0)
    begin(page, photo, style)
    page.until(lambda: "%" in page.state())
    page.click("#stop")
    page.until(lambda: page.state() == "Stopped and kept")
    page.until(lambda: len(results(studio) - before) == 1)


def endless(page: Page, photo: Path, style: Path) -> None:
    page.set("steps", ENDLESS)
    page.set("tolerance", 0)
    page.click("#drawer-back")
    begin(page, photo, style)
    page.until(lambda: "%" in page.state())


def waiting(page: Page) -> list[str]:
    return [each.get_attribute("data-job") for each in page.all(".job")]


def test_the_queue_keeps_its_order_over_a_reload_in_the_middle(
    page: Page, studio: Studio, photo: Path, style: Path
) -> None:
    before = results(studio)
    endless(page, photo, style)
    for count in (1, 2, 3):
        page.click("#enqueue")
        page.until(lambda count=count: len(waiting(page)) == count)
    first, second, third = waiting(page)
    page.driver.refresh()
    page.until(lambda: waiting(page) == [first, second, third])
    page.until(lambda: "%" in page.state())
    assert page.text(".photo-card p") == photo.name
    page.click(f"[data-job={third!r}] [aria-label='Move up']")
    page.until(lambda: waiting(page) == [first, third, second])
    for each in (second, third):
        page.click(f"[data-job={each!r}] [aria-label='Remove from the queue']")
    page.until(lambda: waiting(page) == [first])
    page.click("#stop")
    page.until(lambda: page.state() == "Stopped and kept")
    page.click(f"[data-job={first!r}] .mini")
    page.until(lambda: "%" in page.state())
    page.click("#stop")
    page.until(lambda: not waiting(page))
    page.until(lambda: len(results(studio) - before) == 2)


def test_settings_and_inputs_return_when_a_result_is_dropped(
    page: Page, studio: Studio, photo: Path, style: Path
) -> None:
    before = results(studio)
    page.set("steps", 12)
    page.set("strength", 83)
    page.click("#drawer-back")
    begin(page, photo, style)
    finish(page)
    (result,) = results(studio) - before
    page.script("sessionStorage.clear()")
    page.driver.refresh()
    page.until(lambda: page.all(PHOTO))
    page.drop_on_veil("recall", result)
    page.until(lambda: page.text(".photo-card p") == photo.name)
    page.until(lambda: page.text("#strength-value") == "83")
    page.until(lambda: page.all(".tile[aria-pressed=true]"))
    page.click("#all-button")
    assert page.one("#setting-steps").get_attribute("value") == "12"


def test_a_painted_mask_leaves_the_rest_of_the_photo_as_it_is(
    page: Page, studio: Studio, photo: Path, style: Path
) -> None:
    from selenium.webdriver import ActionChains

    page.set("steps", 12)
    page.set("feather", 0)
    page.click("#drawer-back")
    begin(page, photo, style)
    finish(page)
    before = results(studio)
    page.click("#mask-button")
    canvas = page.until(lambda: page.one("#mask-canvas"))
    page.script("arguments[0].value = 16", page.one("[aria-label='Brush size']"))
    width, height = canvas.size["width"], canvas.size["height"]
    stroke = ActionChains(page.driver).move_to_element_with_offset(canvas, -width // 3, 0)
    stroke.click_and_hold().move_by_offset(0, height // 4).release().perform()
    page.click("#use-mask")
    page.until(lambda: len(results(studio) - before) == 1)
    finish(page)
    (result,) = results(studio) - before
    changed = np.abs(pixels_of(result).astype(int) - pixels_of(photo)).max(axis=2) > 0
    assert not changed[:, 48:].any(), "the stroke was in the left half"
    assert changed[32:48, 16].mean() > 0.5


def test_the_slider_shows_the_photo_before_and_the_result_after(
    page: Page, photo: Path, style: Path
) -> None:
    from selenium.webdriver.common.keys import Keys

    page.set("steps", 12)
    page.click("#drawer-back")
    begin(page, photo, style)
    finish(page)
    page.click("#compare")
    cut = page.until(lambda: page.one(".cut"))
    assert page.driver.switch_to.active_element == cut
    uncovered = []
    for key in (Keys.HOME, Keys.END):
        cut.send_keys(key)
        before = page.one("img.before")
        uncovered.append(page.script("return getComputedStyle(arguments[0]).clipPath", before))
    assert uncovered == ["inset(0px 100% 0px 0px)", "inset(0px 0% 0px 0px)"]
    page.click("#compare")
    assert not page.one(".cut").is_displayed()


def test_a_cell_of_a_sheet_becomes_the_picture(page: Page, photo: Path, style: Path) -> None:
    page.set("steps", 3)
    page.click("#drawer-back")
    begin(page, photo, style)
    finish(page)
    page.click("#try-strengths")
    page.until(lambda: page.state() == "Sheet finished")
    cells = page.all(".cell")
    strengths = [cell.find_element("css selector", "b").text for cell in cells]
    cells[-1].click()
    page.until(lambda: page.text("#strength-value") in strengths[-1])
    finish(page)


def test_the_copied_command_makes_the_same_pixels_in_a_shell(
    page: Page, studio: Studio, photo: Path, style: Path, tmp_path: Path
) -> None:
    before = results(studio)
    page.set("steps", 12)
    page.click("#drawer-back")
    begin(page, photo, style)
    finish(page)
    (result,) = results(studio) - before
    page.driver.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    page.click("#copy-command")
    page.until(lambda: "Copied" in page.text("#toasts"))
    command = page.driver.execute_async_script(
        "navigator.clipboard.readText().then(arguments[0], (error) => arguments[0](String(error)))"
    )
    wrapper = tmp_path / "bin" / "stylize"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -m stylize "$@"\n')
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        f"{command} -o {tmp_path}/again.png",
        shell=True,
        check=True,
        env=os.environ | {"PATH": path},
    )
    assert (pixels_of(tmp_path / "again.png") == pixels_of(result)).all()


def test_two_pages_go_on_after_the_server_was_killed_in_the_middle(
    driver: Any, photo: Path, style: Path, tmp_path: Path
) -> None:
    server = Studio(tmp_path / "pictures")
    pages = []
    try:
        pages = [Page(driver, server.address) for _ in range(2)]
        first, second = pages
        first.focus()
        endless(first, photo, style)
        server.kill()
        first.until(lambda: first.text("#connection").startswith("Not connected"))
        server.start()
        for page in pages:
            page.focus()
            page.until(lambda page=page: page.text("#connection") == "Ready")
        first.focus()
        first.until(lambda: "%" in first.state())
        first.click("#stop")
        first.until(lambda: first.state() == "Stopped and kept")
        second.focus()
        second.until(lambda: len(second.all(".shot")) == 1)
    finally:
        for page in pages:
            page.close()
        server.stop()


def test_thirty_quick_changes_leave_one_run_with_the_last_value(
    page: Page, studio: Studio, photo: Path, style: Path
) -> None:
    endless(page, photo, style)
    for value in range(30, 60):
        page.script(
            "const [slider, value] = arguments; slider.value = value;"
            "slider.dispatchEvent(new Event('input', {bubbles: true}))",
            page.one("#strength"),
            value,
        )
        time.sleep(0.06)  # half the time that the page waits for more changes

    def unfinished() -> list[dict[str, Any]]:
        return [each for each in studio.jobs() if each["state"] in ("queued", "running")]

    def strengths() -> list[float]:
        return [each["request"]["settings"].get("strength") for each in unfinished()]

    page.until(lambda: strengths() == [59])
    page.until(lambda: "%" in page.state())
    assert len(unfinished()) == 1


def test_a_duplicated_tab_has_a_run_of_its_own(
    page: Page, studio: Studio, photo: Path, style: Path
) -> None:
    def unfinished() -> list[str]:
        return [each["id"] for each in studio.jobs() if each["state"] in ("queued", "running")]

    endless(page, photo, style)
    (first,) = unfinished()
    page.script("open(location.href)")  # as 'Duplicate tab', it copies what the tab keeps
    copy = Page.of_newest_tab(page.driver)
    copy.until(lambda: "%" in copy.state())
    assert unfinished() == [first], "the copy watches until something changes in it"
    copy.script("document.querySelector('.look input[value=bold]').click()")

    def own() -> list[dict[str, Any]]:
        return [each for each in studio.jobs() if each["id"] in set(unfinished()) - {first}]

    copy.until(lambda: [each for each in own() if each["progress"]])
    assert first in unfinished()
    copy.click("#stop")
    copy.until(lambda: copy.state() == "Stopped and kept")
    copy.close()
    page.focus()
    page.until(lambda: "%" in page.state())
    page.click("#stop")
    page.until(lambda: page.state() == "Stopped and kept")


@pytest.mark.parametrize("width", [390, 1000, 1400])
def test_nothing_sticks_out_of_the_window(page: Page, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    root = "document.documentElement"
    sizes = page.script(f"return [{root}.scrollWidth - {root}.clientWidth, {root}.scrollHeight]")
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert sizes[0] == 0
    assert sizes[1] == 800 or width == 390, "only a phone scrolls the page as a whole"


def test_a_number_out_of_range_says_what_is_allowed(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.set("match", 3)
    page.one("#setting-match").send_keys(Keys.TAB)
    field = "[data-setting=match]"
    assert page.text(f"{field} .wrong") == "Allowed: 0 to 1"
    assert page.one("#setting-match").get_attribute("value") == "3"
    page.script("document.querySelector(arguments[0]).click()", f"{field} .icon-button")
    page.set("match", 0.4)
    page.one("#setting-match").send_keys(Keys.TAB)
    assert page.text(f"{field} .wrong") == ""


def test_every_control_has_a_name(page: Page) -> None:
    page.click("#all-button")
    nameless = page.script("""
        return [...document.querySelectorAll("button, input, select, textarea")]
          .filter((each) => each.checkVisibility() && each.type !== "file")
          .filter((each) => !(each.textContent.trim() || each.ariaLabel || each.labels?.length))
          .map((each) => each.outerHTML)
    """)
    assert nameless == []


def test_a_file_that_is_no_picture_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    text = tmp_path / "notes.png"
    text.write_text("these are notes")
    page.drop(PHOTO, text)
    page.until(lambda: page.text("#toasts p").startswith("notes.png is not a picture"))
    assert page.all(PHOTO)


def test_keys_alone_make_a_picture(page: Page) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys: str) -> None:
        ActionChains(page.driver).send_keys(*keys).perform()

    def replace_by(text: str) -> None:
        keys = ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("a")
        keys.key_up(Keys.CONTROL).send_keys(text).perform()

    def tab_to(label: str) -> None:
        for _ in range(200):
            press(Keys.TAB)
            focused = page.driver.switch_to.active_element
            if label in (focused.get_attribute("aria-label") or focused.get_attribute("id")):
                return
        raise AssertionError(f"Tab never reached {label}")

    press("a")
    for name, value in (("size", "64"), ("steps", "2")):
        tab_to("Find a setting")
        replace_by(name)
        tab_to(f"setting-{name}")
        replace_by(value)
    tab_to("Back")
    press(Keys.ENTER)
    tab_to("Sample: Coffee")
    press(Keys.ENTER)
    page.until(lambda: page.text(".photo-card p") == "coffee.jpg")
    tab_to("Style Mosaic")
    press(Keys.ENTER)
    finish(page)
    press("?")
    page.until(lambda: "Before and after" in page.text("dialog"))


def test_a_clip_is_previewed_painted_played_and_deleted(
    page: Page, studio: Studio, style: Path, tmp_path: Path
) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    clip = tmp_path / "moving.mp4"
    clip.write_bytes(moving_square(3))
    for name, value in (("size", 64), ("min_size", 32), ("steps", 3), ("final_steps", 2)):
        page.set(name, value)
    page.click("#drawer-back")
    begin(page, clip, style)
    page.until(lambda: page.state() == "Preview finished")
    assert page.text("#said-more").startswith("Whole clip: about")
    assert len(page.all(".frames .cell img:not(.faint)")) == 3
    page.click("#enqueue")
    page.until((studio.folder / "moving-noise.mp4").is_file)
    page.until(lambda: page.all(".shot .length"))
    page.click(".shot .open")
    played = "const player = document.querySelector('#player'); return player.currentTime"
    page.until(lambda: page.script(played) > 0)
    ActionChains(page.driver).send_keys(Keys.DELETE).perform()
    page.click("#confirm-delete")
    page.until(lambda: not (studio.folder / "moving-noise.mp4").exists())
    page.until(lambda: not page.all(".shot .length"))


def test_painting_starts_from_a_picture_of_ones_own(
    page: Page, studio: Studio, photo: Path, style: Path
) -> None:
    before = results(studio)
    for name, value in (("size", 64), ("min_size", 32), ("steps", 3), ("final_steps", 2)):
        page.set(name, value)
    begin_with_start(page, photo, style)
    page.until(lambda: len(results(studio) - before) == 1)
    (result,) = results(studio) - before
    roles = {each["role"]: each["name"] for each in recipe_of(result)["inputs"]}
    assert roles["start"] == style.name


def begin_with_start(page: Page, photo: Path, style: Path) -> None:
    """Choose the picture to start from before the run begins, with the file dialog's input."""
    page.script("document.querySelector('#file-input').click = () => {}")
    page.set("init", "file")
    page.one("#file-input").send_keys(str(style))
    page.until(lambda: page.one("#start-picture").is_displayed())
    page.click("#drawer-back")
    begin(page, photo, style)
    finish(page)


def test_what_other_tabs_paint_is_in_the_queue(
    page: Page, studio: Studio, photo: Path, style: Path
) -> None:
    def live() -> list[str]:
        over = ("done", "failed", "cancelled")
        return [
            each["state"] for each in studio.jobs() if each["live"] and each["state"] not in over
        ]

    endless(page, photo, style)
    assert waiting(page) == [], "it is on the stage"
    tabs = [Page(page.driver, studio.address) for _ in range(6)]  # a host has six connections
    other = tabs[-1]
    other.until(lambda: len(waiting(other)) == 1)
    assert other.text(".job .what p").startswith("Live")
    assert live() == ["running"]
    other.click(".job [aria-label='Cancel, and keep nothing']")
    other.until(lambda: not waiting(other))
    for tab in tabs:
        tab.close()
    page.focus()
    page.until(lambda: page.state() == "Ended without a picture")
    assert live() == []


def test_what_is_painted_is_not_lost_without_a_question(page: Page, photo: Path) -> None:
    page.drop(PHOTO, photo)
    page.click("#mask-button")
    page.until(lambda: page.one("#mask-canvas")).click()
    page.drop(".photo-card", photo)
    page.click("#no")
    assert page.all("#mask-canvas")
    page.click("[aria-label='Remove the photo']")
    page.click("#yes")
    page.until(lambda: page.all(PHOTO))
    assert not page.all("#mask-canvas")


def test_what_cannot_be_used_is_said(
    page: Page, studio: Studio, photo: Path, style: Path, tmp_path: Path
) -> None:
    clip = tmp_path / "moving.mp4"
    clip.write_bytes(moving_square(3))
    page.drop(STYLE, style, clip)
    page.until(lambda: "moving.mp4 is a clip" in page.text("#toasts"))
    page.until(lambda: page.all(f".tile[aria-label='Style {style.stem.capitalize()}']"))
    page.drop(PHOTO, photo, style)
    page.until(lambda: f"Only {photo.name} was used" in page.text("#toasts"))
    page.script(
        "const data = new DataTransfer(); data.items.add(new File(['x'], 'IMG_1.HEIC'));"
        "document.dispatchEvent("
        "new ClipboardEvent('paste', {clipboardData: data, bubbles: true}))"
    )
    page.until(lambda: "IMG_1.HEIC is not a picture" in page.text("#toasts"))


def test_a_recalled_result_is_painted_as_it_was_or_not_at_all(page: Page, studio: Studio) -> None:
    docs = Path(__file__).parents[2] / "docs" / "cookbook"
    for name in ("patchwork.webp", "from-wood.webp"):
        (studio.folder / name).write_bytes((docs / name).read_bytes())
    try:
        page.driver.refresh()
        open_result(page, "[aria-label^='Open from-wood.webp']")
        page.click("#recall")
        page.until(lambda: len(page.all("#sheet-cells button")) == 4)
        page.all("#sheet-cells button")[1].click()
        page.until(lambda: "recalled" in page.text("#toasts"))
        assert draft(page)["settings"]["transfer"]["style_weights"][0] < 1
        open_result(page, "[aria-label^='Open patchwork.webp']")
        page.click("#recall")
        page.until(lambda: draft(page)["mask"])
        wanted = recipe_of(studio.folder / "patchwork.webp")["inputs"]
        colours = [each["role"].split()[2:] for each in wanted if each["role"].startswith("region")]
        found = [each.get("colour") for each in draft(page)["mask"]["regions"]]
        assert found == [each[0] for each in colours if each != ["style"]]
        page.click("#mask-button")
        page.until(lambda: "map of colours" in page.text("#toasts"))
    finally:
        for name in ("patchwork.webp", "from-wood.webp"):
            (studio.folder / name).unlink()


def open_result(page: Page, selector: str) -> None:
    """Find and click in one go, because the history may be made anew in between."""
    click = "const node = document.querySelector(arguments[0]); node?.click(); return Boolean(node)"
    page.until(lambda: page.script(click, selector))


def draft(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.script("return JSON.parse(sessionStorage['stylize-draft'])")
    return found


def test_a_result_without_its_inputs_is_not_queued(
    page: Page, studio: Studio, photo: Path, style: Path
) -> None:
    for name, value in (("size", 64), ("min_size", 32), ("steps", 3), ("final_steps", 2)):
        page.set(name, value)
    page.click("#drawer-back")
    begin(page, photo, style)
    finish(page)
    for each in (studio.folder / "inputs").glob("noise*"):
        each.unlink()
    before = len(studio.jobs())
    newest = f"[data-focus='{studio.jobs()[0]['result']}']"
    open_result(page, newest)
    page.click("#enqueue")
    page.until(lambda: f"Not found here: {style.name}" in page.text("#toasts"))
    assert len(studio.jobs()) == before
