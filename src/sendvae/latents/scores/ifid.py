"""Whether what lies between two latents decodes to an image (iFID)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sendvae.latents.jackknife import jackknife_parts
from sendvae.latents.rows import LatentRows, batches
from sendvae.latents.score import Distance, Evidence, Found, Measured, Score, quantity
from sendvae.randomness import stream

# Of the paper and its repository (Making-rFID-Predictive-of-Diffusion-gFID).
NEIGHBOURS = 10
SHARE = 0.5  # of the neighbour in the interpolation
BATCH = 64  # images decoded at a time
BLOCK = 1024  # latents compared with all others at a time
PARALLEL = 1e-6  # sine of the angle below which the arc is a line


def nearest(queries: LatentRows, places: np.ndarray, others: LatentRows, count: int) -> Int64[Tensor, "Q k"]:
    """Return the positions of the nearest others by the cosine of flattened latents, nearest first.

    Args:
        places: positions of the queries.
        count: k; fewer where there are fewer others.
    """
    found = []
    for start in range(0, len(places), BLOCK):
        block = torch.nn.functional.normalize(queries.batch(places[start : start + BLOCK]).flatten(1))
        best = block.new_empty(len(block), 0)
        where = torch.empty(len(block), 0, dtype=torch.int64, device=block.device)
        for place, values in batches(others):
            cosines = block @ torch.nn.functional.normalize(values.flatten(1)).T
            here = torch.arange(place.start, place.stop, device=block.device).expand(len(block), -1)
            both, positions = torch.cat([best, cosines], 1), torch.cat([where, here], 1)
            best, order = both.topk(min(count, both.shape[1]))
            where = positions.gather(1, order)
        found.append(where.cpu())
    return torch.cat(found)


def between(
    z: Float[Tensor, "*shape"], other: Float[Tensor, "*shape"], share: float = SHARE
) -> Float[Tensor, "*shape"]:
    """Return the point at a share of the arc from one latent to another, both taken as one vector each."""
    cosine = torch.nn.functional.cosine_similarity(z.flatten(), other.flatten(), dim=0).clamp(-1, 1)
    angle = cosine.acos()
    if float(angle.sin()) < PARALLEL:
        return (1 - share) * z + share * other
    return (((1 - share) * angle).sin() * z + (share * angle).sin() * other) / angle.sin()


def interpolated(
    queries: LatentRows,
    places: np.ndarray,
    others: LatentRows,
    neighbours: Int64[Tensor, "Q k"],
    draw: Callable[[int], torch.Generator],
) -> Iterator[Float[Tensor, "B C *n"]]:
    """Yield latents half-way to a neighbour each, in the order of the queries.

    One of the neighbours is drawn, with probability softmax(-mean squared difference).

    Args:
        draw: gives the generator of a query's position.
    """
    for start in range(0, len(places), BATCH):
        some = places[start : start + BATCH]
        latents = []
        for z, place, near in zip(queries.batch(some), some, neighbours[start : start + BATCH], strict=True):
            candidates = others.batch(near.numpy())
            weights = (-(candidates - z).square().flatten(1).mean(1)).softmax(0).cpu()
            chosen = int(torch.multinomial(weights, 1, generator=draw(int(place))))
            latents.append(between(z, candidates[chosen]))
        yield torch.stack(latents)


def score_ifid(evidence: Evidence, features: str, samples: int | None, repeats: int, jackknife: int) -> Found:
    """Hold the decoded interpolations of test latents with training latents against the test images.

    Test images are left out together with their interpolations. As each image has draws of its own, the interval is
    of both: of other test images, and of other draws.

    Args:
        features: the feature network, which `evidence.judge` is.
        samples: test images, spread evenly; None for all, as published.
        repeats: draws of neighbours, whose mean is the number.
        jackknife: parts of the test images that are left out one by one; 0 for no interval.
    """
    if evidence.decode is None or evidence.judge is None:
        return Found(details={"no ifid": "no decoder is at hand"})
    train, test, images = evidence.rows["train"], evidence.rows["test"], evidence.images["test"]
    count = len(test) if samples is None else min(samples, len(test))
    places = np.unique(np.linspace(0, len(test) - 1, count).round().astype(np.int64))
    judge, decode = evidence.judge, evidence.decode
    shown = (images.batch(places[start : start + BATCH]) for start in range(0, len(places), BATCH))
    originals = evidence.once(f"ifid {features} {count}", lambda: judge.features(shown))
    neighbours = nearest(test, places, train, NEIGHBOURS)
    wanted = jackknife if evidence.bootstrap.resamples else 0
    parts = jackknife_parts(places, evidence.bootstrap.groups, wanted)
    found: list[Mapping[str, Distance]] = []
    for repeat in range(repeats):

        def draw(place: int, repeat: int = repeat) -> torch.Generator:
            return stream(evidence.seed, repeat * len(test) + place, "iFID neighbour")

        latents = interpolated(test, places, train, neighbours, draw)
        found.append(judge.distances(judge.features(decode(z) for z in latents), originals, parts))
    numbers = {f"i{name}": _over([one[name] for one in found]) for name in found[0]}
    details: dict[str, object] = {"ifid": {"features": features, "images": len(places), "of": len(train)}}
    if wanted and not parts:
        details["no interval of ifid"] = (
            f"ifid.jackknife={wanted} needs {2 * wanted} test images, or groups of them, and two parts"
        )
    return Found(numbers, details)


def _over(repeats: Sequence[Distance]) -> Measured:
    """Return the mean, also of what is left without each part."""
    without = torch.tensor([one.without for one in repeats], dtype=torch.float64).mean(0)
    return Measured(fmean(one.value for one in repeats), without=without if len(without) else None)


_DISTANCE = "Frechet distance between test images and decoded interpolations of their latents with neighbours"
_KERNEL = "kernel distance between the same, unbiased with few images"
SCORE = Score(
    score_ifid,
    {
        "ifid": quantity("iFID", False, _DISTANCE, 2),
        "ifid-*": quantity("iFID-{}", False, _DISTANCE, 2),
        "ifd-*": quantity("iFD-{}", False, f"{_DISTANCE}; not FID", 2),
        "ikid": quantity("iKID", False, _KERNEL, 4),
        "ikid-*": quantity("iKID-{}", False, _KERNEL, 4),
        "ikd-*": quantity("iKD-{}", False, _KERNEL, 4),
    },
    cost="a decoding and a feature pass of every test image, one more for all tokenizers together; distances to all"
    " training latents; the jackknife's distances",
    source="arXiv 2603.05630",
)
