"""Tokenizers on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.evaluation.samplable import small_tokenizer

from sendvae.errors import UserError
from sendvae.tokenizers import (
    Architecture,
    Autoencoder,
    LatentStats,
    load_tokenizer,
    save_tokenizer,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = Autoencoder(
        Architecture(z_channels=2, ch=8, ch_mult=(1, 2), num_res_blocks=1, norm_groups=4),
        LatentStats(torch.tensor([0.1, 0.2]), torch.tensor([1.0, 2.0])),
    )
    save_tokenizer(tokenizer, tmp_path / "t", card={"from": "a test"})
    return tmp_path / "t"


def test_one_error_lists_every_kind_of_wrong_key(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["extra"] = torch.zeros(1)
    del weights["quant_conv.bias"]
    weights["encoder.conv_in.bias"] = torch.zeros(3)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(
        UserError, match=r"(?s)missing: quant_conv.bias.*unexpected: extra.*mis-shaped: encoder.conv_in.bias"
    ):
        load_tokenizer(folder)


def test_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a tokenizer"):
        load_tokenizer(tmp_path)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'demo-f8d16'"):
        load_tokenizer("demo-f8d61")


def test_loading_draws_no_random_numbers(folder: Path) -> None:
    state = torch.get_rng_state()
    load_tokenizer(folder)
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_that_are_not_finite_are_named(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["decoder.conv_out.bias"][1] = float("nan")
    save_file(weights, folder / "model.safetensors")
    with pytest.warns(UserWarning, match="NaN or infinite weights: decoder.conv_out.bias"):
        load_tokenizer(folder)


def test_named_architecture_against_other_weights(folder: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)missing: .*mis-shaped: "):
        load_tokenizer(folder, architecture="f8d4")


@pytest.mark.parametrize(
    ("config", "message"),
    [("{", "damaged"), ("[]", "no configuration"), ('{"architecture": {"depth": 3}}', "no architecture")],
)
def test_configurations_that_cannot_be_used(folder: Path, config: str, message: str) -> None:
    (folder / "config.json").write_text(config)
    with pytest.raises(UserError, match=message):
        load_tokenizer(folder)


def test_statistics_of_another_tokenizer(folder: Path, tmp_path: Path) -> None:
    torch.save({"mean": torch.zeros(1, 4, 1, 1), "std": torch.ones(1, 4, 1, 1)}, tmp_path / "stats.pt")
    with pytest.raises(UserError, match="another tokenizer"):
        load_tokenizer(folder, latent_stats=tmp_path / "stats.pt")


def test_run_folders(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="has not ended"):
        load_tokenizer(run)
    folder.rename(run / "tokenizer")
    assert load_tokenizer(run).architecture.z_channels == 2


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("ch", -1, "names no architecture"),
        ("ch", None, "names no architecture"),
        ("ch", 10**40, "names no architecture"),
        ("ch_mult", [{"x": 1}], "names no architecture"),
        ("norm_groups", 0, "names no architecture"),
        ("resolution", "64", "names no architecture"),
        ("mean", [0.0], "statistics in .*config.json are damaged"),
        ("mean", ["x"], "statistics in .*config.json are damaged"),
        ("std", None, "statistics in .*config.json are damaged"),
    ],
)
def test_a_damaged_configuration_is_named(field: str, value: object, problem: str, tmp_path: Path) -> None:
    save_tokenizer(small_tokenizer(), tmp_path / "vae")
    config = json.loads((tmp_path / "vae/config.json").read_text())
    config["latent_stats" if field in ("mean", "std") else "architecture"][field] = value
    (tmp_path / "vae/config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=problem):
        load_tokenizer(tmp_path / "vae")
