"""A run becomes weights that ship: half precision, without what only training needs, with its record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from tools.ship import ship

from sendvae.config import DiffusionConfig, TokenizerConfig, load_config
from sendvae.diffusion import load_generator
from sendvae.runs import load_classes
from sendvae.tokenizers import load_tokenizer
from sendvae.training import train_diffusion, train_tokenizer

SMALL = ["data.limit=16", "loop.images=16", "loop.batch_size=8", "loop.log_every=8"]


def test_shipped_weights_are_those_of_the_run(tmp_path: Path) -> None:
    run, package = tmp_path / "plain", tmp_path / "package"
    train_tokenizer(load_config(TokenizerConfig, "demo/plain", SMALL), run, tmp_path / "cache")
    folder = ship(run, "demo-mine", package)
    assert folder == package / "tokenizers/weights/demo-mine"
    ours, trained = load_tokenizer(str(folder)), load_tokenizer(str(run))
    base = load_tokenizer("demo-f8d16")
    for key, tensor in trained.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], tensor.half().float(), rtol=0, atol=0)
    assert not torch.equal(ours.decoder_out, base.decoder_out)  # type: ignore[attr-defined]
    assert ours.latent_stats is not None
    assert trained.latent_stats is not None
    assert torch.equal(ours.latent_stats.std, trained.latent_stats.std)
    card = json.loads((folder / "config.json").read_text())["card"]
    assert card["trained from"] == "demo-f8d16"
    assert card["images seen"] == 16
    assert yaml.safe_load((folder / "training-config.yaml").read_text())["kind"] == "tokenizer"
    assert len((folder / "training-metrics.jsonl").read_text().splitlines()) == 2
    assert (folder / "training-environment.json").is_file()
    assert not (run / "shipped").exists()
    with pytest.raises(FileExistsError, match="never replaced"):
        ship(run, "demo-mine", package)

    sit = tmp_path / "sit"
    config = load_config(DiffusionConfig, "demo/sit-tiny", [*SMALL, f"tokenizer={run}"])
    train_diffusion(config, sit, tmp_path / "cache")
    folder = ship(sit, "demo-sit-mine", package)
    shipped, whole = load_generator(folder), load_generator(sit)
    assert len(whole.projectors) == 1  # type: ignore[arg-type]
    assert len(shipped.projectors) == 0  # type: ignore[arg-type]
    x, t, labels = torch.randn(3, *whole.latent_shape), torch.rand(3), torch.tensor([0, 4, whole.null_label])
    rounded = {key: tensor.half().float() for key, tensor in whole.state_dict().items()}
    whole.load_state_dict(rounded)
    with torch.no_grad():
        torch.testing.assert_close(shipped(x, t, labels), whole(x, t, labels))
    assert (
        load_classes(folder, whole.null_label).names == load_classes(sit, whole.null_label).names is not None
    )
