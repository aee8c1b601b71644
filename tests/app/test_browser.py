"""The app as people meet it: started by its command, used in headless Chromium, at two widths."""

from __future__ import annotations

import base64
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page
from tests.evaluation.samplable import save_run, small_tokenizer
from tests.report.browser import CHROMIUM

from sendvae.app.drawing import Order, draw, labels_of
from sendvae.app.interpolation import WAYS, interpolate
from sendvae.app.serve import free_port
from sendvae.app.uploads import MAX_BYTES, square
from sendvae.evaluation import reconstruct
from sendvae.evaluation.diffusion_model import load_model
from sendvae.tokenizers import save_tokenizer

MANY = 32  # images, of which 250 steps take long enough to be stopped
SECONDS = 120  # until it is ready, beside other tests; alone it takes a tenth of that
START = "import sys; from sendvae.cli.main import main; sys.argv[0] = 'sendvae'; main()"
WIDTHS = (1200, 400)
in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    save_tokenizer(small_tokenizer(), folder / "vae")
    for seed, name in enumerate(("a", "b")):
        save_run(folder / f"runs/{name}", folder / "vae", seed)
    for seed, name in enumerate(("photo.png", "other.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (70, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "text.png").write_text("no picture")
    return folder


@contextmanager
def started(place: Path, *models: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield the process and the address of an app, started as shells start what runs in the background."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = place / str(port)
    own.mkdir()
    command = [sys.executable, "-c", START, "app", *models, "--port", str(port)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(own),
        "GRADIO_ALLOWED_PATHS": "/",
    }
    began = time.monotonic()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # is inherited
    with (
        (own / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        signal.signal(signal.SIGINT, before)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("open http://127.0.0.1:"), (own / "log").read_text()
            seconds = time.monotonic() - began
            print(f"the app was ready after {seconds:.1f} s")
            assert seconds < SECONDS
            yield process, line.split()[1]
        finally:
            process.kill()  # unless it has ended


def check_end(process: subprocess.Popen[str], address: str, place: Path, number: signal.Signals) -> None:
    """Asserts that a signal ends an app with a word and without a trace, and that its port is free then."""
    process.send_signal(number)
    assert process.wait(timeout=30) == 0
    port = int(address.strip("/").rpartition(":")[2])
    assert [path.name for path in (place / str(port)).iterdir()] == ["log"]
    assert (place / f"{port}/log").read_text() == "stopped\n"
    assert free_port(port) == port


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """Of the running app."""
    with started(place, "vae", "runs/a", "runs/b") as (process, address):
        yield address
        check_end(process, address, place, signal.SIGINT)


def status(url: str, host: str | None = None, file: bytes | None = None) -> int:
    """What is answered to a request, or to an upload."""
    headers, body = {"Host": host} if host else {}, None
    if file is not None:
        headers["Content-Type"] = "multipart/form-data; boundary=x"
        body = (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n%b\r\n--x--\r\n'
            % file
        )
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def test_no_file_of_the_machine_is_served(address: str, place: Path) -> None:
    assert status(address) == 200
    for path in ("/etc/passwd", str(place / "photo.png"), "../../../../etc/passwd"):
        assert status(f"{address}gradio_api/file={path}") in (403, 404)
    assert status(address, "evil.example") == 421


def test_a_file_that_is_too_large_is_not_even_kept(address: str) -> None:
    assert status(f"{address}gradio_api/upload", file=bytes(MAX_BYTES)) == 200
    assert status(f"{address}gradio_api/upload", file=bytes(MAX_BYTES + 1)) == 413


def test_the_page_names_no_path_and_no_other_server(address: str, place: Path) -> None:
    with urllib.request.urlopen(address, timeout=10) as response:
        page = response.read().decode()
        assert "default-src 'self'" in response.headers["content-security-policy"]
    assert "<noscript>" in page
    for path in (str(place), str(Path(__file__).parents[2]), str(Path.home()) + "/"):
        assert path not in page


def shown(html: str) -> list[np.ndarray]:
    return [
        np.array(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    ]


@contextmanager
def visited(address: str, width: int = WIDTHS[0], outlived: bool = False) -> Iterator[Page]:
    """Yield a tab that shows the app; asserts that nothing in it went wrong, unless the app ends before the tab."""
    from playwright.sync_api import sync_playwright

    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(60_000)
        watch(page, address, faults)
        page.goto(address)
        yield page
        browser.close()
    assert outlived or faults == []


@in_chromium
@pytest.mark.parametrize("width", [pytest.param(WIDTHS[0], marks=pytest.mark.slow), WIDTHS[1]])
def test_somebody_uploads_samples_and_reads_the_result(address: str, place: Path, width: int) -> None:
    with visited(address, width) as page:
        upload_a_text_and_a_photo(page, place)
        check_layout(page, width, place)
        sample(page, place)
        check_layout(page, width, place)


@in_chromium
def test_previews_show_while_it_draws_and_stop_ends_it(address: str) -> None:
    with visited(address) as page:
        order_much(page)
        # They come one by one, not all at the end.
        page.wait_for_function("steps => window.seen.size >= steps", arg=4)
        result = page.locator("#samples")
        result.locator('[data-done="no"] img').nth(MANY - 1).wait_for()
        page.get_by_role("button", name="Stop").click()
        result.get_by_text("Stopped.").wait_for()
        found = [int(step) for step in page.evaluate("[...window.seen.keys()]")]
        assert found == list(range(0, 31 * len(found), 31))
        pictures = set(page.evaluate("[...window.seen.values()]"))
        assert len(pictures) == len(found)
        page.wait_for_timeout(800)  # what was on its way is here
        left = result.inner_text()
        page.wait_for_timeout(800)
        assert result.inner_text() == left
        assert "Stopped." in left
        set_number(page, "Steps", 5)
        set_number(page, "Images", 1)
        page.get_by_role("button", name="Sample", exact=True).click()
        result.locator('[data-done="yes"]').wait_for()
        assert "5 steps" in result.inner_text()
        assert not result.get_by_text("Stopped.").is_visible()


@in_chromium
def test_the_way_between_two_uploaded_pictures(address: str, place: Path) -> None:
    with visited(address, WIDTHS[1]) as page:
        page.get_by_role("tab", name="Interpolate").click()
        panel = page.get_by_role("tabpanel").filter(visible=True)
        for place_on_page, name in ((1, "other.png"), (0, "photo.png")):
            panel.locator("input[type=file]").nth(place_on_page).set_input_files(place / name)
            panel.get_by_label("Remove Image").nth(0 if name == "other.png" else 1).wait_for()
        strips = page.locator("#strips")
        strips.locator(".sv-strip img").nth(17).wait_for()
        found = np.stack(shown(strips.inner_html())).astype(int)
        ends = [square(Image.open(place / name), 64, "crop").pixels for name in ("photo.png", "other.png")]
        cpu = torch.device("cpu")
        expected = torch.cat([interpolate(small_tokenizer(), *ends, 9, way, cpu) for way in WAYS])
        assert np.abs(found - expected.permute(0, 2, 3, 1).numpy()).max() <= 1
        assert "vae, linear" in strips.inner_text()
        check_layout(page, WIDTHS[1], place)


@pytest.mark.slow
@in_chromium
def test_an_app_ends_while_it_draws(place: Path) -> None:
    with started(place, "runs/a") as (process, address), visited(address, outlived=True) as page:
        order_much(page)
        page.wait_for_function("steps => window.seen.size >= steps", arg=2)
        check_end(process, address, place, signal.SIGTERM)


def order_much(page: Page) -> None:
    """Begin to draw in as many steps as one can, and keep in `window.seen` the first picture of each step that is shown."""
    page.get_by_role("tab", name="Sample").click()
    set_number(page, "Steps", 250)
    set_number(page, "Images", MANY)
    page.evaluate(
        """() => {
          const [shown, seen] = [document.querySelector("#samples"), (window.seen = new Map())];
          new MutationObserver(() => {
            const [step, image] = [/step (\\d+) of 250/.exec(shown.innerText), shown.querySelector("img")];
            if (step && image) seen.set(step[1], image.src);
          }).observe(shown, { childList: true, subtree: true, characterData: true });
        }"""
    )
    page.get_by_role("button", name="Sample", exact=True).click()


def set_number(page: Page, label: str, value: int) -> None:
    """Type into the field beside a slider."""
    field = page.get_by_label(f"number input for {label}")
    field.fill(str(value))
    field.press("Tab")


def watch(page: Page, address: str, faults: list[str]) -> None:
    """Collect errors of the page, and whatever it asks of others."""
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    own = (address, "data:", "blob:")
    page.on("request", lambda asked: None if asked.url.startswith(own) else faults.append(asked.url))


def upload_a_text_and_a_photo(page: Page, place: Path) -> None:
    upload, result = page.locator("input[type=file]").first, page.locator("#reconstructions")
    upload.set_input_files(place / "text.png")
    result.get_by_role("alert").wait_for()
    assert "This file is no picture that can be read" in result.inner_text()
    page.get_by_label("Remove Image").click()
    result.get_by_text("Drop a picture").wait_for()
    page.locator("input[type=file]").first.set_input_files(place / "photo.png")
    result.locator(".sv-four img").nth(3).wait_for()
    original, copy, *_ = shown(result.inner_html())
    expected = square(Image.open(place / "photo.png"), 64, "crop").pixels
    assert np.array_equal(original, expected.permute(1, 2, 0))
    again = reconstruct(small_tokenizer(), expected[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(copy.astype(int) - again).max() <= 1
    assert "cropped to the centre square" in result.inner_text()


def sample(page: Page, place: Path) -> None:
    page.get_by_role("tab", name="Sample").click()
    page.get_by_label("Seed").fill("9")
    page.get_by_role("button", name="Sample", exact=True).click()
    result = page.locator("#samples")
    result.locator('[data-done="yes"]').wait_for()
    models = {name: load_model(str(place / "runs" / name)) for name in ("a", "b")}
    config = Order(["a", "b"], [], 2.5, 50, 9, 8).config()
    *_, panels = (found for found in draw(models, config, labels_of(models, config)) if found is not None)
    drawn = torch.cat([panel.images for panel in panels.values()]).permute(0, 2, 3, 1).numpy()
    assert np.abs(np.stack(shown(result.inner_html())).astype(int) - drawn).max() <= 1


def check_layout(page: Page, width: int, place: Path) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
    tabs = page.get_by_role("tab").filter(visible=True)
    assert tabs.all_inner_texts() == ["Reconstruct", "Sample", "Attributes", "Interpolate"]
    for path in (str(place), "/tmp/"):
        assert path not in page.locator("body").inner_text()
