"""Every test runs on one thread (xdist gives each core a worker), with a fixed seed and without a network."""

from __future__ import annotations

import os
from collections.abc import Iterator

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub reads it

import pytest
import torch
from jaxtyping import config


@pytest.fixture(autouse=True)
def _deterministic() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Without the runtime type checker of this suite, as users run the package: its own checks must do."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
