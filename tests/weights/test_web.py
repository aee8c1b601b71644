"""Downloads from a real server on this machine: checked, whole or not at all, once for two processes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sendvae.errors import UserError
from sendvae.weights import Web, Weights

CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Server(ThreadingHTTPServer):
    """Serves one content at every address and counts the questions."""

    content = CONTENT
    promised = len(CONTENT)  # the length in the header
    pause = 0.0  # seconds before the second half
    status = 200
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.server.asked.append("HEAD")
        self.send_response(405)  # a server that does not like the question is there all the same
        self.end_headers()

    def do_GET(self) -> None:
        self.server.asked.append("GET")
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.promised))
        self.end_headers()
        half = len(self.server.content) // 2
        self.wfile.write(self.server.content[:half])
        time.sleep(self.server.pause)
        self.wfile.write(self.server.content[half:])

    def log_message(self, format: str, *arguments: object) -> None:
        del format, arguments


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def row(server: Server, name: str = "w.pth") -> Weights:
    return Weights(
        name="net",
        source=Web(f"http://127.0.0.1:{server.server_port}/models/{name}"),
        files=(name,),
        licence="MIT",
        parameters=1,
        size=len(CONTENT),
        digest="sha256:" + hashlib.sha256(CONTENT).hexdigest(),
    )


def left(machine: Path) -> list[str]:
    """Return what lies in the cache, besides the lock."""
    folder = machine / "torch" / "checkpoints"
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") if folder.is_dir() else []


@pytest.mark.usefixtures("online")
def test_a_file_is_downloaded_once(server: Server, machine: Path) -> None:
    weights = row(server)
    assert weights.find() == []
    place = machine / "torch" / "checkpoints" / "w.pth"
    assert weights.pull() == weights.find() == weights.pull() == [place]
    assert place.read_bytes() == CONTENT
    assert server.asked == ["HEAD", "GET"]
    assert left(machine) == ["w.pth"]


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT[:-1]])
def test_another_file_does_not_stay(server: Server, machine: Path, content: bytes) -> None:
    server.content, server.promised = content, len(content)
    with pytest.raises(UserError, match=r"127\.0\.0\.1(?s:.*)is not the published file(?s:.*)was removed"):
        row(server).pull()
    assert left(machine) == []
    server.content, server.promised = CONTENT, len(CONTENT)
    assert row(server).pull()[0].read_bytes() == CONTENT


@pytest.mark.usefixtures("online")
def test_refusals_are_one_error(server: Server, machine: Path) -> None:
    server.status = 404
    with pytest.raises(UserError, match=r"was not fetched(?s:.*)404(?s:.*)sendvae models pull net"):
        row(server).pull()
    assert left(machine) == []


@pytest.mark.usefixtures("online")
def test_what_a_killed_download_left_is_cleared(server: Server, machine: Path) -> None:
    folder = machine / "torch" / "checkpoints"
    folder.mkdir(parents=True)
    for name in (".w.pth.part.123.partial", ".w.pth.part", "other.pth"):
        (folder / name).write_bytes(CONTENT[:9])
    row(server).pull()
    assert left(machine) == ["other.pth", "w.pth"]


def test_the_network_is_not_asked_while_offline(server: Server, machine: Path) -> None:
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        row(server).pull()
    assert server.asked == []
    assert not (machine / "torch").exists()


PULL = """
import sys, torch
torch.hub.get_dir = lambda: sys.argv[1]
from sendvae.weights import Weights, Web
row = Weights(name="net", source=Web(sys.argv[2]), files=("w.pth",), licence="MIT", parameters=1,
              size=int(sys.argv[3]), digest=sys.argv[4])
print(row.pull()[0])
"""


@pytest.mark.usefixtures("online")
def test_two_processes_download_one_file_once(server: Server, machine: Path) -> None:
    server.pause = 3.0
    weights = row(server)
    arguments = [str(machine / "torch"), str(weights.source), str(weights.size), str(weights.digest)]
    command = [sys.executable, "-c", PULL, *arguments]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0].strip() for process in both]
    place = machine / "torch" / "checkpoints" / "w.pth"
    assert outputs == [str(place)] * 2
    assert [process.returncode for process in both] == [0, 0]
    assert place.read_bytes() == CONTENT
    assert server.asked.count("GET") == 1
    assert left(machine) == ["w.pth"]
