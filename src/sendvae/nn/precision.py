"""The number formats in which a step computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


def bf16_is_native(device: torch.device) -> bool:
    """Return whether the hardware computes in bf16 rather than emulating it.

    CPUs do with AVX512-BF16 or AMX: there a training step of the demo's tokenizer runs about twice as fast as in
    fp32 (`benchmarks/cpu_precision.py`). Without them bf16 is slower than fp32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return "bf16" or "fp32" by `bf16_is_native` for "auto", and any other format as it is.

    Raises:
        ValueError: the precision is not "auto", "fp32", "tf32" or "bf16".
    """
    if precision == "auto":
        return "bf16" if bf16_is_native(device) else "fp32"
    if precision not in ("fp32", "tf32", "bf16"):
        raise ValueError(f"precision must be 'auto', 'fp32', 'tf32' or 'bf16', got '{precision}'")
    return precision


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context without autocast, in which float32 stays float32. (The meta device has no autocast.)"""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the autocast context of a resolved precision. No gradient scaler is needed: bf16 has fp32's range."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


@contextmanager
def float32_products(precision: str, search: bool = False) -> Iterator[None]:
    """Set how NVIDIA GPUs multiply and convolve float32 within the block, for the whole process.

    Args:
        precision: a resolved precision; "tf32" uses TensorFloat-32, others do not.
        search: whether cuDNN times its kernels at every new shape and keeps the fastest, which may round differently
            from run to run; otherwise its rules choose one.
    """
    tf32, before = precision == "tf32", torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=search, allow_tf32=tf32):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def number_format(precision: str, device: torch.device) -> Iterator[None]:
    """Compute the block in a resolved precision, whatever the process is set to.

    "fp32" is float32 without TensorFloat-32. "tf32" uses TensorFloat-32 in matrix products and convolutions, as REPA-E
    does when it samples; it exists on NVIDIA GPUs and changes nothing elsewhere. "bf16" is autocast.
    """
    with float32_products(precision), autocast(precision, device):
        yield
