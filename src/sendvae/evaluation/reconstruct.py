"""Reconstruction metrics of a tokenizer."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from sendvae.data import ImageSet, to_float, to_uint8
from sendvae.evaluation.features import extract_features, image_batches
from sendvae.metrics import FeatureStatistics, frechet_distance_of, psnr, ssim
from sendvae.nn.precision import autocast, resolve_precision
from sendvae.runs import progress
from sendvae.tokenizers import Autoencoder


@torch.no_grad()
def reconstruct(tokenizer: Autoencoder, images: UInt8[Tensor, "B 3 H W"]) -> UInt8[Tensor, "B 3 H W"]:
    """Decodes the posterior mean of each image."""
    device = next(tokenizer.parameters()).device
    with autocast(resolve_precision("auto", device), device):
        decoded = tokenizer.decode(tokenizer.encode(to_float(images.to(device))).mode())
    return to_uint8(decoded).cpu()


@torch.no_grad()
def evaluate_reconstruction(
    tokenizer: Autoencoder,
    images: ImageSet,
    perceptual: nn.Module,
    perceptual_name: str,
    features: nn.Module,
    features_name: str,
    count: int | None = None,
    name: str = "reconstruction",
) -> dict[str, float]:
    """PSNR and SSIM per 8-bit image, the perceptual distance, and the Frechet distance of the reconstructions.

    The posterior mean is decoded. Everything is averaged over images, so batches do not matter.
    """
    totals = {"psnr": 0.0, "ssim": 0.0, perceptual_name: 0.0}
    real, decoded = [], []
    total = len(images) if count is None else min(count, len(images))
    with progress(name, total) as bar:
        for batch in image_batches(images, total):
            copies = reconstruct(tokenizer, batch)
            totals["psnr"] += float(psnr(copies, batch).sum())
            totals["ssim"] += float(ssim(copies, batch).sum())
            totals[perceptual_name] += float(perceptual(to_float(copies), to_float(batch)).sum())
            real.append(batch)
            decoded.append(copies)
            bar.advance(len(batch))
    scores = {metric: value / total for metric, value in totals.items()}
    statistics = []
    for kind, batches in (("originals", real), ("reconstructions", decoded)):
        statistics.append(FeatureStatistics())
        statistics[-1].update(extract_features(features, batches, total, f"{name}: features of {kind}"))
    scores[f"rfd-{features_name.lower()}"] = frechet_distance_of(*statistics)
    return scores
