"""`sendvae sample` killed and continued, and on two processes."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from tests.end_to_end.test_interrupted import SENDVAE, TORCHRUN, finish, start
from tests.evaluation.samplable import save_run, small_tokenizer
from tests.experiments.waiting import PATIENCE

from sendvae.tokenizers import save_tokenizer

BLOCKS = 30


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    save_tokenizer(small_tokenizer(), folder / "vae")
    save_run(folder / "run", folder / "vae")
    finish(command(folder, "whole.npz"))
    return folder


def command(folder: Path, name: str) -> list[str]:
    options = [
        "--images",
        str(2 * BLOCKS),
        "--labels",
        "balanced",
        "--guidance",
        "2",
        "--interval",
        "0",
        "0.75",
    ]
    settings = ["--steps", "8", "batch_size=2", "rounding=nearest"]
    return [SENDVAE, "sample", str(folder / "run"), "--to", str(folder / name), *options, *settings]


def kill_at(job: list[str], work: Path, blocks: int) -> None:
    """SIGKILL once so many batches are there."""
    process, deadline = start(job), time.monotonic() + 200
    while len(list(work.glob("block-*.npy"))) < blocks:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_twice_it_ends_bit_equal(place: Path) -> None:
    job, rng = command(place, "broken.npz"), random.Random(time.time_ns())
    first = rng.randrange(1, BLOCKS // 2)
    for blocks in (first, rng.randrange(first + 1, BLOCKS - 3)):
        kill_at(job, place / "broken.npz.part", blocks)
        assert not (place / "broken.npz").exists()
    assert "samples: " in finish(job)
    assert (place / "broken.npz").read_bytes() == (place / "whole.npz").read_bytes()
    assert not (place / "broken.npz.part").exists()


@pytest.mark.slow
def test_two_processes_draw_the_same(place: Path) -> None:
    finish([*TORCHRUN, *command(place, "two.npz")])
    one, two = (np.load(place / name) for name in ("whole.npz", "two.npz"))
    assert np.array_equal(one["arr_1"], two["arr_1"])
    assert np.abs(one["arr_0"].astype(int) - two["arr_0"]).max() <= 1


@pytest.mark.slow
def test_two_processes_finish_what_one_began(place: Path) -> None:
    kill_at(command(place, "mixed.npz"), place / "mixed.npz.part", 5)
    finish([*TORCHRUN, *command(place, "mixed.npz")])
    one, two = (np.load(place / name)["arr_0"] for name in ("whole.npz", "mixed.npz"))
    assert np.abs(one.astype(int) - two).max() <= 1
