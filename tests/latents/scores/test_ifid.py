"""Interpolated neighbours: which, how far between, and how they are judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sendvae.latents import SCORES, Evidence, TensorRows
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

    def distances(self, a: Tensor, b: Tensor) -> Mapping[str, float]:
        return {"fd-means": float((a.mean(0) - b.mean(0)).norm()), "kd-means": float(len(a))}


def evidence(seed: int = 0) -> Evidence:
    generator = torch.Generator().manual_seed(4)
    z = {split: torch.randn(130, 3, 4, 4, generator=generator) for split in ("train", "test")}
    images = {split: TensorRows(F.interpolate(rows, scale_factor=2) * 0.5) for split, rows in z.items()}
    return Evidence(
        "x", {split: TensorRows(rows) for split, rows in z.items()}, (3, 4, 4), images=images, judge=Means(),
        decode=lambda latent: F.interpolate(latent, scale_factor=2) * 0.5 + 0.25, seed=seed,
    )  # fmt: skip


def test_the_score_holds_decoded_interpolations_against_the_images() -> None:
    given = evidence()
    found = score_ifid(given, "means", None, 1)
    assert found.details["ifid"] == {"features": "means", "images": 130, "of": 130}
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
    assert found.numbers["ifd-means"].repeats is None


def test_repeats_and_seeds_draw_others() -> None:
    several = score_ifid(evidence(), "means", 50, 3).numbers["ifd-means"]
    assert several.repeats is not None
    assert len(set(several.repeats)) == 3
    assert several.value == pytest.approx(np.mean(several.repeats))
    assert score_ifid(evidence(), "means", 50, 3).numbers["ifd-means"] == several
    assert score_ifid(evidence(seed=1), "means", 50, 3).numbers["ifd-means"] != several
    assert score_ifid(evidence(), "means", 50, 1).numbers["ikd-means"].value == 50


def test_only_inceptions_distance_is_called_ifid() -> None:
    row = SCORES["ifid"]
    assert row.quantity("ifid").label == "iFID"
    assert row.quantity("ifd-mobilenet-v2").label == "iFD-mobilenet-v2"
    assert "not FID" in row.quantity("ifd-mobilenet-v2").explanation
    blind = score_ifid(Evidence("x", evidence().rows, (3, 4, 4)), "inception", None, 1)
    assert blind.details == {"no ifid": "no decoder is at hand"}
