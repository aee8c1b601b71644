"""SiTs on disk: our folders, and the checkpoint files of REPA and REPA-E."""

from __future__ import annotations

import argparse
import copy
import json
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sendvae.diffusion import (
    Generator,
    SiT,
    build_generator,
    build_sit,
    load_checkpoint_file,
    load_sit,
    save_generator,
    trained_generator,
)
from sendvae.diffusion.transformer import FinalLayer
from sendvae.errors import UserError


def a_sit(patch: int = 2, **changes: int) -> SiT:
    shape = {"latent_channels": 4, "latent_size": 8, "num_classes": 10, "repa_width": 6, "repa_depth": 2}
    return build_sit(f"SiT-Tiny/{patch}", **{**shape, **changes})


def assert_same_weights(a: Generator, b: Generator) -> None:
    for name, tensor in a.state_dict().items():
        assert torch.equal(b.state_dict()[name], tensor), name


def repa_file(path: Path, sit: SiT, **extra: torch.Tensor) -> Path:
    """As REPA-E's trainer writes it: raw weights beside the EMA's, the optimiser's state, the options."""
    ema = {**sit.state_dict(), **extra}
    model = {name: torch.zeros_like(tensor) for name, tensor in ema.items()}
    options = argparse.Namespace(model="SiT-XL/2", encoder_depth=2)
    torch.save({"model": model, "ema": ema, "opt": {"state": {}}, "args": options, "steps": 400_000}, path)
    return path


def test_round_trip_of_a_folder(tmp_path: Path) -> None:
    sit = a_sit()
    save_generator(sit, tmp_path / "sit")
    again = load_sit(tmp_path)  # a run folder holds it as sit/
    assert_same_weights(sit, again)
    assert again.arguments == sit.arguments
    assert not again.training
    assert not again.pos_embed.requires_grad
    with pytest.raises(UserError, match="not a generator"):
        load_sit(tmp_path / "nowhere")


@pytest.mark.parametrize("patch", [1, 2])
def test_the_ema_of_a_repa_checkpoint(tmp_path: Path, patch: int) -> None:
    sit = a_sit(patch)
    path = repa_file(tmp_path / "0400000.pt", sit)
    again, norm = load_checkpoint_file(path)
    assert_same_weights(sit, again)
    assert again.arguments == sit.arguments
    assert not again.training
    assert norm is None
    assert_same_weights(sit, load_sit(path))


def test_repa_e_keeps_the_latents_statistics(tmp_path: Path) -> None:
    sit, mean, var = a_sit(), torch.randn(4), torch.rand(4)
    extra = {"bn.running_mean": mean, "bn.running_var": var, "bn.num_batches_tracked": torch.tensor(7)}
    again, norm = load_checkpoint_file(repa_file(tmp_path / "0400000.pt", sit, **extra))
    assert_same_weights(sit, again)
    assert norm is not None
    assert torch.equal(norm.running_mean, mean)
    assert torch.equal(norm.running_var, var)


def test_bare_weights(tmp_path: Path) -> None:
    sit = build_sit("SiT-Tiny/2", latent_channels=4, latent_size=8, num_classes=10)
    torch.save(sit.state_dict(), tmp_path / "sit.pt")
    save_file(sit.state_dict(), tmp_path / "sit.safetensors")
    for name in ("sit.pt", "sit.safetensors"):
        assert_same_weights(sit, load_sit(tmp_path / name))


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("executed",)


def test_code_in_a_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"ema": a_sit().state_dict(), "args": Malicious()}, tmp_path / "bad.pt")
    with pytest.raises(UserError, match="was not loaded"):
        load_sit(tmp_path / "bad.pt")
    assert not (tmp_path / "executed").exists()


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("these are words, not weights")
    whole = repa_file(tmp_path / "whole.pt", a_sit()).read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    for name in ("text.safetensors", "cut.pt", "empty.pt"):
        with pytest.raises(UserError, match="is damaged or holds no weights"):
            load_sit(tmp_path / name)
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    for name, reason in (("list.pt", "holds no state dict"), ("other.pt", "holds no generator")):
        with pytest.raises(UserError, match=reason):
            load_sit(tmp_path / name)
    odd = SiT(latent_channels=4, latent_size=8, patch_size=2, width=16, depth=1, heads=2, num_classes=3)
    torch.save(odd.state_dict(), tmp_path / "odd.pt")
    with pytest.raises(UserError, match="heads of this SiT are unknown"):
        load_sit(tmp_path / "odd.pt")
    for name in ("x_embedder.proj.weight", "final_layer.linear.weight", "pos_embed"):
        misshapen = a_sit().state_dict() | {name: torch.zeros(8)}
        torch.save(misshapen, tmp_path / "misshapen.pt")
        with pytest.raises(UserError, match=r"not shaped like a SiT|do not fit a SiT"):
            load_sit(tmp_path / "misshapen.pt")
    lacking = a_sit().state_dict()
    del lacking["final_layer.linear.bias"]
    torch.save(lacking, tmp_path / "lacking.pt")
    with pytest.raises(UserError, match=r"final_layer\.linear\.bias"):
        load_sit(tmp_path / "lacking.pt")
    save_generator(a_sit(), tmp_path / "folder")
    (tmp_path / "folder" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match="damaged"):
        load_sit(tmp_path / "folder")


