"""How a training uses its device: what all of the process computes in, and how the weights of convolutions lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from sendvae.nn.precision import float32_products

Network = TypeVar("Network", bound=nn.Module)


@contextmanager
def set_for_training(precision: str, device: torch.device) -> Iterator[None]:
    """Set TF32 by a resolved precision, and let cuDNN time its kernels at every new shape and keep the fastest.

    Autocast is left to the losses. On a CPU nothing changes.
    """
    with float32_products(precision, search=device.type == "cuda"):
        yield


def placed(network: Network, device: torch.device) -> Network:
    """Return a network moved to a device; on GPUs with the weights of its convolutions channels-last.

    Tensor cores read them so, and what a convolution returns lies as its weights do.
    """
    if device.type == "cuda":
        convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network.to(device)
