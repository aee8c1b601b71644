"""Reconstruction metrics of a tokenizer, per image and as a distribution."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from sendvae.autoencoding import load_perceptual
from sendvae.config.schema_evaluate import ReconstructionConfig
from sendvae.data import ImageSet, open_images, to_float, to_uint8
from sendvae.errors import UserError
from sendvae.evaluation.collect import (
    Collected,
    Statistics,
    checked_features,
    gather_collected,
    shared_batches,
)
from sendvae.evaluation.encoded import noise
from sendvae.evaluation.gallery import Pair, save_gallery
from sendvae.evaluation.gather import own_share
from sendvae.evaluation.inputs import (
    IN_MEMORY,
    Images,
    as_images,
    as_uint8,
    describe_input,
    image_batches,
    source_of,
)
from sendvae.evaluation.measuring import Chosen, check_metrics, choose, settings_of
from sendvae.evaluation.networks import FeatureNetwork, FeatureRows, load_network
from sendvae.evaluation.reference import image_statistics
from sendvae.evaluation.results import Input, Result, Subject
from sendvae.files import write_text
from sendvae.metrics import Gaussian, ImageEvidence, SetEvidence, Settings
from sendvae.nn import weights_digest
from sendvae.nn.precision import number_format, resolve_precision
from sendvae.runs import progress
from sendvae.tokenizers import Tokenizer, check_fit, load_tokenizer

NOT_PROTOCOL = {"batch_size", "worst"}
SPLITS = ("test", "val")  # of a data set with several
CSV, GALLERY = "images.csv", "worst.png"


@dataclass(frozen=True)
class Loss:
    """The networks and settings by which every batch is measured.

    Attributes:
        protocol, chosen, settings: what is measured, and how.
        model, network: the networks, on the same device; `perceptual` is a distance of two float batches.
        precision: resolved.
    """

    protocol: ReconstructionConfig
    chosen: Chosen
    settings: Settings
    model: Tokenizer
    network: FeatureNetwork
    perceptual: Callable[[Tensor, Tensor], Tensor] | None
    precision: str


def measure_reconstruction(
    tokenizer: str | Tokenizer,
    data: Images,
    protocol: ReconstructionConfig,
    device: torch.device,
    *,
    folder: Path | None = None,
    cache: Path | None = None,
    network: FeatureNetwork | None = None,
    perceptual: nn.Module | None = None,
    name: str | None = None,
) -> Result | None:
    """Return the protocol's metrics of a tokenizer's reconstructions on the main process; None on the others.

    Args:
        tokenizer: name, file, folder, run or hub repository; or one in memory.
        data: a source that `open_images` understands, an image set, uint8 images, or batches of them.
        folder: gets a row per image in `images.csv` and the worst images in `worst.png`; None: neither is written.
        cache: where the features' statistics of the originals are kept for other tokenizers; None: nowhere.
        network, perceptual: instead of those that the protocol names.
        name: the name of the tokenizer in tables.

    Raises:
        UserError: unreadable images, images that do not fit the tokenizer, missing weights, or unknown metrics.
    """
    check_metrics(protocol.metrics, pairs=True)
    images = as_images(
        data,
        lambda source: open_images(
            source,
            protocol.split,
            protocol.limit,
            size=protocol.size,
            crop=protocol.crop,
            preferred=SPLITS,
        ),
        protocol.limit,
    )
    if len(images) < 2:
        raise UserError(
            "reconstruction metrics need two images or more", given=f"{len(images)} in {source_of(data)}"
        )
    network = network or load_network(protocol.features, device)
    chosen = choose(protocol.metrics, network, protocol.perceptual)
    model = (load_tokenizer(tokenizer) if isinstance(tokenizer, str) else tokenizer).to(device).eval()
    if "perceptual" in protocol.metrics:
        perceptual = (perceptual or load_perceptual(protocol.perceptual)).to(device)
    precision = resolve_precision(protocol.precision, device)
    loss = Loss(protocol, chosen, settings_of(protocol, device), model, network, perceptual, precision)
    given = describe_input(data, images)
    source = tokenizer if isinstance(tokenizer, str) else IN_MEMORY
    title = name or Path(source.rstrip("/")).name
    collected = _collect(loss, images, device, f"{title}: reconstruction")
    originals = image_statistics(
        images,
        given.digest,
        network,
        protocol.batch_size,
        "features of the originals",
        cache=cache,
        precision=precision,
    )
    if collected is None or originals is None:
        return None
    evidence, values = _evidence_of(collected.rows, originals), collected.values
    files = _write(loss, images, values, folder, device) if folder is not None else []
    found = chosen.measure(evidence, values, loss.settings)
    subject = Subject(
        name=title,
        input=Input(source=source, images=len(images), digest=f"tensors:{weights_digest(model)}"),
        numbers=found.numbers,
        details={"files": files, **found.details},
    )
    stated = protocol.model_dump(mode="json", exclude=NOT_PROTOCOL) | {
        "network": network.identity(),
        "perceptual_weights": weights_digest(perceptual) if perceptual is not None else None,
        "resolved_precision": precision,
    }
    return Result(
        kind="reconstruction",
        protocol=stated,
        inputs={"data": given},
        subjects=[subject],
        quantities=found.quantities,
    )


@torch.no_grad()
def reconstruct(
    tokenizer: Tokenizer, images: UInt8[Tensor, "B 3 H W"], precision: str = "fp32"
) -> UInt8[Tensor, "B 3 H W"]:
    """Yield the decoded posterior mean of each image, in batches.

    Args:
        precision: "fp32", "bf16", or "auto" for bf16 where the device computes in it.
    """
    device = next(tokenizer.parameters()).device
    with number_format(resolve_precision(precision, device), device):
        decoded = tokenizer.decode(tokenizer.encode(to_float(images.to(device))).mode())
    return to_uint8(decoded).cpu()


@torch.no_grad()
def _collect(loss: Loss, images: ImageSet, device: torch.device, name: str) -> Collected | None:
    """Return features of the reconstructions and metrics of each image on the main process; None on the others."""
    batches = shared_batches(len(images), loss.protocol.batch_size)
    share = own_share(batches)
    parts: list[FeatureRows] = []
    numbers: list[dict[str, Tensor]] = []
    with progress(name, sum(map(len, share))) as bar:
        for positions, batch in zip(share, image_batches(images, share), strict=True):
            evidence = _evidence(loss, batch.to(device), positions)
            parts.append(checked_features(loss.network, evidence.images, loss.precision, positions.start))
            numbers.append(loss.chosen.values(evidence, loss.settings))
            bar.advance(len(positions))
    return gather_collected(parts, numbers, batches)


def _evidence_of(copies: FeatureRows, originals: Statistics) -> SetEvidence:
    """Return the evidence of set metrics, with reconstructions as samples and originals as reference."""
    whole, layout = (
        None if found is None else Gaussian(found.mean, found.cov)
        for found in (originals.pool, originals.spatial)
    )
    return SetEvidence(copies.pool, copies.spatial, copies.logits, whole, layout, originals.picked)


def _evidence(loss: Loss, images: Tensor, positions: range) -> ImageEvidence:
    """Return the evidence of image metrics: a batch and its reconstruction, rounded to 8 bits and exact."""
    exact = to_float(images) if images.dtype == torch.uint8 else images
    copies = _decoded(loss, exact, positions)
    return ImageEvidence(to_uint8(copies), copies, as_uint8(images), exact, loss.perceptual)


def _decoded(loss: Loss, x: Float[Tensor, "B 3 H W"], positions: range) -> Float[Tensor, "B 3 H W"]:
    """Return float reconstructions, not clamped.

    Raises:
        UserError: they are not finite.
    """
    protocol = loss.protocol
    check_fit(loss.model, x)
    with number_format(loss.precision, x.device):
        posterior = loss.model.encode(x)
        z = posterior.mode()
        if protocol.latent == "sample":
            z = posterior.sample(noise=noise(z, positions, protocol.seed))
        copies = loss.model.decode(z).float()
    finite = copies.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        raise UserError(
            "the tokenizer gives reconstructions that are NaN or infinite",
            given=f"of image {positions[int(finite.int().argmin())]}",
            next_step="check its weights; precision=fp32 if it ran in bf16",
        )
    return copies


def _write(
    loss: Loss, images: ImageSet, values: Mapping[str, Tensor], folder: Path, device: torch.device
) -> list[str]:
    """Write the table of all images and the gallery of the worst; return the names of the files."""
    named = {loss.chosen.name(key): column for key, column in values.items()}
    if not named:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CSV, _csv(images.keys, named))
    if not loss.protocol.worst:
        return [CSV]
    key = "perceptual" if "perceptual" in values else next(iter(values))
    descending = not loss.chosen.images[key].quantity.higher_is_better
    order = values[key].argsort(descending=descending, stable=True)[: loss.protocol.worst].tolist()
    save_gallery(_pairs(loss, images, order, named, device), folder / GALLERY)
    return [CSV, GALLERY]


def _csv(keys: Sequence[str], values: Mapping[str, Tensor]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *values])
    columns = [column.tolist() for column in values.values()]
    writer.writerows([key, *row] for key, *row in zip(keys, *columns, strict=True))
    return text.getvalue()


@torch.no_grad()
def _pairs(
    loss: Loss,
    images: ImageSet,
    order: Sequence[int],
    values: Mapping[str, Tensor],
    device: torch.device,
) -> list[Pair]:
    """Return the images at `order` with their reconstructions, computed again since not all are kept in memory."""
    pairs: dict[int, tuple[UInt8[Tensor, "3 H W"], UInt8[Tensor, "3 H W"]]] = {}
    wanted = [range(i, i + 1) for i in sorted(order)]
    for positions, batch in zip(wanted, image_batches(images, wanted), strict=True):
        evidence = _evidence(loss, batch.to(device), positions)
        assert evidence.originals is not None
        pairs[positions.start] = evidence.originals[0].cpu(), evidence.images[0].cpu()
    captions = {
        i: f"{images.keys[i]}: " + ", ".join(f"{name} {float(v[i]):.4g}" for name, v in values.items())
        for i in order
    }
    return [Pair(*pairs[i], captions[i]) for i in order]
