"""Table 7: reconstruction and generation."""

from __future__ import annotations

from sendvae.experiments.declaration import Better, Column, Experiment, Row, columns_of
from sendvae.experiments.paper.columns import GFID

RFID = Column("rfid", protocol="send-vae-reconstruction")

EXPERIMENT = Experiment(
    name="table7",
    title="What does a better latent space cost in reconstruction?",
    rows=[Row("invae"), Row("vavae"), Row("e2e-vae"), Row("send-vae")],
    columns=columns_of("table7"),
    claims=[
        Better("The VAE without alignment reconstructs better than Send-VAE", "invae", "send-vae", RFID),
        Better("Send-VAE is better generated in than the VAE without alignment", "send-vae", "invae", GFID),
        Better("Send-VAE is better generated in than VA-VAE", "send-vae", "vavae", GFID),
        Better("Send-VAE is better generated in than E2E-VAE", "send-vae", "e2e-vae", GFID),
    ],
    table="table7",
)
