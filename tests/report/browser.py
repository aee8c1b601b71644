"""A page in headless Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

SCRIPT = (resources.files("sendvae.report") / "templates/page.js").read_text().rstrip()
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# Widths in pixels and colour schemes in which pages are looked at.
LOOKS = [
    (1200, "light"),
    (400, "dark"),
    pytest.param(1200, "dark", marks=pytest.mark.slow),
    pytest.param(400, "light", marks=pytest.mark.slow),
]


def without_script(page: str) -> str:
    """Return the text of a page without its script, and assert that it has no other script."""
    whole = f"<script>{SCRIPT}</script>"
    assert page.count(whole) == 1
    rest = page.replace(whole, "")
    assert "<script" not in rest
    return rest


@contextmanager
def opened(
    chromium: Browser,
    page_file: Path | None,
    width: int = 1200,
    scheme: str = "light",
    javascript: bool = True,
) -> Iterator[Page]:
    """Yield a tab that shows a page, or with None an empty one."""
    context = chromium.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        java_script_enabled=javascript,
    )
    page = context.new_page()
    if page_file is not None:
        page.goto(page_file.as_uri())
    yield page
    context.close()


def seconds_to_open(chromium: Browser, page_file: Path) -> float:
    """Return how long the page's thread works from asking for a page until everything on it is loaded.

    It counts the seconds that the thread ran, so that other work on the machine does not add to them.
    """
    with opened(chromium, None) as page:
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(page_file.as_uri())
        metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")


def check_in_browser(chromium: Browser, page_file: Path, scheme: str, width: int) -> None:
    """Assert that a page makes no requests, fits the width, follows the colour scheme and shows its pictures."""
    faults: list[str] = []
    with opened(chromium, None, width, scheme) as page:
        page.on("console", lambda message: faults.append(message.text))
        page.on(
            "request", lambda request: faults.append(request.url) if request.url.startswith("http") else None
        )
        page.goto(page_file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
        assert (page.evaluate(brightness) > 384) == (scheme == "light")
        page.locator("label.toggle").click()
        assert (page.evaluate(brightness) > 384) == (scheme == "dark")
        assert page.evaluate("[...document.images].every(i => !i.src || i.naturalWidth > 0)")
        _sort_and_enlarge(page)
    assert faults == []


def _sort_and_enlarge(page: Page) -> None:
    """Assert that tables sort by mouse and keyboard, and that pictures open and close."""
    bodies = [
        (table.locator("thead tr:last-child th").last, body)  # a table sorts within each of its parts
        for table in page.locator("table.sortable").all()
        for body in table.locator("tbody:has(td)").all()
    ]
    for heading, body in bodies:

        def column(rows: Locator = body.locator("tr")) -> list[float]:
            texts = [row.locator("td").last.inner_text().split()[0] for row in rows.all()]
            return [float(text.replace(",", "")) for text in texts if text != "–"]

        heading.click()
        first = column()
        assert first == sorted(first, reverse=heading.get_attribute("aria-sort") == "descending")
        heading.press("Enter")
        assert column() == first[::-1] or len(set(first)) < len(first)
        assert column() == sorted(first, reverse=heading.get_attribute("aria-sort") == "descending")
    pictures, dialog = page.locator("figure img"), page.locator("dialog.enlarged")
    if pictures.count():
        pictures.first.press("Enter")
        assert dialog.is_visible()
        assert dialog.locator("img").get_attribute("src") == pictures.first.get_attribute("src")
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
