"""Interpolated neighbours: which, how far between, and how they are judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sendvae.latents import SCORES, Bootstrap, Distance, Evidence, TensorRows
from sendvae.latents.scores.ifid import between, interpolated, nearest, score_ifid
from sendvae.randomness import stream


def test_neighbours_are_nearest_by_cosine_across_batches() -> None:
    queries, others = torch.randn(7, 2, 3, 3), torch.randn(2500, 2, 3, 3) * torch.rand(2500, 1, 1, 1)
    places = np.array([5, 0, 6])
    found = nearest(TensorRows(queries), places, TensorRows(others), 4)
    cosines = F.cosine_similarity(queries[places].flatten(1)[:, None], others.flatten(1)[None], dim=2)
    assert torch.equal(found, cosines.topk(4).indices)
    assert nearest(TensorRows(queries), places, TensorRows(others[:3]), 10).shape == (3, 3)


def test_half_way_lies_on_the_arc() -> None:
    a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    torch.testing.assert_close(between(a, b), torch.full((1, 2), 2**0.5))
    torch.testing.assert_close(between(a, b, 0.0), a)
    third = between(a, b, 1 / 3)
    assert third.norm() == pytest.approx(2.0)
    assert torch.atan2(third[0, 1], third[0, 0]).item() == pytest.approx(torch.pi / 6, abs=1e-6)
    torch.testing.assert_close(between(a, 3 * a), 2 * a)  # parallel: on the line
    # Of two lengths the ends are kept, as in the published formula.
    torch.testing.assert_close(between(a, 3 * b, 1.0), 3 * b)


def test_neighbours_are_drawn_by_their_distance_and_the_position() -> None:
    others = torch.stack([torch.full((1, 2, 2), value) for value in (1.0, 2.0, 4.0)])
    queries = torch.zeros(3000, 1, 2, 2) + 1e-3
    near = torch.tensor([[2, 0, 1]]).expand(3000, -1)
    places = np.arange(3000)
    latents = torch.cat(
        list(interpolated(TensorRows(queries), places, TensorRows(others), near, lambda i: stream(0, i, "x")))
    )
    drawn = latents[:, 0, 0, 0]  # parallel latents: the mean of both
    wanted = (-(torch.tensor([1.0, 2.0, 4.0]) - 1e-3).square()).softmax(0)
    for value, share in zip((1.0, 2.0), wanted, strict=False):
        found = (drawn - (value + 1e-3) / 2).abs() < 1e-4
        assert found.float().mean().item() == pytest.approx(share.item(), abs=0.02)
    some = np.array([7, 2999])
    again = torch.cat(
        list(
            interpolated(TensorRows(queries), some, TensorRows(others), near[:2], lambda i: stream(0, i, "x"))
        )
    )
    assert torch.equal(again, latents[some])


class Means:
    """Features are the means of channels; both distances are of their means."""

    def features(self, images: Iterable[Tensor]) -> Tensor:
        return torch.cat([one.mean((2, 3)) for one in images])

    def distances(self, a: Tensor, b: Tensor, parts: Sequence[Tensor] = ()) -> Mapping[str, Distance]:
        def norm(kept: Tensor) -> float:
            return float((a[kept].mean(0) - b[kept].mean(0)).norm())

        every = torch.ones(len(a), dtype=torch.bool)
        rests = [every.index_fill(0, part, False) for part in parts]
        return {
            "fd-means": Distance(norm(every), [norm(rest) for rest in rests]),
            "kd-means": Distance(float(len(a)), [float(rest.sum()) for rest in rests]),
        }


def evidence(seed: int = 0, resamples: int = 1000, groups: Sequence[str] | None = None) -> Evidence:
    generator = torch.Generator().manual_seed(4)
    z = {split: torch.randn(130, 3, 4, 4, generator=generator) for split in ("train", "test")}
    images = {split: TensorRows(F.interpolate(rows, scale_factor=2) * 0.5) for split, rows in z.items()}
    return Evidence(
        "x", {split: TensorRows(rows) for split, rows in z.items()}, (3, 4, 4), images=images, judge=Means(),
        decode=lambda latent: F.interpolate(latent, scale_factor=2) * 0.5 + 0.25, seed=seed,
        bootstrap=Bootstrap(resamples, groups=groups),
    )  # fmt: skip


def test_the_score_holds_decoded_interpolations_against_the_images() -> None:
    given = evidence()
    found = score_ifid(given, "means", None, 1, 0)
    assert found.details == {"ifid": {"features": "means", "images": 130, "of": 130}}
    test, train = given.rows["test"], given.rows["train"]
    places = np.arange(130)
    latents = torch.cat(
        list(
            interpolated(
                test,
                places,
                train,
                nearest(test, places, train, 10),
                lambda i: stream(0, i, "iFID neighbour"),
            )
        )
    )
    assert given.decode is not None
    wanted = given.decode(latents).mean((0, 2, 3)) - given.images["test"].batch(places).mean((0, 2, 3))
    assert found.numbers["ifd-means"].value == pytest.approx(wanted.norm().item(), rel=1e-5)
    assert found.numbers["ikd-means"].value == 130
    assert found.numbers["ifd-means"].without is None
    without = score_ifid(given, "means", None, 1, 5).numbers["ifd-means"].without
    assert without is not None
    rests = [np.flatnonzero(places % 5 != part) for part in range(5)]
    decoded, shown = given.decode(latents).mean((2, 3)), given.images["test"].batch(places).mean((2, 3))
    norms = [(decoded[rest].mean(0) - shown[rest].mean(0)).norm().item() for rest in rests]
    assert without.tolist() == pytest.approx(norms, rel=1e-5)


def test_repeats_and_seeds_draw_others() -> None:
    def distance(seed: int, repeats: int) -> float:
        return score_ifid(evidence(seed), "means", 50, repeats, 0).numbers["ifd-means"].value

    assert distance(0, 3) == distance(0, 3)
    assert len({distance(0, 1), distance(0, 2), distance(0, 3), distance(1, 1)}) == 4
    assert score_ifid(evidence(), "means", 50, 1, 0).numbers["ikd-means"].value == 50


def test_a_jackknife_leaves_out_the_mean_of_the_repeats() -> None:
    numbers = score_ifid(evidence(), "means", 50, 3, 7).numbers
    without = numbers["ikd-means"].without
    assert without is not None
    assert without.tolist() == [42.0] + 6 * [43.0]  # the first part of fifty images has eight
    ones, threes = (score_ifid(evidence(), "means", 50, n, 7).numbers["ifd-means"].without for n in (1, 3))
    assert ones is not None
    assert threes is not None
    assert not torch.equal(ones, threes)


@pytest.mark.parametrize(
    ("resamples", "jackknife", "groups", "reason"),
    [
        (1000, 66, None, "needs 132 test images"),  # of 130
        (1000, 10, [f"group {i % 19}" for i in range(130)], "needs 20 test images, or groups"),
        (1000, 0, None, ""),
        (0, 10, None, ""),
    ],
)
def test_where_there_is_no_interval_there_is_a_reason_unless_none_was_asked_for(
    resamples: int, jackknife: int, groups: list[str] | None, reason: str
) -> None:
    found = score_ifid(evidence(0, resamples, groups), "means", None, 1, jackknife)
    assert found.numbers["ifd-means"].without is None
    assert reason in found.details.get("no interval of ifid", "")
    assert ("no interval of ifid" in found.details) == bool(reason)


def test_only_inceptions_distance_is_called_ifid() -> None:
    row = SCORES["ifid"]
    assert row.quantity("ifid").label == "iFID"
    assert row.quantity("ifd-mobilenet-v2").label == "iFD-mobilenet-v2"
    assert "not FID" in row.quantity("ifd-mobilenet-v2").explanation
    blind = score_ifid(Evidence("x", evidence().rows, (3, 4, 4)), "inception", None, 1, 10)
    assert blind.details == {"no ifid": "no decoder is at hand"}
