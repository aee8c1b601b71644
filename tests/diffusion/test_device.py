"""Sampling and decoding on an accelerator: nothing stays behind on the CPU."""

from __future__ import annotations

import pytest
import torch
from tests.elsewhere import elsewhere

from sendvae.diffusion import SiT, sample
from sendvae.diffusion.samplers import SAMPLERS
from sendvae.tokenizers import Architecture, Autoencoder
from sendvae.tokenizers.sliced import decode_sliced, encode_sliced

SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 2), num_res_blocks=1, norm_groups=4, resolution=16)


def small_sit() -> SiT:
    torch.manual_seed(0)
    sit = SiT(latent_channels=4, latent_size=4, patch_size=2, width=16, depth=2, heads=2, num_classes=3)
    with torch.no_grad():
        for parameter in sit.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return sit.eval()


@pytest.mark.parametrize("method", SAMPLERS)
def test_sampling_elsewhere(method: str) -> None:
    noise, labels = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 2])
    settings = {"method": method, "steps": 5, "guidance_scale": 2.0, "guidance_interval": (0.1, 0.8)}
    here = sample(small_sit(), noise, labels, **settings, generator=torch.Generator().manual_seed(2))
    with elsewhere() as device:
        generator = torch.Generator(device).manual_seed(2)
        sit = small_sit().to(device)
        there = sample(sit, noise.to(device), labels.to(device), **settings, generator=generator)
        assert there.device == device
        torch.testing.assert_close(there.cpu(), here, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_tokenizer_elsewhere() -> None:
    torch.manual_seed(0)
    tokenizer = Autoencoder(SMALL).eval()
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    here = [tokenizer.encode(images).mean, tokenizer.decode(tokenizer.encode(images).mean)]
    with elsewhere() as device:
        tokenizer, images = tokenizer.to(device), images.to(device)
        for encode, decode in (
            (tokenizer.encode, tokenizer.decode),
            (lambda x: encode_sliced(tokenizer, x, 3), lambda z: decode_sliced(tokenizer, z, 3)),
        ):
            z = encode(images).mean
            there = [z.cpu(), decode(z).cpu()]
            torch.testing.assert_close(there, here, rtol=1e-4, atol=1e-4)
