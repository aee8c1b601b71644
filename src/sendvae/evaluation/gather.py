"""Work shared by processes: each takes whole batches, and the main one gathers all rows in their order.

Batches are the same however many processes there are, so rows are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

from sendvae.distributed import is_main, rank, world_size
from sendvae.nn import Moments


def batch_ranges(total: int, size: int) -> list[range]:
    """Return the position ranges of all batches, in order."""
    return [range(start, min(start + size, total)) for start in range(0, total, size)]


def own_share(batches: Sequence[range], of: int | None = None) -> list[range]:
    """Return the batches of this process (or of process `of`): every `world`-th one."""
    return list(batches[rank() if of is None else of :: world_size()])


def gather_rows(parts: Sequence[Tensor], batches: Sequence[range]) -> Shaped[Tensor, "N ..."] | None:
    """Return the rows of all batches in order, on the main process's CPU; None elsewhere.

    Args:
        parts: the rows of each batch of this process's share; every process has at least one.
        batches: the batches of all processes together.
    """
    rows = torch.cat([part.cpu() for part in parts]).contiguous()
    if world_size() == 1:
        return rows
    if not is_main():
        dist.send(rows, 0)
        return None
    found = rows.new_empty(batches[-1].stop, *rows.shape[1:])
    for process in range(world_size()):
        share = own_share(batches, process)
        if process > 0:
            rows = found.new_empty(sum(map(len, share)), *found.shape[1:])
            dist.recv(rows, process)
        for batch, values in zip(share, rows.split([len(batch) for batch in share]), strict=True):
            found[batch.start : batch.stop] = values
    return found


def gather_statistics(own: Moments) -> Moments | None:
    """Return the merged statistics on the main process, None elsewhere. Each process must have seen a row."""
    if world_size() == 1:
        return own
    count, mean, scatter = (
        torch.tensor(own.count),
        own.mean.cpu().contiguous(),
        own.scatter.cpu().contiguous(),
    )
    if not is_main():
        for tensor in (count, mean, scatter):
            dist.send(tensor, 0)
        return None
    merged = Moments.from_state({"count": count, "mean": mean, "scatter": scatter})
    for process in range(1, world_size()):
        received = torch.empty_like(count), torch.empty_like(mean), torch.empty_like(scatter)
        for tensor in received:
            dist.recv(tensor, process)
        merged.merge(Moments.from_state(dict(zip(("count", "mean", "scatter"), received, strict=True))))
    return merged
