"""What a checkpoint holds of every stage, under which names, and that all of it comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.conftest import Data
from tests.training.test_joint import joint_stage
from tests.training.test_stages import diffusion_stage, tokenizer_stage
from torch import nn

from sendvae.config.schema_common import OptimizerConfig
from sendvae.errors import UserError
from sendvae.runs import latest_checkpoint, save_checkpoint
from sendvae.training.ema import EMA
from sendvae.training.optim import Updater
from sendvae.training.state import State

STAGES: dict[str, Callable[..., Any]] = {
    "tokenizer": lambda data, *overrides: tokenizer_stage(data, "ema=0.9", *overrides),
    "plain": lambda data, *overrides: tokenizer_stage(data, *overrides, method="plain"),
    "diffusion": diffusion_stage,
    "joint": lambda data, *overrides: joint_stage(data[1], *overrides),
}
# As files in the folder of a checkpoint: another name would lose the runs that have begun.
GROUPS = {
    "tokenizer": [
        "tokenizer", "alignment", "discriminator", "latent_norm", "ema",
        "optimizer_tokenizer", "optimizer_discriminator", "optimizer_alignment",
    ],
    "plain": ["tokenizer", "discriminator", "latent_norm", "optimizer_tokenizer", "optimizer_discriminator"],
    "diffusion": ["sit", "ema", "optimizer"],
    "joint": [
        "tokenizer", "discriminator", "sit", "latent_norm", "ema",
        "optimizer_tokenizer", "optimizer_discriminator", "optimizer_sit",
    ],
}  # fmt: skip


def train_a_little(stage: Any, first: int = 0) -> None:
    for images_seen in (first, first + 4):
        stage.step(stage.source.__getitems__([0, 1, 2, 3]), images_seen)


def snapshot(state: State) -> dict[str, torch.Tensor]:
    return {f"{g}/{n}": t.clone() for g, named in state.tensors().items() for n, t in named.items()}


@pytest.mark.parametrize("name", STAGES)
def test_a_checkpoint_has_these_groups(name: str, data: Data) -> None:
    stage = STAGES[name](data)
    train_a_little(stage)
    groups = stage.state.tensors()
    assert sorted(groups) == sorted(GROUPS[name])
    assert all(groups.values())  # not one of them is empty


@pytest.mark.parametrize("name", STAGES)
def test_every_tensor_comes_back(name: str, data: Data, tmp_path: Path) -> None:
    """Into a stage that has gone elsewhere: not one tensor is what it would have been by itself."""
    stage = STAGES[name](data)
    train_a_little(stage)
    saved = snapshot(stage.state)
    save_checkpoint(tmp_path, 2, 8, stage.state.tensors(), {})
    other = STAGES[name](data)
    train_a_little(other, first=100)
    with torch.no_grad():
        for named in other.state.tensors().values():
            for tensor in named.values():
                tensor.add_(1)
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    other.state.restore(checkpoint)
    found = snapshot(other.state)
    assert found.keys() == saved.keys()
    assert [key for key in saved if not torch.equal(saved[key], found[key])] == []


def test_rates_and_norms_bear_the_names_of_their_networks(data: Data) -> None:
    """Warm-up from 0 over 10 images, at image 4: five elevenths of each network's own peak."""
    peaks = {"tokenizer": 1e-4, "discriminator": 2e-4, "alignment": 4e-4}
    stage = STAGES["tokenizer"](
        data, "optimizer.warmup=10", "optimizer.lr=1e-4", "losses.discriminator_lr=2e-4", "alignment.lr=4e-4"
    )  # fmt: skip
    scalars = stage.step(stage.source.__getitems__([0, 1, 2, 3]), 4)
    assert stage.state.rates() == pytest.approx({f"lr_{name}": 5 / 11 * lr for name, lr in peaks.items()})
    assert {name for name in scalars if name.startswith("grad_norm")} == {f"grad_norm_{n}" for n in peaks}


def test_a_single_network_needs_no_name(data: Data) -> None:
    stage = diffusion_stage(data, "optimizer.lr=3e-4")
    scalars = stage.step(stage.source.__getitems__([0, 1, 2, 3]), 0)
    assert stage.state.rates() == pytest.approx({"lr": 3e-4})
    assert "grad_norm" in scalars


def test_one_update_moves_one_network() -> None:
    networks = {"a": nn.Linear(2, 1), "b": nn.Linear(2, 1)}
    state = State(
        networks, {n: Updater(m, OptimizerConfig(lr=0.1, clip=1.0), 10) for n, m in networks.items()}
    )
    before = {name: network.weight.detach().clone() for name, network in networks.items()}
    sum(network(torch.ones(1, 2)).sum() * 3 for network in networks.values()).backward()  # type: ignore[union-attr]
    norms = state.update("b", images_seen=0)
    assert norms.keys() == {"grad_norm_b"}
    assert float(norms["grad_norm_b"]) == pytest.approx(3 * 3**0.5)  # two weights and a bias, before clipping
    assert torch.equal(networks["a"].weight, before["a"])
    assert not torch.equal(networks["b"].weight, before["b"])
    assert networks["a"].weight.grad is not None
    assert networks["b"].weight.grad is None


def test_a_checkpoint_without_a_group_is_refused(tmp_path: Path) -> None:
    network = nn.Linear(2, 1)
    updaters = {"a": Updater(network, OptimizerConfig(), 10)}
    without = State({"a": network}, updaters)
    save_checkpoint(tmp_path, 1, 4, without.tensors(), {})
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    with pytest.raises(UserError, match=r"holds no 'ema'"):
        State({"a": network}, updaters, {"ema": EMA(network, 0.9)}).restore(checkpoint)
