"""`sendvae --threads N`, and `--profile N` of the commands with steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sendvae import cores

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_libraries_take_the_number(threads: int, tmp_path: Path) -> None:
    """Whatever the environment says; before anything is loaded, or after."""
    code = (
        "import sys, os\n"
        "from sendvae import cores\n"
        "cores.cores = lambda: 8\n"
        "from sendvae.cli.main import main\n"
        f"sys.argv = ['sendvae', '--threads', '{threads}', 'cache', 'list']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "import torch; print('threads', torch.get_num_threads(), os.environ['OPENBLAS_NUM_THREADS'])"
    )
    for begin in ("", "import torch\n"):
        done = subprocess.run(
            [sys.executable, "-c", begin + code], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "OMP_NUM_THREADS": "4"},
        )  # fmt: skip
        assert f"threads {threads} {threads}" in done.stdout, done.stderr


def test_more_than_there_are_cores(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "cores", lambda: 2)
    code, _, said = command("--threads", 3, "models")
    assert code == 2
    assert "--threads asks for more threads than this process has cores" in said
    assert "1 to 2" in said


def test_profile_of_a_training_and_of_samples(command: Command, tmp_path: Path) -> None:
    run, short = tmp_path / "run", ["loop.images=16", "loop.batch_size=4", "data.limit=8", "repa=null"]
    code, _, said = command("train", "diffusion", "demo/sit-tiny", *short, "--run", run, "--profile", 2)
    assert (code, f"profile of 2 steps: {run / 'profile.json'}" in said) == (0, True), said
    assert "aten::" in said
    assert json.loads((run / "profile.json").read_text())["traceEvents"]
    code, _, said = command("train", "diffusion", "demo/sit-tiny", *short, "--run", run, "--profile", 2)
    assert (code, "nothing was profiled" in said) == (0, True)
    code, _, said = command("sample", run, "--to", "x.npz", "--images", 6, "--steps", 2, "--profile", 2, "batch_size=2")  # fmt: skip
    assert (code, "profile of 2 steps: x.npz.profile.json" in said) == (0, True), said
    assert Path("x.npz.profile.json").is_file()
