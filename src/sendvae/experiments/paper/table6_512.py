"""Table 6, at 512 pixels."""

from __future__ import annotations

from sendvae.experiments.declaration import Better, Column, Experiment, Row, columns_of

EXPERIMENT = Experiment(
    name="table6-512",
    title="Does alignment help at 512 pixels?",
    rows=[Row("sdvae-512", "b2-512", "sdvae"), Row("sdvae-512-align", "b2-512", "sdvae-align")],
    columns=columns_of("table6-512"),
    claims=[
        Better(
            "Alignment helps SD-VAE at 512 pixels",
            "sdvae-512-align-b2-512",
            "sdvae-512-b2-512",
            Column("fid", protocol="send-vae-sit-b2-512"),
        )
    ],
    table="table6-512",
)
