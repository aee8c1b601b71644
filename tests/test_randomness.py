"""The scheme of randomness: what a draw depends on, and what it does not."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sendvae.randomness import Draws, stream

CPU = torch.device("cpu")
words = st.integers(0, 2**32 - 1)
names = st.text("abcdefghijklmnopqrstuvwxyz ", min_size=1, max_size=12)
USED = ("posterior", "alpha", "alignment noise", "time", "interpolant noise", "label dropout")


def first(seed: int, position: int, name: str) -> Tensor:
    return torch.rand(8, generator=stream(seed, position, name))


@settings(deadline=None, max_examples=50)
@given(a=st.tuples(words, words, names), b=st.tuples(words, words, names))
def test_other_seeds_positions_or_names_are_other_streams(
    a: tuple[int, int, str], b: tuple[int, int, str]
) -> None:
    assume(a != b)
    assert not torch.equal(first(*a), first(*b))
    assert torch.equal(first(*a), first(*a))


@settings(deadline=None, max_examples=30)
@given(seed=words, position=words, name=names)
def test_neighbours_differ_in_every_argument(seed: int, position: int, name: str) -> None:
    """One step to the side in one argument alone, seed and position exchanged, a name begun alike."""
    here = [(seed, position, name), (seed + 1, position, name), (seed, position + 1, name)]
    here += [(seed, position, name + "a"), (seed, position, name[::-1]), (position, seed, name)]
    drawn = [first(*arguments) for arguments in dict.fromkeys(here)]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(drawn, 2))


@settings(deadline=None, max_examples=30)
@given(
    seed=words,
    images_seen=words,
    batch=st.integers(1, 24),
    cuts=st.lists(st.integers(0, 24), max_size=5),
    name=names,
)
def test_rows_do_not_depend_on_how_a_batch_is_split(
    seed: int, images_seen: int, batch: int, cuts: list[int], name: str
) -> None:
    def draws(rows: slice) -> Draws:
        return Draws(seed, images_seen, batch, rows, CPU)

    edges = [0, *sorted(min(cut, batch) for cut in cuts), batch]
    pieces = [draws(slice(a, b)) for a, b in itertools.pairwise(edges)]
    whole = draws(slice(0, batch))
    assert torch.equal(torch.cat([piece.uniform(name) for piece in pieces]), whole.uniform(name))
    normal = [piece.normal(name, (2, 3)) for piece in pieces]
    assert torch.equal(torch.cat(normal), whole.normal(name, (2, 3)))


@settings(deadline=None, max_examples=20)
@given(seed=words, images_seen=words)
def test_the_draws_of_one_step_are_independent(seed: int, images_seen: int) -> None:
    """No name's numbers are another's, nor those of the next step or of another seed; asking again gives the same."""

    def drawn(seed: int, images_seen: int) -> list[Tensor]:
        draws = Draws(seed, images_seen, 6, slice(0, 6), CPU)
        return [draws.normal(name, (4,)) for name in USED]

    here = drawn(seed, images_seen)
    others = [*here, *drawn(seed, images_seen + 6), *drawn(seed + 1, images_seen)]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(others, 2))
    assert all(torch.equal(a, b) for a, b in zip(here, drawn(seed, images_seen), strict=True))


def test_draws_are_distributed_as_they_are_named() -> None:
    draws = Draws(3, 0, 40_000, slice(0, 40_000), CPU)
    uniform, normal = draws.uniform("a"), draws.normal("b", (1,))
    assert 0 <= float(uniform.min()) <= float(uniform.max()) < 1
    assert float(uniform.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(normal.mean()) == pytest.approx(0.0, abs=0.03)
    assert float(normal.std()) == pytest.approx(1.0, abs=0.02)
    rows = torch.stack([uniform, normal[:, 0], draws.uniform("c")])
    assert float((torch.corrcoef(rows) - torch.eye(3)).abs().max()) < 0.03


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    Draws(3, 0, 4, slice(0, 4), CPU).normal("a", (4,))
    assert torch.equal(before, torch.get_rng_state())
