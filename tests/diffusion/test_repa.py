"""What aligns hidden tokens with a foundation model's, and what makes them disperse."""

from __future__ import annotations

import math

import pytest
import torch

from sendvae.diffusion import Generator, build_generator, diffusion_objective, repa_loss
from sendvae.diffusion.dispersive import dispersed_block, dispersive_loss
from sendvae.diffusion.projectors import ConvProjector


def test_repa_is_minus_the_mean_cosine() -> None:
    features, tokens = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    cosines = [
        float(f @ t / (f.norm() * t.norm()))
        for f, t in zip(features.view(-1, 5), tokens.view(-1, 5), strict=True)
    ]
    assert float(repa_loss(features, tokens)) == pytest.approx(-sum(cosines) / 12, rel=1e-5)


def test_spatial_normalisation_by_its_definition() -> None:
    """Token by token, channel by channel: less a share of the mean over places, over the deviation over places."""
    features, tokens = torch.randn(2, 9, 4).double(), 3.0 + 2.0 * torch.randn(2, 9, 4).double()
    target = torch.empty_like(tokens)
    for image in range(2):
        for channel in range(4):
            values = tokens[image, :, channel]
            mean = float(values.sum()) / 9
            deviation = math.sqrt(float(((values - mean) ** 2).sum()) / 8)
            target[image, :, channel] = (values - 0.6 * mean) / deviation
    cosines = (features * target).sum(-1) / (features.norm(dim=-1) * target.norm(dim=-1))
    found = repa_loss(features, tokens, mean_share=0.6)
    assert float(found) == pytest.approx(-float(cosines.mean()), rel=1e-5)
    assert float(repa_loss(features, tokens)) != pytest.approx(float(found), abs=1e-2)


def test_the_convolution_looks_at_neighbours_of_a_row_major_grid() -> None:
    projector = ConvProjector(2, 0, 3)
    torch.nn.init.zeros_(projector.conv.weight)
    torch.nn.init.zeros_(projector.conv.bias)  # type: ignore[arg-type]
    projector.conv.weight.data[1, 0, 0, 2] = 1.0  # from the row above, the column to the right
    tokens = torch.arange(32.0).view(1, 16, 2)
    out = projector(tokens)
    assert out.shape == (1, 16, 3)
    for row in range(4):
        for column in range(4):
            above = float(tokens[0, 4 * (row - 1) + column + 1, 0]) if row > 0 and column < 3 else 0.0
            assert out[0, 4 * row + column].tolist() == [0.0, above, 0.0]


def test_the_dispersive_loss_by_its_definition() -> None:
    """All ordered pairs, each image with itself: log mean exp of minus the mean squared difference."""
    hidden = torch.randn(5, 6, 7)
    terms = [math.exp(-float((a - b).square().mean())) for a in hidden for b in hidden]
    assert float(dispersive_loss(hidden)) == pytest.approx(math.log(sum(terms) / 25), rel=1e-5)
    assert float(dispersive_loss(hidden[:1])) == 0.0
    assert float(dispersive_loss(100.0 * hidden)) == pytest.approx(-math.log(5), rel=1e-5)


def test_equal_images_repel_without_a_gradient_that_is_not_finite() -> None:
    hidden = torch.zeros(3, 4, 2, requires_grad=True)
    dispersive_loss(hidden).backward()
    assert hidden.grad is not None
    assert bool(hidden.grad.isfinite().all())


def a_generator(name: str) -> Generator:
    torch.manual_seed(0)
    generator = build_generator(
        f"{name}-Tiny/2", latent_channels=3, latent_size=4, num_classes=5, repa_width=6, projector="conv"
    )
    for parameter in generator.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    return generator


@pytest.mark.parametrize("name", ["SiT", "LightningDiT"])
@pytest.mark.parametrize("depth", [None, 3])
def test_the_objective_disperses_the_block_it_is_told(name: str, depth: int | None) -> None:
    """By default the last of the first quarter: the first of four."""
    generator, time, labels = a_generator(name), torch.rand(4), torch.tensor([0, 1, 2, 5])
    z, noise = torch.randn(4, 3, 4, 4), torch.randn(4, 3, 4, 4)
    outputs: list[torch.Tensor] = []
    number = depth or 1
    handle = generator.blocks[number - 1].register_forward_hook(
        lambda _m, _i, out: outputs.append(out.detach())
    )
    terms = diffusion_objective(
        generator, z, labels, time=time, noise=noise, dispersive_weight=0.25, dispersive_depth=depth
    )
    handle.remove()
    expected = dispersive_loss(outputs[0])
    torch.testing.assert_close(terms["dispersive"], expected)
    torch.testing.assert_close(terms["loss"], terms["velocity"] + 0.25 * expected)
    assert not generator.blocks[number - 1]._forward_hooks
    terms["loss"].backward()
    assert all(p.grad is not None for p in generator.blocks[number - 1].parameters())
    plain = diffusion_objective(generator, z, labels, time=time, noise=noise)
    assert "dispersive" not in plain


def test_the_first_quarter() -> None:
    assert [dispersed_block(depth) for depth in (1, 4, 12, 28)] == [1, 1, 3, 7]


def test_the_objective_normalises_tokens_where_it_is_told() -> None:
    generator, time, labels = a_generator("SiT").eval(), torch.rand(2), torch.tensor([0, 1])
    z, noise, tokens = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4), 2.0 + torch.randn(2, 4, 6)
    with torch.no_grad():
        terms = diffusion_objective(
            generator, z, labels, time=time, noise=noise, tokens=tokens, repa_weight=0.5, repa_mean_share=0.6
        )
        t = time[:, None, None, None]
        features = generator.features((1 - t) * z + t * noise, time, labels)
    torch.testing.assert_close(terms["repa"], repa_loss(features, tokens, 0.6))
