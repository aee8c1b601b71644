"""`sendvae export --push-to-hub` against a server that answers as the hub does."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from sendvae.tokenizers import load_tokenizer
from sendvae.weights.publish import check_repository

Command = Callable[..., tuple[int, str, str]]
TOKEN = "hf_of_a_test"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the hub's client's own


class Hub(ThreadingHTTPServer):
    """Keeps what is uploaded: small files in the commit, large ones by their digests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.refuses = self.vanishes = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer({})

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.path == "/api/whoami-v2" and not known:
            self._answer({"error": "Invalid token"}, 401)
        elif self.path == "/api/whoami-v2":
            self._answer({"name": "somebody", "type": "user"})
        else:
            self._answer({"error": "not here"}, 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.vanishes:
            self.close_connection = True  # without an answer
        elif self.server.refuses:
            self._answer({"error": "You have no right to write here"}, 403)
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self._answer({"url": f"{self.server.address}/somebody/net"})
        elif self.path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            modes = ["lfs" if file["path"].endswith(".safetensors") else "regular" for file in files]
            self._answer(
                {
                    "files": [
                        {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}
                        for file, mode in zip(files, modes, strict=True)
                    ]
                }
            )
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            upload = [
                {**o, "actions": {"upload": {"href": f"{self.server.address}/blob/{o['oid']}"}}}
                for o in objects
            ]
            self._answer({"transfer": "basic", "objects": upload})
        else:
            assert self.path.endswith("/commit/main"), self.path
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "lfsFile":
                    self.server.files[line["value"]["path"]] = self.server.blobs[line["value"]["oid"]]
            address = f"{self.server.address}/somebody/net/commit/{'0' * 40}"
            self._answer(
                {"commitUrl": address, "commitOid": "0" * 40, "pullRequestUrl": None, "success": True}
            )

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        digest = self.path.rpartition("/")[2]
        assert hashlib.sha256(body).hexdigest() == digest
        self.server.blobs[digest] = body
        self._answer({})

    def _answer(self, content: dict[str, Any], status: int = 200) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield server
        server.shutdown()


@pytest.fixture
def command(command: Command) -> Command:
    """`sendvae export`."""
    return partial(command, "export")


PUSH = ("demo-f8d16", "--to", "safetensors", "--push-to-hub", "somebody/net")


def test_an_export_arrives_whole(hub: Hub, command: Command, tmp_path: Path) -> None:
    code, output, errors = command(*PUSH, "--private")
    assert code == 0, errors
    assert "logged in at the hub as somebody" in errors
    assert f"uploaded: {hub.address}/somebody/net" in output
    (created,) = hub.created
    assert created["name"] == "net"
    assert created["organization"] == "somebody"
    assert created.get("private") is True or created.get("visibility") == "private"
    folder = tmp_path / "exports/demo-f8d16-safetensors"
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name: hub.files[name] for name in written} == written
    assert b"license: apache-2.0" in hub.files["README.md"]
    assert json.loads(hub.files["config.json"])["latent_stats"] is not None
    for name, content in hub.files.items():
        path = tmp_path / "fetched" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert load_tokenizer(tmp_path / "fetched").latent_stats is not None


def test_a_dry_run_lists_and_sends_nothing(
    hub: Hub, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")  # nor does it need a login
    code, output, _ = command(*PUSH, "--dry-run")
    assert code == 0
    assert "somebody/net: 3 files" in output
    assert "  model.safetensors  " in output
    assert "nothing was uploaded" in output
    assert hub.files == {}
    assert hub.created == []


def test_what_hinders_an_upload_is_said_first(
    hub: Hub, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, _, errors = command("demo-f8d16", "--to", "safetensors", "--push-to-hub", "somebody/../net")
    assert code == 2
    assert "names no repository" in errors
    code, _, errors = command("demo-f8d16", "--to", "safetensors", "--dry-run")
    assert code == 2
    assert "--dry-run belongs to --push-to-hub" in errors
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    code, _, errors = command(*PUSH)
    assert code == 2
    assert "does not accept the token" in errors
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    code, _, errors = command(*PUSH)
    assert code == 2
    assert "nobody is logged in" in errors
    assert not (tmp_path / "exports").exists()
    assert hub.created == []


def test_a_refusal_leaves_the_export(hub: Hub, command: Command, tmp_path: Path) -> None:
    for fault in ("refuses", "vanishes"):
        hub.refuses, hub.vanishes = fault == "refuses", fault == "vanishes"
        code, _, errors = command(*PUSH, "--force")
        assert code == 2
        assert "somebody/net was not uploaded" in errors
        assert "run the command again with --force" in errors
        assert (tmp_path / "exports/demo-f8d16-safetensors/model.safetensors").is_file()
        assert hub.files == {}


def test_without_a_licence_nothing_is_uploaded(hub: Hub, command: Command, tmp_path: Path) -> None:
    command("demo-f8d16", "--to", "safetensors", "--output", tmp_path / "net")
    config = json.loads((tmp_path / "net/config.json").read_text())
    config["card"] = {}
    (tmp_path / "net/config.json").write_text(json.dumps(config))
    push = (tmp_path / "net", "--to", "safetensors", "--push-to-hub", "somebody/net")
    code, _, errors = command(*push)
    assert code == 2
    assert "states the licence" in errors
    assert hub.files == {}
    assert command(*push, "--force", "--licence", "mit")[0] == 0
    assert b"license: mit" in hub.files["README.md"]


@pytest.mark.parametrize("name", ["net", "a/b/c", "a b/c", "/net", "somebody/", "../net"])
def test_names_of_repositories(name: str) -> None:
    with pytest.raises(Exception, match="names no repository"):
        check_repository(name)
    check_repository("some-body/net_1.0")
