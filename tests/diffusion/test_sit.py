"""SiT: published sizes, initialisation, conditioning."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sendvae.diffusion import SiT, build_sit, diffusion_objective
from sendvae.errors import UserError

# Parameters without the frozen position embedding and the projector: (patch 2, 4 channels), (patch 1, 32 channels).
PUBLISHED = {
    "S": (32_858_896, 32_871_200),
    "B": (130_303_504, 130_328_096),
    "L": (457_824_272, 457_857_056),
    "XL": (674_816_272, 674_853_152),
}
PROJECTORS = {"S": 6_558_464, "B": 7_344_896, "L": 7_869_184, "XL": 8_131_328}


def tiny(**changes: Any) -> SiT:
    sizes: dict[str, Any] = {
        "latent_channels": 3,
        "latent_size": 4,
        "patch_size": 2,
        "width": 16,
        "depth": 2,
        "heads": 2,
        "num_classes": 5,
    }
    return SiT(**{**sizes, **changes})


def randomised(sit: SiT) -> SiT:
    """Replaces the zero initialisation, so that outputs are not zero."""
    for parameter in sit.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    return sit


@pytest.mark.parametrize("size", PUBLISHED)
@pytest.mark.parametrize(("column", "patch", "channels", "side"), [(0, 2, 4, 32), (1, 1, 32, 16)])
def test_parameter_counts(size: str, column: int, patch: int, channels: int, side: int) -> None:
    with torch.device("meta"):
        sit = build_sit(
            f"SiT-{size}/{patch}",
            latent_channels=channels,
            latent_size=side,
            num_classes=1000,
            repa_width=768,
        )
    projector = sum(p.numel() for p in sit.projectors.parameters())
    assert projector == PROJECTORS[size]
    total = sum(p.numel() for p in sit.parameters())
    assert total - projector - sit.pos_embed.numel() == PUBLISHED[size][column]
    assert sit.repa_depth == (4 if size in "SB" else 8)


def test_key_layout() -> None:
    keys = set(tiny(repa_width=8, repa_depth=1).state_dict())
    assert {
        "x_embedder.proj.weight", "t_embedder.mlp.2.bias", "y_embedder.embedding_table.weight", "pos_embed",
        "blocks.1.attn.qkv.weight", "blocks.1.attn.proj.bias", "blocks.1.mlp.fc1.weight", "blocks.1.mlp.fc2.bias",
        "blocks.1.adaLN_modulation.1.weight", "projectors.0.4.weight", "final_layer.linear.bias",
        "final_layer.adaLN_modulation.1.weight",
    } <= keys  # fmt: skip


def test_a_fresh_model_gives_exactly_zero() -> None:
    sit = tiny()
    assert torch.equal(
        sit(torch.randn(2, 3, 4, 4), torch.rand(2), torch.tensor([0, 5])), torch.zeros(2, 3, 4, 4)
    )


def recomputed(w: dict[str, Tensor], x: Tensor, t: Tensor, y: Tensor, heads: int, patch: int) -> list[Tensor]:
    """SiT from its paper's equations, on a state dict: the velocity, then the output of each block."""

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def adapted(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * (1 + scale) + shift

    def head_norm(name: str, x: Tensor) -> Tensor:
        if f"{name}.weight" not in w:
            return x
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    frequencies = torch.tensor([10_000 ** (-i / 128) for i in range(128)], dtype=x.dtype)
    waves = torch.cat([torch.cos(t[:, None] * frequencies), torch.sin(t[:, None] * frequencies)], dim=1)
    c = linear("t_embedder.mlp.2", F.silu(linear("t_embedder.mlp.0", waves)))
    c = F.silu(c + w["y_embedder.embedding_table.weight"][y])[:, None]
    tokens = F.unfold(x, patch, stride=patch).transpose(1, 2)
    h = tokens @ w["x_embedder.proj.weight"].flatten(1).T + w["x_embedder.proj.bias"] + w["pos_embed"]
    hidden = []
    for i in range(len({name.split(".")[1] for name in w if name.startswith("blocks.")})):
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = linear(
            f"blocks.{i}.adaLN_modulation.1", c
        ).chunk(6, -1)
        q, k, v = linear(f"blocks.{i}.attn.qkv", adapted(h, shift_a, scale_a)).chunk(3, dim=-1)
        mixed = []
        for q_h, k_h, v_h in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
            q_h, k_h = (head_norm(f"blocks.{i}.attn.{name}_norm", h) for name, h in (("q", q_h), ("k", k_h)))
            scores = q_h @ k_h.transpose(1, 2) / math.sqrt(q_h.shape[-1])
            mixed.append(scores.softmax(-1) @ v_h)
        h = h + gate_a * linear(f"blocks.{i}.attn.proj", torch.cat(mixed, dim=-1))
        inner = linear(f"blocks.{i}.mlp.fc1", adapted(h, shift_m, scale_m))
        gelu = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
        h = h + gate_m * linear(f"blocks.{i}.mlp.fc2", gelu)
        hidden.append(h)
    out = linear("final_layer.linear", adapted(h, *linear("final_layer.adaLN_modulation.1", c).chunk(2, -1)))
    side = x.shape[-1]
    velocity = torch.zeros_like(x)
    for n in range(
        out.shape[1]
    ):  # token n stands at (row, column); its values run over rows, columns, channels
        row, column = divmod(n, side // patch)
        square = out[:, n].reshape(len(x), patch, patch, -1).movedim(-1, 1)
        velocity[:, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch] = square
    return [velocity, *hidden]


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_forward_against_the_papers_equations(patch: int, training: bool, qk_norm: bool) -> None:
    """With LayerNorm on queries and keys, too, which is REPA's option."""
    sit = tiny(patch_size=patch, repa_width=7, repa_depth=1, repa_hidden=9, qk_norm=qk_norm)
    sit = randomised(sit).double().train(training)
    x, t, labels = torch.randn(3, 3, 4, 4).double(), torch.rand(3).double(), torch.tensor([0, 4, 5])
    with torch.no_grad():
        velocity, features = sit.forward_with_features(x, t, labels)
        expected, first, _ = recomputed(sit.state_dict(), x, t, labels, heads=2, patch=patch)
        torch.testing.assert_close(velocity, expected, atol=1e-5, rtol=1e-5)  # t is embedded in float32
        torch.testing.assert_close(features, sit.projectors[0](first), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(sit(x, t, labels), velocity)


def test_rows_are_independent_and_all_inputs_matter() -> None:
    sit = randomised(tiny()).eval()
    x, t, labels = torch.randn(3, 3, 4, 4), torch.rand(3), torch.tensor([0, 1, 2])
    out = sit(x, t, labels)
    torch.testing.assert_close(sit(x[1:2], t[1:2], labels[1:2])[0], out[1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(sit(x, t, labels.flip(0)), out)
    assert not torch.allclose(sit(x, t.flip(0), labels), out)


def test_null_label_comes_from_the_model() -> None:
    assert tiny().null_label == 5
    sit = tiny(num_classes=7)
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    dropped = sit.drop_labels(torch.zeros(20_000, dtype=torch.long), uniform)
    assert set(dropped.unique().tolist()) == {0, 7}
    assert float((dropped == 7).double().mean()) == pytest.approx(0.1, abs=0.01)


def test_position_embedding_stays_as_it_is_through_a_step() -> None:
    sit = randomised(tiny())
    before = sit.pos_embed.clone()
    optimizer = torch.optim.AdamW(sit.parameters(), lr=0.1, weight_decay=0.1)
    sit(torch.randn(2, 3, 4, 4), torch.rand(2), torch.tensor([0, 1])).square().mean().backward()
    optimizer.step()
    assert not sit.pos_embed.requires_grad
    assert torch.equal(sit.pos_embed, before)


@pytest.mark.usefixtures("unchecked")
def test_wrong_latents_and_missing_features_are_refused() -> None:
    sit, t, labels = tiny(), torch.rand(2), torch.tensor([0, 1])
    for shape in ((2, 3, 2, 2), (2, 2, 4, 4)):  # the first would broadcast over the positions
        with pytest.raises(ValueError, match="expected latents"):
            sit(torch.zeros(shape), t, labels)
    z = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match="projector"):
        diffusion_objective(sit, z, labels, time=t, noise=z, tokens=torch.zeros(2, 4, 8), repa_weight=0.5)


def test_objective_recomputed_in_float64() -> None:
    sit = randomised(tiny(repa_width=8, repa_depth=1)).double().train()
    sit.label_dropout = 0.0
    z, noise, t = torch.randn(4, 3, 4, 4).double(), torch.randn(4, 3, 4, 4).double(), torch.rand(4).double()
    labels, tokens = torch.tensor([0, 1, 2, 3]), torch.randn(4, 4, 8).double()
    with torch.no_grad():
        terms = diffusion_objective(
            sit, z, labels, time=t, noise=noise, tokens=tokens, repa_weight=0.5, direction_weight=0.7
        )
    x_t = torch.stack([(1 - t[i]) * z[i] + t[i] * noise[i] for i in range(4)])
    with torch.no_grad():
        velocity, features = sit.forward_with_features(x_t, t, labels)
    assert features is not None
    expected = ((velocity - (noise - z)) ** 2).mean()
    cosine = (features * tokens).sum(-1) / (features.norm(dim=-1) * tokens.norm(dim=-1))
    assert float(terms["velocity"]) == pytest.approx(float(expected), rel=1e-5)
    assert float(terms["repa"]) == pytest.approx(float(-cosine.mean()), rel=1e-5)
    target = noise - z
    channels = (velocity * target).sum(1) / (velocity.norm(dim=1) * target.norm(dim=1))
    assert float(terms["direction"]) == pytest.approx(float(1 - channels.mean()), rel=1e-5)
    total = expected - 0.5 * cosine.mean() + 0.7 * (1 - channels.mean())
    assert float(terms["loss"]) == pytest.approx(float(total), rel=1e-5)


def test_autocast_is_finite() -> None:
    sit = randomised(tiny())
    with torch.autocast("cpu", torch.bfloat16):
        assert bool(sit(torch.randn(2, 3, 4, 4), torch.rand(2), torch.tensor([0, 1])).isfinite().all())


def test_the_timestep_is_embedded_in_float32_under_autocast() -> None:
    """bfloat16 has two to three digits: the cosines of .03 and .031 are one number in it."""
    sit, t = randomised(tiny()), torch.tensor([0.03, 0.031])
    expected = sit.t_embedder(t)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sit.t_embedder(t), expected)
    assert len(t.cos().bfloat16().unique()) == 1
    assert len(expected[:, 0].unique()) == 2


def test_names() -> None:
    shape = {"latent_channels": 4, "latent_size": 8, "num_classes": 2}
    with pytest.raises(UserError, match="patch size"):
        build_sit("SiT-Tiny", **shape)
    with pytest.raises(UserError, match="did you mean 'SiT-Tiny'"):
        build_sit("SiT-Tinny/2", **shape)
    with pytest.raises(ValueError, match="multiple of patch size"):
        build_sit("SiT-Tiny/3", **shape)
