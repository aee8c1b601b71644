"""Table 6: initialisation."""

from __future__ import annotations

from sendvae.experiments.declaration import Better, Experiment, Row, columns_of
from sendvae.experiments.paper.columns import GFID

EXPERIMENT = Experiment(
    name="table6",
    title="Does it matter which VAE the fine-tuning starts from?",
    rows=[
        Row("sdvae", "b2", "sdvae"),
        Row("sdvae-align", "b2", "sdvae-align"),
        Row("invae"),
        Row("from-invae", published="invae-align"),
        Row("vavae"),
        Row("from-vavae", published="send-vae"),
    ],
    columns=columns_of("table6"),
    claims=[
        Better("Alignment helps SD-VAE", "sdvae-align-b2", "sdvae-b2", GFID),
        Better("Alignment helps IN-VAE", "from-invae", "invae", GFID),
        Better("Alignment helps VA-VAE", "from-vavae", "vavae", GFID),
        Better("Starting from VA-VAE is better than from IN-VAE", "from-vavae", "from-invae", GFID),
    ],
    table="table6",
    remark="The paper does not say how its SiT-B reads the finer latents of SD-VAE; ours has patches of 2x2.",
)
