"""The configuration of `sendvae train tokenizer`: L_VAE and the alignment of the latent space (Eq. 3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from sendvae.config.schema_common import DataConfig, Decay, LoopConfig, NameOf, OptimizerConfig, Section
from sendvae.errors import UserError


class LossConfig(Section):
    """The terms of L_VAE. The defaults are REPA-E's, which Send-VAE follows."""

    reconstruction: Literal["l1", "l2"] = "l1"
    reconstruction_weight: NonNegativeFloat = 1.0
    perceptual: Annotated[str, NameOf("perceptual network")] = Field(
        "lpips-vgg", description="name of the perceptual network"
    )
    perceptual_weight: NonNegativeFloat = 1.0
    precision: Literal["fp32", "as-loop"] = Field(
        "as-loop",
        description="of perceptual network and discriminator: float32 as in REPA-E, or loop.precision, which is faster",
    )
    kl_weight: NonNegativeFloat = 1e-6
    adversarial_weight: NonNegativeFloat = 0.1
    adversarial_weighting: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="adaptive: times the ratio of pixel to adversarial gradient at the decoder's end (latent-diffusion)",
    )
    discriminator_init: Annotated[str | None, NameOf("tokenizer")] = Field(
        None, description="released checkpoint whose discriminator goes on; none: a fresh one"
    )
    discriminator_start: NonNegativeInt = Field(0, description="images before the discriminator trains")
    adversarial_start: NonNegativeInt = Field(
        0,
        description="images before the tokenizer feels the discriminator; later than its start for a warm-up",
    )
    discriminator_layers: PositiveInt = Field(3, description="strided layers of the PatchGAN")
    discriminator_width: PositiveInt = 64
    discriminator_sync: bool = Field(
        False,
        description="its BatchNorm over the images of all processes; for shares under 16 images a process",
    )
    discriminator_lr: PositiveFloat | None = Field(None, description="default: the tokenizer's rate")


class AlignmentConfig(Section):
    """The alignment of the latent space with the features of a vision foundation model."""

    method: Literal["send", "vavae"] = Field(
        "send",
        description="send: a mapper of the noised latent; vavae: VA-VAE's linear projection, with margins",
    )
    noise: bool = Field(True, description="send: whether noise is injected (Eq. 1)")
    normalisation: Literal["running", "fixed", "none"] = Field(
        "running",
        description="of the latent's channels before the noise: by statistics that follow the training, by the"
        " tokenizer's own throughout, or none; the decoder sees the raw latent in any case",
    )
    backbone: Annotated[str, NameOf("vision backbone")] = Field(
        "dinov2-b", description="the frozen foundation model"
    )
    grid: PositiveInt = Field(16, description="patch tokens along one side")
    weight: NonNegativeFloat = 1.0
    weighting: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="adaptive: times the ratio of reconstruction to alignment gradient at the encoder's end (VA-VAE)",
    )
    depth: NonNegativeInt = Field(1, description="transformer blocks of the mapper")
    width: PositiveInt | None = Field(None, description="mapper width; default: the backbone's")
    heads: PositiveInt = 12
    hidden: PositiveInt = Field(2048, description="hidden width of the mapper's MLP")
    cosine_margin: NonNegativeFloat = Field(0.5, description="vavae: closer pairs are left alone")
    distance_margin: NonNegativeFloat = Field(0.25, description="vavae: of the distance matrices")
    lr: PositiveFloat | None = Field(None, description="rate of the mapper; default: the tokenizer's")

    def check_heads(self, token_width: int) -> None:
        """Raise an error if the mapper's width, by default that of the tokens, does not fit its heads.

        Raises:
            UserError: the width is not a multiple of the number of heads.
        """
        width = self.width or token_width
        if self.method == "send" and width % self.heads:
            raise UserError(
                "the mapper's width does not divide into its heads",
                given=f"width {width} (alignment.width, else that of {self.backbone}), alignment.heads={self.heads}",
                expected=f"a divisor of {width}; the paper has 12 for 768 and 16 for 1024",
                next_step="set alignment.heads",
            )


class EquivarianceConfig(Section):
    """EQ-VAE's regularisation: at some steps a rotated, shrunk latent must decode to the rotated, shrunk image."""

    probability: float = Field(0.5, gt=0.0, le=1.0, description="of a step to be such a one (EQ-VAE: .5)")
    smallest: float = Field(0.25, gt=0.0, le=1.0, description="scale of the smallest latent (EQ-VAE: .25)")


class TokenizerConfig(Section):
    """The configuration of `sendvae train tokenizer`."""

    kind: Literal["tokenizer"] = "tokenizer"
    seed: NonNegativeInt = 0
    init: Annotated[str, NameOf("tokenizer or architecture")] = Field(
        description="tokenizer to start from: a name, a path, or 'fresh:ARCHITECTURE'"
    )
    data: DataConfig = DataConfig()
    losses: LossConfig = LossConfig()
    alignment: AlignmentConfig | None = None
    equivariance: EquivarianceConfig | None = Field(None, description="none: off")
    trained: Literal["all", "encoder"] = Field("all", description="encoder: the decoder stays as it is")
    optimizer: OptimizerConfig = OptimizerConfig()
    loop: LoopConfig
    ema: Decay | None = Field(None, description="decay of an average of the tokenizer's weights; none: off")
    statistics_images: PositiveInt = Field(10_000, description="images measured for the latent statistics")
    gradient_share_every: PositiveInt = Field(
        20_000,
        description="images between two measurements of each loss's share in the gradient of the latents",
    )
