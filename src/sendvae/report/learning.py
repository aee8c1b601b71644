"""The learning curves that ship, as charts, a table of differences and a picture."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from sendvae.evaluation import wording
from sendvae.experiments.curves import DISTANCE, PICTURE, STORED, Contrast, Curves, load_curves
from sendvae.report.cells import Experiment
from sendvae.report.page import data_uri
from sendvae.report.plots import COLOURS, Series, lines


@dataclass(frozen=True)
class Chart:
    """A chart of a metric against training images, with a line for each training.

    Attributes:
        real: the metric of real images in words; empty where it is not known.
    """

    caption: str
    chart: Markup
    real: str


@dataclass(frozen=True)
class LearningCurves:
    """The parts of a page that show the learning curves.

    Attributes:
        rows: rows of the table of the distance: guidance, images, contender minus control, and seeds, in words.
        picture: samples of both models as a data URL; None where there is no picture.
        labels, colours: the label and the colour of each model by name.
    """

    data: Curves
    charts: list[Chart]
    rows: list[tuple[str, str, str, str]]
    picture: str | None
    labels: dict[str, str]
    colours: dict[str, str]


def learning_curves(experiment: Experiment) -> LearningCurves:
    """Return the curves that ship, in the colours that their tokenizers have on the page if it shows all of them."""
    curves = load_curves()
    tokenizers = {curve.model: curve.tokenizer for curve in curves.curves}
    labels = {model: experiment.labels.get(name, name) for model, name in tokenizers.items()}
    colours = dict(zip(tokenizers, COLOURS, strict=False))
    if set(tokenizers.values()) <= experiment.colours.keys():
        colours = {model: experiment.colours[name] for model, name in tokenizers.items()}
    rows = [
        (_guidance(scale), f"{one.images:,}", _difference(curves, one), str(one.seeds))
        for scale in curves.guidances
        for one in curves.contrasts(DISTANCE, scale)
    ]
    path = STORED / PICTURE
    return LearningCurves(
        curves,
        [
            _chart(curves, metric, scale, labels, colours)
            for metric in (DISTANCE, *curves.real)
            for scale in curves.guidances
        ],
        rows,
        data_uri(path) if path.is_file() else None,
        labels,
        colours,
    )


def _chart(
    curves: Curves, metric: str, scale: float, labels: dict[str, str], colours: dict[str, str]
) -> Chart:
    quantity = curves.quantities[metric]
    series = []
    for curve in curves.curves:
        found = curve.numbers(metric, scale)
        name = f"{labels[curve.model]}, seed {curve.seed}"
        series.append(Series(name, colours[curve.model], list(found), list(found.values())))
    real = f"real images: {wording.figure(curves.real[metric], quantity)}" if metric in curves.real else ""
    caption = f"{quantity.label} {quantity.arrow}, {_guidance(scale)}"
    return Chart(caption, lines(series, "training images", quantity.label), real)


def _guidance(scale: float) -> str:
    return "no guidance" if scale == 1.0 else f"guidance {scale:g}"


def _difference(curves: Curves, one: Contrast) -> str:
    digits = curves.quantities[DISTANCE].digits
    text = f"{one.value:+.{digits}f}"
    if one.interval is None:
        return text
    return f"{text} [{one.interval[0]:+.{digits}f}, {one.interval[1]:+.{digits}f}]"
