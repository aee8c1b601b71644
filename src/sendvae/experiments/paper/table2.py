"""Table 2: depth of the mapper, without noise injection."""

from __future__ import annotations

from sendvae.experiments.declaration import Better, Experiment, Row, columns_of
from sendvae.experiments.paper.columns import GFID

EXPERIMENT = Experiment(
    name="table2",
    title="How deep should the mapper be?",
    rows=[Row("depth-0"), Row("no-noise"), Row("depth-2")],
    columns=columns_of("table2"),
    claims=[
        Better("One transformer block is better than none", "no-noise", "depth-0", GFID),
        Better("One transformer block is better than two", "no-noise", "depth-2", GFID),
    ],
    table="table2",
)
