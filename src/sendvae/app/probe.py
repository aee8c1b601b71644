"""Linear probes that predict attributes of a picture from its latent, with their F1 on validation images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sendvae.data import AttributeTable, ImageSet, TensorImages, open_embedded
from sendvae.evaluation.encoded import Encoder, cache_rows, make_encoder
from sendvae.evaluation.latents import attributes_of
from sendvae.latents import attribute_probe
from sendvae.runs import CacheKey, load_statistics, locked, save_statistics
from sendvae.tokenizers import Tokenizer

DATA = "emoji"
SIDE = 64  # pixels of the embedded emoji
SPLITS = ("train", "val")
BATCH = 64
VERSION = 1  # of the fitting procedure; probes of other versions are fitted again

OnProgress = Callable[[float, str], None]  # (share done, what is being done)


class Reading(NamedTuple):
    """The probe's prediction of one attribute.

    Attributes:
        probability: the probability that the picture has the attribute, in [0, 1].
        f1: the F1 of the probe on the validation images.
        always: the F1 of predicting the attribute for every validation image; a useful probe is better.
    """

    name: str
    probability: float
    f1: float
    always: float


@dataclass(frozen=True)
class Probe:
    """Linear probes of the emoji's attributes, for one tokenizer.

    Attributes:
        names: the names of the attributes.
        weight, bias, centre: the map from a raw flattened latent to logits.
        f1: the probe's F1 of each attribute in the validation split.
        share: the share of the validation images that have each attribute.
        images: the numbers of training and of validation images.
    """

    names: tuple[str, ...]
    weight: Float[Tensor, "F A"]
    bias: Float[Tensor, " A"]
    centre: Float[Tensor, " F"]
    f1: Float[Tensor, " A"]
    share: Float[Tensor, " A"]
    images: tuple[int, int]

    def read(self, latent: Float[Tensor, "C ..."]) -> list[Reading]:
        """Return a reading for every attribute, the most probable first."""
        logits = torch.addmv(self.bias, self.weight.T, latent.flatten() - self.centre)
        always = 2 * self.share / (1 + self.share)
        columns = (logits.sigmoid().tolist(), self.f1.tolist(), always.tolist())
        readings = [Reading(*row) for row in zip(self.names, *columns, strict=True)]
        return sorted(readings, key=lambda reading: -reading.probability)

    @property
    def f1_macro(self) -> float:
        """Return the mean of F1 over attributes."""
        return float(self.f1.mean())


def encode_picture(
    tokenizer: Tokenizer, pixels: UInt8[Tensor, "3 H W"], device: torch.device
) -> Float[Tensor, "C ..."]:
    """Return the posterior mean of a picture on the CPU, encoded as the probe's training images were."""
    return _encoder(tokenizer, device).encode(TensorImages(pixels[None]), np.arange(1))[0]


def fit_probe(tokenizer: Tokenizer, cache: Path, device: torch.device, on_progress: OnProgress) -> Probe:
    """Return the probe of a tokenizer, which is fitted at the first call and read from the cache later.

    The probe is trained on the latents of the training split. The validation split chooses the weight decay and gives
    the F1.

    Args:
        tokenizer: a tokenizer on `device`.
        cache: the folder of the caches, which keeps the latents, too.
        device: the device that computes.
        on_progress: a function that is called with the progress.

    Raises:
        UserError: the cache cannot be written.
    """
    data: dict[str, ImageSet] = {split: open_embedded(DATA, split) for split in SPLITS}
    encoder = _encoder(tokenizer, device)
    key = _key(encoder, data)
    tensors = load_statistics(cache, key)
    if tensors is None:
        tensors = _fit(encoder, data, cache, on_progress)
        with locked(cache / key.name):
            save_statistics(cache, key, tensors)
    return Probe(
        names=_table(data["train"]).names,
        weight=tensors["weight"],
        bias=tensors["bias"],
        centre=tensors["centre"],
        f1=tensors["f1"],
        share=tensors["share"],
        images=(len(data["train"]), len(data["val"])),
    )


def _encoder(tokenizer: Tokenizer, device: torch.device) -> Encoder:
    return make_encoder(tokenizer, device, "mean", "fp32", 0, BATCH)


def _key(encoder: Encoder, data: dict[str, ImageSet]) -> CacheKey:
    values = [_attributes(images).numpy().tobytes() for images in data.values()]
    content = {
        "latents": [dict(encoder.key(images).content) for images in data.values()],
        "attributes": hashlib.sha256(b"".join(values)).hexdigest(),
        "version": VERSION,
    }
    label = encoder.key(data["train"]).label
    return CacheKey("probe", label, data["train"].source, content)


def _fit(
    encoder: Encoder, data: dict[str, ImageSet], cache: Path, on_progress: OnProgress
) -> dict[str, Tensor]:
    total, before, rows = sum(map(len, data.values())), 0, {}
    for split, images in data.items():
        begun = before

        def watch(position: int, begun: int = begun) -> None:
            done = begun + position
            on_progress(done / total, f"encoding emoji: {done:,} of {total:,}")

        rows[split] = cache_rows(encoder, images, cache, f"probe: {split} latents", watch)
        before += len(images)
    on_progress(1.0, "fitting the probe: some 20 seconds")
    attributes = {split: _attributes(images) for split, images in data.items()}
    result = attribute_probe(
        rows["train"],
        attributes["train"],
        rows["val"],
        attributes["val"],
        val_latents=rows["val"],
        val_attributes=attributes["val"],
    )
    weight, bias, centre = (tensor.cpu() for tensor in result.map)
    share = attributes["val"].float().mean(0)
    return {"weight": weight, "bias": bias, "centre": centre, "f1": result.f1.float(), "share": share}


def _attributes(images: ImageSet) -> Tensor:
    return torch.from_numpy(_table(images).values)


def _table(images: ImageSet) -> AttributeTable:
    table = attributes_of(images)
    assert table is not None  # the embedded emoji have one
    return table
