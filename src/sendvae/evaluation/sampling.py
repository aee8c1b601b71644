"""Draws images from a diffusion model. Each image's noise is independent of its batch, process and device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from sendvae.config.schema_sample import SamplingConfig
from sendvae.data import to_uint8
from sendvae.diffusion import Generator, Watch, sample, shift_of
from sendvae.nn.precision import number_format, resolve_precision
from sendvae.randomness import stream
from sendvae.runs import progress
from sendvae.tokenizers import Tokenizer

STREAM = "sampling"
FIRST_CHANNELS = 3  # guided by SiT's and LightningDiT's forward_with_cfg, whatever the latent has


class ImageNoise:
    """Noise of some images, as a function of seed, image number and number of the call alone.

    Each image has its own random generator, on the CPU and in float64, so that batch, process and device do not
    matter.

    Args:
        seed: the seed of all images together.
        numbers: the numbers of these images, counted over everything that is drawn.
        shape: the shape of an image's noise.
    """

    def __init__(self, seed: int, numbers: Sequence[int], shape: tuple[int, ...]) -> None:
        self.generators = [stream(seed, int(number), STREAM) for number in numbers]
        self.shape = shape

    def __call__(self) -> Float64[Tensor, "B C *n"]:
        """Return the next noise of every image: first the start, then that of each noisy step."""
        noise = torch.empty(len(self.generators), *self.shape, dtype=torch.float64)
        for row, generator in zip(noise, self.generators, strict=True):
            row.normal_(generator=generator)
        return noise


@torch.no_grad()
def draw_images(
    generator: Generator,
    tokenizer: Tokenizer,
    numbers: Sequence[int],
    labels: Int64[Tensor, " B"],
    sampling: SamplingConfig,
    seed: int,
    watch: Watch | None = None,
) -> UInt8[Tensor, "B 3 H W"]:
    """Return decoded samples on the CPU.

    Args:
        generator, tokenizer: two networks on one device in evaluation mode. The tokenizer carries the statistics of
            its latents.
        numbers: the numbers of these images among all of them. Their noise follows from that and the seed.
        labels: the class labels of these images.
        watch: a function that is shown the normalised latents that every step points to, for `decode_samples`.

    Raises:
        ValueError: the tokenizer has no latent statistics.
    """
    if tokenizer.latent_stats is None:
        raise ValueError("the tokenizer carries no latent statistics")
    device = next(generator.parameters()).device
    noise = ImageNoise(seed, numbers, generator.latent_shape)
    low, high = sampling.guidance_interval
    with number_format(resolve_precision(sampling.precision, device), device):
        z = sample(
            generator,
            noise().float().to(device),
            labels.to(device),
            method=sampling.method,
            steps=sampling.steps,
            guidance_scale=sampling.guidance_scale,
            guidance_interval=(low, high),
            guided_channels=FIRST_CHANNELS if sampling.guided_channels == "first-three" else None,
            time_shift=shift_of(sampling.time_shift, generator.latent_shape),
            step_noise=noise,
            watch=watch,
        )
        return decode_samples(tokenizer, z, sampling)


def decode_samples(
    tokenizer: Tokenizer, z: Float[Tensor, "B C *n"], sampling: SamplingConfig
) -> UInt8[Tensor, "B 3 H W"]:
    """Return the images of normalised latents on the CPU, computed in the number format that is set.

    Raises:
        ValueError: the tokenizer has no latent statistics.
    """
    if tokenizer.latent_stats is None:
        raise ValueError("the tokenizer carries no latent statistics")
    z = z.float()  # of a sampler's state, which is float64
    images = tokenizer.decode(tokenizer.latent_stats.denormalize(z))
    return ROUNDINGS[sampling.rounding](images).cpu()


def generate(
    generator: Generator,
    tokenizer: Tokenizer,
    labels: Int64[Tensor, " N"],
    sampling: SamplingConfig,
    seed: int,
    name: str = "sampling",
) -> Iterator[UInt8[Tensor, "B 3 H W"]]:
    """Yield decoded samples, one per label, in batches; image i is the same in batches of any size.

    Args:
        generator, tokenizer, sampling, seed: as in `draw_images`.
        name: the name of the progress bar.
    """
    with progress(name, len(labels)) as bar:
        for numbers in torch.arange(len(labels)).split(sampling.batch_size):
            yield draw_images(generator, tokenizer, numbers.tolist(), labels[numbers], sampling, seed)
            bar.advance(len(numbers))


def truncate_to_uint8(images: Float[Tensor, "*B 3 H W"]) -> UInt8[Tensor, "*B 3 H W"]:
    """Convert [-1, 1] to uint8 as REPA-E's generate.py: 255 (x + 1) / 2, clamped, truncated towards 0."""
    return ((images.float() + 1.0) / 2.0 * 255.0).clamp(0.0, 255.0).to(torch.uint8)


ROUNDINGS = {"nearest": to_uint8, "truncate": truncate_to_uint8}
