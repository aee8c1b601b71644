"""The server's ports, its environment, and what it answers to whom."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sendvae.app import serve
from sendvae.app.serve import HOST, PORT, Guard, free_port, quiet_environment, wait
from sendvae.errors import UserError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_wait(number: signal.Signals) -> None:
    """Those that a shell let be ignored, too."""
    (other,) = {signal.SIGINT, signal.SIGTERM} - {number}
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (number, other)}
    soon, late = (
        threading.Timer(seconds, os.kill, (os.getpid(), each))
        for seconds, each in ((0.2, number), (20, other))
    )
    try:
        soon.start()
        late.start()
        wait()
        assert late.is_alive()  # it was not needed
    finally:
        late.cancel()
        soon.join()
        late.join()
        for each, handler in before.items():
            signal.signal(each, handler)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_port_in_use_is_named(taken: int) -> None:
    with pytest.raises(UserError, match=f"port {taken} cannot be opened.*in use") as found:
        free_port(taken)
    assert "choose another --port" in str(found.value)


def test_without_one_the_next_free_port(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "PORT", taken)
    assert taken < free_port(None) < taken + serve.PORTS_TRIED
    monkeypatch.setattr(serve, "PORTS_TRIED", 1)
    with pytest.raises(UserError, match="no port is free"):
        free_port(None)
    assert PORT == 7860


def test_the_environment_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SHARE", "True")
    monkeypatch.setenv("GRADIO_ALLOWED_PATHS", "/")
    before = dict(os.environ)
    with quiet_environment() as folder:
        gradios = {name: value for name, value in os.environ.items() if name.startswith("GRADIO_")}
        assert gradios == {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(folder)}
        (folder / "upload.png").touch()
    assert not folder.exists()
    assert dict(os.environ) == before


def answer(path: str, host: str, body: bytes = b"<html><body\n class='a'>page</body>") -> tuple[dict, bytes]:
    """What a page becomes behind the guard: headers and body."""
    sent: list[dict[str, Any]] = []

    async def page(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]})
        await send({"type": "http.response.body", "body": body})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "method": "GET", "headers": [(b"host", host.encode())]}
    asyncio.run(Guard(page)(scope, None, send))
    start, content = sent
    return {"status": start["status"], **{k.decode(): v.decode() for k, v in start["headers"]}}, content[
        "body"
    ]


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860"])
def test_a_browser_without_javascript_is_told(host: str) -> None:
    headers, body = answer("/", host)
    assert body.startswith(b"<html><body\n class='a'><style>")
    assert body.endswith(b"</noscript>page</body>")
    assert b"</style><noscript>" in body
    assert "content-length" not in headers
    assert "default-src 'self'" in headers["content-security-policy"]


def test_other_answers_stay_as_they_are() -> None:
    headers, body = answer("/gradio_api/x", "localhost:7860")
    assert body == b"<html><body\n class='a'>page</body>"
    assert headers["content-length"] == "99"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example:7860", "evil.example", "127.0.0.1.evil.example:7860", ""])
def test_a_page_of_another_name_gets_nothing(host: str) -> None:
    headers, body = answer("/", host)
    assert headers["status"] == 421
    assert b"page" not in body
