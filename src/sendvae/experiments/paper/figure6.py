"""Figure 6: samples of the final system."""

from __future__ import annotations

from sendvae.experiments.declaration import Column, Experiment, Row, View
from sendvae.experiments.paper import figure5

EXPERIMENT = Experiment(
    name="figure6",
    title="What do samples of the whole system look like?",
    rows=[Row("send-vae", "xl-800"), Row("send-vae", "xl-80")],
    columns=[Column("fid", View(figure5.SAMPLING))],
    claims=[],
    drawn="samples",
    remark="Pictures; the paper claims no number of them.",
)
