"""SiTs on disk: a folder of `config.json` and `model.safetensors`, or a checkpoint file of REPA or REPA-E."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sendvae.diffusion.sit import REPA_HIDDEN, SiT
from sendvae.diffusion.zoo import SIZES
from sendvae.errors import UserError
from sendvae.files import new_folder
from sendvae.nn import LatentNorm
from sendvae.weights import read_weight_file

CONFIG, WEIGHTS = "config.json", "model.safetensors"
EXPORTED = "sit"  # where a training run keeps its result
LATENT_NORM = "bn."  # REPA-E keeps the latents' statistics inside its SiT


def save_sit(sit: nn.Module, folder: Path, card: str | None = None) -> None:
    """Writes a folder that `load_sit` reads, with `card` as its README.md; it appears whole or not at all."""
    assert isinstance(sit, SiT)
    with new_folder(folder) as temporary:
        (temporary / CONFIG).write_text(json.dumps(sit.arguments, indent=1) + "\n")
        save_file(
            {name: t.detach().cpu().contiguous() for name, t in sit.state_dict().items()}, temporary / WEIGHTS
        )
        if card is not None:
            (temporary / "README.md").write_text(card)


def load_sit(source: str | Path) -> SiT:
    """A SiT from an exported folder, a training run, or a REPA or REPA-E file; strict, in evaluation mode.

    Raises:
        UserError: there is none, a file is damaged, or the weights do not fit.
    """
    path = Path(source)
    if path.is_file():
        return load_repa_checkpoint(path)[0]
    folder = path / EXPORTED if (path / EXPORTED).is_dir() else path
    if missing := [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]:
        raise UserError(
            f"{folder} is not a SiT", given=f"no {missing[0]}", expected=f"{CONFIG} and {WEIGHTS}"
        )
    try:
        arguments = json.loads((folder / CONFIG).read_text())
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise UserError(
            f"a file in {folder} is damaged", given=error, next_step="copy or export it again"
        ) from None
    return _load_strictly(arguments, weights, folder)


def load_repa_checkpoint(path: Path) -> tuple[SiT, LatentNorm | None]:
    """The EMA weights of a checkpoint of REPA or REPA-E, and REPA-E's latent statistics (None in REPA's).

    The architecture is read off the shapes, and the heads off the published size of that width and depth. A
    bare state dict, as .pt or .safetensors, is taken as the weights themselves.

    Raises:
        UserError: the file is damaged, holds code, or is no SiT of a published size.
    """
    content = read_weight_file(path)
    weights: dict[str, Tensor] = dict(content.get("ema", content))
    statistics = {
        name.removeprefix(LATENT_NORM): weights.pop(name)
        for name in list(weights)
        if name.startswith(LATENT_NORM)
    }
    sit = sit_from_weights(weights, path, getattr(content.get("args"), "encoder_depth", None))
    norm = None
    if statistics:
        norm = LatentNorm(len(statistics["running_mean"]))
        norm.load_state_dict(statistics)
    return sit, norm


def sit_from_weights(weights: Mapping[str, Tensor], source: Path, repa_depth: int | None = None) -> SiT:
    """A SiT whose architecture is read off the shapes; strict, in evaluation mode.

    Args:
        weights: by REPA's key names.
        source: where they come from, for errors.
        repa_depth: the block that REPA reads, which no shape tells; default: that of the published size.

    Raises:
        UserError: these are not the weights of a SiT of a known size.
    """
    try:
        arguments = _arguments(weights)
    except KeyError as error:
        raise UserError(
            f"{source} holds no SiT", given=f"no tensor {error}", expected="REPA's key names"
        ) from None
    if repa_depth is not None and arguments["repa_width"] is not None:
        arguments["repa_depth"] = repa_depth
    return _load_strictly(arguments, weights, source)


def _arguments(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """What builds the network of these weights. Raises KeyError on a missing tensor."""
    width, channels, patch_size, _ = weights["x_embedder.proj.weight"].shape
    depth = 1 + max((int(name.split(".")[1]) for name in weights if name.startswith("blocks.")), default=-1)
    tokens = weights["pos_embed"].shape[1]
    size = next((s for s in SIZES.values() if (s.width, s.depth) == (width, depth)), None)
    if size is None:
        raise UserError(
            "the heads of this SiT are unknown",
            given=f"width {width}, depth {depth}",
            expected="one of " + ", ".join(f"{name} ({s.width}, {s.depth})" for name, s in SIZES.items()),
        )
    projects = "projectors.0.0.weight" in weights
    return {
        "latent_channels": channels,
        "latent_size": round(tokens**0.5) * patch_size,
        "patch_size": patch_size,
        "width": width,
        "depth": depth,
        "heads": size.heads,
        "num_classes": len(weights["y_embedder.embedding_table.weight"]) - 1,  # the last is the null label
        "repa_width": len(weights["projectors.0.4.weight"]) if projects else None,
        "repa_depth": size.repa_depth,
        "repa_hidden": len(weights["projectors.0.0.weight"]) if projects else REPA_HIDDEN,
    }


def _load_strictly(arguments: dict[str, Any], weights: Mapping[str, Tensor], source: Path) -> SiT:
    try:
        sit = SiT(**arguments)
        sit.load_state_dict(dict(weights))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"the weights in {source} do not fit a SiT", given=error) from None
    return sit.eval()
