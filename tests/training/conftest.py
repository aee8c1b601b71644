from __future__ import annotations

import pytest
import torch

from sendvae.data import EmbeddedImages, LatentCache, LatentCacheWriter, open_embedded

Data = tuple[EmbeddedImages, LatentCache]
WIDTH = 12


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> LatentCache:
    """Return fixed random features in place of a foundation model's."""
    folder = tmp_path_factory.mktemp("tokens")
    with LatentCacheWriter(folder, {"tokens": (16, WIDTH)}, 24, "random") as writer:
        writer.append({"tokens": torch.randn(24, 16, WIDTH, generator=torch.Generator().manual_seed(1))})
    return LatentCache(folder)


@pytest.fixture(scope="module")
def data(tokens: LatentCache) -> Data:
    return open_embedded("emoji", "train", limit=24), tokens
