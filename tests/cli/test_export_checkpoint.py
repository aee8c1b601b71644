"""A checkpoint of a tokenizer's training is exported as the run's end would have exported it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sendvae.tokenizers import load_tokenizer

Command = Callable[..., tuple[int, str, str]]
SETTINGS = (
    "data.limit=16",
    "loop.images=24",
    "loop.batch_size=8",
    "loop.checkpoint_every=8",
    "loop.keep_last=3",
    "statistics_images=16",
)


@pytest.mark.parametrize("averaged", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_checkpoint_of_a_tokenizer_is_exported(command: Command, tmp_path: Path, averaged: bool) -> None:
    ema = ["ema=0.9"] if averaged else []
    code, _, said = command("train", "tokenizer", "demo/plain", "--run", "run", *SETTINGS, *ema)
    assert code == 0, said
    for step in (1, 3):
        source = f"run/checkpoints/step-{step:09d}"
        code, _, said = command("export", source, "--to", "safetensors", "--output", f"out-{step}")
        assert code == 0, said
    whole, last, first = (
        load_file(tmp_path / name / "model.safetensors") for name in ("run/tokenizer", "out-3", "out-1")
    )
    assert all(torch.equal(whole[name], last[name]) for name in whole)
    assert not all(torch.equal(whole[name], first[name]) for name in whole)
    ended, exported = load_tokenizer(tmp_path / "run"), load_tokenizer(tmp_path / "out-3")
    assert ended.latent_stats is not None
    assert exported.latent_stats is not None
    torch.testing.assert_close(exported.latent_stats.std, ended.latent_stats.std)
    assert "step-000000003" in (tmp_path / "out-3" / "README.md").read_text()


def test_a_damaged_one_is_named(command: Command, tmp_path: Path) -> None:
    command("train", "tokenizer", "demo/plain", "--run", "run", *SETTINGS)
    (tmp_path / "run/checkpoints/step-000000003/tokenizer.safetensors").write_bytes(b"x")
    code, _, said = command(
        "export", "run/checkpoints/step-000000003", "--to", "safetensors", "--output", "out"
    )
    assert code == 2
    assert "step-000000003 is damaged" in said
    assert not (tmp_path / "out").exists()
