"""Towers of transformers: I-JEPA and SigLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.vision.zoo import BackboneSpec


class TransformersBackbone(nn.Module):
    """A tower without CLS token, whose tokens are its `last_hidden_state` (after the final LayerNorm).

    At the native input size positions are used as they are; at other sizes transformers interpolates them.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B N D"]:
        """Return all tokens, row-major. Each is a patch token."""
        return self.network(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state


def build_ijepa(spec: BackboneSpec, weights: Path | None, depth: int | None = None) -> TransformersBackbone:
    """Return I-JEPA's target encoder. The arguments are those of `TimmBackbone`."""
    from transformers import IJepaConfig, IJepaModel

    return _build(IJepaModel, IJepaConfig, spec, weights, depth, add_pooling_layer=False)


def build_siglip(spec: BackboneSpec, weights: Path | None, depth: int | None = None) -> TransformersBackbone:
    """Return SigLIP's image tower without its pooling head. The arguments are those of `TimmBackbone`."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    return _build(SiglipVisionModel, SiglipVisionConfig, spec, weights, depth)


def _build(
    model: Any, config: Any, spec: BackboneSpec, weights: Path | None, depth: int | None, **options: Any
) -> TransformersBackbone:
    sizes: dict[str, Any] = dict(spec.config)
    if depth is not None:
        sizes["num_hidden_layers"] = depth
    configuration = config(**sizes)
    if weights is None:
        return TransformersBackbone(model(configuration, **options))
    network, report = model.from_pretrained(
        weights.parent,
        config=configuration,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **options,
    )
    wrong = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if wrong:
        raise RuntimeError(f"{len(wrong)} missing or mis-shaped: {', '.join(wrong[:3])}")
    return TransformersBackbone(network)
