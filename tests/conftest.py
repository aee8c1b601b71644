"""Settings of all tests: each runs on one thread (xdist gives each core a worker), with a fixed seed, offline."""

from __future__ import annotations

import functools
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub reads it

import pytest
import torch
from jaxtyping import config, install_import_hook

# Shapes of tensors are checked at run time wherever they are written; all other types, by pyrefly alone.
ROOMS = (
    "alignment", "app", "autoencoding", "data", "diffusion", "distributed", "evaluation", "experiments.pictures",
    "latents", "metrics", "nn", "tokenizers", "training.stages.velocity", "training.sync_batch_norm", "vision",
)  # fmt: skip
CHECKED = [f"sendvae.{room}" for room in ROOMS]
install_import_hook(CHECKED, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

# A suite that is started in the background ignores Ctrl-C, and so would the commands that it tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Whatever is imported stays: the collector, which would look at it again and again, is told so below.
gc.disable()


def pytest_collection_finish() -> None:
    """Begin to collect garbage: none of the modules and tests that are there by now is any."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _deterministic() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Switch the runtime type checker of this suite off, as it is for users: the package's own checks must do."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


LONG = (
    "end_to_end",
    "faults",
    "training/test_parallel.py",
    "experiments",
    "evaluation/test_parallel.py",
    "app",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest tests begin first, so that no worker is left alone with one at the end."""
    long = tuple(str(Path(__file__).parent / name) for name in LONG)
    items.sort(key=lambda item: not str(item.path).startswith(long))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Send all tests of a module that share a fixture to one worker, and all other tests to whichever is free.

    Groups by mark (`--dist loadgroup`) do nothing with pytest 9.2 and xdist 3.8, which no longer agree on where
    the name of a test is kept.
    """
    from xdist.scheduler import LoadScopeScheduling

    @functools.cache
    def shares(file: str) -> bool:
        return 'scope="module"' in (config.rootpath / Path(file)).read_text()

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if shares(file) else nodeid

    return Scheduler(config, log)
