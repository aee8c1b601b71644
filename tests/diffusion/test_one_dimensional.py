"""Generators of tokens without a grid."""

from __future__ import annotations

import json
import math
import re
import warnings
from argparse import Namespace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from sendvae.diffusion import SIZES, build_generator, load_generator, save_generator, trained_generator
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
    with pytest.warns(UserWarning, match="on which path"):
        bare = load_generator(tmp_path / "bare.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(bare(x, t, labels), row(x, t, labels))


def published(seed: int = 0, channels: int = 6, tokens: int = 10) -> dict[str, Tensor]:
    """Random weights of every tensor in a released SiT of tokens, at the width and depth of SiT-Tiny."""
    width, depth, random = (
        SIZES["SiT-Tiny"].width,
        SIZES["SiT-Tiny"].depth,
        torch.Generator().manual_seed(seed),
    )
    layers = {
        "x_embedder": (width, channels),
        "t_embedder.mlp.0": (width, 256),
        "t_embedder.mlp.2": (width, width),
        "final_layer.linear": (channels, width),
        "final_layer.adaLN_modulation.1": (2 * width, width),
    }
    for i in range(depth):
        layers |= {
            f"blocks.{i}.attn.qkv": (3 * width, width),
            f"blocks.{i}.attn.proj": (width, width),
            f"blocks.{i}.mlp.fc1": (4 * width, width),
            f"blocks.{i}.mlp.fc2": (width, 4 * width),
            f"blocks.{i}.adaLN_modulation.1": (6 * width, width),
        }
    shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in layers.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in layers.items()}
    shapes |= {"pos_embed": (1, tokens, width), "y_embedder.embedding_table.weight": (4, width)}
    return {name: 0.1 * torch.randn(shape, generator=random) for name, shape in shapes.items()}


def velocity(w: dict[str, Tensor], x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
    """What the makers' network gives for tokens (B, N, C), in float64, by their facts."""
    w = {name: tensor.double() for name, tensor in w.items()}
    width, heads = w["pos_embed"].shape[-1], SIZES["SiT-Tiny"].heads

    def linear(name: str, y: Tensor) -> Tensor:
        return y @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def modulated(y: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return F.layer_norm(y, (width,), eps=1e-6) * (1 + scale[:, None]) + shift[:, None]

    angles = t.double()[:, None] * torch.exp(-math.log(10_000) * torch.arange(128).double() / 128)
    embedded = F.silu(linear("t_embedder.mlp.0", torch.cat([angles.cos(), angles.sin()], 1)))
    c = F.silu(linear("t_embedder.mlp.2", embedded) + w["y_embedder.embedding_table.weight"][labels])
    y = linear("x_embedder", x.double()) + w["pos_embed"]
    for i in range(SIZES["SiT-Tiny"].depth):
        shift, scale, gate, shift_m, scale_m, gate_m = linear(f"blocks.{i}.adaLN_modulation.1", c).chunk(6, 1)
        q, k, v = (
            part.unflatten(2, (heads, -1)).transpose(1, 2)
            for part in linear(f"blocks.{i}.attn.qkv", modulated(y, shift, scale)).chunk(3, 2)
        )
        mixed = (q @ k.mT / math.sqrt(width / heads)).softmax(-1) @ v
        y = y + gate[:, None] * linear(f"blocks.{i}.attn.proj", mixed.transpose(1, 2).flatten(2))
        hidden = F.gelu(linear(f"blocks.{i}.mlp.fc1", modulated(y, shift_m, scale_m)), approximate="tanh")
        y = y + gate_m[:, None] * linear(f"blocks.{i}.mlp.fc2", hidden)
    return linear(
        "final_layer.linear", modulated(y, *linear("final_layer.adaLN_modulation.1", c).chunk(2, 1))
    )


def release(folder: Path, weights: dict[str, Tensor], **fields: object) -> Path:
    """A released folder, with the configuration of its makers' mixin."""
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    config = {
        "path_type": "edm",
        "in_channels": 6,
        "input_size": 10,
        "vae_1d": True,
        "use_cfg": True,
        **fields,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_released_sit_of_tokens_is_that_of_its_makers(tmp_path: Path) -> None:
    weights = published()
    with pytest.warns(UserWarning, match=r"on which path(?s:.*)linear"):
        sit = load_generator(release(tmp_path / "sit", weights))
    assert (sit.latent_shape, sit.num_classes, sit.path) == ((6, 10), 3, "linear")
    x, t, labels = torch.randn(3, 10, 6), torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0, 3, 1])
    with torch.no_grad():
        found = sit(x.mT, t, labels).mT.double()
    torch.testing.assert_close(found, velocity(weights, x, t, labels), rtol=1e-4, atol=1e-4)
    checkpoint = {"ema": weights, "model": published(1), "steps": 7, "args": Namespace(path_type="cosine")}
    torch.save(checkpoint, tmp_path / "0000007.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_generator(release(tmp_path / "cosine", weights, path_type="cosine")).path == "cosine"
        trained = load_generator(tmp_path / "0000007.pt")  # whose options name the path
    assert trained.path == "cosine"
    assert torch.equal(trained.state_dict()["x_embedder.weight"], weights["x_embedder.weight"])


def test_a_release_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    weights = published()
    less = {name: tensor for name, tensor in weights.items() if name != "blocks.1.attn.proj.bias"}
    both = weights | {  # a DiT, which predicts a variance besides
        name: torch.cat([weights[name]] * 2)
        for name in ("final_layer.linear.weight", "final_layer.linear.bias")
    }
    for number, (wrong, reason) in enumerate(
        [(less, "blocks.1.attn.proj.bias"), (both, "final_layer.linear")]
    ):
        folder = release(tmp_path / str(number), wrong, path_type="linear")
        with pytest.raises(UserError, match=f"do not fit a SiT(?s:.*){re.escape(reason)}"):
            load_generator(folder)


def test_what_needs_a_grid_is_refused() -> None:
    shape = {"latent_channels": 5, "latent_size": 12, "num_classes": 3, "one_dimensional": True}
    with pytest.raises(ValueError, match="patches of 1"):
        build_generator("SiT-Tiny/2", **shape)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no projector"):
        build_generator("SiT-Tiny/1", repa_width=8, **shape)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rotary"):
        build_generator("LightningDiT-Tiny/1", **shape)  # type: ignore[arg-type]
