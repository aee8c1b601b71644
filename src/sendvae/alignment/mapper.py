"""The mapper h_phi: noised latent to the patch features of a vision foundation model."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from sendvae.nn import MLP, Attention, PatchEmbed, projector, sincos_positions

PROJECTOR_HIDDEN = 2048  # REPA
LAYER_NORM_EPS = 1e-6  # ViT


class ViTBlock(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = MLP(width, int(width * mlp_ratio))

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Return the tokens after attention and MLP, each added to its input."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Mapper(nn.Module):
    """Patch embedding, `depth` ViT blocks, MLP (section 3.2; depth 1 is the paper's choice, Table 2).

    Args:
        latent_channels: C of the latent.
        patch_size: latent positions per token along one side (1 for f16, 2 for f8).
        width: token width, the foundation model's in the paper.
        depth: blocks; 0 leaves patch embedding and MLP.
        heads: attention heads (12 for width 768, 16 for 1024).
        grid: tokens along one side.
        out_width: width of the predicted features; default: `width`.
        hidden: hidden width of the MLP.
    """

    def __init__(
        self,
        latent_channels: int,
        patch_size: int,
        width: int,
        depth: int = 1,
        heads: int = 12,
        grid: int = 16,
        out_width: int | None = None,
        hidden: int = PROJECTOR_HIDDEN,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        self.embed = PatchEmbed(latent_channels, width, patch_size)
        self.register_buffer("positions", sincos_positions(width, grid), persistent=False)
        self.blocks = nn.ModuleList(ViTBlock(width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = projector(width, hidden, out_width or width)

    def forward(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B N D"]:
        """Return the patch tokens predicted from a normalised (noised) latent, row-major.

        Raises:
            ValueError: the latent does not give the mapper's grid of tokens.
        """
        x = self.embed(z)
        if x.shape[1] != len(self.positions):
            raise ValueError(
                f"a latent of {tuple(z.shape[1:])} gives {x.shape[1]} tokens, not {len(self.positions)}"
            )
        x = x + self.positions
        for block in self.blocks:
            x = block(x)
        return self.mlp(self.norm(x))
