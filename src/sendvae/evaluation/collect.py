"""Features of a stream of images, shared by all processes and gathered in order on the main one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sendvae.data import to_uint8
from sendvae.distributed import world_size
from sendvae.errors import UserError
from sendvae.evaluation.gather import batch_ranges, gather_rows, gather_statistics, own_share
from sendvae.evaluation.networks import FeatureNetwork, FeatureRows
from sendvae.evaluation.sources import ImageStream
from sendvae.metrics import FeatureStatistics
from sendvae.runs import progress


@dataclass(frozen=True)
class Statistics:
    """Of a set of any size: what a reference needs.

    Attributes:
        pool, spatial: accumulated features.
        picked: pooled features of some images spread evenly over the set, for precision and recall.
    """

    pool: FeatureStatistics
    spatial: FeatureStatistics | None
    picked: Float[Tensor, "M D"]


def feature_rows(
    network: FeatureNetwork, stream: ImageStream, batch_size: int, name: str
) -> FeatureRows | None:
    """Features of all images, in their order, on the main process; None on the others.

    50,000 images take 1.0 GB with Inception's spatial features and logits.

    Raises:
        UserError: features that are not finite, or more processes than batches.
    """
    batches = shared_batches(len(stream), batch_size)
    share = own_share(batches)
    parts = [rows for _, rows in _features(network, stream, share, name)]
    pool = gather_rows([rows.pool for rows in parts], batches)
    spatial, logits = (
        gather_rows(values, batches) if len(values := [part for part in column if part is not None]) else None
        for column in ([rows.spatial for rows in parts], [rows.logits for rows in parts])
    )
    return None if pool is None else FeatureRows(pool, spatial, logits)


def feature_statistics(
    network: FeatureNetwork, stream: ImageStream, batch_size: int, picked: int | None, name: str
) -> Statistics | None:
    """Statistics of a set of any size, on the main process; None on the others. No features pile up.

    Args:
        picked: how many images precision and recall see; None for all, which keeps all their features.

    Raises:
        UserError: as `feature_rows`.
    """
    batches = shared_batches(len(stream), batch_size)
    share = own_share(batches)
    count = len(stream) if picked is None else min(picked, len(stream))
    wanted = np.unique(np.linspace(0, len(stream) - 1, count).round().astype(np.int64))
    pool, spatial = FeatureStatistics(), FeatureStatistics()
    kept: list[Tensor] = []
    for positions, rows in _features(network, stream, share, name):
        pool.update(rows.pool)
        if rows.spatial is not None:
            spatial.update(rows.spatial)
        here = wanted[(wanted >= positions.start) & (wanted < positions.stop)] - positions.start
        kept.append(rows.pool[torch.from_numpy(here)])
    joined = gather_statistics(pool), gather_statistics(spatial) if spatial.count else None
    chosen = gather_rows(kept, _picked_ranges(batches, wanted))
    if joined[0] is None or chosen is None:
        return None
    return Statistics(joined[0], joined[1], chosen)


def as_uint8(images: Tensor) -> Tensor:
    return images if images.dtype == torch.uint8 else to_uint8(images)


@torch.no_grad()
def _features(
    network: FeatureNetwork, stream: ImageStream, share: Sequence[range], name: str
) -> Iterator[tuple[range, FeatureRows]]:
    device = next(network.module.buffers()).device
    exact = torch.backends.cudnn.flags(allow_tf32=False)  # TF32 convolutions move a FID in its third digit
    with exact, progress(name, sum(map(len, share))) as bar:
        for positions, images in zip(share, stream.batches(share), strict=True):
            found = network.rows(as_uint8(images).to(device))
            rows = FeatureRows(_kept(found.pool), *(v if v is None else _kept(v) for v in found[1:]))
            for kind, values in rows._asdict().items():
                if values is not None:
                    check_features(values, f"{network.name} ({kind})", positions.start, stream.source)
            yield positions, rows
            bar.advance(len(positions))


def check_features(values: Float[Tensor, "B D"], network: str, start: int, source: str) -> None:
    """
    Raises:
        UserError: a feature is not finite; names the image, counted from `start`.
    """
    finite = values.isfinite().all(1)
    if not bool(finite.all()):
        raise UserError(
            f"{network} gives features that are NaN or infinite",
            given=f"image {start + int(finite.int().argmin())} of {source}",
            next_step="check that image, and the network's weights",
        )


def _kept(values: Tensor) -> Tensor:
    return values.float().cpu()


def shared_batches(total: int, batch_size: int) -> list[range]:
    """All batches, of which every process has at least one.

    Raises:
        UserError: there are fewer than processes.
    """
    batches = batch_ranges(total, batch_size)
    if len(batches) < world_size():
        raise UserError(
            f"{world_size()} processes for {len(batches)} batches",
            expected="at least one batch for each process",
            next_step=f"use fewer processes, or batch_size={max(1, total // world_size())}",
        )
    return batches


def _picked_ranges(batches: Sequence[range], wanted: np.ndarray) -> list[range]:
    """Where the wanted images of each batch lie among all wanted ones."""
    bounds = np.searchsorted(wanted, [batch.start for batch in batches] + [batches[-1].stop])
    return [range(int(a), int(b)) for a, b in pairwise(bounds)]
