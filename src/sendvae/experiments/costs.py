"""What the cells of a study cost before anything is run: FLOPs, disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sendvae.config import DiffusionConfig, JointConfig, SamplesConfig, TokenizerConfig
from sendvae.experiments.cell import Cell, Stage
from sendvae.training.cost import FLOAT
from sendvae.training.estimate import estimate, estimate_passes
from sendvae.training.meta import blank_tokenizer

GUIDED_PASSES = 2.0  # of the network, with and without the class, while guidance is on
CHANNELS = 3


@dataclass(frozen=True)
class Cost:
    """Of a stage.

    Attributes:
        flops: of training and sampling; None where none are counted, as of scores.
        disk: bytes that it leaves: checkpoints and samples, without caches.
    """

    flops: float | None
    disk: float


class Costs:
    """Counts what stages cost; those that differ only in their seed cost the same."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def of(self, stage: Stage) -> Cost:
        """Return the cost of a stage, without those that it needs.

        Raises:
            UserError: a configuration whose cost cannot be counted (see `sendvae.training.estimate`).
        """
        config = stage.config
        if isinstance(config, TokenizerConfig | JointConfig | DiffusionConfig):
            return self._training(stage)
        if isinstance(config, SamplesConfig):
            run = stage.inputs["run"]
            assert isinstance(run, Stage)
            passes = self._passes(run)
            sampling = config.sampling
            share = sampling.guidance_interval[1] - sampling.guidance_interval[0]
            guided = 1.0 + (GUIDED_PASSES - 1.0) * share * (sampling.guidance_scale != 1.0)
            flops = sampling.images * (sampling.steps * guided * passes["network"] + passes["decode"])
            size = _size_of(run.config)
            return Cost(flops, sampling.images * CHANNELS * size**2)
        return Cost(None, 0.0)

    def _training(self, stage: Stage) -> Cost:
        name = "tokenizer" if isinstance(stage.config, DiffusionConfig) else "init"
        config: Any = stage.config.model_copy(update={"seed": 0, name: architecture(stage.inputs[name])})
        found = self._once(config.model_dump_json(), partial(estimate, config))
        loop = config.loop
        kept = loop.keep_last + (loop.images // loop.milestone_every if loop.milestone_every else 0)
        exported = FLOAT * sum(network.parameters for network in found.networks if network.trained)
        return Cost(found.flops_total, found.checkpoint * kept + exported)

    def _passes(self, run: Stage) -> dict[str, float]:
        assert isinstance(run.config, DiffusionConfig)
        update = {"seed": 0, "tokenizer": architecture(run.inputs["tokenizer"])}
        config = run.config.model_copy(update=update)
        return self._once(f"passes {config.model_dump_json()}", partial(estimate_passes, config))

    def _once(self, key: str, count: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = count()
        return self._known[key]


def architecture(given: Stage | str) -> str:
    """Return what tells the networks of a tokenizer: a name, or "fresh:ARCHITECTURE"; of a stage, of what it starts from."""
    return given if isinstance(given, str) else architecture(given.inputs["init"])


def latent_channels(cell: Cell) -> int:
    """Return the channels of the latents of a cell's tokenizer."""
    scored = cell.stages["scores"].inputs["tokenizer"]
    return blank_tokenizer(architecture(scored)).latent_channels


def stages_of(cells: Iterable[Cell]) -> dict[str, Stage]:
    """Return every stage that cells need, those that come before first, once; by what it is."""
    found: dict[str, Stage] = {}

    def add(stage: Stage) -> str:
        inputs = {
            name: add(given) if isinstance(given, Stage) else given for name, given in stage.inputs.items()
        }
        key = json.dumps([stage.kind, stage.config.model_dump(mode="json", exclude={*stage.inputs}), inputs])
        found.setdefault(key, stage)
        return key

    for cell in cells:
        for stage in cell.stages.values():
            add(stage)
    return found


def _size_of(config: Any) -> int:
    from sendvae.data import open_images

    if config.data.size is not None:
        return config.data.size
    return open_images(config.data.source, config.data.split, limit=1)[0].image.shape[-1]
