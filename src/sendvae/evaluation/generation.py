"""`sendvae evaluate generation`: samples against a reference, by ADM's protocol."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sendvae.config.schema_evaluate import GenerationConfig
from sendvae.distributed import is_main, main_value
from sendvae.errors import UserError
from sendvae.evaluation.adm_archive import AdmArchive, Gaussian
from sendvae.evaluation.collect import feature_rows
from sendvae.evaluation.networks import FeatureNetwork, FeatureRows, load_network
from sendvae.evaluation.reference import INCEPTION, Reference, measure_reference
from sendvae.evaluation.results import Input, Number, Result, Subject
from sendvae.evaluation.sample_record import sampling_of
from sendvae.evaluation.sources import ImageStream, open_stream
from sendvae.metrics import (
    bootstrap_mean,
    chunk_interval,
    coverage,
    frechet_distance,
    frechet_interval,
    inception_score,
    kernel_distance,
)

NOT_PROTOCOL = {"batch_size"}  # features are the same in any batch
SPLITS = ("train",)  # of a reference with several


def score_generation(
    config: GenerationConfig,
    samples: str,
    reference: str,
    cache: Path,
    device: torch.device,
    network: FeatureNetwork | None = None,
) -> Result | None:
    """Distances, inception score, precision and recall of a set of samples; on the main process, else None.

    Args:
        samples, reference: as `open_stream` understands them; the reference may be an npz file of statistics.
        cache: where statistics of references are kept.
        network: instead of the one that `config.features` names.

    Raises:
        UserError: sets that are too small, of different sizes, unreadable, or missing weights.
    """
    stream = open_stream(samples, config.samples_split, limit=config.limit)
    _check_enough(stream, config.neighbours, "samples")
    archive = open_stream_or_statistics(reference, config, stream)
    network = network or load_network(config.features, device)
    held_against = measure_reference(
        archive, network, config.batch_size, config.precision_recall_reference, cache
    )
    given = Input(source=samples, images=len(stream), digest=main_value(stream.digest() if is_main() else ""))
    labels, sampling = sampling_of(given, config.labels)
    rows = feature_rows(network, stream, config.batch_size, "features of the samples")
    if rows is None or held_against is None:
        return None
    numbers, details = _numbers(config, network, held_against, rows, device)
    protocol = config.model_dump(mode="json", exclude=NOT_PROTOCOL) | {
        "network": network.identity(),
        "covariance": "unbiased, float64",
        "labels": labels,
    }
    subject = Subject(
        name=Path(samples.rstrip("/")).stem or samples,
        input=given,
        numbers=numbers,
        details=details | ({"sampling": sampling} if sampling else {}),
    )
    return Result(
        kind="generation", protocol=protocol, inputs={"reference": held_against.input}, subjects=[subject]
    )


def check_reference(reference: str, config: GenerationConfig) -> None:
    """Open a reference, before samples for it are drawn.

    Raises:
        UserError: there is none, or it holds nothing to compare with.
    """
    if reference.lower().endswith(".npz"):
        AdmArchive(Path(reference))
    else:
        open_stream(reference, config.reference_split, preferred=SPLITS)


def open_stream_or_statistics(reference: str, config: GenerationConfig, samples: ImageStream) -> ImageStream:
    """The reference, its images cropped to the size of the samples; of npz files, statistics are enough."""
    if reference.lower().endswith(".npz"):
        archive = AdmArchive(Path(reference))
        if len(archive) == 0 and not (config.features == INCEPTION and archive.statistics("pool")):
            raise UserError(
                f"{reference} holds nothing to compare with",
                given=", ".join(sorted(archive.names)) or "nothing",
                expected="images (arr_0)" + ("" if config.features != INCEPTION else ", or mu and sigma"),
                next_step="ADM's statistics are of Inception: use features=inception"
                if archive.statistics("pool")
                else "give images, or one of ADM's reference files",
            )
        if len(archive):
            _check_enough(archive, config.neighbours, "reference")
        return archive
    (first,) = samples.batches([range(1)])
    size = int(first.shape[-1])
    stream = open_stream(reference, config.reference_split, size, config.crop, preferred=SPLITS)
    _check_enough(stream, config.neighbours, "reference")
    return stream


def _numbers(
    config: GenerationConfig,
    network: FeatureNetwork,
    reference: Reference,
    rows: FeatureRows,
    device: torch.device,
) -> tuple[dict[str, Number], dict[str, str | int]]:
    numbers: dict[str, Number] = {}
    details: dict[str, str | int] = {}
    groups = config.intervals.jackknife
    for name, gaussian, features in (
        (network.distance, reference.pool, rows.pool),
        (f"s{network.distance}", reference.spatial, rows.spatial),
    ):
        if features is None:
            continue
        if gaussian is None:
            details[f"no {name}"] = "the reference has no statistics of these features"
            continue
        numbers[name] = _distance(gaussian, features, groups, name)
    if rows.logits is not None:
        mean, std = inception_score(rows.logits, chunk=config.score_chunk)
        chunks = -(-len(rows.logits) // config.score_chunk)
        numbers["is" + network.suffix] = Number(
            value=mean,
            interval=chunk_interval(mean, std, chunks),
            method=f"spread of {chunks} chunks" if chunks > 1 else None,
        )
    suffix = network.suffix
    if reference.features is None:
        details["no precision and recall"] = "the reference has no images"
        return numbers, details
    details["images for precision and recall"] = len(reference.features)
    near_reference, near_samples = coverage(
        reference.features.to(device),
        rows.pool.to(device),
        config.neighbours,
        half=config.distances == "adm-float16",
    )
    for name, inside in (("precision", near_reference), ("recall", near_samples)):
        interval = bootstrap_mean(inside, config.intervals.bootstrap, config.seed)
        numbers[name + suffix] = Number(
            value=float(inside.double().mean()),
            interval=interval,
            method="bootstrap over images, balls fixed" if interval else None,
        )
    if suffix:  # few images in an embedded network: the distance whose size does not depend on their number
        numbers[f"kd{suffix}"] = Number(value=kernel_distance(reference.features, rows.pool))
    return numbers, details


def _distance(gaussian: Gaussian, features: Tensor, groups: int, name: str) -> Number:
    centre = features.double().mean(0)
    if centre.shape != gaussian.mean.shape:
        raise UserError(
            f"the reference's statistics do not fit {name}",
            given=f"{len(gaussian.mean)} features",
            expected=f"{len(centre)}",
        )
    cov = torch.cov(features.double().T)
    interval = frechet_interval(gaussian.mean, gaussian.cov, features, groups)
    return Number(
        value=frechet_distance(gaussian.mean, gaussian.cov, centre, cov),
        interval=interval,
        method=f"jackknife over {groups} groups of samples" if interval else None,
    )


def _check_enough(stream: ImageStream, neighbours: int, name: str) -> None:
    if len(stream) <= neighbours:
        raise UserError(
            f"{name}: too few images for neighbours={neighbours}",
            given=f"{len(stream)} in {stream.source}",
            expected=f"{neighbours + 1} or more; ADM's protocol has 50,000 samples",
            next_step="give more images, or a smaller number of neighbours",
        )
