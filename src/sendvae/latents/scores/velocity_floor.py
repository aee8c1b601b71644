"""The floor of the flow-matching loss: how ambiguous the velocity is where trajectories cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from sendvae.latents.rows import LatentRows, TensorRows, checked
from sendvae.latents.score import Evidence, Found, Measured, Score, quantity
from sendvae.latents.scores.grid import channel_moments
from sendvae.randomness import stream

# Ours. The floor depends on how many latents there are, so that it is compared at equal N only.
LATENTS = 4096
TIMES = tuple((i + 0.5) / 16 for i in range(16))
QUERIES = 128  # noised latents a time and repeat
REPEATS = 4


@dataclass(frozen=True)
class VelocityFloor:
    """E Var(v | x_t, t) a dimension, and how many latents a noised one may have come from, by time.

    Attributes:
        floor: mean over noised latents.
        neighbours: exp of the entropy of the posterior over latents, its mean; between 1 and N.
    """

    floor: Float64[Tensor, " T"]
    neighbours: Float64[Tensor, " T"]


def velocity_floor(
    latents: Float64[Tensor, "N D"],
    times: Sequence[float] = TIMES,
    queries: int = QUERIES,
    seed: int = 0,
    repeat: int = 0,
) -> VelocityFloor:
    """Return the least mean squared error of any velocity, for the empirical distribution of the latents.

    With x_t = (1 - t) z + t e and v = e - z, v is (x_t - z) / t. Given x_t, latent i has the probability
    softmax_i(-|x_t - (1 - t) z_i|^2 / (2 t^2)), so the variance of v is that of z over t^2: a closed form. Only the
    expectation over x_t is drawn.

    Args:
        latents: N, normalised as the diffusion model sees them.
        times: the noise levels, in (0, 1].
        queries: noised latents a time.
        seed, repeat: the seed and the repeat of the draws.

    Raises:
        ValueError: a time out of range.
    """
    if not all(0 < t <= 1 for t in times):
        raise ValueError(f"times must be in (0, 1], got {list(times)}")
    count, width = latents.shape
    squares = latents.square().sum(1)
    floors, neighbours = [], []
    for number, t in enumerate(times):
        generator = stream(seed, repeat * len(times) + number, "velocity floor")
        chosen = torch.randint(count, (queries,), generator=generator)
        noise = torch.randn(queries, width, generator=generator, dtype=torch.float64)
        x = (1 - t) * latents[chosen] + t * noise
        # -|x - (1 - t) z|^2 / (2 t^2) less what does not depend on z.
        logits = ((1 - t) * (x @ latents.T) - (1 - t) ** 2 / 2 * squares) / t**2
        posterior = logits.softmax(1)
        mean = posterior @ latents
        variance = (posterior @ squares - mean.square().sum(1)).clamp_min(0)
        floors.append(variance.mean() / (t**2 * width))
        neighbours.append(torch.special.entr(posterior).sum(1).exp().mean())
    return VelocityFloor(torch.stack(floors), torch.stack(neighbours))


def score_velocity_floor(evidence: Evidence) -> Found:
    """Average over times, of at most `LATENTS` training latents spread evenly, whose channels are normalised."""
    latents = _normalised_latents(evidence.rows["train"])
    found = [velocity_floor(latents, seed=evidence.seed, repeat=repeat) for repeat in range(REPEATS)]
    values = [float(one.floor.mean()) for one in found]
    floors = torch.stack([one.floor for one in found]).mean(0)
    neighbours = torch.stack([one.neighbours for one in found]).mean(0)
    by_time = {
        f"{t:g}": {"floor": float(floor), "neighbours": float(near)}
        for t, floor, near in zip(TIMES, floors, neighbours, strict=True)
    }
    details = {"latents": len(latents), "compares": "at equal numbers of latents only", "by time": by_time}
    return Found(
        {"velocity_floor": Measured(float(np.mean(values)), repeats=values)}, {"velocity floor": details}
    )


def _normalised_latents(rows: LatentRows) -> Float64[Tensor, "N D"]:
    """Return latents spread evenly over all, flattened, every channel with mean 0 and standard deviation 1."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(LATENTS, len(rows))).round().astype(np.int64))
    chosen = checked(rows.batch(places), 0).double().cpu()
    mean, std = channel_moments(TensorRows(chosen))
    return ((chosen - mean) / std).flatten(1)


SCORE = Score(
    score_velocity_floor,
    {
        "velocity_floor": quantity(
            "Velocity floor",
            False,
            "least mean squared error of any velocity for these latents, a dimension; compares at equal numbers of"
            " latents only",
        ),
    },
    cost=f"{len(TIMES)} x {REPEATS} products of {QUERIES} x {LATENTS:,} latents: seconds on a CPU",
    source="ours, after the velocity's irreducible variance of arXiv 2606.03578",
)
