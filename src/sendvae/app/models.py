"""The models that the app shows. They are opened before the server starts, so a wrong name is an early error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sendvae.diffusion import DIFFUSION_MODELS
from sendvae.errors import UserError
from sendvae.evaluation.diffusion_model import DiffusionModel, is_diffusion_run, load_model
from sendvae.nn import weights_digest
from sendvae.runs import RunFolder, say
from sendvae.tokenizers import TOKENIZERS, Tokenizer, load_tokenizer
from sendvae.weights import Shipped

CHECKPOINTS = "checkpoints"  # the folder inside a run
RUNS_SHOWN = 6  # the most runs that are shown if no model is named
RUN_DEPTH = 3  # levels of folders below the common one in which runs are looked for
EXPORTS = {"tokenizer": "tokenizer", "diffusion": "sit", "joint": "sit"}  # kind -> folder of a finished run


@dataclass(frozen=True)
class Models:
    """The models that the app shows.

    Attributes:
        tokenizers: the tokenizers by title, including those of the diffusion models.
        diffusion: the diffusion models by title.
    """

    tokenizers: dict[str, Tokenizer]
    diffusion: dict[str, DiffusionModel]


def open_models(sources: Sequence[str], device: torch.device, runs: Path = Path("runs")) -> Models:
    """Return the named models, on the device.

    Args:
        sources: names, files, folders and runs, as `load_tokenizer` and `load_model` take them. An empty sequence
            stands for the models that ship and the newest finished runs.
        device: the device to which the models are moved.
        runs: the folder in which finished runs are looked for.

    Raises:
        UserError: a model is given twice, is not there, is unfinished or does not fit, or there is no model at all.
    """
    named = list(sources)
    if not named:
        return _opened(shipped() + finished_runs(runs), device, skip=True)
    repeated = [source for source, count in Counter(map(_place, named)).items() if count > 1]
    if repeated:
        raise UserError("a model is given twice", given=", ".join(repeated))
    return _opened(named, device, skip=False)


def shipped() -> list[str]:
    """Return the tokenizers and diffusion models whose weights are part of this package."""
    rows = [*TOKENIZERS.items(), *DIFFUSION_MODELS.items()]
    return [name for name, spec in rows if isinstance(spec.weights.source, Shipped)]


def finished_runs(folder: Path) -> list[str]:
    """Return the newest finished runs of tokenizers and diffusion models below a folder, by path."""
    found = []
    for depth in range(1, RUN_DEPTH + 1):
        for config in folder.glob("*/" * depth + "config.yaml"):
            run = RunFolder(config.parent)
            export = EXPORTS.get(str(run.configuration().get("kind")))
            if export is not None and (run.path / export).is_dir():
                found.append((config.stat().st_mtime, str(run.path)))
    return sorted(path for _, path in sorted(found, reverse=True)[:RUNS_SHOWN])


def draws_images(source: str) -> bool:
    """Return whether this is the name of a diffusion model, a run of one, or a checkpoint of such a run."""
    path = Path(source)
    return is_diffusion_run(str(path.parent.parent if path.parent.name == CHECKPOINTS else path))


def titles(sources: Sequence[str]) -> dict[str, str]:
    """Return the shortest distinct end of each path or name. That of a checkpoint begins with its run."""
    parts = {source: Path(_place(source)).parts for source in sources}
    lengths = {source: 3 if CHECKPOINTS in part[-2:-1] else 1 for source, part in parts.items()}
    while True:
        found = {source: "/".join(part[-lengths[source] :]) for source, part in parts.items()}
        counts = Counter(found.values())
        alike = [s for s in sources if counts[found[s]] > 1 and lengths[s] < len(parts[s])]
        if not alike:
            return {source: title.replace(f"/{CHECKPOINTS}/", " ") for source, title in found.items()}
        for source in alike:
            lengths[source] += 1


def _opened(sources: Sequence[str], device: torch.device, skip: bool) -> Models:
    """Return opened models. One that cannot be opened is an error, or with `skip` is left out with a note."""
    tokenizers: dict[str, tuple[str, Tokenizer]] = {}  # by digest of the weights: source and network
    diffusion: dict[str, DiffusionModel] = {}
    for source in sources:
        try:
            if draws_images(source):
                diffusion[source] = load_model(source)
            else:
                network = load_tokenizer(source)
                tokenizers.setdefault(weights_digest(network), (source, network))
        except UserError as error:
            if not skip:
                raise
            say(f"note: {source} is left out: {error.problem}")
    for model in diffusion.values():
        origin = model.origin
        tokenizers.setdefault(str(origin["tokenizer_digest"]), (str(origin["tokenizer"]), model.tokenizer))
    if not tokenizers:
        raise UserError("there is no model to show", next_step="name one: sendvae app MODEL")
    networks = dict(tokenizers.values())
    short = titles(list(networks))
    shown = titles(list(diffusion))
    return Models(
        {short[source]: network.to(device) for source, network in networks.items()},
        {shown[source]: model.to(device) for source, model in diffusion.items()},
    )


def _place(source: str) -> str:
    """Return a source in one spelling for each file or folder."""
    return str(Path(source).resolve()) if Path(source).exists() else source.rstrip("/")
