"""SoftVQ's tokenizer against timm's own transformers, in the layout of its released files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from sendvae.config import DiffusionConfig, LatentsConfig, TokenizerConfig, load_config, validate
from sendvae.data import open_embedded
from sendvae.errors import UserError
from sendvae.evaluation import measure_latents
from sendvae.tokenizers import TOKENIZERS, LatentStats, load_tokenizer
from sendvae.tokenizers.export import write_component
from sendvae.training import train_diffusion, train_tokenizer

TOKENS, DIMS, CODEBOOKS, CODES, SIDE, PATCHES = 12, 6, 3, 20, 64, 16
SIZES = {"encoder": (128, 2), "decoder": (192, 3)}  # width and depth, as of softvq-bl they differ


def transformers(seed: int = 0) -> dict[str, Any]:
    """The two models as their makers build them, with weights none of which is 0 or 1."""
    models = {}
    generator = torch.Generator().manual_seed(seed)
    for part, (width, depth) in SIZES.items():
        models[part] = timm.create_model(
            "vit_large_patch14_dinov2",
            img_size=SIDE,
            patch_size=16,
            embed_dim=width,
            depth=depth,
            num_heads=width // 64,
        ).double()
        for name, parameter in models[part].named_parameters():
            scale = 0.5 if name.endswith("gamma") else 0.1
            parameter.data = scale * torch.randn(parameter.shape, generator=generator).double() + (
                scale == 0.5
            )
    return models


def release(
    folder: Path, models: dict[str, nn.Module], seed: int = 0, **fields: object
) -> tuple[Path, dict[str, Tensor]]:
    """A released folder, with what only training needs, and what lies beside the two models in it."""
    generator = torch.Generator().manual_seed(seed)
    encoder, decoder = (SIZES[part][0] for part in ("encoder", "decoder"))
    shapes = {
        "encoder.latent_tokens": (1, TOKENS, encoder),
        "encoder.latent_pos_embed": (1, TOKENS, encoder),
        "decoder.mask_token": (1, 1, decoder),
        "decoder.latent_pos_embed": (1, TOKENS, decoder),
        "decoder.to_pixel.model.weight": (3 * 16**2, decoder),
        "decoder.to_pixel.model.bias": (3 * 16**2,),
        "quant_conv.weight": (DIMS, encoder),
        "quant_conv.bias": (DIMS,),
        "post_quant_conv.weight": (decoder, DIMS),
        "post_quant_conv.bias": (decoder,),
        "quantize.embedding": (CODEBOOKS, CODES, DIMS),
    }
    own = {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    training = {
        "quantize.codebook_used": torch.zeros(CODEBOOKS, 65536),
        "repa_model.norm.weight": torch.randn(4),
        "projection.0.weight": torch.randn(4, 4),
    }
    trunks = {
        f"{part}.model.{name}": tensor.float()
        for part, model in models.items()
        for name, tensor in model.state_dict().items()
    }
    folder.mkdir()
    save_file({**own, **training, **trunks}, folder / "model.safetensors")
    config = {"tau": 0.07, "codebook_l2_norm": True, **fields}
    (folder / "config.json").write_text(json.dumps({"config": config}))
    return folder, {name: tensor.double() for name, tensor in own.items()}


def run(model: Any, image: Tensor, latent: Tensor) -> Tensor:
    """The makers' forward: class token and positions, then latent tokens, blocks, norm."""
    x = torch.cat([model._pos_embed(image), latent.expand(len(image), -1, -1)], 1)
    for block in model.blocks:
        x = block(x)
    return model.norm(x)


