"""The FLOPs and the disk space that the cells of a study cost, counted before anything is run."""

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

GUIDED_PASSES = 2.0  # passes of the network, with and without the class, while guidance is on
CHANNELS = 3


@dataclass(frozen=True)
class Cost:
    """The cost of a stage.

    Attributes:
        flops: the FLOPs of training or sampling; None where none are counted, as for scores.
        disk: the bytes of checkpoints and samples that the stage leaves, without caches.
    """

    flops: float | None
    disk: float


class Costs:
    """The costs of stages. Stages that differ only in their seed cost the same, which is counted once."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def of(self, stage: Stage) -> Cost:
        """Return the cost of a stage, without the stages that it needs.

        Raises:
            UserError: the cost of the configuration cannot be counted (see `sendvae.training.estimate`).
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
    """Return the name of a tokenizer, or "fresh:ARCHITECTURE", which says what its networks are.

    A stage gives the tokenizer that its training starts from.
    """
    return given if isinstance(given, str) else architecture(given.inputs["init"])


def latent_channels(cell: Cell) -> int:
    """Return the number of latent channels of a cell's tokenizer."""
    scored = cell.stages["scores"].inputs["tokenizer"]
    return blank_tokenizer(architecture(scored)).latent_channels


def stages_of(cells: Iterable[Cell]) -> dict[str, Stage]:
    """Return every stage that some cells need, once, by a key of all its content.

    A stage follows the stages that it needs.
    """
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
