"""The folder of a result of `sendvae evaluate`. Its name depends on the inputs, and results of others stay."""

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
    """Yield the folder of a result, which can be written. After the block, record the inputs beside the result.

    Without `force`, an earlier result that was measured on data which have changed since is kept beside the new one.

    Args:
        kind: the kind of the evaluation.
        name: a readable part of the name of the default folder.
        sources: the paths and names of everything that is read.
        config: the protocol.
        output: the folder that the user gave; None: a default folder below `runs/evaluate`.
        force: whether a result of other inputs in the folder may be replaced.
        also: further values that the result depends on.

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
    if os.environ.get("RANK", "0") != "0":  # only the main one of processes that evaluate together writes
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
    """Return the digests of everything that a result was measured on."""
    document = json.loads(result)
    inputs = [*document["inputs"].values(), *(subject["input"] for subject in document["subjects"])]
    return [given["digest"] for given in inputs]


def _located(source: str) -> str:
    """Return the absolute path of a file or folder, so that the working folder makes no difference; a name as it is."""
    return str(Path(source).resolve()) if Path(source).exists() else source


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 200 else text[:200] + " ..."
