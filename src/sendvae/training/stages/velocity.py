"""What the stages with a generator share: its times and noise, and the losses of velocities and of REPA."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sendvae.config import DiffusionConfig, JointConfig
from sendvae.diffusion import Generator, diffusion_objective, sample_time, shift_of
from sendvae.training.micro_batches import MicroBatch
from sendvae.training.parts import Losses


def time_and_noise(
    piece: MicroBatch, z: Float[Tensor, "B C *n"], config: DiffusionConfig | JointConfig
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B C *n"]]:
    """Return the interpolant's draw for latents z of a micro-batch: always the same within a step.

    Args:
        piece: the micro-batch whose random numbers are used.
        z: gives the shape.
        config: how times are distributed.
    """
    draws, shift = piece.draws, shift_of(config.time_shift, z.shape[1:])
    time = draws.draw(
        "time", lambda n, random: sample_time(n, config.time_sampling, random, draws.device, shift)
    )
    return time, draws.normal("interpolant noise", z.shape[1:])


def velocity_losses(
    generator: Generator,
    z: Float[Tensor, "B C *n"],
    piece: MicroBatch,
    tokens: Float[Tensor, "B N D"] | None,
    config: DiffusionConfig | JointConfig,
) -> Losses:
    """Return `diffusion_objective` of normalised latents z, with a micro-batch's draws and dropped labels."""
    time, noise = time_and_noise(piece, z, config)
    terms = diffusion_objective(
        generator,
        z,
        generator.drop_labels(piece.batch.labels, piece.draws.uniform("label dropout")),
        time=time,
        noise=noise,
        tokens=tokens,
        repa_weight=config.repa.weight if config.repa else 0.0,
        repa_mean_share=config.repa.mean_share if config.repa else None,
        direction_weight=config.direction_weight,
        dispersive_weight=config.dispersive.weight if config.dispersive else 0.0,
        dispersive_depth=config.dispersive.depth if config.dispersive else None,
    )
    return Losses(terms["loss"], terms)
