"""`loop.compile`: the blocks of a stage's networks, each compiled by itself, so that equal blocks are compiled once.

Modules are compiled in place: names and types of weights, checkpoints, averages and exports stay as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Literal

import torch
from torch import nn

from sendvae.errors import UserError

# By name, as timm's are not ours: of generators, mapper, foundation models, encoder and decoder; judges as a whole.
REGIONS = {
    "Block", "EvaBlock", "ViTBlock", "ResnetBlock", "AttnBlock", "Downsample", "Upsample", "PatchDiscriminator", "LPIPS",
}  # fmt: skip
SHAPES = 256  # in which regions may differ before one is left as it is


def compile_regions(
    networks: Iterable[nn.Module | None], how: Literal["auto", "off", "regional"], device: torch.device
) -> int:
    """Compile the regions of networks in place; return how many there are.

    Args:
        networks: the networks whose forward passes a step runs; None is skipped.
        how: "auto" compiles on GPUs and leaves CPUs as they are.
        device: where the networks are.

    Raises:
        UserError: compiling is asked for, and this machine has no compiler.
    """
    if how == "off" or (how == "auto" and device.type != "cuda"):
        return 0
    _check_compiler(device)
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, SHAPES)
    # Adaptive weights and shares of the gradient go backward through a graph that is needed again.
    torch._functorch.config.donated_buffer = False
    modules = {id(m): m for network in networks if network is not None for m in network.modules()}
    regions = [module for module in modules.values() if type(module).__name__ in REGIONS]
    for region in regions:
        region.compile(dynamic=False)
    return len(regions)


def _check_compiler(device: torch.device) -> None:
    if device.type == "cuda":
        missing = None if find_spec("triton") else "the package triton"
        next_step = "install triton, or set loop.compile=off"
    else:
        missing = None if _cpp_compiler() else "a C++ compiler"
        next_step = "install g++ (or set CXX to a compiler), or set loop.compile=off"
    if missing is not None:
        raise UserError(f"loop.compile needs {missing}, and there is none", next_step=next_step)


def _cpp_compiler() -> bool:
    """Return whether a C++ compiler that PyTorch can use is installed."""
    return any(command and shutil.which(command) for command in torch._inductor.config.cpp.cxx)
