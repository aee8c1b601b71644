"""Every metric takes tensors that lie on an accelerator, and gives what it gives on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.elsewhere import elsewhere
from torch import Tensor

from sendvae.metrics import (
    bootstrap_mean,
    coverage,
    frechet_distance,
    frechet_distance_of,
    frechet_interval,
    inception_score,
    kernel_distance,
    load_mobilenet_v2,
    precision_recall,
    psnr,
    ssim,
    ssim_signed,
)
from sendvae.nn import Moments

G = torch.Generator().manual_seed(0)
REAL, FAKE = torch.randn(60, 5, generator=G), torch.randn(50, 5, generator=G) * 0.8
PIXELS, OTHERS = (torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8, generator=G) for _ in range(2))
COV = torch.cov(REAL.double().T)


def statistics(features: Tensor) -> Moments:
    found = Moments()
    for part in features.split(16):
        found.update(part)
    return found


METRICS: dict[str, tuple[tuple[Tensor, ...], Callable[..., Any]]] = {
    "frechet": ((REAL.mean(0), COV, FAKE.mean(0), COV * 2), frechet_distance),
    "singular": ((REAL.mean(0), COV * 0, FAKE.mean(0), COV), frechet_distance),
    "streamed": ((REAL, FAKE), lambda a, b: frechet_distance_of(statistics(a), statistics(b))),
    "interval": ((REAL.mean(0).double(), COV, FAKE), lambda *parts: frechet_interval(*parts, groups=5)),
    "kernel": ((REAL, FAKE), kernel_distance),
    "precision-recall": ((REAL, FAKE), precision_recall),
    "coverage": ((REAL, FAKE), lambda a, b: [part.double().mean() for part in coverage(a, b, half=True)]),
    "inception-score": ((REAL * 3,), lambda logits: inception_score(logits, splits=3)),
    "psnr": ((PIXELS, OTHERS), lambda a, b: psnr(a, b).mean()),
    "ssim": ((PIXELS, OTHERS), lambda a, b: ssim(a, b).mean()),
    "ssim-signed": ((PIXELS, OTHERS), lambda a, b: ssim_signed(*(x / 127.5 - 1 for x in (a, b))).mean()),
    "bootstrap": ((REAL[:, 0],), bootstrap_mean),
}


@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_tensors_elsewhere(name: str) -> None:
    inputs, metric = METRICS[name]
    here = numbers(metric(*inputs))
    with elsewhere() as device:
        there = numbers(metric(*(tensor.to(device) for tensor in inputs)))
    assert there == pytest.approx(here, rel=1e-6)


def test_a_feature_network_elsewhere() -> None:
    network = load_mobilenet_v2(pretrained=False, input_size=32)
    here = network(PIXELS)
    state = dict(network.named_parameters()) | dict(network.named_buffers())
    with elsewhere() as device:
        moved = {name: tensor.detach().to(device) for name, tensor in state.items()}
        there = torch.func.functional_call(network, moved, PIXELS.to(device)).cpu()
    torch.testing.assert_close(there, here)


def numbers(value: Any) -> list[float]:
    return [float(part) for part in value] if isinstance(value, tuple | list) else [float(value)]
