"""The alignment methods by name, each a module from (latent, tokens, alpha, noise) to a loss."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from sendvae.alignment.direct import LinearProjection, distance_matrix_loss, marginal_cosine_loss
from sendvae.alignment.loss import alignment_loss
from sendvae.alignment.mapper import Mapper
from sendvae.alignment.noising import noise_latents
from sendvae.registry import Registry


class MapperAlignment(nn.Module):
    """Send-VAE: L_align(h_phi(z_t), y). Without `noise_injection`, z_t = z (Table 3's ablation)."""

    noise_injection = True

    def __init__(
        self, latent_channels: int, token_width: int, patch_size: int, grid: int, width: int, depth: int,
        heads: int, hidden: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.mapper = Mapper(
            latent_channels, patch_size, width, depth, heads, grid, out_width=token_width, hidden=hidden
        )

    def forward(
        self,
        z: Float[Tensor, "B C h w"],
        tokens: Float[Tensor, "B N D"],
        alpha: Float[Tensor, " B"],
        noise: Float[Tensor, "B C h w"],
    ) -> Float[Tensor, ""]:
        return alignment_loss(
            self.mapper(noise_latents(z, alpha, noise) if self.noise_injection else z), tokens
        )


class NoiselessMapperAlignment(MapperAlignment):
    noise_injection = False


class DirectAlignment(nn.Module):
    """VA-VAE: margin cosine plus margin distance-matrix loss of a linear projection, no noise."""

    def __init__(self, latent_channels: int, token_width: int, patch_size: int, **_mapper: int) -> None:
        super().__init__()
        self.projection = LinearProjection(latent_channels, token_width, patch_size)

    def forward(
        self,
        z: Float[Tensor, "B C h w"],
        tokens: Float[Tensor, "B N D"],
        alpha: Float[Tensor, " B"],
        noise: Float[Tensor, "B C h w"],
    ) -> Float[Tensor, ""]:
        del alpha, noise
        projected = self.projection(z)
        return marginal_cosine_loss(projected, tokens) + distance_matrix_loss(projected, tokens)


ALIGNMENTS: Registry[type[nn.Module]] = Registry(
    "alignment method",
    {"send": MapperAlignment, "mapper": NoiselessMapperAlignment, "direct": DirectAlignment},
)


def build_alignment(method: str, **shape: int) -> nn.Module:
    """A fresh alignment head: latent_channels, token_width, patch_size, grid, width, depth, heads, hidden."""
    return ALIGNMENTS[method](**shape)
