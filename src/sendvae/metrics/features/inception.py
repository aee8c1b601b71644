"""ADM's Inception features: torch-fidelity's port of the 2015 graph, and the spatial ones of sFID."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from sendvae.errors import UserError
from sendvae.weights import Stated, Web, Weights, read_weight_file

# Of torch-fidelity's release; pytorch-fid's release has the same bytes.
FILE = "weights-inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
WEIGHTS = Weights(
    name="inception",
    source=Web(f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"),
    copies=(
        Web(
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth"
        ),
    ),
    files=(FILE,),
    licence="Apache-2.0",
    parameters=23_850_960,
    size=95_628_359,
    digest=f"sha256:{SHA256}",
)
INPUT_SIZE = 299  # pixels, of the network's input
SPATIAL_CHANNELS = 7  # guided-diffusion, evaluations/evaluator.py: mixed_6/conv:0[..., :7]


class InceptionOutputs(NamedTuple):
    """The outputs of the network that ADM's evaluator uses."""

    pool: Float[Tensor, "B 2048"]  # FID, KID, precision and recall
    spatial: Float[Tensor, "B 2023"]  # sFID: 17 x 17 positions x 7 channels, channel fastest
    logits: Float[Tensor, "B 1008"]  # inception score: without the bias


class InceptionFeatures(nn.Module):
    """Images, uint8 (B, 3, H, W) of any size, to pooled features (B, 2048); `outputs` has the others too.

    The TensorFlow 1 resize to 299 pixels and the scaling happen inside, float32.

    Args:
        weights: the weights of the network.
        resize: "pytorch-fid" prepares the input as that package does, half-pixel bilinear and 2x - 1: for
            numbers that were published with it. They are not ADM's.
    """

    name, dim = "Inception", 2048

    def __init__(
        self, weights: dict[str, Tensor], resize: Literal["tensorflow", "pytorch-fid"] = "tensorflow"
    ) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        # The extractor unpickles whatever file it is given, so it is given one that holds these tensors only.
        buffer = io.BytesIO()
        torch.save(weights, buffer)
        buffer.seek(0)
        self.network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=buffer
        )
        # TensorFlow's mixed_6/conv is the 1x1 branch of the block here called Mixed_6d, after its ReLU.
        self.network.Mixed_6d.branch1x1.register_forward_hook(self._keep_spatial)
        if resize == "pytorch-fid":
            self.network.Conv2d_1a_3x3.register_forward_pre_hook(self._replace_input)
        self._spatial: Tensor | None = None
        self._images: Tensor | None = None
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def outputs(self, images: UInt8[Tensor, "B 3 H W"]) -> InceptionOutputs:
        """Return all features of one pass, float32."""
        self._images = images
        pool, logits = self.network(images)
        self._images = None
        assert self._spatial is not None
        spatial, self._spatial = self._spatial, None
        return InceptionOutputs(pool, spatial, logits)

    def forward(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Return the pooled features alone, without gradient."""
        return self.outputs(images).pool

    def _replace_input(self, _module: nn.Module, _inputs: tuple[Tensor, ...]) -> Tensor:
        assert self._images is not None
        size = (INPUT_SIZE, INPUT_SIZE)
        return 2.0 * F.interpolate(self._images.float() / 255.0, size=size, mode="bilinear") - 1.0

    def _keep_spatial(self, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Channels last before flattening, as stored reference statistics have them.
        self._spatial = output[:, :SPATIAL_CHANNELS].movedim(1, -1).flatten(1)


def load_inception(
    weights: Path | None = None,
    sha256: str | None = SHA256,
    resize: Literal["tensorflow", "pytorch-fid"] = "tensorflow",
) -> InceptionFeatures:
    """Return the network with the weights of a file.

    Args:
        weights: by default torch-fidelity's file, or pytorch-fid's, in torch's hub folder; downloaded if
            neither is there.
        sha256: the digest that a given file must have; None takes any weights that fit, whose numbers are
            not FID.
        resize: as for `InceptionFeatures`.

    Raises:
        UserError: the file is missing, differs from the published one, or does not fit the network.
    """
    if weights is None:
        path = WEIGHTS.pull()[0]
    elif weights.is_file():
        path = weights
        Stated(digest=f"sha256:{sha256}" if sha256 else None).check(path, f"give {FILE} of {WEIGHTS.source}")
    else:
        raise UserError(
            f"there is no file {weights}",
            expected=f"{FILE}, SHA-256 {SHA256[:8]}...",
            next_step=f"download {WEIGHTS.source}",
        )
    tensors = read_weight_file(path)
    try:
        return InceptionFeatures(tensors, resize)
    except (RuntimeError, TypeError, KeyError) as error:
        raise UserError(
            f"the weights in {path} do not fit Inception",
            given=str(error)[:300],
            expected=f"{FILE}, SHA-256 {SHA256[:8]}...",
        ) from error
