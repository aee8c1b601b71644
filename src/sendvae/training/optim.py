"""AdamW with the learning rate as a function of images seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sendvae.config.schema_common import OptimizerConfig
from sendvae.distributed import whole


class Updater:
    """AdamW for one network: it sets the rate, clips the gradient norm, and steps.

    Args:
        network: what is trained; parameters without `requires_grad` are left out.
        config: the shared settings.
        total: images of the whole run (the cosine's end).
        lr: peak rate, if it differs from `config.lr`.
    """

    def __init__(
        self, network: nn.Module, config: OptimizerConfig, total: int, lr: float | None = None
    ) -> None:
        self.network, self.config, self.total = network, config, total
        self.peak = lr if lr is not None else config.lr
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=self.peak,
            betas=(config.betas[0], config.betas[1]),
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.recording = False

    @property
    def lr(self) -> float:
        """Return the rate of the last step; before the first one, the peak."""
        return float(self.optimizer.param_groups[0]["lr"])

    def set_rate(self, images_seen: int) -> None:
        """Set the rate of a step; while the step is being recorded, the tensor that holds the rate stays as it is."""
        rate, group = (
            learning_rate(self.config, self.peak, images_seen, self.total),
            self.optimizer.param_groups[0],
        )
        if not isinstance(group["lr"], Tensor):
            group["lr"] = rate
        elif not self.recording:
            group["lr"].fill_(rate)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Let a step be recorded as a CUDA graph: from now on the rate is a tensor, which replays read."""
        group = self.optimizer.param_groups[0]
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=self.parameters[0].device)
        self.recording = group["capturable"] = True
        try:
            yield
        finally:
            self.recording = group["capturable"] = False

    def step(self, images_seen: int) -> Tensor:
        """Update the weights from their gradients and clear these; return the norm before clipping.

        Where the norm is not finite, weights and averages stay as they are, without waiting for the device.
        """
        self.set_rate(images_seen)
        norm = whole(nn.utils.clip_grad_norm_(self.parameters, self.config.clip))
        # The gradient scaler's way to skip a step.
        self.optimizer.found_inf = (~norm.isfinite()).float()  # pyrefly: ignore[missing-attribute]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm


def learning_rate(config: OptimizerConfig, peak: float, images_seen: int, total: int) -> float:
    """Return the rate of a step: linear warm-up from 0, then constant or half a cosine to 0.

    Args:
        config: the warm-up's length in images, and the schedule.
        peak: the rate after the warm-up.
        images_seen: the images seen before the step.
        total: images of the whole run, at which the cosine ends.
    """
    if images_seen < config.warmup:
        return peak * (images_seen + 1) / (config.warmup + 1)
    if config.schedule == "constant":
        return peak
    progress = (images_seen - config.warmup) / max(1, total - config.warmup)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def frozen(parameters: Iterable[nn.Parameter]) -> _Frozen:
    """Give a context in which gradient passes through these weights but none is computed for them."""
    return _Frozen(list(parameters))


class _Frozen:
    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]

    def __enter__(self) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(False)

    def __exit__(self, *_: object) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(True)
