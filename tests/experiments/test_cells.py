"""One cell from a training to its numbers, in the smallest sizes; each number against its own computation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sendvae.config import (
    DiffusionConfig,
    EvaluationConfig,
    Expected,
    JointConfig,
    MilestoneConfig,
    SamplingConfig,
    TokenizerConfig,
    load_config,
)
from sendvae.data import open_embedded, open_images, to_float, to_uint8
from sendvae.diffusion import load_generator, save_generator
from sendvae.evaluation.networks import load_network
from sendvae.evaluation.results import Result
from sendvae.experiments.cell import Cell, Stage, build_cell
from sendvae.experiments.measures import validate_generator
from sendvae.experiments.record import load_cells
from sendvae.experiments.runner import run
from sendvae.latents import semantic_gap
from sendvae.metrics import psnr
from sendvae.metrics.frechet import frechet_distance, gaussian_of
from sendvae.randomness import stream
from sendvae.tokenizers import load_tokenizer

LIMIT = 60
SEED = 3
EVALUATION = EvaluationConfig.model_validate_json(
    json.dumps(
        {
            "reconstruction": {
                "limit": 20, "size": None, "latent": "mean", "perceptual": "effnet-lite1-perceptual",
                "features": "mobilenet-v2", "metrics": ["psnr", "fd"], "intervals": {"jackknife": 0},
            },
            "latents": {
                "size": None, "limit": LIMIT, "scores": ["attributes", "gap"], "uniformity": {"flips": False},
                "bootstrap": 30,
            },
            "generation": {
                "features": "mobilenet-v2", "metrics": ["fd"], "intervals": {"jackknife": 0},
                "reference_limit": 50,
            },
        }
    )
)  # fmt: skip
SAMPLING = SamplingConfig(steps=2, images=12, batch_size=5, labels="proportional")


def make_cell(name: str = "send", weight: float = 1.0) -> Cell:
    shared = [f"seed={SEED}", f"data.limit={LIMIT}", "loop.batch_size=8", "loop.precision=fp32"]
    tokenizer = load_config(
        TokenizerConfig,
        "demo/send-vae",
        [*shared, "loop.images=16", "loop.log_every=8", f"alignment.weight={weight}", "statistics_images=30"],
    )
    diffusion = load_config(DiffusionConfig, "demo/sit-tiny", [*shared, "loop.images=16"])
    expected = [Expected(metric="psnr", value=26.0, source="a paper")]
    return build_cell(
        name, tokenizer, diffusion, EVALUATION, SAMPLING, seed=SEED, method="m", expected=expected
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    torch.set_num_threads(1)
    run([make_cell()], folder)
    return folder


def test_a_cell_from_training_to_numbers(folder: Path) -> None:
    (cell,) = load_cells(folder)
    assert (cell.name, cell.method, cell.seed) == ("send", "m", SEED)
    assert cell.states == dict.fromkeys(["tokenizer", "diffusion", "samples", "scores"], "finished")
    assert cell.expected == [Expected(metric="psnr", value=26.0, source="a paper")]
    assert cell.curves["tokenizer"].images == [8, 16]
    assert {"reconstruction", "alignment"} <= cell.curves["tokenizer"].series.keys()
    assert cell.curves["diffusion"].series.keys() >= {"velocity", "repa"}
    assert cell.pictures.keys() == {"originals", "reconstructions", "latents", "samples"}
    assert cell.metrics.keys() <= cell.quantities.keys()
    assert len(cell.resampled["f1_macro"]) == 30
    assert cell.attribute_f1.keys() == set(open_embedded("emoji", "test", LIMIT).attributes.names)
    assert cell.peak_memory_gib > 0.1
    assert cell.seconds.keys() == cell.states.keys()


def test_the_scores_are_of_the_trained_tokenizer(folder: Path) -> None:
    (cell,) = load_cells(folder)
    (place,) = folder.glob("stages/tokenizer-send-*")
    tokenizer = load_tokenizer(place)
    images = {split: open_embedded("emoji", split, LIMIT) for split in ("train", "test")}
    with torch.no_grad():
        z = {split: tokenizer.encode(to_float(part.pixels)).mean for split, part in images.items()}
        copies = to_uint8(tokenizer.decode(z["test"][:20]))
    found = float(psnr(copies, images["test"].pixels[:20]).mean())
    assert cell.metrics["psnr"].value == pytest.approx(found, rel=1e-3)
    assert cell.metrics["psnr"].interval is not None
    labels = {split: part.labels_of(range(len(part))) for split, part in images.items()}
    gap = semantic_gap(z["train"], labels["train"], z["test"], labels["test"], "flatten")
    assert cell.metrics["gap_flatten"].value == pytest.approx(gap, abs=0.04)  # half precision on disk


def test_the_samples_are_of_the_trained_model_against_the_reference(folder: Path) -> None:
    (cell,) = load_cells(folder)
    (archive,) = folder.glob("stages/samples-send-*/samples.npz")
    samples = open_images(str(archive))
    assert len(samples) == 12
    record = json.loads(archive.with_suffix(".json").read_text())["content"]
    assert (record["seed"], record["steps"]) == (SEED, 2)
    assert Path(record["run"]) == next(folder.glob("stages/diffusion-send-*"))
    network = load_network("mobilenet-v2", torch.device("cpu"))
    drawn = network.rows(samples.batch(range(12)).images).pool
    known = network.rows(open_embedded("emoji", "train", 50).pixels).pool
    distance = frechet_distance(*gaussian_of(known), *gaussian_of(drawn))
    assert cell.metrics["fd-mobilenet-v2"].value == pytest.approx(distance, rel=1e-3)


def validation_loss(run_folder: Path, trained: Path) -> float:
    """Image by image: the latents, the class and the noise of each, times in four parts."""
    generator, tokenizer = load_generator(run_folder), load_tokenizer(trained)
    images = open_embedded("emoji", "val", LIMIT)
    assert tokenizer.latent_stats is not None
    errors = []
    with torch.no_grad():
        for number, label in enumerate(images.labels_of(range(LIMIT)).tolist()):
            posterior = tokenizer.encode(to_float(images.pixels[number : number + 1]))
            random = stream(0, number, "velocity loss")
            inside = torch.rand((), generator=random)
            own = torch.randn(posterior.mean.shape[1:], generator=random)
            noise = torch.randn(4, *posterior.mean.shape[1:], generator=random)
            z = tokenizer.latent_stats.normalize(posterior.mean + posterior.std * own).expand(4, -1, -1, -1)
            t = (torch.arange(4) + inside) / 4
            at = t.view(4, 1, 1, 1)
            velocity = generator.eval()((1 - at) * z + at * noise, t, torch.full((4,), label))
            errors.append(float((velocity - (noise - z)).square().mean()))
    return sum(errors) / LIMIT


def test_the_validation_loss_is_of_the_trained_model_on_held_out_images(folder: Path) -> None:
    (cell,) = load_cells(folder)
    places = [next(folder.glob(f"stages/{kind}-send-*")) for kind in ("diffusion", "tokenizer")]
    found = cell.metrics["velocity-loss"]
    assert found.value == pytest.approx(validation_loss(*places), rel=2e-3)  # half precision on disk
    assert found.interval is not None
    assert found.interval[0] < found.value < found.interval[1]


def test_the_validation_loss_is_of_each_images_own_class(folder: Path, tmp_path: Path) -> None:
    """By a SiT that tells classes apart, which two steps of training do not make."""
    run_folder, trained = (next(folder.glob(f"stages/{kind}-send-*")) for kind in ("diffusion", "tokenizer"))
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    generator = load_generator(copy)
    torch.manual_seed(0)
    for weights in generator.parameters():
        torch.nn.init.normal_(weights, std=0.2)
    shutil.rmtree(copy / "sit")
    save_generator(generator, copy / "sit")
    config = make_cell().stages["diffusion"].config
    assert isinstance(config, DiffusionConfig)
    validate_generator(config, str(copy), str(trained), tmp_path, tmp_path, torch.device("cpu"), "toy")
    (subject,) = Result.load(tmp_path / "validation").subjects
    expected = validation_loss(copy, trained)
    assert subject.numbers["velocity-loss"].value == pytest.approx(expected, rel=2e-3)


def test_another_cell_in_the_folder_shares_what_is_equal(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/done.json")}
    base = build_cell("base", "demo-f8d16", None, EVALUATION)
    run([make_cell("the same"), base], folder)
    same, scored = load_cells(folder)
    assert scored.states == {"scores": "finished"}
    assert same.metrics["psnr"].value != scored.metrics["psnr"].value
    after = {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/done.json")}
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()


def test_resampled_scores_belong_to_the_same_test_images(folder: Path) -> None:
    (cell, *_) = load_cells(folder)
    low, high = cell.metrics["f1_macro"].interval or (0, 0)
    assert np.quantile(cell.resampled["f1_macro"], [0.025, 0.975]) == pytest.approx([low, high], abs=1e-5)


@pytest.mark.slow
def test_joint_training_milestones_and_probes(tmp_path: Path) -> None:
    """A new SiT on the tokenizer of a joint training, sampled on its way; the tokenizer's latents of other images."""
    shared = [f"seed={SEED}", f"data.limit={LIMIT}", "loop.batch_size=8", "loop.precision=fp32"]
    joint = Stage(
        "joint",
        "joint",
        load_config(JointConfig, "demo/joint", [*shared, "loop.images=8"]),
        {"init": "demo-f8d16"},
    )
    diffusion = load_config(
        DiffusionConfig,
        "demo/sit-tiny",
        [*shared, "loop.images=24", "loop.checkpoint_every=8", "loop.milestone_every=8", "loop.keep_last=1"],
    )
    cell = build_cell("joint", joint, diffusion, EVALUATION, SAMPLING, seed=SEED)
    last = cell.stages["samples"]
    config = MilestoneConfig(**last.config.model_dump(exclude={"kind"}), at=8, batch_size=8)
    early = Cell(
        "early", "early", SEED, {"samples": Stage("milestone-samples", "early", config, last.inputs)}
    )
    protocol = EVALUATION.latents.model_copy(update={"scores": ["gap"]})
    probe = Cell("probe", "probe", SEED, {"probe": Stage("probe", "probe", protocol, {"tokenizer": joint})})
    run([cell, early, probe], tmp_path)
    whole, sooner, probed = load_cells(tmp_path)
    assert {*whole.states.values(), *sooner.states.values(), *probed.states.values()} == {"finished"}
    records = {
        path.parent.name.split("-0")[0]: json.loads(path.with_suffix(".json").read_text())["content"]
        for path in tmp_path.glob("stages/*samples-*/samples.npz")
    }
    assert sorted(record["checkpoint"] for record in records.values()) == ["1", "last"]
    assert whole.metrics["fd-mobilenet-v2"].value != sooner.metrics["fd-mobilenet-v2"].value
    assert probed.metrics["gap_flatten"].value == pytest.approx(whole.metrics["gap_flatten"].value, abs=0.04)
    (trained,) = tmp_path.glob("stages/joint-*/tokenizer")
    assert all(record["tokenizer"].startswith(str(trained)) for record in records.values())
