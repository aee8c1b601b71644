"""The PatchGAN discriminator of taming-transformers and latent-diffusion."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

MAX_WIDTH_FACTOR = 8
LEAK = 0.2


class PatchDiscriminator(nn.Module):
    """Images in [-1, 1] (B, 3, H, W) to one logit per overlapping patch (B, 1, h, w).

    Kernel 4, padding 1; `layers` convolutions of stride 2, then two of stride 1. BatchNorm follows every
    convolution but the first and the last. With the defaults: 2,765,633 parameters, keys `main.{0,2,...,11}`.
    """

    def __init__(self, base_width: int = 64, layers: int = 3) -> None:
        super().__init__()
        widths = [base_width * min(2**i, MAX_WIDTH_FACTOR) for i in range(layers + 1)]
        modules: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 2, 1), nn.LeakyReLU(LEAK, inplace=True)]
        for i in range(1, layers + 1):
            stride = 2 if i < layers else 1
            modules += [
                nn.Conv2d(widths[i - 1], widths[i], 4, stride, 1, bias=False),
                nn.BatchNorm2d(widths[i]),
                nn.LeakyReLU(LEAK, inplace=True),
            ]
        self.main = nn.Sequential(*modules, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        self.apply(_initialise)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 h w"]:
        """Return the logits; training raises those of images and lowers those of reconstructions."""
        return self.main(images)


def _initialise(module: nn.Module) -> None:
    """N(0, .02) for convolutions, N(1, .02) for BatchNorm scales (pix2pix)."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
