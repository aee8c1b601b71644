"""Figure 5: samples at several stages of training."""

from __future__ import annotations

from sendvae.experiments.declaration import Column, Experiment, Row, View

SHARES = (0.125, 0.25, 1.0)  # shares of the training: 10, 20 and 80 epochs
SAMPLING = "grid"  # a guidance scale of 4

EXPERIMENT = Experiment(
    name="figure5",
    title="What do samples look like on the way?",
    rows=[Row("vavae"), Row("e2e-vae"), Row("send-vae")],
    columns=[Column("fid", View(SAMPLING, share)) for share in SHARES],
    claims=[],
    drawn="samples",
    remark="Pictures of equal noise and labels; the paper claims no number of them.",
)
