"""Numbers of papers are shown as they are printed."""

from __future__ import annotations

import pytest

from sendvae.published import PUBLISHED, published_figure, published_heading


@pytest.mark.parametrize(
    ("metric", "value", "shown"),
    [("fid", 11.4, "11.40"), ("is", 65.0, "65.0"), ("is", 120.41, "120.41"), ("f1", 0.0786, "0.0786"), ("ssim", 0.8, "0.80")],
)  # fmt: skip
def test_digits(metric: str, value: float, shown: str) -> None:
    assert published_figure(metric, value) == shown


def test_columns_of_two_protocols_are_told_apart() -> None:
    assert published_heading("fid") == "gFID ↓"
    assert published_heading("fid", PUBLISHED["send-vae-systems-guided"].view) == "gFID ↓ (guided)"
    assert published_heading("f1", PUBLISHED["send-vae-f1-awa"].view) == "F1 ↑ (AwA)"


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_metric_has_a_heading(name: str) -> None:
    assert all(published_heading(metric)[-1] in "↑↓" for metric in PUBLISHED[name].metrics)
