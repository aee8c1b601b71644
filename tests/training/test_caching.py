"""Caches of tokens and latents: everything they depend on is in their names."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sendvae.data import ShardImages, ShardWriter, open_embedded, open_images, to_float
from sendvae.evaluation.encoded import cache_rows, make_encoder
from sendvae.nn.precision import resolve_precision
from sendvae.runs import list_caches
from sendvae.tokenizers import Architecture, Autoencoder, load_tokenizer
from sendvae.training.caching import (
    cached_latents,
    cached_tokens,
    latent_rows,
    measure_statistics,
    token_rows,
)
from sendvae.vision import Backbone, load_backbone

CPU = torch.device("cpu")
SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 2), num_res_blocks=1, norm_groups=4, resolution=32)
NAMES = [f"{i:02d}" for i in range(7)]


def write_images(folder: Path, seed: int, count: int = 7) -> str:
    """Prepared images; another seed gives other pixels under the same names."""
    rng = np.random.default_rng(seed)
    with ShardWriter(folder, "images", ["a", "b"]) as writer:
        for i, name in enumerate(NAMES[:count]):
            buffer = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(buffer, "PNG")
            writer.write(name, buffer.getvalue(), "png", i % 2, "train" if i < 5 else "val")
    return str(folder)


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, ShardImages]:
    first, second = (write_images(tmp_path / f"set-{seed}", seed) for seed in (0, 1))
    opened = {
        "first": open_images(first, "train"),
        "second": open_images(second, "train"),
        "limited": open_images(first, "train", 4),
        "val": open_images(first, "val"),
    }
    assert opened["first"].keys == opened["second"].keys
    return opened  # type: ignore[return-value]


def network(seed: int = 0, **changes: Any) -> Autoencoder:
    torch.manual_seed(seed)
    return Autoencoder(replace(SMALL, **changes)).eval()


def backbone(seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    return load_backbone("effnet-lite0", pretrained=False)


def test_every_dependency_of_latents_gives_another_name(
    sets: dict[str, ShardImages], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name(images: str = "first", tokenizer: Autoencoder | None = None, **options: Any) -> str:
        return latent_rows(tmp_path, tokenizer or network(), sets[images], **options).key.name

    moved = network()
    with torch.no_grad():
        next(moved.decoder.parameters())[0] += 1e-3
    names = [
        name(), name("second"), name("limited"), name("val"), name(flip=True), name(tokenizer=network(1)),
        name(tokenizer=network(norm_groups=8)), name(tokenizer=moved),
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    monkeypatch.setattr("sendvae.training.caching.resolve_precision", lambda *_: "other")
    assert name() == names[0]  # float32 on every processor
    assert name() == name(shard_size=2)  # rows do not depend on it


def test_every_dependency_of_tokens_gives_another_name(
    sets: dict[str, ShardImages], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = backbone(), backbone()

    def name(images: str = "first", network: Backbone = first, grid: int = 4, **options: Any) -> str:
        return token_rows(tmp_path, network, sets[images], grid, CPU, **options).key.name

    other.spec = replace(other.spec, antialias=not other.spec.antialias)
    names = [
        name(), name("second"), name("limited"), name("val"), name(grid=2), name(flip=True),
        name(network=backbone(1)), name(network=other),
    ]  # fmt: skip
    monkeypatch.setattr("sendvae.training.caching.resolve_precision", lambda *_: "other")
    names.append(name())
    assert len(set(names)) == len(names)


def test_every_dependency_of_scored_latents_gives_another_name(sets: dict[str, ShardImages]) -> None:
    def name(
        images: str = "first",
        tokenizer: Autoencoder | None = None,
        latent: str = "mean",
        seed: int = 0,
        mirrored: bool = False,
        precision: str = "fp32",
    ) -> str:
        encoder = make_encoder(tokenizer or network(), CPU, latent, precision, seed, 4)
        return replace(encoder, mirrored=mirrored).key(sets[images]).name

    names = [
        name(), name("second"), name("limited"), name("val"), name(tokenizer=network(1)),
        name(tokenizer=network(norm_groups=8)), name(latent="sample"), name(latent="sample", seed=1),
        name(mirrored=True), name(precision="bf16"),
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    assert name() == name(seed=1)  # means have no noise


def test_two_data_sets_share_a_cache_folder(sets: dict[str, ShardImages], tmp_path: Path) -> None:
    cache, vae, eyes = tmp_path / "cache", network(), load_backbone("effnet-lite0")
    encoder = make_encoder(vae, CPU, "mean", "fp32", 0, 4)
    for _ in range(2):
        for name in ("first", "second"):
            images = sets[name]
            pixels = to_float(images.batch(range(5)).images)
            with torch.no_grad():
                mean, tokens = vae.encode(pixels).mean, eyes.patch_tokens(pixels, 2)
            latents = cached_latents(cache, vae, images, CPU, flip=True, shard_size=2)
            torch.testing.assert_close(latents.fields["mean"].float(), mean, rtol=0.05, atol=0.05)
            found = cached_tokens(cache, eyes, images, 2, CPU).fields["tokens"].float()
            assert (found - tokens).pow(2).mean() < 0.01 * tokens.var()
            rows = cache_rows(encoder, images, cache, name)
            torch.testing.assert_close(rows.batch(np.arange(5)), mean, rtol=1e-4, atol=1e-4)
    listed = list_caches(cache)
    assert len(listed) == 6
    assert {one.data for one in listed} == {sets["first"].source, sets["second"].source}
    assert {one.state for one in listed} == {"whole"}


@pytest.fixture
def native_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor on which "auto" is bf16."""
    monkeypatch.setattr("sendvae.nn.precision.bf16_is_native", lambda _device: True)
    assert resolve_precision("auto", CPU) == "bf16"


@pytest.mark.usefixtures("native_bf16")
def test_cached_latents_are_computed_in_float32(tmp_path: Path) -> None:
    images, tokenizer = open_embedded("emoji", "train", limit=6), load_tokenizer("demo-f8d16")
    cache = cached_latents(tmp_path, tokenizer, images, CPU, flip=True)
    pixels = to_float(images.batch(range(6)).images)
    for field, view in (("mean", pixels), ("mean_flip", pixels.flip(-1))):
        with torch.no_grad():
            exact = tokenizer.encode(view).mean
            with torch.autocast("cpu", torch.bfloat16):
                rough = tokenizer.encode(view).mean
        errors = [float((latents - exact).abs().mean()) for latents in (cache.fields[field].float(), rough)]
        assert errors[0] < 0.3 * errors[1]  # rounded to half precision once, at the end


@pytest.mark.usefixtures("native_bf16")
def test_statistics_are_measured_in_float32() -> None:
    """Over images spread evenly: the first ones may be of one class."""
    images, tokenizer = open_embedded("emoji", "train", limit=15), load_tokenizer("demo-f8d16")
    found = measure_statistics(tokenizer, images, 8, seed=3, device=CPU)
    with torch.no_grad():
        posterior = tokenizer.encode(to_float(images.batch(range(0, 15, 2)).images))
    z = posterior.sample(torch.Generator().manual_seed(3)).double()
    torch.testing.assert_close(found.mean.double(), z.mean(dim=(0, 2, 3)), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.std.double(), z.std(dim=(0, 2, 3), correction=0), rtol=1e-5, atol=0)
