"""Table 1: whole systems."""

from __future__ import annotations

from sendvae.experiments.declaration import GUIDED, Better, Column, Experiment, Row, columns_of
from sendvae.experiments.paper.columns import SYSTEM

PLAIN = Column("fid", protocol=SYSTEM)
WITH_GUIDANCE = Column("fid", GUIDED, f"{SYSTEM}-guided")

EXPERIMENT = Experiment(
    name="table1",
    title="Is a SiT on Send-VAE's latents better than on VA-VAE's and E2E-VAE's?",
    rows=[
        Row("vavae", "xl-80", "vavae-lightningdit-80"),
        Row("e2e-vae", "xl-80", "e2e-vae-80"),
        Row("send-vae", "xl-80", "send-vae-80"),
        Row("e2e-vae", "xl-800", "e2e-vae-800"),
        Row("send-vae", "xl-800", "send-vae-800"),
    ],
    columns=columns_of("table1", {f"{SYSTEM}-guided": GUIDED}),
    claims=[
        Better("Send-VAE over E2E-VAE without guidance, 80 epochs", "send-vae-xl-80", "e2e-vae-xl-80", PLAIN),
        Better("Send-VAE over E2E-VAE with guidance, 80 epochs", "send-vae-xl-80", "e2e-vae-xl-80", WITH_GUIDANCE),
        Better("Send-VAE over VA-VAE without guidance, 80 epochs", "send-vae-xl-80", "vavae-xl-80", PLAIN),
        Better("Send-VAE over E2E-VAE without guidance, 800 epochs", "send-vae-xl-800", "e2e-vae-xl-800", PLAIN),
        Better("Send-VAE over E2E-VAE with guidance, 800 epochs", "send-vae-xl-800", "e2e-vae-xl-800", WITH_GUIDANCE),
    ],
    table="table1",
    remark="The paper's VA-VAE row is LightningDiT's own; ours is a SiT with REPA like the others. Other systems are not trained here.",
)  # fmt: skip
