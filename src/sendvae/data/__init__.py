"""Images on disk -> tensors."""

from sendvae.data.adm_archive import AdmArchive
from sendvae.data.attributes import AttributeTable
from sendvae.data.crop import center_crop
from sendvae.data.images import (
    EmbeddedImages,
    FirstImages,
    ImageBatch,
    ImageSet,
    Sample,
    ShardImages,
    TensorImages,
    decode,
    open_embedded,
    to_float,
    to_uint8,
)
from sendvae.data.latent_cache import LatentCache, LatentCacheWriter
from sendvae.data.lightningdit import LIGHTNINGDIT, LabelledLatents, open_lightningdit
from sendvae.data.mapped_rows import FLIP, MappedRows
from sendvae.data.opening import AttributeOptions, open_held_out, open_images, open_splits, split_names
from sendvae.data.random_crops import CroppedImages
from sendvae.data.sampler import batch_crops, batch_indices, batch_mirrored
from sendvae.data.shards import ShardWriter

__all__ = [
    "FLIP",
    "LIGHTNINGDIT",
    "AdmArchive",
    "AttributeOptions",
    "AttributeTable",
    "CroppedImages",
    "EmbeddedImages",
    "FirstImages",
    "ImageBatch",
    "ImageSet",
    "LabelledLatents",
    "LatentCache",
    "LatentCacheWriter",
    "MappedRows",
    "Sample",
    "ShardImages",
    "ShardWriter",
    "TensorImages",
    "batch_crops",
    "batch_indices",
    "batch_mirrored",
    "center_crop",
    "decode",
    "open_embedded",
    "open_held_out",
    "open_images",
    "open_lightningdit",
    "open_splits",
    "split_names",
    "to_float",
    "to_uint8",
]
