"""What the demo measures of a tokenizer and of samples: its sets and protocols, by the paths of `evaluation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sendvae.autoencoding import load_perceptual
from sendvae.config import EvaluationConfig
from sendvae.data import ImageSet
from sendvae.evaluation import (
    Encoded,
    measure_generation,
    measure_latents,
    measure_reconstruction,
    open_reference,
    reconstruct,
)
from sendvae.evaluation.networks import load_network
from sendvae.evaluation.reference import Reference
from sendvae.evaluation.results import Result
from sendvae.experiments.pictures import principal_colours
from sendvae.latents import TensorRows
from sendvae.nn import weights_digest
from sendvae.quantities import Quantity
from sendvae.tokenizers import Autoencoder
from sendvae.training import cached_latents

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Findings:
    """Numbers of one method by name, and how each is read.

    Attributes:
        values: the numbers.
        quantities: by the same names.
        attribute_f1: of the probe, by attribute; empty of samples.
        resampled: numbers of every resample of the test images, where they have any.
    """

    values: dict[str, float]
    quantities: dict[str, Quantity]
    attribute_f1: dict[str, float]
    resampled: dict[str, list[float]]


class DemoMeasurements:
    """Measures every method alike. The networks and the reference are loaded and measured once.

    Tokenizers are judged on the test images, their probes and mixtures fitted on train and tuned on val; samples
    are held against the training images, as in ADM's protocol.

    Args:
        config: the protocols.
        images: by split.
        cache: of latents, which training uses too, and of the reference.
        device: where the networks run.
    """

    def __init__(
        self, config: EvaluationConfig, images: Mapping[str, ImageSet], cache: Path, device: torch.device
    ) -> None:
        self.config, self.images, self.cache, self.device = config, images, cache, device
        names = {config.reconstruction.features, config.generation.features}
        self.networks = {name: load_network(name, device) for name in names}
        self.perceptual = load_perceptual(config.reconstruction.perceptual).to(device)

    @cached_property
    def reference(self) -> Reference:
        """The training images, as the feature network of `generation` sees them."""
        protocol = self.config.generation
        network = self.networks[protocol.features]
        return open_reference(self.images["train"], protocol, self.device, cache=self.cache, network=network)

    def encode(self, tokenizer: Autoencoder, name: str) -> dict[str, Float[Tensor, "N C h w"]]:
        """Posterior means of every split; those of train are the ones that training caches."""
        return {
            split: cached_latents(self.cache, tokenizer, images, self.device, f"{name}: {split} latents")
            .fields["mean"]
            .float()
            for split, images in self.images.items()
        }

    def tokenizer(
        self, tokenizer: Autoencoder, latents: Mapping[str, Tensor], folder: Path, name: str
    ) -> Findings:
        """Reconstruction and latent-space scores; the results are kept below `folder`.

        Args:
            latents: of `encode`.
        """
        protocol = self.config.reconstruction
        reconstruction = measure_reconstruction(
            tokenizer,
            self.images["test"],
            protocol,
            self.device,
            folder=folder / "reconstruction",
            cache=self.cache,
            network=self.networks[protocol.features],
            perceptual=self.perceptual,
            name=name,
        )
        rows = {split: TensorRows(z) for split, z in latents.items()}
        encoded = Encoded(name, rows, weights_digest(tokenizer))
        space = measure_latents([encoded], self.images, self.config.latents, self.device)
        return _kept({"reconstruction": reconstruction, "latents": space}, folder)

    def samples(self, samples: UInt8[Tensor, "N 3 H W"], folder: Path, name: str) -> Findings:
        """Distances of samples to the training images; the result is kept below `folder`."""
        protocol = self.config.generation
        network = self.networks[protocol.features]
        found = measure_generation(samples, self.reference, protocol, self.device, network=network, name=name)
        return _kept({"generation": found}, folder)

    def pictures(
        self, tokenizer: Autoencoder, latents: Mapping[str, Tensor], shown: np.ndarray
    ) -> dict[str, UInt8[Tensor, "M 3 H W"]]:
        """Reconstructions of the test images at `shown`, and their latents in colours."""
        originals = self.images["test"].batch(shown).images
        test = latents["test"]
        return {
            "reconstructions": reconstruct(tokenizer, originals, self.config.reconstruction.precision),
            "latents": principal_colours(test, test[shown], originals.shape[-1]),
        }


def _kept(results: Mapping[str, Result | None], folder: Path) -> Findings:
    """Writes each result into a folder of its name, and joins what they found."""
    values: dict[str, float] = {}
    quantities: dict[str, Quantity] = {}
    details: dict[str, Any] = {}
    resampled: dict[str, list[float]] = {}
    for name, result in results.items():
        assert result is not None  # the demo runs in one process
        result.save(folder / name)
        (subject,) = result.subjects
        values |= {key: number.value for key, number in subject.numbers.items()}
        quantities |= result.quantities
        details |= subject.details
        resampled |= subject.resampled
    return Findings(values, quantities, details.get("f1", {}), resampled)
