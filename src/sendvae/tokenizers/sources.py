"""How the source of a tokenizer (name, file, folder, run, hub repository) is resolved to files on this machine."""

from __future__ import annotations

import re
from pathlib import Path

from sendvae.errors import UserError
from sendvae.registry import unknown_name
from sendvae.tokenizers.files import CONFIG, USUAL, TokenizerFiles, choose_files, files_beside
from sendvae.tokenizers.zoo import TOKENIZERS
from sendvae.weights import SUFFIXES, Weights, chosen
from sendvae.weights.hub import HUB, hub_source

LOCAL = "local-dir:"
RUN = "config.yaml"  # the file of a run folder that holds the configuration of its training
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def locate(source: str | Path) -> TokenizerFiles:
    """Return the files of a tokenizer by zoo name, file, folder, "local-dir:FOLDER" or "hf-hub:OWNER/REPO[/PATH]".

    The files of a name or an address are downloaded if they are not on this machine.

    Raises:
        UserError: there is no tokenizer, several files could be the weights, or they cannot be downloaded.
    """
    text = str(source)
    path = Path(text.removeprefix(LOCAL)).expanduser()
    if text.startswith(HUB):
        return files_beside(weights_of(text).pull()[0])
    if path.is_file() and not text.startswith(LOCAL):
        return files_beside(path)
    if path.is_dir():
        return _in_folder(path)
    if text.startswith(LOCAL):
        raise UserError(f"there is no folder {path}")
    return files_beside(weights_of(text).pull()[0])


def weights_of(name: str) -> Weights:
    """Return the weights of a tokenizer of the zoo, or of a hub address.

    Raises:
        UserError: the name is unknown, or the address names no repository.
    """
    if name in TOKENIZERS:
        return TOKENIZERS[name].weights
    if name.startswith(HUB):
        source = hub_source(name, SUFFIXES)
        return Weights(name=name, source=source, files=(source.file or "*",), choose=choose_files)
    error = unknown_name("tokenizer (and no such file or folder)", name, list(TOKENIZERS))
    if HUB_ID.fullmatch(name) and not name.endswith(SUFFIXES):
        hints = filter(None, (error.next_step, f"a repository of the hub is {HUB}{name}"))
        error = UserError(error.problem, expected=error.expected, next_step=" ".join(hints))
    raise error


def _refuse_diffusion(folder: Path) -> None:
    """Raise an error for the folder of a run that has trained only a generator.

    Raises:
        UserError: the folder is of such a run; the error names the run's tokenizer.
    """
    text = (folder / RUN).read_text(errors="replace")
    if re.search(r"^kind: diffusion\s*$", text, re.MULTILINE) is None:
        return
    own = re.search(r"^tokenizer: (\S+)\s*$", text, re.MULTILINE)
    raise UserError(
        f"{folder} is a run of sendvae train diffusion, not a tokenizer",
        expected="a tokenizer" + (f"; this run was trained on the latents of {own[1]}" if own else ""),
        next_step=f"name that one, or draw images from the run: sendvae sample {folder} --grid 4x4 --to grid.png",
    )


def _in_folder(folder: Path) -> TokenizerFiles:
    if (folder / RUN).is_file():
        _refuse_diffusion(folder)
    if found := chosen(folder, choose_files):
        return files_beside(found[0])
    if (folder / "checkpoints").is_dir():
        raise UserError(
            f"the run in {folder} has not ended, so it has no tokenizer yet",
            next_step="run its training command again: it goes on where it stopped",
        )
    raise UserError(
        f"{folder} is not a tokenizer",
        given="no weight file",
        expected=f"{USUAL[0]} with {CONFIG}, a diffusers folder, or one file of {', '.join(SUFFIXES)}",
    )
