"""`sendvae export`: what it writes, prints and refuses; files of strangers through the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from sendvae.config import DiffusionConfig, load_config
from sendvae.diffusion import SiT, build_sit, load_sit, save_generator
from sendvae.runs import RunFolder, save_checkpoint
from sendvae.tokenizers import Architecture, Autoencoder, LatentStats, load_tokenizer, save_tokenizer

SMALL = Architecture(z_channels=4, ch=32, ch_mult=(1, 1, 2), num_res_blocks=1, attn_resolutions=(64,))
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(command: Command) -> Command:
    """`sendvae export`."""
    return partial(command, "export")


@pytest.fixture
def small() -> Autoencoder:
    stats = LatentStats(torch.tensor([0.1, 0.2, 0.3, -4.0]), torch.tensor([1.0, 2.0, 0.7, 5.5]))
    return Autoencoder(SMALL, stats).eval()


@pytest.fixture
def run(small: Autoencoder, tmp_path: Path) -> Path:
    """A finished training run."""
    folder = tmp_path / "runs" / "send"
    folder.mkdir(parents=True)
    config = {
        "kind": "tokenizer",
        "statistics_images": 2000,
        "init": "demo-f8d16",
        "data": {"source": "shards/imagenet", "split": "train"},
        "alignment": {"backbone": "dinov2-b", "method": "send"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "environment.json").write_text('{"sendvae": "0.1.0"}')
    lines = [{"images": images, "step": 1, "reconstruction": 3e5 / images} for images in (1_000, 96_000)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    save_tokenizer(small, folder / "tokenizer", card={"trained with": "…"})
    return folder


def same(a: Autoencoder, b: Autoencoder) -> bool:
    states = a.state_dict(), b.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )


@pytest.mark.parametrize("layout", ["diffusers", "ldm", "safetensors"])
def test_runs_come_back_bit_equal_from_every_layout(
    layout: str, run: Path, small: Autoencoder, command: Command, tmp_path: Path
) -> None:
    code, output, errors = command(run, "--to", layout)
    assert (code, errors) == (0, "")
    folder = tmp_path / "exports" / f"send-{layout}"
    assert f"{layout}: exports/send-{layout}" in output
    assert same(load_tokenizer(folder), small)


@pytest.mark.parametrize("layout", ["diffusers", "ldm", "safetensors"])
@pytest.mark.parametrize("statistics", ["by channel", "one scale", "none"])
def test_the_printed_snippet_runs(
    layout: str, statistics: str, small: Autoencoder, command: Command, tmp_path: Path
) -> None:
    """Pasted as printed, it reconstructs the images and normalises the latents."""
    if statistics == "one scale":
        small.latent_stats = LatentStats(torch.full((4,), 0.5), torch.full((4,), 2.0))
    elif statistics == "none":
        small.latent_stats = None
    with torch.no_grad():  # a posterior without spread: a sample is its mean
        small.quant_conv.weight[4:].zero_()
        small.quant_conv.bias[4:].fill_(-30.0)
    save_tokenizer(small, tmp_path / "t")
    _, output, _ = command("t", "--to", layout)
    images = torch.rand(1, 3, 16, 16) * 2 - 1
    names: dict[str, Any] = {"images": images}
    with torch.no_grad():
        exec(output.partition("\n\n")[2], names)
        z = small.encode(images).mode()
        expected = small.latent_stats.normalize(z) if small.latent_stats else z
        torch.testing.assert_close(names["reconstruction"], small.decode(z), atol=1e-4, rtol=1e-4)
    if "latents" in names:
        torch.testing.assert_close(names["latents"], expected, atol=1e-4, rtol=1e-4)
    assert ("latents" in names) or small.latent_stats is None


def test_card_of_a_run(run: Path, command: Command, tmp_path: Path) -> None:
    (run / "results.json").write_text('{"psnr": 27.5}')
    command(run / "tokenizer", "--to", "diffusers", "--output", "out")
    card = (tmp_path / "out" / "README.md").read_text()
    for expected in (
        "license: apache-2.0",  # of demo-f8d16, from which it was trained
        "library_name: diffusers",
        "## trained from\n\ndemo-f8d16",
        "source: shards/imagenet, split: train",
        "dinov2-b (send)",
        '"images": 96000',
        '"reconstruction": 3.125',
        '"psnr": 27.5',
        "AutoencoderKL.from_pretrained",
        "method: send",
    ):
        assert expected in card


def test_the_card_says_where_statistics_are_from(run: Path, command: Command, tmp_path: Path) -> None:
    command(run, "--to", "diffusers", "--output", tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text()
    assert "## latent statistics\n\nmeasured on 2,000 training images" in card


def test_card_of_a_name_and_of_a_bare_file(small: Autoencoder, command: Command, tmp_path: Path) -> None:
    command("demo-f8d16", "--to", "diffusers", "--output", "a")
    card = (tmp_path / "a" / "README.md").read_text()
    assert "embedded:emoji, train split" in card
    assert "license: apache-2.0" in card

    torch.save(small.state_dict(), tmp_path / "found.pt")
    _, _, errors = command("found.pt", "--to", "ldm")
    assert "licence is unknown" in errors
    assert "license" not in (tmp_path / "exports/found-ldm/README.md").read_text()
    command("found.pt", "--to", "ldm", "--output", "b", "--licence", "MIT")
    assert "license: mit" in (tmp_path / "b" / "README.md").read_text()


def test_nothing_is_overwritten_without_force(run: Path, command: Command, tmp_path: Path) -> None:
    command(run, "--to", "diffusers", "--output", "out")
    before = (tmp_path / "out" / "config.json").stat().st_mtime_ns
    code, _, message = command(run, "--to", "safetensors", "--output", "out")
    assert code == 2
    assert "--output exists" in message
    assert "--force" in message
    assert (tmp_path / "out" / "config.json").stat().st_mtime_ns == before
    assert command(run, "--to", "safetensors", "--output", "out", "--force")[0] == 0
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert not (tmp_path / "out" / "diffusion_pytorch_model.safetensors").exists()


def test_force_replaces_nothing_but_an_export(run: Path, command: Command, tmp_path: Path) -> None:
    for folder in (run, tmp_path):
        code, _, message = command(run, "--to", "ldm", "--output", folder, "--force")
        assert code == 2
        assert "an earlier export only" in message
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.md").write_text("mine")
    assert command(run, "--to", "ldm", "--output", "notes", "--force")[0] == 2
    assert (tmp_path / "notes" / "thesis.md").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    code, _, message = command(run, "--to", "ldm", "--output", "file", "--force")
    assert code == 2
    assert "--output is a file" in message


def test_half_the_size(run: Path, command: Command, tmp_path: Path) -> None:
    command(run, "--to", "safetensors", "--output", "whole")
    command(run, "--to", "safetensors", "--output", "half", "--half")
    whole, half = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.6 * whole


class Malice:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch harm",))


def truncated(small: Autoencoder) -> None:
    torch.save(small.state_dict(), "bad.pt")
    content = Path("bad.pt").read_bytes()
    Path("bad.pt").write_bytes(content[: len(content) // 2])


def misshapen(small: Autoencoder) -> None:
    weights = small.state_dict() | {"decoder.conv_out.bias": torch.zeros(5)}
    del weights["encoder.mid.attn_1.q.weight"]
    torch.save(weights, "bad.pt")


def run_without_end(_: Autoencoder) -> None:
    Path("bad/checkpoints").mkdir(parents=True)


# How to make a bad source, its name, and what the one error must say: field, value and what to do or expect.
BAD: dict[str, tuple[Callable[[Autoencoder], object], str, tuple[str, ...]]] = {
    "truncated": (truncated, "bad.pt", ("bad.pt is damaged", "copy, download or export it again")),
    "text named .safetensors": (
        lambda _: Path("bad.safetensors").write_text("hello"),
        "bad.safetensors",
        ("bad.safetensors is damaged", "SafetensorError"),
    ),
    "wrong keys": (
        misshapen,
        "bad.pt",
        (
            "1 missing: encoder.mid.attn_1.q.weight",
            "1 mis-shaped: decoder.conv_out.bias (5,) instead of (3,)",
        ),
    ),
    "another network": (
        lambda _: save_file({"blocks.0.attn.qkv.weight": torch.zeros(3)}, "bad.safetensors"),
        "bad.safetensors",
        ("no weights of a known VAE", "blocks.0.attn.qkv.weight", "encoder.*"),
    ),
    "code in a pickle": (
        lambda _: torch.save({"x": Malice()}, "bad.pt"),
        "bad.pt",
        ("bad.pt was not loaded", "system", "tensors, numbers and text"),
    ),
    "directory without weights": (
        lambda _: Path("bad").mkdir(),
        "bad",
        ("bad is not a tokenizer", "no weight file", "model.safetensors"),
    ),
    "run without end": (run_without_end, "bad", ("has not ended", "run its training command again")),
    "unknown name": (lambda _: None, "demo-f8d61", ("unknown tokenizer", "did you mean 'demo-f8d16'?")),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_sources_are_one_error_and_write_nothing(
    case: str, small: Autoencoder, command: Command, tmp_path: Path
) -> None:
    make, source, parts = BAD[case]
    make(small)
    code, output, message = command(source, "--to", "diffusers", "--output", "out")
    assert code == 2
    assert output == ""
    assert message.startswith("error: ")
    assert "Traceback" not in message
    for part in parts:
        assert part in message
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "harm").exists()


def test_nan_weights_are_exported_with_a_warning_that_names_the_key(
    small: Autoencoder, command: Command, tmp_path: Path
) -> None:
    with torch.no_grad():
        small.decoder.conv_out.bias[1] = float("nan")
    save_tokenizer(small, tmp_path / "t")
    code, _, errors = command("t", "--to", "ldm")
    assert code == 0
    assert errors.startswith("warning: t")
    assert "decoder.conv_out.bias" in errors


def test_unknown_layout(run: Path, command: Command) -> None:
    code, _, message = command(run, "--to", "diffuser")
    assert code == 2
    assert "did you mean 'diffusers'?" in message


@pytest.fixture
def sit_run(tmp_path: Path) -> tuple[Path, SiT]:
    """A diffusion run with one checkpoint, not finished, and its averaged SiT."""
    sit, raw = (
        build_sit("SiT-Tiny/2", latent_channels=4, latent_size=8, num_classes=3, repa_width=5, repa_depth=1)
        for _ in range(2)
    )
    folder = tmp_path / "runs" / "sit"
    config = load_config(DiffusionConfig, "demo/sit-tiny", ["repa.depth=1"]).model_dump(mode="json")
    with RunFolder(folder).prepare(config, {}) as prepared:
        save_checkpoint(prepared.checkpoints, 7, 70, {"ema": sit.state_dict(), "sit": raw.state_dict()}, {})
    return folder, sit


def test_a_checkpoint_of_a_sit_becomes_one_file(
    sit_run: tuple[Path, SiT], command: Command, tmp_path: Path
) -> None:
    folder, sit = sit_run
    code, output, _ = command(
        folder / "checkpoints/step-000000007", "--to", "safetensors", "--licence", "MIT"
    )
    assert code == 0
    written = tmp_path / "exports/sit-step-000000007-safetensors"
    found = load_sit(written)
    assert found.arguments == sit.arguments
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), sit.parameters(), strict=True))
    card = (written / "README.md").read_text()
    assert "license: mit" in card
    assert "velocities of normalised latents 4 x 8 x 8, for 3 classes" in card
    assert "model: SiT-Tiny/2" in card
    names: dict[str, Any] = {}
    exec(output.partition("\n\n")[2], names)
    assert names["generator"].arguments == sit.arguments


def test_a_sit_that_is_not_finished_or_has_no_such_layout(
    sit_run: tuple[Path, SiT], command: Command, tmp_path: Path
) -> None:
    folder, sit = sit_run
    code, _, errors = command(folder, "--to", "safetensors")
    assert code == 2
    assert "is not finished" in errors
    assert "checkpoints/step-000000007" in " ".join(errors.split())
    code, _, errors = command(folder, "--to", "diffusers")
    assert code == 2
    assert "--to safetensors" in errors
    code, _, errors = command(folder / "checkpoints/step-000000008", "--to", "safetensors")
    assert code == 2
    assert not (tmp_path / "exports").exists()
    save_generator(sit, folder / "sit")
    assert command(folder, "--to", "safetensors")[0] == 0
    assert load_sit(tmp_path / "exports/sit-safetensors").arguments == sit.arguments
