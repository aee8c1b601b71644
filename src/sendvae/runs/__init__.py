"""Runs on disk: folder, checkpoints, journal, trackers, environment, progress; and caches that runs share."""

from sendvae.runs.caches import (
    CacheKey,
    Lock,
    check_space,
    list_caches,
    load_statistics,
    locked,
    save_statistics,
)
from sendvae.runs.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    load_optimizer_tensors,
    open_checkpoint,
    optimizer_tensors,
)
from sendvae.runs.checkpoint_writer import CheckpointWriter, save_checkpoint
from sendvae.runs.classes import Classes, load_classes, recorded_classes
from sendvae.runs.environment import describe_environment
from sendvae.runs.folder import RunFolder, remove_empty, try_folder
from sendvae.runs.journal import JOURNAL, Journal, images_in_journal, read_journal, whole_lines
from sendvae.runs.latent_stats import load_measured, save_measured
from sendvae.runs.progress import progress, say
from sendvae.runs.row_cache import SHARD, RowCache
from sendvae.runs.trackers import TRACKERS, Tracker, check_tracker, open_tracker

__all__ = [
    "JOURNAL",
    "SHARD",
    "TRACKERS",
    "CacheKey",
    "Checkpoint",
    "CheckpointWriter",
    "Classes",
    "Journal",
    "Lock",
    "RowCache",
    "RunFolder",
    "Tracker",
    "check_space",
    "check_tracker",
    "describe_environment",
    "images_in_journal",
    "latest_checkpoint",
    "list_caches",
    "load_classes",
    "load_measured",
    "load_optimizer_tensors",
    "load_statistics",
    "locked",
    "open_checkpoint",
    "open_tracker",
    "optimizer_tensors",
    "progress",
    "read_journal",
    "recorded_classes",
    "remove_empty",
    "save_checkpoint",
    "save_measured",
    "save_statistics",
    "say",
    "try_folder",
    "whole_lines",
]
