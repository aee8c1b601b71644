"""What other rooms know of a tokenizer: shapes, sizes, where gradients are compared, what is encoder and decoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.tokenizers.conftest import SMALL

from sendvae.errors import UserError
from sendvae.tokenizers import ARCHITECTURES, Autoencoder, LatentStats, Posterior, Tokenizer, trainable


class Fixed(Tokenizer):
    """Takes 32-pixel images alone."""

    downsampling, image_size, one_size = 8, 32, True  # type: ignore[assignment]


@pytest.mark.parametrize(("name", "label"), [("f8d4", "f8d4"), ("f16d32", "f16d32"), ("demo-f8d16", "f8d16")])
def test_shapes_of_latents(name: str, label: str) -> None:
    with torch.device("meta"):
        tokenizer = Autoencoder(ARCHITECTURES[name])
        for size in (64, 128):
            mean = tokenizer.encode(torch.zeros(2, 3, size, size)).mean
            assert tokenizer.latent_shape(size) == tuple(mean.shape[1:])
    assert tokenizer.latent_channels == mean.shape[1]
    assert tokenizer.label == label


def test_sizes_of_images(small: Autoencoder) -> None:
    assert small.downsampling == 4
    assert small.image_size == 256
    assert small.expected_size(8, 12) is None
    assert small.expected_size(8, 10) == small.expected_size(10, 8) == "multiples of 4"
    assert Fixed().expected_size(32, 32) is None
    assert (
        Fixed().expected_size(64, 32)
        == Fixed().expected_size(32, 64)
        == Fixed().expected_size(64, 64)
        == "32 x 32"
    )


def test_every_parameter_belongs_to_encoder_or_decoder(small: Autoencoder) -> None:
    """The encoder's are those that the posterior depends on, the decoder's those that an image of it does."""
    encoder, decoder = list(small.encoder_parameters()), list(small.decoder_parameters())
    assert len(encoder) + len(decoder) == len(list(small.parameters()))
    posterior = small.encode(torch.rand(1, 3, 16, 16))
    (posterior.mean.sum() + posterior.logvar.sum()).backward()
    assert all(parameter.grad is not None for parameter in encoder)
    assert all(parameter.grad is None for parameter in decoder)
    small.zero_grad()
    small.decode(torch.randn(1, 4, 4, 4)).sum().backward()
    assert all(parameter.grad is None for parameter in encoder)
    assert all(parameter.grad is not None for parameter in decoder)


def test_the_last_layers(small: Autoencoder) -> None:
    assert small.encoder_out is small.encoder.conv_out.weight
    assert small.decoder_out is small.decoder.conv_out.weight


def test_identities_tell_networks_apart() -> None:
    with torch.device("meta"):
        found = [Autoencoder(replace(SMALL, norm_groups=groups)).identity for groups in (16, 32)]
    assert found[0] != found[1]


def test_what_cannot_be_trained_is_told(small: Autoencoder) -> None:
    assert trainable(small, "small") is small
    with pytest.raises(UserError, match="a-name can be scored"):
        trainable(Fixed(), "a-name")


def test_a_deterministic_posterior_is_a_point() -> None:
    z = torch.randn(2, 3, 4)
    posterior = Posterior.at(z)
    assert torch.equal(posterior.sample(), z)
    assert torch.equal(posterior.std, torch.zeros_like(z))
    cached = Posterior(z, 2.0 * posterior.std.log())  # as a cache of means and deviations gives it back
    assert torch.equal(cached.sample(), z)


@pytest.mark.parametrize("shape", [(2,), (2, 3, 4)])
def test_statistics_per_channel_or_per_position(shape: tuple[int, ...]) -> None:
    mean, std = torch.randn(shape), torch.rand(shape) + 0.5
    stats, z = LatentStats(mean, std), torch.randn(5, 2, 3, 4)
    expected = torch.stack([(one - _spread(mean)) / _spread(std) for one in z])
    torch.testing.assert_close(stats.normalize(z), expected)
    torch.testing.assert_close(stats.denormalize(expected), z)


def _spread(values: torch.Tensor) -> torch.Tensor:
    return values if values.ndim == 3 else values[:, None, None].expand(2, 3, 4)
