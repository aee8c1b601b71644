"""How do time and memory grow with the size of images, the batch, latent channels, the model and the number of images?

A point that takes minutes on CPU cores is measured, in a process of its own; others are computed from the estimator's FLOPs
and bytes (`--dry-run`), by the rate and the share that the largest measured point has. Where there is a GPU all are measured.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.growth_point import (
    Cost,
    Estimated,
    cost_of_precision_recall,
    cost_of_ridge,
    cost_of_step,
    estimated_precision_recall,
    estimated_ridge,
    estimated_step,
    take_threads,
)
from benchmarks.harness import Figures, Report
from sendvae.training import default_device

GIB, REPEATS = 2**30, 3
TOKENIZER, GENERATOR = "imagenet256-f16d32-send", "imagenet256-sit-b1"
JUDGES = "losses.precision=as-loop"
CROPPED = ("data.size=64", "alignment.grid=4", JUDGES)


@dataclass(frozen=True)
class Curve:
    """A computation at growing values of one quantity.

    Attributes:
        what: the computation, in words.
        axis: the quantity that grows.
        arguments: returns the arguments of `cost` and `estimated` at a value.
        measured, computed: the values that are measured, and those that are computed, on a CPU; small ones first.
        cost: measures the computation at a value, in the current process.
        estimated: counts its FLOPs and bytes at a value.
    """

    what: str
    axis: str
    arguments: Callable[[str], tuple[object, ...]]
    measured: Sequence[str]
    computed: Sequence[str] = ()
    cost: Callable[..., Cost] = cost_of_step
    estimated: Callable[..., Estimated] = estimated_step


CURVES = (
    Curve(
        "Send-VAE step of f16d32, batch 1",
        "pixels a side",
        lambda size: (TOKENIZER, 1, [f"data.size={size}", f"alignment.grid={int(size) // 16}", JUDGES]),
        ("64", "128", "256"),
        ("512",),
    ),
    Curve(
        "SiT-B/1 step with REPA on f16d32, batch 1",
        "pixels a side",
        lambda size: (GENERATOR, 1, [f"data.size={size}"]),
        ("64", "128", "256", "512"),
    ),
    Curve(
        "Send-VAE step of f16d32, 64 pixels",
        "batch",
        lambda batch: (TOKENIZER, int(batch), CROPPED),
        ("1", "2", "4", "8"),
        ("32", "256"),
    ),
    Curve(
        "SiT-B/1 step with REPA, 256 pixels",
        "batch",
        lambda batch: (GENERATOR, int(batch), ()),
        ("1", "2", "4", "8"),
        ("32", "256"),
    ),
    Curve(
        "Send-VAE step of f16, 64 pixels, batch 4",
        "latent channels",
        lambda channels: (TOKENIZER, 4, [f"init=fresh:f16d{channels}", *CROPPED]),
        ("16", "32", "64"),
    ),
    Curve(
        "SiT-B/1 step with REPA, 256 pixels, batch 1",
        "latent channels",
        lambda channels: (GENERATOR, 1, [f"tokenizer=fresh:f16d{channels}"]),
        ("16", "32", "64"),
    ),
    Curve(
        "SiT step with REPA, 256 pixels, batch 1",
        "parameters",
        lambda size: (GENERATOR, 1, [f"model=SiT-{size}/1"]),
        ("S", "B"),
        ("L", "XL"),
    ),
    Curve(
        "precision and recall of 512 features",
        "images",
        lambda images: (int(images),),
        ("2000", "4000", "8000"),
        ("50000",),
        cost_of_precision_recall,
        estimated_precision_recall,
    ),
    Curve(
        "attribute ridge of 1,024 features",
        "images",
        lambda images: (int(images),),
        ("5000", "10000", "20000"),
        ("162770",),
        cost_of_ridge,
        estimated_ridge,
    ),
)
QUICK = (
    Curve(
        "SiT-Tiny/2 step with REPA",
        "batch",
        lambda batch: ("demo/sit-tiny", int(batch), ()),
        ("1", "2"),
        ("4",),
    ),
)


@dataclass(frozen=True)
class Point:
    """One value of a curve; seconds and bytes, and whether they were measured."""

    value: str
    x: float
    flops: float
    seconds: float
    memory: float
    measured: bool


@dataclass
class Drawn:
    """A curve with its points."""

    curve: Curve
    points: list[Point] = field(default_factory=list)

    def exponent(self, y: Callable[[Point], float], measured_only: bool = True) -> float:
        """Return the slope of y over x, both as logarithms."""
        points = [point for point in self.points if point.measured or not measured_only]
        return slope([point.x for point in points], [y(point) for point in points])


def measure(report: Report) -> None:
    """Draw every curve."""
    drawn = [draw(curve, 1 if report.quick else REPEATS) for curve in (QUICK if report.quick else CURVES)]
    report.figures.append(
        Figures(
            "Exponents p of cost ~ value^p: slopes between logarithms. Those of FLOPs are the estimator's, of all values.",
            ("what", "over", "from", "to (measured)", "to", "time", "memory", "FLOPs"),
            [_exponents(one) for one in drawn],
        )
    )
    report.figures.append(
        Figures(
            "The points. Memory is what a process takes above PyTorch and this package. Computed ones take the estimator's "
            "FLOPs and bytes, by the rate and the share of the largest measured point of the curve.",
            ("what", "over", "value", "seconds", "GiB", ""),
            [_shown(one.curve, point) for one in drawn for point in one.points],
        )
    )


def draw(curve: Curve, repeats: int) -> Drawn:
    """Return a curve with its points, in the order of their values."""
    on_gpu = default_device().type == "cuda" and curve.cost is cost_of_step
    drawn = Drawn(curve)
    largest: tuple[float, float] | None = None  # the rate and the share of the largest measured point
    for value in (*curve.measured, *curve.computed):
        arguments = curve.arguments(value)
        estimated = curve.estimated(*arguments)
        if on_gpu or value in curve.measured:
            found, measured = in_a_process(curve.cost, *arguments, repeats), True
            largest = estimated.flops / found.seconds, found.memory / estimated.memory
        else:
            assert largest is not None  # every curve begins with measured points
            found, measured = computed(estimated, *largest), False
        x = estimated.parameters if curve.axis == "parameters" else float(value)
        drawn.points.append(Point(value, x, estimated.flops, found.seconds, found.memory, measured))
    return drawn


def computed(estimated: Estimated, rate: float, share: float) -> Cost:
    """Return the seconds and bytes of an estimate, at a rate in FLOP/s and a share of its bytes."""
    return Cost(estimated.flops / rate, estimated.memory * share)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the exponent p of y ~ x^p by least squares of the logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def in_a_process(function: Callable[..., Cost], *arguments: object) -> Cost:
    """Return what a function returns in a fresh process, whose memory is then its own, with our number of threads."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, take_threads, (torch.get_num_threads(),)) as pool:
        return pool.submit(function, *arguments).result()


def _exponents(drawn: Drawn) -> list[str | float]:
    measured = [point for point in drawn.points if point.measured]
    return [
        drawn.curve.what,
        drawn.curve.axis,
        drawn.points[0].value,
        measured[-1].value,
        drawn.points[-1].value,
        f"{drawn.exponent(lambda point: point.seconds):.2f}",
        f"{drawn.exponent(lambda point: point.memory):.2f}",
        f"{drawn.exponent(lambda point: point.flops, measured_only=False):.2f}",
    ]


def _shown(curve: Curve, point: Point) -> list[str | float]:
    how = "measured" if point.measured else "computed"
    return [curve.what, curve.axis, point.value, point.seconds, point.memory / GIB, how]
