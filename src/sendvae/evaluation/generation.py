"""Generation metrics: compares samples with a reference by ADM's protocol or another."""

from __future__ import annotations

from pathlib import Path

import torch

from sendvae.config.schema_evaluate import GenerationConfig
from sendvae.data import AdmArchive, ImageSet, open_images
from sendvae.errors import UserError
from sendvae.evaluation.class_probe import open_class_probe, probe_images
from sendvae.evaluation.collect import feature_rows
from sendvae.evaluation.inputs import Images, as_images, describe_input, name_of, source_of
from sendvae.evaluation.measuring import check_metrics, choose, settings_of
from sendvae.evaluation.networks import INCEPTION, FeatureNetwork, load_network
from sendvae.evaluation.reference import Reference, measure_reference
from sendvae.evaluation.results import Result, Subject
from sendvae.evaluation.sample_record import sampling_of
from sendvae.metrics import ImageEvidence, SetEvidence
from sendvae.nn.precision import resolve_precision
from sendvae.runs import say

NOT_PROTOCOL = {"batch_size"}  # features are the same in any batch
ENOUGH = 2  # images for each dimension of the features, at least
SPLITS = ("train",)  # of a reference with several


def measure_generation(
    samples: Images,
    reference: Images | Reference,
    protocol: GenerationConfig,
    device: torch.device,
    *,
    cache: Path | None = None,
    network: FeatureNetwork | None = None,
    name: str | None = None,
) -> Result | None:
    """Return the protocol's metrics of a set of samples on the main process; None on the others.

    Args:
        samples: a source that `open_images` understands, an image set, uint8 images, or batches of them.
        reference: the same; an npz file of statistics; or one that `open_reference` measured before.
        cache: where statistics of references are kept.
        network: instead of the one that `protocol.features` names.
        name: the name of the samples in tables.

    Raises:
        UserError: sets that are too small, of different sizes, unreadable, missing weights, or unknown metrics.
    """
    check_metrics(protocol.metrics, pairs=False)
    shown = as_images(
        samples, lambda s: open_images(s, protocol.samples_split, protocol.limit), protocol.limit
    )
    network = network or load_network(protocol.features, device)
    chosen, settings = choose(protocol.metrics, network), settings_of(protocol, device)
    _check_enough(shown, protocol, "samples", source_of(samples))
    held_against = (
        reference
        if isinstance(reference, Reference)
        else open_reference(reference, protocol, device, size=_size(shown), cache=cache, network=network)
    )
    probe = None
    if chosen.needs("class hits") and isinstance(reference, str) and len(shown.class_names) > 1:
        probe = open_class_probe(reference, protocol, network, device, _size(shown), cache)
    given = describe_input(samples, shown)
    labels, sampling = sampling_of(given, protocol.labels)
    precision = resolve_precision(protocol.precision, device)
    collected = feature_rows(
        network,
        shown,
        protocol.batch_size,
        f"{name}: features of the samples" if name else "features of the samples",
        precision,
        lambda images: chosen.values(ImageEvidence(images), settings),
    )
    if collected is None:
        return None
    rows, near = collected.rows, held_against.features
    if "fd" in protocol.metrics:
        _warn_of_few(*rows.pool.shape)
    hits = probe.hits(rows.pool, shown.labels_of(range(len(shown)))) if probe else None
    found = chosen.measure(
        SetEvidence(
            rows.pool,
            rows.spatial,
            rows.logits,
            held_against.pool,
            held_against.spatial,
            near,
            hits[0] if hits else None,
        ),
        collected.values,
        settings,
    )
    if near is not None:
        found.details["images for precision and recall"] = len(near)
    if hits is not None:
        found.details["classes found in real images"] = float(hits[1].double().mean())
    subject = Subject(
        name=name or name_of(source_of(samples)),
        input=given,
        numbers=found.numbers,
        details=found.details | ({"sampling": sampling} if sampling else {}),
    )
    stated = protocol.model_dump(mode="json", exclude=NOT_PROTOCOL) | {
        "network": network.identity(),
        "resolved_precision": precision,
        "covariance": "unbiased, float64",
        "labels": labels,
    }
    return Result(
        kind="generation",
        protocol=stated,
        inputs={"reference": held_against.input},
        subjects=[subject],
        quantities=found.quantities,
    )


