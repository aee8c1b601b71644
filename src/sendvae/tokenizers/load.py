"""Strict loading of published tokenizers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sendvae.errors import UserError
from sendvae.tokenizers import maetok_files, softvq_files
from sendvae.tokenizers.architecture import ARCHITECTURES, Architecture
from sendvae.tokenizers.autoencoder import Autoencoder
from sendvae.tokenizers.batch_norm import NORM_EPS, statistics_of, without_statistics
from sendvae.tokenizers.contents import Contents, contents_of
from sendvae.tokenizers.diffusers import (
    DiffusersTokenizer,
    build_network,
    check_class,
    fitted,
    reason_of,
)
from sendvae.tokenizers.diffusers_layout import (
    check_statistics,
    configured,
    is_diffusers_config,
    is_native,
    native_statistics,
)
from sendvae.tokenizers.files import TokenizerFiles, read_json, read_weights
from sendvae.tokenizers.infer import infer_architecture
from sendvae.tokenizers.maetok import MAETok
from sendvae.tokenizers.maetok_files import is_maetok, statistics_in
from sendvae.tokenizers.patches import PatchTokenizer, is_patches, patch_tokenizer
from sendvae.tokenizers.protocol import Tokenizer, not_trainable
from sendvae.tokenizers.softvq import SoftVQ
from sendvae.tokenizers.softvq_files import is_softvq
from sendvae.tokenizers.sources import locate
from sendvae.tokenizers.statistics import LatentStats, read_latent_stats
from sendvae.tokenizers.zoo import TOKENIZERS
from sendvae.weights import read_weight_file

SHOWN_KEYS = 8  # the number of keys of each kind that the error about weights that do not fit shows


def load_tokenizer(
    source: str | Path,
    *,
    architecture: str | None = None,
    latent_stats: str | Path | None = None,
    latent_space: Literal["diffusion", "raw"] = "diffusion",
) -> Tokenizer:
    """Return a tokenizer by zoo name, file, folder, run or hub repository, in float32 and evaluation mode.

    It loads our own folders and runs; flat state dicts, Lightning checkpoints, whole latent-diffusion models and
    REPA-E's training checkpoints, as .safetensors or .pt / .ckpt; and diffusers folders of the classes in `FAMILIES`,
    in shards and half-precision variants, too. Loading is strict: training state that is known to lie beside a VAE is
    left out, and anything else that does not fit is an error.

    Args:
        source: "demo-f8d16", "weights.pt", "runs/my-run", "local-dir:FOLDER", "hf-hub:OWNER/REPO[/PATH]", ...
        architecture: a name in `ARCHITECTURES`; by default the configuration names it, or the shapes tell it.
        latent_stats: a side file with statistics (`latents_scale`, `latents_bias` or `mean`, `std`); by default
            the statistics of the configuration, of the side file next to the weights, or of the checkpoint.
        latent_space: "raw" for the latents of FLUX.2's VAE before they are packed. Others have one latent space.

    Raises:
        UserError: the name is unknown, a file is missing, damaged or not trusted, the weights or statistics do not
            fit, or a class of diffusers cannot be used here.
    """
    files = locate(source)
    config = _read_config(files.config)
    native = not is_diffusers_config(config) or is_native(config)
    load = _native if native else _of_diffusers
    tokenizer = load(files, config, architecture, latent_space == "diffusion")
    if latent_stats is not None:
        tokenizer.latent_stats = read_latent_stats(Path(latent_stats))
    _check_statistics(tokenizer, source)
    return tokenizer.eval()


def _native(
    files: TokenizerFiles, config: Mapping[str, Any], architecture: str | None, packed: bool
) -> Autoencoder | MAETok | SoftVQ | PatchTokenizer:
    """Return a VAE of latent-diffusion's architecture, or another network of this library."""
    contents = _contents(files)
    if is_maetok(contents.vae):
        return _of_tokens(files, config, contents.vae)
    if is_patches(contents.vae):
        return _patches(files, config, contents.vae)
    shape = ARCHITECTURES[architecture] if architecture else _architecture(config, contents.vae, files)
    raw = shape.packing > 1 and not packed
    try:
        tokenizer = _empty(replace(shape, packing=1) if raw else shape)
    except (TypeError, ValueError, ArithmeticError, IndexError, RuntimeError) as error:
        raise _undescribed(files, error) from None
    load_strictly(tokenizer, without_statistics(contents.vae), files.weights)
    if not raw:
        tokenizer.latent_stats = (
            _statistics(config, files)
            or contents.latent_stats
            or statistics_of(contents.vae, config.get("batch_norm_eps", NORM_EPS))
        )
    return tokenizer


