"""Samples drawn during the training of a diffusion model: a picture, and a Frechet distance of few samples."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from sendvae.config.schema_diffusion import PreviewConfig
from sendvae.config.schema_evaluate import GenerationConfig, IntervalConfig
from sendvae.data import ImageSet
from sendvae.diffusion import Generator
from sendvae.distributed import is_main
from sendvae.evaluation.generation import measure_generation, open_reference
from sendvae.evaluation.labels import choose_labels
from sendvae.evaluation.reference import Reference
from sendvae.evaluation.sampling import generate
from sendvae.runs import Classes
from sendvae.tokenizers import Tokenizer

SHOWN, COLUMNS = 64, 8


class Preview:
    """Draws samples with the same noise and labels every time, so that pictures of different steps compare.

    The distance is of few samples: it falls as training goes on, but is larger than one of 50,000 samples, and
    is not to be reported as such. Its name says how many there were.

    Args:
        config: how many, how, in which features.
        tokenizer: decodes; carries the latents' statistics.
        images: the training images: the classes and how frequent they are, and the reference.
        folder: the folder of the pictures, "IMAGES.png".
        seed: the seed of labels and noise.
    """

    def __init__(
        self, config: PreviewConfig, tokenizer: Tokenizer, images: ImageSet, folder: Path, seed: int
    ) -> None:
        self.config, self.tokenizer, self.images = config, tokenizer, images
        self.folder, self.seed = folder, seed
        self.reference: Reference | None = None
        self.labels = choose_labels(config.sampling, Classes.of(images), seed).values

    @torch.no_grad()
    def __call__(self, generator: Generator, images_seen: int) -> dict[str, float]:
        """Draw samples, write the picture, return the distance. Every process calls this, as FSDP's sampling needs."""
        from torchvision.utils import make_grid

        device = next(generator.parameters()).device
        tokenizer = self.tokenizer.to(device)
        sampled = generate(generator, tokenizer, self.labels, self.config.sampling, self.seed, "preview")
        samples = torch.cat(list(sampled))
        if is_main():
            self.folder.mkdir(parents=True, exist_ok=True)
            grid = make_grid(samples[:SHOWN], nrow=COLUMNS, padding=2, pad_value=255)
            Image.fromarray(grid.permute(1, 2, 0).numpy()).save(self.folder / f"{images_seen:010d}.png")
        if self.config.features is None:
            return {}
        protocol = GenerationConfig(
            features=self.config.features,
            metrics=["fd"],
            precision="auto",
            intervals=IntervalConfig(bootstrap=0, jackknife=0),
        )
        self.reference = self.reference or open_reference(self.images, protocol, device)
        result = measure_generation(samples, self.reference, protocol, device, name="preview")
        if result is None:
            return {}
        return {f"{name}-{len(samples)}": n.value for name, n in result.subjects[0].numbers.items()}