def test_latents_and_images_are_those_of_the_makers_transformers(tmp_path: Path) -> None:
    models = transformers()
    folder, own = release(tmp_path / "net", models, vq_mean=0.25, vq_std=0.0625)
    tokenizer = load_tokenizer(folder)
    images = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        encoder, decoder = models["encoder"], models["decoder"]
        latent = own["encoder.latent_tokens"] + own["encoder.latent_pos_embed"]
        x = run(encoder, encoder.patch_embed(images.double()), latent)[:, -TOKENS:]
        x = x @ own["quant_conv.weight"].T + own["quant_conv.bias"]
        z = torch.empty_like(x)
        for token in range(TOKENS):
            codes = F.normalize(own["quantize.embedding"][token // (TOKENS // CODEBOOKS)], dim=-1)
            cosines = F.cosine_similarity(x[:, token, None], codes[None], dim=-1)
            z[:, token] = (cosines / 0.07).softmax(-1) @ codes
        posterior = tokenizer.encode(images)
        torch.testing.assert_close(posterior.mean.double(), z.mT, rtol=1e-4, atol=1e-4)
        assert float(posterior.std.max()) == 0.0

        wide = z @ own["post_quant_conv.weight"].T + own["post_quant_conv.bias"]
        masks = own["decoder.mask_token"].expand(2, PATCHES, -1)
        y = run(decoder, masks, wide + own["decoder.latent_pos_embed"])[:, 1 : 1 + PATCHES]
        y = y @ own["decoder.to_pixel.model.weight"].T + own["decoder.to_pixel.model.bias"]
        pixels = torch.einsum("bhwpqc->bchpwq", y.view(2, 4, 4, 16, 16, 3)).reshape(2, 3, SIDE, SIDE)
        torch.testing.assert_close(tokenizer.decode(z.mT.float()).double(), pixels, rtol=1e-4, atol=1e-4)
    assert tokenizer.latent_stats is not None
    assert tokenizer.latent_stats.mean.tolist() == [0.25] * DIMS
    assert tokenizer.latent_stats.std.tolist() == [0.0625] * DIMS
    assert tokenizer.latent_shape(SIDE) == (DIMS, TOKENS)
    assert tokenizer.label == "t12d6"
    assert tokenizer.expected_size(128, 128) == "64 x 64"


def test_the_temperature_is_that_of_the_configuration(tmp_path: Path) -> None:
    models, images = transformers(), torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        warm, cold = (
            load_tokenizer(release(tmp_path / str(tau), models, tau=tau)[0]).encode(images).mean
            for tau in (5.0, 0.01)
        )
    lengths = [z.norm(dim=1).mean() for z in (warm, cold)]
    assert lengths[0] < 0.6  # near the mean of all codes
    assert lengths[1] > 0.9  # near one of them, of length 1
    assert warm.shape == cold.shape


def test_statistics_that_were_measured_are_saved_and_loaded(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(release(tmp_path / "released", transformers())[0])
    mean = torch.arange(float(tokenizer.latent_channels))
    tokenizer.latent_stats = LatentStats(mean, mean + 0.5)
    (tmp_path / "saved").mkdir()
    write_component(tokenizer, tmp_path / "saved")
    stats = load_tokenizer(tmp_path / "saved").latent_stats
    assert stats is not None
    torch.testing.assert_close((stats.mean, stats.std), (mean, mean + 0.5), rtol=0, atol=0)


def test_the_released_size_is_that_of_its_makers_models() -> None:
    spec = TOKENIZERS["softvq-l-64"]
    with torch.device("meta"):
        network = spec.build()
        model = timm.create_model("vit_large_patch14_dinov2", img_size=256, patch_size=16)
    trunk = sum(p.numel() for p in model.parameters())
    patches = sum(p.numel() for p in model.patch_embed.parameters())
    beside = 3 * 64 * 1024 + 1024 + 1025 * 768 + 2 * 1024 * 32 + 32 + 1024 + 4 * 8192 * 32
    assert (
        sum(p.numel() for p in network.parameters())
        == 2 * trunk - patches + beside
        == spec.weights.parameters
    )
    assert network.latent_shape(256) == (32, 64)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    models = transformers()
    with pytest.raises(UserError, match=r"codebook_l2_norm=false"):
        load_tokenizer(release(tmp_path / "dot", models, codebook_l2_norm=False)[0])
    folder, _ = release(tmp_path / "bare", models)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"temperature(?s:.*)no tau"):
        load_tokenizer(folder)

    def broken(name: str, **changed: Tensor | None) -> Path:
        folder, own = release(tmp_path / name, models)
        weights = {f"{p}.model.{k}": v.float() for p, m in models.items() for k, v in m.state_dict().items()}
        weights |= {key: value.float() for key, value in own.items()}
        for key, value in changed.items():
            weights.pop(key) if value is None else weights.update({key: value})
        save_file(weights, folder / "model.safetensors")
        return folder

    with pytest.raises(UserError, match=r"do not fit(?s:.*)missing: decoder.mask_token"):
        load_tokenizer(broken("less", **{"decoder.mask_token": None}))
    with pytest.raises(UserError, match=r"unexpected: encoder.freqs"):
        load_tokenizer(broken("rotary", **{"encoder.freqs": torch.zeros(2, 2, 64)}))
    with pytest.raises(UserError, match=r"codebooks(?s:.*)\(20, 6\)"):
        load_tokenizer(broken("flat", **{"quantize.embedding": torch.randn(20, 6)}))
    with pytest.raises(UserError, match=r"do not divide(?s:.*)12 and 5"):
        load_tokenizer(broken("odd", **{"quantize.embedding": torch.randn(5, 20, 6)}))
    with pytest.raises(UserError, match=r"no tensor 'decoder.model.cls_token'"):
        load_tokenizer(broken("headless", **{"decoder.model.cls_token": None}))


def test_it_is_scored_and_generated_in_but_not_trained(tmp_path: Path) -> None:
    source = str(release(tmp_path / "net", transformers(), vq_std=0.1)[0])
    protocol = validate(LatentsConfig, {"limit": 30, "scores": ["dimension", "spectrum", "robustness"]})
    images = {split: open_embedded("emoji", split, 30) for split in ("train", "test")}
    result = measure_latents([source], images, protocol, torch.device("cpu"))
    assert result is not None
    assert result.subjects[0].details["no spectrum"] == "latents are 12 tokens of 6 dimensions without a grid"
    assert "robustness" in result.subjects[0].numbers
    changes = [f"tokenizer={source}", "model=SiT-Tiny/1", "repa=null", "data.limit=32", "loop.images=32"]
    config = load_config(DiffusionConfig, "demo/sit-tiny", [*changes, "loop.batch_size=32"])
    train_diffusion(config, tmp_path / "sit", tmp_path / "cache")
    config = load_config(TokenizerConfig, "demo/plain", [f"init={source}"])
    with pytest.raises(UserError, match=r"not fine-tuned here(?s:.*)SoftVQ's training"):
        train_tokenizer(config, tmp_path / "vae", tmp_path / "cache")
