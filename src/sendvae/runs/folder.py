"""A run is a folder: configuration, environment, metrics, checkpoints, samples, report."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from sendvae.distributed import barrier, is_main
from sendvae.errors import UserError
from sendvae.files import write_text

FIELDS_SHOWN = 8  # of those in which two configurations differ


class RunFolder:
    """Paths of a run, and the check that a resumed one is the same run.

    Args:
        path: the folder; created on `prepare`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_path = path / "config.yaml"
        self.environment_path = path / "environment.json"
        self.journal_path = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self.report_path = path / "report.html"

    def configuration(self) -> dict[str, Any]:
        """What `config.yaml` records."""
        return yaml.safe_load(self.config_path.read_text())

    @contextmanager
    def prepare(self, config: Mapping[str, Any], environment: Mapping[str, Any]) -> Iterator[RunFolder]:
        """Creates or reopens the folder and holds it against other runs.

        Of processes that train together, only the main one touches the folder here.

        Raises:
            UserError: the folder holds a run with another configuration, or another process trains in it.
        """
        if not is_main():
            barrier()  # until the main process has made the folder
            yield self
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another process is working in {self.path}",
                    next_step="wait for it, or choose another folder with --run",
                ) from None
            if self.config_path.is_file():
                self._check_same(self.configuration(), config)
            else:
                write_text(self.environment_path, json.dumps(environment, indent=1) + "\n")
                write_text(self.config_path, yaml.safe_dump(dict(config), sort_keys=False))
            barrier()
            yield self

    def _check_same(self, recorded: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        before, now = dict(_flatten(recorded)), dict(_flatten(given))
        differing = [key for key in before | now if before.get(key) != now.get(key)]
        if differing:
            raise UserError(
                f"{self.path} holds a run with another configuration",
                given=_listed(now, differing),
                expected=f"what the run began with: {_listed(before, differing)}",
                next_step="resume with the recorded values, or choose another folder with --run",
            )


def _listed(values: Mapping[str, Any], keys: list[str]) -> str:
    more = f" and {len(keys) - FIELDS_SHOWN} more" if len(keys) > FIELDS_SHOWN else ""
    return ", ".join(f"{key}={values.get(key)}" for key in keys[:FIELDS_SHOWN]) + more


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
