"""Table 3: noise injection."""

from __future__ import annotations

from sendvae.experiments.declaration import Better, Experiment, Row, columns_of
from sendvae.experiments.paper.columns import GFID

EXPERIMENT = Experiment(
    name="table3",
    title="Does noise injection help?",
    rows=[Row("no-noise"), Row("send-vae")],
    columns=columns_of("table3"),
    claims=[Better("Noise injection lowers the distance of samples", "send-vae", "no-noise", GFID)],
    table="table3",
)
