"""ADM's Inception features: torch-fidelity's port of the 2015 graph, and the spatial ones of sFID."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from sendvae.errors import UserError

WEIGHTS_NAME = "weights-inception-2015-12-05-6726825d.pth"  # of torch-fidelity's release v0.2.0
PYTORCH_FID_NAME = "pt_inception-2015-12-05-6726825d.pth"  # the same bytes, of pytorch-fid's release
WEIGHTS_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{WEIGHTS_NAME}"
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INPUT_SIZE = 299  # pixels, of the network's input
SPATIAL_CHANNELS = 7  # guided-diffusion, evaluations/evaluator.py: mixed_6/conv:0[..., :7]


class InceptionOutputs(NamedTuple):
    """What ADM's evaluator reads off the network."""

    pool: Float[Tensor, "B 2048"]  # FID, KID, precision and recall
    spatial: Float[Tensor, "B 2023"]  # sFID: 17 x 17 positions x 7 channels, channel fastest
    logits: Float[Tensor, "B 1008"]  # inception score: without the bias


class InceptionFeatures(nn.Module):
    """Images, uint8 (B, 3, H, W) of any size, to pooled features (B, 2048); `outputs` has the others too.

    The TensorFlow 1 resize to 299 pixels and the scaling happen inside, float32.

    Args:
        weights: of the network.
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
        """All features of one pass, float32."""
        self._images = images
        pool, logits = self.network(images)
        self._images = None
        assert self._spatial is not None
        spatial, self._spatial = self._spatial, None
        return InceptionOutputs(pool, spatial, logits)

    def forward(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        return self.outputs(images).pool

    def _replace_input(self, _module: nn.Module, _inputs: tuple[Tensor, ...]) -> Tensor:
        assert self._images is not None
        size = (INPUT_SIZE, INPUT_SIZE)
        return 2.0 * F.interpolate(self._images.float() / 255.0, size=size, mode="bilinear") - 1.0

    def _keep_spatial(self, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Channels last before flattening, as stored reference statistics have them.
        self._spatial = output[:, :SPATIAL_CHANNELS].movedim(1, -1).flatten(1)


def weights_place() -> Path:
    """Where torch-fidelity keeps its file: torch's hub folder; pytorch-fid's copy there if only that exists."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    ours, theirs = folder / WEIGHTS_NAME, folder / PYTORCH_FID_NAME
    return theirs if theirs.is_file() and not ours.is_file() else ours


def load_inception(
    weights: Path | None = None,
    sha256: str | None = WEIGHTS_SHA256,
    resize: Literal["tensorflow", "pytorch-fid"] = "tensorflow",
) -> InceptionFeatures:
    """The network with the weights of a file; nothing is downloaded.

    Args:
        weights: by default torch-fidelity's file in torch.hub's cache.
        sha256: the digest the file must have; None takes any weights that fit, whose numbers are not FID.
        resize: as for `InceptionFeatures`.

    Raises:
        UserError: the file is missing, differs from the published one, or does not fit the network.
    """
    path = weights if weights is not None else weights_place()
    expected = f"{WEIGHTS_NAME}, SHA-256 {WEIGHTS_SHA256[:8]}..."
    if not path.is_file():
        raise UserError(
            "the Inception weights are missing",
            given=path,
            expected=expected,
            next_step=f"download {WEIGHTS_URL} and put it there",
        )
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256:
        raise UserError(
            "the Inception weights differ from the published file",
            given=f"{path}, SHA-256 {digest[:8]}...",
            expected=expected,
            next_step=f"download {WEIGHTS_URL} again",
        )
    try:
        tensors = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        return InceptionFeatures(tensors, resize)
    except (RuntimeError, TypeError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(
            f"the Inception weights cannot be read: {str(error)[:300]}", given=path, expected=expected
        ) from error
