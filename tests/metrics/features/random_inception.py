"""Seeded random weights for torch-fidelity's Inception."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_fidelity import feature_extractor_inceptionv3 as fidelity


def write_random_weights(path: Path) -> Path:
    """Write a file of seeded random weights, whose running statistics are not 0 and 1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        state = fidelity.FeatureExtractorInceptionV3("random", ["2048"]).state_dict()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0, generator=generator)
        elif name.endswith("conv.weight"):
            tensor.normal_(0.0, (2.0 / tensor[0].numel()) ** 0.5, generator=generator)
        elif tensor.is_floating_point():
            tensor.normal_(0.0, 0.1, generator=generator)
            if name.endswith("bn.weight"):
                tensor.add_(1.0)
    torch.save(state, path)
    return path
