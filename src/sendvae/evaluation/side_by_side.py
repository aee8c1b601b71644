"""`sendvae reconstruct`: each image beside what tokenizers make of it, and the difference, as files to look at."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from sendvae.data import ImageSet
from sendvae.distributed import all_reduce_mean, barrier, is_main, rank, world_size
from sendvae.errors import UserError
from sendvae.evaluation.gallery import difference_of, titled_row
from sendvae.evaluation.reconstruction import reconstruct
from sendvae.files import new_file, write_text
from sendvae.metrics import psnr
from sendvae.nn import weights_digest
from sendvae.nn.precision import resolve_precision
from sendvae.runs import progress
from sendvae.tokenizers import Tokenizer, check_fit

RECORD = "reconstruct.json"
ORIGINAL = "sendvae-original"  # key of the digest of the pixels, in each picture
NAME_SHOWN = 40  # characters of a tokenizer's name


@dataclass(frozen=True)
class Written:
    """Counts over all processes: new pictures, pictures that were there, and images that were padded."""

    new: int
    present: int
    padded: int


def write_side_by_side(
    tokenizers: dict[str, Tokenizer],
    images: ImageSet,
    folder: Path,
    device: torch.device,
    precision: str = "fp32",
    force: bool = False,
) -> Written:
    """Write a picture for each image: original, then each reconstruction and its difference from the original.

    Posterior means are decoded. Images may differ in size; sides that are no multiple of a tokenizer's
    downsampling are padded at the right and bottom by repeating the last pixels, and the reconstruction is cropped
    to the original's size. Pictures keep the images' names; those that are there for the same pixels stay, so the
    same call goes on. Processes share the images.

    Args:
        tokenizers: the tokenizers in evaluation mode, by the names that stand over their columns.
        images: the images, of any sizes.
        folder: the folder of the pictures; new, or of an earlier call with the same tokenizers.
        precision: the precision of the tokenizers.
        force: replace the pictures of other tokenizers.

    Raises:
        UserError: the folder holds something else.
    """
    for tokenizer in tokenizers.values():
        tokenizer.to(device)
    if is_main():
        _claim(folder, tokenizers, resolve_precision(precision, device), force)
    barrier()
    names, own = output_names(images.keys), range(rank(), len(images), world_size())
    new = padded = 0
    with progress("reconstruct", len(own)) as bar:
        for i in own:
            original, target = images[i].image, folder / names[i]
            padded += any(any(_padding(original, t)) for t in tokenizers.values())
            digest = _pixel_digest(original)
            if not _is_there(target, digest):
                columns = [("original", original)]
                for name, tokenizer in tokenizers.items():
                    copy = reconstruct_any_size(tokenizer, original, precision)
                    decibels = float(psnr(copy[None], original[None]))
                    columns.append((f"{name[:NAME_SHOWN]} {decibels:.1f} dB", copy))
                    columns.append(("difference", difference_of(original, copy)))
                _save(titled_row(columns), target, digest)
                new += 1
            bar.advance(1)
    totals = all_reduce_mean(torch.tensor([new, len(own) - new, padded], dtype=torch.float64)) * world_size()
    return Written(*(round(total) for total in totals.tolist()))


@torch.no_grad()
def reconstruct_any_size(
    tokenizer: Tokenizer, image: UInt8[Tensor, "3 H W"], precision: str = "fp32"
) -> UInt8[Tensor, "3 H W"]:
    """Return the decoded posterior mean of an image of any size, on the CPU.

    Raises:
        UserError: the tokenizer takes one size only, and the image has another.
    """
    right, bottom = _padding(image, tokenizer)
    padded = F.pad(image[None].float(), (0, right, 0, bottom), mode="replicate").to(torch.uint8)
    check_fit(tokenizer, padded)
    return reconstruct(tokenizer, padded, precision)[0, :, : image.shape[1], : image.shape[2]]


def _padding(image: Tensor, tokenizer: Tokenizer) -> tuple[int, int]:
    """Return how many pixels are missing at the right and at the bottom."""
    factor = tokenizer.downsampling
    return -image.shape[2] % factor, -image.shape[1] % factor


def output_names(keys: Sequence[str]) -> list[str]:
    """Return a relative .png path for each image: its own name, with the old ending only where two would collide."""
    parts = [[part for part in PurePosixPath(key).parts if part not in ("/", "..")] for key in keys]
    short = [str(PurePosixPath(*part).with_suffix(".png")) for part in parts]
    taken = Counter(short)
    return [
        name if taken[name] == 1 else str(PurePosixPath(*part)) + ".png"
        for name, part in zip(short, parts, strict=True)
    ]


def _claim(folder: Path, tokenizers: dict[str, Tokenizer], precision: str, force: bool) -> None:
    """Make the folder, or check that it is of the same tokenizers."""
    content = {"tokenizers": {n: weights_digest(t) for n, t in tokenizers.items()}, "precision": precision}
    record, text = folder / RECORD, json.dumps(content, indent=1) + "\n"
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not record.is_file()):
        raise UserError(
            f"{folder} holds something else", expected="a new folder", next_step="choose another --to"
        )
    if record.is_file() and record.read_text() != text:
        if not force:
            raise UserError(
                f"{folder} holds reconstructions by other tokenizers",
                given=_names(text),
                expected=f"those that are there: {_names(record.read_text())}",
                next_step="choose another --to, or replace them with --force",
            )
        for picture in folder.rglob("*.png"):
            if _original_of(picture) is not None:
                picture.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    write_text(record, text)


def _names(text: str) -> str:
    content = json.loads(text)
    found = ", ".join(f"{name} ({digest})" for name, digest in content["tokenizers"].items())
    return f"{found}; {content['precision']}"


def _pixel_digest(image: UInt8[Tensor, "3 H W"]) -> str:
    shape = str(tuple(image.shape)).encode()
    return hashlib.sha256(shape + image.contiguous().numpy().tobytes()).hexdigest()


def _is_there(path: Path, digest: str) -> bool:
    """Return whether the picture of these pixels is there; one of other pixels is drawn again."""
    return path.is_file() and _original_of(path) == digest


def _original_of(path: Path) -> str | None:
    try:
        with Image.open(path) as picture:
            return picture.info.get(ORIGINAL)
    except (UnidentifiedImageError, OSError):
        return None


def _save(picture: Image.Image, path: Path, digest: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    info.add_text(ORIGINAL, digest)
    with new_file(path) as file:
        picture.save(file, format="PNG", pnginfo=info)
