"""Folders that `load_tokenizer` reads again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sendvae.tokenizers import Autoencoder, load_tokenizer, save_tokenizer


def test_round_trip_is_bit_equal(small: Autoencoder, tmp_path: Path) -> None:
    save_tokenizer(small, tmp_path / "t")
    again = load_tokenizer(tmp_path / "t")
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, small.state_dict()[name])
    assert again.architecture == small.architecture
    assert small.latent_stats is not None
    assert again.latent_stats is not None
    assert torch.equal(again.latent_stats.mean, small.latent_stats.mean)
    assert torch.equal(again.latent_stats.std, small.latent_stats.std)
    assert not again.training


def test_half_precision_storage_loads_as_float32(small: Autoencoder, tmp_path: Path) -> None:
    save_tokenizer(small, tmp_path / "half", dtype=torch.float16)
    save_tokenizer(small, tmp_path / "whole")
    weight = load_tokenizer(tmp_path / "half").encoder.conv_in.weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, small.encoder.conv_in.weight, atol=1e-3, rtol=1e-3)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]


def test_the_card_is_kept_and_both_files_are_readable_alike(small: Autoencoder, tmp_path: Path) -> None:
    save_tokenizer(small, tmp_path / "t", card={"from": "a test"})
    assert json.loads((tmp_path / "t" / "config.json").read_text())["card"] == {"from": "a test"}
    modes = {path.stat().st_mode for path in (tmp_path / "t").iterdir()}
    assert len(modes) == 1  # safetensors makes files that only their owner reads


def test_a_failure_leaves_the_old_folder(small: Autoencoder, tmp_path: Path) -> None:
    save_tokenizer(small, tmp_path / "t", card={"from": "a test"})
    with pytest.raises(TypeError):
        save_tokenizer(small, tmp_path / "t", card={"no JSON": object()})
    assert load_tokenizer(tmp_path / "t").architecture == small.architecture
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
