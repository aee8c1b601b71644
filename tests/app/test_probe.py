"""The attribute probe: what it reads is what `attribute_probe` fitted; fitted once, then read from the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluation.samplable import small_tokenizer

from sendvae.app import probe
from sendvae.app.probe import Probe, Reading, encode_picture, fit_probe
from sendvae.data import EmbeddedImages, open_embedded, to_float
from sendvae.latents import attribute_probe
from sendvae.runs import list_caches

CPU = torch.device("cpu")
MANY, FEW = {"train": 150, "val": 70}, {"train": 40, "val": 20}


def limit(monkeypatch: pytest.MonkeyPatch, counts: dict[str, int]) -> None:
    """Let probes be fitted to so many emoji of each split."""

    def limited(name: str, split: str) -> EmbeddedImages:
        return open_embedded(name, split, counts[split])

    monkeypatch.setattr(probe, "open_embedded", limited)


def test_readings_are_sorted_probabilities_beside_what_they_are_worth() -> None:
    fitted = Probe(
        names=("cat", "dog", "bee"),
        weight=torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]),
        bias=torch.tensor([0.0, 1.0, -torch.inf]),
        centre=torch.tensor([1.0, -1.0]),
        f1=torch.tensor([0.25, 0.75, 0.5]),
        share=torch.tensor([1.0, 0.5, 0.0]),
        images=(7, 3),
    )
    found = fitted.read(torch.tensor([[[2.0]], [[-1.0]]]))
    one = 1 / (1 + np.exp(-1.0))
    assert [reading.name for reading in found[:2]] in (["cat", "dog"], ["dog", "cat"])
    assert found[2] == Reading("bee", 0.0, 0.5, 0.0)
    assert {r.name: (r.probability, r.f1, r.always) for r in found[:2]} == {
        "cat": (pytest.approx(one), 0.25, 1.0), "dog": (pytest.approx(one), 0.75, pytest.approx(2 / 3)),
    }  # fmt: skip
    assert fitted.f1_macro == pytest.approx(0.5)


def test_the_probe_is_that_of_the_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, F1 and probabilities are those of `attribute_probe` on the embedded training and validation emoji."""
    limit(monkeypatch, MANY)
    tokenizer, told = small_tokenizer(), []
    fitted = fit_probe(tokenizer, tmp_path / "cache", CPU, lambda share, text: told.append((share, text)))
    images = {split: open_embedded("emoji", split, count) for split, count in MANY.items()}
    with torch.no_grad():
        latents = {s: tokenizer.encode(to_float(one.pixels)).mode() for s, one in images.items()}
    truth = {split: torch.from_numpy(one.attributes.values) for split, one in images.items()}
    expected = attribute_probe(
        latents["train"], truth["train"], latents["val"], truth["val"],
        val_latents=latents["val"], val_attributes=truth["val"],
    )  # fmt: skip
    assert fitted.names == images["train"].attributes.names
    assert fitted.f1.tolist() == pytest.approx(expected.f1.tolist(), abs=0.02)
    assert fitted.f1_macro == pytest.approx(expected.f1_macro, abs=0.005)
    assert fitted.share.tolist() == pytest.approx(truth["val"].double().mean(0).tolist())
    assert fitted.images == (150, 70)
    picture = images["val"].pixels[11]
    assert torch.allclose(encode_picture(tokenizer, picture, CPU), latents["val"][11], atol=1e-4)
    probabilities = {r.name: r.probability for r in fitted.read(latents["val"][11])}
    weight, bias, centre = expected.map
    scores = (latents["val"][11].flatten() - centre) @ weight + bias
    assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
    wanted = [float(scores[i].sigmoid()) for i in range(len(fitted.names))]
    assert [probabilities[name] for name in fitted.names] == pytest.approx(wanted, abs=0.02)
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert told[1] == (64 / 220, "encoding emoji: 64 of 220")
    assert any(share > 150 / 220 for share in shares[:-1])


def test_fitted_once_for_each_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, FEW)
    told: list[str] = []

    def fit(seed: int) -> Probe:
        told.clear()
        return fit_probe(small_tokenizer(seed), tmp_path, CPU, lambda _, text: told.append(text))

    first = fit(1)
    assert told
    again = fit(1)
    assert not told
    assert torch.equal(first.weight, again.weight)
    other = fit(2)
    assert told
    assert not torch.equal(first.weight, other.weight)
    kinds = [cache.what.partition(":")[0] for cache in list_caches(tmp_path)]
    assert kinds.count("probe") == 2
    assert kinds.count("evaluated") == 4
    assert all(cache.state == "whole" for cache in list_caches(tmp_path))


def test_a_damaged_probe_is_fitted_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, FEW)
    first = fit_probe(small_tokenizer(), tmp_path, CPU, lambda *_: None)
    (kept,) = tmp_path.glob("probe-*/statistics.safetensors")
    kept.write_bytes(kept.read_bytes()[:-100])
    again = fit_probe(small_tokenizer(), tmp_path, CPU, lambda *_: None)
    assert torch.equal(first.weight, again.weight)
    assert "damaged" in capsys.readouterr().err
