"""A linear probe that recognises the class of samples, trained on features of labelled real images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sendvae.config import GenerationConfig
from sendvae.data import ImageSet, open_images
from sendvae.errors import UserError
from sendvae.evaluation.networks import FeatureNetwork
from sendvae.evaluation.reference import image_statistics
from sendvae.latents import class_probe
from sendvae.nn.precision import resolve_precision


@dataclass(frozen=True)
class Labelled:
    """Features of images whose class is known; empty on all processes but the main one."""

    features: Float[Tensor, "N D"]
    labels: Int64[Tensor, " N"]


@dataclass(frozen=True)
class ClassProbe:
    """Features of two splits of real images: the one trains the probe, the other tests it."""

    train: Labelled
    test: Labelled

    def hits(self, features: Float[Tensor, "N D"], labels: Int64[Tensor, " N"]) -> tuple[Tensor, Tensor]:
        """Return whether the probe predicts the label, of these images (N,) and of the real test images (M,).

        The probe is a softmax regression on standardised features, solved to its optimum.

        Raises:
            ValueError: the training images are of a single class.
        """
        judged = torch.cat([features, self.test.features]), torch.cat([labels, self.test.labels])
        found: Bool[Tensor, " N+M"] = class_probe(
            self.train.features, self.train.labels, *judged, pool="flatten"
        ).hits
        return found[: len(labels)], found[len(labels) :]


def probe_images(reference: str, protocol: GenerationConfig, size: int | None = None) -> list[ImageSet]:
    """Return the images that train the probe, and those that test it.

    Args:
        reference: a source of images that has the splits `protocol.class_splits`.
        size: the size of the samples, to which images that are not prepared are cropped.

    Raises:
        UserError: the reference lacks one of the splits, or both hold the same images.
    """
    found = [
        open_images(reference, split, protocol.reference_limit, size=size, crop=protocol.crop, labelled=True)
        for split in protocol.class_splits
    ]
    if found[0].fingerprint == found[1].fingerprint:
        raise UserError(
            "the class probe would be tested on the images that trained it",
            given=f"class_splits=[{', '.join(protocol.class_splits)}] of {reference}",
            expected="two splits of a prepared data set",
            next_step="leave the metric class out, or hold samples against such a data set",
        )
    return found


def open_class_probe(
    reference: str,
    protocol: GenerationConfig,
    network: FeatureNetwork,
    device: torch.device,
    size: int | None = None,
    cache: Path | None = None,
) -> ClassProbe:
    """Return the probe's images as the network sees them.

    Args:
        reference, size: as in `probe_images`.
        cache: where features are kept, under the digests of images and network; None: nowhere.

    Raises:
        UserError: no such splits, or images that cannot be read.
    """
    precision = resolve_precision(protocol.precision, device)

    def labelled(images: ImageSet) -> Labelled:
        title = f"features for the class probe: {images.split}"
        found = image_statistics(
            images, images.fingerprint, network, protocol.batch_size, title, None, cache, precision
        )
        features = torch.empty(0, 0) if found is None else found.picked
        return Labelled(features, images.labels_of(range(len(images))))

    return ClassProbe(*map(labelled, probe_images(reference, protocol, size)))
