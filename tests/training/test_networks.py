"""The networks handed to the stages: fresh ones depend on the seed alone; blank ones read no file."""

from __future__ import annotations

import pytest
import torch
from tests.training.test_vae import SIZE, WIDTH, config_of, tokenizer
from torch import nn

from sendvae.config import DiffusionConfig, load_config
from sendvae.errors import UserError
from sendvae.tokenizers import Tokenizer
from sendvae.training.networks import VAENetworks, generator_shape, tokenizer_networks, vae_networks


def weights(network: nn.Module | None) -> torch.Tensor:
    assert network is not None
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def built(seed: int, elsewhere: int, preset: str = "send-vae") -> VAENetworks:
    """`elsewhere` seeds the global generator that came before."""
    vae = tokenizer()
    torch.manual_seed(elsewhere)
    return tokenizer_networks(config_of(f"seed={seed}", preset=preset), vae, SIZE, WIDTH)


def test_fresh_networks_depend_on_the_seed_alone() -> None:
    first, again, other = built(3, 0), built(3, 1), built(4, 0)
    for name in ("discriminator", "alignment"):
        networks = [getattr(found, name) for found in (first, again, other)]
        assert torch.equal(weights(networks[0]), weights(networks[1])), name
        assert not torch.equal(weights(networks[0]), weights(networks[2])), name
    assert torch.equal(weights(first.perceptual), weights(other.perceptual))  # it has its published weights


def test_methods_share_the_discriminator() -> None:
    with_head, without = built(3, 0), built(3, 0, preset="plain")
    assert without.alignment is None
    assert torch.equal(weights(with_head.discriminator), weights(without.discriminator))


def test_blank_networks_read_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the perceptual network's weights nor the discriminator's start."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("blank networks read no weights")

    config, vae = config_of("losses.discriminator_init=nowhere.pt"), tokenizer()
    with pytest.raises(UserError):
        vae_networks(config, vae)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr("safetensors.torch.load_file", refuse)
    with torch.device("meta"):
        blank = tokenizer_networks(config, vae, SIZE, WIDTH, pretrained=False)
    for network in (blank.perceptual, blank.discriminator, blank.alignment):
        assert {parameter.device.type for parameter in network.parameters()} == {"meta"}  # type: ignore[union-attr]


def test_a_head_that_does_not_fit_the_latent_is_refused() -> None:
    with pytest.raises(UserError, match=r"alignment\.grid=3 for a latent of 8 x 8"):
        tokenizer_networks(config_of("alignment.grid=3"), tokenizer(), SIZE, WIDTH)


class Sequential(Tokenizer):
    """Latents of 128 tokens that lie nowhere."""

    def latent_shape(self, size: int) -> tuple[int, ...]:
        del size
        return 32, 128


def test_latents_without_a_grid_need_a_generator_without_one() -> None:
    def diffusion(*changes: str) -> DiffusionConfig:
        return load_config(DiffusionConfig, "demo/sit-tiny", list(changes))

    assert generator_shape(diffusion(), tokenizer(), SIZE) == tokenizer().latent_shape(SIZE)
    assert generator_shape(diffusion("model=SiT-B/1", "repa=null"), Sequential(), SIZE) == (32, 128)
    for changes, given in (
        (("model=SiT-B/1",), "repa=effnet-lite0"),
        (("model=SiT-B/2", "repa=null"), "model=SiT-B/2"),
        (("model=LightningDiT-B/1", "repa=null"), "model=LightningDiT-B/1"),
    ):
        with pytest.raises(UserError, match=rf"do not fit(?s:.*){given}(?s:.*)model=SiT-B/1 repa=null"):
            generator_shape(diffusion(*changes), Sequential(), SIZE)
