"""The cells of an experiment at a scale: what its declared rows and views mean there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from sendvae.config import (
    DiffusionConfig,
    GeneratorConfig,
    JointConfig,
    MilestoneConfig,
    ScaleConfig,
    Section,
    TokenizerConfig,
    VariantConfig,
    kind_of,
    load_config,
    preset_names,
)
from sendvae.errors import UserError
from sendvae.experiments.cell import Cell, Stage, build_cell
from sendvae.experiments.declaration import GENERATOR, WHOLE, Experiment, Row, View
from sendvae.registry import Registry, unknown_name

Config = TypeVar("Config", bound=Section)

FOLDER = "scales/"  # of the presets
SCHEMAS: dict[str, type[TokenizerConfig | JointConfig]] = {"tokenizer": TokenizerConfig, "joint": JointConfig}


@dataclass(frozen=True)
class Place:
    """The place of a cell in an experiment."""

    row: Row
    view: View
    seed: int


def scale_names() -> list[str]:
    """Return the names of the scales that ship."""
    return [name.removeprefix(FOLDER) for name in preset_names() if name.startswith(FOLDER)]


def load_scale(name: str, overrides: Sequence[str] = ()) -> Scale:
    """Return a scale that ships by its name, or the scale in a YAML file.

    Args:
        name: the name of the scale, or the path of a file.
        overrides: changes of the configuration, as "key=value".

    Raises:
        UserError: there is no such scale, or its configuration is wrong.
    """
    if name not in scale_names() and not name.endswith((".yaml", ".yml")):
        raise unknown_name("scale", name, scale_names())
    source = f"{FOLDER}{name}" if name in scale_names() else name
    return Scale(load_config(ScaleConfig, source, overrides))


class Scale:
    """A scale, which turns rows and views into cells.

    Args:
        config: the configuration of the scale.
    """

    def __init__(self, config: ScaleConfig) -> None:
        self.config = config
        self._read: dict[tuple[type[Section], str, tuple[str, ...]], Section] = {}
        self._kind_of = cache(kind_of)
        self._variants = Registry(
            f"variant at scale {config.title}", {k: v for k, v in config.variants.items() if v is not None}
        )
        self._generators = Registry(
            f"generator at scale {config.title}",
            {k: v for k, v in config.generators.items() if v is not None},
        )

    def lacks(self, row: Row, view: View = WHOLE) -> str | None:
        """Return in words what a row and a view need and the scale does not have; None if it has everything."""
        if row.variant not in self._variants:
            return f"no {row.variant}"
        if row.generator not in self._generators:
            return f"no generator {row.generator}"
        if view.sampling not in self.config.samplings:
            return f"no sampling {view.sampling}"
        if view.probe is not None and view.probe not in self.config.probes:
            return f"no images of {view.probe}"
        return None

    def metric(self, name: str) -> str:
        """Return the name of the number that stands for a metric of the paper at this scale."""
        return self.config.metrics.get(name, name)

    def note(self, row: Row) -> str:
        """Return the note on how a row differs from the paper's; empty without one."""
        return self._variants[row.variant].note if row.variant in self._variants else ""

    def cells(self, experiment: Experiment) -> dict[Place, Cell]:
        """Return the cells of an experiment by place. Places that need the same work have cells of the same name."""
        views = dict.fromkeys(column.view for column in experiment.columns)
        return {
            Place(row, view, seed): self.cell(row, view, seed)
            for row in experiment.rows
            for view in views
            if self.lacks(row, view) is None
            for seed in range(self._seeds(row.variant))
        }

    def cell(self, row: Row, view: View, seed: int) -> Cell:
        """Return the cell of a row, a view and a seed.

        Raises:
            UserError: a preset, an override or the view's share of the training is wrong.
        """
        config, evaluation = self.config, self.config.evaluation
        tokenizer = self._tokenizer(row.variant, seed)
        if view.probe is not None and isinstance(tokenizer, str):
            seed = 0  # no step is random, so that all seeds have one result
        method, whole = self._method(row, view), f"{self._method(row, WHOLE)}-{seed}"
        name = f"{method}-{seed}"
        if view.probe is not None:
            probed = evaluation.latents.model_copy(
                update={"data": config.probes[view.probe], "scores": ["attributes"]}
            )
            stages = {"tokenizer": tokenizer} if isinstance(tokenizer, Stage) else {}
            stages["probe"] = Stage("probe", name, probed, {"tokenizer": tokenizer})
            return Cell(name, method, seed, stages)
        _, generator = self._generator(row.generator)
        assert generator.preset is not None
        diffusion = self._load(DiffusionConfig, generator.preset, generator.overrides, seed)
        cell = build_cell(
            whole,
            tokenizer,
            diffusion,
            evaluation,
            config.samplings[view.sampling],
            seed=seed,
            method=method,
            reference=generator.reference,
        )
        samples = cell.stages["samples"]
        kind, sampled = samples.kind, samples.config
        if view.at != WHOLE.at:
            kind = "milestone-samples"
            sampled = MilestoneConfig(
                **sampled.model_dump(exclude={"kind"}),
                at=self._milestone(diffusion, view.at, row.generator),
                batch_size=diffusion.loop.batch_size,
            )
        return Cell(
            name, method, seed, {**cell.stages, "samples": Stage(kind, name, sampled, samples.inputs)}
        )

    def _variant(self, name: str) -> tuple[str, VariantConfig]:
        """Return the name and the variant that a name stands for, which may be those of another name (`same_as`)."""
        found = self._variants[name]
        return (name, found) if found.same_as is None else self._variant(found.same_as)

    def _generator(self, name: str) -> tuple[str, GeneratorConfig]:
        found = self._generators[name]
        return (name, found) if found.same_as is None else self._generator(found.same_as)

    def _seeds(self, variant: str) -> int:
        return self._variant(variant)[1].seeds or self.config.seeds

    def _tokenizer(self, name: str, seed: int) -> Stage | str:
        """Return the stage that trains a variant, or the source of one that is not trained.

        A variant that is trained with fewer seeds than the scale has is that of seed 0 for all further seeds.

        Raises:
            UserError: the variant's preset is not that of a tokenizer.
        """
        name, variant = self._variant(name)
        if variant.tokenizer is not None:
            return variant.tokenizer
        assert variant.preset is not None
        seed = seed if variant.seeds is None or seed < variant.seeds else 0
        kind = self._kind_of(variant.preset)
        if kind not in SCHEMAS:
            raise UserError(
                f"variant '{name}' is trained by no preset of a tokenizer",
                given=f"{variant.preset}, of kind {kind}",
                expected=" or ".join(SCHEMAS),
            )
        config = self._load(SCHEMAS[kind], variant.preset, variant.overrides, seed)
        init = self._tokenizer(variant.init, seed) if variant.init is not None else config.init
        return Stage(kind, f"{name}-{seed}", config, {"init": init})

    def _load(self, schema: type[Config], preset: str, overrides: Sequence[str], seed: int) -> Config:
        """Return the configuration of a preset with the scale's overrides. It is read once for all cells."""
        changes = (*self.config.overrides, *overrides, f"seed={seed}")
        if (schema, preset, changes) not in self._read:
            self._read[schema, preset, changes] = load_config(schema, preset, changes)
        found = self._read[schema, preset, changes]
        assert isinstance(found, schema)
        return found

    def _method(self, row: Row, view: View) -> str:
        """Return the method of a row in a view, which is the same for all places that need the same work."""
        variant, generator = self._variant(row.variant)[0], self._generator(row.generator)[0]
        parts = [variant]
        if view.probe is not None:
            return f"{variant}-{view.probe}"
        if generator != GENERATOR:
            parts.append(generator)
        if view.sampling != WHOLE.sampling:
            parts.append(view.sampling)
        if view.at != WHOLE.at:
            parts.append(f"at{view.at * 100:g}")
        return "-".join(parts)

    def _milestone(self, diffusion: DiffusionConfig, share: float, generator: str) -> int:
        """Return the images seen after a share of the training.

        Raises:
            UserError: the training keeps no checkpoint there.
        """
        at, every = share * diffusion.loop.images, diffusion.loop.milestone_every
        if every is None or at % every or at % 1:
            raise UserError(
                f"generator '{generator}' keeps no checkpoint after {share:.1%} of its training",
                given=f"loop.milestone_every={every}, loop.images={diffusion.loop.images}",
                expected=f"milestones that divide {at:g} images",
            )
        return int(at)
