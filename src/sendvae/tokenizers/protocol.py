"""The interface of tokenizers, and what training needs besides. Other packages use nothing else of a tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from sendvae.errors import UserError
from sendvae.tokenizers.posterior import Posterior
from sendvae.tokenizers.statistics import LatentStats


class Tokenizer(nn.Module):
    """A tokenizer, which encodes images to latents and decodes latents to images.

    Images are in [-1, 1] outside, whatever range of pixels the network inside takes.

    Attributes:
        latent_stats: the statistics of raw latents, per channel or per channel and position; None if not known.
    """

    latent_stats: LatentStats | None

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> Posterior:
        """Return the posterior q(z|x) of images in [-1, 1]; its std is 0 where the encoder is deterministic."""
        raise NotImplementedError

    def decode(self, z: Float[Tensor, "B C *n"]) -> Float[Tensor, "B 3 H W"]:
        """Return the images of raw latents, nominally in [-1, 1]."""
        raise NotImplementedError

    def latent_shape(self, size: int) -> tuple[int, ...]:
        """Return the shape of a latent for images of `size` pixels a side: (C, h, w), or (C, N) for 1D tokens."""
        raise NotImplementedError

    @property
    def identity(self) -> Mapping[str, object]:
        """Return what latents depend on besides the weights, as JSON values. It tells caches of networks apart."""
        raise NotImplementedError

    @property
    def image_size(self) -> int:
        """Return the side in pixels of the images that the tokenizer was made for."""
        raise NotImplementedError

    @property
    def downsampling(self) -> int:
        """Return the pixels per latent position along one side (the 8 of "f8"). Sides of images are multiples of it."""
        raise NotImplementedError

    @property
    def one_size(self) -> bool:
        """Return whether images must be `image_size` pixels high and wide."""
        return False

    @property
    def untrainable(self) -> str:
        """Return why the tokenizer cannot be fine-tuned. It has no meaning for a `TrainableTokenizer`."""
        return f"{type(self).__name__}, of which no weights are trained"

    @property
    def latent_channels(self) -> int:
        """Return the number of channels C of a latent."""
        return self.latent_shape(self.image_size)[0]

    @property
    def label(self) -> str:
        """Return the usual short name of the latent's shape, such as "f8d16"."""
        return f"f{self.downsampling}d{self.latent_channels}"

    def expected_size(self, height: int, width: int) -> str | None:
        """Return in words which sides images must have, or None if this height and width (pixels) fit."""
        if self.one_size:
            fits = height == width == self.image_size
            return None if fits else f"{self.image_size} x {self.image_size}"
        fits = height % self.downsampling == 0 and width % self.downsampling == 0
        return None if fits else f"multiples of {self.downsampling}"

    def check_size(self, images: Float[Tensor, "B 3 H W"]) -> None:
        """Raise an error if the sides of the images do not fit the tokenizer.

        Raises:
            ValueError: the sides do not fit the tokenizer.
        """
        height, width = images.shape[-2:]
        if expected := self.expected_size(height, width):
            raise ValueError(f"image sides must be {expected}, got {(height, width)}")


class TrainableTokenizer(Tokenizer):
    """A tokenizer that can be fine-tuned: gradients flow through `encode` and `decode`."""

    @property
    def encoder_out(self) -> Tensor:
        """Return the weight of the encoder's last layer, at which adaptive weights compare gradients (VA-VAE)."""
        raise NotImplementedError

    @property
    def decoder_out(self) -> Tensor:
        """Return the weight of the decoder's last layer, at which adaptive weights compare gradients (VQGAN)."""
        raise NotImplementedError

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that turn an image into a posterior."""
        raise NotImplementedError

    def decoder_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that turn a latent into an image."""
        raise NotImplementedError


def check_fit(tokenizer: Tokenizer, images: UInt8[Tensor, "*B 3 H W"] | Float[Tensor, "*B 3 H W"]) -> None:
    """Raise an error if the tokenizer cannot encode the images of a data set.

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
    """Return the tokenizer as a `TrainableTokenizer`, if it can be fine-tuned.

    Args:
        tokenizer: the tokenizer.
        source: where it was loaded from, for the error.

    Raises:
        UserError: the tokenizer cannot be fine-tuned.
    """
    if not isinstance(tokenizer, TrainableTokenizer):
        raise not_trainable(source, tokenizer.untrainable)
    return tokenizer


def not_trainable(source: object, reason: str) -> UserError:
    """Return the error for a training that starts from a tokenizer which cannot be fine-tuned."""
    return UserError(
        f"{source} can be scored and generated in, but not fine-tuned here",
        given=reason,
        expected="a VAE of latent-diffusion's architecture: SD, SD3, FLUX.1, FLUX.2, VA-VAE and their kin",
        next_step="start from a name that `sendvae models` marks as trainable",
    )
