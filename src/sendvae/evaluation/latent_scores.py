"""`sendvae evaluate latents`: scores of latent spaces, and what they say of generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sendvae.config.schema_evaluate import LatentsConfig
from sendvae.data import ImageSet, ShardImages, open_images
from sendvae.data.attribute_sets import AnnotatedImages, is_attribute_set, read_attribute_set
from sendvae.data.overview import split_names
from sendvae.distributed import is_main
from sendvae.errors import UserError
from sendvae.evaluation.encoded import EncodedRows, cache_rows, make_encoder
from sendvae.evaluation.findings import correlate_and_predict, draw_scatter
from sendvae.evaluation.networks import weights_digest
from sendvae.evaluation.results import Input, Number, Result, Subject
from sendvae.latents import (
    LatentRows,
    MinibatchFit,
    attribute_probe,
    mixture_scores,
    semantic_gap,
    uniformity,
)
from sendvae.nn.precision import resolve_precision
from sendvae.tokenizers import load_tokenizer

NOT_PROTOCOL = {"batch_size", "correlate", "predict"}
SPLITS = ("train", "val", "test")
# Of latents that the full-batch probes may gather; they hold about four times as much.
FULL_BATCH_BYTES = 2**30
SCATTER = "scatter.png"


@dataclass(frozen=True)
class Data:
    """Images by split, and what is known of them; "val" may be missing."""

    images: dict[str, ImageSet]
    attributes: dict[str, Tensor]
    attribute_names: tuple[str, ...]
    labels: dict[str, Tensor]
    digest: str


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
    encoded = [
        _encoded(config, source, name, data, cache, device)
        for source, name in zip(tokenizers, names, strict=True)
    ]
    if not is_main():  # the processes share the encoding; what follows is the work of one
        return None
    subjects = [
        _subject(config, source, name, data, *rows)
        for source, name, rows in zip(tokenizers, names, encoded, strict=True)
    ]
    findings = correlate_and_predict(subjects, known, config.correlate, config.predict)
    if findings.get("correlations"):
        draw_scatter(subjects, known, findings, folder / SCATTER)
    protocol = config.model_dump(mode="json", exclude=NOT_PROTOCOL) | {
        "resolved_precision": resolve_precision(config.precision, device),
        "f1_average": "all; 0 / 0 is 0; macro counts attributes without positives",
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
        annotations = read_attribute_set(config.data, table, config.split)
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
    return Data(images, attributes, names, labels, digest)


def _encoded(
    config: LatentsConfig, source: str, name: str, data: Data, cache: Path | None, device: torch.device
) -> tuple[dict[str, LatentRows], str]:
    """Latents by split, and the digest of the weights."""
    tokenizer = load_tokenizer(source)
    encoder = make_encoder(tokenizer, device, config.latent, config.precision, config.seed, config.batch_size)
    rows: dict[str, LatentRows] = {
        split: EncodedRows(encoder, images)
        if cache is None
        else cache_rows(encoder, images, cache, f"{name}: {split} latents")
        for split, images in data.images.items()
    }
    return rows, weights_digest(tokenizer)


def _subject(
    config: LatentsConfig, source: str, name: str, data: Data, rows: dict[str, LatentRows], digest: str
) -> Subject:
    shape = tuple(rows["train"].batch(np.arange(1)).shape[1:])
    scorer = Scorer(config, name, data, rows, shape)
    numbers: dict[str, float] = {}
    for score in config.scores:
        with explained(score, name):
            numbers |= getattr(scorer, score)()
    return Subject(
        name=name,
        input=Input(source=source, digest=f"tensors:{digest}"),
        numbers={key: Number(value=value) for key, value in numbers.items()},
        details={"latent": list(shape), **scorer.details},
    )


class Scorer:
    """The scores of one tokenizer, a method each, named as in `LatentsConfig.scores`."""

    def __init__(
        self,
        config: LatentsConfig,
        name: str,
        data: Data,
        rows: dict[str, LatentRows],
        shape: tuple[int, ...],
    ) -> None:
        self.config, self.name, self.data, self.rows, self.shape = config, name, data, rows, shape
        self.details: dict[str, Any] = {}
        small = config.minibatch
        self.minibatch = MinibatchFit(small.epochs, small.batch_size, small.lr, config.seed)

    def attributes(self) -> dict[str, float]:
        if not self.data.attributes:
            self.details["no attributes"] = f"{self.config.data} has none"
            return {}
        chosen = self.config.attributes
        if chosen.method == "logistic":
            self._check_full_batch("attributes.method=logistic", "attributes.method=ridge", flat=True)
        attributes, rows = self.data.attributes, self.rows
        probe = attribute_probe(
            rows["train"],
            attributes["train"],
            rows["test"],
            attributes["test"],
            val_latents=rows.get("val"),
            val_attributes=attributes.get("val"),
            method=chosen.method,
            weight_decay=chosen.weight_decay,
            minibatch=self.minibatch,
        )
        fields = probe.as_dict()
        self.details["f1"] = dict(zip(self.data.attribute_names, fields.pop("f1"), strict=True))
        names = [key for key in fields if key.startswith(("f1_", "recall_"))]
        self.details["probe"] = {key: value for key, value in fields.items() if key not in names}
        # The headline first, in all tables.
        names.sort(key=lambda key: key != f"f1_{chosen.headline}")
        return {key: fields[key] for key in names if fields[key] is not None}

    def gap(self) -> dict[str, float]:
        labels, chosen = self.data.labels, self.config.gap
        if len(labels["train"].unique()) < 2:
            self.details["no gap"] = f"{self.config.data} has one class only"
            return {}
        accuracies = {}
        for pool in chosen.pools:
            if chosen.method == "full-batch":
                self._check_full_batch("gap.method=full-batch", "gap.method=minibatch", pool == "flatten")
            accuracies[f"gap_{pool}"] = semantic_gap(
                self.rows["train"],
                labels["train"],
                self.rows["test"],
                labels["test"],
                pool,
                chosen.weight_decay,
                method=chosen.method,
                minibatch=self.minibatch,
            )
        return accuracies

    def uniformity(self) -> dict[str, float]:
        chosen = self.config.uniformity
        found = uniformity(
            self.rows["train"], chosen.projection, chosen.samples, chosen.repeats, self.config.seed
        )
        return {f"uniformity_{key}": value for key, value in asdict(found).items()}

    def discrimination(self) -> dict[str, float]:
        chosen = self.config.discrimination
        seeds = [self.config.seed + i for i in range(chosen.repeats)]
        found = mixture_scores(
            self.rows["train"],
            self.rows["test"],
            chosen.components,
            chosen.dimensions,
            seeds,
            chosen.covariance,
        )
        self.details["discrimination"] = asdict(found)
        nll = {mixture.components: mixture.nll for mixture in found.mixtures}
        curve = {f"discrimination_nll_{count}": value for count, value in nll.items()}
        return {"discrimination_nll": nll[chosen.headline], **(curve if len(curve) > 1 else {})}

    def _check_full_batch(self, choice: str, instead: str, flat: bool) -> None:
        features = torch.Size(self.shape).numel() if flat else self.shape[0]
        needed = 4 * len(self.rows["train"]) * features
        if needed > FULL_BATCH_BYTES:
            raise UserError(
                f"{choice} holds all training latents in memory",
                given=f"{len(self.rows['train']):,} x {features:,} values, {needed / 2**30:.1f} GiB",
                expected=f"at most {FULL_BATCH_BYTES / 2**30:.0f} GiB",
                next_step=f"set {instead}",
            )


@contextmanager
def explained(score: str, name: str) -> Iterator[None]:
    """What the mathematics refuses, as an error that says where it happened."""
    try:
        yield
    except ValueError as error:
        raise UserError(
            f"the score '{score}' cannot be computed for {name}",
            given=str(error),
            next_step="mend that, or leave the score out of scores=[...]",
        ) from None


def unique_names(sources: Sequence[str]) -> list[str]:
    """The last part of each path or name; the whole where two would be the same."""
    short = [Path(source.rstrip("/")).name for source in sources]
    return [source if short.count(name) > 1 else name for source, name in zip(sources, short, strict=True)]
