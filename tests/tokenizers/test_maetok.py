"""MAETok's tokenizer against an independent computation in float64, in the layout of its released files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from sendvae.config import DiffusionConfig, LatentsConfig, SampleConfig, load_config, validate
from sendvae.data import open_embedded
from sendvae.errors import UserError
from sendvae.evaluation import measure_latents
from sendvae.evaluation.diffusion_model import load_model
from sendvae.evaluation.sample_job import write_samples
from sendvae.tokenizers import TOKENIZERS, LatentStats, load_tokenizer
from sendvae.tokenizers.export import write_component
from sendvae.tokenizers.maetok import MAETok, MAETokShape
from sendvae.training import train_diffusion

PUBLISHED = 173_891_360  # parameters in the released file
SHAPE = MAETokShape(tokens=10, dims=6, size=64, patch=16, width=128, depth=3, heads=2)
GRID, PATCHES = 4, 16


def random_weights(seed: int = 0) -> dict[str, Tensor]:
    """Weights of every tensor that the network has, none of them 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    network = MAETok(SHAPE)
    weights = {}
    for name, tensor in network.state_dict().items():
        if "freqs_t" in name:
            weights[name] = tensor
        elif name.endswith(("norm1.weight", "norm2.weight", "norm.weight", "gamma", "freqs")):
            weights[name] = 0.5 + torch.rand(tensor.shape, generator=generator)
        else:
            weights[name] = 0.1 * torch.randn(tensor.shape, generator=generator)
    return weights


def release(folder: Path, weights: dict[str, Tensor], **fields: object) -> Path:
    """A released folder: with what only training needs, and the configuration of its mixin."""
    more = {
        "encoder.mask_token": torch.randn(1, 1, 128),
        "decoder.model.pos_embed": torch.randn(1, PATCHES + 1, 128),
        "decoder.model.patch_embed.proj.weight": torch.randn(128, 3, 16, 16),
        "decoder.model.patch_embed.proj.bias": torch.randn(128),
        "decoder_hog.model.norm.weight": torch.randn(8),
        "post_quant_conv_dino.weight": torch.randn(8, 6),
        "to_pixel_clip.model.weight": torch.randn(8, 8),
        "repa_model.x": torch.randn(2),
    }
    folder.mkdir()
    save_file({**weights, **more}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"config": {"codebook_size": 1, **fields}}))
    return folder


def attention(x: Tensor, w: dict[str, Tensor], prefix: str, freqs: Tensor, rotated: range) -> Tensor:
    """Token by token, head by head; pairs of adjacent channels are complex numbers."""
    batch, count, width = x.shape
    qkv = x @ w[f"{prefix}.qkv.weight"].T + w[f"{prefix}.qkv.bias"]
    q, k, v = (part.view(batch, count, 2, 64) for part in qkv.split(width, -1))
    out = torch.empty_like(q)
    for head in range(2):
        fx, fy = (freqs[axis, head * 32 : (head + 1) * 32] for axis in (0, 1))
        turned = []
        for part in (q, k):
            rows = []
            for i in range(count):
                pairs = torch.view_as_complex(part[:, i, head].reshape(batch, 32, 2).contiguous())
                if i in rotated:
                    place = i - rotated.start
                    angle = (place % GRID) * fx + (place // GRID) * fy
                    pairs = pairs * torch.polar(torch.ones_like(angle), angle)
                rows.append(torch.view_as_real(pairs).reshape(batch, 64))
            turned.append(torch.stack(rows, 1))
        weights = (turned[0] @ turned[1].mT / math.sqrt(64)).softmax(-1)
        out[:, :, head] = weights @ v[:, :, head]
    return out.reshape(batch, count, width) @ w[f"{prefix}.proj.weight"].T + w[f"{prefix}.proj.bias"]


def mlp(x: Tensor, w: dict[str, Tensor], prefix: str) -> Tensor:
    hidden = F.gelu(x @ w[f"{prefix}.fc1.weight"].T + w[f"{prefix}.fc1.bias"])
    return hidden @ w[f"{prefix}.fc2.weight"].T + w[f"{prefix}.fc2.bias"]


def normed(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-6).sqrt()


def encoded(w: dict[str, Tensor], images: Tensor) -> Tensor:
    """(B, tokens, dims) by the facts of the release."""
    batch = len(images)
    patches = images.unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 1, 4, 5).reshape(batch, PATCHES, -1)
    kernel = w["encoder.model.patch_embed.proj.weight"].flatten(1)
    x = patches @ kernel.T + w["encoder.model.patch_embed.proj.bias"]
    x = torch.cat([w["encoder.model.cls_token"].expand(batch, -1, -1), x], 1) + w["encoder.model.pos_embed"]
    latent = w["encoder.latent_tokens"] + w["encoder.latent_pos_embed"]
    x = torch.cat([x, latent.expand(batch, -1, -1)], 1)
    for i in range(3):
        p = f"encoder.model.blocks.{i}"
        y = normed(x) * w[f"{p}.norm1.weight"] + w[f"{p}.norm1.bias"]
        y = attention(y, w, f"{p}.attn", w["encoder.freqs"][:, i], range(1, 1 + PATCHES))
        x = x + w[f"{p}.ls1.gamma"] * y
        y = normed(x) * w[f"{p}.norm2.weight"] + w[f"{p}.norm2.bias"]
        x = x + w[f"{p}.ls2.gamma"] * mlp(y, w, f"{p}.mlp")
    x = (normed(x) * w["encoder.model.norm.weight"] + w["encoder.model.norm.bias"])[:, -10:]
    return x @ w["quant_conv.weight"].T + w["quant_conv.bias"]


