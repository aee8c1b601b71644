"""BatchNorm over processes: two that each hold half a batch compute, to rounding, what one with all of it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sendvae import distributed
from sendvae.training.sync_batch_norm import SyncBatchNorm2d, synchronise_batch_norm

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def network() -> nn.Sequential:
    """Two layers of BatchNorm: the statistics of the second depend on the first's of every process."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Sequential(nn.Conv2d(4, 5, 2), nn.BatchNorm2d(5)))  # fmt: skip
    for layer in layers.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.5)
            nn.init.normal_(layer.bias)
    return layers.double()


def batch() -> Tensor:
    """Halves whose means and variances differ."""
    x = torch.randn(6, 3, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return torch.cat([x[:3], 4.0 * x[3:] + 10.0])


def loss_of(output: Tensor, numbers: slice) -> Tensor:
    """A mean over images that tells them apart."""
    weights = torch.linspace(-1, 2, 6, dtype=torch.float64)[numbers, None, None, None]
    return (weights * output.square() + output.sin()).flatten(1).sum(1).mean()


def _two_processes(folder: Path) -> None:
    """What torchrun runs in each process; gradients are averaged as DDP does."""
    torch.set_num_threads(1)
    with distributed.process_group():
        own = slice(3 * distributed.rank(), 3 * distributed.rank() + 3)
        model = network()
        synchronise_batch_norm(model)
        x = batch()[own].requires_grad_()
        for _ in range(2):  # the second pass after both moved the running averages
            output = model(x)
        loss = loss_of(output, own)
        loss.backward()
        result = {f"grad {n}": distributed.all_reduce_mean(p.grad) for n, p in model.named_parameters() if p.grad is not None}  # fmt: skip
        result |= {f"state {n}": t for n, t in model.state_dict().items()}
        assert x.grad is not None
        result |= {"loss": distributed.all_reduce_mean(loss), "output": output.detach(), "x": x.grad / 2}
        model.eval()
        result["eval"] = model(x).detach()
        torch.save(result, folder / f"{distributed.rank()}.pt")


@pytest.mark.slow
def test_two_processes_against_one(tmp_path: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    environment |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *torchrun, __file__, str(tmp_path)],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    halves = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]

    model, x = network(), batch().requires_grad_()
    for _ in range(2):
        output = model(x)
    loss = loss_of(output, slice(0, 6))
    loss.backward()
    assert x.grad is not None
    for rank, found in enumerate(halves):
        own = slice(3 * rank, 3 * rank + 3)
        torch.testing.assert_close(found["loss"], loss.detach(), **EXACT)
        torch.testing.assert_close(found["output"], output.detach()[own], **EXACT)
        torch.testing.assert_close(found["x"], x.grad[own], **EXACT)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(found[f"grad {name}"], parameter.grad, **EXACT)
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(found[f"state {name}"], tensor, **EXACT)
        torch.testing.assert_close(found["eval"], model.eval()(x).detach()[own], **EXACT)
        model.train()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_process_is_pytorchs_batch_norm(dtype: torch.dtype) -> None:
    ours, theirs = network().float(), network().float()
    synchronise_batch_norm(ours)
    assert sum(isinstance(m, SyncBatchNorm2d) for m in ours.modules()) == 2
    x = batch().float()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        found, expected = ours(x), theirs(x)
    assert found.dtype == expected.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 if dtype == torch.float32 else 0.05)
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=1e-5, atol=1e-5)


if __name__ == "__main__":
    _two_processes(Path(sys.argv[1]))
