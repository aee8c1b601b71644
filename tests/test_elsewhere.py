from __future__ import annotations

import pytest
import torch
from tests.elsewhere import Elsewhere, elsewhere


def test_devices_do_not_mix() -> None:
    with elsewhere() as device:
        there = torch.ones(3).to(device)
        assert isinstance(there, Elsewhere)
        assert there.device == device
        for mixed in (
            lambda: there + torch.ones(3),
            lambda: torch.cat([there, torch.ones(1)]),
            lambda: torch.nn.Linear(3, 1)(there),
            lambda: there.add_(torch.ones(3)),
        ):
            with pytest.raises(RuntimeError, match="tensors on two devices"):
                mixed()
        assert (there + torch.tensor(1.0)).sum().item() == 6.0  # scalars of the CPU are welcome everywhere
        assert torch.zeros(2, device=device).device == device
        assert there.cpu().tolist() == [1.0, 1.0, 1.0]


def test_gradients_and_changes_in_place_are_real() -> None:
    with elsewhere() as device:
        x = torch.arange(3.0).to(device).requires_grad_(True)
        (x**2).sum().backward()
        assert x.grad is not None
        assert x.grad.cpu().tolist() == [0.0, 2.0, 4.0]
        y = torch.zeros(2, 2).to(device)
        y[0].add_(1.0)
        assert y.cpu().tolist() == [[1.0, 1.0], [0.0, 0.0]]
