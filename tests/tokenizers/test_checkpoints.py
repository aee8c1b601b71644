"""Published containers, built as their projects write them; files that must be refused."""

from __future__ import annotations

import argparse
import os
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sendvae.errors import UserError
from sendvae.tokenizers import ARCHITECTURES, Architecture, Autoencoder, build_tokenizer, load_tokenizer
from sendvae.tokenizers.infer import infer_architecture
from sendvae.tokenizers.load import load_parts

DISCRIMINATOR = {"main.0.weight": torch.randn(4, 3, 4, 4), "main.0.bias": torch.randn(4)}
PROJECTION = torch.randn(6, 4, 1, 1)


def lightning(vae: dict[str, Tensor]) -> dict[str, Any]:
    """LightningDiT's training checkpoint."""
    extra = {f"loss.discriminator.{key}": value for key, value in DISCRIMINATOR.items()}
    extra |= {"loss.logvar": torch.zeros(()), "loss.perceptual_loss.net.0.weight": torch.zeros(2)}
    extra |= {"foundation_model.blocks.0.weight": torch.zeros(3), "linear_proj.weight": PROJECTION}
    return {"epoch": 3, "global_step": 7, "state_dict": OrderedDict(vae | extra), "optimizer_states": []}


def whole_model(vae: dict[str, Tensor]) -> dict[str, Any]:
    """Stable Diffusion's checkpoint: the VAE is one of several models."""
    state = {f"first_stage_model.{key}": value for key, value in vae.items()}
    others = {"model.diffusion_model.out.weight": torch.zeros(2), "cond_stage_model.ids": torch.zeros(1)}
    return {"state_dict": state | others | {"betas": torch.zeros(3)}, "global_step": 1}


def repa_e(vae: dict[str, Tensor]) -> dict[str, Any]:
    """REPA-E's joint training: SiT, its EMA, the VAE and the discriminator, and the arguments."""
    running = {"bn.running_mean": torch.tensor([1.0, 2, 3, 4]), "bn.running_var": torch.full((4,), 4.0)}
    return {
        "model": {"x_embedder.proj.weight": torch.zeros(2)},
        "ema": running,
        "vae": vae,
        "discriminator": DISCRIMINATOR,
        "opt": {"state": {}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999)}]},
        "args": argparse.Namespace(model="SiT-XL/2", batch_size=256),
        "steps": 400_000,
    }


def compiled(vae: dict[str, Tensor]) -> dict[str, Any]:
    return {f"module.{key}": value for key, value in vae.items()}


