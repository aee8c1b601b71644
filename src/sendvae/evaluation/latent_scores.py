"""`sendvae evaluate latents`: scores of latent spaces, and what they say of generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sendvae.config.schema_evaluate import LatentsConfig
from sendvae.data import ShardImages, open_images
from sendvae.data.attribute_sets import AnnotatedImages, is_attribute_set, read_attribute_set
from sendvae.data.overview import split_names
from sendvae.distributed import is_main
from sendvae.errors import UserError
from sendvae.evaluation.encoded import EncodedRows, cache_rows, make_encoder
from sendvae.evaluation.findings import correlate_and_predict, differences_from_first, draw_scatter
from sendvae.evaluation.results import Input, Number, Result, Subject
from sendvae.evaluation.scorer import MIRRORED, Data, Scorer, explained
from sendvae.latents import LatentRows
from sendvae.nn.precision import resolve_precision
from sendvae.tokenizers import Autoencoder, load_tokenizer

NOT_PROTOCOL = {"batch_size", "correlate", "predict"}
SPLITS = ("train", "val", "test")
SCATTER = "scatter.png"


def score_latents(
    config: LatentsConfig,
    tokenizers: Sequence[str],
    known: Sequence[float | None],
    folder: Path,
    cache: Path | None,
    device: torch.device,
) -> Result | None:
    """Scores of one or several tokenizers on the same images; the result on the main process, else None.

    With gFIDs known of three or more, every score is held against them (`scatter.png`), and those of the others
    are predicted.

    Args:
        tokenizers: names, files, folders, runs or hub repositories.
        known: the gFID of each, or None.
        folder: of the picture.
        cache: where latents are kept; None encodes again for every pass over them.

    Raises:
        UserError: data without what the scores need, or latents from which one cannot be computed.
    """
    if config.discrimination.headline not in config.discrimination.components:
        raise UserError(
            "discrimination.headline is none of discrimination.components",
            given=config.discrimination.headline,
            expected=", ".join(map(str, config.discrimination.components)),
        )
    data = open_data(config)
    names = unique_names(tokenizers)
    loaded = [load_tokenizer(source) for source in tokenizers]  # all, before hours go into the first
    encoded = [
        _encoded(config, tokenizer, name, data, cache, device)
        for tokenizer, name in zip(loaded, names, strict=True)
    ]
    if not is_main():  # the processes share the encoding; what follows is the work of one
        return None
    scored = [
        _subject(config, source, name, data, *rows)
        for source, name, rows in zip(tokenizers, names, encoded, strict=True)
    ]
    subjects = [subject for subject, _ in scored]
    findings = correlate_and_predict(subjects, known, config.correlate, config.predict)
    if differences := differences_from_first(scored):
        findings["differences"] = differences
    if findings.get("correlations"):
        draw_scatter(subjects, known, findings, folder / SCATTER)
    protocol = config.model_dump(mode="json", exclude=NOT_PROTOCOL) | {
        "resolved_precision": resolve_precision(config.precision, device),
        "f1_average": "all; 0 / 0 is 0; macro counts attributes without positives",
        "crop": "ADM's centre crop, of images that are not prepared",
        "unknown_attributes": "absent",
        "standardised": "with the training split's mean and deviation, each feature",
    }
    given = Input(source=config.data, images=sum(map(len, data.images.values())), digest=data.digest)
    return Result(
        kind="latents", protocol=protocol, inputs={"data": given}, subjects=subjects, findings=findings
    )


def open_data(config: LatentsConfig) -> Data:
    """The images of every split with labels and attributes.

    Raises:
        UserError: no train or test split, or attributes asked for that the data do not have.
    """
    if is_attribute_set(config.data):
        if config.size is None:
            raise UserError("size is missing", expected="pixels of the crop", next_step="set size=256")
        table = Path(config.attributes_file) if config.attributes_file else None
        annotations = read_attribute_set(config.data, table, config.split, config.box)
        present = set(annotations.splits)
        images: dict[str, Any] = {
            split: AnnotatedImages(annotations, split, config.size, config.limit)
            for split in SPLITS
            if split in present
        }
    else:
        present = set(split_names(config.data))
        images = {
            split: open_images(config.data, split, config.limit) for split in SPLITS if split in present
        }
    missing = {"train", "test"} - images.keys()
    if missing:
        raise UserError(
            f"{config.data} has no split '{min(missing)}'",
            given=", ".join(sorted(present)),
            expected="train and test, and best val too",
        )
    labels = {split: part.labels_of(range(len(part))) for split, part in images.items()}
    attributes: dict[str, Tensor] = {}
    names: tuple[str, ...] = ()
    if all(not isinstance(part, ShardImages) or part.has_attributes() for part in images.values()):
        attributes = {split: torch.from_numpy(part.attributes.values) for split, part in images.items()}
        names = images["train"].attributes.names
    digest = " | ".join(part.fingerprint for part in images.values())
    groups = images["test"].attributes.groups if attributes else ()
    together = groups if len(set(groups)) < len(groups) else None
    return Data(images, attributes, names, labels, together, digest)


def _encoded(
    config: LatentsConfig,
    tokenizer: Autoencoder,
    name: str,
    data: Data,
    cache: Path | None,
    device: torch.device,
) -> tuple[dict[str, LatentRows], str]:
    """Latents by split (and of the mirrored training images), and the digest of the weights."""
    encoder = make_encoder(tokenizer, device, config.latent, config.precision, config.seed, config.batch_size)
    wanted = {split: (encoder, images) for split, images in data.images.items()}
    if "uniformity" in config.scores and config.uniformity.flips:
        wanted[MIRRORED] = (replace(encoder, mirrored=True), data.images["train"])
    rows: dict[str, LatentRows] = {
        split: EncodedRows(view, images)
        if cache is None
        else cache_rows(view, images, cache, f"{name}: {split} latents")
        for split, (view, images) in wanted.items()
    }
    return rows, encoder.weights


def _subject(
    config: LatentsConfig, source: str, name: str, data: Data, rows: dict[str, LatentRows], digest: str
) -> tuple[Subject, dict[str, Tensor]]:
    """The scores, and those of every resample of the test split."""
    shape = tuple(rows["train"].batch(np.arange(1)).shape[1:])
    scorer = Scorer(config, data, rows, shape)
    numbers: dict[str, Number] = {}
    for score in config.scores:
        with explained(score, name):
            numbers |= getattr(scorer, score)()
    subject = Subject(
        name=name,
        input=Input(source=source, digest=f"tensors:{digest}"),
        numbers=numbers,
        details={"latent": list(shape), **scorer.details},
    )
    return subject, scorer.resampled


def unique_names(sources: Sequence[str]) -> list[str]:
    """The last part of each path or name; of those that share it, the last in which they differ."""
    parts = [Path(source).parts for source in sources]
    names = [part[-1] for part in parts]
    while alike := {i for i, name in enumerate(names) if names.count(name) > 1 and len(parts[i]) > 1}:
        for i in alike:
            parts[i] = parts[i][:-1]
            names[i] = parts[i][-1]
    return [source if names.count(name) > 1 else name for source, name in zip(sources, names, strict=True)]
