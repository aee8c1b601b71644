"""Settings of the training device: number formats, and the memory layout of convolutions."""

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

    Tensor cores need this layout, and the output of a convolution has the layout of its weights.
    """
    if device.type == "cuda":
        convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network.to(device)
