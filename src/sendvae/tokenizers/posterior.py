"""The diagonal Gaussian posterior q(z|x) that an encoder returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# Clamp of the log variance before exponentiation (latent-diffusion, DiagonalGaussianDistribution).
LOGVAR_MIN, LOGVAR_MAX = -30.0, 20.0


@dataclass(frozen=True)
class Posterior:
    """The posterior q(z|x) = N(mean, diag(exp(logvar))) of raw (un-normalised) latents.

    Attributes:
        mean: the mean, (B, C, h, w), or (B, C, N) for one-dimensional tokens.
        logvar: the log variance of the same shape, clamped to [-30, 20]; -inf where the encoder is deterministic.
    """

    mean: Float[Tensor, "B C *n"]
    logvar: Float[Tensor, "B C *n"]

    @classmethod
    def from_moments(cls, moments: Float[Tensor, "B C2 *n"]) -> Posterior:
        """Return the posterior of an encoder's output, which is mean, then logvar, along the channel axis."""
        mean, logvar = moments.chunk(2, dim=1)
        return cls(mean, logvar.clamp(LOGVAR_MIN, LOGVAR_MAX))

    @classmethod
    def at(cls, z: Float[Tensor, "B C *n"]) -> Posterior:
        """Return the posterior of a deterministic encoder, with mean z and standard deviation 0."""
        return cls(z, torch.full_like(z, -torch.inf))

    @property
    def std(self) -> Float[Tensor, "B C *n"]:
        """Return the standard deviation."""
        return (0.5 * self.logvar).exp()

    def sample(
        self, generator: torch.Generator | None = None, noise: Float[Tensor, "B C *n"] | None = None
    ) -> Float[Tensor, "B C *n"]:
        """Return a reparameterised sample, with gradients to mean and logvar. `noise`, if given, replaces the draw."""
        if noise is None:
            noise = torch.randn(
                self.mean.shape, dtype=self.mean.dtype, device=self.mean.device, generator=generator
            )
        return self.mean + self.std * noise

    def mode(self) -> Float[Tensor, "B C *n"]:
        """Return the mode of the posterior, which is its mean."""
        return self.mean

    def kl(self) -> Float[Tensor, " B"]:
        """Return KL(q || N(0, I)) per image, in nats, summed over all axes but the batch: (B,)."""
        terms = self.mean.square() + self.logvar.exp() - 1.0 - self.logvar
        return 0.5 * terms.sum(dim=tuple(range(1, terms.ndim)))
