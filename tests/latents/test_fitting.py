"""The choice of a weight decay, and what a probe says of its fit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from sendvae.latents import MinibatchFit, attribute_probe, class_probe
from sendvae.latents.fitting import STRONGEST, WEAKEST, LogisticFitter, choose
from sendvae.latents.logistic import TOLERANCE, Design, fit_logistic, standardise
from sendvae.latents.rows import Centred, Fitted

NOTHING = Fitted(Centred(torch.zeros(1, 1), torch.zeros(1), torch.zeros(1)), 0, None, None, True)


class Pretended(LogisticFitter):
    """A fitter whose fits are told apart by their iterations: the order in which they were asked for."""

    def __init__(self, widens: bool = True) -> None:
        self.widens, self.asked = widens, []

    def __call__(self, weight_decays: Sequence[float]) -> list[Fitted]:
        self.asked += weight_decays
        return [NOTHING._replace(iterations=self.asked.index(decay)) for decay in weight_decays]

    def best_at(self, optimum: float) -> object:
        """A score that falls with the distance from `optimum`, in decades."""
        return lambda fits: [
            -abs(torch.tensor(self.asked[fit.iterations] / optimum).log10().item()) for fit in fits
        ]


@pytest.mark.parametrize(
    ("optimum", "asked", "interior"),
    [
        (1e-2, [1e-3, 1e-2, 1e-1], True),
        (1e-5, [1e-3, 1e-2, 1e-1, 1e-4, 1e-5, 1e-6], True),
        (10.0, [1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0], True),
        (1e-9, [1e-3, 1e-2, 1e-1, 1e-4, 1e-5, WEAKEST], False),
        (1e9, [1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, STRONGEST], False),
    ],
)
def test_the_grid_is_widened_until_the_best_is_interior(
    optimum: float, asked: list[float], interior: bool
) -> None:
    fitter = Pretended()
    choice = choose(fitter, (1e-3, 1e-2, 1e-1), fitter.best_at(optimum))
    assert fitter.asked == asked
    assert choice.interior is interior
    assert list(choice.tried) == sorted(asked)
    assert choice.weight_decay == max(choice.tried, key=lambda decay: choice.tried[decay])
    assert fitter.asked[choice.fit.iterations] == choice.weight_decay


def test_what_is_slow_is_not_widened_and_says_so() -> None:
    fitter = Pretended(widens=False)
    choice = choose(fitter, (1e-3, 1e-2, 1e-1), fitter.best_at(10.0))
    assert (fitter.asked, choice.weight_decay, choice.interior) == ([1e-3, 1e-2, 1e-1], 1e-1, False)


def test_of_equal_scores_the_strongest_decay_is_taken() -> None:
    assert (
        choose(
            Pretended(), (1e-3, 1e-2, 1e-1), lambda fits: [float(f.iterations < 2) for f in fits]
        ).weight_decay
        == 1e-2
    )


def planted(rows: int, features: int, seed: int) -> tuple[Tensor, Tensor]:
    """Few features that matter among many, and noise: the best weight decay lies well inside."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(rows, features, generator=generator) + 5
    scores = (x[:, :3] - 5) / 2 + 0.7 * torch.randn(rows, 3, generator=generator)
    return x, scores > 0.4


@pytest.mark.parametrize("method", ["logistic", "ridge"])
def test_a_probe_tells_how_it_was_fitted(method: str) -> None:
    (x, y), (val, val_y), (test, test_y) = planted(150, 60, 0), planted(1000, 60, 1), planted(300, 60, 2)
    probe = attribute_probe(x, y, test, test_y, val_latents=val, val_attributes=val_y, method=method)
    assert probe.tried is not None
    assert probe.tried[probe.weight_decay] == max(probe.tried.values())
    assert probe.interior
    assert probe.converged
    assert probe.notes == []
    document = probe.as_dict()
    assert document["notes"] == []
    assert document["tried"][f"{probe.weight_decay:g}"] == probe.tried[probe.weight_decay]
    # The split that chooses is val: each of its scores is that of a probe with that weight decay.
    for decay, f1 in probe.tried.items():
        alone = attribute_probe(x, y, val, val_y, method=method, weight_decay=decay)
        assert alone.f1_macro == pytest.approx(f1, abs=5e-3)
        assert alone.tried is alone.interior is None
    if method == "logistic":
        (standardised,) = standardise(x)
        fit = fit_logistic(Design(standardised), y.float(), probe.weight_decay)
        assert probe.excess is not None
        assert probe.gradient_norm is not None
        assert probe.excess <= TOLERANCE
        assert probe.iterations > 0
        assert 0 < probe.gradient_norm < 1e-2 * float(fit.loss.max())
    else:
        assert probe.gradient_norm is probe.excess is None


def test_a_choice_at_the_end_of_the_grid_is_noted() -> None:
    x, y = planted(100, 5, 0)
    probe = attribute_probe(
        x, y, x, y, val_latents=x, val_attributes=~y, method="minibatch", minibatch=MinibatchFit(1, 50, 1e-3)
    )
    assert probe.tried is not None
    assert probe.interior is (probe.weight_decay == sorted(probe.tried)[1])
    assert any("of those tried" in note for note in probe.notes) is not probe.interior


def test_a_minibatch_fit_says_how_far_it_came() -> None:
    x, y = planted(400, 8, 0)
    early, late = (
        attribute_probe(
            x, y, x, y, method="minibatch", weight_decay=0.1, minibatch=MinibatchFit(epochs, 50, 3e-2)
        )
        for epochs in (1, 60)
    )
    assert not early.converged
    assert early.excess is not None
    assert late.excess is not None
    assert f"by up to {early.excess:.1%}" in early.notes[0]
    assert late.converged
    assert late.notes == []
    exact = attribute_probe(x, y, x, y, weight_decay=0.1)
    assert late.f1_macro == pytest.approx(exact.f1_macro, abs=0.01)
    unpenalised = attribute_probe(
        x, y, x, y, method="minibatch", weight_decay=0.0, minibatch=MinibatchFit(1, 50)
    )
    assert "no bound is known" in unpenalised.notes[0]


def test_the_class_probe_says_how_it_was_fitted() -> None:
    x, y = planted(400, 8, 0)
    z, labels = x[:, :, None, None], y[:, 0].long() + y[:, 1].long()
    probe = class_probe(z, labels, z, labels)
    assert probe.fit.converged
    assert probe.fit.excess is not None
    assert probe.fit.excess <= TOLERANCE
    assert probe.notes == []
    early = class_probe(z, labels, z, labels, method="minibatch", minibatch=MinibatchFit(1, 100, 1e-4))
    assert not early.fit.converged
    assert "the minibatch probe has not converged" in early.notes[0]


@pytest.mark.parametrize("method", ["logistic", "ridge"])
def test_methods_that_need_a_penalty_refuse_none(method: str) -> None:
    x, y = planted(40, 4, 0)
    with pytest.raises(ValueError, match="positive"):
        attribute_probe(x, y, x, y, method=method, weight_decay=0.0)
