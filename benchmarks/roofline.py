"""A step's own roofline: its matrix products, convolutions and attentions alone, and one pass over the optimiser's memory.

What a step does besides (normalisation, activations, losses, casts, copies) is what it takes longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from sendvae.training.state import State

aten = torch.ops.aten
COUNTED = {
    aten.mm,
    aten.addmm,
    aten.bmm,
    aten.baddbmm,
    aten.convolution,
    aten.convolution_backward,
    aten._scaled_dot_product_flash_attention_for_cpu,
    aten._scaled_dot_product_flash_attention_for_cpu_backward,
}
# Floats a trained parameter that AdamW's step moves at least: it reads weight, gradient and two moments, and writes all but
# the gradient; an average is read and written.
ADAMW, AVERAGED = 7, 2
FLOAT = 4  # bytes
PASS = 64 * 2**20  # floats of the memory that a pass goes over, again and again; more than caches hold


@dataclass(frozen=True)
class Operand:
    """A tensor's place in memory, without its values."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> Operand:
        return cls(tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)

    def tensor(self) -> Tensor:
        """Return a tensor of noise with this place in memory."""
        last = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        values = torch.randn(last + 1).to(self.dtype)
        return values.as_strided(self.shape, self.strides)


@dataclass(frozen=True)
class Call:
    """An operation with its arguments. Lists are made tuples, so that equal calls are found."""

    function: Callable[..., object]
    arguments: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...]

    def ready(self) -> Callable[[], object]:
        """Return a function that makes the call with operands of its own."""
        arguments = [_thawed(one) for one in self.arguments]
        options = {name: _thawed(value) for name, value in self.options}
        return lambda: self.function(*arguments, **options)


class Recorded(TorchDispatchMode):
    """A mode that collects the operations of `COUNTED` that run inside, forward and backward.

    Attributes:
        calls: the number of times that each operation ran with equal arguments.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Call] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if func.overloadpacket in COUNTED:
            options = tuple((name, _frozen(value)) for name, value in kwargs.items())
            self.calls[Call(func, tuple(_frozen(one) for one in args), options)] += 1
        return func(*args, **kwargs)


@dataclass(frozen=True)
class Roofline:
    """The operations of a step that bound its time.

    Attributes:
        calls: the operations, ready to run, each with the number of its calls.
        moved: the bytes that a pass over the optimiser's memory reads and writes.
        source, target: the memory for that pass.
    """

    calls: Sequence[tuple[Callable[[], object], int]]
    moved: int
    source: Tensor
    target: Tensor

    @torch.no_grad()
    def __call__(self) -> None:
        """Run all operations, and the pass over the optimiser's memory."""
        for call, count in self.calls:
            for _ in range(count):
                call()
        self._pass()

    def _pass(self) -> None:
        """Copy half as many bytes as are moved, since each is read and written."""
        floats = self.moved // (2 * FLOAT)
        while floats > 0:
            self.target[:floats].copy_(self.source[:floats])
            floats -= len(self.source)


def roofline_of(step: Callable[[], object], state: State) -> Roofline:
    """Return the roofline of a step that updates a state."""
    with Recorded() as recorded:
        step()
    moved = moved_by(state)
    # The memory is filled with ones: pages that were never written would be mapped while they are timed.
    source, target = (torch.ones(min(moved // (2 * FLOAT), PASS)) for _ in range(2))
    return Roofline([(call.ready(), count) for call, count in recorded.calls.items()], moved, source, target)


def moved_by(state: State) -> int:
    """Return the bytes of one pass over weights, gradients, moments and averages."""
    trained = sum(p.numel() for updater in state.updaters.values() for p in updater.parameters)
    averaged = sum(p.numel() for average in state.averages.values() for p in average.network.parameters())
    return FLOAT * (ADAMW * trained + AVERAGED * averaged)


def _frozen(value: Any) -> Any:
    value = tree_map_only(Tensor, Operand.of, value)
    return tuple(value) if isinstance(value, list) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, Operand):
        return value.tensor()
    return list(value) if isinstance(value, tuple) else value
