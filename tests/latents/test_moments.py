from __future__ import annotations

import numpy as np
import pytest
import torch

from sendvae.latents import TensorRows
from sendvae.latents.moments import moments_of, principal_axes


def test_moments_are_numpys_whatever_the_offset() -> None:
    x = 3 * torch.randn(2600, 5) + torch.tensor([0.0, 1.0, 50.0, -300.0, 1e3])
    found = moments_of(TensorRows(x))
    array = x.double().numpy()
    assert found.count == 2600
    np.testing.assert_allclose(found.mean, array.mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.scatter / 2599, np.cov(array, rowvar=False), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(found.std, array.std(0), rtol=1e-4)
    with pytest.raises(ValueError, match="no latents"):
        moments_of(TensorRows(x[:0]))


def test_the_iteration_finds_the_axes_of_the_whole_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    root = torch.randn(60, 90, dtype=torch.float64) * torch.linspace(3, 0.1, 60, dtype=torch.float64)[:, None]
    covariance = root @ root.T / 90
    values, axes = principal_axes(covariance, 6)
    assert (values[:-1] >= values[1:]).all()
    torch.testing.assert_close(axes.T @ covariance @ axes, values.diag(), rtol=0, atol=1e-9)
    monkeypatch.setitem(principal_axes.__globals__, "DENSE", 10)
    again = principal_axes(covariance, 6)
    torch.testing.assert_close(again[0], values, rtol=1e-9, atol=0)
    torch.testing.assert_close(again[1], axes, rtol=0, atol=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(again, principal_axes(covariance, 6), strict=True))
