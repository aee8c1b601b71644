"""Figure 2: four scores of a latent space against generation."""

from __future__ import annotations

from sendvae.experiments.declaration import Column, Correlates, Experiment, Strongest
from sendvae.experiments.paper import figure1
from sendvae.experiments.paper.columns import GFID

RECALL = figure1.OWN
GAP, GINI, NLL = Column("gap_mean"), Column("uniformity_gini"), Column("discrimination_nll")
OTHERS = (GAP, GINI, NLL)

EXPERIMENT = Experiment(
    name="figure2",
    title="Which score of a latent space goes with generation?",
    rows=figure1.EXPERIMENT.rows,
    columns=[*OTHERS, RECALL, figure1.DEEPFASHION, GFID],
    claims=[
        Correlates("A higher accuracy of classes goes with a lower distance (the paper: not closely)", GAP, GFID, -1),
        Correlates("A lower Gini coefficient goes with a lower distance (the paper: not closely)", GINI, GFID, 1),
        Correlates("A lower NLL of the mixture goes with a lower distance (the paper: not closely)", NLL, GFID, 1),
        Strongest("Recall of attributes goes with the distance more closely than the others", RECALL, OTHERS, GFID),
        Strongest("Recall of DeepFashion's attributes does so", figure1.DEEPFASHION, OTHERS, GFID),
    ],
    drawn="scatter",
    remark="The paper prints none of the points.",
)  # fmt: skip
