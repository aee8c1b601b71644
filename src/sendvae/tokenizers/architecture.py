"""Architectures of latent-diffusion's VAE, and the published ones by name."""

from __future__ import annotations

from dataclasses import dataclass

from sendvae.registry import Registry


@dataclass(frozen=True)
class Architecture:
    """The shape of a VAE.

    Attributes:
        z_channels: the number of latent channels C, before packing.
        ch, ch_mult: level i has ch * ch_mult[i] channels; each level but the last halves the resolution.
        num_res_blocks: the number of residual blocks per encoder level (the decoder has one more).
        attn_resolutions: the *nominal* resolutions of the levels that have attention. Level i has the nominal
            resolution `resolution` / 2^i, whatever the size of the image.
        resolution: the nominal side of the images, in pixels.
        norm_groups: the number of groups of every GroupNorm.
        quant_conv: whether a 1x1 convolution follows the encoder; SD3 and FLUX.1 have none.
        post_quant_conv: whether a 1x1 convolution precedes the decoder; SD3 and FLUX.1 have none.
        packing: the side of the squares of positions whose channels are put together (FLUX.2 has 2). Diffusion
            models see packing^2 * z_channels channels.
    """

    z_channels: int
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = ()
    resolution: int = 256
    norm_groups: int = 32
    quant_conv: bool = True
    post_quant_conv: bool = True
    packing: int = 1

    @property
    def downsampling(self) -> int:
        """Return the pixels per latent position along one side (the 8 of "f8"), after packing."""
        return self.packing * 2 ** (len(self.ch_mult) - 1)

    @property
    def latent_channels(self) -> int:
        """Return the number of channels of a latent as diffusion models see it."""
        return self.packing**2 * self.z_channels

    @property
    def levels(self) -> list[tuple[int, bool]]:
        """Return (channels, has attention) of each resolution level, highest resolution first."""
        return [
            (self.ch * mult, self.resolution // 2**i in self.attn_resolutions)
            for i, mult in enumerate(self.ch_mult)
        ]


def _demo(channels: int) -> Architecture:
    """Return one of the demo's architectures, which are made for 64-pixel images on a CPU."""
    return Architecture(channels, ch=16, ch_mult=(1, 2, 4, 8), num_res_blocks=1, resolution=64, norm_groups=8)


# f8d4 is Stable Diffusion's VAE; f16d32 that of VA-VAE, IN-VAE, E2E-VAE and Send-VAE; f8d16 that of SD3, SD3.5 and
# FLUX.1; f16d128 that of FLUX.2, whose 32 channels at 1/8 of the resolution are packed.
ARCHITECTURES: Registry[Architecture] = Registry(
    "tokenizer architecture",
    {
        "f8d4": Architecture(z_channels=4),
        "f8d16": Architecture(z_channels=16, quant_conv=False, post_quant_conv=False),
        "f16d128": Architecture(z_channels=32, packing=2),
        "f16d16": Architecture(z_channels=16, ch_mult=(1, 1, 2, 2, 4), attn_resolutions=(16,)),
        "f16d32": Architecture(z_channels=32, ch_mult=(1, 1, 2, 2, 4), attn_resolutions=(16,)),
        "f16d64": Architecture(z_channels=64, ch_mult=(1, 1, 2, 2, 4), attn_resolutions=(16,)),
        **{f"demo-f8d{channels}": _demo(channels) for channels in (4, 16, 32)},
    },
)
