"""Measures the milestones of diffusion runs, and keeps the learning curves that ship with the package.

    python -m tools.curves --control RUN... --contender RUN... --at IMAGES... [--images N] [--to FOLDER]

The first kept checkpoint from each number of training images on is sampled with and without guidance, from the same
noise and labels, and held against the embedded images; what a run has not reached is left out. A point that is in the
file already is not measured again, and the file is written after every point. Runs of one model are told apart by
their seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sendvae.config import GenerationConfig, SampleConfig, load_config
from sendvae.evaluation import measure_generation
from sendvae.evaluation.diffusion_model import load_model
from sendvae.evaluation.sample_job import write_samples
from sendvae.experiments.curves import CURVES, STORED, Curves, LearningCurve, Point, load_curves
from sendvae.runs import Checkpoint, RunFolder, describe_environment, open_checkpoint

REFERENCE = "embedded:emoji"
GUIDANCE = (1.0, 2.5)
METRICS = ("fd", "precision", "recall", "class")
REAL = "classes found in real images"  # in the details of a result
CACHE = Path("runs/cache")


def measure(control: list[Path], contender: list[Path], at: list[int], images: int, folder: Path) -> Curves:
    """Measure the points that are missing; return all curves.

    Args:
        control, contender: the runs of the two models, one for each seed.
        at: the numbers of training images, in the order in which they are measured.
        images: the number of samples of a point.
        folder: the folder of the file.
    """
    sampling = load_config(SampleConfig, "sample/paper", _sampling(images))
    protocol = load_config(
        GenerationConfig, "evaluate/embedded", [f"metrics=[{','.join(METRICS)}]", "intervals.jackknife=0"]
    )
    folder.mkdir(parents=True, exist_ok=True)
    curves = (
        load_curves(folder) if (folder / CURVES).is_file() else _empty(control, contender, sampling, protocol)
    )
    for reached in at:
        for run in (*control, *contender):
            for checkpoint in _milestone(run, reached):
                for guidance in GUIDANCE:
                    curves = _with_point(curves, run, checkpoint, guidance, sampling, protocol)
                    curves.save(folder)
    return curves


def _sampling(images: int) -> list[str]:
    return [
        f"images={images}", "method=euler-maruyama", "steps=30", "labels=proportional", "batch_size=250",
        "precision=auto", "seed=0",
    ]  # fmt: skip


def _empty(
    control: list[Path], contender: list[Path], sampling: SampleConfig, protocol: GenerationConfig
) -> Curves:
    return Curves(
        control=_model(control[0]),
        contender=_model(contender[0]),
        sampling=sampling.model_dump(mode="json", exclude={"guidance_scale"}),
        protocol=protocol.model_dump(mode="json"),
        environment=describe_environment(),
    )


def _model(run: Path) -> str:
    """Return the name of a run without its seed: "demo-sit-send-0" is a run of "demo-sit-send"."""
    return run.name.rpartition("-")[0]


def _milestone(run: Path, reached: int) -> list[Checkpoint]:
    """Return a list of the first checkpoint that has seen at least so many images; empty if there is none."""
    checkpoints = map(open_checkpoint, sorted(RunFolder(run).checkpoints.glob("step-*")))
    return [one for one in checkpoints if one.images_seen >= reached][:1]


def _with_point(
    curves: Curves,
    run: Path,
    checkpoint: Checkpoint,
    guidance: float,
    sampling: SampleConfig,
    protocol: GenerationConfig,
) -> Curves:
    config = RunFolder(run).configuration()
    seed, model = int(config["seed"]), _model(run)
    known = curves.of(model).get(
        seed, LearningCurve(model=model, tokenizer=config["tokenizer"], seed=seed, points=[])
    )
    if any((p.images, p.guidance) == (checkpoint.images_seen, guidance) for p in known.points):
        return curves
    with TemporaryDirectory() as temporary:
        target = Path(temporary) / "samples.npz"
        drawn = sampling.model_copy(update={"guidance_scale": guidance})
        cpu = torch.device("cpu")
        write_samples(load_model(str(run), step=checkpoint.step), drawn, target, cpu)
        result = measure_generation(str(target), REFERENCE, protocol, cpu, cache=CACHE)
    assert result is not None
    (subject,) = result.subjects
    numbers = {name: round(one.value, 4) for name, one in subject.numbers.items()}
    print(f"{run.name} {checkpoint.images_seen:,} images, guidance {guidance:g}: {numbers}", flush=True)
    point = Point(images=checkpoint.images_seen, guidance=guidance, numbers=numbers)
    points = sorted([*known.points, point], key=lambda one: (one.images, one.guidance))
    others = [curve for curve in curves.curves if (curve.model, curve.seed) != (model, seed)]
    accuracy = next(name for name in numbers if name.startswith("class_accuracy"))
    return curves.model_copy(
        update={
            "curves": [*others, known.model_copy(update={"points": points})],
            "quantities": result.quantities,
            "real": {accuracy: round(subject.details[REAL], 4)},
        }
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--control", type=Path, nargs="+", required=True)
    parser.add_argument("--contender", type=Path, nargs="+", required=True)
    parser.add_argument("--at", type=int, nargs="+", required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--to", type=Path, default=STORED)
    arguments = parser.parse_args()
    measure(arguments.control, arguments.contender, arguments.at, arguments.images, arguments.to)
