"""Two gloo processes train as one does: same losses, same weights, no image twice, resume across numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.training.worker import run
from torch import Tensor

from sendvae.runs import latest_checkpoint, open_checkpoint, read_journal

KINDS = {
    "tokenizer": ("tokenizer", []),
    "tokenizer-synced": ("tokenizer-synced", ["losses.discriminator_sync=true"]),
    "diffusion": ("diffusion", []),
    "accumulated": ("diffusion", ["loop.accumulate=2"]),
    "tokenizer-accumulated": ("tokenizer", ["loop.accumulate=2"]),
    "sharded": ("diffusion", ["loop.parallel=fsdp"]),
    "joint": ("joint", []),
}
RARE = {  # slow tests
    "sharded-lightningdit": ("diffusion-lightningdit", ["loop.parallel=fsdp", "direction_weight=1"]),
    "joint-accumulated": ("joint", ["loop.accumulate=2"]),
}
XL = ["loop.parallel=fsdp", "optimizer.lr=1e-4", "loop.checkpoint_every=1000"]
HALF, WHOLE = ["loop.images=16"], ["loop.images=32"]
TIMES = ("images_per_second", "tflops", "mfu", "memory_gib")


Job = dict[str, Any]  # what `worker.run` takes


def alone(jobs: list[Job]) -> None:
    torch.set_num_threads(1)
    for job in jobs:
        run(**job)


def launch(processes: int, jobs: list[Job], seconds: int = 300) -> None:
    """Run jobs one after the other on so many processes of torchrun, within so many seconds."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
        "--nproc-per-node", str(processes), str(Path(__file__).with_name("worker.py")), json.dumps(jobs),
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    environment |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=seconds
    )
    assert done.returncode == 0, done.stderr


def job(folder: Path, name: str, length: list[str]) -> Job:
    kind, overrides = (KINDS | RARE)[name]
    return {"folder": str(folder / name), "kind": kind, "overrides": [*length, *overrides]}


def assert_same_bits(folder: Path, own: Sequence[str] = ()) -> None:
    """Refuse tensors that differ between the two processes, except those of these names."""
    first, second = weights(folder, 0), weights(folder, 1)
    assert all(torch.equal(first[name], second[name]) for name in first.keys() - set(own))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind on one process and on two; begun on some, ended on others; and with a writer that is held up."""
    names = ("one", "two", "two-one", "one-two", "two-two", "held")
    folders = {name: tmp_path_factory.mktemp(name) for name in names}
    begun = ("tokenizer", "diffusion", "sharded")
    alone(
        [job(folders["one"], name, WHOLE) for name in KINDS]
        + [job(folders["one-two"], name, HALF) for name in begun],
    )
    launch(
        2,
        [job(folders["two"], name, WHOLE) for name in KINDS]
        + [job(folders[f], name, HALF) for f in ("two-one", "two-two") for name in begun]
        + [job(folders[f], name, WHOLE) for f in ("one-two", "two-two") for name in begun]
        + [job(folders["held"], name, WHOLE) | {"held": True} for name in ("diffusion", "sharded")],
    )
    alone([job(folders["two-one"], name, WHOLE) for name in begun])
    return folders


def losses(folder: Path) -> dict[str, list[float | None]]:
    """Without what depends on the machine, or is a mean of each process's own measurement."""
    columns = read_journal(folder / "metrics.jsonl")
    return {k: v for k, v in columns.items() if k not in TIMES and not k.startswith("gradient_share")}


def weights(folder: Path, rank: int = 0) -> dict[str, Tensor]:
    return load_file(folder / f"weights-{rank}.safetensors")


def assert_same_losses(first: Path, second: Path) -> None:
    one, two = losses(first), losses(second)
    assert one.keys() == two.keys()
    for name in one:
        # Norms of gradients amplify rounding: L1 and ReLU have kinks.
        relative = 1e-2 if name.startswith("grad_norm") else 1e-5
        assert two[name] == pytest.approx(one[name], rel=relative, abs=1e-6), name


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_have_the_losses_of_one(kind: str, runs: dict[str, Path]) -> None:
    assert_same_losses(runs["one"] / kind, runs["two"] / kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", RARE)
def test_two_processes_have_the_losses_of_one_in_rare_settings_too(kind: str, tmp_path: Path) -> None:
    """The processes end with the same bits, and accumulated gradients are those of the whole batch."""
    others = ["joint"] if kind == "joint-accumulated" else []
    alone([job(tmp_path / "one", name, WHOLE) for name in (kind, *others)])
    launch(2, [job(tmp_path / "two", kind, WHOLE)])
    assert_same_losses(tmp_path / "one" / kind, tmp_path / "two" / kind)
    folder = tmp_path / "two" / kind
    assert_same_bits(
        folder, [name for name in weights(folder) if name.startswith("discriminator/") and "running" in name]
    )
    for name in others:
        assert_same_losses(tmp_path / "one" / name, tmp_path / "one" / kind)


@pytest.mark.parametrize("kind", ["diffusion", "tokenizer"])
def test_accumulated_gradients_are_those_of_the_whole_batch(kind: str, runs: dict[str, Path]) -> None:
    accumulated = {
        "diffusion": "accumulated",
        "tokenizer": "tokenizer-accumulated",
    }[kind]
    assert_same_losses(runs["one"] / kind, runs["one"] / accumulated)


@pytest.mark.parametrize("kind", KINDS)
def test_all_processes_end_with_the_same_bits(kind: str, runs: dict[str, Path]) -> None:
    """Weights, optimiser, averages, latent statistics, though they began with different ones."""
    folder = runs["two"] / kind
    # The discriminator's BatchNorm counts what its own process saw, unless synced.
    own = [name for name in weights(folder) if name.startswith("discriminator/") and "running" in name]
    if kind == "tokenizer-synced":
        assert len(own) == 4
        own = []
    assert_same_bits(folder, own)


@pytest.mark.slow
def test_a_block_of_the_largest_generator_is_sharded(tmp_path: Path) -> None:
    """It has the losses of one process, and the processes end with the same bits."""
    jobs = [
        {"folder": str(tmp_path / number), "kind": "diffusion-xl", "overrides": [*HALF, *XL]}
        for number in ("one", "two")
    ]
    alone(jobs[:1])
    launch(2, jobs[1:])
    assert_same_losses(tmp_path / "one", tmp_path / "two")
    assert_same_bits(tmp_path / "two")


def test_a_synced_discriminator_learns_from_the_global_batch(runs: dict[str, Path]) -> None:
    """Running averages of its BatchNorm, and the losses on both sides, are those of one process."""
    one, two = weights(runs["one"] / "tokenizer-synced"), weights(runs["two"] / "tokenizer-synced")
    names = [name for name in one if name.startswith("discriminator/") and "running" in name]
    for name in names:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-5)
    assert {"discriminator", "adversarial"} <= losses(runs["two"] / "tokenizer-synced").keys()


