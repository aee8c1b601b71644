"""The server of the app, which listens on this machine only and contacts no other."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sendvae.app.fragments import STYLE
from sendvae.app.uploads import MAX_BYTES
from sendvae.errors import UserError

HOST = "127.0.0.1"
PORT = 7860
PORTS_TRIED = 100  # ports from `PORT` on, if none is given
PREFIX = "GRADIO_"  # begins the names of environment variables that would open files, ports or tunnels
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False"}  # this also switches off the check for new versions
HEADERS = {
    # The browser sends requests to this server only, whatever the page holds.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
NOSCRIPT = (
    "<noscript><p>The app needs JavaScript. Without it: sendvae reconstruct and sendvae sample write pictures, "
    "and sendvae report writes pages that need none.</p></noscript>"
)
BODY = b"<body"
# This style sheet is added to the page itself: gradio scopes the ones it is given, and would lose media queries.
ADDED = f"<style>{STYLE.read_text()}</style>{NOSCRIPT}"


def free_port(wanted: int | None) -> int:
    """Return the wanted port, or the first free one from `PORT` on.

    Raises:
        UserError: the wanted port is in use or may not be opened, or no port is free.
    """
    if wanted is not None:
        problem = _fault(wanted)
        if problem is None:
            return wanted
        raise UserError(
            f"port {wanted} cannot be opened: {problem}",
            given=f"--port {wanted}",
            next_step="stop what listens there, choose another --port, or leave it out for a free one",
        )
    for port in range(PORT, PORT + PORTS_TRIED):
        if _fault(port) is None:
            return port
    raise UserError(
        "no port is free", given=f"{PORT} to {PORT + PORTS_TRIED - 1}", next_step="name one: --port NUMBER"
    )


@contextmanager
def quiet_environment() -> Iterator[Path]:
    """Unset the variables that make gradio contact other machines; yield the folder of uploads, removed at the end.

    gradio reads its variables when it is imported, so it must be imported inside the block.
    """
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="sendvae-app-") as folder:
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            del os.environ[name]
        os.environ.update(QUIET, GRADIO_TEMP_DIR=folder)
        try:
            yield Path(folder)
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def served(build: Callable[[Path], Any], port: int) -> Iterator[str]:
    """Serve a page during the block, and yield its address.

    Args:
        build: a function that makes gradio's blocks from the folder of uploads.
        port: the port, which must be free.

    Raises:
        UserError: another program has taken the port meanwhile.
    """
    with quiet_environment() as folder:
        blocks = build(folder)
        from sendvae.app.interface import theme

        try:
            _, address, _ = blocks.launch(
                server_name=HOST, server_port=port, share=False, prevent_thread_lock=True, quiet=True,
                show_error=False, inbrowser=False, max_file_size=MAX_BYTES, allowed_paths=[], root_path="",
                footer_links=[], run_history=False, pwa=False, ssr_mode=False, mcp_server=False, num_workers=0,
                enable_monitoring=False, theme=theme(),
                app_kwargs={"middleware": [_middleware()], "docs_url": None, "redoc_url": None, "openapi_url": None},
            )  # fmt: skip
        except OSError:
            raise UserError(f"port {port} is in use now", next_step="start the app again") from None
        try:
            yield address
        finally:
            blocks.close(verbose=False)


def wait() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()


def _fault(port: int) -> str | None:
    """Return why a port cannot be opened; None if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return None


def _middleware() -> Any:
    from starlette.middleware import Middleware

    return Middleware(Guard)


class Guard:
    """ASGI middleware that refuses requests for other hosts, adds `HEADERS`, and completes gradio's page.

    A foreign page whose name resolves to this machine (DNS rebinding) sends its own host, and is refused.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").rpartition(":")[0]
        if host not in (HOST, "localhost"):
            await send({"type": "http.response.start", "status": 421, "headers": []})
            await send({"type": "http.response.body", "body": b"this app serves this machine only"})
            return
        is_page = scope["path"] == "/" and scope["method"] == "GET"

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [
                    h for h in message["headers"] if not (is_page and h[0].lower() == b"content-length")
                ]
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": headers + added}
            elif is_page and BODY in message.get("body", b""):
                body = message["body"]
                inside = body.index(b">", body.index(BODY)) + 1
                message = {**message, "body": body[:inside] + ADDED.encode() + body[inside:]}
            await send(message)

        await self.app(scope, receive, guarded)
