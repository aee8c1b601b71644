"""An empty machine: no file put by hand, empty caches, no network unless a test brings a server."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest
import torch


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the machine's folder, with "weights" for files put by hand, and "hub" and "torch" for the caches."""
    monkeypatch.setenv("SENDVAE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    return tmp_path


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch the network on again. Tests that use it bring their own server, or the lack of one."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
