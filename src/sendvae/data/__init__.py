"""Images on disk -> tensors."""

from sendvae.data.attributes import AttributeTable
from sendvae.data.crop import center_crop
from sendvae.data.images import (
    EmbeddedImages,
    ImageBatch,
    ImageSet,
    Sample,
    ShardImages,
    decode,
    open_embedded,
    open_images,
    to_float,
    to_uint8,
)
from sendvae.data.latent_cache import FLIP, LatentCache, LatentCacheWriter
from sendvae.data.sampler import batch_indices, batch_mirrored
from sendvae.data.shards import ShardWriter

__all__ = [
    "FLIP",
    "AttributeTable",
    "EmbeddedImages",
    "ImageBatch",
    "ImageSet",
    "LatentCache",
    "LatentCacheWriter",
    "Sample",
    "ShardImages",
    "ShardWriter",
    "batch_indices",
    "batch_mirrored",
    "center_crop",
    "decode",
    "open_embedded",
    "open_images",
    "to_float",
    "to_uint8",
]
