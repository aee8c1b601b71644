"""Converts the inputs of an evaluation (paths, sets, tensors, batches) to image sets."""

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
    """Return an input as an image set.

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
    """Return source, number of images and digest; every process calls this, and the main one reads."""
    digest = main_value(images.fingerprint if is_main() else "")
    return Input(source=source_of(given), images=len(images), digest=digest)


def source_of(given: Images) -> str:
    """Return a source as the user gave it, or the place that an image set reports."""
    return given if isinstance(given, str) else str(getattr(given, "source", IN_MEMORY))


def name_of(source: str) -> str:
    """Return the last part of a path, without its extension."""
    return Path(source.rstrip("/")).stem or source


def image_batches(images: ImageSet, ranges: Sequence[range]) -> Iterator[Tensor]:
    """Yield the images of each range, (B, 3, H, W): uint8, or float in [-1, 1] if their crop returns floats."""
    for positions in ranges:
        yield images.batch(positions).images


def as_uint8(images: Tensor) -> UInt8[Tensor, "B 3 H W"]:
    """Return uint8 images; those in float [-1, 1] are converted."""
    return images if images.dtype == torch.uint8 else to_uint8(images)
