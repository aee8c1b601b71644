"""The demo's chain: which tokenizer each training starts from, with which seed, on how many images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sendvae.config import DemoConfig, DiffusionConfig, TokenizerConfig, load_config
from sendvae.experiments import demo
from sendvae.experiments.demo import Demo
from sendvae.experiments.summary import Run

BUDGETS = ["base_images=32", "tokenizer_images=64", "diffusion_images=96", "limit=20"]


class Enough(Exception):
    """Nothing after the training of a SiT is of interest."""


@pytest.mark.parametrize("from_scratch", [False, True])
def test_every_network_is_trained_on_the_one_before_it(
    from_scratch: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[TokenizerConfig | DiffusionConfig] = []
    measured: list[str] = []

    def train_tokenizer(config: TokenizerConfig, folder: Path, *_: object) -> Path:
        trained.append(config)
        return folder / "tokenizer"

    def train_diffusion(config: DiffusionConfig, *_: object) -> Path:
        trained.append(config)
        raise Enough

    def measure(_self: Demo, method: str, seed: int, source: str, _folder: Path) -> Run:
        measured.append(source)
        return Run(method=method, seed=seed, metrics={}, attribute_f1={}, resampled={})

    for name, replacement in (
        ("train_tokenizer", train_tokenizer),
        ("train_diffusion", train_diffusion),
        ("DemoMeasurements", lambda *_: None),
    ):
        monkeypatch.setattr(demo, name, replacement)
    monkeypatch.setattr(Demo, "_measure_tokenizer", measure)
    config = load_config(DemoConfig, "demo/quick", ["methods=[demo/send-vae]", *BUDGETS])
    with pytest.raises(Enough):
        Demo(config, tmp_path, [5], from_scratch).run()

    base = str(tmp_path / "base-run/tokenizer") if from_scratch else config.base
    tuned = str(tmp_path / "seed-5/send-vae/tokenizer-run/tokenizer")
    assert measured == [base, tuned]
    *tokenizers, sit = trained
    assert isinstance(sit, DiffusionConfig)
    expected: list[tuple[Any, ...]] = [(base, 5, 64)]
    if from_scratch:
        expected.insert(0, (load_config(TokenizerConfig, "demo/base").init, 0, 32))
    assert [
        (one.init, one.seed, one.loop.images) for one in tokenizers if isinstance(one, TokenizerConfig)
    ] == expected
    assert (sit.tokenizer, sit.seed, sit.loop.images) == (tuned, 5, 96)
    assert {one.data.limit for one in trained} == {20}
