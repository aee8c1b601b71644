"""Every row of the zoo."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from sendvae.errors import UserError
from sendvae.tokenizers import TOKENIZERS, check_trainable, load_tokenizer
from sendvae.weights import Shipped

REMOTE = [name for name, spec in TOKENIZERS.items() if not isinstance(spec.weights.source, Shipped)]
SHIPPED = [name for name in TOKENIZERS if name not in REMOTE]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_parameter_counts(name: str) -> None:
    with torch.device("meta"):
        tokenizer = TOKENIZERS[name].build()
    assert sum(p.numel() for p in tokenizer.parameters()) == TOKENIZERS[name].weights.parameters


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_tokenizers_load_and_reconstruct(name: str) -> None:
    from sendvae.data import open_embedded, to_float, to_uint8
    from sendvae.metrics import psnr

    tokenizer = load_tokenizer(name)
    images = open_embedded("emoji", "test", limit=16).batch(range(16)).images
    with torch.no_grad():
        decoded = to_uint8(tokenizer.decode(tokenizer.encode(to_float(images)).mode()))
    assert float(psnr(decoded, images).mean()) > 22.0  # a grey image of the mean colour has about 10


@pytest.mark.parametrize("name", REMOTE)
def test_without_a_network_one_error_says_what_to_get(name: str, tmp_path: Path) -> None:
    assert TOKENIZERS[name].weights.find() == []
    with pytest.raises(UserError) as caught:
        load_tokenizer(name)
    assert f"sendvae models pull {name}" in str(caught.value)
    assert "https://huggingface.co/" in str(caught.value)
    assert TOKENIZERS[name].weights.files
    assert all(file in str(caught.value) for file in TOKENIZERS[name].weights.files)
    assert str(tmp_path / "weights" / name) in str(caught.value)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_trains_is_known_without_weights(name: str) -> None:
    if "train" in TOKENIZERS[name].abilities:
        return
    with pytest.raises(
        UserError, match=rf"{name} can be scored(?s:.*){re.escape(str(TOKENIZERS[name].untrainable))}"
    ):
        check_trainable(name)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("dc-ae-f32c32-sana-1.0", (32, 8, 8)),
        ("qwen-image-f8d16", (16, 32, 32)),
        ("wan2.1-f8d16", (16, 32, 32)),
        ("rae-dinov2-b", (768, 16, 16)),
        ("taef1", (16, 32, 32)),
        ("flux1-f8d16", (16, 32, 32)),
        ("flux2-f16d128", (128, 16, 16)),
        ("sd-vae-ft-mse", (4, 32, 32)),
        ("maetok-b-128", (32, 128)),
        ("softvq-l-64", (32, 64)),
    ],
)
def test_latents_of_published_networks_at_256_pixels(name: str, shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        assert TOKENIZERS[name].build().latent_shape(256) == shape
