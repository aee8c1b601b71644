"""The paper's experiment in small: one base tokenizer, four ways of fine-tuning it, one SiT on each."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sendvae.config import DemoConfig, DiffusionConfig, TokenizerConfig, load_config
from sendvae.data import EmbeddedImages, open_embedded
from sendvae.diffusion import load_sit
from sendvae.evaluation import generate
from sendvae.evaluation.labels import choose_labels
from sendvae.experiments.demo_measurements import SPLITS, DemoMeasurements
from sendvae.experiments.demo_texts import COLUMNS, METHODS, NETWORKS, PAPER
from sendvae.experiments.findings import correlate, differences
from sendvae.experiments.pictures import save_grid
from sendvae.experiments.summary import Curve, Run, Summary
from sendvae.files import write_text
from sendvae.quantities import Quantity
from sendvae.runs import Classes, describe_environment, read_journal
from sendvae.tokenizers import load_tokenizer
from sendvae.training import default_device, train_diffusion, train_tokenizer

SHOWN = 8  # test images in the strips, all in one row
SAMPLES_SHOWN = 32
SUMMARY, STAGES = "summary.json", "stages.jsonl"
CORRELATED = (("f1_macro", "fd-mobilenet-v2"), ("f1_micro", "fd-mobilenet-v2"))
COMPARED = ("f1_macro", "f1_micro")  # with the control's, resample by resample
RESAMPLED_DIGITS = 6


class Demo:
    """One folder of results; everything that is finished there is not done again.

    Args:
        config: presets, budgets, measurements.
        folder: where everything goes.
        seeds: each trains all methods.
        from_scratch: trains the base tokenizer first instead of taking the one that ships.
    """

    def __init__(
        self, config: DemoConfig, folder: Path, seeds: Sequence[int], from_scratch: bool = False
    ) -> None:
        self.config, self.folder, self.seeds = config, folder, list(seeds)
        self.cache = folder / "cache"
        self.device = default_device()
        self.from_scratch = from_scratch
        folder.mkdir(parents=True, exist_ok=True)
        self.images = {split: open_embedded("emoji", split, config.limit) for split in SPLITS}
        self.measurements = DemoMeasurements(config.evaluation, self.images, self.cache, self.device)
        rng = np.random.default_rng(0)  # which test images are shown: the same in every run
        self.shown = np.sort(rng.choice(len(self.images["test"]), SHOWN, replace=False))

    def run(self) -> None:
        """Trains, samples and measures whatever is missing."""
        base = self._base()
        self._once("base", 0, lambda folder: self._measure_tokenizer("base", 0, base, folder))
        save_grid(self.images["test"].batch(self.shown).images, self.folder / "originals.png", SHOWN)
        for seed in self.seeds:
            for preset in self.config.methods:
                method = preset.rpartition("/")[2]
                self._once(
                    method,
                    seed,
                    lambda folder, m=method, p=preset, s=seed: self._method(m, p, s, base, folder),
                )

    def _base(self) -> str:
        if not self.from_scratch:
            return self.config.base
        with self._stage("base tokenizer"):
            config = load_config(
                TokenizerConfig, "demo/base", [f"loop.images={self.config.base_images}", *self._shared(0)]
            )
            return str(train_tokenizer(config, self.folder / "base-run", self.cache, "base"))

    def _method(self, method: str, preset: str, seed: int, base: str, folder: Path) -> Run:
        """Fine-tunes a tokenizer, trains a SiT on it, samples, and measures both."""
        shared = self._shared(seed)
        with self._stage("fine-tuning the tokenizers"):
            config = load_config(
                TokenizerConfig,
                preset,
                [f"init={base}", f"loop.images={self.config.tokenizer_images}", *shared],
            )
            tokenizer = train_tokenizer(config, folder / "tokenizer-run", self.cache, method)
        run = self._measure_tokenizer(method, seed, str(tokenizer), folder)
        with self._stage("training the SiTs"):
            config = load_config(
                DiffusionConfig,
                self.config.diffusion,
                [f"tokenizer={tokenizer}", f"loop.images={self.config.diffusion_images}", *shared],
            )
            sit = train_diffusion(config, folder / "sit-run", self.cache, f"{method}: SiT")
        with self._stage("sampling"):
            images = generate(
                load_sit(sit).to(self.device),
                load_tokenizer(tokenizer).to(self.device),
                self._sample_labels(),
                self.config.sampling,
                seed,
                f"{method}: samples",
            )
            samples = torch.cat(list(images))
        with self._stage("metrics"):
            found = self.measurements.samples(samples, folder / "evaluation", method)
        save_grid(samples[:SAMPLES_SHOWN], folder / "samples.png", SHOWN)
        return run.model_copy(
            update={
                "metrics": {**run.metrics, **found.values},
                "quantities": {**run.quantities, **found.quantities},
                "tokenizer_curve": _curve(folder / "tokenizer-run/metrics.jsonl"),
                "diffusion_curve": _curve(folder / "sit-run/metrics.jsonl"),
                "pictures": {**run.pictures, "samples": self._relative(folder / "samples.png")},
            }
        )

    def _shared(self, seed: int) -> list[str]:
        """Overrides that every training of the demo gets."""
        limit = "null" if self.config.limit is None else self.config.limit
        return [f"seed={seed}", f"data.limit={limit}"]

    def _measure_tokenizer(self, method: str, seed: int, source: str, folder: Path) -> Run:
        """Reconstruction and latent-space scores, and their pictures."""
        tokenizer = load_tokenizer(source).to(self.device)
        with self._stage("encoding"):
            latents = self.measurements.encode(tokenizer, method)
        with self._stage("metrics"):
            found = self.measurements.tokenizer(tokenizer, latents, folder / "evaluation", method)
        for name, picture in self.measurements.pictures(tokenizer, latents, self.shown).items():
            save_grid(picture, folder / f"{name}.png", SHOWN)
        return Run(
            method=method,
            seed=seed,
            metrics=found.values,
            quantities=found.quantities,
            attribute_f1=found.attribute_f1,
            resampled={
                name: [round(value, RESAMPLED_DIGITS) for value in found.resampled[name]] for name in COMPARED
            },
            pictures={
                name: self._relative(folder / f"{name}.png") for name in ("reconstructions", "latents")
            },
        )

    def _sample_labels(self) -> Tensor:
        """Return the same labels for every method and seed."""
        return choose_labels(self.config.sampling, Classes.of(self.images["train"]), seed=0).values

    def _once(self, method: str, seed: int, compute: Any) -> None:
        """Computes a run unless its result is there."""
        folder = self._run_folder(method, seed)
        if not (folder / "run.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_text(folder / "run.json", compute(folder).model_dump_json(indent=1))

    def _run_folder(self, method: str, seed: int) -> Path:
        return self.folder / (method if method == "base" else f"seed-{seed}/{method}")

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """Adds the time a stage takes to the record; an interrupted one counts too."""
        began = time.monotonic()
        try:
            yield
        finally:
            with (self.folder / STAGES).open("a") as file:
                file.write(json.dumps({"stage": name, "seconds": time.monotonic() - began}) + "\n")

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def summarise(self, command: str, quick: bool) -> Summary:
        """Collects the finished runs into `summary.json`."""
        methods = [preset.rpartition("/")[2] for preset in self.config.methods]
        folders = [self._run_folder("base", 0)]
        folders += [self._run_folder(method, seed) for seed in self.seeds for method in methods]
        runs = [Run.model_validate_json((folder / "run.json").read_text()) for folder in folders]
        summary = Summary(
            title="Does a semantically disentangled latent space make generation easier?",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command,
            seeds=self.seeds,
            quick=quick,
            environment=describe_environment(),
            data=_describe_data(self.images),
            data_licences=self.images["train"].licences,
            networks=NETWORKS,
            methods=[METHODS[name] for name in ("base", *methods)],
            metrics=_columns(runs),
            runs=runs,
            originals="originals.png",
            correlations=[correlate(runs, x, y) for x, y in CORRELATED],
            differences=[found for metric in COMPARED for found in differences(runs, metric)],
            paper=PAPER,
            stages=_stage_seconds(self.folder / STAGES),
            peak_memory_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            config=self.config.model_dump(mode="json"),
        )
        summary.save(self.folder / SUMMARY)
        return summary


def _columns(runs: Sequence[Run]) -> dict[str, Quantity]:
    """How the columns of the table are read, of those that some run has."""
    known = {name: quantity for run in runs for name, quantity in run.quantities.items()}
    return {name: known[name] for name in COLUMNS if name in known}


def _curve(path: Path) -> Curve:
    columns = read_journal(path)
    images = [int(value) for value in columns.pop("images") if value is not None]
    columns.pop("step")
    return Curve(images=images, series=columns)


def _describe_data(images: dict[str, EmbeddedImages]) -> dict[str, str | int]:
    train = images["train"]
    return {
        "name": "emoji artwork of three makers",
        "image size": train[0].image.shape[-1],
        **{split: len(subset) for split, subset in images.items()},
        "classes": len(train.class_names),
        "attributes": len(train.attributes.names),
    }


def _stage_seconds(path: Path) -> dict[str, float]:
    totals: dict[str, float] = {}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        totals[entry["stage"]] = totals.get(entry["stage"], 0.0) + entry["seconds"]
    return totals
