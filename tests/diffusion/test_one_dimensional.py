"""Generators of tokens without a grid."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sendvae.diffusion import build_generator, load_generator, save_generator, trained_generator
from sendvae.errors import UserError
from sendvae.nn import token_positions


def shaken(generator: torch.nn.Module, seed: int = 0) -> None:
    """Give every weight a value: in a fresh model the gates are 0."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.copy_(0.05 * torch.randn(parameter.shape, generator=random))


def test_positions_alternate_sines_and_cosines() -> None:
    table = token_positions(6, 5)
    for place in range(5):
        angles = [place / 10_000 ** (i / 3) for i in range(3)]
        expected = [value for a in angles for value in (math.sin(a), math.cos(a))]
        torch.testing.assert_close(table[place], torch.tensor(expected))
    with pytest.raises(ValueError, match="multiple of 2"):
        token_positions(5, 2)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_it_is_the_network_of_a_grid_whose_tokens_stand_in_a_row(qk_norm: bool) -> None:
    options = {"latent_channels": 5, "num_classes": 3, "qk_norm": qk_norm}
    row = build_generator("SiT-Tiny/1", latent_size=16, one_dimensional=True, **options)
    grid = build_generator("SiT-Tiny/1", latent_size=4, **options)
    shaken(grid)
    weights = grid.state_dict()
    weights["x_embedder.weight"] = weights.pop("x_embedder.proj.weight").flatten(1)
    weights["x_embedder.bias"] = weights.pop("x_embedder.proj.bias")
    row.load_state_dict(weights)
    x, t, labels = torch.randn(3, 5, 4, 4), torch.rand(3), torch.tensor([0, 3, 1])
    with torch.no_grad():
        torch.testing.assert_close(row(x.flatten(2), t, labels), grid(x, t, labels).flatten(2))
    assert row.latent_shape == (5, 16)
    with pytest.raises(ValueError, match=r"expected latents \(B, 5, 16\)"):
        row(x, t, labels)


def test_it_comes_back_from_a_folder_and_a_checkpoint(tmp_path: Path) -> None:
    row = build_generator(
        "SiT-Tiny/1", latent_channels=5, latent_size=12, num_classes=3, one_dimensional=True
    )
    torch.testing.assert_close(row.pos_embed[0], token_positions(192, 12))
    positions = row.pos_embed.clone()
    shaken(row)
    row.pos_embed.data.copy_(positions)
    save_generator(row, tmp_path / "folder")
    save_file(row.state_dict(), tmp_path / "bare.safetensors")
    x, t, labels = torch.randn(2, 5, 12), torch.rand(2), torch.tensor([0, 3])
    for loaded in (load_generator(tmp_path / "folder"), trained_generator(row.state_dict(), {}, tmp_path)):
        assert loaded.latent_shape == (5, 12)
        with torch.no_grad():
            torch.testing.assert_close(loaded(x, t, labels), row(x, t, labels))
    with pytest.raises(UserError, match="which way its time runs"):
        load_generator(tmp_path / "bare.safetensors")


def test_what_needs_a_grid_is_refused() -> None:
    shape = {"latent_channels": 5, "latent_size": 12, "num_classes": 3, "one_dimensional": True}
    with pytest.raises(ValueError, match="patches of 1"):
        build_generator("SiT-Tiny/2", **shape)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no projector"):
        build_generator("SiT-Tiny/1", repa_width=8, **shape)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rotary"):
        build_generator("LightningDiT-Tiny/1", **shape)  # type: ignore[arg-type]
