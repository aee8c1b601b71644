"""Checkpoint files of SiT's family, whose trainers differ: what they hold, brought to REPA's keys, time and path."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sendvae.diffusion.path import LINEAR
from sendvae.diffusion.transformer import FREQUENCIES, MAX_PERIOD
from sendvae.errors import UserError

PATH_NAMES = {"linear": LINEAR, "cosine": "cosine", "Linear": LINEAR, "GVP": "cosine"}  # of REPA; of SiT
NO_GRID = "x_embedder.weight"  # of a generator of tokens without a grid
PATH_TYPE = "path_type"  # in a trainer's options, and in the configuration of its model
PREDICTIONS = ("v", "velocity")  # of REPA; of SiT


def path_of(options: object, source: Path) -> str:
    """Return the path that a trainer's options name; without options, the linear one.

    Raises:
        UserError: another path, or a network that predicts no velocity.
    """
    prediction = getattr(options, "prediction", PREDICTIONS[0])
    if prediction not in PREDICTIONS:
        raise UserError(
            f"{source} predicts no velocity", given=f"prediction={prediction}", expected="velocity"
        )
    name = getattr(options, PATH_TYPE, LINEAR)
    if name not in PATH_NAMES:
        raise UserError(
            f"{source} was trained on another path", given=f"path_type={name}", expected=", ".join(PATH_NAMES)
        )
    return PATH_NAMES[name]


def path_of_tokens(config: Mapping[str, Any], source: Path) -> str:
    """Return the path that the configuration of a SiT of tokens without a grid names.

    The released ones name none that their makers' code reads (Hhhhhhao/continuous_tokenizer): of those it is the
    linear one of the training command, and a warning says so. Its time runs as REPA's does.
    """
    name = config.get(PATH_TYPE)
    if name in PATH_NAMES:
        return PATH_NAMES[name]
    warnings.warn(
        f"{source} does not say on which path its SiT was trained: the linear one is taken, as of its makers' training"
        " command; samples of an ODE do not depend on it, those of an SDE do",
        stacklevel=4,
    )
    return LINEAR


def one_projector(weights: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Return the weights with REPA's first projector only, and say so where there are more."""
    numbers = {name.split(".")[1] for name in weights if name.startswith("projectors.")}
    if len(numbers) > 1:
        warnings.warn(
            f"{source} is aligned with {len(numbers)} foundation models: only its first projector is kept",
            stacklevel=4,
        )
    return {
        name: tensor
        for name, tensor in weights.items()
        if not name.startswith("projectors.") or name.startswith("projectors.0.")
    }


def of_repas_time(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return SiT's own weights, which also predict an unused sigma, at REPA's time; others as they are.

    SiT's time runs the other way (t = 1 is data, v = data - noise). The cosines and sines of (1 - t) w are
    combinations of those of t w, so the first layer of the timestep embedder takes the change up; the last layer
    changes its sign, and loses the channels of sigma.
    """
    if NO_GRID in weights:
        return dict(weights)
    channels = weights["x_embedder.proj.weight"].shape[1]
    patch = weights["x_embedder.proj.weight"].shape[2] ** 2
    if len(weights["final_layer.linear.weight"]) != 2 * channels * patch:
        return dict(weights)
    converted = dict(weights)
    for name in ("final_layer.linear.weight", "final_layer.linear.bias"):
        rows = weights[name].unflatten(0, (patch, 2, channels))  # values of a patch: positions, then channels
        converted[name] = -rows[:, 0].flatten(0, 1)
    half = FREQUENCIES // 2
    frequencies = torch.exp(-math.log(MAX_PERIOD) * torch.arange(half, dtype=torch.float64) / half)
    name = "t_embedder.mlp.0.weight"
    cosines, sines = weights[name].double().chunk(2, dim=1)
    turned = [
        cosines * frequencies.cos() + sines * frequencies.sin(),
        cosines * frequencies.sin() - sines * frequencies.cos(),
    ]
    converted[name] = torch.cat(turned, dim=1).to(weights[name].dtype)
    return converted