CONTAINERS = {
    "flat": dict,
    "lightning": lightning,
    "whole model": whole_model,
    "REPA-E": repa_e,
    "DDP": compiled,
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("suffix", [".pt", ".ckpt"])
def test_the_vae_is_found_in_every_container(
    container: str, suffix: str, small: Autoencoder, tmp_path: Path
) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save(CONTAINERS[container](small.state_dict()), path)
    back = load_tokenizer(path)
    assert back.architecture == small.architecture
    assert all(torch.equal(back.state_dict()[key], value) for key, value in small.state_dict().items())


def test_safetensors_of_containers(small: Autoencoder, tmp_path: Path) -> None:
    save_file(whole_model(small.state_dict())["state_dict"], tmp_path / "sd.safetensors")
    back = load_tokenizer(tmp_path / "sd.safetensors").state_dict()
    assert all(torch.equal(back[key], value) for key, value in small.state_dict().items())


def test_warm_start_parts(small: Autoencoder, tmp_path: Path) -> None:
    torch.save(lightning(small.state_dict()), tmp_path / "vavae.pt")
    parts = load_parts(tmp_path / "vavae.pt")
    assert parts.keys() == {"discriminator", "linear_proj"}
    assert torch.equal(parts["linear_proj"]["weight"], PROJECTION)
    assert all(torch.equal(parts["discriminator"][key], value) for key, value in DISCRIMINATOR.items())

    torch.save(repa_e(small.state_dict()), tmp_path / "0400000.pt")
    assert load_parts(tmp_path / "0400000.pt").keys() == {"discriminator"}

    torch.save(small.state_dict(), tmp_path / "sdvae.pt")
    assert load_parts(tmp_path / "sdvae.pt") == {}
    torch.save(DISCRIMINATOR, tmp_path / "sdvae-discriminator-ckpt.pt")
    assert load_parts(tmp_path / "sdvae.pt")["discriminator"].keys() == DISCRIMINATOR.keys()
    with pytest.raises(UserError, match="holds no VAE"):
        load_tokenizer(tmp_path / "sdvae-discriminator-ckpt.pt")


def test_statistics_of_joint_training(small: Autoencoder, tmp_path: Path) -> None:
    torch.save(repa_e(small.state_dict()), tmp_path / "0400000.pt")
    stats = load_tokenizer(tmp_path / "0400000.pt").latent_stats
    assert stats is not None
    assert stats.mean.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert stats.std.tolist() == [2.0] * 4


def test_statistics_of_side_files(small: Autoencoder, tmp_path: Path) -> None:
    torch.save(small.state_dict(), tmp_path / "vae.pt")
    assert load_tokenizer(tmp_path / "vae.pt").latent_stats is None
    mean, std = torch.randn(1, 4, 1, 1), torch.rand(1, 4, 1, 1) + 0.5
    torch.save({"latents_scale": 1 / std, "latents_bias": mean}, tmp_path / "vae-latents-stats.pt")
    torch.save({"mean": mean + 1, "std": std}, tmp_path / "latents_stats.pt")
    beside = load_tokenizer(tmp_path / "vae.pt").latent_stats
    named = load_tokenizer(tmp_path / "vae.pt", latent_stats=tmp_path / "latents_stats.pt").latent_stats
    assert beside is not None
    assert named is not None
    torch.testing.assert_close(beside.mean, mean.flatten())
    torch.testing.assert_close(beside.std, std.flatten())
    torch.testing.assert_close(named.mean, mean.flatten() + 1)
    (tmp_path / "vae-latents-stats.pt").unlink()
    lightningdit = load_tokenizer(tmp_path).latent_stats  # the folder holds one tokenizer and its statistics
    assert lightningdit is not None
    torch.testing.assert_close(lightningdit.mean, mean.flatten() + 1)
    torch.save({"something": torch.zeros(1)}, tmp_path / "latents_stats.pt")
    with pytest.raises(UserError, match="no latent statistics"):
        load_tokenizer(tmp_path / "vae.pt", latent_stats=tmp_path / "latents_stats.pt")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture_is_read_off_the_shapes(name: str) -> None:
    with torch.device("meta"):
        weights = build_tokenizer(name).state_dict()
    assert infer_architecture(weights) == ARCHITECTURES[name]


def test_incomplete_weights_are_compared_with_the_nearest_architecture() -> None:
    with torch.device("meta"):
        weights = build_tokenizer("f16d64").state_dict()
    del weights["encoder.conv_in.weight"]
    assert infer_architecture(weights) == ARCHITECTURES["f16d64"]


def test_group_norms_that_cannot_be_told(tmp_path: Path) -> None:
    odd = Autoencoder(Architecture(z_channels=2, ch=8, ch_mult=(1, 2), num_res_blocks=1, norm_groups=4))
    torch.save(odd.state_dict(), tmp_path / "odd.pt")
    with pytest.raises(UserError, match="GroupNorm"):
        load_tokenizer(tmp_path / "odd.pt")


def test_one_error_names_what_does_not_fit(small: Autoencoder, tmp_path: Path) -> None:
    weights = small.state_dict() | {"encoder.extra": torch.zeros(1), "decoder.conv_out.bias": torch.zeros(4)}
    del weights["decoder.up.1.block.2.conv2.weight"]
    torch.save(weights, tmp_path / "bad.pt")
    with pytest.raises(UserError) as caught:
        load_tokenizer(tmp_path / "bad.pt")
    for part in (
        "1 missing: decoder.up.1.block.2.conv2.weight",
        "1 unexpected: encoder.extra",
        "1 mis-shaped: decoder.conv_out.bias (4,) instead of (3,)",
    ):
        assert part in str(caught.value)


def test_weights_of_another_kind_of_network(tmp_path: Path) -> None:
    torch.save({"blocks.0.attn.qkv.weight": torch.zeros(3)}, tmp_path / "sit.pt")
    with pytest.raises(UserError, match="no weights of a known VAE"):
        load_tokenizer(tmp_path / "sit.pt")


class Malice:
    """A pickle that would run a command."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.target}",))


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_does_not_run(protocol: int, zipped: bool, tmp_path: Path) -> None:
    content = {"encoder.conv_in.bias": torch.zeros(3), "x": Malice(tmp_path / "harm")}
    torch.save(content, tmp_path / "evil.pt", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError) as caught:
        load_tokenizer(tmp_path / "evil.pt")
    assert not (tmp_path / "harm").exists()
    if protocol == 2:  # torch's own; its reader does not know all of the others and gives up earlier
        assert "was not loaded" in str(caught.value)
        assert "system" in str(caught.value)


def test_stand_ins_hand_no_code_on(tmp_path: Path) -> None:
    """A harmless name with a harmful argument is as refused as the argument alone."""

    class Disguised:
        def __reduce__(self) -> tuple[Any, ...]:
            return (argparse.Namespace, (Malice(tmp_path / "harm"),))

    torch.save({"args": Disguised()}, tmp_path / "evil.pt")
    with pytest.raises(UserError, match="was not loaded"):
        load_tokenizer(tmp_path / "evil.pt")
    assert not (tmp_path / "harm").exists()


def test_records_of_lightning_are_skipped_without_lightning(
    small: Autoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stable Diffusion's files carry a callback's class as a key and a numpy scalar as its score."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = types.ModuleType(name)
    callback = type("ModelCheckpoint", (), {"__module__": name})
    monkeypatch.setattr(module, "ModelCheckpoint", callback, raising=False)
    for part in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    monkeypatch.setitem(sys.modules, name, module)
    state = {callback: {"best_model_score": np.float64(0.5), "best_model_path": "x.ckpt"}}
    torch.save(whole_model(small.state_dict()) | {"callbacks": state}, tmp_path / "sd.ckpt")
    monkeypatch.undo()
    assert name not in sys.modules
    assert load_tokenizer(tmp_path / "sd.ckpt").architecture == small.architecture
    assert name not in sys.modules


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("content", [b"just text\n" * 20, b"", b"{}"])
def test_files_that_are_something_else(suffix: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / f"weights{suffix}").write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged"):
        load_tokenizer(tmp_path / f"weights{suffix}")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_truncated_files(suffix: str, kept: float, small: Autoencoder, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    save_file(small.state_dict(), path) if suffix == ".safetensors" else torch.save(small.state_dict(), path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(UserError, match="is damaged"):
        load_tokenizer(path)