def decoded(w: dict[str, Tensor], z: Tensor) -> Tensor:
    batch = len(z)
    tokens = z @ w["post_quant_conv.weight"].T + w["post_quant_conv.bias"] + w["decoder.latent_pos_embed"]
    x = torch.cat([w["decoder.mask_token"].expand(batch, PATCHES, -1), tokens], 1)

    def modulated(y: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        y = normed(y)
        return torch.cat([y[:, :PATCHES], y[:, PATCHES:] * scale + shift], 1)

    for i in range(3):
        p = f"decoder.model.blocks.{i}"
        m = F.silu(z) @ w[f"{p}.adaLN_modulation.1.weight"].T + w[f"{p}.adaLN_modulation.1.bias"]
        shift_a, scale_a, shift_m, scale_m = m.split(128, -1)
        x = x + attention(
            modulated(x, shift_a, scale_a), w, f"{p}.attn", w["decoder.freqs"][:, i], range(PATCHES)
        )
        x = x + mlp(modulated(x, shift_m, scale_m), w, f"{p}.mlp")
    m = F.silu(z) @ w["decoder.model.norm.adaLN_modulation.1.weight"].T
    shift, scale = (m + w["decoder.model.norm.adaLN_modulation.1.bias"]).split(128, -1)
    x = modulated(x, shift, scale)[:, :PATCHES]
    pixels = x @ w["decoder.to_pixel.model.weight"].T + w["decoder.to_pixel.model.bias"]
    pixels = pixels.view(batch, GRID, GRID, 16, 16, 3)  # p, q, c
    return torch.einsum("bhwpqc->bchpwq", pixels).reshape(batch, 3, 64, 64)


def test_latents_and_images_are_those_of_the_facts(tmp_path: Path) -> None:
    weights = random_weights()
    tokenizer = load_tokenizer(release(tmp_path / "net", weights, vq_mean=0.25, vq_std=0.0625))
    exact = {name: tensor.double() for name, tensor in weights.items()}
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        posterior = tokenizer.encode(images)
        z = encoded(exact, images.double())
        assert posterior.mean.shape == (2, 6, 10)
        torch.testing.assert_close(posterior.mean.double(), z.mT, rtol=1e-4, atol=1e-4)
        assert float(posterior.std.max()) == 0.0
        torch.testing.assert_close(
            tokenizer.decode(z.mT.float()).double(), decoded(exact, z.float().double()), rtol=1e-4, atol=1e-4
        )
    assert tokenizer.latent_stats is not None
    assert tokenizer.latent_stats.mean.tolist() == [0.25] * 6
    assert tokenizer.latent_stats.std.tolist() == [0.0625] * 6
    assert tokenizer.latent_shape(64) == (6, 10)
    assert tokenizer.label == "t10d6"
    assert tokenizer.expected_size(64, 64) is None
    assert tokenizer.expected_size(128, 128) == "64 x 64"


def test_the_released_network_has_the_published_size() -> None:
    with torch.device("meta"):
        network = TOKENIZERS["maetok-b-128"].build()
    unread = 768 + 257 * 768 + 768 * 3 * 16 * 16 + 768  # the mask; the decoder's positions and patches
    assert sum(p.numel() for p in network.parameters()) + unread == PUBLISHED


def test_statistics_that_were_not_measured_are_none(tmp_path: Path) -> None:
    weights = random_weights()
    assert load_tokenizer(release(tmp_path / "a", weights)).latent_stats is None
    assert load_tokenizer(release(tmp_path / "b", weights, vq_mean=0.0, vq_std=1.0)).latent_stats is None


def test_statistics_that_were_measured_are_saved_and_loaded(tmp_path: Path) -> None:
    tokenizer = MAETok(SHAPE)
    tokenizer.load_state_dict(random_weights())
    tokenizer.latent_stats = LatentStats(torch.arange(6.0), 0.5 + torch.arange(6.0))
    (tmp_path / "saved").mkdir()
    write_component(tokenizer, tmp_path / "saved")
    loaded = load_tokenizer(tmp_path / "saved")
    assert loaded.latent_stats is not None
    torch.testing.assert_close(loaded.latent_stats.mean, torch.arange(6.0), rtol=0, atol=0)
    torch.testing.assert_close(loaded.latent_stats.std, 0.5 + torch.arange(6.0), rtol=0, atol=0)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    weights = random_weights()
    with pytest.raises(UserError, match=r"unexpected: quantize\.embedding\.weight"):
        load_tokenizer(
            release(tmp_path / "hard", {**weights, "quantize.embedding.weight": torch.randn(8, 6)})
        )
    with pytest.raises(UserError, match=r"do not fit(?s:.*)missing: decoder.mask_token"):
        load_tokenizer(
            release(tmp_path / "less", {k: v for k, v in weights.items() if k != "decoder.mask_token"})
        )
    with pytest.raises(UserError, match=r"no tensor 'quant_conv\.weight'"):
        load_tokenizer(
            release(tmp_path / "none", {k: v for k, v in weights.items() if k != "quant_conv.weight"})
        )


def test_its_latents_are_scored_where_a_score_needs_no_grid(tmp_path: Path) -> None:
    source = str(release(tmp_path / "net", random_weights()))
    protocol = validate(
        LatentsConfig,
        {
            "limit": 60,
            "scores": [
                "attributes",
                "gap",
                "uniformity",
                "discrimination",
                "spectrum",
                "velocity_floor",
                "ifid",
                "dimension",
            ],
            "ifid": {"features": "mobilenet-v2", "jackknife": 0},
            "uniformity": {"projection": "pca", "samples": 50, "repeats": 2, "flips": False},
            "discrimination": {"components": [2], "headline": 2, "dimensions": 4, "repeats": 1},
        },
    )
    images = {split: open_embedded("emoji", split, 60) for split in ("train", "val", "test")}
    result = measure_latents([source], images, protocol, torch.device("cpu"))
    assert result is not None
    (subject,) = result.subjects
    assert {
        "f1_micro",
        "gap_flatten",
        "discrimination_nll",
        "velocity_floor",
        "ifd-mobilenet-v2",
        "uniformity_gini",
    } <= subject.numbers.keys()
    assert subject.details["no spectrum"] == "latents are 10 tokens of 6 dimensions without a grid"
    assert subject.details["dimension"]["values"] == 60


def test_a_sit_learns_its_tokens_and_samples_images(tmp_path: Path) -> None:
    source = release(tmp_path / "net", random_weights(), vq_mean=0.1, vq_std=0.5)
    changes = [f"tokenizer={source}", "model=SiT-Tiny/1", "repa=null", "data.limit=32", "loop.images=64"]
    config = load_config(
        DiffusionConfig, "demo/sit-tiny", [*changes, "loop.batch_size=32", "loop.log_every=32"]
    )
    train_diffusion(config, tmp_path / "sit", tmp_path / "cache")
    model = load_model(str(tmp_path / "sit"))
    assert model.latent_shape == (6, 10)
    assert model.pixels == 64
    write_samples(model, SampleConfig(images=3, steps=4), tmp_path / "s.npz", torch.device("cpu"))
    with np.load(tmp_path / "s.npz") as samples:
        assert samples["arr_0"].shape == (3, 64, 64, 3)
