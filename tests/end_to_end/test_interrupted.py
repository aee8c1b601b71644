"""The training commands, killed or asked to stop, go on to the same bits; and run under torchrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.experiments.waiting import PATIENCE

from sendvae.diffusion import load_sit
from sendvae.runs import images_in_journal, latest_checkpoint

SENDVAE = str(Path(sys.executable).with_name("sendvae"))
SMALL = ["data.limit=48", "loop.precision=fp32", "loop.checkpoint_every=16", "loop.log_every=16"]
ANSWER = 5.0  # seconds in which a signal is answered
JOBS = {
    "tokenizer": ["demo/send-vae", "loop.images=80", "loop.batch_size=8", "statistics_images=16"],
    "diffusion": ["demo/sit-tiny", "loop.images=640", "loop.batch_size=16"],
}


def command(job: str, folder: Path) -> list[str]:
    return [
        SENDVAE,
        "train",
        job,
        *JOBS[job],
        *SMALL,
        "--run",
        str(folder),
        "--cache",
        str(folder.parent / "cache"),
    ]


def start(command: list[str]) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    environment |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(command: list[str]) -> str:
    process = start(command)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def images_seen(folder: Path) -> int:
    checkpoint = latest_checkpoint(folder / "checkpoints")
    return checkpoint.images_seen if checkpoint else 0


def interrupt(command: list[str], folder: Path, signum: int) -> tuple[int, str]:
    """Sends the signal after the next checkpoint."""
    before, process = images_seen(folder), start(command)
    deadline = time.monotonic() + 200
    while images_seen(folder) == before:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signum)
    output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output


@pytest.mark.slow
@pytest.mark.parametrize("job", ["tokenizer", "diffusion"])
def test_killed_or_stopped_runs_end_bit_equal(job: str, tmp_path: Path) -> None:
    result = {"tokenizer": "tokenizer/model.safetensors", "diffusion": "sit/model.safetensors"}[job]
    finish(command(job, tmp_path / "unbroken"))

    broken = command(job, tmp_path / "broken")
    code, _ = interrupt(broken, tmp_path / "broken", signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not (tmp_path / "broken" / result).exists()
    code, output = interrupt(broken, tmp_path / "broken", signal.SIGTERM)
    assert code == 143, output  # so that `train && export` does not go on with half a model
    assert "Run the same command again to go on" in output
    assert not (tmp_path / "broken" / result).exists()
    finish(broken)

    last = [latest_checkpoint(tmp_path / name / "checkpoints") for name in ("unbroken", "broken")]
    for group in (file.stem for file in last[0].path.glob("*.safetensors")):  # type: ignore[union-attr]
        expected, found = (checkpoint.tensors(group) for checkpoint in last)  # type: ignore[union-attr]
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected), group
    expected, found = (load_file(tmp_path / name / result) for name in ("unbroken", "broken"))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
def test_a_signal_is_answered_within_seconds_and_the_last_whole_step_is_kept(tmp_path: Path) -> None:
    """Steps of the demo's tokenizer; no checkpoint would be due before the end, and every step has a line of its own."""
    folder = tmp_path / "run"
    changes = ["data.limit=160", "loop.images=60000", "loop.log_every=16", "loop.checkpoint_every=60000"]
    cache = ["--run", str(folder), "--cache", str(tmp_path / "cache")]
    with start([SENDVAE, "train", "tokenizer", "demo/send-vae", *changes, *cache]) as process:
        try:
            journal, deadline = folder / "metrics.jsonl", time.monotonic() + 200
            while images_in_journal(journal) < 48:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert process.stdout is not None
            answer = next(line for line in process.stdout if "SIGTERM" in line)
            seconds = time.monotonic() - began
            rest, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert seconds < ANSWER, answer
    assert process.returncode == 143, rest
    checkpoint = latest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.images_seen == images_in_journal(journal) >= 48
    assert f"stopped at {checkpoint.images_seen:,} images; the checkpoint is written" in rest


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
            "--nproc-per-node", "2", "--no-python", "--"]  # fmt: skip


@pytest.mark.slow
def test_torchrun_trains_on_two_processes(tmp_path: Path) -> None:
    finish([*TORCHRUN, *command("diffusion", tmp_path / "two"), "loop.parallel=fsdp"])
    finish(command("diffusion", tmp_path / "one"))
    expected, found = (load_file(tmp_path / name / "sit/model.safetensors") for name in ("one", "two"))
    assert expected.keys() == found.keys()
    assert all(expected[name].shape == found[name].shape for name in expected)
    # AdamW turns rounding of small gradients into small steps; the averages stay close.
    assert all((expected[name] - found[name]).abs().max() < 0.02 for name in expected)

    shards = latest_checkpoint(tmp_path / "two/checkpoints")
    assert shards is not None
    assert len(list((shards.path / "ema").glob("*.safetensors"))) == 2
    finish(
        [SENDVAE, "export", str(shards.path), "--to", "safetensors", "--output", str(tmp_path / "exported")]
    )
    exported = load_file(tmp_path / "exported/model.safetensors")
    assert all(torch.equal(exported[name], found[name]) for name in found)
    assert load_sit(tmp_path / "exported").arguments == load_sit(tmp_path / "two").arguments


@pytest.mark.slow
def test_torchrun_stopped_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """SIGTERM, which a cluster sends before it takes a machine away, reaches every process through torchrun."""
    finish([*TORCHRUN, *command("diffusion", tmp_path / "unbroken")])
    broken = [*TORCHRUN, *command("diffusion", tmp_path / "broken")]
    _, output = interrupt(broken, tmp_path / "broken", signal.SIGTERM)
    assert "Run the same command again to go on" in output
    assert 0 < images_seen(tmp_path / "broken") < 640
    finish(broken)
    expected, found = (
        load_file(tmp_path / name / "sit/model.safetensors") for name in ("unbroken", "broken")
    )
    assert all(torch.equal(expected[name], found[name]) for name in expected)
