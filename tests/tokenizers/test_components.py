"""A tokenizer of any kind that is written as a part of something larger comes back with its latents and images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.tokenizers.families import SMALL, save_small
from tests.tokenizers.test_variants import VARIANTS, build

from sendvae.tokenizers import Tokenizer, load_tokenizer
from sendvae.tokenizers.export import write_component
from sendvae.tokenizers.maetok import MAETok, MAETokShape
from sendvae.tokenizers.softvq import Size, SoftVQ, SoftVQShape

SIDE = 32  # pixels
TOKENS = {
    "MAETok": lambda: MAETok(
        MAETokShape(tokens=10, dims=6, size=SIDE, patch=16, width=128, depth=2, heads=2)
    ),
    "SoftVQ": lambda: SoftVQ(
        SoftVQShape(12, 6, SIDE, 16, Size(128, 2), Size(64, 1), codebooks=3, codes=20, temperature=0.4)
    ),
}


def made(kind: str, folder: Path) -> Tokenizer:
    if kind in SMALL:
        save_small(kind, folder)
        return load_tokenizer(folder)
    if kind in VARIANTS:
        return build(VARIANTS[kind])
    return TOKENS[kind]().eval() if kind in TOKENS else load_tokenizer(kind)


@torch.no_grad()
@pytest.mark.parametrize("kind", [*SMALL, *VARIANTS, *TOKENS, "demo-pca", "demo-send-vae"])
def test_it_comes_back_as_it_was(kind: str, tmp_path: Path) -> None:
    tokenizer = made(kind, tmp_path / "source")
    (tmp_path / "vae").mkdir()
    write_component(tokenizer, tmp_path / "vae")
    back = load_tokenizer(tmp_path / "vae")
    assert type(back) is type(tokenizer)
    assert back.identity == tokenizer.identity
    images = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    z = tokenizer.encode(images).mean
    assert tuple(z.shape[1:]) == back.latent_shape(SIDE)
    torch.testing.assert_close(back.encode(images).mean, z)
    torch.testing.assert_close(back.decode(z), tokenizer.decode(z))
