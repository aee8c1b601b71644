"""Figure 1: attribute prediction against generation."""

from __future__ import annotations

from sendvae.experiments.declaration import Column, Correlates, Experiment, Row, View
from sendvae.experiments.paper.columns import GFID

PAPER_R = -0.9572  # Send-VAE paper, Figure 1, left: recall on DeepFashion against FID over six VAEs

OWN = Column("recall_at_5")
DEEPFASHION = Column("recall_at_5", View(probe="deepfashion"))
ROWS = ("sdvae", "invae", "vavae", "e2e-vae", "no-noise", "depth-0", "depth-2", "send-vae")

EXPERIMENT = Experiment(
    name="figure1",
    title="Does the recall of attributes predict generation?",
    rows=[Row(name, "b2" if name == "sdvae" else "b") for name in ROWS],
    columns=[OWN, DEEPFASHION, GFID],
    claims=[
        Correlates("Recall of DeepFashion's attributes goes with a lower distance", DEEPFASHION, GFID, -1, PAPER_R),
        Correlates("Recall of attributes of its own images goes with a lower distance", OWN, GFID, -1),
    ],
    drawn="scatter",
    remark="The paper's six points are SD-VAE, IN-VAE, VA-VAE, E2E-VAE and two kinds of Send-VAE; it prints none of them.",
)  # fmt: skip
