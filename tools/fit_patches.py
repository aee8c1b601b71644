"""Writes the controls that ship with the package: patches of the embedded images as they are, and their leading components.

    python -m tools.fit_patches

`demo-pixels` and `demo-pca` go into src/sendvae/tokenizers/weights, with statistics of their latents over the training
images. There is no chance in it: the same images give the same files up to rounding.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sendvae.data import open_embedded, to_float
from sendvae.files import new_folder
from sendvae.nn import Moments
from sendvae.tokenizers import LatentStats
from sendvae.tokenizers.patches import PatchTokenizer, patches_of
from sendvae.tokenizers.save import write_folder

PATCH, COMPONENTS, SIZE = 8, 16, 64
BATCH = 256
FOLDER = Path(__file__).parents[1] / "src/sendvae/tokenizers/weights"


def principal_components(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) and the leading axes (count, D), orthonormal; the largest entry of each is positive."""
    rows = rows.double()
    mean = rows.mean(0)
    _, axes = torch.linalg.eigh((rows - mean).T @ (rows - mean))
    axes = axes.flip(1)[:, :count].T
    signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    return mean, axes * signs


def fit(images: Tensor, components: int | None) -> PatchTokenizer:
    """Return the tokenizer of images (N, 3, H, W) in [-1, 1]; without a number of components, pixels as they are."""
    rows = patches_of(images, PATCH).flatten(0, 2)
    tokenizer = PatchTokenizer(PATCH, components or rows.shape[1], SIZE)
    if components is not None:
        mean, axes = principal_components(rows, components)
        tokenizer.mean.copy_(mean)
        tokenizer.components.copy_(axes)
    moments = Moments()
    moments.update((rows - tokenizer.mean) @ tokenizer.components.T)
    tokenizer.latent_stats = LatentStats.of(moments)
    return tokenizer


def main() -> None:
    pixels = open_embedded("emoji", "train", None)
    images = torch.cat(
        [
            to_float(pixels.batch(range(i, min(i + BATCH, len(pixels)))).images)
            for i in range(0, len(pixels), BATCH)
        ]
    )
    with torch.no_grad():
        for name, components in (("demo-pixels", None), ("demo-pca", COMPONENTS)):
            card = {
                "fitted to": "embedded:emoji, train split" if components else "nothing: pixels as they are",
                "licence": "Apache-2.0",
            }
            with new_folder(FOLDER / name) as folder:
                write_folder(fit(images, components), folder, card, torch.float32)


if __name__ == "__main__":
    main()
