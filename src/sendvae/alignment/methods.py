"""The alignment methods by name, each a module from (latent, tokens, alpha, noise) to a loss."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from sendvae.alignment.direct import LinearProjection, distance_matrix_loss, marginal_cosine_loss
from sendvae.alignment.loss import alignment_loss
from sendvae.alignment.mapper import Mapper
from sendvae.alignment.noising import noise_latents
from sendvae.registry import Registry


class MapperAlignment(nn.Module):
    """Send-VAE: L_align(h_phi(z_t), y). Without `noise_injection`, z_t = z (Table 3's ablation)."""

    def __init__(self, mapper: Mapper, noise_injection: bool = True) -> None:
        super().__init__()
        self.mapper, self.noise_injection = mapper, noise_injection

    def forward(
        self,
        z: Float[Tensor, "B C h w"],
        tokens: Float[Tensor, "B N D"],
        alpha: Float[Tensor, " B"],
        noise: Float[Tensor, "B C h w"],
    ) -> Float[Tensor, ""]:
        """Return the loss, in [0, 2].

        Args:
            z: normalised latents.
            tokens: the foundation model's of the same images, as many as the mapper gives.
            alpha: share of the latent in z_t, in [0, 1]; unused without noise injection, as `noise` is.
            noise: standard normal.

        Raises:
            ValueError: the shapes do not fit together.
        """
        z_t = noise_latents(z, alpha, noise) if self.noise_injection else z
        return alignment_loss(self.mapper(z_t), tokens)


class DirectAlignment(nn.Module):
    """VA-VAE: margin cosine plus margin distance-matrix loss of a linear projection, no noise."""

    def __init__(self, projection: LinearProjection, cosine_margin: float, distance_margin: float) -> None:
        super().__init__()
        self.projection = projection
        self.cosine_margin, self.distance_margin = cosine_margin, distance_margin

    def forward(
        self,
        z: Float[Tensor, "B C h w"],
        tokens: Float[Tensor, "B N D"],
        alpha: Float[Tensor, " B"],
        noise: Float[Tensor, "B C h w"],
    ) -> Float[Tensor, ""]:
        """Return the sum of both losses; `alpha` and `noise` play no part."""
        del alpha, noise
        projected = self.projection(z)
        cosine = marginal_cosine_loss(projected, tokens, self.cosine_margin)
        return cosine + distance_matrix_loss(projected, tokens, self.distance_margin)


def _send(
    *, latent_channels: int, token_width: int, patch_size: int, grid: int, width: int | None, depth: int,
    heads: int, hidden: int, noise: bool, **_others: object,
) -> nn.Module:  # fmt: skip
    mapper = Mapper(
        latent_channels,
        patch_size,
        width or token_width,
        depth,
        heads,
        grid,
        out_width=token_width,
        hidden=hidden,
    )
    return MapperAlignment(mapper, noise)


def _vavae(
    *, latent_channels: int, token_width: int, patch_size: int, cosine_margin: float, distance_margin: float,
    **_others: object,
) -> nn.Module:  # fmt: skip
    projection = LinearProjection(latent_channels, token_width, patch_size)
    return DirectAlignment(projection, cosine_margin, distance_margin)


ALIGNMENTS: Registry[Callable[..., nn.Module]] = Registry(
    "alignment method", {"send": _send, "vavae": _vavae}
)


def build_alignment(method: str, **options: float | None) -> nn.Module:
    """Return a freshly initialised alignment head. Each method uses the options that it needs.

    Args:
        method: a name in ALIGNMENTS.
        options: latent_channels, token_width, patch_size; grid, width (None: token_width), depth, heads, hidden
            and noise of the mapper; cosine_margin and distance_margin of VA-VAE.
    """
    return ALIGNMENTS[method](**options)
