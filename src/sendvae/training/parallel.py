"""Training on several processes, applied from outside the networks: DDP, or FSDP2 for what one device cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sendvae import distributed
from sendvae.diffusion import Generator

Result = TypeVar("Result")


class Together(nn.Module):
    """The networks of one backward pass, as one module.

    Calling it runs a function that uses them. DDP averages the gradients of what its own `forward` runs; this
    lets a stage keep its losses in plain methods.
    """

    def __init__(self, *networks: nn.Module) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Return `function(*arguments)`, whose losses use these networks."""
        return function(*arguments)


class Parallel:
    """Run losses so that their gradients are averaged over processes.

    BatchNorm buffers stay each process's own, as in the reference implementations, unless losses.discriminator_sync
    makes them one; parameters start as those of process 0. Networks that FSDP2 has sharded average their gradients themselves.

    Args:
        networks: all whose parameters the losses' gradients reach.
    """

    def __init__(self, *networks: nn.Module) -> None:
        self.module: nn.Module = Together(*networks)
        self.sharded: list[Any] = [one for one in networks if distributed.any_sharded(one.parameters())]
        if distributed.world_size() > 1 and not self.sharded:
            self.module = DistributedDataParallel(
                self.module, forward_sync_buffers=False, gradient_as_bucket_view=True
            )

    def __call__(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Return `function(*arguments)`; it runs under DDP where several processes hold whole networks."""
        return self.module(function, *arguments)

    def backward_of(self, last: bool) -> AbstractContextManager[object]:
        """Give the context of a micro-batch's forward and backward pass: only the last one communicates."""
        for network in self.sharded:
            network.set_requires_gradient_sync(last)
        if isinstance(self.module, DistributedDataParallel) and not last:
            return self.module.no_sync()
        return nullcontext()


def shard(generator: Generator) -> None:
    """Spread a generator's parameters, and with them gradients and optimiser state, over all processes (FSDP2)."""
    from torch.distributed.device_mesh import init_device_mesh  # imports for a second what only this needs
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    device = next(generator.parameters()).device.type
    mesh = init_device_mesh(device, (distributed.world_size(),))
    for block in generator.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(generator, mesh=mesh)
    register_fsdp_forward_method(generator, "forward_with_features")


def load_state(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load whole tensors into a network that may be sharded.

    Raises:
        RuntimeError: tensors are missing, left over, or of another shape.
    """
    targets = network.state_dict()
    network.load_state_dict(
        {
            name: distributed.sharded_like(targets[name], tensor) if name in targets else tensor
            for name, tensor in tensors.items()
        }
    )
