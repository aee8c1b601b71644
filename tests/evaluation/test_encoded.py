"""Latents that are evaluated: of which images, of which part of the posterior, in which order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.evaluation.samplable import small_tokenizer
from torch import Tensor

from sendvae.data import EmbeddedImages, open_embedded, to_float
from sendvae.evaluation.encoded import EncodedRows, make_encoder, noise
from sendvae.tokenizers import Autoencoder, Posterior

CPU = torch.device("cpu")
POSITIONS = np.array([7, 2, 11, 5, 3])  # not in order, and no full batch of 2
ROUNDING = {"rtol": 1e-4, "atol": 1e-4}  # between memory layouts


@pytest.fixture(scope="module")
def images() -> EmbeddedImages:
    return open_embedded("emoji", "train", limit=12)


def tokenizer() -> Autoencoder:
    """With a std far from 1: else one that is missing would not show."""
    small = small_tokenizer()
    with torch.no_grad():
        small.quant_conv.bias[4:] -= 4.0
    return small


def posterior_of(images: EmbeddedImages, flip: bool = False) -> Posterior:
    pixels = to_float(images.batch(POSITIONS).images)
    with torch.no_grad():
        return tokenizer().encode(pixels.flip(-1) if flip else pixels)


def encoded(images: EmbeddedImages, latent: str, seed: int = 5) -> Tensor:
    encoder = make_encoder(tokenizer(), CPU, latent, "fp32", seed, 2)
    return EncodedRows(encoder, images).batch(POSITIONS)


def test_the_mean_is_the_posteriors(images: EmbeddedImages) -> None:
    torch.testing.assert_close(encoded(images, "mean"), posterior_of(images).mean, **ROUNDING)


def test_a_sample_is_mean_plus_std_times_each_images_noise(images: EmbeddedImages) -> None:
    posterior = posterior_of(images)
    assert float(posterior.std.max()) < 0.6
    own = torch.cat(
        [noise(posterior.mean[:1], range(position, position + 1), 5) for position in POSITIONS.tolist()]
    )
    expected = posterior.mean + (0.5 * posterior.logvar).exp() * own
    torch.testing.assert_close(encoded(images, "sample"), expected, **ROUNDING)
    assert not torch.allclose(encoded(images, "sample", seed=6), expected, atol=0.1)


def test_a_cache_of_samples_depends_on_seed_and_stream_of_the_noise(
    images: EmbeddedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name(latent: str, seed: int) -> str:
        return make_encoder(tokenizer(), CPU, latent, "fp32", seed, 2).key(images).name

    sampled, mean, latents = name("sample", 5), name("mean", 5), encoded(images, "sample")
    assert name("sample", 5) == sampled
    assert name("sample", 6) != sampled
    assert name("mean", 6) == mean
    monkeypatch.setattr("sendvae.evaluation.encoded.NOISE", "another")
    assert not torch.allclose(encoded(images, "sample"), latents, atol=0.1)
    assert name("sample", 5) != sampled
    assert name("mean", 5) == mean
