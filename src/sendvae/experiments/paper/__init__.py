"""Declarations of the Send-VAE paper's tables and figures, and of experiments beyond it, with a file for each."""

from sendvae.experiments import predictors
from sendvae.experiments.declaration import Experiment
from sendvae.experiments.paper import (
    figure1,
    figure2,
    figure4,
    figure5,
    figure6,
    table1,
    table2,
    table3,
    table4,
    table5,
    table6,
    table6_512,
    table7,
    table8,
)
from sendvae.registry import Registry

EXPERIMENTS: Registry[Experiment] = Registry(
    "experiment",
    {
        one.EXPERIMENT.name: one.EXPERIMENT
        for one in (
            table1,
            table2,
            table3,
            table4,
            table5,
            table6,
            table6_512,
            table7,
            table8,
            figure1,
            figure2,
            figure4,
            figure5,
            figure6,
            predictors,
        )
    },
)

__all__ = ["EXPERIMENTS"]
