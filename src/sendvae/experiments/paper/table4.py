"""Table 4: vision foundation models."""

from __future__ import annotations

from sendvae.experiments.declaration import Better, Experiment, Row, columns_of
from sendvae.experiments.paper.columns import GFID

MODELS = {"mae": "MAE", "clip": "CLIP", "i-jepa": "I-JEPA", "siglip": "SigLIP"}

EXPERIMENT = Experiment(
    name="table4",
    title="Which vision foundation model should the latent space be aligned with?",
    rows=[Row("vavae"), *map(Row, MODELS), Row("send-vae"), Row("dinov3")],
    columns=columns_of("table4"),
    claims=[
        *(Better(f"Aligned with {label}, Send-VAE is better than VA-VAE", name, "vavae", GFID) for name, label in MODELS.items()),
        Better("DINOv2 is better than VA-VAE", "send-vae", "vavae", GFID),
        *(Better(f"DINOv2 is better than {label}", "send-vae", name, GFID) for name, label in MODELS.items()),
        Better("DINOv3 is better than DINOv2", "dinov3", "send-vae", GFID),
    ],
    table="table4",
)  # fmt: skip
