"""No traceback reaches a user."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sendvae import __version__, report
from sendvae.errors import MachineError, UserError

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A temporary folder of its own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `sendvae report` raise it."""

    def refuse(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(report, "write_report", refuse)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("a slip"), 2, "error: a slip"),
        (MachineError("no luck"), 1, "error: no luck"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), 1, "no room is left to write /data/x"),
        (OSError(errno.EROFS, "Read-only file system", "/data/x"), 1, "/data/x lies on a disk that can only be read"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/data/x"), 2, "there is no /data/x"),
    ],
)  # fmt: skip
def test_a_fault_is_a_message_and_an_exit_code(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, words: str
) -> None:
    raising(monkeypatch, error)
    found, _, said = command("report", "x")
    assert found == code
    assert said.startswith(("error: ", words))
    assert words in said
    assert "Traceback" not in said


def test_an_unknown_error_is_saved_whole(
    command: Command, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    raising(monkeypatch, RuntimeError("a bug\nwith more lines"))
    code, _, said = command("report", "x")
    assert code == 1
    assert "`sendvae report` met something that it was not made for" in said
    assert "RuntimeError: a bug\n" in said
    assert f"sendvae {__version__}" in said
    assert "Traceback" not in said
    (saved,) = temporary.iterdir()
    assert str(saved) in said
    text = saved.read_text()
    assert "Traceback" in text
    assert "with more lines" in text
    assert "'report', 'x'" in text


def test_an_unknown_error_is_never_in_the_dark(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the temporary folder cannot be written the user's own takes it, and else the terminal."""
    raising(monkeypatch, RuntimeError("a bug"))
    monkeypatch.setattr(tempfile, "tempdir", "/proc/none")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    _, _, said = command("report", "x")
    (saved,) = (tmp_path / "state" / "sendvae").iterdir()
    assert str(saved) in said
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")
    code, _, said = command("report", "x")
    assert code == 1
    assert "Traceback" in said
    assert "the full text is above" in said


@pytest.mark.parametrize(("error", "code"), [(RuntimeError("a bug"), 1), (UserError("a slip"), 2)])
def test_traceback_shows_it(
    command: Command, monkeypatch: pytest.MonkeyPatch, temporary: Path, error: Exception, code: int
) -> None:
    raising(monkeypatch, error)
    found, _, said = command("--traceback", "report", "x")
    assert temporary.is_dir()
    assert found == code
    assert said.startswith("Traceback")
    assert said.count("Traceback (most recent call last)") == 1
    assert "error: " in said


def test_ctrl_c_says_what_is_kept(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    code, _, said = command("report", "x")
    assert code == 130
    assert "interrupted: what was finished is kept" in said
    assert "run the same command again" in said


LONG = {
    "train": (["train", "tokenizer", "demo/plain"], "sendvae.training.train_tokenizer", "checkpoints"),
    "prepare": (["data", "prepare", "x", "y"], "sendvae.data.prepare.Preparation.run", "shards"),
    "cache": (["data", "cache-latents", "demo-f8d16", "embedded:emoji", "y"], "sendvae.tokenizers.load_tokenizer", "shards"),
    "reconstruct": (["reconstruct", "demo-f8d16", "--data", "embedded:emoji", "--to", "y"], "sendvae.tokenizers.load_tokenizer", "pictures"),
    "evaluate": (["evaluate", "latents", "demo-f8d16"], "sendvae.evaluation.measure_latents", "only when it is whole"),
    "sample": (["sample", "x", "--to", "y.npz"], "sendvae.evaluation.diffusion_model.load_model", "y.npz.part"),
    "reproduce": (["reproduce", "table3"], "sendvae.experiments.study.Study.run", "stages"),
    "demo": (["demo", "--quick"], "sendvae.experiments.runner.run", "stages"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(LONG))
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_long_command_that_a_signal_ends_says_how_to_go_on(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, number: signal.Signals
) -> None:
    """The signal is a real one, at the place where the work would begin."""

    def stopped(*_arguments: object, **_named: object) -> None:
        os.kill(os.getpid(), number)

    arguments, work, kept = LONG[name]
    if name == "prepare":
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "a.png").write_bytes(b"")
    monkeypatch.setattr(work, stopped)
    code, _, said = command(*arguments)
    assert code == 128 + number, said
    word = "terminated" if number == signal.SIGTERM else "interrupted"
    assert f"{word}: " in said
    assert kept in said
    assert "run the same command again to go on" in said
    assert "Traceback" not in said


def test_the_handler_of_sigterm_is_put_back(command: Command) -> None:
    before = signal.getsignal(signal.SIGTERM)
    command("--version")
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigint_ends_what_was_started_in_the_background(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell without job control starts it with SIGINT ignored."""
    monkeypatch.setattr(report, "write_report", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code, _, said = command("report", "x")
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130
    assert "interrupted: what was finished is kept" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_end_of_a_command_changes_nothing(number: signal.Signals) -> None:
    """Python then unloads what was imported, which takes a second where that is much."""
    program = f"""
import atexit, os, sys
from sendvae.cli.main import main
atexit.register(lambda: os.kill(os.getpid(), {int(number)}))
sys.argv = ["sendvae", "--version"]
main()
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.strip() == __version__


def test_a_reader_that_goes_away_is_no_error() -> None:
    shown = subprocess.run(
        f"{sys.executable} -c 'from sendvae.cli.main import main; main()' models | head -c 1",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.stderr == ""


def test_the_package_is_a_command_too() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "sendvae", "--version"], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == __version__
