"""From what a user calls a tokenizer (name, file, folder, run, hub repository) to files on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sendvae.errors import UserError
from sendvae.hub import Unavailable, download, hand_folder
from sendvae.registry import unknown_name
from sendvae.tokenizers.weight_files import SUFFIXES
from sendvae.tokenizers.zoo import TOKENIZERS

HUB, LOCAL = "hf-hub:", "local-dir:"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
CONFIG = "config.json"
# In order of preference; the last two are diffusers'.
USUAL = ("model.safetensors", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
DESCRIBED = ("model.", "diffusion_pytorch_model.")  # files that the config.json beside them is about
# Folders in which a training run, and a diffusers pipeline, keep their VAE.
INNER = ("tokenizer", "vae")
STATISTICS, DISCRIMINATOR = "-latents-stats", "-discriminator-ckpt"  # REPA-E's side files: STEM + this + .pt
COMMON_STATISTICS = "latents_stats.pt"  # LightningDiT's name, whatever the weights are called


@dataclass(frozen=True)
class TokenizerFiles:
    """The files of one tokenizer; only the weights must exist."""

    weights: Path
    config: Path | None = None
    statistics: Path | None = None
    discriminator: Path | None = None

    def existing(self) -> list[Path]:
        """All that are there, the weights first."""
        files = (self.weights, self.config, self.statistics, self.discriminator)
        return [path for path in files if path is not None]


def locate(source: str | Path) -> TokenizerFiles:
    """The files behind a name of the zoo, a file, a folder, "local-dir:FOLDER" or "hf-hub:OWNER/REPO[/PATH]".

    Raises:
        UserError: nothing there, or not to be had without a network.
    """
    text = str(source)
    if text.startswith(HUB):
        return _from_hub(text.removeprefix(HUB))
    path = Path(text.removeprefix(LOCAL)).expanduser()
    if path.is_file() and not text.startswith(LOCAL):
        return _beside(path)
    if path.is_dir():
        return _in_folder(path)
    if text in TOKENIZERS:
        return find_tokenizer(text) or _from_hub(TOKENIZERS[text].source.removeprefix(HUB), text)
    if text.startswith(LOCAL):
        raise UserError(f"there is no folder {path}")
    error = unknown_name("tokenizer (and no such file or folder)", text, list(TOKENIZERS))
    if HUB_ID.fullmatch(text) and not text.endswith(SUFFIXES):
        hints = filter(None, (error.next_step, f"a repository of the hub is {HUB}{text}"))
        error = UserError(error.problem, expected=error.expected, next_step=" ".join(hints))
    raise error


def find_tokenizer(name: str) -> TokenizerFiles | None:
    """The files of a tokenizer of the zoo if they are on this machine; asks no network."""
    spec = TOKENIZERS[name]
    folder = spec.packaged or hand_folder(name)
    if folder.is_dir():
        return _in_folder(folder)
    return _cached(spec.source.removeprefix(HUB))


def _in_folder(folder: Path) -> TokenizerFiles:
    for inner in INNER:
        if (folder / inner / CONFIG).is_file():
            return _in_folder(folder / inner)
    weights = _main_file(path.name for path in folder.iterdir() if path.is_file())
    if weights is None and (folder / "checkpoints").is_dir():
        raise UserError(
            f"the run in {folder} has not ended, so it has no tokenizer yet",
            next_step="run its training command again: it goes on where it stopped",
        )
    if weights is None:
        raise UserError(
            f"{folder} is not a tokenizer",
            given="no weight file",
            expected=f"{USUAL[0]} with {CONFIG}, a diffusers folder, or one file of {', '.join(SUFFIXES)}",
        )
    return _beside(folder / weights)


def _beside(weights: Path) -> TokenizerFiles:
    """A weight file with what belongs to it: the configuration of its folder, side files."""

    def existing(*names: str) -> Path | None:
        paths = (weights.with_name(name) for name in names)
        return next((path for path in paths if path.is_file()), None)

    return TokenizerFiles(
        weights,
        config=existing(CONFIG) if weights.name.startswith(DESCRIBED) else None,
        statistics=existing(f"{weights.stem}{STATISTICS}.pt", COMMON_STATISTICS),
        discriminator=existing(f"{weights.stem}{DISCRIMINATOR}.pt"),
    )


def _main_file(names: Iterable[str]) -> str | None:
    """The one with the VAE among the files of a folder.

    Raises:
        UserError: several could be meant.
    """
    names = list(names)
    for usual in USUAL:
        if usual in names:
            return usual
    candidates = [
        name
        for name in sorted(names)
        if name.endswith(SUFFIXES)
        and name != COMMON_STATISTICS
        and STATISTICS not in name
        and DISCRIMINATOR not in name
    ]
    if len(candidates) > 1:
        raise UserError(
            "several files could be the tokenizer", given=", ".join(candidates), next_step="name one of them"
        )
    return candidates[0] if candidates else None


def _from_hub(address: str, name: str | None = None) -> TokenizerFiles:
    """OWNER/REPO, or OWNER/REPO/PATH of a file or folder in it; from the hub's cache if it is there."""
    if (cached := _cached(address)) is not None:
        return cached
    repository, inside = _split(address)
    try:
        download(repository, lambda names: _wanted(names, inside))
        cached, reason = _cached(address), "what was downloaded is not in the cache"
    except Unavailable as error:
        reason = str(error)
    if cached is not None:
        return cached
    place = hand_folder(name) if name else "any folder, and give its path"
    files = ", ".join(TOKENIZERS[name].files) if name else inside or "the files"
    raise UserError(
        f"the tokenizer {name or HUB + address} is not on this machine",
        given=reason,
        expected=f"{files} of https://huggingface.co/{repository}",
        next_step=f"with a network: sendvae models pull {name or HUB + address}\n"
        f"            without: put them into {place}",
    )


def _wanted(names: list[str], inside: str) -> list[str]:
    """Which files of a repository to download: the weights, their configuration and side files."""
    if inside in names:
        folder, main = str(PurePosixPath(inside).parent), PurePosixPath(inside).name
    else:
        folder = inside or "."
        here = [PurePosixPath(name).name for name in names if str(PurePosixPath(name).parent) == folder]
        found = _main_file(here)
        if found is None:
            return []
        main = found
    stem = PurePosixPath(main).stem
    sides = (f"{stem}{STATISTICS}.pt", COMMON_STATISTICS, f"{stem}{DISCRIMINATOR}.pt")
    beside = (main, *((CONFIG,) if main.startswith(DESCRIBED) else ()), *sides)
    paths = [str(PurePosixPath(folder) / name) for name in beside]
    return [path for path in paths if path in names]


def _cached(address: str) -> TokenizerFiles | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, inside = _split(address)
    try:
        path = Path(snapshot_download(repository, local_files_only=True)) / inside
    except LocalEntryNotFoundError:
        return None
    if path.is_file():
        return _beside(path)
    names = [file.name for file in path.iterdir() if file.is_file()] if path.is_dir() else []
    return _in_folder(path) if _main_file(names) else None


def _split(address: str) -> tuple[str, str]:
    parts = address.split("/")
    if len(parts) < 2 or not all(parts):
        raise UserError("not a hub address", given=HUB + address, expected=f"{HUB}OWNER/REPOSITORY[/PATH]")
    return "/".join(parts[:2]), "/".join(parts[2:])
