"""How features are computed, whatever the process is set to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.evaluation.small import Pooling
from torch import Tensor

from sendvae.evaluation.collect import checked_features
from sendvae.evaluation.networks import FeatureNetwork, FeatureRows


@pytest.fixture
def _tf32_allowed() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
        yield
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("_tf32_allowed")
def test_features_are_computed_by_cudnn_without_tf32() -> None:
    """TF32 would move a FID in its third digit; without cuDNN a feature network would crawl."""
    seen: list[tuple[bool, bool, bool]] = []
    pooling = Pooling()

    def rows(images: Tensor) -> FeatureRows:
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        seen.append((cudnn.enabled, cudnn.allow_tf32, matmul.allow_tf32))
        return pooling.rows(images)

    network = FeatureNetwork("mobilenet-v2", pooling, rows)
    checked_features(network, torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "fp32", 0)
    assert seen == [(True, False, False)]
    assert torch.backends.cudnn.allow_tf32
