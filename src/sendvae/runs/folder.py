"""A run is a folder: configuration, environment, metrics, checkpoints, samples, report."""

from __future__ import annotations

import fcntl
import json
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from sendvae.distributed import barrier, is_main
from sendvae.errors import UserError
from sendvae.faults import fault_of
from sendvae.files import write_text
from sendvae.runs.classes import CLASSES
from sendvae.runs.journal import JOURNAL
from sendvae.runs.latent_stats import MEASURED
from sendvae.runs.progress import say

FIELDS_SHOWN = 8  # of those in which two configurations differ
LENGTH = "loop.images"
# What a start leaves behind before its first checkpoint; a run that goes on without one begins anew.
WITHOUT_WORK = {
    "config.yaml", "environment.json", ".lock", JOURNAL, "not-finite.json", "tensorboard", "samples",
    "checkpoints", CLASSES, MEASURED,
}  # fmt: skip


class RunFolder:
    """Paths of a run, and the check that a resumed one is the same run.

    Args:
        path: the folder; created on `prepare`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_path = path / "config.yaml"
        self.environment_path = path / "environment.json"
        self.journal_path = path / JOURNAL
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self.report_path = path / "report.html"

    def configuration(self) -> dict[str, Any]:
        """What `config.yaml` records.

        Raises:
            UserError: it is damaged.
        """
        try:
            recorded = yaml.safe_load(self.config_path.read_text(encoding="utf-8"))
            if not isinstance(recorded, dict):
                raise ValueError(f"it holds {type(recorded).__name__}, not names with values")
        except (yaml.YAMLError, ValueError, RecursionError, AttributeError, LookupError) as error:
            raise self._damaged(" ".join(str(error).split())) from None
        return recorded

    def recorded(self, field: str) -> str:
        """What `config.yaml` records of a field whose value is text, as "tokenizer".

        Raises:
            UserError: it is damaged, or has no such field.
        """
        value = self.configuration().get(field)
        if not isinstance(value, str):
            raise self._damaged(f"{field}: {value!r}")
        return value

    def _damaged(self, given: str) -> UserError:
        return UserError(
            f"{self.config_path} is damaged",
            given=given,
            expected="the configuration that the run began with",
            next_step="restore it (`--print-config` of the command that began the run shows it), "
            "or choose another folder with --run",
        )

    @contextmanager
    def prepare(
        self,
        config: Mapping[str, Any],
        environment: Mapping[str, Any],
        exports: Sequence[str] = (),
        free: Collection[str] = (),
    ) -> Iterator[RunFolder]:
        """Create or reopen the folder, check that its run is the same, and lock it.

        A start that fails before anything was trained leaves no trace, and one that was killed then does not bind:
        another configuration takes its place. A run may be lengthened: more `loop.images` than recorded go on from
        the last checkpoint, with what was exported kept under another name. Of processes that train together, only
        the main one touches the folder here.

        Args:
            exports: folders of exported models in it; without them a run cannot be lengthened.
            free: fields, as "loop.threads", of which a resumed run may have other values.

        Raises:
            UserError: the folder cannot be written, holds a run with another configuration, or another process
                trains in it.
        """
        if not is_main():
            barrier()  # until the main process has made the folder
            yield self
            return
        made = try_folder(self.path)
        foreign = set(self.path.iterdir())
        lock_path = self.path / ".lock"
        with lock_path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another process is working in {self.path}",
                    next_step="wait for it, or choose another folder with --run",
                ) from None
            recorded = self.config_path.is_file()
            if not recorded or self._changed(config, exports, free):
                write_text(self.environment_path, json.dumps(environment, indent=1) + "\n")
                write_text(self.config_path, yaml.safe_dump(dict(config), sort_keys=False))
            barrier()
            try:
                yield self
            except BaseException:
                kept = (self.path / name for name in (CLASSES, MEASURED))
                record = (self.config_path, self.environment_path, lock_path, *kept)
                if not recorded and set(self.path.iterdir()) - foreign <= set(record):
                    for path in record:
                        path.unlink(missing_ok=True)
                    remove_empty(made)
                raise

    def holds_work(self) -> bool:
        """Return whether anything but the record of a start, and a log without a checkpoint, lies in the folder."""
        return any(self.checkpoints.glob("step-*")) or any(
            not path.is_dir() or any(path.iterdir())
            for path in self.path.iterdir()
            if path.name not in WITHOUT_WORK
        )

    def _changed(self, given: Mapping[str, Any], exports: Sequence[str], free: Collection[str]) -> bool:
        """Return whether a configuration takes the place of the recorded one.

        Raises:
            UserError: it differs, and may not.
        """
        recorded = self.configuration()
        before, now = dict(_flatten(recorded)), dict(_flatten(given))
        differing = [key for key in before | now if before.get(key) != now.get(key) and key not in free]
        if not differing:
            return False
        if not self.holds_work():
            say(f"{self.path}: nothing was trained there; it takes the new {_listed(now, differing)}")
        elif differing == [LENGTH] and exports and now[LENGTH] > before[LENGTH]:
            self._lengthen(before, now, exports)
        else:
            raise UserError(
                f"{self.path} holds a run with another configuration",
                given=_listed(now, differing),
                expected=f"what the run began with: {_listed(before, differing)}",
                next_step="resume with the recorded values, or choose another folder with --run",
            )
        return True

    def _lengthen(self, before: Mapping[str, Any], now: Mapping[str, Any], exports: Sequence[str]) -> None:
        """Keep what was exported under another name, so that the run counts as unfinished.

        Raises:
            UserError: the rate follows a cosine, whose end cannot be moved afterwards.
        """
        if before.get("optimizer.schedule") == "cosine":
            raise UserError(
                f"{self.path} cannot be lengthened: its learning rate falls to 0 at {before[LENGTH]:,} images",
                given=f"{LENGTH}={now[LENGTH]}",
                next_step="begin a longer run in another folder (--run), or continue from the exported model with init=",
            )
        say(
            f"{self.path}: lengthened from {before[LENGTH]:,} to {now[LENGTH]:,} images; "
            "it goes on from the last checkpoint and is exported again at the end"
        )
        for name in exports:
            if (self.path / name).is_dir():
                kept = self.path / f"{name}-at-{before[LENGTH]}"
                (self.path / name).rename(kept)
                say(f"what was exported so far is kept as {kept}")


def try_folder(path: Path) -> list[Path]:
    """Make a folder, unless it is there, and make sure that files can be written into it.

    Returns:
        The folders that were made, the innermost first.

    Raises:
        UserError: it is a file, lies below one, or cannot be written.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{uuid.uuid4().hex[:8]}.part"
        probe.touch()
        probe.unlink()
    except OSError as error:
        remove_empty(made)
        fault = fault_of(error, f"writing into {path}")
        kind = UserError if fault is None else type(fault)
        raise kind(
            f"nothing can be written into {path}",
            given=error.strerror or str(error),
            expected="a folder, or a place for a new one",
            next_step="choose another one",
        ) from None
    return made


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders that hold nothing, the innermost first."""
    for folder in folders:
        with suppress(OSError):  # it holds something, or is gone
            folder.rmdir()


def _listed(values: Mapping[str, Any], keys: list[str]) -> str:
    more = f" and {len(keys) - FIELDS_SHOWN} more" if len(keys) > FIELDS_SHOWN else ""
    return ", ".join(f"{key}={values.get(key)}" for key in keys[:FIELDS_SHOWN]) + more


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
