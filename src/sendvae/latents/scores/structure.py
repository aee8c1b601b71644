"""Whether near positions of a latent are alike and far ones differ."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor

from sendvae.latents.bootstrap import weighted_mean
from sendvae.latents.rows import LatentRows
from sendvae.latents.score import Evidence, Found, Measured, Score, quantity
from sendvae.latents.scores.grid import channel_moments, normalised, without_grid

FAR = 6  # Manhattan distance from which positions count as far (iREPA)
DISTANCES = 8  # of the slope of CDS, from 1 on (iREPA)
COSINES = 2**22  # held at a time


def structure(rows: LatentRows) -> dict[str, Float64[Tensor, " M"]]:
    """Return iREPA's measures of spatial structure of every latent, channels normalised, positions of length 1.

    "lds": mean cosine of the four neighbours minus that of positions at least `FAR` apart. "cds": minus the slope
    of the mean cosine over distances 1 to `DISTANCES` (fewer on smaller grids). "rmsc": root mean square distance
    of positions from their mean. "lds" is left out where no two positions are far apart.

    Raises:
        ValueError: a grid of fewer than 3 positions in all, NaN, or a channel without variation.
    """
    moments = channel_moments(rows)
    channels, height, width = next(normalised(rows, moments, 1)).shape[1:]
    place = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    distance = torch.cdist(place.double(), place.double(), p=1).round().long()
    longest = min(DISTANCES, height + width - 2)
    if longest < 2:
        raise ValueError(f"a grid of {width} x {height} positions has no structure")
    shells = torch.stack([(distance == d).double() / (distance == d).sum() for d in range(1, longest + 1)])
    x = torch.arange(1, longest + 1, dtype=torch.float64)
    slope = (x - x.mean()) / (x - x.mean()).square().sum()
    far = (distance >= FAR).double()
    most = max(1, COSINES // len(place) ** 2) * channels * len(place)
    found: dict[str, list[Tensor]] = {"lds": [], "cds": [], "rmsc": []}
    for values in normalised(rows, moments, most):
        tokens = F.normalize(values.flatten(2).transpose(1, 2).double().cpu(), dim=-1)
        cosines = (tokens @ tokens.mT).flatten(1)
        by_distance = cosines @ shells.flatten(1).T
        if bool(far.any()):
            found["lds"].append(by_distance[:, 0] - cosines @ far.flatten() / far.sum())
        found["cds"].append(-(by_distance @ slope))
        centred = tokens - tokens.mean(1, keepdim=True)
        found["rmsc"].append(centred.square().sum(-1).mean(1).sqrt())
    return {name: torch.cat(parts) for name, parts in found.items() if parts}


def score_structure(evidence: Evidence) -> Found:
    """Average the measures over test latents."""
    if missing := without_grid(evidence, "structure"):
        return missing
    found = structure(evidence.rows["test"])
    statistics = {f"structure_{name}": weighted_mean(values) for name, values in found.items()}
    resampled = evidence.bootstrap.scores(len(found["cds"]), statistics)
    numbers = {
        f"structure_{name}": Measured(float(values.mean()), resampled.get(f"structure_{name}"))
        for name, values in found.items()
    }
    details = {} if "lds" in found else {"no structure_lds": f"no two positions lie {FAR} apart"}
    return Found(numbers, details)


SCORE = Score(
    score_structure,
    {
        "structure_lds": quantity(
            "LDS", True, "mean cosine of neighbouring positions minus that of positions far apart"
        ),
        "structure_cds": quantity(
            "CDS", True, "how fast the cosine of two positions falls with their distance"
        ),
        "structure_rmsc": quantity(
            "RMSC", True, "root mean square distance of unit tokens from their mean: contrast within an image"
        ),
    },
    cost="one pass over test latents",
    source="iREPA",
)
