"""What an evaluation can be given, as image sets: paths, sets, tensors, or batches as they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import torch
from jaxtyping import UInt8
from torch import Tensor

from sendvae.data import FirstImages, ImageSet, TensorImages, to_uint8
from sendvae.distributed import is_main, main_value
from sendvae.evaluation.results import Input

Images = str | ImageSet | Tensor | Iterable[UInt8[Tensor, "B 3 H W"]]
IN_MEMORY = "in memory"


def as_images(given: Images, opened: Callable[[str], ImageSet], limit: int | None = None) -> ImageSet:
    """An image set of whatever was given.

    Args:
        given: a source for `opened`; an image set; uint8 (N, 3, H, W); or batches of such, which are kept in
            memory: more than fits there belongs on disk.
        opened: opens a source by name.
        limit: only the first so many of what is open already.
    """
    if isinstance(given, str):
        return opened(given)
    if isinstance(given, Tensor):
        return TensorImages(given[:limit])
    if not hasattr(given, "batch"):  # not isinstance, which would read the fingerprint
        batches = cast(Iterable[Tensor], given)
        return TensorImages(torch.cat([batch.cpu() for batch in batches])[:limit])
    images = cast(ImageSet, given)
    return images if limit is None or limit >= len(images) else FirstImages(images, limit)


def describe_input(given: Images, images: ImageSet) -> Input:
    """Source, number and digest; every process calls it, and the main one reads."""
    digest = main_value(images.fingerprint if is_main() else "")
    return Input(source=source_of(given), images=len(images), digest=digest)


def source_of(given: Images) -> str:
    """As the user gave it, or where an image set says that it lies."""
    return given if isinstance(given, str) else str(getattr(given, "source", IN_MEMORY))


def name_of(source: str) -> str:
    """The last part of a path, without its ending."""
    return Path(source.rstrip("/")).stem or source


def image_batches(images: ImageSet, ranges: Sequence[range]) -> Iterator[Tensor]:
    """The images of each range, (B, 3, H, W): uint8, or float in [-1, 1] if their crop made them so."""
    for positions in ranges:
        yield images.batch(positions).images


def as_uint8(images: Tensor) -> UInt8[Tensor, "B 3 H W"]:
    """What is shown of images that may be float in [-1, 1]."""
    return images if images.dtype == torch.uint8 else to_uint8(images)
