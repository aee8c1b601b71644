from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.evaluation.small import small_network

from sendvae.evaluation.networks import FeatureNetwork, class_token, load_network
from sendvae.nn import weights_digest
from sendvae.vision import load_backbone

IMAGES = torch.randint(0, 256, (2, 3, 64, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_class_token_is_timms_pooled_feature() -> None:
    import timm
    from PIL import Image

    backbone: Any = load_backbone("dinov2-b", pretrained=False, depth=1)
    plain: Any = timm.create_model(
        "vit_base_patch14_dinov2.lvd142m", num_classes=0, depth=1, img_size=224, pretrained=False
    ).eval()
    weights = backbone.trunk.network.state_dict()
    weights["pos_embed"] = torch.nn.functional.pad(weights["pos_embed"] * 0, (0, 0, 0, 0))[:, :257]
    backbone.trunk.network.pos_embed.data.zero_()  # resampled there, of the right size here: equal if zero
    plain.load_state_dict(weights)
    tokens = class_token(backbone, IMAGES)
    prepared = []
    for image in IMAGES:  # as dgm-eval: PIL's bicubic to 224, ImageNet normalisation
        resized = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((224, 224), Image.Resampling.BICUBIC)
        pixels = torch.frombuffer(bytearray(resized.tobytes()), dtype=torch.uint8).view(224, 224, 3)
        pixels = pixels.permute(2, 0, 1).float() / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        prepared.append((pixels - mean[:, None, None]) / std[:, None, None])
    with torch.no_grad():
        expected = plain(torch.stack(prepared))
    assert tokens.shape == (2, 768)
    # PIL rounds the resized image to 8 bits.
    assert float((tokens - expected).abs().max()) < 0.02 * float(expected.std())


@pytest.mark.parametrize(
    ("name", "distance", "suffix"),
    [
        ("inception", "fid", ""),
        ("inception-pytorch-fid", "fid-pytorch", ""),
        ("mobilenet-v2", "fd-mobilenet-v2", "-mobilenet-v2"),
        ("dinov2-l", "fd-dinov2-l", "-dinov2-l"),
    ],
)
def test_only_inceptions_distance_is_a_fid(name: str, distance: str, suffix: str) -> None:
    fields = small_network(name).fields()
    assert (fields["distance"], fields["suffix"]) == (distance, suffix)
    assert fields["distance_label"].startswith("FID") is distance.startswith("fid")
    assert fields["caveat"] == ("" if distance.startswith("fid") else "; not FID")


def test_the_embedded_network_works_offline() -> None:
    network = load_network("mobilenet-v2", torch.device("cpu"))
    rows = network.rows(IMAGES)
    assert rows.pool.shape == (2, 1280)
    assert rows.spatial is rows.logits is None


def test_the_digest_is_of_the_weights() -> None:
    first, second = small_network(), small_network()
    assert first.identity() == second.identity()
    second.module.pool[0, 0] += 1e-6  # type: ignore[index]
    assert weights_digest(first.module) != weights_digest(second.module)
    assert isinstance(first, FeatureNetwork)
