"""Images from a diffusion model, and how close their distribution is to the real one."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from sendvae.config.schema_common import SamplingConfig
from sendvae.data import to_uint8
from sendvae.diffusion import SiT, sample
from sendvae.metrics import FeatureStatistics, frechet_distance_of, kernel_distance, precision_recall
from sendvae.nn.precision import autocast, resolve_precision
from sendvae.runs import progress
from sendvae.tokenizers import Autoencoder


@torch.no_grad()
def generate(
    sit: SiT,
    tokenizer: Autoencoder,
    labels: Int64[Tensor, " N"],
    sampling: SamplingConfig,
    seed: int,
    name: str = "sampling",
) -> Iterator[UInt8[Tensor, "B 3 H W"]]:
    """Decoded samples, one per label, in batches; noise is a function of (seed, batch number) alone."""
    device = next(sit.parameters()).device
    if tokenizer.latent_stats is None:
        raise ValueError("the tokenizer carries no latent statistics")
    shape = (sit.latent_channels, sit.latent_size, sit.latent_size)
    with progress(name, len(labels)) as bar:
        for number, batch in enumerate(labels.split(sampling.batch_size)):
            generator = torch.Generator(device).manual_seed(seed * 1_000_003 + number)
            noise = torch.randn(len(batch), *shape, generator=generator, device=device)
            with autocast(resolve_precision("auto", device), device):
                z = sample(
                    sit,
                    noise,
                    batch.to(device),
                    method=sampling.method,
                    steps=sampling.steps,
                    guidance_scale=sampling.guidance_scale,
                    generator=generator,
                )
                images = tokenizer.decode(tokenizer.latent_stats.denormalize(z))
            yield to_uint8(images).cpu()
            bar.advance(len(batch))


def evaluate_generation(
    reference: Float[Tensor, "N D"], generated: Float[Tensor, "M D"], network: str
) -> dict[str, float]:
    """Frechet and kernel distance, precision and recall, in the features of `network`.

    Keys carry the network's name: "fid" would mean Inception.
    """
    statistics = []
    for features in (reference, generated):
        statistics.append(FeatureStatistics())
        statistics[-1].update(features)
    precision, recall = precision_recall(reference, generated)
    suffix = network.lower()
    return {
        f"fd-{suffix}": frechet_distance_of(*statistics),
        f"kd-{suffix}": kernel_distance(reference, generated),
        f"precision-{suffix}": precision,
        f"recall-{suffix}": recall,
    }