def test_a_folder_without_the_networks_name_is_a_sit(tmp_path: Path) -> None:
    """As folders were before there was a second network."""
    save_generator(a_sit(), tmp_path / "sit")
    config = tmp_path / "sit" / "config.json"
    arguments = json.loads(config.read_text())
    assert arguments.pop("network") == "SiT"
    del arguments["path"]
    config.write_text(json.dumps(arguments))
    assert load_sit(tmp_path / "sit").arguments == a_sit().arguments


def test_what_no_shape_tells_comes_from_the_runs_configuration(tmp_path: Path) -> None:
    shape = {"latent_channels": 4, "latent_size": 8, "num_classes": 10, "repa_width": 6, "repa_depth": 3}
    generator = build_generator("SiT-Tiny/2", **shape, path="cosine")
    weights, source = generator.state_dict(), tmp_path
    found = trained_generator(weights, {"repa": {"depth": 3}, "path": "cosine"}, source)
    assert found.arguments == generator.arguments
    assert trained_generator(weights, {"repa": {"depth": None}}, source).arguments["repa_depth"] == 2
    assert trained_generator(weights, {"repa": None}, source).path == "linear"


def test_repas_options_are_read_off_keys_and_arguments(tmp_path: Path) -> None:
    """QK-norm by its keys, the path by the trainer's options."""
    sit = build_generator("SiT-Tiny/2", latent_channels=4, latent_size=8, num_classes=10, qk_norm=True)
    assert "blocks.3.attn.k_norm.bias" in sit.state_dict()
    options = argparse.Namespace(path_type="cosine", prediction="v", encoder_depth=2)
    torch.save({"ema": sit.state_dict(), "args": options}, tmp_path / "repa.pt")
    found = load_sit(tmp_path / "repa.pt")
    assert (found.arguments["qk_norm"], found.path) == (True, "cosine")
    for changed, message in (
        ({"path_type": "VP"}, "path_type=VP"),
        ({"prediction": "noise"}, "prediction=noise"),
    ):
        options = argparse.Namespace(**{"path_type": "Linear", "prediction": "velocity", **changed})
        torch.save({"ema": sit.state_dict(), "args": options}, tmp_path / "other.pt")
        with pytest.raises(UserError, match=message):
            load_sit(tmp_path / "other.pt")


def test_of_several_projectors_the_first_is_kept(tmp_path: Path) -> None:
    sit = a_sit()
    second = {
        name.replace("projectors.0", "projectors.1"): tensor + 1.0
        for name, tensor in sit.state_dict().items()
        if name.startswith("projectors")
    }
    path = repa_file(tmp_path / "two.pt", sit, **second)
    with pytest.warns(UserWarning, match="2 foundation models"):
        assert_same_weights(sit, load_sit(path))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("patch", [1, 2])
def test_sits_own_files_are_brought_to_our_time(patch: int, tmp_path: Path) -> None:
    """Its network has twice the channels, of which it uses the first half; t = 1 is data, v = data - noise."""
    shape = {"latent_channels": 3, "latent_size": 2 * patch, "num_classes": 4}
    ours = build_sit(f"SiT-Tiny/{patch}", **shape)
    doubled = FinalLayer(192, partial(torch.nn.LayerNorm, eps=1e-6, elementwise_affine=False), patch, 6)
    theirs = copy.deepcopy(ours)
    theirs.final_layer = doubled
    theirs.latent_channels = 6  # of its output
    for parameter in theirs.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    theirs.eval()
    torch.save(theirs.state_dict(), tmp_path / "SiT.pt")
    found = load_sit(tmp_path / "SiT.pt")
    assert found.latent_shape == ours.latent_shape
    x, t, labels = torch.randn(5, *ours.latent_shape), torch.linspace(0, 1, 5), torch.arange(5)
    with torch.no_grad():
        expected = -theirs(x, 1.0 - t, labels)[:, :3]
        torch.testing.assert_close(found(x, t, labels), expected, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(-expected, found(x, 1.0 - t, labels), atol=1e-2)
    options = argparse.Namespace(path_type="GVP", prediction="velocity")
    torch.save({"ema": theirs.state_dict(), "args": options}, tmp_path / "gvp.pt")
    assert load_sit(tmp_path / "gvp.pt").path == "cosine"


def test_a_projector_of_a_run_is_read_off_its_keys(tmp_path: Path) -> None:
    shape = {"latent_channels": 4, "latent_size": 8, "num_classes": 10, "repa_width": 6}
    generator = build_generator("SiT-Tiny/2", **shape, projector="conv")
    found = trained_generator(generator.state_dict(), {}, tmp_path)
    assert (found.arguments["projector"], found.arguments["repa_width"]) == ("conv", 6)
    assert_same_weights(generator, found)
