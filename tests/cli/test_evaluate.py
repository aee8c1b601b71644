from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluation.small import pictures, save_npz
from typer.testing import CliRunner

from sendvae.cli.main import app, main
from sendvae.evaluation.results import Result
from sendvae.published import PUBLISHED, PublishedProtocol, Reported
from sendvae.registry import Registry
from sendvae.tokenizers import Architecture, Autoencoder, save_tokenizer

runner = CliRunner()
SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 1, 1, 2), num_res_blocks=1, norm_groups=4, resolution=32)
COMMANDS = ("generation", "reconstruction", "latents", "compare")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tokenizer") / "small"
    save_tokenizer(Autoencoder(SMALL).eval(), folder)
    return str(folder)


def run(*arguments: str | Path) -> str:
    result = runner.invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.exception
    return result.output


def error_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["sendvae", "evaluate", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code != 0
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    output = run(command, "--help")
    assert f"sendvae evaluate {command}" in output
    assert "Example" in output


def test_generation_offline_and_comparison(tmp_path: Path) -> None:
    samples = [save_npz(tmp_path / f"{i}.npz", pictures(20, seed=i, size=32)) for i in (1, 2)]
    reference = save_npz(tmp_path / "reference.npz", pictures(24, seed=3, size=32))
    options = (
        "--reference",
        reference,
        "--features",
        "mobilenet-v2",
        "--cache",
        tmp_path / "cache",
        "intervals.jackknife=0",
    )
    outputs = [tmp_path / "a", tmp_path / "b"]
    for file, output in zip(samples, outputs, strict=True):
        text = run("generation", file, *options, "--output", output)
        assert "fd-mobilenet-v2" in text
        assert "fid" not in text
    document = json.loads((tmp_path / "a/results.json").read_text())
    assert document["protocol"]["features"] == "mobilenet-v2"
    assert document["inputs"]["reference"]["digest"].startswith("sha256:")
    assert document["environment"]["torch"]
    assert "recall-mobilenet-v2" in run("compare", *outputs)


def test_different_protocols_do_not_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = save_npz(tmp_path / "s.npz", pictures(20, size=32))
    for k in (2, 3):
        options = ("--features", "mobilenet-v2", "--cache", tmp_path / "cache", "--output", tmp_path / str(k))
        run(
            "generation",
            samples,
            "--reference",
            samples,
            *options,
            f"neighbours={k}",
            "intervals.jackknife=0",
        )
    message = error_of(monkeypatch, capsys, "compare", str(tmp_path / "2"), str(tmp_path / "3"))
    assert "protocol.neighbours: 2 | 3" in message


def test_latents_of_two_tokenizers(tokenizer: str, tmp_path: Path) -> None:
    second = shutil.copytree(tokenizer, tmp_path / "second")
    text = run(
        "latents", tokenizer, second, "limit=40", "scores=[attributes]", "attributes.method=ridge",
        "--gfid", "7.5", "--gfid", "-", "--output", tmp_path, "--no-cache",
    )  # fmt: skip
    assert "f1_micro" in text
    assert "gFID of" in text
    findings = Result.load(tmp_path).findings
    assert findings["known_gfid"] == {"small": 7.5}
    assert list(findings["predictions"]) == ["second"]


def test_published_gfids_are_found_by_name_and_held_against_every_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a protocol that knows three of the four; the fourth's is predicted from theirs."""
    known = {"demo-plain": 9.0, "demo-pca": 30.0, "demo-direct": 7.0}
    rows = {name: Reported(name, {"fid": value}, "a test", name) for name, value in known.items()}
    monkeypatch.setitem(
        PUBLISHED, "toy", PublishedProtocol("toys", "a test", ("fid",), Registry("row", rows))
    )
    names = ("demo-pca", "demo-plain", "demo-direct", "demo-f8d16")
    run("latents", *names, "limit=24", "scores=[spectrum]", "correlate=null", "predict=spectrum_slope",
        "bootstrap=0", "--published", "toy", "--output", tmp_path / "out", "--cache", tmp_path / "cache")  # fmt: skip
    result = Result.load(tmp_path / "out")
    assert result.findings["known_gfid"] == known
    slopes = [subject.numbers["spectrum_slope"].value for subject in result.subjects]
    found = result.findings["correlations"]["spectrum_slope"]
    assert found["n"] == 3
    assert found["r"] == pytest.approx(np.corrcoef(slopes[:3], [30.0, 9.0, 7.0])[0, 1], abs=1e-6)
    slope, intercept = np.polyfit(slopes[:3], [30.0, 9.0, 7.0], 1)
    predicted = result.findings["predictions"]["demo-f8d16"]["value"]
    assert predicted == pytest.approx(slope * slopes[3] + intercept, rel=1e-5)


def test_reconstruction(tokenizer: str, tmp_path: Path) -> None:
    preset = ("--protocol", "evaluate/embedded-reconstruction", "limit=6", "intervals.jackknife=0")
    text = run("reconstruction", tokenizer, "--data", "embedded:emoji", *preset, "--output", tmp_path)
    assert "rfd-mobilenet-v2" in text
    assert "effnet-lite1-perceptual" in text
    assert {"results.json", "images.csv", "worst.png"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    "arguments",
    [
        ("generation", "s.npz", "--reference", "r.npz"),
        ("reconstruction", "t", "--data", "d", "--protocol", "evaluate/lightningdit"),
        ("latents", "t", "--data", "celeba:faces"),
    ],
)
def test_print_config_reads_nothing(arguments: tuple[str, ...]) -> None:
    assert "kind: evaluate-" in run(*arguments, "--print-config")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("generation", "absent.npz", "--reference", "embedded:emoji"), ["no such file", "absent.npz"]),
        (("latents", "demo-f8d16", "--gfid", "low"), ["--gfid is no number", "low"]),
        (("latents", "demo-f8d16", "--gfid", "1", "--gfid", "2"), ["1 tokenizers, 2 gFIDs"]),
        (("latents", "demo-f8d16", "--gfid", "1", "--published", "ifid-sit-b"), ["gFIDs of one protocol"]),
        (("latents", "demo-f8d16", "--published", "ifid-sit-b"), ["no gFID of these", "vavae-f16d32"]),
        (("latents", "demo-f8d16", "--published", "ifid"), ["unknown published protocol", "ifid-sit-b"]),
        (("latents", "limit=3"), ["no tokenizer"]),
        (("latents", "demo-f8d16", "scores=[gaps]"), ["unknown score 'gaps'", "did you mean 'gap'"]),
        (("reconstruction", "demo-f8d16", "--data", "absent"), ["no such file or folder", "absent"]),
        (("generation", "s.npz", "--reference", "r.npz", "neighbors=5"), ["did you mean 'neighbours'"]),
        (("compare", "absent"), ["nothing to compare with"]),
        (("compare", "absent", "absent"), ["no such result"]),
    ],
)
def test_mistakes_are_named(
    arguments: tuple[str, ...],
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    message = error_of(monkeypatch, capsys, *arguments)
    assert all(word in message for word in words), message


def test_bad_samples_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "f.npz", arr_0=np.zeros((5, 8, 8, 3)))
    message = error_of(
        monkeypatch, capsys, "generation", str(tmp_path / "f.npz"), "--reference", "embedded:emoji"
    )
    assert "float64" in message
    assert "uint8 (N, H, W, 3)" in message


