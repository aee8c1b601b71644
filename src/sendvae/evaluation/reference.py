"""The reference of generation metrics: ADM's stored statistics, or any images, measured once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from sendvae.distributed import is_main, main_value
from sendvae.evaluation.adm_archive import AdmArchive, Gaussian
from sendvae.evaluation.collect import Statistics, feature_statistics
from sendvae.evaluation.networks import FeatureNetwork
from sendvae.evaluation.results import Input
from sendvae.evaluation.sources import ImageStream
from sendvae.metrics import FeatureStatistics
from sendvae.runs import CacheKey, load_statistics, locked, save_statistics

INCEPTION = "inception"  # the one network whose statistics ADM's files hold


@dataclass(frozen=True)
class Reference:
    """What samples are held against.

    Attributes:
        pool, spatial: Gaussians of features; None where the source has none.
        features: pooled features of the images for precision and recall, or None.
        input: where it came from.
        stored: whether the Gaussians were in the file, and are of other images than `features`.
    """

    pool: Gaussian | None
    spatial: Gaussian | None
    features: Float[Tensor, "M D"] | None
    input: Input
    stored: bool


def measure_reference(
    stream: ImageStream, network: FeatureNetwork, batch_size: int, picked: int | None, cache: Path
) -> Reference | None:
    """The reference on the main process; None on the others.

    What an npz file says of its features wins over its images, as in ADM's evaluator. Everything measured is
    kept in `cache` under the digests of the images and of the network.

    Raises:
        UserError: images that cannot be read, or features that are not finite.
    """
    digest = main_value(stream.digest() if is_main() else "")
    given = Input(source=stream.source, images=len(stream), digest=digest)
    archive = stream if isinstance(stream, AdmArchive) and network.name == INCEPTION else None
    pool = archive.statistics("pool") if archive is not None else None
    spatial = archive.statistics("spatial") if archive is not None else None
    if archive is not None and pool is not None and len(stream) == 0:
        return Reference(pool, spatial, None, given, stored=True)
    measured = _cached(stream, digest, network, batch_size, picked, cache)
    if measured is None:
        return None
    if pool is not None:
        return Reference(pool, spatial, measured.picked, given, stored=True)
    pool = Gaussian(measured.pool.mean, measured.pool.cov)
    if measured.spatial is not None:
        spatial = Gaussian(measured.spatial.mean, measured.spatial.cov)
    return Reference(pool, spatial, measured.picked, given, stored=False)


def _cached(
    stream: ImageStream,
    digest: str,
    network: FeatureNetwork,
    batch_size: int,
    picked: int | None,
    cache: Path,
) -> Statistics | None:
    if picked is not None:
        picked = None if picked >= len(stream) else picked  # then it is all of them, as None says
    content = {"images": digest, "network": network.identity(), "picked": picked}
    key = CacheKey("reference", network.name, stream.source, content)
    found = _load(cache, key) if is_main() else None
    if main_value(found is not None):
        return found
    with locked(cache / key.name):
        found = _load(cache, key) if is_main() else None  # another command may have measured it meanwhile
        if main_value(found is not None):
            return found
        measured = feature_statistics(network, stream, batch_size, picked, "features of the reference")
        if measured is not None:
            save_statistics(cache, key, _tensors(measured))
    return measured


def _tensors(measured: Statistics) -> dict[str, Tensor]:
    tensors = {"picked": measured.picked}
    for name, statistics in (("pool", measured.pool), ("spatial", measured.spatial)):
        if statistics is not None:
            tensors |= {f"{name}.{key}": value for key, value in statistics.state().items()}
    return tensors


def _load(cache: Path, key: CacheKey) -> Statistics | None:
    """The statistics of a key, None where there are none that are whole."""
    tensors = load_statistics(cache, key)
    if tensors is None:
        return None
    parts: dict[str, FeatureStatistics | None] = {"pool": None, "spatial": None}
    for name in parts:
        if f"{name}.count" in tensors:
            state = {key: tensors[f"{name}.{key}"] for key in ("count", "mean", "scatter")}
            parts[name] = FeatureStatistics.from_state(state)
    assert parts["pool"] is not None
    return Statistics(parts["pool"], parts["spatial"], tensors["picked"])
