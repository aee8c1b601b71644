"""Processes that train together. A single process is the plain case and needs no process group.

A launcher (`torchrun`, `accelerate launch`, or that of a cluster) starts the processes and tells each its rank in
environment variables. Without them every function here answers for a single process, and nothing communicates.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor

from sendvae.errors import MachineError, UserError

RANK, WORLD_SIZE, LOCAL_RANK = "RANK", "WORLD_SIZE", "LOCAL_RANK"
Value = TypeVar("Value")
NEEDED = (RANK, LOCAL_RANK, "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def process_group() -> Iterator[torch.device]:
    """Join the launcher's process group, if there is one, and leave it at the end of the block.

    The block gets the device of this process: its own GPU, or the CPU. Tensors on GPUs travel by NCCL, others by gloo.

    Raises:
        UserError: the launcher's variables are incomplete or not numbers, or it started more processes on this
            machine than it has GPUs.
        MachineError: another process has ended, or does not answer.
    """
    if int(_variable(WORLD_SIZE, "1")) == 1:
        yield torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return
    missing = [name for name in NEEDED if name not in os.environ]
    if missing:
        raise UserError(
            f"{WORLD_SIZE} is set, but not {', '.join(missing)}",
            expected="the variables that torchrun sets",
            next_step=f"launch with torchrun --nproc-per-node N …, or unset {WORLD_SIZE} for a single process",
        )
    device = torch.device("cpu")
    if torch.cuda.is_available():
        local = int(_variable(LOCAL_RANK))
        if local >= torch.cuda.device_count():
            raise UserError(
                f"process {local} of this machine has no GPU of its own",
                given=f"{torch.cuda.device_count()} GPUs",
                next_step="launch with at most as many processes per machine",
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    except RuntimeError as error:
        if not _is_of_others(error):
            raise
        raise MachineError(
            f"another of the {dist.get_world_size()} processes has ended, or does not answer",
            given=str(error).strip().partition("\n")[0],
            next_step="its own last lines, or the system's log, say why; run the same command again to go on",
        ) from error
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Return the rank of this process, counted from 0."""
    return dist.get_rank() if _grouped() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if _grouped() else 1


def is_main() -> bool:
    """Return whether this is process 0, which alone writes files and prints."""
    return rank() == 0


def second_group() -> dist.ProcessGroup | None:
    """Return a second group of all processes, for threads that run beside the training.

    Every process must call this. A single process gets None.
    """
    if not _grouped():
        return None
    group = dist.new_group(backend="gloo")
    assert isinstance(group, dist.ProcessGroup)  # processes outside a group get a number instead
    return group


def barrier(group: dist.ProcessGroup | None = None) -> None:
    """Wait until every process has reached this call."""
    if _grouped():
        dist.barrier(group)


def all_reduce_mean(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the mean of a tensor over all processes, equal on each, without gradient. The argument is not changed."""
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    if _grouped():
        dist.all_reduce(total)  # a sum: gloo has no mean
    return total / world_size()


def all_gather(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "world ..."]:
    """Return the tensors of all processes, stacked by rank. Gradients flow back to the process each tensor came from.

    The gradient is that of the *sum* of all processes' losses. Every process must call this with the same shape.
    """
    return _Gather.apply(tensor)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        del ctx
        tensor = inputs[0].contiguous()
        if not _grouped():
            return tensor[None].clone()
        every = [torch.empty_like(tensor) for _ in range(world_size())]
        dist.all_gather(every, tensor)
        return torch.stack(every)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Tensor:
        del ctx
        total = grad_outputs[0].clone(memory_format=torch.contiguous_format)
        if _grouped():
            dist.all_reduce(total)
        return total[rank()]


def broadcast(tensor: Shaped[Tensor, "*shape"], source: int = 0) -> Shaped[Tensor, "*shape"]:
    """Return the tensor of process `source` on every process. The others pass a tensor of the same shape and type."""
    received = tensor.detach().clone(memory_format=torch.contiguous_format)
    if _grouped():
        dist.broadcast(received, source)
    return received


def any_process(flag: bool) -> bool:
    """Return whether the argument is true on at least one process; every process must call this."""
    if not _grouped():
        return flag
    device = "cuda" if torch.cuda.is_available() else "cpu"
    total = torch.tensor(float(flag), device=device)
    dist.all_reduce(total)
    return bool(total > 0)


def main_value(value: Value, group: dist.ProcessGroup | None = None) -> Value:
    """Return process 0's value on every process."""
    box = [value]
    if _grouped():
        dist.broadcast_object_list(box, group=group)
    return box[0]


def is_sharded(tensor: Tensor) -> bool:
    """Return whether FSDP has sharded a tensor over the processes.

    The module of DTensor takes a second to import, so it is not imported here: before it is, no tensor is a DTensor.
    """
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def any_sharded(tensors: Iterable[Tensor]) -> bool:
    """Return whether FSDP has sharded at least one of the tensors over the processes."""
    return any(map(is_sharded, tensors))


def local(tensor: Any) -> Tensor:
    """Return this process's part of a tensor that FSDP may have sharded. The part shares memory with the tensor."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def whole(tensor: Any) -> Tensor:
    """Return the whole of a tensor that FSDP may have sharded. Every process must call this."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def sharded_like(target: Any, tensor: Tensor) -> Tensor:
    """Return a whole tensor on the device of `target`, sharded as `target` is."""
    if not is_sharded(target):
        return tensor.to(target.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(target.device), target.device_mesh, target.placements)


@contextmanager
def single_process() -> Iterator[None]:
    """Make this module act as for a single process within the block, so that nothing waits for the others."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


_alone = False


def _grouped() -> bool:
    return not _alone and dist.is_available() and dist.is_initialized()


def _is_of_others(error: RuntimeError) -> bool:
    """Return whether an error means that another process is lost. Only a source path marks gloo's errors."""
    return isinstance(error, dist.DistError) or "/gloo/" in str(error)


def _variable(name: str, default: str | None = None) -> str:
    value = os.environ.get(name, default)
    if value is None or not value.isdecimal():
        raise UserError(
            f"the environment variable {name} is not a number", given=value, next_step="see torchrun --help"
        )
    return value
