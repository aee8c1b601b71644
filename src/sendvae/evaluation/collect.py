"""Features of a stream of images, shared by all processes and gathered in order on the main one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sendvae.data import ImageSet
from sendvae.distributed import world_size
from sendvae.errors import UserError
from sendvae.evaluation.gather import batch_ranges, gather_rows, gather_statistics, own_share
from sendvae.evaluation.inputs import as_uint8, image_batches
from sendvae.evaluation.networks import FeatureNetwork, FeatureRows
from sendvae.nn import Moments
from sendvae.nn.precision import number_format
from sendvae.runs import progress


@dataclass(frozen=True)
class Statistics:
    """The feature statistics of an image set of any size, as a reference needs them.

    Attributes:
        pool, spatial: accumulated features.
        picked: pooled features of some images spread evenly over the set, for precision and recall.
    """

    pool: Moments
    spatial: Moments | None
    picked: Float[Tensor, "M D"]


@dataclass(frozen=True)
class Collected:
    """Features and per-image metrics of a whole image set, in its order.

    Attributes:
        rows: features.
        values: a value for each image (N,), by metric.
    """

    rows: FeatureRows
    values: dict[str, Tensor]


def feature_rows(
    network: FeatureNetwork,
    images: ImageSet,
    batch_size: int,
    name: str,
    precision: str = "fp32",
    per_image: Callable[[Tensor], dict[str, Tensor]] = lambda _: {},
) -> Collected | None:
    """Return the features of all images, in their order, on the main process; None on the others.

    50,000 images take 1.0 GB with Inception's spatial features and logits.

    Args:
        precision: resolved: "fp32" or "bf16".
        per_image: numbers of a batch of uint8 images, (B,) each.

    Raises:
        UserError: features that are not finite, or more processes than batches.
    """
    batches = shared_batches(len(images), batch_size)
    share = own_share(batches)
    parts, numbers = [], []
    for _, shown, rows in _features(network, images, share, name, precision):
        parts.append(rows)
        numbers.append(per_image(shown))
    return gather_collected(parts, numbers, batches)


def gather_collected(
    parts: Sequence[FeatureRows], numbers: Sequence[dict[str, Tensor]], batches: Sequence[range]
) -> Collected | None:
    """Gather the results of all processes on the main process; return None on the others.

    Args:
        parts, numbers: features, and numbers of every image, of each batch of this process.
        batches: the batches of all processes.
    """
    pool = gather_rows([rows.pool for rows in parts], batches)
    spatial, logits = (
        gather_rows(values, batches) if len(values := [part for part in column if part is not None]) else None
        for column in ([rows.spatial for rows in parts], [rows.logits for rows in parts])
    )
    values = {key: gather_rows([one[key] for one in numbers], batches) for key in numbers[0]}
    if pool is None:
        return None
    whole = {key: column for key, column in values.items() if column is not None}
    return Collected(FeatureRows(pool, spatial, logits), whole)


def feature_statistics(
    network: FeatureNetwork,
    images: ImageSet,
    batch_size: int,
    picked: int | None,
    name: str,
    precision: str = "fp32",
) -> Statistics | None:
    """Return statistics of a set of any size on the main process, None on the others; features are not kept.

    Args:
        picked: how many images precision and recall see; None for all, which keeps all their features.

    Raises:
        UserError: as `feature_rows`.
    """
    batches = shared_batches(len(images), batch_size)
    share = own_share(batches)
    count = len(images) if picked is None else min(picked, len(images))
    wanted = np.unique(np.linspace(0, len(images) - 1, count).round().astype(np.int64))
    pool, spatial = Moments(), Moments()
    kept: list[Tensor] = []
    for positions, _, rows in _features(network, images, share, name, precision):
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


@torch.no_grad()
def _features(
    network: FeatureNetwork, images: ImageSet, share: Sequence[range], name: str, precision: str
) -> Iterator[tuple[range, Tensor, FeatureRows]]:
    """Yield for each batch its positions, its uint8 images on the network's device, and its features on the CPU."""
    device = next(network.module.buffers()).device
    with progress(name, sum(map(len, share))) as bar:
        for positions, batch in zip(share, image_batches(images, share), strict=True):
            shown = as_uint8(batch).to(device)
            yield positions, shown, checked_features(network, shown, precision, positions.start)
            bar.advance(len(positions))


def checked_features(
    network: FeatureNetwork, images: UInt8[Tensor, "B 3 H W"], precision: str, start: int
) -> FeatureRows:
    """Return the features of a batch on the CPU, float32.

    Args:
        precision: resolved: "fp32" or "bf16".
        start: number of the first image, for messages.

    Raises:
        UserError: they are not finite.
    """
    with number_format(precision, images.device):  # TF32 would move a FID in its third digit
        found = network.rows(images)
    rows = FeatureRows(_kept(found.pool), *(v if v is None else _kept(v) for v in found[1:]))
    for kind, values in rows._asdict().items():
        if values is not None:
            check_features(values, f"{network.name} ({kind})", start)
    return rows


def check_features(values: Float[Tensor, "B D"], network: str, start: int) -> None:
    """
    Raises:
        UserError: a feature is not finite; names the image, counted from `start`.
    """
    finite = values.isfinite().all(1)
    if not bool(finite.all()):
        raise UserError(
            f"{network} gives features that are NaN or infinite",
            given=f"image {start + int(finite.int().argmin())}",
            next_step="check that image, and the network's weights",
        )


def _kept(values: Tensor) -> Tensor:
    return values.float().cpu()


def shared_batches(total: int, batch_size: int) -> list[range]:
    """Return all batches; every process has at least one of them.

    Raises:
        UserError: there are fewer batches than processes.
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
    """Return, for each batch, the range of its picked images among all picked ones."""
    bounds = np.searchsorted(wanted, [batch.start for batch in batches] + [batches[-1].stop])
    return [range(int(a), int(b)) for a, b in pairwise(bounds)]
