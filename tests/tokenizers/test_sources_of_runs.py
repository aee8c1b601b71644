"""A run that is no tokenizer says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendvae.errors import UserError
from sendvae.tokenizers import load_tokenizer


def test_a_diffusion_run_given_as_tokenizer_names_its_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("kind: diffusion\ntokenizer: runs/mine\n")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match=r"train diffusion, not a tokenizer(?s:.*)latents of runs/mine"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("kind", ["tokenizer", "joint"])
def test_other_runs_without_a_tokenizer_have_not_ended(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.yaml").write_text(f"kind: {kind}\n")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="has not ended"):
        load_tokenizer(tmp_path)