def test_latent_statistics_are_those_of_the_global_batch(runs: dict[str, Path]) -> None:
    one, two = weights(runs["one"] / "tokenizer"), weights(runs["two"] / "tokenizer")
    names = [name for name in one if name.startswith("latent_norm/")]
    assert len(names) == 3
    for name in names:
        torch.testing.assert_close(one[name], two[name], rtol=1e-5, atol=1e-5)
        assert not torch.equal(one[name], torch.zeros_like(one[name]))


@pytest.mark.parametrize("kind", ["diffusion", "sharded"])
def test_position_embeddings_stay(kind: str, runs: dict[str, Path]) -> None:
    one, two = weights(runs["one"] / "diffusion"), weights(runs["two"] / kind)
    assert torch.equal(one["sit/pos_embed"], two["sit/pos_embed"])
    assert not any("pos_embed" in name for name in two if name.startswith("optimizer"))


def test_processes_read_different_images_and_together_those_of_one(runs: dict[str, Path]) -> None:
    def read(folder: Path, rank: int) -> list[list[int]]:
        return json.loads((folder / "diffusion" / f"record-{rank}.json").read_text())["read"]

    alone, shares = read(runs["one"], 0), [read(runs["two"], rank) for rank in (0, 1)]
    assert [a + b for a, b in zip(*shares, strict=True)] == alone
    epoch = [i for batch in alone[:3] for i in batch]
    assert sorted(epoch) == list(range(24))


def test_accumulation_communicates_once_a_step(runs: dict[str, Path]) -> None:
    def buckets(kind: str) -> int:
        return json.loads((runs["two"] / kind / "record-0.json").read_text())["buckets"]

    steps = 4
    assert buckets("diffusion") == steps * max(1, buckets("diffusion") // steps) > 0
    assert buckets("accumulated") == buckets("diffusion")
    assert buckets("tokenizer-accumulated") == buckets("tokenizer")


@pytest.mark.parametrize("kind", ["tokenizer", "diffusion", "sharded"])
def test_resume_on_the_same_number_is_exact(kind: str, runs: dict[str, Path]) -> None:
    unbroken, resumed = weights(runs["two"] / kind), weights(runs["two-two"] / kind)
    assert unbroken.keys() == resumed.keys()
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)


@pytest.mark.parametrize("kind", ["tokenizer", "diffusion", "sharded"])
@pytest.mark.parametrize("change", ["two-one", "one-two"])
def test_resume_on_another_number_goes_on_with_the_same_losses(
    change: str, kind: str, runs: dict[str, Path]
) -> None:
    assert_same_losses(runs["one"] / kind, runs[change] / kind)


def test_sharded_checkpoints_are_shards(runs: dict[str, Path]) -> None:
    checkpoint = latest_checkpoint(runs["two"] / "sharded/checkpoints")
    assert checkpoint is not None
    assert len(list((checkpoint.path / "sit").glob("shard-*.safetensors"))) == 2
    expected = weights(runs["two"] / "sharded")
    loaded = checkpoint.tensors("sit")
    assert {f"sit/{name}" for name in loaded} == {name for name in expected if name.startswith("sit/")}
    assert all(torch.equal(tensor, expected[f"sit/{name}"]) for name, tensor in loaded.items())


@pytest.mark.parametrize("kind", ["diffusion", "sharded"])
def test_nobody_waits_for_the_writer(kind: str, runs: dict[str, Path]) -> None:
    """The checkpoint of 16 images is ended once both processes are at 24; it holds what an unhurried one does."""
    held, plain = (
        open_checkpoint(runs[name] / kind / "checkpoints/step-000000002") for name in ("held", "two")
    )
    assert held.images_seen == 16
    for group in ("sit", "ema", "optimizer"):
        found, expected = held.tensors(group), plain.tensors(group)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in found)
