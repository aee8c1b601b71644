"""The results of an experiment as one document, which the report is drawn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sendvae.files import write_text
from sendvae.quantities import Quantity

CONTROL = "plain"  # the method that is fine-tuned as the others, without alignment


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Method(_Part):
    """A row of the table."""

    name: str
    label: str
    description: str


class Curve(_Part):
    """Scalars against images seen."""

    images: list[int]
    series: dict[str, list[float | None]]


class Run(_Part):
    """One method with one seed; pictures are paths beside the document.

    Attributes:
        quantities: how each metric is read.
        resampled: metrics of every resample of the test concepts, the same ones for every run.
    """

    method: str
    seed: int
    metrics: dict[str, float]
    attribute_f1: dict[str, float]
    quantities: dict[str, Quantity] = {}
    resampled: dict[str, list[float]] = {}
    tokenizer_curve: Curve | None = None
    diffusion_curve: Curve | None = None
    pictures: dict[str, str] = {}


class CorrelationResult(_Part):
    """Pearson's correlation of two metrics, a point per run that has both.

    Attributes:
        x, y: names of the metrics.
        r, p: None below three points, or where a metric does not vary; p is two-sided.
        interval: of r, 95 %; None below four points, too.
        n: points.
    """

    x: str
    y: str
    r: float | None
    p: float | None
    interval: tuple[float, float] | None
    n: int


class Difference(_Part):
    """A method's metric minus that of the control, means over seeds, with the interval over test concepts."""

    method: str
    metric: str
    value: float
    interval: tuple[float, float]


class PaperTable(_Part):
    """What the paper reports, copied as facts."""

    caption: str
    columns: list[str]
    rows: list[list[str]]


class Network(_Part):
    """A pretrained network that the experiment uses, and what for."""

    role: str
    name: str
    source: str
    licence: str


class Summary(_Part):
    """Everything the report shows.

    Attributes:
        metrics: the columns of the table: how each metric of the runs is read.
    """

    title: str
    created: str
    command: str
    seeds: list[int]
    quick: bool
    environment: dict[str, str | int]
    data: dict[str, str | int]
    data_licences: list[str]
    networks: list[Network]
    methods: list[Method]
    metrics: dict[str, Quantity]
    runs: list[Run]
    originals: str
    correlations: list[CorrelationResult]
    differences: list[Difference] = []
    paper: PaperTable
    stages: dict[str, float]
    peak_memory_gib: float
    config: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Summary:
        """Read a document that `save` wrote.

        Raises:
            pydantic.ValidationError: it has other fields.
        """
        return cls.model_validate_json(path.read_text())

    def save(self, path: Path) -> None:
        """Write the document as JSON, whole or not at all."""
        write_text(path, self.model_dump_json(indent=1) + "\n")
