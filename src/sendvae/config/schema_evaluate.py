"""Configurations of `sendvae evaluate`. Their values are the protocol: results under other values do not compare."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from sendvae.config.schema_common import NameOf, Precision, Section


class IntervalConfig(Section):
    """How the 95 % intervals are computed."""

    bootstrap: NonNegativeInt = Field(1000, description="resamples of images for means; 0: no interval")
    jackknife: NonNegativeInt = Field(
        10, description="groups left out one by one for Frechet distances; 0: no interval"
    )


class GenerationConfig(Section):
    """The configuration of `sendvae evaluate generation`."""

    kind: Literal["evaluate-generation"] = "evaluate-generation"
    features: Annotated[str, NameOf("feature network")] = Field(
        "inception", description="feature network; only Inception's distance is a FID"
    )
    metrics: Annotated[list[str], NameOf("metric")] = Field(
        ["fd", "sfd", "is", "precision", "recall"],
        description="what is computed, in the order of the table; kd and class are others",
        min_length=1,
    )
    precision: Precision = Field("fp32", description="of the feature network")
    samples_split: str | None = Field(
        None, description="of samples that are a prepared data set; its only one"
    )
    reference_split: str | None = Field(
        None, description="of a reference that is a prepared data set; its only one"
    )
    limit: PositiveInt | None = Field(None, description="use only the first so many samples")
    reference_limit: PositiveInt | None = Field(
        None, description="use only the first so many images of the reference, and of each of class_splits"
    )
    labels: str | None = Field(
        None,
        description="rule of the samples' labels (random, balanced, ...), where no record of sendvae sample says it;"
        " results of different rules do not compare",
    )
    crop: Literal["adm", "none"] = Field(
        "adm", description="reference images of another size than the samples: ADM's centre crop, or an error"
    )
    neighbours: PositiveInt = Field(3, description="k of precision and recall")
    precision_recall_reference: PositiveInt | None = Field(
        10_000,
        description="reference images for precision and recall, spread evenly (ADM: 10,000); null: all",
    )
    class_splits: list[str] = Field(
        ["train", "test"],
        min_length=2,
        max_length=2,
        description="of the reference: labelled images that train the probe of the metric class, and others that tell"
        " how often it finds the class of real images",
    )
    distances: Literal["float32", "adm-float16"] = Field(
        "float32", description="of precision and recall; adm-float16 rounds as ADM's evaluator does"
    )
    score_chunk: PositiveInt = Field(
        5000, description="images of a chunk of the inception score, in order (ADM)"
    )
    intervals: IntervalConfig = IntervalConfig()
    seed: NonNegativeInt = Field(0, description="of the bootstrap")
    batch_size: PositiveInt = 64


class ReconstructionConfig(Section):
    """The configuration of `sendvae evaluate reconstruction`."""

    kind: Literal["evaluate-reconstruction"] = "evaluate-reconstruction"
    split: str | None = Field(
        None, description="of a prepared data set: test, val, or its only one by default"
    )
    limit: PositiveInt | None = Field(None, description="use only the first so many images")
    size: PositiveInt | None = Field(256, description="pixels; null: as the images are")
    crop: Literal["adm", "lightningdit", "none"] = Field(
        "adm", description="of images that are not prepared; lightningdit: bilinear on floats, centre crop"
    )
    latent: Literal["sample", "mean"] = Field("sample", description="what of the posterior is decoded")
    ssim: Literal["unit", "signed"] = Field(
        "unit", description="unit: 8-bit images on [0, 1]; signed: floats on [-1, 1] (LightningDiT)"
    )
    perceptual: Annotated[str, NameOf("perceptual network")] = Field(
        "lpips-vgg", description="perceptual network"
    )
    perceptual_clamped: bool = Field(
        True, description="clamp reconstructions to [-1, 1] for the perceptual network"
    )
    features: Annotated[str, NameOf("feature network")] = Field(
        "inception", description="feature network of the Frechet distance"
    )
    metrics: Annotated[list[str], NameOf("metric")] = Field(
        ["fd", "psnr", "ssim", "perceptual"],
        description="what is computed, in the order of the table",
        min_length=1,
    )
    precision: Precision = Field("fp32", description="of the tokenizer and the feature network")
    worst: NonNegativeInt = Field(20, description="images in the gallery of the worst")
    intervals: IntervalConfig = IntervalConfig()
    seed: NonNegativeInt = Field(0, description="of posterior samples and the bootstrap")
    batch_size: PositiveInt = 32


class MinibatchConfig(Section):
    """The settings of Adam for probes whose method is minibatch. The rate falls in a half cosine from `lr` to 0."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 1024
    lr: PositiveFloat = 1e-3


