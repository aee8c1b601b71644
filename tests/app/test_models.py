"""Which models the app opens, what it calls them, what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import yaml
from tests.evaluation.samplable import save_run, small_tokenizer

import sendvae
from sendvae.app.models import RUNS_SHOWN, finished_runs, open_models, shipped, titles
from sendvae.errors import UserError
from sendvae.tokenizers import save_tokenizer

CPU = torch.device("cpu")
PACKAGE = Path(sendvae.__file__).parent


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_tokenizer(small_tokenizer(1), tmp_path / "vae")
    save_tokenizer(small_tokenizer(2), tmp_path / "other")
    save_run(tmp_path / "runs/sit", tmp_path / "vae")
    return tmp_path


def config_of(run: Path, kind: str) -> None:
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump({"kind": kind}))


def test_runs_and_checkpoints_draw_and_the_rest_reconstructs(place: Path) -> None:
    found = open_models(["runs/sit", "runs/sit/checkpoints/step-000000007", str(place / "other")], CPU)
    assert list(found.diffusion) == ["sit", "sit step-000000007"]
    assert list(found.tokenizers) == ["other", "vae"]  # the run's own is shown, too
    assert found.diffusion["sit"].tokenizer.architecture == small_tokenizer().architecture


@pytest.mark.usefixtures("place")
def test_equal_tokenizers_are_shown_once() -> None:
    found = open_models(["vae", "runs/sit"], CPU)
    assert list(found.tokenizers) == ["vae"]


@pytest.mark.parametrize("twice", [["vae", "./vae"], ["vae", "vae"], ["demo-f8d16", "demo-f8d16"]])
@pytest.mark.usefixtures("place")
def test_a_model_given_twice(twice: list[str]) -> None:
    with pytest.raises(UserError, match="given twice"):
        open_models(twice, CPU)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("runs/none", "tokenizer"),
        ("demo-f8d61", "demo-f8d16"),
        ("runs/begun", "not finished"),
        ("runs/vae", "has not ended"),
        ("empty", "is not a tokenizer"),
    ],
)
def test_wrong_and_unfinished_models(place: Path, name: str, problem: str) -> None:
    config_of(place / "runs/begun", "diffusion")
    config_of(place / "runs/vae", "tokenizer")
    (place / "runs/vae/checkpoints").mkdir()
    (place / "empty").mkdir()
    with pytest.raises(UserError, match=problem):
        open_models(["vae", name], CPU)


def test_without_a_name_what_ships_and_the_newest_finished_runs(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config_of(place / "runs/begun", "diffusion")
    config_of(place / "runs/demo", "demo")
    found = open_models([], CPU, place / "runs")
    models, tokenizers = (
        {path.name for path in (PACKAGE / room / "weights").iterdir()} for room in ("diffusion", "tokenizers")
    )
    assert set(shipped()) == models | tokenizers
    assert set(found.diffusion) == models | {"sit"}
    ours = [name for name in shipped() if name in tokenizers]  # those of the generators are among them
    assert list(found.tokenizers) == [*ours, "vae"]
    (place / "vae/model.safetensors").unlink()  # of a run that nobody named, this is no error
    assert list(open_models([], CPU, place / "runs").tokenizers) == ours
    assert "note: " in capsys.readouterr().err


def test_the_newest_runs_at_most(tmp_path: Path) -> None:
    for number in range(RUNS_SHOWN + 3):
        run = tmp_path / f"deep/er/run-{number}"
        config_of(run, "tokenizer")
        (run / "tokenizer").mkdir()
        os.utime(run / "config.yaml", (number, number))
    assert finished_runs(tmp_path) == [str(tmp_path / f"deep/er/run-{n}") for n in range(3, RUNS_SHOWN + 3)]
    assert finished_runs(tmp_path / "none") == []


def test_titles_tell_apart_and_say_no_more(tmp_path: Path) -> None:
    sources = [
        str(tmp_path / "0/plain"), str(tmp_path / "1/plain"), str(tmp_path / "1/send"), "demo-f8d16",
        "hf-hub:a/sd-vae",
    ]  # fmt: skip
    assert list(titles(sources).values()) == ["0/plain", "1/plain", "send", "demo-f8d16", "sd-vae"]
