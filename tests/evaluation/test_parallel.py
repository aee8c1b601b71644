"""Two gloo processes measure what one does, to the last digits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import measuring_worker
import pytest
import torch
from tests.evaluation.small import pictures, save_npz

from sendvae.evaluation.results import Result, check_comparable
from sendvae.tokenizers import Architecture, Autoencoder, save_tokenizer

SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 1, 1, 2), num_res_blocks=1, norm_groups=4, resolution=32)
KINDS = ("generation", "reconstruction", "latents")


WORKER = Path(measuring_worker.__file__)


def on_two(folder: Path, output: Path) -> None:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
        "--nproc-per-node", "2", str(WORKER), str(folder), str(output),
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    environment |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("parallel")
    save_npz(folder / "samples.npz", pictures(50, seed=1), compressed=True)
    save_npz(folder / "reference.npz", pictures(61, seed=2))
    torch.manual_seed(0)
    save_tokenizer(Autoencoder(SMALL).eval(), folder / "tokenizer")
    found = {count: folder / f"of-{count}" for count in (1, 2)}
    torch.set_num_threads(1)
    measuring_worker.run(folder, found[1], torch.device("cpu"))
    on_two(folder, found[2])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_measure_what_one_does(kind: str, outputs: dict[int, Path]) -> None:
    one, two = (Result.load(outputs[count] / kind) for count in (1, 2))
    check_comparable(one, two, ("one", "two"))
    assert one.subjects[0].numbers.keys() == two.subjects[0].numbers.keys()
    for name, number in one.subjects[0].numbers.items():
        other = two.subjects[0].numbers[name]
        assert other.value == pytest.approx(number.value, rel=1e-6, abs=1e-9), name
        assert other.interval == (number.interval and pytest.approx(number.interval, rel=1e-5, abs=1e-8)), (
            name
        )


def test_files_are_the_same(outputs: dict[int, Path]) -> None:
    for name in ("images.csv", "worst.png"):
        one, two = ((outputs[count] / "reconstruction" / name).read_bytes() for count in (1, 2))
        assert one == two
