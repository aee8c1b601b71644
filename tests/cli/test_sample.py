"""`sendvae sample` as people call it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.evaluation.samplable import save_run, small_tokenizer
from tests.evaluation.small import pictures, save_npz
from typer.testing import CliRunner

from sendvae.cli.main import app, main
from sendvae.config import SampleConfig, load_config
from sendvae.evaluation import sample_job
from sendvae.tokenizers import save_tokenizer

runner = CliRunner()
QUICK = ("steps=2", "batch_size=4", "precision=fp32")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    save_tokenizer(small_tokenizer(), folder / "vae")
    for seed, name in enumerate(("a", "b")):
        save_run(folder / f"runs/{name}", folder / "vae", seed)
    return folder


@pytest.fixture(autouse=True)
def inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def run(*arguments: str) -> str:
    result = runner.invoke(app, ["sample", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def record(path: str) -> dict:
    return json.loads(Path(path).read_text())["content"]


def test_help_has_examples() -> None:
    output = run("--help")
    assert "torchrun --nproc-per-node" in output
    assert "sendvae sample runs/sit --to samples.npz" in output


def test_every_option_arrives() -> None:
    run("runs/a", "--to", "all.npz", "--images", "9", "--labels", "balanced", "--guidance", "2.5", "--interval",
        "0.1", "0.75", "--steps", "3", "--seed", "4", "batch_size=4", "method=heun", "rounding=nearest")  # fmt: skip
    content = record("all.json")
    wanted = {
        "run": "runs/a", "checkpoint": "last", "weights": "ema", "images": 9, "labels": "balanced",
        "guidance_scale": 2.5, "guidance_interval": [0.1, 0.75], "steps": 3, "seed": 4, "method": "heun",
        "rounding": "nearest", "precision": "tf32", "layout": "npz",
    }  # fmt: skip
    assert content | wanted == content
    assert np.load("all.npz")["arr_0"].shape == (9, 8, 8, 3)
    assert "they were there already" in run(
        "runs/a", "--to", "all.npz", "--images", "9", "--labels", "balanced", "--guidance", "2.5", "--interval",
        "0.1", "0.75", "--steps", "3", "--seed", "4", "batch_size=4", "method=heun", "rounding=nearest")  # fmt: skip


def test_classes_by_name_and_a_file_that_says_how_many() -> None:
    run("runs/a", "--to", "named.npz", "--images", "5", "--labels", "dog,zebra,3", *QUICK)
    assert np.load("named.npz")["arr_1"].tolist() == [2, 0, 3, 2, 0]
    Path("labels.txt").write_text("ant\ncat\n0\n")
    run("runs/a", "--to", "listed", "--labels", "labels.txt", *QUICK)
    assert Path("listed/labels.txt").read_text().split() == ["4", "1", "0"]
    assert len(list(Path("listed").glob("*.png"))) == 3


def test_a_grid_of_runs() -> None:
    output = run("runs/a", "runs/b", "--grid", "2x3", "--to", "grid.png", *QUICK)
    assert "12 images of 8 x 8 pixels" in output
    panels = record("grid.json")["panels"]
    assert [panel["run"] for panel in panels] == ["runs/a", "runs/b"]
    assert panels[0]["labels_digest"] == panels[1]["labels_digest"]
    assert panels[0]["sit_digest"] != panels[1]["sit_digest"]
    with Image.open("grid.png") as picture:
        assert picture.width > 60


def test_a_checkpoint_and_its_raw_weights() -> None:
    for name, more in (
        ("last", []),
        ("ema", ["--checkpoint", "7"]),
        ("raw", ["--checkpoint", "7", "--raw-weights"]),
    ):
        run("runs/a", "--to", f"{name}.npz", "--images", "2", *more, *QUICK)
    assert (record("raw.json")["checkpoint"], record("raw.json")["weights"]) == ("7", "raw")
    images = [np.load(f"{name}.npz")["arr_0"].tobytes() for name in ("last", "ema", "raw")]
    assert len(set(images)) == 3


def test_the_presets_are_the_papers() -> None:
    plain, guided = (
        load_config(SampleConfig, "sample/paper"),
        load_config(SampleConfig, "sample/paper-guided"),
    )
    assert (plain.method, plain.steps, plain.guidance_scale, plain.images) == (
        "euler-maruyama",
        250,
        1.0,
        50_000,
    )
    assert (plain.precision, plain.rounding, plain.guided_channels, plain.labels) == (
        "tf32",
        "truncate",
        "all",
        "random",
    )
    assert (guided.guidance_scale, guided.guidance_interval) == (2.5, [0.0, 0.75])
    update = {"guidance_scale": 2.5, "guidance_interval": [0.0, 0.75]}
    assert plain.model_copy(update=update) == guided
    assert "guidance_scale: 2.5" in run(
        "runs/a", "--to", "x.npz", "--preset", "sample/paper-guided", "--print-config"
    )
    assert not Path("x.npz.part").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent", "--to", "x.npz"), ["no such run", "absent"]),
        (("runs/a", "--to", "x.png"), ["no place for samples", "--grid 8x8 --to x.png"]),
        (("runs/a", "--to", "x.zip"), ["no place for samples"]),
        (("runs/a", "--to", "x.npz", "--grid", "2x2"), ["one picture", "NAME.png"]),
        (("runs/a", "--to", "x.png", "--grid", "2"), ["--grid is no size", "8x8"]),
        (("runs/a", "--to", "x.png", "--grid", "2x2", "--images", "4"), ["leave --images out"]),
        (("runs/a", "runs/b", "--to", "x.npz"), ["several runs", "--grid"]),
        (("steps=3", "--to", "x.npz"), ["no run"]),
        (("runs/a", "--to", "x.npz", "--labels", "cat,wolf"), ["no such classes", "'wolf'", "zebra"]),
        (("runs/a", "--to", "x.npz", "--labels", "5"), ["no such classes", "'5'", "from 0 to 4"]),
        (("runs/a", "--to", "x.npz", "--interval", "0.8", "0.2"), ["guidance_interval must rise"]),
        (("runs/a", "--to", "x.npz", "--guidance", "0"), ["guidance_scale"]),
        (("runs/a", "--to", "x.npz", "method=eulr"), ["unknown sampler", "did you mean 'euler'"]),
        (
            ("runs/a", "--to", "x.npz", "guidance=2"),
            ["unknown configuration key 'guidance'", "guidance_scale"],
        ),
        (("runs/a", "--to", "x.npz", "--preset", "sample/papre"), ["unknown preset", "sample/paper"]),
        (("runs/a", "--to", "x.npz", "--checkpoint", "8"), ["no such checkpoint", "one of 7"]),
        (("vae", "--to", "x.npz"), ["which tokenizer"]),
        (("runs/a/config.yaml/x", "--to", "x.npz"), ["no such run"]),
    ],
)
def test_mistakes_are_named(
    arguments: tuple[str, ...],
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = error_of("sample", *arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert all(word in message for word in words), message
    assert not list(Path().glob("x.*"))


def error_of(*arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["sendvae", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    message = capsys.readouterr().err
    assert stopped.value.code == 2
    assert "Traceback" not in message
    return message


def measure(*arguments: str) -> str:
    options = ["--reference", "reference.npz", "--features", "mobilenet-v2", "intervals.jackknife=0"]
    result = runner.invoke(app, ["evaluate", "generation", *arguments, *options], env={"COLUMNS": "160"})
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_a_run_is_sampled_and_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing samples are drawn, others are not drawn again; rules of labels are kept apart."""
    save_npz(Path("reference.npz"), pictures(12, size=8))
    sampling = ["sampling.images=6", "sampling.steps=2", "sampling.precision=fp32"]
    assert "fd-mobilenet-v2" in measure("runs/a", *sampling, "--output", "first")
    (samples,) = Path("runs/a").glob("samples-*.npz")
    drawn: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(sample_job, "draw_images", lambda *_: drawn.append(1))
        measure("runs/a", *sampling, "--output", "again")
        measure(str(samples), "--output", "by-file")
    assert not drawn
    results = {
        name: json.loads(Path(name, "results.json").read_text()) for name in ("first", "again", "by-file")
    }
    numbers = [result["subjects"][0]["numbers"] for result in results.values()]
    assert numbers[0] == numbers[1] == numbers[2]
    for result in results.values():
        assert result["protocol"]["labels"] == "random"
        assert result["subjects"][0]["details"]["sampling"]["steps"] == 2
    measure("runs/a", *sampling, "sampling.labels=balanced", "--output", "balanced")
    message = error_of("evaluate", "compare", "first", "balanced", monkeypatch=monkeypatch, capsys=capsys)
    assert "protocol.labels: random | balanced" in message
    measure("runs/a", *sampling, "sampling.guidance_scale=2.0", "--output", "guided")
    compared = runner.invoke(app, ["evaluate", "compare", "first", "guided"])
    assert compared.exit_code == 0, compared.exception
    assert len(list(Path("runs/a").glob("samples-*.npz"))) == 3


def test_samples_of_others_state_their_rule(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_npz(Path("reference.npz"), pictures(12, size=8))
    save_npz(Path("foreign.npz"), pictures(8, seed=1, size=8))
    measure("foreign.npz", "labels=balanced", "--output", "stated")
    measure("foreign.npz", "--output", "unstated")
    message = error_of("evaluate", "compare", "stated", "unstated", monkeypatch=monkeypatch, capsys=capsys)
    assert "protocol.labels: balanced | None" in message
    options = ("--reference", "reference.npz")
    message = error_of(
        "evaluate",
        "generation",
        "foreign.npz",
        *options,
        "sampling.steps=3",
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert "these are samples" in message
    options = ("--reference", "absent.npz", "--features", "mobilenet-v2", "sampling.images=6")
    message = error_of("evaluate", "generation", "runs/b", *options, monkeypatch=monkeypatch, capsys=capsys)
    assert "no such file" in message
    assert not list(Path("runs/b").glob("samples-*"))
