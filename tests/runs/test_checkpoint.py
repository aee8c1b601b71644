"""Checkpoints: bit-equal, whole or absent, and no more of them than asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sendvae.errors import UserError
from sendvae.runs import (
    Checkpoint,
    latest_checkpoint,
    load_optimizer_tensors,
    open_checkpoint,
    optimizer_tensors,
    save_checkpoint,
)

ONE = {"net": {"w": torch.ones(1)}}


def latest(folder: Path) -> Checkpoint:
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    return checkpoint


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4),
        torch.randn(3, 4).T,
        torch.randn(1, 8, 2, 2).to(memory_format=torch.channels_last),
        torch.randn(5).bfloat16(),
        torch.randn(5).double(),
        torch.tensor(7),
        torch.zeros(0, 3),
        torch.tensor([1.0, -0.0, float("inf")]),
        torch.arange(6)[::2],
        torch.ones(1).expand(4),
        torch.randn(2, requires_grad=True),
    ],
    ids=["plain", "transposed", "channels_last", "bfloat16", "double", "scalar", "empty", "signs", "strided", "expanded", "leaf"],
)  # fmt: skip
def test_tensors_come_back_bit_equal(tensor: Tensor, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 5, 160, {"net": {"w": tensor}}, {})
    loaded = latest(tmp_path).tensors("net")["w"]
    assert loaded.dtype == tensor.dtype
    assert loaded.shape == tensor.shape
    assert torch.equal(loaded, tensor)
    assert torch.equal(loaded.signbit(), tensor.signbit())


def test_progress_and_state_come_back(tmp_path: Path) -> None:
    state = {"note": [1, "a"], "sums": {"loss": 0.1}, "none": None}
    path = save_checkpoint(tmp_path, 5, 160, {"net": {"w": torch.ones(2)}, "optimizer": {}}, state)
    checkpoint = latest(tmp_path)
    assert path == checkpoint.path == tmp_path / "step-000000005"
    assert (checkpoint.step, checkpoint.images_seen, checkpoint.state) == (5, 160, state)
    assert checkpoint.tensors("optimizer") == {}  # as before the first step
    with pytest.raises(UserError, match=r"no 'ema'(?s:.*)net, optimizer"):
        checkpoint.tensors("ema")


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    shared = torch.randn(4)
    save_checkpoint(tmp_path, 1, 1, {"net": {"a": shared, "b": shared[:2]}}, {})
    assert torch.equal(latest(tmp_path).tensors("net")["b"], shared[:2])


def test_the_newest_and_the_milestones_are_kept(tmp_path: Path) -> None:
    for step in range(1, 7):
        save_checkpoint(tmp_path, step, step, ONE, {}, keep_last=2, milestone=step in (2, 5))
    assert sorted(int(path.name.removeprefix("step-")) for path in tmp_path.iterdir()) == [2, 5, 6]
    with pytest.raises(ValueError, match="keep_last"):
        save_checkpoint(tmp_path, 7, 7, ONE, {}, keep_last=0)
    assert latest(tmp_path).step == 6


def test_the_order_is_by_number_beyond_nine_digits_of_zeros(tmp_path: Path) -> None:
    for step in (9, 10, 99_999_999, 100_000_000):
        save_checkpoint(tmp_path, step, step, ONE, {}, keep_last=9)
    assert latest(tmp_path).step == 100_000_000


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        save_checkpoint(tmp_path, 3, 30, {"net": {"w": torch.full((1,), value)}}, {})
    assert float(latest(tmp_path).tensors("net")["w"]) == 2.0


def test_a_full_disk_leaves_the_last_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, 1, 10, ONE, {})

    def full_disk(_: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sendvae.runs.checkpoint_writer.save_file", full_disk)
    with pytest.raises(
        UserError, match=r"step-000000002 could not be written(?s:.*)No space(?s:.*)make room"
    ):
        save_checkpoint(tmp_path, 2, 20, ONE, {}, keep_last=1)
    assert latest(tmp_path).step == 1
    assert torch.equal(latest(tmp_path).tensors("net")["w"], torch.ones(1))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


def test_what_a_killed_process_left_is_ignored_then_removed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, 10, ONE, {})
    left = tmp_path / ".step-000000002.0a1b2c3d.part"
    left.mkdir()
    (left / "state.json").write_text(json.dumps({"step": 2, "images_seen": 20, "state": {}}))
    without_state = tmp_path / "step-000000003"
    without_state.mkdir()
    assert latest(tmp_path).step == 1
    save_checkpoint(tmp_path, 3, 30, ONE, {})
    assert not left.exists()
    assert latest(tmp_path).step == 3


def test_no_checkpoint(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "nothing") is None


def step(network: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))
    network(x).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("settings", [{}, {"fused": True}, {"amsgrad": True}, {"foreach": True}], ids=str)
def test_adamw_goes_on_with_the_same_bits(settings: dict[str, bool], tmp_path: Path) -> None:
    def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        return network, torch.optim.AdamW(network.parameters(), lr=0.1, **settings)

    network, optimizer = fresh()
    for seed in range(3):
        step(network, optimizer, seed)
    save_checkpoint(
        tmp_path, 3, 15, {"net": network.state_dict(), "opt": optimizer_tensors(network, optimizer)}, {}
    )
    copy, other = fresh()
    step(copy, other, seed=7)  # has a state of its own, which must go
    copy.load_state_dict(latest(tmp_path).tensors("net"))
    load_optimizer_tensors(copy, other, latest(tmp_path).tensors("opt"))
    for seed in (8, 9):
        for pair in ((network, optimizer), (copy, other)):
            step(*pair, seed)
    for a, b in zip(network.parameters(), copy.parameters(), strict=True):
        assert torch.equal(a, b)
    before, after = optimizer_tensors(network, optimizer), optimizer_tensors(copy, other)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_loaded_state_lies_as_its_parameters_do(layout: torch.memory_format, tmp_path: Path) -> None:
    """Kernels that update all parameters at once ask for equal strides; files have lost them."""
    network = nn.Conv2d(3, 4, 3).to(memory_format=layout)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    network(torch.randn(1, 3, 5, 5)).sum().backward()
    optimizer.step()
    before = {name: tensor.clone() for name, tensor in optimizer_tensors(network, optimizer).items()}
    save_checkpoint(tmp_path, 1, 1, {"opt": before}, {})
    load_optimizer_tensors(network, optimizer, latest(tmp_path).tensors("opt"))
    for name, tensor in optimizer_tensors(network, optimizer).items():
        assert torch.equal(tensor, before[name])
        assert tensor.stride() == before[name].stride()
    optimizer.step()


def test_loaded_state_is_a_copy() -> None:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    step(network, optimizer, 0)
    saved = {name: tensor.clone() for name, tensor in optimizer_tensors(network, optimizer).items()}
    kept = {name: tensor.clone() for name, tensor in saved.items()}
    load_optimizer_tensors(network, optimizer, saved)
    step(network, optimizer, 1)
    assert all(torch.equal(saved[name], kept[name]) for name in kept)


def test_older_state_goes() -> None:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    step(network, optimizer, 0)
    load_optimizer_tensors(network, optimizer, {})  # as before the first step
    assert optimizer_tensors(network, optimizer) == {}


def test_state_of_another_network_is_refused() -> None:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    with pytest.raises(ValueError, match="does not have"):
        load_optimizer_tensors(network, optimizer, {"nothing|exp_avg": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"shape \[2, 4\], the parameter \[2, 3\]"):
        load_optimizer_tensors(network, optimizer, {"weight|exp_avg": torch.zeros(2, 4)})


def saved(folder: Path, steps: int = 3) -> None:
    for step in range(1, steps + 1):
        save_checkpoint(folder, step, step * 10, {"net": {"w": torch.full((9,), step)}}, {}, keep_last=steps)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("state.json", b"{"),
        ("state.json", b"\xff"),
        ("state.json", b"[]"),
        ("state.json", b'{"step": 3}'),
        ("net.safetensors", b""),
        ("net.safetensors", b"\x10"),
        ("net.safetensors", None),
    ],
)
def test_a_damaged_checkpoint_is_said_and_the_one_before_it_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None
) -> None:
    saved(tmp_path)
    file = tmp_path / "step-000000003" / name
    file.write_bytes(file.read_bytes()[:-4] if content is None else content)
    found = latest(tmp_path)
    assert (found.step, found.tensors("net")["w"].tolist()) == (2, [2] * 9)
    said = capsys.readouterr().err
    assert f"the checkpoint {tmp_path / 'step-000000003'} is damaged ({name}: " in said
    with pytest.raises(UserError, match="is damaged"):
        open_checkpoint(tmp_path / "step-000000003").tensors("net")
    saved(tmp_path)  # as the run goes on: it takes the place of the damaged one
    assert latest(tmp_path).step == 3


@pytest.mark.parametrize("name", ["state.json", "net.safetensors"])
def test_of_a_checkpoint_that_lacks_a_file_this_is_said_and_the_one_before_it_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    saved(tmp_path)
    (tmp_path / "step-000000003" / name).unlink()
    assert latest(tmp_path).step == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'step-000000003'} is " in said
    assert name in said
    assert "the one before it is taken" in said
    (tmp_path / "step-000000002" / name).unlink()
    (tmp_path / "step-000000001" / name).unlink()
    with pytest.raises(UserError, match=r"no checkpoint in .* can be read"):
        latest_checkpoint(tmp_path)
    save_checkpoint(tmp_path, 4, 40, ONE, {}, keep_last=1)  # what is damaged goes as others do
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000000004"]


def test_a_checkpoint_that_names_no_files_is_read(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    file = tmp_path / "step-000000001" / "state.json"
    document = json.loads(file.read_text())
    assert document.pop("files") == ["net.safetensors"]
    file.write_text(json.dumps(document))
    assert latest(tmp_path).tensors("net")["w"].tolist() == [1] * 9


def test_where_all_checkpoints_are_damaged_nothing_begins_anew_in_silence(tmp_path: Path) -> None:
    saved(tmp_path)
    for path in tmp_path.glob("step-*"):
        (path / "state.json").write_text("{")
    with pytest.raises(UserError, match=r"no checkpoint in .* can be read(?s:.*)to begin anew"):
        latest_checkpoint(tmp_path)


def test_older_damaged_checkpoints_go_as_others_do(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "step-000000001" / "state.json").write_text("{")
    save_checkpoint(tmp_path, 4, 40, ONE, {}, keep_last=1)
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000000004"]
