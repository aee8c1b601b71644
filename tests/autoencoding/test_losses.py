"""The terms of L_VAE, each recomputed in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sendvae.autoencoding import (
    PatchDiscriminator,
    adaptive_weight,
    hinge_discriminator_loss,
    hinge_generator_loss,
    kl_loss,
    reconstruction_loss,
)


def test_reconstruction() -> None:
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    difference = a.double().numpy() - b.double().numpy()
    assert float(reconstruction_loss(a, b)) == pytest.approx(np.abs(difference).mean(), rel=1e-6)
    assert float(reconstruction_loss(a, b, "l2")) == pytest.approx((difference**2).mean(), rel=1e-6)
    with pytest.raises(ValueError, match="'l3'"):
        reconstruction_loss(a, b, "l3")


def test_kl_against_torch_distributions() -> None:
    mean, logvar = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(
        normal(mean.double(), (logvar.double() / 2).exp()), normal(0.0, 1.0)
    )
    assert float(kl_loss(mean, logvar)) == pytest.approx(float(kl.sum(dim=(1, 2, 3)).mean()), rel=1e-5)
    assert float(kl_loss(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2))) == 0.0


def test_hinge() -> None:
    real, fake = torch.tensor([2.0, 0.5]).view(2, 1, 1, 1), torch.tensor([-3.0, 0.5]).view(2, 1, 1, 1)
    # real: relu(1 - 2) = 0, relu(1 - .5) = .5; fake: relu(1 - 3) = 0, relu(1 + .5) = 1.5
    assert float(hinge_discriminator_loss(real, fake)) == pytest.approx(0.5 * (0.25 + 0.75))
    assert float(hinge_generator_loss(fake)) == pytest.approx(1.25)


def test_adaptive_weight_by_hand() -> None:
    layer = nn.Parameter(torch.tensor([1.0, 2.0]))
    assert float(adaptive_weight(3.0 * layer[0], layer[1], layer, 1)) == pytest.approx(3.0 / (1 + 1e-4))
    assert float(adaptive_weight(3.0 * layer[0], 0.0 * layer[1], layer, 1)) == 1e4  # clamped
    assert float(adaptive_weight(3.0 * layer[0], 0.0 * layer[1], layer, 64)) == 156.25
    loss = 3.0 * layer[0]
    assert not adaptive_weight(loss, layer[1], layer, 1).requires_grad
    assert layer.grad is None
    loss.backward()  # the graph is still there


@pytest.mark.parametrize(("contrast", "clamped"), [(1.0, False), (1e-3, True)])
def test_adaptive_weight_is_latent_diffusions_of_summed_losses(contrast: float, clamped: bool) -> None:
    """The objective of latent-diffusion, whose pixel losses are sums, has the direction of ours.

    Recomputed with sums and without autograd's help of ours, for images that are not square: LPIPS stands as
    one number an image, added to each of its values. A discriminator that hardly reacts makes the clamp bind.
    """
    torch.manual_seed(0)
    layer = nn.Parameter(torch.randn(3, 5, dtype=torch.float64))
    hidden = torch.randn(2, 5, 6, 10, dtype=torch.float64)
    images = torch.randn(2, 3, 6, 10, dtype=torch.float64)
    critic = torch.randn(3, dtype=torch.float64)
    reconstruction = torch.einsum("oc,bchw->bohw", layer, hidden)
    perceptual = (reconstruction - images).square().mean(dim=(1, 2, 3))  # in place of LPIPS: one an image
    logits = contrast * torch.einsum("o,bohw->bhw", critic, reconstruction)

    everywhere = (reconstruction - images).abs() + perceptual[:, None, None, None]
    nll, adversarial = everywhere.sum() / len(images), -logits.mean()
    (a,) = torch.autograd.grad(nll, layer, retain_graph=True)
    (b,) = torch.autograd.grad(adversarial, layer, retain_graph=True)
    published = min(float(a.norm()) / (float(b.norm()) + 1e-4), 1e4)
    assert (published == 1e4) == clamped
    expected = (nll + published * adversarial) / (3 * 6 * 10)

    ours = reconstruction_loss(reconstruction, images).double()  # in float32
    exact = (reconstruction - images).abs().mean()
    assert float(ours.detach()) == pytest.approx(float(exact.detach()), rel=1e-6)
    pixels = exact + perceptual.mean()
    weight = adaptive_weight(pixels, adversarial, layer, images[0].numel())
    found = pixels + weight * adversarial
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-10)
    assert float(weight) == pytest.approx(published / 180, rel=1e-10)


def test_terms_are_float32_under_autocast() -> None:
    a, b = torch.randn(2, 3, 8, 8).bfloat16(), torch.randn(2, 3, 8, 8).bfloat16()
    exact = float((a.double() - b.double()).abs().mean())
    with torch.autocast("cpu", torch.bfloat16):
        losses = [
            reconstruction_loss(a, b),
            kl_loss(a, b),
            hinge_generator_loss(a[:, :1]),
            hinge_discriminator_loss(a[:, :1], b[:, :1]),
        ]
    assert all(loss.dtype == torch.float32 for loss in losses)
    assert float(losses[0]) == pytest.approx(exact, rel=1e-6)


def test_discriminator_is_the_published_one() -> None:
    discriminator = PatchDiscriminator()
    assert sum(p.numel() for p in discriminator.parameters()) == 2_765_633
    weights = {key for key in discriminator.state_dict() if key.endswith("weight")}
    assert weights == {f"main.{i}.weight" for i in (0, 2, 3, 5, 6, 8, 9, 11)}
    biases = {key for key in discriminator.state_dict() if key.endswith("bias")}
    assert biases == {f"main.{i}.bias" for i in (0, 3, 6, 9, 11)}  # the normalised convolutions have none
    convolution, norm = discriminator.main[8], discriminator.main[9]
    assert float(convolution.weight.detach().std()) == pytest.approx(0.02, rel=0.01)
    assert float(norm.weight.detach().mean()) == pytest.approx(1.0, abs=0.01)
    with torch.no_grad():
        assert discriminator(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
        assert PatchDiscriminator(8, layers=2)(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 14, 14)
