"""What ImageNet runs spend on measuring, saving and repeating, by the estimator: under .5 % of the time each."""

from __future__ import annotations

import pytest
from tests.config.test_presets import MAIN, PAPER, load

from sendvae.config import DiffusionConfig, TokenizerConfig
from sendvae.runs import SHARD
from sendvae.training import estimate as estimates
from sendvae.training.estimate import estimate

LIMIT = 0.005
PROCESSES, FLOPS = 8, 350e12  # the presets' headers: H100 at 35 %
WRITING = 1e9  # bytes a second, of one process: a local NVMe drive, or a share of a parallel file system
QUICK = (MAIN, "imagenet256-sit-b1")
# Those with 16 and 64 channels start from runs, and cost what those with 32 do.
CONFIGS = {n: load(n) for n in PAPER if n.startswith("imagenet") and "d16-" not in n and "d64-" not in n}


def presets(*kinds: type) -> pytest.MarkDecorator:
    names = [name for name, config in CONFIGS.items() if not kinds or isinstance(config, kinds)]
    marked = [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in names]
    return pytest.mark.parametrize("name", marked)


@presets()
def test_checkpoints(name: str) -> None:
    config = CONFIGS[name]
    found = estimate(config)
    between = config.loop.checkpoint_every * found.flops_per_image / (PROCESSES * FLOPS)
    assert found.checkpoint / WRITING / between < LIMIT


@presets(TokenizerConfig)
def test_gradient_shares(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Extra backward passes of a measuring step, over the steps from one to the next."""
    config = CONFIGS[name]
    assert isinstance(config, TokenizerConfig)
    every = config.gradient_share_every
    start = max(config.losses.adversarial_start, config.losses.discriminator_start)
    plain = estimate(config).flops_per_step
    monkeypatch.setattr(estimates, "_position", lambda _config: -(-start // every) * every)
    monkeypatch.setattr(
        estimates, "_counted", estimates._counted.__wrapped__
    )  # neither from memory nor into it
    extra = estimate(config).flops_per_step - plain
    assert 0.1 * plain < extra < plain  # one is measured
    assert extra / (plain * every / config.loop.batch_size) < LIMIT


@presets(DiffusionConfig)
def test_shards_of_caches(name: str) -> None:
    """A restart computes at most one shard again on each process; at the end processes wait for one at most."""
    found = estimate(CONFIGS[name])
    assert sum(found.once.values()) > 0
    again = SHARD * sum(found.once.values()) / FLOPS
    assert again / (found.hours(tflops=PROCESSES * FLOPS / 1e12) * 3600) < LIMIT
