"""Where a result of `sendvae evaluate` goes: named by its inputs, never over a result of others."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sendvae.config import Section
from sendvae.errors import UserError
from sendvae.files import write_text

DEFAULT, INPUTS, RESULTS = Path("runs/evaluate"), "inputs.json", "results.json"
NOT_INPUTS = {"batch_size"}  # results are the same in any batch


@contextmanager
def output_folder(
    kind: str,
    name: str,
    sources: Sequence[str],
    config: Section,
    output: Path | None,
    force: bool,
    also: Sequence[str] = (),
) -> Iterator[Path]:
    """Yield the folder of a result after it was tried; leave it named by what went into the result.

    Args:
        kind: the kind of the evaluation.
        name: readable, for the default folder.
        sources: paths and names of everything that is read.
        config: the protocol.
        output: as the user gave it.
        force: whether a result of other inputs there may be replaced.
        also: what else the result depends on.

    Raises:
        UserError: the folder cannot be written, or it holds a result of other inputs.
    """
    inputs = {
        "kind": kind,
        "sources": [*map(_located, sources), *also],
        "protocol": config.model_dump(mode="json", exclude=NOT_INPUTS),
    }
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:8]
    folder = output or DEFAULT / f"{kind}-{name}-{digest}"
    if os.environ.get("RANK", "0") != "0":  # of processes that evaluate together the main one writes
        yield folder
        return
    from sendvae.runs import remove_empty, say, try_folder

    made = try_folder(folder)
    try:
        if not force:
            _refuse_others(folder, inputs)
        before = _text(folder / RESULTS)
        yield folder
        after = _text(folder / RESULTS)
        if after is not None:
            write_text(folder / INPUTS, json.dumps(inputs, indent=1) + "\n")
            if before is not None and not force and _content(before) != _content(after):
                kept = folder / f"results-{json.loads(before)['created'].replace(':', '')}.json"
                write_text(kept, before)
                say(f"what was read has changed since the result that was there; that one is kept as {kept}")
    finally:
        remove_empty(made)


def _refuse_others(folder: Path, inputs: dict[str, Any]) -> None:
    if not (folder / RESULTS).is_file():
        return
    try:
        recorded = json.loads((folder / INPUTS).read_text())
    except (FileNotFoundError, ValueError):
        recorded = {}
    if recorded == inputs:
        return
    different = [key for key in inputs if recorded.get(key) != inputs[key]]
    raise UserError(
        f"{folder} holds a result of other inputs",
        given="; ".join(f"{key}: {_short(inputs[key])}" for key in different),
        expected="; ".join(f"{key}: {_short(recorded.get(key, 'unknown'))}" for key in different),
        next_step="choose another --output, or replace it with --force",
    )


def _text(path: Path) -> str | None:
    return path.read_text() if path.is_file() else None


def _content(result: str) -> list[str]:
    """The digests of everything that a result was measured on."""
    document = json.loads(result)
    inputs = [*document["inputs"].values(), *(subject["input"] for subject in document["subjects"])]
    return [given["digest"] for given in inputs]


def _located(source: str) -> str:
    """The same for a file or folder wherever the command is given."""
    return str(Path(source).resolve()) if Path(source).exists() else source


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 200 else text[:200] + " ..."
