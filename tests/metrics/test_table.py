"""Every row of the metrics: it tells equal from other, says what it lacks, and is read the right way round."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sendvae.errors import UserError
from sendvae.metrics import (
    METRICS,
    ImageEvidence,
    ImageMetric,
    SetEvidence,
    SetMetric,
    Settings,
    gaussian_of,
    mean_estimate,
    precision_recall,
)

SETTINGS = Settings(bootstrap=50, jackknife=4, score_chunk=10)
NAMES = "distance distance_label kernel kernel_label suffix network caveat reference samples perceptual"
FIELDS = dict.fromkeys([*NAMES.split(), "perceptual_label"], "x")


def sets(rows: Tensor, reference: Tensor) -> SetEvidence:
    return SetEvidence(
        rows,
        2 * rows[:, :4],
        rows[:, :5],
        gaussian_of(reference),
        gaussian_of(2 * reference[:, :4]),
        reference,
        class_hits=rows.abs().amax(1) < 10,
    )


def images(shown: Tensor, originals: Tensor) -> ImageEvidence:
    exact, truth = (x.float() / 127.5 - 1 for x in (shown, originals))
    return ImageEvidence(shown, exact, originals, truth, lambda a, b: (a - b).abs().mean(dim=(1, 2, 3)))


def value(name: str, worse: bool) -> float:
    """Of a set against itself, or of a worse one against it."""
    torch.manual_seed(0)
    metric = METRICS[name]
    if isinstance(metric, ImageMetric):
        originals = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
        shown = 255 - originals if worse else originals
        return mean_estimate(metric.compute(images(shown, originals), SETTINGS), SETTINGS).value
    rows = torch.randn(40, 8)
    other = 0.2 * rows + 20 if worse else rows
    return metric.compute(sets(other, rows), SETTINGS).value


@pytest.mark.parametrize("name", METRICS)
def test_better_is_where_the_row_says(name: str) -> None:
    equal, worse = value(name, False), value(name, True)
    assert (equal > worse) is METRICS[name].quantity.higher_is_better


@pytest.mark.parametrize("name", METRICS)
def test_labels_and_names_fill(name: str) -> None:
    metric = METRICS[name]
    assert "{" not in metric.name.format(**FIELDS)
    quantity = metric.quantity.fill("r", **FIELDS)
    assert quantity.label.startswith("r")
    assert "{" not in quantity.label + quantity.explanation


def test_precision_is_of_the_samples_and_recall_of_the_reference() -> None:
    """The samples cover one of the reference's two places: all precise, half recalled."""
    torch.manual_seed(0)
    reference = torch.randn(40, 8)
    reference[20:] += 100.0
    rows = reference[:20] + 0.01 * torch.randn(20, 8)
    evidence = sets(rows, reference)
    found = {name: METRICS[name].compute(evidence, SETTINGS).value for name in ("precision", "recall")}
    assert found == {"precision": 1.0, "recall": 0.5}
    assert tuple(found.values()) == precision_recall(reference, rows)


def test_what_is_missing_is_said() -> None:
    rows = torch.randn(10, 8)
    bare = SetEvidence(rows)
    for name, metric in METRICS.items():
        if isinstance(metric, SetMetric):
            assert bare.missing(metric.needs), name
            assert sets(rows, rows).missing(metric.needs) is None


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'precision'"):
        METRICS["precison"]
