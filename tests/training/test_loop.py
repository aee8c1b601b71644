"""The loop goes on while a checkpoint is written, and ends with what the writer failed with."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
import torch
from tests.training.conftest import Data
from tests.training.test_stages import diffusion_stage, run_in, weights
from torch import Tensor

from sendvae.errors import MachineError
from sendvae.runs import checkpoint_writer, latest_checkpoint, open_checkpoint
from sendvae.training import Stopped
from sendvae.training.source import Batch
from sendvae.training.stages import DiffusionStage

PATIENCE = 30.0  # seconds after which a test has failed


def stage_of(data: Data, *overrides: str) -> DiffusionStage:
    """Six steps of four images; checkpoints of 8, 16 and 24 images."""
    return diffusion_stage(data, "loop.keep_last=9", "loop.log_every=4", *overrides)


def steps_noted(stage: DiffusionStage, note: object) -> None:
    """Let `note(images_seen)` be called before every step."""
    step = stage.step

    def noted(batch: Batch, images_seen: int) -> dict[str, Tensor]:
        note(images_seen)  # type: ignore[operator]
        return step(batch, images_seen)

    stage.step = noted  # type: ignore[method-assign]


def full_disk_at(images_seen: int) -> object:
    """A writer of files for which there is no room in the checkpoint of a position."""
    save_file = checkpoint_writer.save_file

    def full(tensors: dict[str, Tensor], path: Path) -> None:
        if path.parent.name.startswith(f".step-{images_seen // 4:09d}"):
            raise OSError(28, "No space left on device")
        save_file(tensors, path)

    return full


def test_steps_go_on_while_a_checkpoint_is_written_and_do_not_reach_it(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint of 8 images is written once the step at 12 has begun: that at 8 has changed every weight."""
    stage, begun, save_file = stage_of(data), threading.Event(), checkpoint_writer.save_file
    states: dict[int, dict[str, Tensor]] = {}

    def note(images_seen: int) -> None:
        states[images_seen] = weights(stage)
        if images_seen == 12:
            begun.set()

    def held(tensors: dict[str, Tensor], path: Path) -> None:
        assert begun.wait(PATIENCE), "the training waits for the writer"
        save_file(tensors, path)

    steps_noted(stage, note)
    monkeypatch.setattr(checkpoint_writer, "save_file", held)
    run_in(tmp_path, stage)
    states[24] = weights(stage)
    for step, images_seen in ((2, 8), (4, 16), (6, 24)):
        checkpoint = open_checkpoint(tmp_path / f"checkpoints/step-{step:09d}")
        assert checkpoint.images_seen == images_seen
        found = {f"{g}/{n}": t for g in ("sit", "ema", "optimizer") for n, t in checkpoint.tensors(g).items()}
        expected = states[images_seen]
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize(("failing", "left"), [(8, 0), (16, 8), (24, 16)])
def test_a_failed_write_ends_the_training(
    failing: int, left: int, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the step that ran meanwhile, or at the end; what was written before stays."""
    stage, positions = stage_of(data), list[int]()

    def note(images_seen: int) -> None:
        positions.append(images_seen)
        for thread in threading.enumerate():
            if thread.name == "checkpoint":
                thread.join(PATIENCE)

    steps_noted(stage, note)

    monkeypatch.setattr(checkpoint_writer, "save_file", full_disk_at(failing))
    with pytest.raises(MachineError, match=r"could not be written(?s:.*)No space left"):
        run_in(tmp_path, stage)
    assert positions[-1] == min(failing, 20)
    checkpoint = latest_checkpoint(tmp_path / "checkpoints")
    assert (checkpoint.images_seen if checkpoint else 0) == left


def test_a_stopped_training_has_its_last_step_on_the_disk_when_it_says_so(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though the write before is held until the signal has come."""
    stage, asked, save_file = stage_of(data), threading.Event(), checkpoint_writer.save_file

    def note(images_seen: int) -> None:
        if images_seen == 8:
            os.kill(os.getpid(), signal.SIGTERM)
            asked.set()

    def held(tensors: dict[str, Tensor], path: Path) -> None:
        assert asked.wait(PATIENCE)
        save_file(tensors, path)

    steps_noted(stage, note)
    monkeypatch.setattr(checkpoint_writer, "save_file", held)
    with pytest.raises(Stopped, match="stopped at 12 images; the checkpoint is written"):
        run_in(tmp_path, stage)
    checkpoint = latest_checkpoint(tmp_path / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.images_seen == 12
    assert "SIGTERM; after this step a checkpoint is written" in capsys.readouterr().err


def test_a_training_whose_last_step_cannot_be_kept_does_not_say_that_it_is(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of(data)
    steps_noted(stage, lambda images_seen: os.kill(os.getpid(), signal.SIGTERM) if images_seen == 8 else None)

    monkeypatch.setattr(checkpoint_writer, "save_file", full_disk_at(12))
    with pytest.raises(MachineError, match="could not be written"):
        run_in(tmp_path, stage)
    checkpoint = latest_checkpoint(tmp_path / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.images_seen == 8


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("fp32", "cpu", (False, False, False)),
        ("tf32", "cpu", (True, True, False)),
        ("fp32", "cuda", (False, False, True)),
        ("tf32", "cuda", (True, True, True)),
        ("bf16", "cuda", (False, False, True)),
    ],
)
def test_what_steps_compute_in(
    precision: str,
    device: str,
    expected: tuple[bool, bool, bool],
    data: Data,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TF32 of products and of convolutions, cuDNN's search; as before once the training has ended."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn

    def flags() -> tuple[bool, bool, bool]:
        return matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark

    stage = stage_of(data, f"loop.precision={precision}", "loop.images=4", "loop.cuda_graph=false")
    seen: list[tuple[bool, bool, bool]] = []

    def step(_batch: Batch, _images_seen: int) -> dict[str, Tensor]:
        seen.append(flags())
        return {"velocity": torch.ones(())}

    stage.step, stage.device = step, torch.device(device)  # type: ignore[method-assign]
    monkeypatch.setattr(Batch, "to", lambda batch, _device: batch)
    before = flags()
    run_in(tmp_path, stage)
    assert seen == [expected]
    assert flags() == before


def test_the_bits_of_a_cpu_are_those_of_any_float32(data: Data, tmp_path: Path) -> None:
    stages = {name: stage_of(data, f"loop.precision={name}") for name in ("fp32", "tf32")}
    for name, stage in stages.items():
        run_in(tmp_path / name, stage)
    one, other = (weights(stage) for stage in stages.values())
    assert all(torch.equal(one[name], other[name]) for name in one)
