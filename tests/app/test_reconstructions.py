"""Reconstructions in the app: what an identity gives, and the numbers of `sendvae evaluate reconstruction`."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests.evaluation.samplable import small_tokenizer
from tests.tokenizers.test_components import TOKENS
from torch import Tensor

from sendvae.app.reconstructions import PERCEPTUAL, reconstruct
from sendvae.autoencoding import load_perceptual
from sendvae.config import ReconstructionConfig, validate
from sendvae.evaluation import measure_reconstruction
from sendvae.tokenizers import Autoencoder, load_tokenizer
from sendvae.tokenizers.posterior import Posterior

CPU = torch.device("cpu")


class Identity(Autoencoder):
    """Its latent is the picture, brighter by so many levels."""

    def __init__(self, levels: int = 0) -> None:
        super().__init__(small_tokenizer().architecture)
        self.levels = levels

    def encode(self, images: Tensor) -> Posterior:
        return Posterior(images, torch.full_like(images, -30.0))

    def decode(self, z: Tensor) -> Tensor:
        return z + self.levels / 127.5


def distance(copies: Tensor, originals: Tensor) -> Tensor:
    return (copies - originals).abs().amax(dim=(1, 2, 3)) + copies.amax(dim=(1, 2, 3))


def pixels(seed: int = 0, side: int = 16, high: int = 200) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, high, (3, side, side), dtype=torch.uint8, generator=generator)


def test_an_identity_is_equal_and_the_next_one_off_by_its_levels() -> None:
    original = pixels()
    found = reconstruct({"same": Identity(), "off": Identity(5)}, original, distance, CPU)
    assert list(found) == ["same", "off"]
    same, off = found["same"], found["off"]
    assert torch.equal(same.copy, original)
    assert math.isinf(same.psnr)
    assert (same.difference == 128).all()
    assert torch.equal(off.copy, original + 5)
    assert (off.difference == 133).all()
    assert off.psnr == pytest.approx(20 * math.log10(255 / 5), abs=1e-6)
    assert off.perceptual - same.perceptual == pytest.approx(2 * 5 / 127.5, abs=1e-4)
    assert same.shape == (3, 16, 16)


def test_what_lies_beyond_white_is_clamped_for_the_perceptual_network() -> None:
    found = reconstruct({"off": Identity(100)}, torch.full((3, 8, 8), 255, dtype=torch.uint8), distance, CPU)
    assert found["off"].perceptual == pytest.approx(1.0)
    assert (found["off"].latent.shape) == (3, 8, 8)  # of a picture without any colour, too


def test_tokens_without_a_grid_are_stripes() -> None:
    tokenizer = TOKENS["MAETok"]().eval()
    (found,) = reconstruct({"tokens": tokenizer}, pixels(1, 32), distance, CPU).values()
    assert found.shape == (6, 10)
    assert found.latent.shape == (3, 10, 10)
    assert torch.equal(found.latent, found.latent[:, :1].expand(-1, 10, -1))
    assert len(found.latent[0, 0].unique()) > 1


def test_numbers_are_those_of_the_evaluation() -> None:
    """PSNR and the perceptual distance of a picture are what the evaluation's table says of it."""
    tokenizer = load_tokenizer("demo-f8d16")
    original = pixels(3, 64, 256)
    network = load_perceptual(PERCEPTUAL)
    (found,) = reconstruct({"demo": tokenizer}, original, network, CPU).values()
    settings: dict[str, Any] = {
        "metrics": ["psnr", "perceptual"], "perceptual": PERCEPTUAL, "features": "mobilenet-v2",
        "precision": "fp32", "batch_size": 1, "latent": "mean",
    }  # fmt: skip
    result = measure_reconstruction(
        tokenizer, torch.stack([original, original]), validate(ReconstructionConfig, settings), CPU
    )
    assert result is not None
    numbers = result.subjects[0].numbers
    assert found.psnr == pytest.approx(numbers["psnr"].value, abs=1e-4)
    assert found.perceptual == pytest.approx(numbers[PERCEPTUAL].value, rel=1e-4)
    assert found.shape == (16, 8, 8)
    assert found.latent.shape == (3, 8, 8)
