"""Shared blocks against independent implementations."""

from __future__ import annotations

import math

import pytest
import torch
from timm.models.vision_transformer import Attention as TimmAttention
from torch import nn

from sendvae.nn import Attention, LatentNorm, PatchEmbed, sincos_positions, unpatchify
from sendvae.nn.attention import SHORT, attend
from sendvae.nn.precision import resolve_precision


def test_attention_equals_timms() -> None:
    ours, theirs = Attention(12, 3), TimmAttention(12, 3, qkv_bias=True)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("tokens", [5, SHORT, SHORT + 1])
@pytest.mark.parametrize("trained", [False, True])
def test_attention_in_bf16_is_that_of_float64(tokens: int, trained: bool) -> None:
    """Output and gradients, whichever way they are computed; keys and values differ in number and width."""
    generator = torch.Generator().manual_seed(tokens)
    shapes = ((2, 3, 7, 16), (2, 3, tokens, 16), (2, 3, tokens, 16))
    exact = [torch.randn(shape, generator=generator).bfloat16().double().requires_grad_() for shape in shapes]
    rounded = [tensor.detach().bfloat16().requires_grad_(trained) for tensor in exact]
    q, k, v = exact
    expected = (q @ k.mT / math.sqrt(16)).softmax(-1) @ v
    found = attend(*rounded)
    assert found.dtype == torch.bfloat16
    assert _relative(found, expected) < 0.01
    if trained:
        direction = torch.randn(expected.shape, generator=generator)
        gradients = torch.autograd.grad(expected, exact, direction.double())
        for one, other in zip(
            torch.autograd.grad(found, rounded, direction.bfloat16()), gradients, strict=True
        ):
            assert _relative(one, other) < 0.02


def _relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected).detach().norm() / expected.detach().norm())


def test_positions_one_by_one() -> None:
    table = sincos_positions(16, 3)
    for row in range(3):
        for column in range(3):
            expected = []
            for place in (column, row):  # the column comes first
                angles = [place / 10_000 ** (i / 4) for i in range(4)]
                expected += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
            torch.testing.assert_close(table[row * 3 + column], torch.tensor(expected))


def test_unpatchify_inverts_the_patch_order() -> None:
    """With an identity embedding, patches come back where they were."""
    embed = PatchEmbed(2, 8, 2)
    with torch.no_grad():  # output feature (row, column, channel) of the patch
        embed.proj.weight.zero_()
        for row in range(2):
            for column in range(2):
                for channel in range(2):
                    embed.proj.weight[(row * 2 + column) * 2 + channel, channel, row, column] = 1.0
    z = torch.randn(3, 2, 6, 6)
    torch.testing.assert_close(unpatchify(embed(z), 2, 2), z)


def test_latent_norm_is_batchnorm_in_evaluation() -> None:
    ours, theirs = LatentNorm(3), nn.BatchNorm2d(3, eps=1e-4, momentum=0.1, affine=False)
    for _ in range(5):
        z = torch.randn(4, 3, 5, 5) * 3 + 1
        ours.update(z)
        theirs.train()(z)
    theirs.eval()
    z = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(ours(z), theirs(z))
    theirs.load_state_dict(ours.state_dict())  # the same key layout


def test_latent_norm_over_processes_is_the_norm_of_all_their_latents() -> None:
    """`reduce` averages over processes of equal batches; here the other process's moments are computed by hand."""
    mine, other = torch.randn(4, 3, 8, 8) + 1, torch.randn(4, 3, 8, 8) * 2
    rows = other.movedim(1, 0).flatten(1)
    others = torch.stack([rows.mean(1), (rows**2).mean(1)])
    ours, theirs = LatentNorm(3), nn.BatchNorm2d(3, eps=1e-4, momentum=0.1, affine=False).train()
    ours.update(mine, reduce=lambda moments: (moments + others) / 2)
    theirs(torch.cat([mine, other]))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(
        ours.running_var, theirs.running_var, rtol=5e-3, atol=0
    )  # Bessel's count is mine


def test_latent_norm_uses_running_statistics_in_training_too() -> None:
    norm = LatentNorm(2).train()
    norm.initialise(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 1.0]))
    z = torch.randn(3, 2, 4, 4, requires_grad=True)
    out = norm(z)
    torch.testing.assert_close(out[:, 0], (z[:, 0] - 1.0) / math.sqrt(4.0 + 1e-4))
    out.sum().backward()
    assert z.grad is not None  # a BatchNorm in training mode would give zero here
    torch.testing.assert_close(z.grad[:, 1], torch.full((3, 4, 4), 1 / math.sqrt(1.0001)))
    assert int(norm.num_batches_tracked) == 0


def test_precision_rule() -> None:
    assert resolve_precision("fp32", torch.device("cpu")) == "fp32"
    assert resolve_precision("auto", torch.device("cpu")) in ("fp32", "bf16")
    with pytest.raises(ValueError, match="fp16"):
        resolve_precision("fp16", torch.device("cpu"))
