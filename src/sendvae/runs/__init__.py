"""Runs on disk: folder, checkpoints, journal, trackers, environment, progress."""

from sendvae.runs.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    load_optimizer_tensors,
    open_checkpoint,
    optimizer_tensors,
    save_checkpoint,
)
from sendvae.runs.environment import describe_environment
from sendvae.runs.folder import RunFolder
from sendvae.runs.journal import Journal, read_journal
from sendvae.runs.progress import progress
from sendvae.runs.trackers import TRACKERS, Tracker, open_tracker

__all__ = [
    "TRACKERS",
    "Checkpoint",
    "Journal",
    "RunFolder",
    "Tracker",
    "describe_environment",
    "latest_checkpoint",
    "load_optimizer_tensors",
    "open_checkpoint",
    "open_tracker",
    "optimizer_tensors",
    "progress",
    "read_journal",
    "save_checkpoint",
]
