"""Latents in LightningDiT's layout: samples of posteriors and class numbers, without the images they are of.

A folder of safetensors files, read in the order of their names, each with `latents` (N, C, h, w), mostly with
`latents_flip` of the mirrored images, and with `labels` (N,); beside them `latents_stats.pt`, a `mean` and a `std`
that broadcast over them (hustvl/LightningDiT).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sendvae.data.images import ImageBatch, Indices, Sample
from sendvae.data.mapped_rows import FLIP, MappedRows
from sendvae.errors import UserError

LIGHTNINGDIT = "lightningdit:"  # begins a source that is such a folder
LATENTS, LABELS = "latents", "labels"
STATISTICS = "latents_stats.pt"
Header = dict[str, tuple[list[int], str]]  # of each tensor of a file, its shape and type


class UnseenImages:
    """The classes of images that are not there; asking for one is an error."""

    split = "all"

    def __init__(self, labels: Int64[Tensor, " N"], class_names: Sequence[str], source: str) -> None:
        self.labels, self.class_names, self.source = labels, tuple(class_names), source
        self.keys = [str(number) for number in range(len(labels))]

    @property
    def fingerprint(self) -> str:
        """Of place and labels."""
        digest = hashlib.sha256(self.labels.numpy().tobytes()).hexdigest()
        return f"{self.source} {digest}"

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        raise no_images(self.source)

    def batch(self, indices: Indices) -> ImageBatch:
        """Raise, always."""
        del indices
        raise no_images(self.source)

    def labels_of(self, indices: Indices) -> Int64[Tensor, " B"]:
        """Return the class numbers."""
        return self.labels[torch.as_tensor(np.asarray(indices))]


class LabelledLatents(MappedRows):
    """What such a folder holds; its rows are those of a cache of posteriors that have no spread.

    Attributes:
        folder: where it lies.
        images: the classes of the latents, in their order.
        mirrored: whether the latents of mirrored images are there, too.
        statistics: the file of mean and std; it need not exist.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], images: UnseenImages, mirrored: bool) -> None:
        super().__init__(paths, [LATENTS, LATENTS + FLIP] if mirrored else [LATENTS])
        self.folder, self.images, self.mirrored = folder, images, mirrored
        self.statistics = folder / STATISTICS

    def batch(self, indices: np.ndarray, mirrored: np.ndarray | None = None) -> dict[str, Tensor]:
        """Return "mean" and "std" at positions: the latent itself, and zeros."""
        views = np.zeros(len(indices), bool) if mirrored is None else mirrored
        z = super().batch(indices, views)[LATENTS].float()
        return {"mean": z, "std": torch.zeros_like(z)}


def no_images(source: str) -> UserError:
    """Return the error for a command that asks such a folder for images."""
    return UserError(
        f"{source} holds latents, not images",
        next_step="name the images, or give the latents to sendvae train diffusion as its data.source",
    )


def open_lightningdit(
    source: str,
    classes: int | None = None,
    limit: int | None = None,
    class_names: Sequence[str] | None = None,
) -> LabelledLatents:
    """Return the latents of "lightningdit:FOLDER".

    Args:
        classes: how many there are; by default as many as there are names, or labels up to the largest.
        limit: use only this many images, from the first on.
        class_names: the names of classes by number; by default the numbers.

    Raises:
        UserError: no such folder, files that cannot be read or do not fit together, labels that are no classes.
    """
    folder = Path(source.removeprefix(LIGHTNINGDIT)).expanduser()
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise UserError("no latents", given=folder, expected=f"safetensors files with {LATENTS} and {LABELS}")
    headers = [_header(path) for path in paths]
    for path, header in zip(paths, headers, strict=True):
        _check_header(path, header, headers[0])
    labels = MappedRows(paths, [LABELS]).fields[LABELS].long()[:limit]
    count = classes or (len(class_names) if class_names else int(labels.max()) + 1)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= count:
        raise UserError(
            f"the labels of {folder} are no class numbers",
            given=f"{low} to {high}",
            expected=f"0 to {count - 1}, of {count} classes",
            next_step="set data.classes",
        )
    names = class_names if class_names and len(class_names) == count else [str(n) for n in range(count)]
    return LabelledLatents(
        folder, paths, UnseenImages(labels, names, source), all(LATENTS + FLIP in one for one in headers)
    )


def _header(path: Path) -> Header:
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {name: (list(one.get_shape()), str(one.get_dtype())) for name, one in slices.items()}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or no safetensors file", given=error) from None


def _check_header(path: Path, header: Header, first: Header) -> None:
    if missing := {LATENTS, LABELS} - header.keys():
        raise UserError(
            f"{path} is not of LightningDiT's layout",
            given=json.dumps(sorted(header)),
            expected=f"tensors named {LATENTS}, {LABELS} and, mostly, {LATENTS}{FLIP}",
            next_step=f"no {', '.join(sorted(missing))}: take it out of the folder",
        )
    shape, kind = header[LABELS]
    if len(shape) != 1 or not kind.startswith(("I", "U")):
        raise UserError(
            f"the labels of {path} are no class numbers", given=f"{kind} {shape}", expected="(N,), integers"
        )
    expected = [shape[0], *first[LATENTS][0][1:]]
    for name in (LATENTS, LATENTS + FLIP):
        given, kind = header.get(name, (expected, "F32"))
        if given != expected or len(given) != 4 or not kind.startswith(("F", "BF")):
            raise UserError(
                f"the {name} of {path} do not fit",
                given=f"{kind} {given}",
                expected=f"(N, C, h, w) = {tuple(expected)}, floating-point numbers",
            )
