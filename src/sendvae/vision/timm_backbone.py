"""Towers of timm: MAE, CLIP, DINOv2, DINOv3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from sendvae.vision.zoo import BackboneSpec


class TimmBackbone(nn.Module):
    """A vision transformer of timm that gives the patch tokens of its last block, by `forward_intermediates`.

    timm resamples the positions to the grid of the input (bicubic, antialiased), as REPA does.

    Args:
        spec: the row of the zoo.
        weights: the safetensors file of the model's hub repository; None for random weights.
        depth: the number of blocks, if not the published one (for tests).

    Raises:
        RuntimeError: the file does not fit the network.
    """

    def __init__(self, spec: BackboneSpec, weights: Path | None, depth: int | None = None) -> None:
        super().__init__()
        import timm

        name = str(spec.weights.source).rpartition("/")[2]
        options: dict[str, Any] = {"dynamic_img_size": True}
        if depth is not None:
            options["depth"] = depth
        if weights is not None:
            options |= {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights)}}
        network: Any = timm.create_model(name, **options)
        network.reset_classifier(0, "")  # kept until here so that timm loads strictly
        self.network = network
        self.final_norm = spec.final_norm

    def forward(self, pixels: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B N D"]:
        """Return the patch tokens, row-major, without class and register tokens; normed if `final_norm` is set."""
        network: Any = self.network
        (tokens,) = network.forward_intermediates(
            pixels, indices=1, norm=self.final_norm, output_fmt="NLC", intermediates_only=True
        )
        return tokens
