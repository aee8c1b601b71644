"""A second device for machines that have none: tensors that say they lie elsewhere, and compute on the CPU.

An operation that mixes them with tensors of the CPU fails as it would with an accelerator, so code that forgets to move
a tensor is found without one. Numbers are real, and the same as on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ELSEWHERE = torch.device("meta")  # a device that every build of torch has, and nothing real lies on
GENERATOR = torch.Generator
INDEXING = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten.copy_.default}


class Elsewhere(Tensor):
    """A tensor of the second device, which wraps the tensor `held` on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        wrapper = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            dtype=held.dtype,
            device=ELSEWHERE,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
        )
        wrapper.held = held
        return wrapper

    __torch_function__ = torch._C._disabled_torch_function_impl  # everything is decided below autograd

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Elsewhere({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """A mode that handles operations which make tensors elsewhere from nothing or from a tensor of the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    there = [value for value in tensors if isinstance(value, Elsewhere)]
    here = [value for value in tensors if not isinstance(value, Elsewhere) and value.ndim > 0]
    if there and here and func not in INDEXING:
        shapes = [tuple(value.shape) for value in here]
        raise RuntimeError(f"{func}: tensors on two devices; on the CPU: {shapes}")
    target = kwargs.get("device")
    stays = bool(there) if target is None else torch.device(target) == ELSEWHERE
    if stays and _refused and _makes_float64(kwargs, tensors):
        raise TypeError("this device has no float64")  # as MPS says it
    if target is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    held = tree_map(lambda value: value.held if isinstance(value, Elsewhere) else value, (args, kwargs))
    result = func(*held[0], **held[1])
    own = {id(value.held): value for value in there}  # operations in place return the same wrapper

    def wrap(value: Any) -> Any:
        if not isinstance(value, Tensor) or not stays:
            return value
        return own[id(value)] if id(value) in own else Elsewhere(value)

    return tree_map(wrap, result)


_refused = False  # whether the device has no float64


def _makes_float64(kwargs: dict[str, Any], tensors: list[Tensor]) -> bool:
    dtype = kwargs.get("dtype")
    return torch.float64 in ([dtype] if dtype is not None else [value.dtype for value in tensors])


@contextmanager
def elsewhere(float64: bool = True) -> Iterator[torch.device]:
    """Yield the second device, which works inside the block. Its random generators are those of the CPU.

    Networks move there with all their parameters. Fused optimizers, which check for devices that they know, accept it.

    Args:
        float64: whether the device has this type, which MPS lacks.
    """
    global _refused
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    generator = mock.patch("torch.Generator", side_effect=lambda *_: GENERATOR())
    fused = mock.patch("torch.optim.adam._device_dtype_check_for_fused", return_value=None)
    with _Mode(), generator, fused:
        torch.__future__.set_swap_module_params_on_conversion(True)
        _refused = not float64
        try:
            yield ELSEWHERE
        finally:
            _refused = False
            torch.__future__.set_swap_module_params_on_conversion(swaps)
