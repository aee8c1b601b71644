"""Jobs from a configuration to exported models: features at every step, the data set they are for, joint training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sendvae.config import DiffusionConfig, JointConfig, TokenizerConfig, load_config
from sendvae.config.schema_common import DataConfig
from sendvae.data import LatentCache, LatentCacheWriter, open_embedded
from sendvae.diffusion import load_sit
from sendvae.errors import UserError
from sendvae.runs import read_journal
from sendvae.tokenizers import load_tokenizer
from sendvae.training import train_diffusion, train_joint, train_tokenizer
from sendvae.training.jobs import open_training_images
from sendvae.training.source import Source

SHORT = ["loop.images=8", "loop.batch_size=4", "loop.log_every=4", "loop.precision=fp32", "data.limit=8", "optimizer.warmup=0"]  # fmt: skip
JOBS = {
    "tokenizer": (train_tokenizer, TokenizerConfig, "demo/send-vae", ["statistics_images=8"]),
    "diffusion": (train_diffusion, DiffusionConfig, "demo/sit-tiny", []),
    "joint": (train_joint, JointConfig, "demo/joint", []),
}


def run(job: str, folder: Path, *overrides: str) -> Path:
    train, schema, preset, more = JOBS[job]
    config = load_config(schema, preset, [*SHORT, *more, *overrides])
    return train(config, folder / "run", folder / "cache")  # type: ignore[operator]


@pytest.mark.parametrize("job", JOBS)
def test_features_at_every_step_are_the_cached_ones(job: str, tmp_path: Path) -> None:
    """Up to the half precision of the cache, and without one on the disk."""
    journals = {}
    for tokens in ("cached", "online"):
        run(job, tmp_path / tokens, f"data.tokens={tokens}")
        journals[tokens] = read_journal(tmp_path / tokens / "run/metrics.jsonl")
        cached = list((tmp_path / tokens / "cache").glob("tokens-*"))
        assert bool(cached) == (tokens == "cached")
    name = "alignment" if job == "tokenizer" else "repa"
    cached, online = journals["cached"][name], journals["online"][name]
    assert len(online) == 2
    assert online == pytest.approx(cached, abs=2e-3)
    assert online[0] != 0.0


def test_joint_training_exports_both(tmp_path: Path) -> None:
    folder = run("joint", tmp_path)
    tokenizer, sit = load_tokenizer(folder), load_sit(folder)
    stats = tokenizer.latent_stats
    assert stats is not None
    assert (sit.latent_channels, sit.null_label) == (16, 10)
    start = load_tokenizer("demo-f8d16")
    assert start.latent_stats is not None
    moved = [not torch.equal(a, b) for a, b in zip(tokenizer.parameters(), start.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2
    assert not torch.equal(stats.mean, start.latent_stats.mean)
    torch.testing.assert_close(
        stats.mean, start.latent_stats.mean, atol=0.5, rtol=0.0
    )  # an average of few steps
    assert run("joint", tmp_path) == folder  # finished: nothing is done again


def test_joint_training_does_not_shard(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"loop\.parallel=ddp"):
        run("joint", tmp_path, "loop.parallel=fsdp")


@pytest.mark.parametrize(("key", "value"), [("size", 256), ("classes", 1000)])
def test_another_data_set_than_configured_is_refused(key: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"another data set(?s:.*)data\.{key}={value}"):
        open_training_images(DataConfig(**{key: value}))
    assert len(open_training_images(DataConfig(size=64, classes=10, limit=3))) == 3


def test_images_are_read_beside_cached_latents_only_on_demand(tmp_path: Path) -> None:
    images = open_embedded("emoji", "train", limit=4)
    with LatentCacheWriter(tmp_path, {"mean": (2, 1, 1), "std": (2, 1, 1)}, 4, "x") as writer:
        writer.append({"mean": torch.zeros(4, 2, 1, 1), "std": torch.ones(4, 2, 1, 1)})
    latents = LatentCache(tmp_path)
    assert Source(images, latents).__getitems__([2, 0]).images is None
    both = Source(images, latents, pixels=True).__getitems__([2, 0])
    assert both.images is not None
    assert torch.equal(both.images, images.batch([2, 0]).images)
    assert both.latent_mean is not None