class AttributesConfig(Section):
    """Attribute probing. All averages of F1 are computed, and the validation split tunes what is not fixed here."""

    method: Literal["logistic", "ridge", "minibatch"] = Field(
        "logistic", description="logistic: full batch in memory; ridge: one pass; minibatch: Adam"
    )
    weight_decay: NonNegativeFloat | None = Field(
        None,
        description="weight_decay / 2 |w|^2 beside a mean loss, 0 with minibatch only; null: chosen on the validation split",
    )
    threshold: float = Field(0.5, gt=0.0, lt=1.0, description="on the predicted probability")
    headline: Literal["micro", "macro", "samples"] = Field("micro", description="F1 that stands for all")


class GapConfig(Section):
    """The semantic gap."""

    pools: list[Literal["mean", "flatten"]] = Field(
        ["mean", "flatten"], description="positions averaged (REPA) or kept", min_length=1
    )
    method: Literal["full-batch", "minibatch"] = "full-batch"
    weight_decay: NonNegativeFloat = Field(
        1e-2, description="weight_decay / 2 |w|^2 beside a mean cross-entropy; 0 with minibatch only"
    )


class UniformityConfig(Section):
    """The uniformity of the latents' density (VA-VAE's protocol)."""

    projection: Literal["tsne", "pca", "none"] = "tsne"
    samples: PositiveInt = Field(10_000, description="images per repeat, one position of each")
    repeats: PositiveInt = 10
    flips: bool = Field(
        True, description="mirror each image with p = 1/2; the training images are encoded twice for it"
    )


class DiscriminationConfig(Section):
    """Discrimination by Gaussian mixtures (after MAETok; details that it does not state are ours)."""

    components: list[PositiveInt] = Field([10, 50, 100, 200], min_length=1)
    headline: PositiveInt = Field(50, description="the mixture that stands for all; one of components")
    dimensions: PositiveInt = 64
    covariance: Literal["diag", "full"] = "diag"
    repeats: PositiveInt = Field(3, description="k-means starts, averaged")


class IfidConfig(Section):
    """The Frechet distance of decoded interpolations between neighbours (iFID)."""

    features: Annotated[str, NameOf("feature network")] = Field(
        "inception", description="only Inception's distance is called iFID"
    )
    samples: PositiveInt | None = Field(
        None, description="test images, spread evenly; null: all, as published"
    )
    repeats: PositiveInt = Field(1, description="draws of neighbours, averaged")
    jackknife: NonNegativeInt = Field(
        10, description="parts of the test images left out one by one; 0: no interval"
    )


class LatentsConfig(Section):
    """The configuration of `sendvae evaluate latents`."""

    kind: Literal["evaluate-latents"] = "evaluate-latents"
    data: str = Field(
        "embedded:emoji",
        description="prepared data with attributes, or celeba:, deepfashion:, awa2: or table: and a folder",
    )
    attributes_file: str | None = Field(None, description="CSV file of table:FOLDER")
    size: PositiveInt | None = Field(256, description="pixels of images that are not prepared")
    split: Literal["default", "image", "classes", "proposed-seen", "proposed-unseen"] = Field(
        "default",
        description="AwA2: images at random (default), classes apart, or as Xian et al. propose; others: the official",
    )
    box: bool = Field(False, description="DeepFashion: crop to the garment's box first")
    limit: PositiveInt | None = Field(None, description="use only the first so many images of every split")
    latent: Literal["mean", "sample"] = Field("mean", description="of the posterior")
    latent_space: Literal["diffusion", "raw"] = Field(
        "diffusion",
        description="of FLUX.2's VAE: packed as its diffusion models see it, or raw; of others all one",
    )
    scores: Annotated[list[str], NameOf("score")] = Field(
        ["attributes", "gap", "uniformity", "discrimination"], min_length=1
    )
    attributes: AttributesConfig = AttributesConfig()
    gap: GapConfig = GapConfig()
    uniformity: UniformityConfig = UniformityConfig()
    discrimination: DiscriminationConfig = DiscriminationConfig()
    ifid: IfidConfig = IfidConfig()
    minibatch: MinibatchConfig = MinibatchConfig()
    precision: Precision = Field("fp32", description="of the tokenizer")
    bootstrap: NonNegativeInt = Field(
        1000, description="resamples of the test split, by groups where it has any; 0: no intervals"
    )
    correlate: list[str] | None = Field(
        ["f1_micro", "f1_macro", "recall_at_5", "gap_mean", "uniformity_gini", "discrimination_nll"],
        description="numbers held against the known gFIDs; null: all",
    )
    predict: str = Field("f1_micro", description="score from which unknown gFIDs are predicted")
    seed: NonNegativeInt = 0
    batch_size: PositiveInt = 64
