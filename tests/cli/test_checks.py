"""Names and sizes in a configuration are looked up when it is read, whatever is asked of the command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sendvae.cli.checks import LOOKUPS
from sendvae.cli.main import main
from sendvae.config import (
    DemoConfig,
    DiffusionConfig,
    GenerationConfig,
    JointConfig,
    LatentsConfig,
    NameOf,
    ReconstructionConfig,
    SampleConfig,
    Section,
    TokenizerConfig,
)

SCHEMAS = (TokenizerConfig, DiffusionConfig, JointConfig, DemoConfig, GenerationConfig, ReconstructionConfig, LatentsConfig, SampleConfig)  # fmt: skip
# Strings that name nothing of ours: data, splits, columns, files.
FREE = {
    "source", "data", "attributes_file", "split", "samples_split", "reference_split", "class_splits", "correlate", "predict", "labels",
}  # fmt: skip

TOKENIZER = ("train", "tokenizer", "demo/send-vae")
DIFFUSION = ("train", "diffusion", "demo/sit-tiny")
JOINT = ("train", "joint", "demo/joint")
GENERATION = ("evaluate", "generation", "s.npz", "--reference", "r.npz")
RECONSTRUCTION = ("evaluate", "reconstruction", "demo-f8d16", "--data", "embedded:emoji")

MISTAKES = [
    (TOKENIZER, "init=demo-f8d61", "init", "did you mean 'demo-f8d16'"),
    (TOKENIZER, "init=fresh:f16d23", "init", "did you mean 'f16d32'"),
    (TOKENIZER, "alignment.backbone=dinov2-x", "alignment.backbone", "did you mean 'dinov2-"),
    (TOKENIZER, "losses.perceptual=lpips-vgg16", "losses.perceptual", "did you mean 'lpips-vgg'"),
    (TOKENIZER, "losses.discriminator_init=sdvae", "losses.discriminator_init", "did you mean 'sdvae-f8d4'"),
    (TOKENIZER, "loop.trackers=[tensorbord]", "loop.trackers", "did you mean 'tensorboard'"),
    (TOKENIZER, "alignment.heads=5", "alignment.heads=5", "a divisor of 192"),
    (("train", "tokenizer", "demo/send-vae", "alignment.width=null"), "alignment.heads=7", "width 1280", "of 1280"),
    (DIFFUSION, "tokenizer=demo", "tokenizer", "did you mean"),
    (DIFFUSION, "model=SiT-Tinny/2", "model", "did you mean 'SiT-Tiny'"),
    (DIFFUSION, "model=SiT-B", "model", "for example SiT-B/1"),
    (DIFFUSION, "repa.projector=cnv", "repa.projector", "did you mean 'conv'"),
    (DIFFUSION, "dispersive={depth: 5}", "dispersive.depth=5", "1 to 4"),
    (DIFFUSION, "path=cosin", "path", "did you mean 'cosine'"),
    (DIFFUSION, "repa.backbone=effnet", "repa.backbone", "did you mean 'effnet-lite0'"),
    (DIFFUSION, "repa.depth=5", "repa.depth=5", "1 to 4"),
    (DIFFUSION, "preview={every: 9, sampling: {method: eulr}}", "preview.sampling.method", "did you mean 'euler'"),
    (DIFFUSION, "preview={every: 9, features: incepton}", "preview.features", "did you mean 'inception'"),
    (JOINT, "init=sd-vae", "init", "did you mean 'sd-vae-"),
    (DIFFUSION, "model=LightningDiT-XXL/1", "model", "did you mean 'LightningDiT-XL'"),
    (DIFFUSION, "preview={every: 9, sampling: {method: dopri5, time_shift: 3}}", "preview.sampling", "dopri5 chooses its own times"),
    (JOINT, "model=SiT-Z/1", "model", "generator size"),
    (JOINT, "repa.depth=9", "repa.depth=9", "1 to 4"),
    (JOINT, "losses.perceptual=vgg", "losses.perceptual", "effnet-lite1-perceptual"),
    (("sample", "runs/sit", "--to", "s.npz"), "method=eulr", "method", "did you mean 'euler'"),
    (GENERATION, "features=incepton", "features", "did you mean 'inception'"),
    (GENERATION, "metrics=[fd, recal]", "metrics", "did you mean 'recall'"),
    (RECONSTRUCTION, "perceptual=lpips", "perceptual", "did you mean 'lpips-vgg'"),
]  # fmt: skip


def error_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str
) -> str:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["sendvae", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    assert stopped.value.code == 2, captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert list(folder.iterdir()) == []
    return captured.err


@pytest.mark.parametrize(("command", "change", "field", "advice"), MISTAKES, ids=lambda v: str(v)[-30:])
def test_mistakes_are_refused_before_anything_is_done_or_shown(
    command: tuple[str, ...],
    change: str,
    field: str,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for more in ((), ("--print-config",)):
        message = error_of(monkeypatch, capsys, tmp_path, *command, change, *more)
        assert field in message
        assert advice in message


@pytest.mark.parametrize(
    ("change", "advice"),
    [("base=demo-f8d61", "demo-f8d16"), ("methods=[demo/sendvae]", "demo/send-vae"), ("sampling.method=hoin", "heun")],
)  # fmt: skip
def test_the_demo_too(
    change: str,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert f"did you mean '{advice}'" in error_of(monkeypatch, capsys, tmp_path, "demo", change)


def test_a_place_may_come_to_exist_later(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A configuration may be shown for a run that is still to be trained; training looks for it at once."""
    for source in ("runs/later", "hf-hub:somebody/vae"):
        monkeypatch.setattr(sys, "argv", ["sendvae", *DIFFUSION, f"tokenizer={source}", "--print-config"])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 0
        assert source in capsys.readouterr().out
    assert "no such file or folder" in error_of(
        monkeypatch, capsys, tmp_path, *DIFFUSION, "tokenizer=runs/later"
    )


def string_fields(schema: type[Section]) -> list[tuple[str, bool]]:
    """Every field that holds free strings, and whether it is marked as a name."""
    found = []
    for name, field in schema.model_fields.items():
        text = str(field.annotation)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found += string_fields(field.annotation)
            continue
        for argument in getattr(field.annotation, "__args__", ()):
            if isinstance(argument, type) and issubclass(argument, Section):
                found += string_fields(argument)
        if field.annotation is str or ("str" in text and "Literal" not in text):
            marks = [mark for mark in field.metadata if isinstance(mark, NameOf)]
            assert all(mark.kind in LOOKUPS for mark in marks)
            found.append((name, bool(marks)))
    return found


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_every_string_of_a_configuration_is_a_marked_name_or_free(schema: type[Section]) -> None:
    for name, marked in string_fields(schema):
        assert marked != (name in FREE), name
