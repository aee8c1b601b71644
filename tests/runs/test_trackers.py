"""Trackers receive what the journal receives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sendvae.errors import UserError
from sendvae.runs import TRACKERS, Tracker, open_tracker


def test_tensorboard_files_hold_the_scalars(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = open_tracker("tensorboard", tmp_path)
    assert isinstance(tracker, Tracker)
    for images in (10, 20, 30):
        tracker.log(images, {"loss": images / 10})
    tracker.close()
    resumed = open_tracker("tensorboard", tmp_path, images_seen=20)
    resumed.log(25, {"loss": 9.0})
    resumed.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in events] == [(10, 1.0), (20, 2.0), (25, 9.0)]


@pytest.mark.slow
def test_weights_and_biases_keep_a_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracker = open_tracker("wandb", tmp_path)
    tracker.log(10, {"velocity_of_the_test": 1.5})
    tracker.close()
    (records,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert b"velocity_of_the_test" in records.read_bytes()


@pytest.mark.slow
def test_trackio_keeps_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read when the package is imported
    import trackio

    for images, value in ((10, 1.5), (20, 1.0)):  # interrupted and resumed
        tracker = open_tracker("trackio", tmp_path / "run", images)
        tracker.log(images, {"loss": value})
        tracker.close()
    assert (tmp_path / "trackio").is_dir()
    (run,) = trackio.Api().runs("sendvae")
    history = trackio.SQLiteStorage.get_logs("sendvae", run.name)
    assert [(entry["step"], entry["loss"]) for entry in history] == [(10, 1.5), (20, 1.0)]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'sendvae\[tracking\]'"):
        open_tracker("tensorboard", tmp_path)


def test_unknown_tracker(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'tensorboard'"):
        open_tracker("tensorbord", tmp_path)
    assert "tensorboard" in TRACKERS
