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
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page
from tests.evaluation.samplable import save_run, small_tokenizer
from tests.report.browser import CHROMIUM

from sendvae.app.drawing import Order, draw, labels_of
from sendvae.app.uploads import square
from sendvae.evaluation import reconstruct
from sendvae.evaluation.diffusion_model import load_model
from sendvae.tokenizers import save_tokenizer

SECONDS = 120  # until it is ready, beside other tests; alone it takes a tenth of that
START = "import sys; from sendvae.cli.main import main; sys.argv[0] = 'sendvae'; main()"
WIDTHS = (1200, 400)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    save_tokenizer(small_tokenizer(), folder / "vae")
    for seed, name in enumerate(("a", "b")):
        save_run(folder / f"runs/{name}", folder / "vae", seed)
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    (folder / "text.png").write_text("no picture")
    (folder / "tmp").mkdir()
    return folder


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """Of the running app; it ends without a trace."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", START, "app", "vae", "runs/a", "runs/b", "--port", str(port)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(place / "tmp"),
        "GRADIO_ALLOWED_PATHS": "/",
    }
    began = time.monotonic()
    with (
        (place / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("open http://127.0.0.1:"), (place / "log").read_text()
            seconds = time.monotonic() - began
            print(f"the app was ready after {seconds:.1f} s")
            assert seconds < SECONDS
            yield line.split()[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
    assert process.returncode == 0
    assert list((place / "tmp").glob("sendvae-app-*")) == []
    assert (place / "log").read_text() == "stopped\n"


def status(url: str, host: str | None = None) -> int:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
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


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_somebody_uploads_samples_and_reads_the_result(address: str, place: Path) -> None:
    from playwright.sync_api import sync_playwright

    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.set_default_timeout(60_000)
            watch(page, address, faults)
            page.goto(address)
            upload_a_text_and_a_photo(page, place)
            check_layout(page, width, place)
            sample(page, place)
            check_layout(page, width, place)
            page.close()
        browser.close()
    assert faults == []


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
    *_, panels = draw(models, config, labels_of(models, config))
    drawn = torch.cat([panel.images for panel in panels.values()]).permute(0, 2, 3, 1).numpy()
    assert np.abs(np.stack(shown(result.inner_html())).astype(int) - drawn).max() <= 1


def check_layout(page: Page, width: int, place: Path) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
    tabs = page.get_by_role("tab").filter(visible=True)
    assert tabs.all_inner_texts() == ["Reconstruct", "Sample", "Attributes", "Interpolate"]
    for path in (str(place), "/tmp/"):
        assert path not in page.locator("body").inner_text()
