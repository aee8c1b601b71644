"""The model card of a tokenizer: the source of its weights, their training data, their licence and their metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EXPORTED, RESULTS = "tokenizer", "results.json"  # in a run folder: its tokenizer and an evaluation


def gather_card(source: str, licence: str | None = None) -> dict[str, Any]:
    """Return the sections of the model card of a tokenizer.

    Args:
        source: the name, run, folder, file or hub address of the tokenizer.
        licence: the licence of the weights; by default that of the tokenizer a run started from, if it is known.
    """
    from sendvae.tokenizers import TOKENIZERS

    path = Path(source)
    if path.exists():
        card = _of_path(path)
    elif source in TOKENIZERS:
        card = _of_name(source)
    else:
        card = {"source": source}
    return card | ({"licence": licence} if licence else {})


def _of_name(name: str) -> dict[str, Any]:
    from sendvae.tokenizers import TOKENIZERS
    from sendvae.weights import Shipped

    spec = TOKENIZERS[name]
    source = spec.weights.source
    card = {"source": f"{name}: {spec.description} ({source})", "licence": spec.weights.licence}
    if spec.paper:
        card["paper"] = f"https://arxiv.org/abs/{spec.paper}"
    return card | (_recorded(source.folder) if isinstance(source, Shipped) else {})


def _of_path(path: Path) -> dict[str, Any]:
    from sendvae.runs import RunFolder, read_journal

    folder = path if path.is_dir() else path.parent
    is_checkpoint = folder.parent.name == "checkpoints"
    run = RunFolder(
        folder.parent.parent if is_checkpoint else folder.parent if folder.name == EXPORTED else folder
    )
    if not run.config_path.is_file():
        return {"source": path.name, **_recorded(folder)}
    config = run.configuration()
    init, alignment = str(config.get("init", "unknown")), config.get("alignment")
    card: dict[str, Any] = {
        "trained from": init,
        "trained on": ", ".join(f"{key}: {value}" for key, value in (config.get("data") or {}).items()),
        "aligned with": f"{alignment['backbone']} ({alignment['method']})" if alignment else "nothing",
    }
    if config.get("kind") == "tokenizer":
        card["latent statistics"] = (
            f"measured on {config['statistics_images']:,} training images, or all of fewer"
        )
    if inherited := gather_card(init).get("licence"):
        card["licence"] = inherited
    if is_checkpoint:  # the metrics of the run are those of its end, not of the checkpoint
        card["checkpoint"] = folder.name
        return card | {"configuration": run.config_path.read_text()}
    if run.journal_path.is_file():
        last = {name: values[-1] for name, values in read_journal(run.journal_path).items() if values}
        card["metrics at the end of training"] = last
    if (results := run.path / RESULTS).is_file():
        card["metrics"] = json.loads(results.read_text())
    if run.environment_path.is_file():
        card["environment"] = json.loads(run.environment_path.read_text())
    return card | {"configuration": run.config_path.read_text()}


def _recorded(folder: Path) -> dict[str, Any]:
    """Return the card that `save_tokenizer` left in the configuration of one of our folders; empty without one."""
    config = folder / "config.json"
    if not config.is_file():
        return {}
    recorded = json.loads(config.read_text()).get("card")
    return dict(recorded) if isinstance(recorded, dict) else {}
