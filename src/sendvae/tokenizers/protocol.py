"""What every tokenizer offers, and what training needs of one besides; other rooms know nothing else of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from sendvae.errors import UserError
from sendvae.tokenizers.posterior import Posterior
from sendvae.tokenizers.statistics import LatentStats


class Tokenizer(nn.Module):
    """Images to latents and back. Which range of pixels the network inside sees is its own business.

    Attributes:
        latent_stats: of raw latents, per channel or per channel and position; None where nothing is known.
    """

    latent_stats: LatentStats | None

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> Posterior:
        """Return q(z|x) of images in [-1, 1]; its std is 0 where the encoder is deterministic."""
        raise NotImplementedError

    def decode(self, z: Float[Tensor, "B C *n"]) -> Float[Tensor, "B 3 H W"]:
        """Return the images of raw latents, nominally in [-1, 1]."""
        raise NotImplementedError

    def latent_shape(self, size: int) -> tuple[int, ...]:
        """Return (C, h, w), or (C, N) of one-dimensional tokens, for images of `size` pixels a side."""
        raise NotImplementedError

    @property
    def identity(self) -> Mapping[str, object]:
        """What latents depend on besides the weights, as JSON: it tells caches of different networks apart."""
        raise NotImplementedError

    @property
    def image_size(self) -> int:
        """Pixels along one side of the images that it was made for."""
        raise NotImplementedError

    @property
    def downsampling(self) -> int:
        """Pixels per latent position along one side (the 8 of "f8"), which the sides of images are multiples of."""
        raise NotImplementedError

    @property
    def one_size(self) -> bool:
        """Whether images must be `image_size` pixels high and wide."""
        return False

    @property
    def untrainable(self) -> str:
        """Why it cannot be fine-tuned; of those that can, nobody asks."""
        return f"{type(self).__name__}, of which no weights are trained"

    @property
    def latent_channels(self) -> int:
        """Channels C of a latent."""
        return self.latent_shape(self.image_size)[0]

    @property
    def label(self) -> str:
        """The usual short name of the latent's shape, such as "f8d16"."""
        return f"f{self.downsampling}d{self.latent_channels}"

    def expected_size(self, height: int, width: int) -> str | None:
        """Return in words which sides images must have; None where these will do."""
        if self.one_size:
            fits = height == width == self.image_size
            return None if fits else f"{self.image_size} x {self.image_size}"
        fits = height % self.downsampling == 0 and width % self.downsampling == 0
        return None if fits else f"multiples of {self.downsampling}"

    def check_size(self, images: Float[Tensor, "B 3 H W"]) -> None:
        """Raise ValueError if the images have sides that they must not have."""
        height, width = images.shape[-2:]
        if expected := self.expected_size(height, width):
            raise ValueError(f"image sides must be {expected}, got {(height, width)}")


class TrainableTokenizer(Tokenizer):
    """One that can be fine-tuned: gradient flows through `encode` and `decode`."""

    @property
    def encoder_out(self) -> Tensor:
        """The weight of the encoder's last layer, at which adaptive weights compare gradients (VA-VAE)."""
        raise NotImplementedError

    @property
    def decoder_out(self) -> Tensor:
        """The weight of the decoder's last layer, at which adaptive weights compare gradients (VQGAN)."""
        raise NotImplementedError

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Yield what makes a posterior of an image."""
        raise NotImplementedError

    def decoder_parameters(self) -> Iterator[nn.Parameter]:
        """Yield what makes an image of a latent."""
        raise NotImplementedError


def check_fit(tokenizer: Tokenizer, images: UInt8[Tensor, "*B 3 H W"] | Float[Tensor, "*B 3 H W"]) -> None:
    """Refuse images of a data set that the tokenizer cannot encode.

    Raises:
        UserError: the sides do not fit the tokenizer.
    """
    height, width = images.shape[-2:]
    if expected := tokenizer.expected_size(height, width):
        raise UserError(
            "the images do not fit the tokenizer",
            given=f"{width} x {height} pixels",
            expected=expected,
            next_step="prepare them in such a size, or set size",
        )


def trainable(tokenizer: Tokenizer, source: object) -> TrainableTokenizer:
    """Return the tokenizer, if it can be fine-tuned.

    Raises:
        UserError: it cannot.
    """
    if not isinstance(tokenizer, TrainableTokenizer):
        raise not_trainable(source, tokenizer.untrainable)
    return tokenizer


def not_trainable(source: object, reason: str) -> UserError:
    """Return the error for a tokenizer that training was to start from."""
    return UserError(
        f"{source} can be scored and generated in, but not fine-tuned here",
        given=reason,
        expected="a VAE of latent-diffusion's architecture: SD, SD3, FLUX.1, FLUX.2, VA-VAE and their kin",
        next_step="start from a name that `sendvae models` marks as trainable",
    )
