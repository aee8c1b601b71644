"""Digests of what configurations only name: images and weights. Each is looked up once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from sendvae.config import LatentsConfig
from sendvae.data import AdmArchive, open_images
from sendvae.diffusion import load_generator, locate_generator
from sendvae.evaluation.latents import open_data
from sendvae.nn import weights_digest
from sendvae.runs.classes import CLASSES
from sendvae.tokenizers.sources import locate
from sendvae.training.start import FRESH

BLOCK = 2**20  # bytes read at a time
PREFERRED = ("train",)  # split of a reference with several
LATENTS_DATA = {
    "data",
    "attributes_file",
    "size",
    "split",
    "box",
    "limit",
}  # of a protocol: which images it opens


class Contents:
    """What lies outside of the configurations, by digest."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], str] = {}

    def images(self, source: str, split: str | None, limit: int | None) -> str:
        """Return the fingerprint of an image set, or of an npz file of statistics."""

        def read() -> str:
            if source.lower().endswith(".npz"):
                return AdmArchive(Path(source), limit).fingerprint
            return open_images(source, split, limit, preferred=PREFERRED).fingerprint

        return self._once(("images", source, str(split), str(limit)), read)

    def splits(self, protocol: LatentsConfig) -> str:
        """Return the fingerprints of all splits that the scores of a latent space see."""
        which = protocol.model_dump_json(include=LATENTS_DATA)
        return self._once(
            ("splits", which),
            lambda: " | ".join(images.fingerprint for images in open_data(protocol).values()),
        )

    def tokenizer(self, source: str) -> str:
        """Return the digest of a tokenizer's files: weights, configuration, statistics, discriminator.

        Raises:
            UserError: there is none.
        """
        if source.startswith(FRESH):
            return source

        def read() -> str:
            return _digest_of(locate(source).present)

        return self._once(("tokenizer", source), read)

    def run(self, source: str) -> str:
        """Return the digest of the generator of a run, and of its classes.

        Raises:
            UserError: there is none.
        """

        def read() -> str:
            classes = locate_generator(source) / CLASSES
            known = _digest_of([classes]) if classes.is_file() else "no classes"
            return f"{weights_digest(load_generator(source))}, {known}"

        return self._once(("run", source), read)

    def _once(self, key: tuple[str, ...], read: Callable[[], str]) -> str:
        if key not in self._found:
            self._found[key] = read()
        return self._found[key]


def _digest_of(paths: Iterable[Path]) -> str:
    """Of the bytes of files, whatever their names."""
    total = hashlib.sha256()
    for path in paths:
        one = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                one.update(block)
        total.update(one.digest())
    return total.hexdigest()
