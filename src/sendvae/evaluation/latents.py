"""Computes scores of latent spaces, and relates them to generation quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from sendvae.config.schema_evaluate import LatentsConfig
from sendvae.data import AttributeOptions, AttributeTable, ImageSet, ShardImages, open_splits
from sendvae.data.attribute_sets import is_attribute_set
from sendvae.distributed import is_main
from sendvae.errors import UserError
from sendvae.evaluation.encoded import EncodedRows, cache_rows, make_encoder
from sendvae.evaluation.findings import correlate_and_predict, differences_from_first, draw_scatter
from sendvae.evaluation.inputs import IN_MEMORY
from sendvae.evaluation.networks import FeatureJudge, load_network
from sendvae.evaluation.results import Input, Result, Subject
from sendvae.evaluation.scorer import Data, Scored, score_latents
from sendvae.latents import MIRRORED, SCORES, LatentRows
from sendvae.nn.precision import resolve_precision
from sendvae.tokenizers import Tokenizer, load_tokenizer

NOT_PROTOCOL = {"batch_size", "correlate", "predict"}
SPLITS = ("train", "val", "test")
SCATTER = "scatter.png"


@dataclass(frozen=True)
class Encoded:
    """A tokenizer with latents that are encoded already.

    Attributes:
        name: the name in tables.
        rows: latents by split ("train", "val", "test"); those of mirrored training images under `MIRRORED`.
        digest: the digest of the weights.
        source: where the tokenizer came from.
        decode: raw latents to images in [-1, 1], on the device of the rows; None leaves out the scores that need it.
        one_size: whether it takes latents of their shape only.
    """

    name: str
    rows: Mapping[str, LatentRows]
    digest: str
    source: str = IN_MEMORY
    decode: Callable[[Tensor], Tensor] | None = None
    one_size: bool = False


def measure_latents(
    tokenizers: Sequence[str | Encoded],
    data: str | Mapping[str, ImageSet],
    protocol: LatentsConfig,
    device: torch.device,
    *,
    known: Sequence[float | None] | None = None,
    folder: Path | None = None,
    cache: Path | None = None,
) -> Result | None:
    """Score one or several tokenizers on the same images; return the result on the main process, else None.

    If the gFIDs of three or more are known, every score is correlated with them (`scatter.png`), and the gFIDs of
    the others are predicted.

    Args:
        tokenizers: names, files, folders, runs or hub repositories; or latents that were encoded before.
        data: a source of images with splits, or the image sets by split.
        known: the gFID of each, or None.
        folder: the folder of the picture; None: it is not drawn.
        cache: where latents are kept; None encodes again for every pass over them.

    Raises:
        UserError: an unknown score, data without what the scores need, or latents from which one cannot be computed.
    """
    for score in protocol.scores:
        SCORES[score]  # an unknown name is an error before anything is encoded
    if protocol.discrimination.headline not in protocol.discrimination.components:
        raise UserError(
            "discrimination.headline is none of discrimination.components",
            given=protocol.discrimination.headline,
            expected=", ".join(map(str, protocol.discrimination.components)),
        )
    if isinstance(data, str):
        protocol = protocol.model_copy(update={"data": data})
        known_images = described(open_data(protocol))
    else:
        if protocol.limit is not None and any(len(part) > protocol.limit for part in data.values()):
            raise ValueError("the sets hold more images than protocol.limit says")
        known_images = described(data)
    judge = None
    if "ifid" in protocol.scores:
        judge = FeatureJudge(load_network(protocol.ifid.features, device), device)
    known = [None] * len(tokenizers) if known is None else known
    ready = _encode_all(protocol, tokenizers, known_images, cache, device)
    if not is_main():  # the processes share the encoding; what follows is the work of one
        return None
    subjects, quantities = [], {}
    for one in ready:
        scored = score_latents(one.name, protocol, known_images, one.rows, one.decode, one.one_size, judge)
        subjects.append(_subject(one, scored))
        quantities |= scored.quantities
    findings = correlate_and_predict(subjects, known, protocol.correlate, protocol.predict)
    if differences := differences_from_first(subjects):
        findings["differences"] = differences
    if findings.get("correlations") and folder is not None:
        draw_scatter(subjects, known, findings, folder / SCATTER)
    stated = protocol.model_dump(mode="json", exclude=NOT_PROTOCOL) | {
        "resolved_precision": resolve_precision(protocol.precision, device),
        "f1_average": "all; 0 / 0 is 0; macro counts attributes without positives",
        "crop": "ADM's centre crop, of images that are not prepared",
        "unknown_attributes": "absent",
        "standardised": "with the training split's mean and deviation, each feature",
    }
    sets = known_images.images.values()
    given = Input(source=protocol.data, images=sum(map(len, sets)), digest=known_images.digest)
    return Result(
        kind="latents",
        protocol=stated,
        inputs={"data": given},
        subjects=subjects,
        quantities=quantities,
        findings=findings,
    )


def open_data(protocol: LatentsConfig) -> dict[str, ImageSet]:
    """Open the images of every split that the protocol's data have.

    Raises:
        UserError: no such data.
    """
    table = Path(protocol.attributes_file) if protocol.attributes_file else None
    options = AttributeOptions(table, protocol.split, protocol.box)
    size = protocol.size if is_attribute_set(protocol.data) else None
    return open_splits(protocol.data, SPLITS, protocol.limit, size=size, options=options)


def described(images: Mapping[str, ImageSet]) -> Data:
    """Return images by split with their labels, attributes, and the groups of the test images.

    Raises:
        UserError: no train or test split.
    """
    missing = {"train", "test"} - images.keys()
    if missing:
        raise UserError(
            f"there is no split '{min(missing)}'",
            given=", ".join(sorted(images)) or "none",
            expected="train and test, and best val too",
            next_step="prepare the images with shares held out: "
            "sendvae data prepare SOURCE DST --val-fraction 0.1 --test-fraction 0.2",
        )
    labels = {split: part.labels_of(range(len(part))) for split, part in images.items()}
    tables = {split: attributes_of(part) for split, part in images.items()}
    known = {split: table for split, table in tables.items() if table is not None}
    if len(known) < len(images):
        known = {}
    groups = known["test"].groups if known else ()
    return Data(
        images=dict(images),
        attributes={split: torch.from_numpy(table.values) for split, table in known.items()},
        attribute_names=known["train"].names if known else (),
        labels=labels,
        groups=groups if len(set(groups)) < len(groups) else None,
        digest=" | ".join(part.fingerprint for part in images.values()),
    )


def attributes_of(images: ImageSet) -> AttributeTable | None:
    """Return the attribute table of an image set; None if it has none."""
    if isinstance(images, ShardImages) and not images.has_attributes():
        return None
    return getattr(images, "attributes", None)


def _encode_all(
    protocol: LatentsConfig,
    tokenizers: Sequence[str | Encoded],
    data: Data,
    cache: Path | None,
    device: torch.device,
) -> list[Encoded]:
    sources = [one for one in tokenizers if isinstance(one, str)]
    names = dict(zip(sources, unique_names(sources), strict=True))
    loaded = {
        source: load_tokenizer(source, latent_space=protocol.latent_space) for source in names
    }  # all, before hours go into the first
    return [
        _encoded(protocol, loaded[one], one, names[one], data, cache, device) if isinstance(one, str) else one
        for one in tokenizers
    ]


def _encoded(
    protocol: LatentsConfig,
    tokenizer: Tokenizer,
    source: str,
    name: str,
    data: Data,
    cache: Path | None,
    device: torch.device,
) -> Encoded:
    encoder = make_encoder(
        tokenizer, device, protocol.latent, protocol.precision, protocol.seed, protocol.batch_size
    )
    wanted = {split: (encoder, images) for split, images in data.images.items()}
    if "uniformity" in protocol.scores and protocol.uniformity.flips:
        wanted[MIRRORED] = (replace(encoder, mirrored=True), data.images["train"])
    rows: dict[str, LatentRows] = {
        split: EncodedRows(view, images)
        if cache is None
        else cache_rows(view, images, cache, f"{name}: {split} latents")
        for split, (view, images) in wanted.items()
    }
    return Encoded(name, rows, encoder.weights, source, encoder.decode, tokenizer.one_size)


def _subject(one: Encoded, scored: Scored) -> Subject:
    return Subject(
        name=one.name,
        input=Input(source=one.source, digest=f"tensors:{one.digest}"),
        numbers=scored.numbers,
        details=scored.details,
        resampled={name: values.tolist() for name, values in scored.resampled.items()},
        without={name: values.tolist() for name, values in scored.without.items()},
        repeats={name: list(values) for name, values in scored.repeats.items()},
    )


def unique_names(sources: Sequence[str]) -> list[str]:
    """Return the last part of each path or name; if some share it, the last part in which they differ."""
    parts = [Path(source).parts for source in sources]
    names = [part[-1] for part in parts]
    while alike := {i for i, name in enumerate(names) if names.count(name) > 1 and len(parts[i]) > 1}:
        for i in alike:
            parts[i] = parts[i][:-1]
            names[i] = parts[i][-1]
    return [source if names.count(name) > 1 else name for source, name in zip(sources, names, strict=True)]
