"""Every score takes latents that lie on an accelerator, and gives what it gives on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from tests.elsewhere import elsewhere
from torch import Tensor

from sendvae.latents import (
    MinibatchFit,
    TensorRows,
    attribute_probe,
    mixture_scores,
    semantic_gap,
    uniformity,
)

LATENTS = torch.randn(240, 3, 2, 2, generator=torch.Generator().manual_seed(0))
ATTRIBUTES = (LATENTS.flatten(1)[:, :4] + 0.3 * LATENTS.flatten(1)[:, 4:8]) > 0
LABELS = ATTRIBUTES[:, 0].long() + ATTRIBUTES[:, 1].long()
FIT = MinibatchFit(epochs=2, batch_size=64)
Split = Callable[[slice], Any]


def probe(method: str) -> Callable[[Split], dict[str, Any]]:
    def score(split: Split) -> dict[str, Any]:
        train, val, test = slice(0, 160), slice(160, 200), slice(200, 240)
        return attribute_probe(
            split(train),
            ATTRIBUTES[train],
            split(test),
            ATTRIBUTES[test],
            val_latents=split(val),
            val_attributes=ATTRIBUTES[val],
            method=method,
            minibatch=FIT,
        ).as_dict()

    return score


def gap(pool: str, method: str) -> Callable[[Split], dict[str, Any]]:
    def score(split: Split) -> dict[str, Any]:
        train, test = slice(0, 200), slice(200, 240)
        return {
            "accuracy": semantic_gap(
                split(train), LABELS[train], split(test), LABELS[test], pool, method=method, minibatch=FIT
            )
        }

    return score


SCORES: dict[str, Callable[[Split], dict[str, Any]]] = {
    **{method: probe(method) for method in ("logistic", "ridge", "minibatch")},
    **{
        f"gap-{pool}-{method}": gap(pool, method)
        for pool in ("mean", "flatten")
        for method in ("full-batch", "minibatch")
    },
    **{
        projection: lambda split, projection=projection: asdict(
            uniformity(split(slice(None)), projection, samples=100, repeats=2)
        )
        for projection in ("pca", "none")
    },
    "mixture": lambda split: asdict(mixture_scores(split(slice(0, 200)), split(slice(200, 240)), [2, 3], 4)),
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("streamed", [False, True], ids=["tensor", "rows"])
def test_scores_of_latents_elsewhere(name: str, streamed: bool) -> None:
    def split(device: torch.device) -> Split:
        def take(part: slice) -> Tensor | TensorRows:
            latents = LATENTS[part].to(device)
            return TensorRows(latents) if streamed else latents

        return take

    here = SCORES[name](split(torch.device("cpu")))
    with elsewhere() as device:
        there = SCORES[name](split(device))
    assert flat(there) == pytest.approx(flat(here), rel=1e-6, nan_ok=True)


def flat(values: Any) -> list[float]:
    if isinstance(values, dict):
        return flat(list(values.values()))
    if isinstance(values, list | tuple):
        return [number for value in values for number in flat(value)]
    return [float(values)] if isinstance(values, int | float | np.floating) else []
