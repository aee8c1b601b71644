"""Generators on disk: a folder of `config.json` and `model.safetensors`, or a checkpoint file of their makers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sendvae.diffusion.models import locate_generator
from sendvae.diffusion.path import LINEAR
from sendvae.diffusion.projectors import CONV, MLP
from sendvae.diffusion.protocol import Generator
from sendvae.diffusion.sit import SiT
from sendvae.diffusion.sit_files import NO_GRID, of_repas_time, one_projector, path_of, path_of_tokens
from sendvae.diffusion.zoo import GENERATORS, SIZES
from sendvae.errors import UserError
from sendvae.files import new_folder
from sendvae.nn import LatentNorm
from sendvae.weights import read_weight_file

CONFIG, WEIGHTS = "config.json", "model.safetensors"
NETWORK = "network"  # in CONFIG: a name in GENERATORS; without it, a SiT
EXPORTED = "sit"  # where a training run keeps its result
LATENT_NORM = "bn."  # REPA-E keeps the latents' statistics inside its SiT
CHANNELS, THEIR_CHANNELS = (
    "latent_channels",
    "in_channels",
)  # in CONFIG: ours; of the makers of SiTs of tokens
WRAPPED = "module."  # of a network in DistributedDataParallel


def save_generator(generator: Generator, folder: Path, card: str | None = None) -> None:
    """Write a folder that `load_generator` reads, with `card` as its README.md; it appears whole or not at all."""
    config = {NETWORK: type(generator).__name__, **generator.arguments}
    with new_folder(folder) as temporary:
        (temporary / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
        save_file(
            {name: t.detach().cpu().contiguous() for name, t in generator.state_dict().items()},
            temporary / WEIGHTS,
        )
        if card is not None:
            (temporary / "README.md").write_text(card)


def load_generator(source: str | Path) -> Generator:
    """Return a generator by name, or from an exported folder, a training run, or its makers' file or folder.

    Loading is strict; the generator is in evaluation mode.

    Raises:
        UserError: there is none, a file is damaged, or the weights do not fit.
    """
    path = locate_generator(source)
    if path.is_file():
        return load_checkpoint_file(path)[0]
    folder = path / EXPORTED if (path / EXPORTED).is_dir() else path
    if missing := [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]:
        raise UserError(
            f"{folder} is not a generator", given=f"no {missing[0]}", expected=f"{CONFIG} and {WEIGHTS}"
        )
    try:
        arguments = json.loads((folder / CONFIG).read_text())
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise UserError(
            f"a file in {folder} is damaged", given=error, next_step="copy or export it again"
        ) from None
    if THEIR_CHANNELS in arguments and CHANNELS not in arguments and NO_GRID in weights:
        return _from_weights(weights, folder, None, path_of_tokens(arguments, folder))
    return _load_strictly(arguments.pop(NETWORK, "SiT"), arguments, weights, folder)


def load_sit(source: str | Path) -> SiT:
    """Return `load_generator` of a SiT.

    Raises:
        UserError: what `load_generator` refuses, or another network.
    """
    sit = load_generator(source)
    if not isinstance(sit, SiT):
        raise UserError(
            f"{source} is no SiT", given=type(sit).__name__, next_step="load it with load_generator"
        )
    return sit


def load_checkpoint_file(path: Path) -> tuple[Generator, LatentNorm | None]:
    """Return the EMA weights of a checkpoint of REPA, REPA-E or LightningDiT, and REPA-E's latent statistics, or None.

    The architecture is read off the shapes, and the heads off the published size of that width and depth. A
    bare state dict, as .pt or .safetensors, is taken as the weights themselves.

    Raises:
        UserError: the file is damaged, holds code, or is no generator of a published size.
    """
    content = read_weight_file(path)
    weights: dict[str, Tensor] = {
        name.removeprefix(WRAPPED): tensor for name, tensor in _averaged(content, path).items()
    }
    statistics = {
        name.removeprefix(LATENT_NORM): weights.pop(name)
        for name in list(weights)
        if name.startswith(LATENT_NORM)
    }
    options = content.get("args")  # of REPA and REPA-E
    depth = getattr(options, "encoder_depth", None)
    silent = NO_GRID in weights and options is None
    interpolant = path_of_tokens({}, path) if silent else path_of(options, path)
    generator = _from_weights(one_projector(weights, path), path, depth, interpolant)
    norm = None
    if statistics:
        norm = LatentNorm(len(statistics["running_mean"]))
        norm.load_state_dict(statistics)
    return generator, norm


def _averaged(content: Mapping[str, Any], path: Path) -> Mapping[str, Tensor]:
    """Return the average in a checkpoint, else its weights as trained, else what is a bare state dict."""
    if "ema" not in content and "model" in content:
        warnings.warn(f"{path} holds no average: the weights as trained are taken", stacklevel=3)
    weights = content.get("ema", content.get("model", content))
    if not isinstance(weights, Mapping):
        raise UserError(f"{path} holds no state dict", given=type(weights).__name__)
    return weights


def trained_generator(
    weights: Mapping[str, Tensor], configuration: Mapping[str, Any], source: Path
) -> Generator:
    """Return the generator of a training run's weights; strict, in evaluation mode.

    Args:
        weights: the weights of a checkpoint.
        configuration: the configuration of the run; it tells what no shape does.
        source: where the weights come from, for errors.

    Raises:
        UserError: these are not the weights of a generator of a known size.
    """
    repa = configuration.get("repa") or {}
    return _from_weights(weights, source, repa.get("depth"), configuration.get("path", LINEAR))


def _from_weights(
    weights: Mapping[str, Tensor], source: Path, repa_depth: int | None, path: str = LINEAR
) -> Generator:
    """Build a generator whose architecture is read off the shapes; `repa_depth` defaults to that of its size."""
    network = next((name for name, spec in GENERATORS.items() if spec.holds(weights)), None)
    if network is None:
        raise UserError(
            f"{source} holds no generator", expected="the key names of " + " or ".join(GENERATORS)
        )
    try:
        if network == "SiT":
            weights = of_repas_time(weights)
        arguments = _arguments(network, weights)
    except KeyError as error:
        raise UserError(f"{source} holds no whole {network}", given=f"no tensor {error}") from None
    except (ValueError, IndexError, RuntimeError) as error:
        raise UserError(f"the weights in {source} are not shaped like a {network}'s", given=error) from None
    if repa_depth is not None and arguments["repa_width"] is not None:
        arguments["repa_depth"] = repa_depth
    return _load_strictly(network, {**arguments, "path": path}, weights, source)


def _arguments(network: str, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of the network of these weights. Raises KeyError on a missing tensor."""
    one_dimensional = NO_GRID in weights
    if one_dimensional:
        (width, channels), patch_size = weights[NO_GRID].shape, 1
    else:
        width, channels, patch_size, _ = weights["x_embedder.proj.weight"].shape
    depth = 1 + max((int(name.split(".")[1]) for name in weights if name.startswith("blocks.")), default=-1)
    tokens = weights["pos_embed"].shape[1]
    sizes = {name: size for name, size in SIZES.items() if name.startswith(f"{network}-")}
    size = next((s for s in sizes.values() if (s.width, s.depth) == (width, depth)), None)
    if size is None:
        raise UserError(
            f"the heads of this {network} are unknown",
            given=f"width {width}, depth {depth}",
            expected="one of " + ", ".join(f"{name} ({s.width}, {s.depth})" for name, s in sizes.items()),
        )
    projection = _projection(weights)
    return {
        "latent_channels": channels,
        "latent_size": tokens if one_dimensional else round(tokens**0.5) * patch_size,
        "one_dimensional": one_dimensional,
        "patch_size": patch_size,
        "width": width,
        "depth": depth,
        "heads": size.heads,
        "num_classes": len(weights["y_embedder.embedding_table.weight"]) - 1,  # the last is the null label
        "repa_depth": size.repa_depth,
        **projection,
        "qk_norm": "blocks.0.attn.q_norm.weight" in weights,
    }


def _projection(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of these weights' projector, if any. Raises KeyError on a missing tensor."""
    if "projectors.0.conv.weight" in weights:
        return {"projector": CONV, "repa_width": len(weights["projectors.0.conv.weight"])}
    if "projectors.0.0.weight" in weights:
        hidden, width = (len(weights[f"projectors.0.{i}.weight"]) for i in (0, 4))
        return {"projector": MLP, "repa_width": width, "repa_hidden": hidden}
    return {"repa_width": None}


def _load_strictly(
    network: str, arguments: dict[str, Any], weights: Mapping[str, Tensor], source: Path
) -> Generator:
    try:
        generator = GENERATORS[network].network(**arguments)
        generator.load_state_dict(dict(weights))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"the weights in {source} do not fit a {network}", given=error) from None
    return generator.eval()