def check_reference(reference: str, protocol: GenerationConfig) -> None:
    """Open a reference and look up the metrics, before samples for them are drawn.

    Raises:
        UserError: there is none, it holds nothing to compare with, or an unknown metric.
    """
    check_metrics(protocol.metrics, pairs=False)
    if reference.lower().endswith(".npz"):
        AdmArchive(Path(reference))
    else:
        open_images(reference, protocol.reference_split, preferred=SPLITS)
    if "class" in protocol.metrics:
        probe_images(reference, protocol)


def open_reference(
    reference: Images,
    protocol: GenerationConfig,
    device: torch.device,
    *,
    size: int | None = None,
    cache: Path | None = None,
    network: FeatureNetwork | None = None,
) -> Reference:
    """Measure a reference, with which several sets of samples can then be compared.

    Args:
        reference: as `measure_generation` takes it.
        size: the size of the samples, to which images that are not prepared are cropped.
        cache, network: as `measure_generation` takes them.

    Raises:
        UserError: the reference is missing, or holds nothing to compare with.
    """
    images = _open_or_statistics(reference, protocol, size)
    network = network or load_network(protocol.features, device)
    return measure_reference(
        images,
        describe_input(reference, images),
        network,
        protocol.batch_size,
        protocol.precision_recall_reference,
        cache,
        resolve_precision(protocol.precision, device),
    )


def _open_or_statistics(reference: Images, protocol: GenerationConfig, size: int | None) -> ImageSet:
    """Open the reference's images; an npz file may hold statistics only."""
    if isinstance(reference, str) and reference.lower().endswith(".npz"):
        archive = AdmArchive(Path(reference), protocol.reference_limit)
        if protocol.reference_limit is not None and archive.statistics("pool"):
            raise UserError(
                "reference_limit is for images: the statistics of a file are of all its images",
                given=f"reference_limit={protocol.reference_limit}, {reference}",
                next_step="leave reference_limit out",
            )
        if len(archive) == 0 and not (protocol.features == INCEPTION and archive.statistics("pool")):
            raise UserError(
                f"{reference} holds nothing to compare with",
                given=", ".join(sorted(archive.names)) or "nothing",
                expected="images (arr_0)" + ("" if protocol.features != INCEPTION else ", or mu and sigma"),
                next_step="ADM's statistics are of Inception: use features=inception"
                if archive.statistics("pool")
                else "give images, or one of ADM's reference files",
            )
        if len(archive):
            _check_enough(archive, protocol, "reference", reference)
        return archive
    images = as_images(
        reference,
        lambda source: open_images(
            source,
            protocol.reference_split,
            protocol.reference_limit,
            size=size,
            crop=protocol.crop,
            preferred=SPLITS,
        ),
        protocol.reference_limit,
    )
    _check_enough(images, protocol, "reference", source_of(reference))
    return images


def _warn_of_few(count: int, dimension: int) -> None:
    """Warn when a covariance comes from hardly more images than it has rows, which biases the distance upwards."""
    if count < ENOUGH * dimension:
        say(
            f"note: a Frechet distance of {count:,} images in {dimension:,} dimensions is biased upwards; compare it only "
            f"with distances of as many images, or give {ENOUGH * dimension:,} or more"
        )


def _size(images: ImageSet) -> int:
    return int(images.batch([0]).images.shape[-1])


def _check_enough(images: ImageSet, protocol: GenerationConfig, name: str, source: str) -> None:
    near = {"precision", "recall"} & set(protocol.metrics)
    least = protocol.neighbours + 1 if near else 2
    if len(images) < least:
        raise UserError(
            f"{name}: too few images" + (f" for neighbours={protocol.neighbours}" if near else ""),
            given=f"{len(images)} in {source}",
            expected=f"{least} or more; ADM's protocol has 50,000 samples",
            next_step="give more images" + (", or a smaller number of neighbours" if near else ""),
        )
