"""A step asks the device for nothing: no `.item()`, no `.cpu()`, no branch on a tensor's value."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from tests.elsewhere import elsewhere
from tests.training.conftest import Data
from tests.training.test_device import EACH, STAGES
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

READING = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default, torch.ops.aten.equal.default}  # fmt: skip
LATER = 20  # images seen: no step of this position measures gradient shares


class Syncs(TorchDispatchMode):
    """Counts what makes Python wait for a device: values read, and tensors copied from it to the CPU."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device, self.found = device, Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [a for a in args if isinstance(a, Tensor) and a.device == self.device]
        result = func(*args, **(kwargs or {}))
        left = isinstance(result, Tensor) and result.device != self.device
        if given and (func in READING or (left and result.device.type == "cpu")):
            self.found[str(func)] += 1
        return result


@pytest.mark.parametrize("name", EACH)
def test_no_step_waits_for_the_device(name: str, data: Data) -> None:
    with elsewhere() as device:
        stage = STAGES[name](data, device)
        batch = stage.source.__getitems__([0, 1, 2, 3]).to(device)
        stage.step(batch, LATER)  # optimisers make their state
        with Syncs(device) as syncs:
            stage.step(batch, LATER + 4)
    assert syncs.found == {}


@pytest.mark.parametrize("wait", [lambda x: x.sum().item(), lambda x: bool(x.sum() > 0), lambda x: x.cpu()])  # fmt: skip
def test_waiting_is_noticed(wait: Any) -> None:
    with elsewhere() as device:
        x = torch.ones(2, device=device)
        with Syncs(device) as syncs:
            wait(x)
    assert sum(syncs.found.values()) >= 1
