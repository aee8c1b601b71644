"""The validation loss of a generator: what it is for predictions known in advance, and what it does not depend on."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from sendvae.diffusion import Generator
from sendvae.evaluation import velocity_loss
from sendvae.evaluation.results import Input, Result
from sendvae.evaluation.velocity_loss import IMAGES, NAME, measure_velocity_loss, picked_images
from sendvae.tokenizers import LatentStats

CPU = torch.device("cpu")
COUNT, SHAPE = 150, (3, 4, 4)


class Constant(Generator):
    """Predicts the label everywhere, or the given times, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.path = "linear"
        self.times: list[Tensor] = []

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        self.times.append(t)
        return labels.float().view(-1, 1, 1, 1).expand_as(x_t)


def loss(
    label: int = 0, scale: float = 1.0, std: float = 0.0, shift: int = 0, generator: Generator | None = None
) -> Result:
    mean = torch.full((COUNT, *SHAPE), 5.0 + 2.0 * scale)
    return measure_velocity_loss(
        generator or Constant(),
        LatentStats(torch.full((3,), 5.0), torch.full((3,), 2.0)),
        mean,
        torch.full_like(mean, std),
        torch.full((COUNT,), label),
        [number + shift for number in range(COUNT)],
        Input(source="toy", images=COUNT, digest="0"),
        CPU,
        "toy",
    )


def value(**choices: object) -> float:
    return loss(**choices).subjects[0].numbers[NAME].value  # type: ignore[arg-type]


def test_the_loss_of_constant_predictions_is_known() -> None:
    """Velocities are noise minus z: with z = s and prediction p the expected square is 1 + (s + p)^2."""
    sampled = (COUNT * 4 * 48) ** -0.5
    assert value(scale=0.0) == pytest.approx(1.0, abs=6 * sampled)
    assert value(scale=1.0) == pytest.approx(2.0, abs=12 * sampled)
    assert value(scale=1.0, label=2) == pytest.approx(10.0, abs=30 * sampled)
    # A posterior of deviation 2, in units of 2, adds a variance of 1, drawn once an image.
    assert value(scale=0.0, std=2.0) == pytest.approx(2.0, abs=30 * sampled)


def test_times_are_one_from_each_part() -> None:
    generator = Constant()
    loss(generator=generator)
    times = torch.cat([torch.stack(generator.times[i : i + 4]) for i in range(0, len(generator.times), 4)], 1)
    assert times.shape == (4, COUNT)
    for part, own in enumerate(times):
        assert part / 4 <= float(own.min()) < float(own.max()) < (part + 1) / 4
    assert times[0].unique().numel() == COUNT


def test_batches_do_not_matter_and_numbers_of_images_do(monkeypatch: pytest.MonkeyPatch) -> None:
    before = value(std=1.0)
    assert before == value(std=1.0)
    assert before != value(std=1.0, shift=1)
    monkeypatch.setattr(velocity_loss, "BATCH", 7)
    assert value(std=1.0) == pytest.approx(before, rel=1e-6)


def test_the_interval_is_of_the_images() -> None:
    number = loss().subjects[0].numbers[NAME]
    assert number.interval is not None
    low, high = number.interval
    assert low < number.value < high
    assert high - low < 0.2


def test_at_most_so_many_images_spread_evenly() -> None:
    assert picked_images(5) == [0, 1, 2, 3, 4]
    picked = picked_images(3 * IMAGES)
    assert (len(picked), picked[0], picked[-1]) == (IMAGES, 0, 3 * IMAGES - 1)
    assert {b - a for a, b in itertools.pairwise(picked)} <= {2, 3, 4}
