"""Images to be evaluated: ADM's npz, prepared shards, or whatever `sendvae data prepare` would read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from sendvae.data import ImageSet, center_crop, open_images
from sendvae.data.encode import UnreadableImage, load_rgb
from sendvae.data.locations import exists
from sendvae.data.overview import split_names
from sendvae.data.shards import MANIFEST
from sendvae.data.sources import Columns, Listing, list_source
from sendvae.data.sources.huggingface import HUB
from sendvae.errors import UserError
from sendvae.evaluation.adm_archive import LAYOUT, AdmArchive

EMBEDDED = "embedded:"
Transform = Callable[[Image.Image], Tensor]


@runtime_checkable
class ImageStream(Protocol):
    """Images in a fixed order, all of one size.

    Attributes:
        source: as the user gave it.
        keys: one name per image.
    """

    source: str

    @property
    def keys(self) -> Sequence[str]: ...
    def __len__(self) -> int: ...
    def batches(self, ranges: Sequence[range]) -> Iterator[Tensor]:
        """The images of each range, (B, 3, H, W): uint8, or float in [-1, 1] if a transform made them so."""
        ...

    def digest(self) -> str:
        """Identifies the content: the pixels or the files they are decoded from."""
        ...


class PreparedStream:
    """One split of a prepared or embedded data set."""

    def __init__(self, source: str, images: ImageSet, size: int | None) -> None:
        self.source, self.images, self.size = source, images, size

    @property
    def keys(self) -> Sequence[str]:
        return self.images.keys

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, ranges: Sequence[range]) -> Iterator[UInt8[Tensor, "B 3 H W"]]:
        for positions in ranges:
            images = self.images.batch(np.arange(positions.start, positions.stop)).images
            if self.size is not None and images.shape[-1] != self.size:
                raise UserError(
                    f"the images of {self.source} have another size",
                    given=f"{images.shape[-1]} x {images.shape[-2]} pixels",
                    expected=f"{self.size} x {self.size}",
                    next_step=f"set size={images.shape[-1]}, or prepare them with --size {self.size}",
                )
            yield images

    def digest(self) -> str:
        return f"shards:{self.images.fingerprint}"


class FileStream:
    """Images of a folder, an archive or a hub data set, decoded on the way.

    Args:
        view: what `transform` does, for the digest: other crops of the same files are other images.
    """

    def __init__(
        self, source: str, listing: Listing, transform: Transform, view: str = "as they are"
    ) -> None:
        self.source, self.listing, self.transform, self.view = source, listing, transform, view

    @property
    def keys(self) -> Sequence[str]:
        return [image.name for image in self.listing.images]

    def __len__(self) -> int:
        return len(self.listing.images)

    def batches(self, ranges: Sequence[range]) -> Iterator[Tensor]:
        expected: tuple[int, ...] | None = None
        with ThreadPoolExecutor() as pool:
            for positions in ranges:
                images = list(pool.map(self._image, positions))
                expected = expected or tuple(images[0].shape[1:])
                for i, image in zip(positions, images, strict=True):
                    if tuple(image.shape[1:]) != expected:
                        raise UserError(
                            f"the images of {self.source} differ in size",
                            given=f"{self.listing.images[i].name}: {image.shape[2]} x {image.shape[1]} pixels",
                            expected=f"{expected[1]} x {expected[0]}, as those before it",
                            next_step="prepare them in one size: sendvae data prepare",
                        )
                yield torch.stack(images)

    def digest(self) -> str:
        total = hashlib.sha256()
        with ThreadPoolExecutor() as pool:
            for image, digest in zip(
                self.listing.images, pool.map(self._digest, range(len(self))), strict=True
            ):
                total.update(f"{image.name}\n".encode() + digest)
        return f"sha256:{total.hexdigest()}, {self.view}"

    def _image(self, position: int) -> Tensor:
        found = self.listing.images[position]
        try:
            return self.transform(load_rgb(self.listing.reader.read(found.place), 1))
        except (UnreadableImage, ValueError) as error:
            raise UserError(
                f"an image of {self.source} cannot be read",
                given=f"{found.name} ({error})",
                next_step="mend or remove it",
            ) from None

    def _digest(self, position: int) -> bytes:
        return hashlib.sha256(self.listing.reader.read(self.listing.images[position].place)).digest()


class Limited:
    """The first so many images of a stream."""

    def __init__(self, stream: ImageStream, limit: int) -> None:
        self.stream, self.count, self.source = stream, min(limit, len(stream)), stream.source

    @property
    def keys(self) -> Sequence[str]:
        return self.stream.keys[: self.count]

    def __len__(self) -> int:
        return self.count

    def batches(self, ranges: Sequence[range]) -> Iterator[Tensor]:
        return self.stream.batches(ranges)

    def digest(self) -> str:
        whole = self.stream.digest()
        return whole if self.count == len(self.stream) else f"{whole}[:{self.count}]"


def open_stream(
    source: str,
    split: str | None = None,
    size: int | None = None,
    crop: str = "none",
    limit: int | None = None,
    preferred: Sequence[str] = (),
) -> ImageStream:
    """The images of an .npz file, "embedded:NAME", prepared shards, a folder, a tar or zip, or "hf-hub:REPO".

    Args:
        split: of prepared and embedded sets; by default the first of `preferred` they have, or their only one.
        size: pixels; None takes images as they are.
        crop: a name of `CROPS`, for images that are not prepared and if a size is given.
        limit: only the first so many.

    Raises:
        UserError: nothing there, not images, or a split that must be named.
    """
    stream = _open(source, split, size, crop, preferred)
    if len(stream) == 0:
        held = f", which holds {', '.join(sorted(stream.names))}" if isinstance(stream, AdmArchive) else ""
        raise UserError("no images", given=source + held, expected=LAYOUT if held else None)
    return stream if limit is None else Limited(stream, limit)


def _open(
    source: str, split: str | None, size: int | None, crop: str, preferred: Sequence[str]
) -> ImageStream:
    if source.lower().endswith(".npz"):
        return AdmArchive(Path(source))
    if source.startswith(EMBEDDED) or ("*" not in source and exists(f"{source.rstrip('/')}/{MANIFEST}")):
        chosen = split or _default_split(source, preferred)
        return PreparedStream(source, open_images(source, chosen), size)
    if not source.startswith(HUB) and "*" not in source and not exists(source):
        raise UserError("no such file or folder", given=source)
    listing = list_source(source, Columns())
    if split is not None:
        listing.images = [image for image in listing.images if image.split == split]
    if size is None or crop == "none":
        return FileStream(source, listing, _as_is)
    return FileStream(source, listing, CROPS[crop](size), f"{crop} crop of {size} pixels")


def _default_split(source: str, preferred: Sequence[str]) -> str:
    names = split_names(source)
    for name in (*preferred, *(names if len(names) == 1 else ())):
        if name in names:
            return name
    raise UserError(
        f"{source} has several splits", expected="one of " + ", ".join(names), next_step="name one of them"
    )


def _as_is(image: Image.Image) -> UInt8[Tensor, "3 H W"]:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def adm_crop(size: int) -> Transform:
    """ADM's crop, 8-bit."""
    return lambda image: _as_is(center_crop(image, size))


def lightningdit_crop(size: int) -> Transform:
    """Float in [-1, 1]: short side to `size` (bilinear, antialiased, on floats), then the centre.

    Source: LightningDiT, `evaluate_tokenizer.py`, torchvision's Resize and CenterCrop of a tensor.
    """

    def transform(image: Image.Image) -> Float[Tensor, "3 H W"]:
        pixels = _as_is(image).float() / 255.0
        resized = transforms.resize(pixels, [size], InterpolationMode.BILINEAR, antialias=True)
        return transforms.center_crop(resized, [size, size]) * 2.0 - 1.0

    return transform


CROPS: dict[str, Callable[[int], Transform]] = {
    "adm": adm_crop,
    "lightningdit": lightningdit_crop,
    "none": lambda _size: _as_is,
}
