"""`loop.compile`: the same training, in compiled blocks."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.conftest import Data
from tests.training.test_joint import joint_stage
from tests.training.test_parallel import launch
from tests.training.test_stages import diffusion_stage, journal, tokenizer_stage

from sendvae.errors import UserError
from sendvae.runs import latest_checkpoint
from sendvae.training import compiling
from sendvae.training.compiling import REGIONS, compile_regions

CPU = torch.device("cpu")
COMPILED, STEPS = "loop.compile=regional", ["loop.images=80"]  # ten
COMPILING = 1200  # seconds that the inductor may take for all blocks of joint training, on a busy CPU


def compiled(stage: Any) -> int:
    modules = {m for value in vars(stage).values() if isinstance(value, torch.nn.Module) for m in value.modules()}  # fmt: skip
    return sum(module._compiled_call_impl is not None for module in modules)


def job(folder: Path, kind: str, *overrides: str) -> dict[str, object]:
    return {"folder": str(folder), "kind": kind, "overrides": [*overrides]}


@pytest.mark.slow
@pytest.mark.timeout(2 * COMPILING)
@pytest.mark.parametrize("kind", ["diffusion", "tokenizer", "joint"])
def test_losses_and_state_are_those_of_plain_blocks(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over ten steps, and where the setting changes between them; in a process without checks of types."""
    made = tmp_path / "inductor"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(made))
    plain, whole, changed = (tmp_path / name for name in ("plain", "whole", "changed"))
    launch(1, [job(plain, kind, *STEPS), job(changed, kind, "loop.images=32")])
    assert not list(made.rglob("*.cpp"))
    launch(1, [job(changed, kind, COMPILED, *STEPS), job(whole, kind, COMPILED, *STEPS)], COMPILING)
    assert list(made.rglob("*.cpp"))
    expected = journal(plain)
    assert len(expected["images"]) == 10
    for folder in (whole, changed):
        found = journal(folder)
        assert found.keys() == expected.keys()
        for name, column in expected.items():
            # Norms of gradients amplify rounding: L1 and ReLU have kinks.
            relative = 1e-2 if name.startswith(("grad_norm", "gradient_share")) else 1e-4
            for value, number in zip(found[name], column, strict=True):
                # What is not in every line, as shares of the gradient, is in the same ones.
                assert value == (
                    number if number is None else pytest.approx(number, rel=relative, abs=1e-6)
                ), name
        assert groups(folder) == groups(plain)


def groups(folder: Path) -> dict[str, list[str]]:
    newest = latest_checkpoint(folder / "checkpoints")
    assert newest is not None
    return {file.stem: sorted(newest.tensors(file.stem)) for file in newest.path.glob("*.safetensors")}


def test_blocks_are_compiled_and_copies_are_not(data: Data) -> None:
    assert compiled(diffusion_stage(data)) == 0
    stage = diffusion_stage(data, COMPILED)
    assert all(block._compiled_call_impl is not None for block in stage.generator.blocks)
    assert compiled(joint_stage(data[1], COMPILED)) > 4
    assert compiled(tokenizer_stage(data, COMPILED)) > 4
    assert copy.deepcopy(stage.generator).blocks[0]._compiled_call_impl is None
    assert stage.ema.network.blocks[0]._compiled_call_impl is None


def test_auto_leaves_cpus_alone(data: Data) -> None:
    stage = diffusion_stage(data, "loop.compile=auto")
    assert compiled(stage) == 0


def test_every_kind_of_region_is_found(data: Data) -> None:
    """What is listed exists, but for the foundation models' and what only large networks have."""
    names = {
        type(m).__name__
        for stage in (joint_stage(data[1]), tokenizer_stage(data))
        for value in vars(stage).values()
        if isinstance(value, torch.nn.Module)
        for m in value.modules()
    }
    assert names & REGIONS == {"Block", "ResnetBlock", "AttnBlock", "Downsample", "Upsample", "PatchDiscriminator", "ViTBlock"}  # fmt: skip


@pytest.mark.parametrize(
    ("device", "words"), [("cpu", r"needs a C\+\+ compiler"), ("cuda", "needs the package triton")]
)
def test_without_a_compiler(device: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.shutil, "which", lambda _command: None)
    monkeypatch.setattr(compiling, "find_spec", lambda _package: None)
    with pytest.raises(UserError, match=words) as caught:
        compile_regions((torch.nn.Linear(1, 1),), "regional", torch.device(device))
    assert "loop.compile=off" in str(caught.value)
