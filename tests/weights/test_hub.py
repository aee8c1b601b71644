"""Repositories of a hub: its cache, its downloads, and what it states about them."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import huggingface_hub.constants
import pytest
from huggingface_hub.errors import GatedRepoError

from sendvae.errors import UserError
from sendvae.weights import Weights
from sendvae.weights.hub import Hub, hub_source

SUFFIXES = (".pt", ".safetensors")


def row(source: Hub, *files: str) -> Weights:
    return Weights(name="net", source=source, files=files, licence="MIT", parameters=1)


class Remote:
    """A stand-in for the hub: lists one repository with sizes and digests, and hands out its files.

    The cache has the client's layout: links of a snapshot to blobs that are named by their digests.
    """

    def __init__(self, machine: Path, monkeypatch: pytest.MonkeyPatch, repository: str, *names: str) -> None:
        self.root = machine / "hub" / f"models--{repository.replace('/', '--')}"
        self.snapshot = self.root / "snapshots" / ("0" * 40)
        self.asked: list[str] = []
        self.contents = {name: name.encode() for name in names}
        self.stated = dict(self.contents)  # what sizes and digests are computed from
        monkeypatch.setattr("sendvae.weights.hub.reach", lambda *_: None)
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", self.model_info)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", self.download)

    def model_info(self, _repository: str, *, files_metadata: bool) -> SimpleNamespace:
        assert files_metadata
        siblings = [
            SimpleNamespace(
                rfilename=name, size=len(content), lfs=SimpleNamespace(sha256=self.digest(content))
            )
            for name, content in self.stated.items()
        ]
        return SimpleNamespace(siblings=siblings)

    def download(self, _repository: str, file: str) -> str:
        self.asked.append(file)
        self.cache(file)
        return str(self.snapshot / file)

    def cache(self, file: str) -> Path:
        blob = self.root / "blobs" / self.digest(self.stated[file])
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(self.contents[file])
        (self.root / "refs").mkdir(exist_ok=True)
        (self.root / "refs" / "main").write_text("0" * 40)
        link = self.snapshot / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(blob)
        return link

    @staticmethod
    def digest(content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()


@pytest.fixture
def remote(machine: Path, monkeypatch: pytest.MonkeyPatch, online: None) -> Remote:
    del online
    return Remote(machine, monkeypatch, "a/b", "README.md", "w.pt", "vae/w.pt", "vae/config.json")


def test_only_what_is_needed_is_downloaded_and_then_cached(remote: Remote) -> None:
    weights = row(Hub("a/b"), "w.pt")
    assert weights.find() == []
    assert weights.pull() == weights.find() == weights.pull() == [remote.snapshot / "w.pt"]
    assert remote.asked == ["w.pt"]


def test_folders_of_a_repository(remote: Remote) -> None:
    weights = row(Hub("a/b", "vae"), "w.pt", "config.json")
    assert (
        weights.pull()
        == weights.find()
        == [remote.snapshot / "vae/w.pt", remote.snapshot / "vae/config.json"]
    )
    assert remote.asked == ["vae/w.pt", "vae/config.json"]


@pytest.mark.parametrize(
    ("content", "reason"), [(b"w.p", "3 bytes(?s:.*)4 bytes"), (b"w.pT", "sha256:.*(?s:.*)sha256:")]
)
def test_downloads_are_compared_with_what_the_hub_states(remote: Remote, content: bytes, reason: str) -> None:
    remote.contents["w.pt"] = content
    with pytest.raises(UserError, match=f"w.pt is not the published file(?s:.*){reason}(?s:.*)was removed"):
        row(Hub("a/b"), "w.pt").pull()
    assert not (remote.snapshot / "w.pt").is_symlink()  # or the next call would take it from the cache
    assert list((remote.root / "blobs").iterdir()) == []  # or the client would link to it again


@pytest.mark.usefixtures("remote")
def test_what_a_row_states_is_compared_too() -> None:
    weights = Weights(name="net", source=Hub("a/b"), files=("w.pt",), licence="MIT", parameters=1, size=5)
    with pytest.raises(UserError, match=r"4 bytes(?s:.*)5 bytes"):
        weights.pull()


@pytest.mark.usefixtures("remote")
def test_files_damaged_in_the_cache_are_removed_and_named() -> None:
    weights = row(Hub("a/b", "vae"), "w.pt", "config.json")
    for path in weights.pull():
        content = path.read_bytes()
        path.resolve().write_bytes(content[:-1] + b"?")
        assert weights.find()  # is quick: it reads nothing
        with pytest.raises(UserError, match=f"{path.name} is not the published file(?s:.*)download it again"):
            weights.pull()
        assert not path.is_symlink()
        path.unlink(missing_ok=True)
        assert path in weights.pull()


def test_cached_files_are_found_without_a_network(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another tool's listing of the whole repository does not make the cache incomplete."""
    remote.cache("w.pt")
    (remote.root / "trees").mkdir()
    (remote.root / "trees" / f"{'0' * 40}.json").write_text("{}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert row(Hub("a/b"), "w.pt").pull() == [remote.snapshot / "w.pt"]
    assert row(Hub("a/c"), "w.pt").find() == []
    assert remote.asked == []


def test_repository_without_the_file(remote: Remote) -> None:
    with pytest.raises(UserError, match="no weight file in the repository"):
        row(Hub("a/b"), "absent.pt").pull()
    assert remote.asked == []


def test_gated_repositories_say_how_to_get_in(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        response = SimpleNamespace(headers={}, request=None)
        raise GatedRepoError("gated", response=response)  # type: ignore[arg-type]

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(UserError, match=r"log in at https://huggingface\.co/a/b(?s:.*)hf auth login"):
        row(Hub("a/b"), "w.pt").pull()
    assert remote.asked == []


@pytest.mark.usefixtures("online")
def test_an_unreachable_hub_is_asked_once_and_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: pytest.fail("it cannot be reached"))
    began = time.monotonic()
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9 cannot be reached"):
        row(Hub("a/b"), "w.pt").pull()
    assert time.monotonic() - began < 5.0


def test_the_error_gives_addresses_and_a_folder(machine: Path) -> None:
    with pytest.raises(UserError) as caught:
        row(Hub("a/b", "vae"), "w.pt", "config.json").pull()
    message = str(caught.value)
    for part in (
        "HF_HUB_OFFLINE is set",
        "w.pt, config.json of hf-hub:a/b/vae (MIT)",
        "sendvae models pull net",
        "https://huggingface.co/a/b/resolve/main/vae/w.pt",
        "https://huggingface.co/a/b/resolve/main/vae/config.json",
        f"into {machine / 'weights' / 'net'}",
    ):
        assert part in message
    with pytest.raises(UserError, match=r"put the files of https://huggingface\.co/a/b\n"):
        row(Hub("a/b"), "*.pt").pull()


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("hf-hub:a/b", Hub("a/b")),
        ("hf-hub:a/b/vae", Hub("a/b", "vae")),
        ("hf-hub:a/b/w.pt", Hub("a/b", "", "w.pt")),
        ("hf-hub:a/b/x/y/w.safetensors", Hub("a/b", "x/y", "w.safetensors")),
    ],
)
def test_addresses(address: str, source: Hub) -> None:
    assert hub_source(address, SUFFIXES) == source
    assert str(source) == address


@pytest.mark.parametrize("address", ["hf-hub:", "hf-hub:only", "hf-hub:a//b", "hf-hub:a/b/", "hf-hub:../b"])
def test_bad_addresses_are_one_error(address: str) -> None:
    with pytest.raises(UserError, match=r"not a hub address(?s:.*)OWNER/REPOSITORY"):
        hub_source(address, SUFFIXES)
