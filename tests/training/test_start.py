"""What is looked at before a run computes anything; damaged exports; longer runs; runs that learn nothing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sendvae.cli.main import main
from sendvae.config import DiffusionConfig, JointConfig, TokenizerConfig, load_config
from sendvae.errors import MachineError, UserError
from sendvae.experiments.stages import config_of
from sendvae.runs import latest_checkpoint, list_caches, read_journal
from sendvae.tokenizers import load_tokenizer, save_tokenizer
from sendvae.training import NothingTrained, train_diffusion, train_joint, train_tokenizer

SHORT = ["loop.batch_size=4", "loop.log_every=4", "loop.checkpoint_every=4", "loop.precision=fp32", "data.limit=8", "optimizer.warmup=0"]  # fmt: skip
SMALL = ["losses.discriminator_width=4", "statistics_images=8"]
JOBS = {
    "tokenizer": (train_tokenizer, TokenizerConfig, "demo/send-vae", SMALL, "tokenizer"),
    "diffusion": (train_diffusion, DiffusionConfig, "demo/sit-tiny", [], "sit"),
    "joint": (train_joint, JointConfig, "demo/joint", SMALL, "sit"),
}


def run(job: str, folder: Path, *overrides: str, images: int = 8) -> Path:
    train, schema, preset, more, export = JOBS[job]
    config = load_config(schema, preset, [*SHORT, f"loop.images={images}", *more, *overrides])
    train(config, folder, folder.parent / "cache")  # type: ignore[operator]
    return folder / export / "model.safetensors"


def no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("features are computed")

    for name in ("cached_tokens", "cached_latents", "measure_statistics"):
        monkeypatch.setattr(f"sendvae.training.jobs.{name}", refuse)


NO_LPIPS = r"weights of lpips-vgg are not on this machine(?s:.*)or choose effnet-lite1-perceptual"


@pytest.mark.parametrize(
    ("job", "overrides", "words"),
    [
        ("tokenizer", ["init=runs/absent"], "no such file or folder"),
        ("tokenizer", ["init=damaged"], "damaged"),
        ("tokenizer", ["losses.discriminator_init=runs/absent"], "no such file or folder"),
        ("tokenizer", ["losses.perceptual=lpips-vgg"], NO_LPIPS),
        ("tokenizer", ["alignment.backbone=dinov2-b"], "weights of dinov2-b are not on this machine"),
        ("tokenizer", ["data.source=absent"], "no such file or folder"),
        ("tokenizer", ["loop.trackers=[wandb]"], "package that is not installed"),
        ("diffusion", ["tokenizer=runs/absent"], "no such file or folder"),
        ("diffusion", ["repa.backbone=dinov2-b"], "weights of dinov2-b are not on this machine"),
        ("joint", ["init=runs/absent"], "no such file or folder"),
        ("joint", ["repa.backbone=dinov2-b"], "weights of dinov2-b are not on this machine"),
        ("joint", ["losses.perceptual=lpips-vgg"], NO_LPIPS),
    ],
)
def test_what_a_run_starts_from_is_found_before_features_and_nothing_is_left(
    job: str, overrides: list[str], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("SENDVAE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.download_url_to_file", _unreachable)
    monkeypatch.setattr("sendvae.runs.trackers.find_spec", lambda name: None if name == "wandb" else name)
    monkeypatch.chdir(tmp_path)
    save_tokenizer(load_tokenizer("demo-f8d16"), tmp_path / "damaged")
    weights = tmp_path / "damaged/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    no_features(monkeypatch)
    with pytest.raises(UserError, match=words):
        run(job, tmp_path / "runs/run", *overrides)
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache").exists()


def _unreachable(*_: object) -> None:
    raise OSError("no network")


def test_latents_and_tokens_must_both_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sizes = {"latents": 8 * 2 * 16 * 8 * 8 * 2, "tokens": 8 * 16 * 1280 * 2}
    # One more than the larger takes with its reserve, less than both.
    free = sizes["tokens"] + sizes["latents"] + 2**20 - 1

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, free))
        with pytest.raises(UserError, match="latents and tokens do not fit"):
            run("diffusion", tmp_path / "run")
    assert list_caches(tmp_path / "cache") == []
    assert not (tmp_path / "run").exists()


def test_checkpoints_must_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 20 * 10**6))
    with pytest.raises(MachineError, match=r"the checkpoints do not fit(?s:.*)for 3 checkpoints of"):
        run("diffusion", tmp_path / "run")


@pytest.mark.parametrize(
    "job", ["diffusion", *(pytest.param(job, marks=pytest.mark.slow) for job in ("tokenizer", "joint"))]
)
def test_a_damaged_export_is_made_again(job: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exported = run(job, tmp_path / "run")
    whole = exported.read_bytes()
    before = latest_checkpoint(tmp_path / "run/checkpoints")
    assert before is not None
    for damage in (whole[:-200], b""):
        exported.write_bytes(damage)
        capsys.readouterr()
        run(job, tmp_path / "run")
        message = capsys.readouterr().err
        assert f"the exported model {exported.parent} is damaged" in message
        assert str(before.path) in message
        assert exported.read_bytes() == whole
    capsys.readouterr()
    run(job, tmp_path / "run")
    assert "damaged" not in capsys.readouterr().err
    exported.unlink()
    shutil.rmtree(tmp_path / "run/checkpoints")
    with pytest.raises(UserError, match="damaged, and there is no checkpoint"):
        run(job, tmp_path / "run")


@pytest.mark.parametrize(
    "job", ["diffusion", *(pytest.param(job, marks=pytest.mark.slow) for job in ("tokenizer", "joint"))]
)
def test_a_lengthened_run_ends_as_a_long_one(
    job: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = load_file(run(job, tmp_path / "long", images=16))
    short = run(job, tmp_path / "short").read_bytes()
    capsys.readouterr()
    exported = run(job, tmp_path / "short", images=16)
    assert "lengthened from 8 to 16 images" in capsys.readouterr().err
    found = load_file(exported)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    kept = exported.parent.with_name(f"{exported.parent.name}-at-8") / exported.name
    assert kept.read_bytes() == short
    journals = [read_journal(tmp_path / name / "metrics.jsonl") for name in ("long", "short")]
    assert journals[0]["images"] == journals[1]["images"] == [4, 8, 12, 16]
    run(job, tmp_path / "short", images=16)
    assert exported.read_bytes() != short


def test_a_run_that_learns_nothing_exports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = load_tokenizer("demo-f8d16")
    with torch.no_grad():
        tokenizer.decoder.conv_out.weight.fill_(3e38)  # weights of NaN would not be loaded
    save_tokenizer(tokenizer, tmp_path / "huge")
    folder = tmp_path / "run"
    for _ in range(2):  # two of the five steps that would end a longer run; the second time it goes on
        with pytest.raises(NothingTrained, match="none of the 2 steps was finite"):
            run("tokenizer", folder, f"init={tmp_path / 'huge'}")
        assert not (folder / "tokenizer").exists()
        report = json.loads((folder / "not-finite.json").read_text())
        assert [row["images_seen"] for row in report] == [0, 4]
    monkeypatch.setattr(
        sys, "argv",
        ["sendvae", "train", "tokenizer", "demo/plain", f"init={tmp_path / 'huge'}", *SHORT, "loop.images=8",
         "--run", str(tmp_path / "cli")],
    )  # fmt: skip
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "no model is exported" in capsys.readouterr().err
    assert not (tmp_path / "cli/tokenizer").exists()


def test_a_step_that_was_finite_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last steps of a run may fail: its weights are those of the steps before."""
    from sendvae.training.stages import DiffusionStage

    real = DiffusionStage.step

    def step(self: DiffusionStage, batch: object, images_seen: int) -> dict[str, torch.Tensor]:
        scalars = real(self, batch, images_seen)  # type: ignore[arg-type]
        return {**scalars, "loss": torch.tensor(float("nan"))} if images_seen else scalars

    monkeypatch.setattr(DiffusionStage, "step", step)
    assert run("diffusion", tmp_path / "run", images=12).is_file()


def test_how_fast_a_run_is_may_change(tmp_path: Path) -> None:
    """And is no part of what the stages of an experiment are known by."""
    run("diffusion", tmp_path / "run", "repa=null")
    run("diffusion", tmp_path / "run", "repa=null", "loop.threads=1", "loop.compile=auto")
    with pytest.raises(UserError, match="another configuration"):
        run("diffusion", tmp_path / "run", "repa=null", "loop.threads=1", "seed=3")
    plain = load_config(DiffusionConfig, "demo/sit-tiny", [])
    other = load_config(DiffusionConfig, "demo/sit-tiny", ["loop.threads=auto", "loop.compile=regional"])
    assert config_of(plain, {}) == config_of(other, {})
    assert config_of(plain, {})["loop"]["batch_size"] == plain.loop.batch_size
    assert "tokenizer" not in config_of(plain, {"tokenizer": "x"})
