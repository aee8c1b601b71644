"""The answers to choices made in the browser, as HTML fragments, independently of gradio."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from sendvae.app import probe, reconstructions, uploads
from sendvae.app.drawing import Order, Panel, draw, labels_of
from sendvae.app.fragments import fragment
from sendvae.app.interpolation import WAYS, interpolate
from sendvae.app.models import Models
from sendvae.app.refusal import Refusal
from sendvae.autoencoding import load_perceptual
from sendvae.data import open_embedded
from sendvae.evaluation.diffusion_model import DiffusionModel
from sendvae.tokenizers import Tokenizer

SIDES = (64, 128, 256, 512)  # pixels; every tokenizer's downsampling divides them
PARTS = 2  # columns of the table of attributes
NO_PICTURE = Refusal("there is no picture", next_step="drop one, or take an emoji")


@dataclass(frozen=True)
class Answers:
    """The answers of the app, a method for each question; each returns HTML.

    Attributes:
        models: the models that the app shows, on `device`.
        device: the device that computes.
        cache: the folder of the caches.
    """

    models: Models
    device: torch.device
    cache: Path

    @property
    def side(self) -> int:
        """Return the smallest of `SIDES` that no tokenizer's image size exceeds, or the largest of them."""
        made_for = max(tokenizer.image_size for tokenizer in self.models.tokenizers.values())
        return next((side for side in SIDES if side >= made_for), SIDES[-1])

    def header(self) -> str:
        """Return the header, which names the device and the models."""
        return fragment(
            "header.html",
            device=self.device.type.upper(),
            tokenizers=list(self.models.tokenizers),
            diffusion=list(self.models.diffusion),
        )

    def emoji(self, seed: int) -> Image.Image:
        """Return one of the embedded emoji that trained nothing."""
        images = open_embedded(probe.DATA, "test")
        pixels = images[seed % len(images)].image
        return Image.fromarray(pixels.permute(1, 2, 0).numpy())

    def reconstruct(self, upload: Path | None, names: Sequence[str], side: int, fit: str) -> str:
        """Show what the named tokenizers make of an uploaded picture.

        Raises:
            Refusal: the side is not in `SIDES`, there is no picture, it cannot be taken, or no tokenizer is named.
        """
        if side not in SIDES:
            raise Refusal("no such size", given=side, expected=", ".join(map(str, SIDES)))
        found = _square(upload, side, fit)
        tokenizers = {name: self._tokenizer(name, side) for name in names}
        if not tokenizers:
            raise Refusal("no tokenizer is chosen")
        return fragment(
            "reconstructions.html",
            note=found.note,
            original=found.pixels,
            found=reconstructions.reconstruct(tokenizers, found.pixels, self._perceptual, self.device),
            perceptual=reconstructions.PERCEPTUAL,
            inf=math.inf,
        )

    def draw(self, order: Order) -> Iterator[str | None]:
        """Yield samples while they are drawn; None where nothing is new.

        Raises:
            Refusal: no model is named, settings are out of range, or the models have different classes.
        """
        if not order.models:
            raise Refusal("no diffusion model is chosen")
        models = {title: self._diffusion(title) for title in order.models}
        config = order.config()
        labels = labels_of(models, config)
        first = next(iter(models.values()))
        names = first.classes.names or [str(number) for number in range(first.classes.count)]
        content = {
            "models": list(models),
            "note": _noise_note(models),
            "labels": [names[label] for label in labels.values.tolist()],
            "steps": config.steps,
            "command": f"sendvae sample {' '.join(['RUN'] * len(models))} --grid 1x{config.images} --to grid.png"
            f" --labels {config.labels} --guidance {config.guidance_scale:g} --steps {config.steps}"
            f" --seed {config.seed}",
        }
        for panels in draw(models, config, labels):
            if panels is None:
                yield None
                continue
            yield fragment("samples.html", panels=panels, done=_all_done(panels, len(models)), **content)

    def read(self, upload: Path | None, name: str, fit: str, on_progress: probe.OnProgress) -> str:
        """Show which attributes a tokenizer's probe predicts for an uploaded picture.

        Args:
            upload: the file of the picture.
            name: the name of the tokenizer.
            fit: how the picture becomes square, "crop" or "pad".
            on_progress: a function that is called with the progress of fitting the probe, which happens once.

        Raises:
            Refusal: there is no picture, it cannot be taken, or there is no such tokenizer.
        """
        tokenizer = self._tokenizer(name, probe.SIDE)
        found = _square(upload, probe.SIDE, fit)
        fitted = probe.fit_probe(tokenizer, self.cache, self.device, on_progress)
        readings = fitted.read(probe.encode_picture(tokenizer, found.pixels, self.device))
        rows = -(-len(readings) // PARTS)
        parts = [readings[start : start + rows] for start in range(0, len(readings), rows)]
        return fragment("attributes.html", note=found.note, name=name, probe=fitted, parts=parts)

    def interpolate(
        self, first: Path | None, last: Path | None, names: Sequence[str], steps: int, fit: str
    ) -> str:
        """Show the interpolations between two uploaded pictures, at the size that the tokenizers were made for.

        Raises:
            Refusal: a picture is missing or cannot be taken, no tokenizer is named, or `steps` is out of range.
        """
        if not names:
            raise Refusal("no tokenizer is chosen")
        ends = [_square(upload, self.side, fit) for upload in (first, last)]
        strips = {
            (name, way): interpolate(
                self._tokenizer(name, self.side), ends[0].pixels, ends[1].pixels, steps, way, self.device
            )
            for name in names
            for way in WAYS
        }
        note = " ".join(f"{which}: {end.note}" for which, end in zip(("From", "To"), ends, strict=True))
        return fragment("strips.html", note=note, strips=strips)

    @cached_property
    def _perceptual(self) -> nn.Module:
        return load_perceptual(reconstructions.PERCEPTUAL).to(self.device)

    def _tokenizer(self, name: str, side: int) -> Tokenizer:
        """Return a tokenizer that takes pictures of this size."""
        if name not in self.models.tokenizers:
            raise Refusal("no such tokenizer", given=name, expected=", ".join(self.models.tokenizers))
        tokenizer = self.models.tokenizers[name]
        if expected := tokenizer.expected_size(side, side):
            raise Refusal(f"{name} does not take pictures of this size", given=side, expected=expected)
        return tokenizer

    def _diffusion(self, name: str) -> DiffusionModel:
        if name not in self.models.diffusion:
            raise Refusal("no such diffusion model", given=name, expected=", ".join(self.models.diffusion))
        return self.models.diffusion[name]


def _square(upload: Path | None, side: int, fit: str) -> uploads.Square:
    if upload is None:
        raise NO_PICTURE
    return uploads.square(uploads.open_upload(upload), side, fit)


def _noise_note(models: dict[str, DiffusionModel]) -> str:
    if len(models) == 1:
        return "An image's noise follows from the seed and its number."
    if len({model.latent_shape for model in models.values()}) == 1:
        return "Every image begins with the same noise and has the same class in every panel."
    return "Equal classes in every panel, but other noise, since the latents differ in shape."


def _all_done(panels: dict[str, Panel], count: int) -> bool:
    return len(panels) == count and all(panel.step == panel.steps for panel in panels.values())