def generation(samples: str, reference: str, *more: str | Path) -> list[str | Path]:
    return [
        "generation",
        samples,
        "--reference",
        reference,
        "--features",
        "mobilenet-v2",
        "intervals.jackknife=0",
        *more,
    ]


def test_results_of_other_inputs_are_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (save_npz(tmp_path / f"{i}.npz", pictures(20, seed=i, size=32)) for i in (1, 2))
    result = tmp_path / "out/results.json"
    run(*generation(first, second, "--output", "out"))
    before = result.read_text()
    others = {
        "samples": generation(second, second, "--output", "out"),
        "reference": generation(first, first, "--output", "out"),
        "protocol": generation(first, second, "--output", "out", "neighbours=2"),
    }
    for name, arguments in others.items():
        message = error_of(monkeypatch, capsys, *map(str, arguments))
        assert "holds a result of other inputs" in message, name
        assert "--force" in message
        assert result.read_text() == before
    # The same inputs, from anywhere and in other batches, are no others.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run(*generation("../1.npz", second, "--output", tmp_path / "out", "batch_size=7"))
    again, first_time = (Result.model_validate_json(text) for text in (result.read_text(), before))
    for name, number in first_time.subjects[0].numbers.items():  # batches change features by rounding
        assert again.subjects[0].numbers[name].value == pytest.approx(number.value, rel=1e-5), name
    run(*others["protocol"][:-3], "--output", tmp_path / "out", "neighbours=2", "--force")
    assert json.loads(result.read_text())["protocol"]["neighbours"] == 2


def test_the_default_folder_is_named_by_the_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (save_npz(tmp_path / f"{i}.npz", pictures(20, seed=i, size=32)) for i in (1, 2))
    run(*generation(first, second))
    run(*generation(first, first))
    for _ in range(2):
        run(*generation(first, second, "neighbours=2"))
    folders = [path.name for path in (tmp_path / "runs/evaluate").iterdir()]
    assert len(folders) == 3
    assert all(name.startswith("generation-1-") for name in folders)


def test_a_result_of_what_lay_there_before_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samples, reference = (save_npz(tmp_path / f"{i}.npz", pictures(20, seed=i, size=32)) for i in (1, 2))
    run(*generation(samples, reference, "--output", "out"))
    run(*generation(samples, reference, "--output", "out"))
    before = (tmp_path / "out/results.json").read_text()
    assert len(list((tmp_path / "out").glob("results-*.json"))) == 0
    save_npz(tmp_path / "1.npz", pictures(20, seed=5, size=32))
    run(*generation(samples, reference, "--output", "out"))
    (kept,) = (tmp_path / "out").glob("results-*.json")
    assert kept.read_text() == before
    assert (tmp_path / "out/results.json").read_text() != before


def test_the_output_is_tried_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    arguments = ("generation", "absent.npz", "--reference", "absent.npz", "--output")
    assert "nothing can be written into file" in error_of(monkeypatch, capsys, *arguments, "file")
    assert "no such file" in error_of(monkeypatch, capsys, *arguments, "new/folder")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
