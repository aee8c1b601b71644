"""The standing of a tokenizer among those of a study, and the prediction of its generation from its scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sendvae.config import LatentsConfig, load_config
from sendvae.documents import first_fault
from sendvae.errors import UserError
from sendvae.evaluation.results import differing_fields
from sendvae.experiments.predictors import FEWEST
from sendvae.latents import leave_one_out, predict_linear
from sendvae.quantities import Quantity
from sendvae.registry import Registry

POINTS, PROTOCOL = "points.json", "protocol.yaml"
STUDIES: Registry[Path] = Registry("study", {"tiny": Path(__file__).parent / "studies" / "tiny"})
# Fields of a protocol that change no number which results under both protocols have.
FREE = {"scores", "correlate", "predict", "bootstrap", "batch_size", "precision"}


class StudiedTokenizers(BaseModel):
    """The tokenizers of a study, each with its scores and with metrics of the generation in its latent space.

    Attributes:
        title: the title of the study's scale.
        limits: the limits of what its numbers tell, in words.
        quantities: the label, direction and digits of each score and target.
        targets: the names of the metrics of generation.
        scores: the names of the scores that may predict them.
        points: the numbers by tokenizer and name, averaged over seeds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    title: str
    limits: str
    quantities: dict[str, Quantity]
    targets: list[str]
    scores: list[str]
    points: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Standing:
    """A study's prediction of one metric of a tokenizer's generation.

    Attributes:
        target: the name of the metric.
        label: its label.
        score: the score that predicts it, with the smallest error on tokenizers left out; None where no score helps.
        value, interval, n: the prediction (`Prediction`).
        share: the error of the score on tokenizers left out, as a share of that of the mean alone.
        below: the number of the study's tokenizers that have a smaller value of the score.
    """

    target: str
    label: str
    score: str | None
    value: float | None = None
    interval: tuple[float, float] | None = None
    n: int = 0
    share: float = math.inf
    below: int = 0

    def __str__(self) -> str:
        """Return the standing in words."""
        if self.score is None or self.value is None or self.interval is None:
            best = f" (the best has {self.share:.0%} of its error)" if math.isfinite(self.share) else ""
            return (
                f"{self.label}: no score of this result predicts it better than the study's mean does{best}"
            )
        low, high = self.interval
        return (
            f"{self.label}: {self.value:.4g} [{low:.4g}, {high:.4g}] by {self.score}, which is above that of {self.below} of "
            f"{self.n} tokenizers; on tokenizers left out its error is {self.share:.0%} of that of the mean"
        )


def load_study(name: str) -> StudiedTokenizers:
    """Return a study that ships.

    Raises:
        UserError: there is no such study, or its file is damaged.
    """
    path = STUDIES[name] / POINTS
    try:
        return StudiedTokenizers.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        given = first_fault(error) if isinstance(error, ValidationError) else error
        raise UserError(f"{path} is damaged", given=given, next_step="install sendvae again") from None


def protocol_of(name: str) -> str:
    """Return the path of the protocol by which a study's scores were measured, for `load_config`."""
    return str(STUDIES[name] / PROTOCOL)


def check_protocol(name: str, config: LatentsConfig) -> None:
    """Raise an error for scores that were measured under another protocol than the study's.

    Raises:
        UserError: fields of the protocols differ; the error names them.
    """
    theirs = load_config(LatentsConfig, protocol_of(name)).model_dump(mode="json", exclude=FREE)
    if differing := differing_fields(theirs, config.model_dump(mode="json", exclude=FREE)):
        raise UserError(
            f"scores of another protocol do not compare with those of the study '{name}'",
            given="; ".join(differing),
            expected="the study's value, left, in every field",
            next_step="leave out --protocol, --data and these changes, or --study",
        )


def standings(study: StudiedTokenizers, numbers: Mapping[str, float]) -> list[Standing]:
    """Return the standing of a tokenizer for every target of a study.

    Args:
        study: the study.
        numbers: the scores of the tokenizer by name.
    """
    return [_standing(study, target, numbers) for target in study.targets]


def _standing(study: StudiedTokenizers, target: str, numbers: Mapping[str, float]) -> Standing:
    label = study.quantities[target].label
    candidates = []
    for score in study.scores:
        x, y = _points(study, score, target)
        error = leave_one_out(x, y) if len(x) >= FEWEST else None
        if error is not None and math.isfinite(numbers.get(score, math.nan)):
            candidates.append((error.share, score))
    if not candidates:
        return Standing(target, label, None)
    share, score = min(candidates)
    if share >= 1.0:
        return Standing(target, label, None, share=share)
    x, y = _points(study, score, target)
    found = predict_linear(x, y, numbers[score])
    assert found is not None, "leaving points out has predicted them"
    return Standing(
        target, label, score, **asdict(found), share=share, below=sum(v < numbers[score] for v in x)
    )


def _points(study: StudiedTokenizers, score: str, target: str) -> tuple[Sequence[float], Sequence[float]]:
    """Return the scores x and the targets y of the tokenizers that have both."""
    rows = [row for row in study.points.values() if score in row and target in row]
    return [row[score] for row in rows], [row[target] for row in rows]


def findings_of(name: str, numbers: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return the standings of tokenizers as an entry of a result.

    The entry has the study, its limits, the number of its tokenizers, and each tokenizer's standings, with their words.

    Args:
        name: the name of the study.
        numbers: the scores of each tokenizer, by name of the tokenizer.
    """
    study = load_study(name)
    return {
        "study": name,
        "tokenizers": len(study.points),
        "limits": study.limits,
        "of": {
            tokenizer: [asdict(one) | {"said": str(one)} for one in standings(study, own)]
            for tokenizer, own in numbers.items()
        },
    }
