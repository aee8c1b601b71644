"""The reference of generation metrics: ADM's stored statistics, or images that are measured once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from sendvae.data import AdmArchive, ImageSet
from sendvae.distributed import is_main, main_value
from sendvae.evaluation.collect import Statistics, feature_statistics
from sendvae.evaluation.networks import INCEPTION, FeatureNetwork
from sendvae.evaluation.results import Input
from sendvae.metrics import Gaussian
from sendvae.nn import Moments
from sendvae.runs import CacheKey, load_statistics, locked, save_statistics


@dataclass(frozen=True)
class Reference:
    """Feature statistics with which samples are compared.

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
    images: ImageSet,
    given: Input,
    network: FeatureNetwork,
    batch_size: int,
    picked: int | None = None,
    cache: Path | None = None,
    precision: str = "fp32",
) -> Reference:
    """Measure a reference; the main process gets all of it, the others its input only.

    Statistics that an npz file stores take precedence over its images, as in ADM's evaluator.

    Args:
        given: describes the images.
        picked: how many images precision and recall see; None for all.
        cache: where what is measured is kept, under the digests of the images and of the network; None: nowhere.
        precision: the precision of the network, resolved.

    Raises:
        UserError: images that cannot be read, or features that are not finite.
    """
    archive = images if isinstance(images, AdmArchive) and network.name == INCEPTION else None
    stored = {kind: archive.statistics(kind) if archive is not None else None for kind in ("pool", "spatial")}
    pool, spatial = (None if found is None else Gaussian(*found) for found in stored.values())
    if pool is not None and len(images) == 0:
        return Reference(pool, spatial, None, given, stored=True)
    measured = image_statistics(
        images, given.digest, network, batch_size, "features of the reference", picked, cache, precision
    )
    if measured is None:
        return Reference(None, None, None, given, stored=False)
    if pool is not None:
        return Reference(pool, spatial, measured.picked, given, stored=True)
    pool = Gaussian(measured.pool.mean, measured.pool.cov)
    if measured.spatial is not None:
        spatial = Gaussian(measured.spatial.mean, measured.spatial.cov)
    return Reference(pool, spatial, measured.picked, given, stored=False)


def image_statistics(
    images: ImageSet,
    digest: str,
    network: FeatureNetwork,
    batch_size: int,
    name: str,
    picked: int | None = None,
    cache: Path | None = None,
    precision: str = "fp32",
) -> Statistics | None:
    """Return feature statistics of a set, measured or cached, on the main process; None on the others.

    Args:
        digest: the digest of the images.
        name: the name of the progress bar.
        picked, cache, precision: as `measure_reference` takes them.

    Raises:
        UserError: as `measure_reference`.
    """

    def measure() -> Statistics | None:
        return feature_statistics(network, images, batch_size, picked, name, precision)

    if picked is not None:
        picked = None if picked >= len(images) else picked  # then it is all of them, as None says
    if cache is None:
        return measure()
    content = {"images": digest, "network": network.identity(), "precision": precision, "picked": picked}
    key = CacheKey("reference", network.name, images.source, content)
    found = _load(cache, key) if is_main() else None
    if main_value(found is not None):
        return found
    with locked(cache / key.name):
        found = _load(cache, key) if is_main() else None  # another command may have measured it meanwhile
        if main_value(found is not None):
            return found
        measured = measure()
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
    """Return the cached statistics of a key; None if there are none or they are damaged."""
    tensors = load_statistics(cache, key)
    if tensors is None:
        return None
    parts: dict[str, Moments | None] = {"pool": None, "spatial": None}
    for name in parts:
        if f"{name}.count" in tensors:
            state = {key: tensors[f"{name}.{key}"] for key in ("count", "mean", "scatter")}
            parts[name] = Moments.from_state(state)
    assert parts["pool"] is not None
    return Statistics(parts["pool"], parts["spatial"], tensors["picked"])
