"""Opens the training images, and checks them against the configuration and the tokenizer."""

from __future__ import annotations

from sendvae.config.schema_common import DataConfig
from sendvae.data import CroppedImages, ImageSet, ShardImages, open_images
from sendvae.errors import UserError
from sendvae.tokenizers import Tokenizer, check_fit


def fitting_size(tokenizer: Tokenizer, images: ImageSet) -> int:
    """Return the pixels along one side of the images.

    Raises:
        UserError: the tokenizer cannot encode them.
    """
    image = images[0].image
    check_fit(tokenizer, image)
    return image.shape[-1]


def open_training_images(config: DataConfig) -> ImageSet:
    """Open the data set, and check that it has the size and the classes of the configuration.

    Raises:
        UserError: they differ, or there is no data set.
    """
    images = open_images(config.source, config.split, config.limit, labelled=True)
    if config.crop == "random":
        assert config.size is not None  # the configuration sees to it
        if not isinstance(images, ShardImages):
            raise UserError(
                "random crops are taken of prepared images",
                given=f"data.source={config.source}",
                next_step=f"sendvae data prepare {config.source} DST --crop short-side --size {config.size}",
            )
        images = CroppedImages(images, config.size)
    found = {"size": images[0].image.shape[-1], "classes": len(images.class_names)}
    for name, value in found.items():
        expected = getattr(config, name)
        if expected not in (None, value):
            raise UserError(
                f"{config.source} is another data set than the configuration is for",
                given=f"{name} {value}",
                expected=f"data.{name}={expected}",
                next_step=f"choose another data.source, or set data.{name}={value}",
            )
    return images
