"""Tokenizers on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sendvae.errors import UserError
from sendvae.tokenizers import (
    TOKENIZERS,
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


def test_round_trip_is_bit_equal(folder: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(folder)
    save_tokenizer(tokenizer, tmp_path / "again")
    for name, tensor in load_tokenizer(tmp_path / "again").state_dict().items():
        assert torch.equal(tensor, tokenizer.state_dict()[name])
    assert tokenizer.latent_stats is not None
    assert tokenizer.latent_stats.std.tolist() == [1.0, 2.0]
    assert not tokenizer.training


def test_half_precision_storage_loads_as_float32(folder: Path, tmp_path: Path) -> None:
    save_tokenizer(load_tokenizer(folder), tmp_path / "half", dtype=torch.float16)
    weight = load_tokenizer(tmp_path / "half").encoder.conv_in.weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, load_tokenizer(folder).encoder.conv_in.weight, atol=1e-3, rtol=1e-3)


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


@pytest.mark.parametrize("content", [b"just text", b""])
def test_files_that_are_no_safetensors(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        load_tokenizer(folder)


def test_truncated_file(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged"):
        load_tokenizer(folder)


def test_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a tokenizer"):
        load_tokenizer(tmp_path)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'demo-f8d16'"):
        load_tokenizer("demo-f8d61")


@pytest.mark.parametrize("name", TOKENIZERS)
def test_shipped_tokenizers_load_and_reconstruct(name: str) -> None:
    from sendvae.data import open_embedded, to_float, to_uint8
    from sendvae.metrics import psnr

    tokenizer = load_tokenizer(name)
    images = open_embedded("emoji", "test", limit=16).batch(range(16)).images
    with torch.no_grad():
        decoded = to_uint8(tokenizer.decode(tokenizer.encode(to_float(images)).mode()))
    assert float(psnr(decoded, images).mean()) > 22.0  # a grey image of the mean colour has about 10
