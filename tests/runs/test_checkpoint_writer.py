"""Checkpoints written beside a training: it waits for a copy only, no failure is lost, and no later number reaches a file."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tests.elsewhere import elsewhere

from sendvae.errors import MachineError
from sendvae.runs import CheckpointWriter, checkpoint_writer, latest_checkpoint, open_checkpoint
from sendvae.runs.checkpoint_writer import HostCopies

PATIENCE = 30.0  # seconds after which a test has failed
ONE = {"net": {"w": torch.ones(1)}}


class Held:
    """Writers that begin their work when they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.free = threading.Semaphore(0), threading.Semaphore(0)
        self.at_work, self.most = 0, 0
        run = checkpoint_writer._Writing.run

        def held(writing: checkpoint_writer._Writing) -> None:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            self.begun.release()
            assert self.free.acquire(timeout=PATIENCE)
            run(writing)
            self.at_work -= 1

        monkeypatch.setattr(checkpoint_writer._Writing, "run", held)

    def let_go(self) -> None:
        self.free.release()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held(monkeypatch)
    yield held
    held.free.release(9)


def newest(folder: Path) -> int | None:
    checkpoint = latest_checkpoint(folder)
    return checkpoint.step if checkpoint else None


def test_what_happens_after_the_copy_reaches_no_file(tmp_path: Path, held: Held) -> None:
    network, lists = torch.nn.Linear(3, 2), {"rows": [{"loss": 1.0}], "bad": []}
    with CheckpointWriter(tmp_path) as writer:
        path = writer.save(5, 160, {"net": network.state_dict()}, {"window": lists})
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()
        lists["rows"].append({"loss": 2.0})
        assert writer.is_writing()
        held.let_go()
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.path, checkpoint.step, checkpoint.images_seen) == (path, 5, 160)
    assert checkpoint.state == {"window": {"rows": [{"loss": 1.0}], "bad": []}}
    found = checkpoint.tensors("net")
    assert found.keys() == before.keys()
    assert all(torch.equal(found[name], before[name]) for name in before)


def test_one_write_at_a_time_and_the_next_save_waits_for_it(tmp_path: Path, held: Held) -> None:
    seen: list[int | None] = []

    def let_go_later() -> None:
        held.begun.acquire(timeout=PATIENCE)
        time.sleep(0.1)
        seen.append(newest(tmp_path))
        held.let_go()

    helper = threading.Thread(target=let_go_later)
    helper.start()
    with CheckpointWriter(tmp_path) as writer:
        writer.save(1, 10, {"net": {"w": torch.full((2,), 1.0)}}, {})
        writer.save(2, 20, {"net": {"w": torch.full((2,), 2.0)}}, {})
        seen.append(newest(tmp_path))
        held.let_go()
    helper.join()
    assert seen == [None, 1]
    assert held.most == 1
    one, two = (weights_in(tmp_path / f"step-00000000{step}") for step in (1, 2))
    assert (one, two) == ([1.0, 1.0], [2.0, 2.0])


def weights_in(path: Path) -> list[float]:
    return open_checkpoint(path).tensors("net")["w"].tolist()


def full_disk(_: object, path: Path) -> None:
    path.write_bytes(b"half")
    raise OSError(28, "No space left on device")


def ended(writer: CheckpointWriter) -> None:
    deadline = time.monotonic() + PATIENCE
    while writer.is_writing():
        assert time.monotonic() < deadline
        time.sleep(0.001)


CALLS: dict[str, Callable[[CheckpointWriter], object]] = {
    "check": lambda writer: (ended(writer), writer.check()),
    "save": lambda writer: writer.save(3, 30, ONE, {}),
    "wait": lambda writer: writer.wait(),
    "end": lambda writer: writer.__exit__(None, None, None),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_failure_is_raised_by_the_next_call_and_once(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = CheckpointWriter(tmp_path, keep_last=1)
    writer.save(1, 10, ONE, {})
    writer.wait()
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_writer, "save_file", full_disk)
        writer.save(2, 20, ONE, {})
        with pytest.raises(MachineError, match=r"step-000000002 could not be written(?s:.*)No space left"):
            CALLS[call](writer)
    writer.check()
    writer.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


def test_a_check_does_not_wait(tmp_path: Path, held: Held) -> None:
    with CheckpointWriter(tmp_path) as writer:
        writer.save(1, 10, ONE, {})
        writer.check()
        assert writer.is_writing()
        held.let_go()
    assert newest(tmp_path) == 1


def end_by(error: BaseException, writer: CheckpointWriter) -> None:
    with writer:
        writer.save(1, 10, ONE, {})
        raise error


def test_where_another_error_ends_the_training_the_write_is_ended_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the step"):
        end_by(ValueError("the step"), CheckpointWriter(tmp_path))
    assert newest(tmp_path) == 1


def test_where_another_error_ends_the_training_a_failed_write_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoint_writer, "save_file", full_disk)
    with pytest.raises(ValueError, match="the step"):
        end_by(ValueError("the step"), CheckpointWriter(tmp_path))
    assert "step-000000001 could not be written" in capsys.readouterr().err


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path, held: Held) -> None:
    writer = CheckpointWriter(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        end_by(KeyboardInterrupt(), writer)
    assert writer.is_writing()
    held.let_go()
    writer.wait()


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from sendvae.runs import CheckpointWriter, checkpoint_writer

folder, tensors = Path(sys.argv[1]), {"net": {"w": torch.ones(2)}}
with CheckpointWriter(folder) as writer:
    writer.save(1, 10, tensors, {})
    writer.wait()
    checkpoint_writer.flush_file = lambda path: os.kill(os.getpid(), signal.SIGKILL)  # all is written, and not yet named
    writer.save(2, 20, tensors, {})
"""


def test_a_kill_between_the_copy_and_the_name_leaves_the_older_checkpoint(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=100, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".step-000000002.*.part/net.safetensors"))) == 1
    assert newest(tmp_path) == 1
    with CheckpointWriter(tmp_path) as writer:
        writer.save(2, 20, ONE, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000001", "step-000000002"]


def test_copies_take_the_memory_of_the_last_ones() -> None:
    copies = HostCopies()
    tensor = torch.arange(4.0)
    first = copies.of({"net": {"w": tensor}, "other": {"w": tensor[:2]}})
    places = first["net"]["w"].data_ptr(), first["other"]["w"].data_ptr()
    assert len({*places, tensor.data_ptr()}) == 3
    tensor.add_(1)
    second = copies.of({"net": {"w": tensor}, "other": {"w": tensor[:2]}})
    assert (second["net"]["w"].data_ptr(), second["other"]["w"].data_ptr()) == places
    assert second["net"]["w"].tolist() == [1.0, 2.0, 3.0, 4.0]
    for changed in (torch.arange(5.0), torch.arange(5)):
        assert torch.equal(copies.of({"net": {"w": changed}})["net"]["w"], changed)


def test_copies_of_another_device_lie_on_the_host() -> None:
    with elsewhere() as device:
        copies = HostCopies()
        for value in (1.0, 2.0):
            copied = copies.of({"net": {"w": torch.full((2, 2), value, device=device).T}})["net"]["w"]
            assert copied.device.type == "cpu"
            assert copied.is_contiguous()
            assert copied.tolist() == [[value, value]] * 2


def test_keep_last_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep_last"):
        CheckpointWriter(tmp_path, keep_last=0)
