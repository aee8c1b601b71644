"""Table 5: specification of the VAE."""

from __future__ import annotations

from sendvae.experiments.declaration import Better, Experiment, Row, columns_of
from sendvae.experiments.paper.columns import GFID

CHANNELS = ("f16d16", "f16d32", "f16d64")

EXPERIMENT = Experiment(
    name="table5",
    title="Does alignment help whatever the number of latent channels?",
    rows=[
        Row("f16d16"),
        Row("f16d16-align"),
        Row("f16d32", published="invae"),
        Row("f16d32-align", published="invae-align"),
        Row("f16d64"),
        Row("f16d64-align"),
    ],
    columns=columns_of("table5"),
    claims=[
        *(Better(f"Alignment helps {name}", f"{name}-align", name, GFID) for name in CHANNELS),
        Better("With alignment, fewer channels are better: 16 than 32", "f16d16-align", "f16d32-align", GFID),
        Better("With alignment, fewer channels are better: 32 than 64", "f16d32-align", "f16d64-align", GFID),
    ],
    table="table5",
)
