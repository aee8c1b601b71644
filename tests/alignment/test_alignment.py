"""Equations 1 and 2, the mapper, and the methods by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cosine as scipy_cosine
from timm.models.vision_transformer import Block as TimmBlock
from torch import nn

from sendvae.alignment import (
    ALIGNMENTS,
    Mapper,
    adaptive_weight,
    alignment_loss,
    build_alignment,
    distance_matrix_loss,
    marginal_cosine_loss,
    noise_latents,
)

SHAPE = {
    "latent_channels": 4,
    "token_width": 6,
    "patch_size": 2,
    "grid": 3,
    "width": 8,
    "depth": 1,
    "heads": 2,
    "hidden": 16,
    "noise": True,
    "cosine_margin": 0.5,
    "distance_margin": 0.25,
}


def test_noise_end_points_are_exact() -> None:
    z, noise = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    assert torch.equal(noise_latents(z, torch.ones(3), noise), z)
    assert torch.equal(noise_latents(z, torch.zeros(3), noise), noise)
    mixed = noise_latents(z, torch.tensor([1.0, 0.0, 0.25]), noise)
    torch.testing.assert_close(mixed[2], 0.25 * z[2] + 0.75 * noise[2])


@pytest.mark.usefixtures("unchecked")
def test_noise_refuses_shapes_that_would_broadcast() -> None:
    z = torch.randn(3, 2, 4, 4)
    for alpha, noise in ((torch.rand(1), z), (torch.rand(3), z[:1])):
        with pytest.raises(ValueError, match="alpha"):
            noise_latents(z, alpha, noise)


def test_loss_against_scipy() -> None:
    a, b = torch.randn(2, 5, 7), torch.randn(2, 5, 7)
    distances = [
        scipy_cosine(x, y)
        for x, y in zip(a.flatten(0, 1).double().numpy(), b.flatten(0, 1).double().numpy(), strict=True)
    ]
    assert float(alignment_loss(a, b)) == pytest.approx(np.mean(distances), abs=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100.0))
def test_loss_properties(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 3, 5, generator=generator), torch.randn(2, 3, 5, generator=generator)
    loss = float(alignment_loss(a, b))
    assert -1e-6 <= loss <= 2.0 + 1e-6
    assert float(alignment_loss(a * scale, b)) == pytest.approx(loss, abs=1e-5)
    assert float(alignment_loss(a, a * scale)) == pytest.approx(0.0, abs=1e-6)
    assert float(alignment_loss(a, -a)) == pytest.approx(2.0, abs=1e-6)


def test_loss_is_float32_under_autocast() -> None:
    large = torch.full((1, 2, 64), 3e4)  # its squared norm overflows in half precision
    with torch.autocast("cpu", torch.bfloat16):
        loss = alignment_loss(large.bfloat16(), large.bfloat16())
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(0.0, abs=1e-6)


def test_loss_at_zero_vectors() -> None:
    predicted, target = torch.zeros(1, 2, 3, requires_grad=True), torch.randn(1, 2, 3)
    loss = alignment_loss(predicted, target)
    loss.backward()
    assert float(loss.detach()) == 1.0
    assert predicted.grad is not None
    assert bool(predicted.grad.isfinite().all())


@pytest.mark.usefixtures("unchecked")
def test_loss_refuses_unequal_shapes() -> None:
    for shape in ((1, 3, 2), (1, 1, 2), (4, 2)):  # the last two would broadcast
        with pytest.raises(ValueError, match="differ in shape"):
            alignment_loss(torch.zeros(1, 4, 2), torch.zeros(shape))


@pytest.mark.parametrize(("width", "heads", "millions"), [(768, 12, 14.5), (1024, 16, 21.0)])
def test_mapper_size_at_the_papers_widths(width: int, heads: int, millions: float) -> None:
    with torch.device("meta"):
        mapper = Mapper(32, 1, width, depth=1, heads=heads, grid=16)
    assert sum(p.numel() for p in mapper.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(("patch_size", "side"), [(1, 4), (2, 8)])
def test_mapper_equals_timms_block_between_its_ends(patch_size: int, side: int) -> None:
    mapper = Mapper(3, patch_size, 8, depth=2, heads=2, grid=4, out_width=5, hidden=16)
    blocks = nn.Sequential(*(TimmBlock(8, 2, qkv_bias=True) for _ in range(2)))
    for block in blocks:
        for norm in (block.norm1, block.norm2):
            norm.eps = 1e-6
    blocks.load_state_dict(mapper.blocks.state_dict())
    z = torch.randn(2, 3, side, side)
    patches = nn.functional.unfold(z, patch_size, stride=patch_size).transpose(1, 2)
    tokens = patches @ mapper.embed.proj.weight.flatten(1).T + mapper.embed.proj.bias + mapper.positions
    tokens = mapper.mlp(mapper.norm(blocks(tokens)))
    assert tokens.shape == (2, 16, 5)
    torch.testing.assert_close(mapper(z), tokens, atol=1e-5, rtol=1e-5)


def test_mapper_depth_adds_blocks_of_the_published_size() -> None:
    def parameters(depth: int) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in Mapper(32, 1, 768, depth=depth, heads=12, grid=16).parameters())

    vit_b_block = 7_087_872  # timm's vit_base_patch16_224: 12 of these
    assert parameters(1) - parameters(0) == parameters(2) - parameters(1) == vit_b_block


@pytest.mark.usefixtures("unchecked")
def test_mapper_refuses_another_grid() -> None:
    mapper = Mapper(1, 2, 8, depth=0, heads=1, grid=3)
    for side in (2, 4):  # the first would broadcast over the positions
        with pytest.raises(ValueError, match="tokens"):
            mapper(torch.zeros(1, 1, side, side))


def test_mapper_tokens_are_row_major() -> None:
    """Without blocks a token depends on its own patch alone."""
    mapper = Mapper(1, 2, 8, depth=0, heads=1, grid=3)
    z = torch.zeros(1, 1, 6, 6)
    before = mapper(z)
    z[0, 0, 3, 4] = 1.0  # patch row 1, column 2
    changed = (mapper(z) - before).abs().sum(-1)[0] > 0
    assert changed.nonzero().flatten().tolist() == [1 * 3 + 2]


@pytest.mark.parametrize("method", ALIGNMENTS)
def test_methods_give_gradient_to_the_latent_and_not_to_the_tokens(method: str) -> None:
    alignment = build_alignment(method, **SHAPE)
    z, tokens = torch.randn(5, 4, 6, 6, requires_grad=True), torch.randn(5, 9, 6)
    loss = alignment(z, tokens, torch.rand(5), torch.randn(5, 4, 6, 6))
    loss.backward()
    assert loss.ndim == 0
    assert z.grad is not None
    assert float(z.grad.abs().sum()) > 0
    assert all(p.grad is not None for p in alignment.parameters())


@pytest.mark.parametrize(
    ("method", "noise", "sees"), [("send", True, True), ("send", False, False), ("vavae", True, False)]
)
def test_only_send_with_noise_sees_the_noise(method: str, noise: bool, sees: bool) -> None:
    z, tokens = torch.randn(2, 4, 6, 6), torch.randn(2, 9, 6)
    alignment = build_alignment(method, **{**SHAPE, "noise": noise})
    losses = [
        float(alignment(z, tokens, torch.full((2,), 0.5), torch.randn(2, 4, 6, 6)).detach()) for _ in range(2)
    ]
    assert (losses[0] != losses[1]) == sees


def test_margins_come_from_the_options() -> None:
    z, tokens = torch.randn(2, 4, 6, 6), torch.randn(2, 9, 6)
    alpha, noise = torch.rand(2), torch.randn(2, 4, 6, 6)
    for cosine, distance in ((2.0, 2.0), (0.0, 0.0), (0.5, 0.125)):
        options = {"cosine_margin": cosine, "distance_margin": distance}
        alignment = build_alignment("vavae", **{**SHAPE, **options})
        projected = alignment.projection(z)
        expected = marginal_cosine_loss(projected, tokens, cosine)
        expected = expected + distance_matrix_loss(projected, tokens, distance)
        assert (float(expected.detach()) == 0.0) == (cosine == 2.0)
        assert torch.equal(alignment(z, tokens, alpha, noise), expected)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_depth_adds_blocks(depth: int) -> None:
    blocks = build_alignment("send", **{**SHAPE, "depth": depth}).mapper.blocks
    assert len(blocks) == depth


def test_vavae_losses_in_float64() -> None:
    p, f = torch.randn(2, 4, 5).double(), torch.randn(2, 4, 5).double()
    unit_p, unit_f = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (p.numpy(), f.numpy()))
    cosine = (unit_p * unit_f).sum(-1)
    assert float(marginal_cosine_loss(p, f)) == pytest.approx(np.maximum(0, 0.5 - cosine).mean(), abs=1e-6)
    gap = np.abs(unit_p @ unit_p.transpose(0, 2, 1) - unit_f @ unit_f.transpose(0, 2, 1))
    assert float(distance_matrix_loss(p, f)) == pytest.approx(np.maximum(0, gap - 0.25).mean(), abs=1e-6)


def test_vavae_losses_are_float32_under_autocast() -> None:
    p, f = torch.randn(2, 9, 16), torch.randn(2, 9, 16)
    for loss in (marginal_cosine_loss, distance_matrix_loss):
        expected = loss(p, f)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(p, f), expected)


def test_adaptive_weight_by_hand() -> None:
    layer = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    # gradients: (2, 0) and (0, 0.5)
    weight = adaptive_weight(2.0 * layer[0], 0.5 * layer[1], layer, 3)
    assert float(weight) == pytest.approx(2.0 / (0.5 + 1e-4))
    assert not weight.requires_grad


@pytest.mark.parametrize(("strength", "clamped"), [(1.0, False), (1e-9, True)])
def test_adaptive_weight_is_vavaes_of_summed_losses(strength: float, clamped: bool) -> None:
    """VA-VAE's pixel loss is a sum over the values of an image, its alignment a mean: the same objective."""
    torch.manual_seed(0)
    layer = torch.nn.Parameter(torch.randn(4, 3, dtype=torch.float64))
    images = torch.randn(2, 3, 4, 10, dtype=torch.float64)
    latent = torch.einsum("ck,bkhw->bchw", layer, images)
    errors = 1e3 * (latent[:, :3] - images).abs()
    alignment = strength * latent.square().mean()
    nll = errors.sum() / len(images)
    (a,) = torch.autograd.grad(nll, layer, retain_graph=True)
    (b,) = torch.autograd.grad(alignment, layer, retain_graph=True)
    published = min(float(a.norm()) / (float(b.norm()) + 1e-4), 1e8)
    assert (published == 1e8) == clamped
    weight = adaptive_weight(errors.mean(), alignment, layer, images[0].numel())
    assert float(weight) == pytest.approx(published / 120, rel=1e-10)
