"""Samples of diffusion models, with previews while they are drawn. They are the images that `sendvae sample` draws."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import UInt8
from torch import Tensor

from sendvae.app.refusal import Refusal
from sendvae.config import SampleConfig, load_config
from sendvae.errors import UserError
from sendvae.evaluation.diffusion_model import DiffusionModel
from sendvae.evaluation.labels import Labels, choose_labels
from sendvae.evaluation.sampling import decode_samples, draw_images

PRESET = "sample/paper"  # the default of `sendvae sample`
PREVIEWS = 8  # the fewest of each model, if it takes as many steps
PATIENCE = 0.5  # seconds without anything new after which the reader gets a chance to stop
MAX_IMAGES, MAX_STEPS, MAX_GUIDANCE = 64, 1000, 20.0
MAX_SEED = 2**31 - 1


class Panel(NamedTuple):
    """The images of one model at a step of sampling.

    Attributes:
        images: the estimate of the samples at this step; at the last step the samples.
        step, steps: the number of this step, and the number of all steps.
    """

    images: UInt8[Tensor, "N 3 H W"]
    step: int
    steps: int


@dataclass(frozen=True)
class Order:
    """A request for samples: titles of models, class numbers (empty for random ones), and the sampler's settings."""

    models: Sequence[str]
    classes: Sequence[int]
    guidance: float
    steps: int
    seed: int
    images: int

    def config(self) -> SampleConfig:
        """Return the settings as a configuration of `sendvae sample`.

        Raises:
            Refusal: a number is out of range.
        """
        for name, value, low, high in (
            ("number of images", self.images, 1, MAX_IMAGES),
            ("steps", self.steps, 1, MAX_STEPS),
            ("guidance scale", self.guidance, 0.0, MAX_GUIDANCE),
            ("seed", self.seed, 0, MAX_SEED),
        ):
            if not low <= value <= high:
                raise Refusal(
                    f"the {name} is out of range", given=f"{value:g}", expected=f"{low:g} to {high:g}"
                )
        labels = ",".join(str(number) for number in self.classes) or "random"
        changes = {
            "labels": f"'{labels}'", "guidance_scale": float(self.guidance), "steps": self.steps,
            "seed": self.seed, "images": self.images,
        }  # fmt: skip
        try:
            return load_config(SampleConfig, PRESET, [f"{key}={value}" for key, value in changes.items()])
        except UserError as error:
            raise Refusal(error.problem, given=error.given, expected=error.expected) from None


def labels_of(models: Mapping[str, DiffusionModel], config: SampleConfig) -> Labels:
    """Return the labels, which are the same for all models.

    Raises:
        Refusal: the models have different numbers of classes, or a label is no class.
    """
    counts = {title: model.classes.count for title, model in models.items()}
    if len(set(counts.values())) > 1:
        raise Refusal(
            "models of different classes cannot be drawn with the same labels",
            given=", ".join(f"{title}: {count} classes" for title, count in counts.items()),
            next_step="choose models of the same classes",
        )
    classes = next(iter(models.values())).classes
    if not config.labels.startswith("random"):
        wrong = [label for label in config.labels.split(",") if classes.number_of(label) is None]
        if wrong:
            raise Refusal("no such class", given=", ".join(wrong), expected=f"0 to {classes.count - 1}")
    return choose_labels(config, classes, config.seed)


def draw(
    models: Mapping[str, DiffusionModel], config: SampleConfig, labels: Labels
) -> Iterator[dict[str, Panel] | None]:
    """Yield the panels of all models by title whenever one has changed. Models are drawn one after the other.

    The generator yields None from time to time when nothing is new, so that it can be closed. If the latents of all
    models have one shape, image i begins with the same noise in every panel.

    Args:
        models: the models by title, on their device.
        config: the settings of `sendvae sample`.
        labels: the labels of the images.
    """
    panels: dict[str, Panel] = {}
    for title, model in models.items():
        for panel in _draw_one(model, config, labels):
            if panel is not None:
                panels[title] = panel
            yield None if panel is None else dict(panels)


def _draw_one(model: DiffusionModel, config: SampleConfig, labels: Labels) -> Iterator[Panel | None]:
    """Yield estimates of the samples, then the samples, and None after every `PATIENCE` seconds without anything new.

    The sampler runs in its own thread, which ends at its next step once this generator is closed.
    """
    found: queue.Queue[Panel | BaseException] = queue.Queue()
    closed = threading.Event()
    sampler = threading.Thread(target=_sample, args=(model, config, labels, found, closed), daemon=True)
    sampler.start()
    try:
        while True:
            try:
                panel = found.get(timeout=PATIENCE)
            except queue.Empty:
                yield None
                continue
            if isinstance(panel, BaseException):
                raise panel
            yield panel
            if panel.step == panel.steps:
                return
    finally:
        closed.set()
        sampler.join()


class _Closed(Exception):
    """The reader of the samples has closed the generator."""


def _sample(
    model: DiffusionModel,
    config: SampleConfig,
    labels: Labels,
    found: queue.Queue[Panel | BaseException],
    closed: threading.Event,
) -> None:
    every = max(1, config.steps // PREVIEWS)
    step = 0

    def watch(estimate: Tensor, _t: float) -> None:
        nonlocal step
        if closed.is_set():
            raise _Closed
        if step % every == 0:
            found.put(Panel(decode_samples(model.tokenizer, estimate, config), step, config.steps))
        step += 1

    try:
        numbers = range(config.images)
        images = draw_images(
            model.generator, model.tokenizer, numbers, labels.values, config, config.seed, watch
        )
        found.put(Panel(images, config.steps, config.steps))
    except _Closed:
        return
    except BaseException as error:  # any error is raised again where the samples are read
        found.put(error)
