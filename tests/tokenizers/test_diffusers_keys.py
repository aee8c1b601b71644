"""diffusers' names, judged by diffusers itself."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL

from sendvae.tokenizers import ARCHITECTURES, Autoencoder
from sendvae.tokenizers.diffusers_keys import from_diffusers_state_dict, to_diffusers_state_dict
from sendvae.tokenizers.diffusers_layout import diffusers_config


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_names_and_shapes_are_those_of_diffusers(name: str) -> None:
    with torch.device("meta"):
        ours = Autoencoder(ARCHITECTURES[name]).state_dict()
        theirs = AutoencoderKL.from_config(diffusers_config(ARCHITECTURES[name], None)).state_dict()
    renamed = to_diffusers_state_dict(ours)
    assert {k: v.shape for k, v in renamed.items()} == {k: v.shape for k, v in theirs.items()}
    back = from_diffusers_state_dict(renamed)
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in ours.items()}


def test_round_trip_is_bit_equal(small: Autoencoder) -> None:
    weights = small.state_dict()
    back = from_diffusers_state_dict(to_diffusers_state_dict(weights))
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], weights[key]) for key in weights)


def test_the_decoder_is_numbered_in_the_order_it_runs() -> None:
    weights = {f"decoder.up.{i}.block.0.norm1.weight": torch.tensor([float(i)]) for i in range(3)}
    weights |= {f"encoder.down.{i}.block.0.norm1.weight": torch.tensor([float(i)]) for i in range(3)}
    renamed = to_diffusers_state_dict(weights)
    assert [float(renamed[f"decoder.up_blocks.{i}.resnets.0.norm1.weight"]) for i in range(3)] == [2, 1, 0]


def test_projections_of_old_diffusers_files(small: Autoencoder) -> None:
    """Before diffusers 0.18 attention had query, key, value and proj_attn."""
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for key, tensor in to_diffusers_state_dict(small.state_dict()).items():
        for now, then in former.items():
            key = key.replace(f".{now}.", f".{then}.")
        old[key] = tensor
    assert "encoder.mid_block.attentions.0.proj_attn.weight" in old
    back = from_diffusers_state_dict(old)
    assert all(torch.equal(back[key], tensor) for key, tensor in small.state_dict().items())


def test_unknown_keys_stay(small: Autoencoder) -> None:
    weights = to_diffusers_state_dict(small.state_dict()) | {"encoder.wrong.weight": torch.zeros(1)}
    assert "encoder.wrong.weight" in from_diffusers_state_dict(weights)


def test_architecture_configurations_differ_where_attention_does() -> None:
    f16, f8 = (diffusers_config(ARCHITECTURES[name], None) for name in ("f16d32", "f8d4"))
    assert f16["down_block_types"] == ["DownEncoderBlock2D"] * 4 + ["AttnDownEncoderBlock2D"]
    assert f16["up_block_types"] == ["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * 4
    assert f16["block_out_channels"] == [128, 128, 256, 256, 512]
    assert f8["block_out_channels"] == [128, 256, 512, 512]
