"""Learning curves that ship: metrics of two generators' samples over their trainings, measured once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from sendvae.documents import first_fault
from sendvae.errors import UserError
from sendvae.files import write_text
from sendvae.metrics import mean_interval
from sendvae.quantities import Quantity

STORED = Path(__file__).parent / "learning_curves"
CURVES, PICTURE = "curves.json", "samples.png"
DISTANCE = "fd-mobilenet-v2"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Point(_Part):
    """The metrics of a generator's samples after a number of training images.

    Attributes:
        images: the training images seen.
        guidance: the guidance scale of the samples; 1 is no guidance.
        numbers: the values of the metrics by name.
    """

    images: int
    guidance: float
    numbers: dict[str, float]


class LearningCurve(_Part):
    """One training of a generator.

    Attributes:
        model: the name of the generator, which trainings of several seeds share.
    """

    model: str
    tokenizer: str
    seed: int
    points: list[Point]

    def numbers(self, metric: str, guidance: float) -> dict[int, float]:
        """Return a metric at a guidance scale by the number of training images."""
        return {point.images: point.numbers[metric] for point in self.points if point.guidance == guidance}


class Contrast(NamedTuple):
    """A metric of the contender minus that of the control, the mean over the seeds that both have.

    Attributes:
        images: the training images seen.
        interval: the interval of 95 % of Student's t over seeds; None for one seed.
        seeds: the number of seeds.
    """

    images: int
    value: float
    interval: tuple[float, float] | None
    seeds: int


class Curves(_Part):
    """All trainings, measured under one protocol.

    Attributes:
        control, contender: the names of two models, of which the second is compared with the first.
        sampling, protocol: how every point was sampled and measured.
        real: the metrics of real images, for those metrics where they say how good samples can be.
        quantities: label, direction and digits of each metric, by name.
        environment: the versions and the machine with which the curves were measured.
    """

    format: int = 1
    control: str
    contender: str
    sampling: dict[str, Any]
    protocol: dict[str, Any]
    real: dict[str, float] = {}
    quantities: dict[str, Quantity] = {}
    environment: dict[str, str | int] = {}
    curves: list[LearningCurve] = []

    def of(self, model: str) -> dict[int, LearningCurve]:
        """Return the curves of a model by seed."""
        return {curve.seed: curve for curve in self.curves if curve.model == model}

    @property
    def guidances(self) -> list[float]:
        """Return the guidance scales that were measured, in rising order."""
        return sorted({point.guidance for curve in self.curves for point in curve.points})

    def contrasts(self, metric: str, guidance: float) -> list[Contrast]:
        """Return the contender minus the control wherever both were measured, in the order of training images."""
        values: dict[int, list[float]] = {}
        controls = self.of(self.control)
        for seed, curve in self.of(self.contender).items():
            if seed not in controls:
                continue
            own, other = (one.numbers(metric, guidance) for one in (curve, controls[seed]))
            for images in own.keys() & other.keys():
                values.setdefault(images, []).append(own[images] - other[images])
        return [
            Contrast(images, fmean(found), mean_interval(found), len(found))
            for images, found in sorted(values.items())
        ]

    def telling(self, metric: str, guidance: float) -> Iterator[Contrast]:
        """Yield the contrast at the longest training that several seeds have, then at the longest of all if longer."""
        found = self.contrasts(metric, guidance)
        several = [one for one in found if one.seeds > 1]
        yield from several[-1:]
        if found and (not several or found[-1].images > several[-1].images):
            yield found[-1]

    def save(self, folder: Path) -> None:
        """Write the curves into a folder, as `curves.json`."""
        write_text(folder / CURVES, self.model_dump_json(indent=1) + "\n")


def load_curves(folder: Path = STORED) -> Curves:
    """Return the curves in a folder, by default those that ship.

    Raises:
        UserError: the folder has no curves, or the file is damaged.
    """
    path = folder / CURVES
    try:
        return Curves.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError("no learning curves", given=f"no {CURVES} in {folder}") from None
    except ValidationError as error:
        raise UserError(f"{path} is damaged", given=first_fault(error)) from None
