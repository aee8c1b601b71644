"""Digests of the images and weights that configurations only name."""

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
PREFERRED = ("train",)  # the split that is taken of a reference with several
LATENTS_DATA = {
    "data",
    "attributes_file",
    "size",
    "split",
    "box",
    "limit",
}  # the fields of a protocol that say which images it opens


class Contents:
    """The digests of images, tokenizers and generators, each computed once."""

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
        """Return the fingerprints of all splits that the scores of a latent space use."""
        which = protocol.model_dump_json(include=LATENTS_DATA)
        return self._once(
            ("splits", which),
            lambda: " | ".join(images.fingerprint for images in open_data(protocol).values()),
        )

    def tokenizer(self, source: str) -> str:
        """Return the digest of a tokenizer's files: weights, configuration, statistics, discriminator.

        A freshly initialised tokenizer ("fresh:ARCHITECTURE") has no files; its name stands for it.

        Raises:
            UserError: there is no such tokenizer.
        """
        if source.startswith(FRESH):
            return source

        def read() -> str:
            return _digest_of(locate(source).present)

        return self._once(("tokenizer", source), read)

    def run(self, source: str) -> str:
        """Return the digests of the weights of a run's generator and of its file of classes.

        Raises:
            UserError: there is no such generator.
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
    """Return the SHA-256 digest of the contents of files, which does not depend on their names."""
    total = hashlib.sha256()
    for path in paths:
        one = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                one.update(block)
        total.update(one.digest())
    return total.hexdigest()
