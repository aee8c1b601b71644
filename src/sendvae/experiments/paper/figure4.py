"""Figure 4: convergence of the SiT."""

from __future__ import annotations

from sendvae.experiments.declaration import Better, Column, Experiment, Row, View

SHARES = (0.125, 0.25, 0.5, 1.0)  # shares of the training: 10, 20, 40 and 80 epochs
COLUMNS = [Column("fid", View(at=share)) for share in SHARES]

EXPERIMENT = Experiment(
    name="figure4",
    title="Does a SiT converge faster on Send-VAE's latents?",
    rows=[Row("invae"), Row("vavae"), Row("e2e-vae"), Row("send-vae")],
    columns=COLUMNS,
    claims=[
        Better(f"Send-VAE is ahead of {other} after {share:.1%} of the training", "send-vae", other, column)
        for share, column in zip(SHARES, COLUMNS, strict=True)
        for other in ("invae", "vavae")
    ],
    drawn="curves",
    remark="The paper draws SiT-XL on Send-VAE against REPA on SD-VAE and prints no numbers of the curves.",
)
