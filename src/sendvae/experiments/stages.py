"""The kinds of stages that experiments consist of, with a row of a table for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sendvae.config import (
    DiffusionConfig,
    JointConfig,
    LatentsConfig,
    SamplesConfig,
    Section,
    TokenizerConfig,
    TokenizerScoresConfig,
    TrainingConfig,
)
from sendvae.config.schema_common import HOW_FAST
from sendvae.evaluation import PROTOCOL_VERSION, Preview
from sendvae.evaluation.latents import SPLITS
from sendvae.evaluation.sample_files import share_drawn
from sendvae.experiments.contents import Contents
from sendvae.experiments.measures import (
    SAMPLES,
    draw_and_measure,
    probe_latents,
    score_tokenizer,
    validate_generator,
)
from sendvae.registry import Registry
from sendvae.runs import JOURNAL, images_in_journal
from sendvae.training import default_device, train_diffusion, train_joint, train_tokenizer

# Work in units of one training image of a small SiT, measured on 2 CPU cores with embedded images of 64 pixels.
TOKENIZER_IMAGE = 17.0
STEP, DECODED = 0.15, 1.3  # a step of sampling, and the decoding, of one image
SCORED_IMAGE, SCORED = 1.0, 10_000  # an image that a tokenizer is scored on; their number without a limit
SCORES, MEASURES, TRAINING = 1000.0, 500.0, 300.0  # for any number of images


@dataclass(frozen=True)
class Job:
    """The configuration, inputs and folders that a stage works with.

    Attributes:
        config: a configuration of the kind's schema.
        inputs: the output of the stage that each input comes from, or the source that the user named, by the input's
            name.
        folder: the folder of the stage. Files of an earlier, interrupted attempt are still there.
        cache: the folder of caches, which all stages share.
        name: the name of the stage in messages.
    """

    config: Any
    inputs: Mapping[str, str]
    folder: Path
    cache: Path
    name: str


def _nothing_more(_contents: Contents, _config: Any) -> str:
    return ""


def _all_at_once(_config: Any, _folder: Path) -> float:
    return 0.0


@dataclass(frozen=True)
class StageKind:
    """A kind of stage.

    Attributes:
        compute: does the work into `Job.folder`: results in folders of their own, pictures as PNG, a journal.
        inputs: a function for each input, by name, that returns the digest of a source given by the user.
        output: the path, below the folder of the stage, that stages which need this one get.
        reads: returns the digest of everything else that the configuration names.
        work: returns the amount of work, in units of one training image of a small SiT.
        done: returns the share of the work that is done, in [0, 1], from the files in the folder.
        version: a number that is raised when the same work gives other results than before.
    """

    compute: Callable[[Job], None]
    inputs: Mapping[str, Callable[[Contents, str], str]] = field(default_factory=dict)
    output: str = ""
    reads: Callable[[Contents, Any], str] = _nothing_more
    work: Callable[[Any], float] = lambda _config: 1.0
    done: Callable[[Any, Path], float] = _all_at_once
    version: int = 0


def _train_tokenizer(job: Job) -> None:
    config: TokenizerConfig = job.config.model_copy(update={"init": job.inputs["init"]})
    train_tokenizer(config, job.folder, job.cache, job.name)


def _train_joint(job: Job) -> None:
    config: JointConfig = job.config.model_copy(update={"init": job.inputs["init"]})
    train_joint(config, job.folder, job.cache, job.name)


def _train_diffusion(job: Job) -> None:
    config: DiffusionConfig = job.config.model_copy(update={"tokenizer": job.inputs["tokenizer"]})
    preview = partial(Preview, config.preview, seed=config.seed) if config.preview else None
    train_diffusion(config, job.folder, job.cache, job.name, preview)
    tokenizer = job.inputs["tokenizer"]
    validate_generator(config, str(job.folder), tokenizer, job.folder, job.cache, default_device(), job.name)


def _score_tokenizer(job: Job) -> None:
    score_tokenizer(job.config, job.inputs["tokenizer"], job.folder, job.cache, default_device(), job.name)


def _probe_latents(job: Job) -> None:
    probe_latents(job.config, job.inputs["tokenizer"], job.folder, job.cache, default_device())


def _sample(job: Job, step: int | None = None) -> None:
    draw_and_measure(
        job.config,
        job.inputs["run"],
        job.inputs["tokenizer"],
        job.folder,
        job.cache,
        default_device(),
        job.name,
        step,
    )


def _sample_milestone(job: Job) -> None:
    _sample(job, job.config.step)


def _training_images(contents: Contents, config: TrainingConfig) -> str:
    return contents.images(config.data.source, config.data.split, config.data.limit)


def _tokenizer_reads(contents: Contents, config: TokenizerConfig | JointConfig) -> str:
    discriminator = config.losses.discriminator_init
    known = contents.tokenizer(discriminator) if discriminator is not None else "none"
    return f"{_training_images(contents, config)}, discriminator {known}"


def _scores_read(contents: Contents, config: TokenizerScoresConfig) -> str:
    return contents.splits(config.latents)


def _probe_reads(contents: Contents, config: LatentsConfig) -> str:
    return contents.splits(config)


def _samples_read(contents: Contents, config: SamplesConfig) -> str:
    protocol = config.generation
    return contents.images(config.reference, protocol.reference_split, protocol.reference_limit)


def _trained(config: TrainingConfig, folder: Path) -> float:
    return min(1.0, images_in_journal(folder / JOURNAL) / config.loop.images)


def _tokenizer_work(config: TokenizerConfig) -> float:
    return TRAINING + TOKENIZER_IMAGE * config.loop.images


def _joint_work(config: JointConfig) -> float:
    return TRAINING + (TOKENIZER_IMAGE + 1.0) * config.loop.images


def _diffusion_work(config: DiffusionConfig) -> float:
    return TRAINING + config.loop.images


def _scores_work(config: TokenizerScoresConfig) -> float:
    return _latents_work(config.latents)


def _latents_work(config: LatentsConfig) -> float:
    limit = config.limit
    return SCORES + SCORED_IMAGE * (SCORED if limit is None else limit * len(SPLITS))


def _samples_work(config: SamplesConfig) -> float:
    return MEASURES + _drawing_work(config)


def _drawing_work(config: SamplesConfig) -> float:
    return config.sampling.images * (DECODED + STEP * config.sampling.steps)


def _drawn(config: SamplesConfig, folder: Path) -> float:
    share = share_drawn(folder / SAMPLES, config.sampling.images, config.sampling.batch_size)
    return share * _drawing_work(config) / _samples_work(config)


STAGES: Registry[StageKind] = Registry(
    "kind of stage",
    {
        "tokenizer": StageKind(
            _train_tokenizer,
            {"init": Contents.tokenizer},
            output="tokenizer",
            reads=_tokenizer_reads,
            work=_tokenizer_work,
            done=_trained,
        ),
        "diffusion": StageKind(
            _train_diffusion,
            {"tokenizer": Contents.tokenizer},
            reads=_training_images,
            work=_diffusion_work,
            done=_trained,
        ),
        "joint": StageKind(
            _train_joint,
            {"init": Contents.tokenizer},
            output="tokenizer",
            reads=_tokenizer_reads,
            work=_joint_work,
            done=_trained,
        ),
        "tokenizer-scores": StageKind(
            _score_tokenizer,
            {"tokenizer": Contents.tokenizer},
            reads=_scores_read,
            work=_scores_work,
            version=PROTOCOL_VERSION,
        ),
        "probe": StageKind(
            _probe_latents,
            {"tokenizer": Contents.tokenizer},
            reads=_probe_reads,
            work=_latents_work,
            version=PROTOCOL_VERSION,
        ),
        "milestone-samples": StageKind(
            _sample_milestone,
            {"run": Contents.run, "tokenizer": Contents.tokenizer},
            reads=_samples_read,
            work=_samples_work,
            done=_drawn,
            version=PROTOCOL_VERSION,
        ),
        "samples": StageKind(
            _sample,
            {"run": Contents.run, "tokenizer": Contents.tokenizer},
            reads=_samples_read,
            work=_samples_work,
            done=_drawn,
            version=PROTOCOL_VERSION,
        ),
    },
)


def config_of(stage_config: Section, inputs: Mapping[str, object]) -> dict[str, Any]:
    """Return the fields of a stage's configuration that its result depends on.

    The fields that name inputs, and those of `loop` that only change the speed, are left out.
    """
    unimportant = dict.fromkeys(inputs, True) | {"loop": dict.fromkeys(HOW_FAST, True)}
    return stage_config.model_dump(mode="json", exclude=unimportant)
