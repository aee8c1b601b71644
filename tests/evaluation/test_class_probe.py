from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from tests.evaluation.small import pictures, save_npz, small_network

from sendvae.config import GenerationConfig
from sendvae.config.schema_evaluate import IntervalConfig
from sendvae.data import open_images
from sendvae.data.prepare import Preparation, Recipe
from sendvae.data.sources import Columns
from sendvae.errors import UserError
from sendvae.evaluation import measure_generation
from sendvae.evaluation.class_probe import ClassProbe, Labelled
from sendvae.evaluation.generation import check_reference

CPU = torch.device("cpu")
CONFIG = GenerationConfig(
    metrics=["class"], limit=160, samples_split="val", intervals=IntervalConfig(bootstrap=200, jackknife=0)
)
CLASSES, COUNTS = 6, {"train": 300, "val": 190, "test": 230}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Prepare images of classes that differ in their mean colours, and overlap."""
    folder, rng = tmp_path_factory.mktemp("labelled"), np.random.default_rng(5)
    colours = rng.uniform(50, 200, (CLASSES, 3))
    for split, count in COUNTS.items():
        for number, label in enumerate(rng.integers(0, CLASSES, count)):
            pixels = colours[label] + rng.normal(0, 25, 3) + rng.normal(0, 20, (16, 16, 3))
            path = folder / "pictures" / split / f"class {label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    job = Preparation(
        str(folder / "pictures"), folder / "prepared", Recipe(16, "png", 200, 0.0), Columns(), None
    )
    job.run(lambda _: None, 1)
    return str(folder / "prepared")


def clusters(count: int, seed: int) -> Labelled:
    """Three classes far apart, unsorted and of unequal numbers, at a scale and an offset of their own."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 5, (count,), generator=generator) % 3
    noise = torch.randn(count, 4, generator=generator)
    return Labelled(700.0 + 30.0 * (5.0 * torch.eye(4)[labels] + 0.3 * noise), labels)


def test_hits_are_told_apart_and_in_order() -> None:
    probe = ClassProbe(clusters(90, 0), clusters(40, 1))
    own = clusters(25, 2)
    wrong = own.labels.clone()
    wrong[[3, 11]] = (wrong[[3, 11]] + 1) % 3
    samples, real = probe.hits(own.features, wrong)
    assert [i for i, hit in enumerate(samples.tolist()) if not hit] == [3, 11]
    assert real.tolist() == [True] * 40


def test_a_number_of_an_evaluation_is_that_of_an_independent_probe(labelled: str) -> None:
    network = small_network()
    result = measure_generation(labelled, labelled, CONFIG, CPU, network=network)
    assert result is not None
    features, labels = {}, {}
    for split, count in (("train", None), ("test", None), ("val", 160)):
        images = open_images(labelled, split, limit=count, labelled=True)
        batch = images.batch(range(len(images)))
        labels[split] = batch.labels.numpy()
        features[split] = torch.cat([network.rows(part).pool for part in batch.images.split(64)]).numpy()
    mean, std = features["train"].mean(0), features["train"].std(0)
    standardised = {split: (x - mean) / std for split, x in features.items()}
    count = len(labels["train"])
    # sendvae's weight decay is beside the mean of the loss, scikit-learn's C beside its sum.
    fit = LogisticRegression(C=1 / (1e-2 * count), max_iter=500).fit(standardised["train"], labels["train"])
    (subject,) = result.subjects
    (number,) = subject.numbers.values()
    found = {
        split: float((fit.predict(standardised[split]) == labels[split]).mean()) for split in ("val", "test")
    }
    assert number.value == pytest.approx(found["val"], abs=1.5 / 160)
    assert subject.details["classes found in real images"] == pytest.approx(found["test"], abs=2e-3)
    assert found["val"] != pytest.approx(found["test"], abs=1e-3)  # so that one cannot pass for the other
    assert number.interval is not None
    assert number.interval[0] < number.value < number.interval[1]


def test_a_reference_without_other_labelled_images_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tested on the images that trained it(?s:.*)\[test, test\]"):
        check_reference("embedded:emoji", CONFIG.model_copy(update={"class_splits": ["test", "test"]}))
    archive = save_npz(tmp_path / "reference.npz", pictures(20, seed=1))
    with pytest.raises(UserError, match="tested on the images that trained it"):
        check_reference(archive, CONFIG)


def test_labels_of_an_npz_file_are_those_of_its_samples(tmp_path: Path, labelled: str) -> None:
    images, labels = open_images(labelled, "val", labelled=True).batch(range(160))
    pixels = images.permute(0, 2, 3, 1).numpy()
    found = {}
    for name, given in (("right", labels.numpy()), ("wrong", (labels.numpy() + 1) % CLASSES)):
        samples = save_npz(tmp_path / f"{name}.npz", pixels, arr_1=given)
        config = CONFIG.model_copy(update={"samples_split": None})
        result = measure_generation(samples, labelled, config, CPU, network=small_network())
        assert result is not None
        (number,) = result.subjects[0].numbers.values()
        found[name] = number.value
    assert found["right"] > 0.5
    assert found["wrong"] < 0.1


def test_images_in_memory_have_no_probe() -> None:
    images = torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8)
    config = CONFIG.model_copy(update={"samples_split": None, "metrics": ["fd", "class"]})
    result = measure_generation(images, images, config, CPU, network=small_network())
    assert result is not None
    reasons = result.subjects[0].details
    assert [text for name, text in reasons.items() if name.startswith("no class_accuracy")] == [
        "no classes of the samples, or no labelled real images to train a probe on"
    ]
