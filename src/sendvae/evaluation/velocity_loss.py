"""The validation loss of a generator: its velocity error on images that it was not trained on."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sendvae.diffusion import Generator, velocity_errors
from sendvae.evaluation.results import Input, Number, Result, Subject
from sendvae.metrics import bootstrap_mean
from sendvae.nn.precision import number_format
from sendvae.quantities import Quantity
from sendvae.randomness import stream
from sendvae.tokenizers import LatentStats

NAME = "velocity-loss"
IMAGES, TIMES = 2000, 4  # of an image
SEED, STREAM = 0, "velocity loss"
RESAMPLES = 1000
BATCH = 64  # images
QUANTITY = Quantity(
    label="velocity loss",
    group="generation",
    higher_is_better=False,
    digits=4,
    explanation=f"mean squared error of the velocity on held-out images, {TIMES} times each, in latents with a standard"
    " deviation of 1; other latents have another least error",
)


def picked_images(count: int) -> list[int]:
    """Return which of `count` images are measured: at most `IMAGES`, spread evenly."""
    return torch.linspace(0, count - 1, min(count, IMAGES), dtype=torch.float64).round().long().tolist()


def measure_velocity_loss(
    generator: Generator,
    stats: LatentStats,
    mean: Float[Tensor, "N C *n"],
    std: Float[Tensor, "N C *n"],
    labels: Int64[Tensor, " N"],
    numbers: list[int],
    given: Input,
    device: torch.device,
    name: str,
) -> Result:
    """Return the mean of `velocity_errors` over images, with its bootstrap interval, computed in float32.

    Every image has a posterior sample, noises and times of its own, drawn on the CPU from its number alone: the same
    for every generator, batch and device. Times are one from each of `TIMES` equal parts of [0, 1].

    Args:
        generator: a network on `device` in evaluation mode.
        stats: the statistics that normalise latents.
        mean, std: the posteriors of the images, in raw units.
        labels: the classes of the images.
        numbers: the numbers of the images in their split.
        given: a description of the images for the result.
        name: the name of the generator in tables.
    """
    parts = [
        _errors(generator, stats, mean[rows], std[rows], labels[rows], numbers, rows, device)
        for rows in torch.arange(len(numbers)).split(BATCH)
    ]
    errors = torch.cat(parts)
    interval = bootstrap_mean(errors, RESAMPLES, SEED)
    method = "bootstrap over images" if interval is not None else None
    number = Number(value=float(errors.double().mean()), interval=interval, method=method)
    return Result(
        kind="velocity",
        protocol={"times": TIMES, "seed": SEED, "bootstrap": RESAMPLES, "precision": "fp32"},
        inputs={"data": given},
        subjects=[Subject(name=name, input=given, numbers={NAME: number})],
        quantities={NAME: QUANTITY},
    )


@torch.no_grad()
def _errors(
    generator: Generator,
    stats: LatentStats,
    mean: Tensor,
    std: Tensor,
    labels: Tensor,
    numbers: list[int],
    rows: Tensor,
    device: torch.device,
) -> Tensor:
    """Return each image's error, averaged over its times, (B,) on the CPU."""
    shape = mean.shape[1:]
    randoms = [stream(SEED, numbers[row], STREAM) for row in rows.tolist()]
    inside = torch.stack([torch.rand((), generator=random) for random in randoms])
    sampled = torch.stack([torch.randn(shape, generator=random) for random in randoms])
    noise = torch.stack([torch.randn(TIMES, *shape, generator=random) for random in randoms])
    z = stats.normalize(mean.float() + std.float() * sampled).to(device)
    with number_format("fp32", device):
        found = [
            velocity_errors(
                generator,
                z,
                labels.to(device),
                time=((part + inside) / TIMES).to(device),
                noise=noise[:, part].to(device),
            )
            for part in range(TIMES)
        ]
    return torch.stack(found).mean(dim=0).cpu()
