"""Checkpoints on disk: safetensors for tensors, JSON for the rest; and what optimisers keep, as tensors by name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from sendvae.distributed import sharded_like
from sendvae.errors import UserError
from sendvae.runs.progress import say

STATE = "state.json"
TENSORS = "*.safetensors"
NAME = re.compile(r"step-(\d{9})$")


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk: progress and JSON state at hand, tensors read when asked for.

    Attributes:
        files: the files of tensors that were written, as paths in its folder; empty for one by version 0.2.0, which
            named none.
    """

    path: Path
    step: int
    images_seen: int
    state: Mapping[str, Any]
    files: Sequence[str] = ()

    def tensors(self, group: str) -> dict[str, Tensor]:
        """Read one group of tensors to the CPU.

        Raises:
            UserError: the checkpoint has no such group, or it is damaged.
        """
        if (self.path / group).is_dir():
            from sendvae.runs.shards import load_shards

            return load_shards(self.path / group)
        path = self.path / f"{group}.safetensors"
        if not path.is_file():
            raise UserError(
                f"{self.path} holds no '{group}'",
                expected="one of " + ", ".join(sorted(file.stem for file in self.path.glob(TENSORS))),
                next_step="resume with the configuration the run began with",
            )
        try:
            return load_file(path)
        except SafetensorError as error:
            raise _damaged(self.path, path.name, error) from None


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint that can be read, if there is one; say which newer ones are damaged.

    A file that is missing, truncated or overwritten at its beginning is detected; changed numbers are not.

    Raises:
        UserError: there are checkpoints, and all of them are damaged.
    """
    damaged: UserError | None = None
    for path in reversed(checkpoint_folders(folder)):
        try:
            checkpoint = open_checkpoint(path)
            _check_files(checkpoint)
        except UserError as error:
            say(f"{error.problem} ({error.given}); the one before it is taken, if there is one")
            damaged = damaged or error
        else:
            return checkpoint
    if damaged is not None:
        raise UserError(
            f"no checkpoint in {folder} can be read",
            given=damaged.given,
            next_step=f"restore one from a backup, or remove {folder} to begin anew",
        )
    return None


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a `step-NNNNNNNNN` folder.

    Raises:
        UserError: it is none, or not complete, or damaged.
    """
    try:
        document = json.loads((path / STATE).read_text())
        step, images_seen, state = document["step"], document["images_seen"], document["state"]
        return Checkpoint(path, step, images_seen, state, list(map(str, document.get("files", ()))))
    except FileNotFoundError:
        raise UserError(
            f"{path} is not a complete checkpoint",
            given=f"no {STATE}",
            expected=f"a folder step-... with {STATE}",
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, STATE, error) from None


def _check_files(checkpoint: Checkpoint) -> None:
    """Look whether every file of tensors is there, and at the beginning and the length of each.

    Raises:
        UserError: one is missing or damaged.
    """
    path = checkpoint.path
    there = {file.relative_to(path).as_posix(): file for file in sorted(path.rglob(TENSORS))}
    for name in checkpoint.files:
        if name not in there:
            raise _damaged(path, name, "the file is missing")
    for name, file in there.items():
        try:
            with safe_open(file, "pt"):
                pass
        except SafetensorError as error:
            raise _damaged(path, name, error) from None


def _damaged(path: Path, name: str, error: Exception | str) -> UserError:
    return UserError(
        f"the checkpoint {path} is damaged",
        given=f"{name}: {error}",
        next_step="name an older one, or restore it from a backup",
    )


def is_milestone(path: Path) -> bool:
    """Return whether a checkpoint is a milestone, which is never removed."""
    try:
        return bool(json.loads((path / STATE).read_text())["milestone"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # damaged, and of no use
        return False


def checkpoint_folders(folder: Path) -> list[Path]:
    """Return the checkpoint folders of a run in order, damaged ones too; temporary ones bear other names."""
    return sorted(path for path in folder.glob("step-*") if NAME.match(path.name) and path.is_dir())


def optimizer_tensors(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's per-parameter state as "PARAMETER NAME|STATE NAME" -> tensor.

    Learning rate and the like are no part of it: they follow from the configuration and the images seen.
    """
    return {
        f"{name}|{key}": torch.as_tensor(value)
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer_tensors(
    network: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Load what `optimizer_tensors` returned; the optimiser then continues bit for bit.

    Raises:
        ValueError: state for a parameter the network does not have, or of another shape.
    """
    parameters = dict(network.named_parameters())
    optimizer.state.clear()
    for joined, tensor in tensors.items():
        name, _, key = joined.rpartition("|")
        if name not in parameters:
            raise ValueError(f"optimiser state for '{name}', which the network does not have")
        parameter = parameters[name]
        if tensor.ndim and tensor.shape != parameter.shape:
            raise ValueError(
                f"optimiser state '{joined}' has shape {list(tensor.shape)}, the parameter {list(parameter.shape)}"
            )
        # AdamW keeps the step count on the CPU unless it is capturable or fused.
        device = tensor.device if key == "step" and not _steps_on_device(optimizer) else parameter.device
        if tensor.ndim:  # strides are those of the parameter, which fused kernels ask for
            like = torch.empty_like(parameter, dtype=tensor.dtype, requires_grad=False)
            optimizer.state[parameter][key] = like.copy_(sharded_like(parameter, tensor))
        else:
            optimizer.state[parameter][key] = tensor.to(device, copy=True)


def _steps_on_device(optimizer: torch.optim.Optimizer) -> bool:
    return any(group.get("capturable") or group.get("fused") for group in optimizer.param_groups)