def _of_tokens(
    files: TokenizerFiles, config: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> MAETok | SoftVQ:
    """Return MAETok's or SoftVQ's tokenizer, without the training state beside it."""
    if is_softvq(weights):
        own = softvq_files.used(weights)
        tokenizer: MAETok | SoftVQ = SoftVQ(softvq_files.shape_of(own, config))
    else:
        own = maetok_files.used(weights)
        tokenizer = MAETok(maetok_files.shape_of(own))
    load_strictly(tokenizer, own, files.weights)
    tokenizer.latent_stats = statistics_in(config, tokenizer.shape.dims) or _statistics(config, files)
    return tokenizer


def _patches(
    files: TokenizerFiles, config: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> PatchTokenizer:
    """Return a `PatchTokenizer`, a control without a network."""
    tokenizer = patch_tokenizer(weights)
    load_strictly(tokenizer, weights, files.weights)
    tokenizer.latent_stats = _statistics(config, files)
    return tokenizer


def _of_diffusers(
    files: TokenizerFiles, config: Mapping[str, Any], architecture: str | None, packed: bool
) -> DiffusersTokenizer:
    """Return a tokenizer that diffusers computes."""
    if architecture is not None:
        raise UserError(
            f"the configuration of {files.weights} names its network",
            given=f"architecture={architecture}",
            expected="none beside it",
        )
    assert files.config is not None
    network = build_network(config, files.config)
    tensors = {key: value for key, value in read_weights(files).items() if isinstance(value, Tensor)}
    load_strictly(network, fitted(network, tensors), files.weights)
    tokenizer = DiffusersTokenizer(network, packed)
    tokenizer.read_statistics()
    return tokenizer


def check_trainable(source: str | Path) -> None:
    """Raise an error, before any other work, for a tokenizer whose configuration shows that it cannot be fine-tuned.

    Raises:
        UserError: the tokenizer cannot be fine-tuned, or cannot be found.
    """
    if str(source) in TOKENIZERS and (reason := TOKENIZERS[str(source)].untrainable) is not None:
        raise not_trainable(source, reason)
    files = locate(source)
    config = _read_config(files.config)
    if is_diffusers_config(config) and not is_native(config):
        raise not_trainable(source, reason_of(config["_class_name"]))


def load_parts(source: str | Path) -> dict[str, dict[str, Tensor]]:
    """Return the state dicts of the parts beside the VAE that a warm start can use, on the CPU.

    "discriminator" (PatchGAN, keys `main.*`) comes from a Lightning or REPA-E checkpoint, a file of its own or the
    side file next to the weights. "linear_proj" is VA-VAE's projection (key `weight`). Absent parts are not in the
    dict.
    """
    files = locate(source)
    parts = contents_of(read_weights(files)).parts
    if "discriminator" not in parts and files.discriminator is not None:
        parts |= contents_of(read_weight_file(files.discriminator)).parts
    return parts


def load_strictly(network: nn.Module, weights: Mapping[str, Tensor], source: object) -> None:
    """Load weights whose names and shapes must fit exactly, of any precision, and warn of NaN and infinite values.

    Raises:
        UserError: weights do not fit; one error lists the missing, unexpected and mis-shaped keys.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    faults = {
        "missing": sorted(expected.keys() - given.keys()),
        "unexpected": sorted(given.keys() - expected.keys()),
        "mis-shaped": [
            f"{name} {given[name]} instead of {expected[name]}"
            for name in sorted(expected.keys() & given.keys())
            if expected[name] != given[name]
        ],
    }
    if any(faults.values()):
        lines = [
            f"{len(names)} {kind}: {', '.join(names[:SHOWN_KEYS])}{', ...' if len(names) > SHOWN_KEYS else ''}"
            for kind, names in faults.items()
            if names
        ]
        raise UserError(
            f"the weights in {source} do not fit the architecture", given="\n            ".join(lines)
        )
    broken = [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]
    if broken:
        warnings.warn(f"{source} holds NaN or infinite weights: {', '.join(broken)}", stacklevel=3)
    network.load_state_dict(dict(weights))


def _contents(files: TokenizerFiles) -> Contents:
    contents = contents_of(read_weights(files))
    if not contents.vae:
        raise UserError(
            f"{files.weights} holds no VAE",
            given=", ".join(contents.parts) or "no tensors where one would be",
        )
    return contents


def _read_config(path: Path | None) -> dict[str, Any]:
    """Return a configuration, empty without a file. One of diffusers must have a known class and fitting statistics.

    Raises:
        UserError: the file is damaged, or a diffusers configuration fails `check_class` or `check_statistics`.
    """
    config = {} if path is None else read_json(path)
    if is_diffusers_config(config):
        check_class(config["_class_name"], path)
        check_statistics(config, path)
    return config


def _architecture(
    config: Mapping[str, Any], weights: Mapping[str, Tensor], files: TokenizerFiles
) -> Architecture:
    if "architecture" not in config:
        found = infer_architecture(weights, config.get("norm_num_groups"))
        return configured(found, config) if is_diffusers_config(config) else found
    try:
        shape: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in config["architecture"].items()
        }
        return Architecture(**shape)
    except (TypeError, AttributeError) as error:
        raise _undescribed(files, error) from None


def _undescribed(files: TokenizerFiles, error: Exception) -> UserError:
    return UserError(
        f"{files.config or files.weights} names no architecture this version knows",
        given=str(error).partition("\n")[0],
        next_step="copy or export it again",
    )


def _statistics(config: Mapping[str, Any], files: TokenizerFiles) -> LatentStats | None:
    if stats := config.get("latent_stats"):
        try:
            return LatentStats.of_document(stats)
        except (TypeError, ValueError, KeyError, RuntimeError) as error:
            raise UserError(
                f"the latent statistics in {files.config} are damaged",
                given=error,
                next_step="copy or export it again",
            ) from None
    if is_diffusers_config(config):
        return native_statistics(config)
    return read_latent_stats(files.statistics) if files.statistics else None


def _check_statistics(tokenizer: Tokenizer, source: object) -> None:
    stats, channels = tokenizer.latent_stats, tokenizer.latent_channels
    if stats is not None and len(stats.mean) != channels:
        raise UserError(
            f"the latent statistics of {source} are those of another tokenizer",
            given=f"{len(stats.mean)} channels",
            expected=f"{channels} channels",
        )


def _empty(architecture: Architecture) -> Autoencoder:
    """Return an uninitialised tokenizer, which takes no time and no random numbers; all weights are loaded later.

    `to_empty` would do, but what it asks of the meta device imports SymPy, which takes longer than all the rest.
    """
    with torch.device("meta"):
        tokenizer = Autoencoder(architecture)
    blank = {name: torch.empty(t.shape, dtype=t.dtype) for name, t in tokenizer.state_dict().items()}
    tokenizer.load_state_dict(blank, assign=True)
    return tokenizer
