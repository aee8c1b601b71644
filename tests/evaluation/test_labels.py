"""Label policies: counts, order, names, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sendvae.config import SamplingConfig, validate
from sendvae.data import open_embedded
from sendvae.errors import UserError
from sendvae.evaluation.labels import Labels, choose_labels
from sendvae.runs import Classes, load_classes

UNSORTED = Classes(4, ("zebra", "cat, domestic", "2", "dog"), (10, 0, 30, 60))


def labels(given: str, images: int = 40, classes: Classes = UNSORTED, seed: int = 0) -> Labels:
    values: dict[str, Any] = {"labels": given, "images": images}
    return choose_labels(validate(SamplingConfig, values), classes, seed)


def counts(found: Labels, classes: int = 4) -> list[int]:
    return torch.bincount(found.values, minlength=classes).tolist()


@given(st.integers(1, 300), st.integers(1, 50), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_balanced_counts_differ_by_at_most_one(images: int, classes: int, seed: int) -> None:
    found = labels("balanced", images, Classes(classes), seed)
    per_class = counts(found, classes)
    assert sum(per_class) == images
    assert max(per_class) - min(per_class) <= 1
    assert found.values.dtype == torch.int64


def test_balanced_labels_are_shuffled_by_the_seed() -> None:
    one, same, other = (labels("balanced", 200, seed=s).values for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert len(set(one[:50].tolist())) == 4  # a chunk holds every class
    assert not torch.equal(one, torch.arange(200) % 4)


def test_which_classes_have_one_more_follows_from_the_seed() -> None:
    favoured = {tuple(counts(labels("balanced", 9, seed=s))) for s in range(30)}
    assert len(favoured) == 4


def test_random_labels() -> None:
    one, other = labels("random", 4000).values, labels("random", 4000, seed=1).values
    assert not torch.equal(one, other)
    assert min(counts(labels("random", 4000))) > 900
    assert torch.equal(labels("random", 100).values, one[:100])


def test_proportional_labels_follow_the_training_images() -> None:
    assert counts(labels("proportional", 20)) == [2, 0, 6, 12]
    assert sum(counts(labels("proportional", 33))) == 33
    assert not torch.equal(labels("proportional").values, labels("proportional").values.sort().values)
    with pytest.raises(UserError, match="labels=random or labels=balanced"):
        labels("proportional", classes=Classes(4))


def test_names_numbers_and_lists() -> None:
    assert labels("dog", 3).values.tolist() == [3, 3, 3]
    assert labels("cat, domestic", 2).values.tolist() == [1, 1]
    assert labels("dog,zebra,1", 7).values.tolist() == [3, 0, 1, 3, 0, 1, 3]
    assert labels("2", 1, Classes(4, ("2", "b", "c", "d"), (1, 1, 1, 1))).values.tolist() == [
        0
    ]  # the name wins
    assert labels("2", 1).values.tolist() == [2]
    assert labels("dog,zebra").policy == labels("3,0").policy != labels("0,3").policy


def test_a_file_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("dog\ncat, domestic\n\n0\n")
    found = labels(str(path), 3)
    assert found.values.tolist() == [3, 1, 0]
    path.write_text("dog\ncat, domestic\n1\n")
    assert labels(str(path), 3).policy != found.policy
    with pytest.raises(UserError, match=r"3 labels, images=40(?s:.*)--images 3"):
        labels(str(path))
    path.write_text("dog\nwolf\n7\n")
    with pytest.raises(UserError, match=r"labels.txt(?s:.*)'wolf', '7'"):
        labels(str(path), 3)
    path.write_text("\n")
    with pytest.raises(UserError, match="no labels"):
        labels(str(path), 3)


@pytest.mark.parametrize(
    ("given", "named"), [("4", "'4'"), ("-1", "'-1'"), ("dog,wolf", "'wolf'"), ("balancd", "'balancd'")]
)
def test_labels_outside_the_classes_are_named(given: str, named: str) -> None:
    with pytest.raises(UserError, match=r"no such classes") as error:
        labels(given)
    assert named in str(error.value)
    assert "class numbers from 0 to 3, or names: zebra" in str(error.value)
    with pytest.raises(UserError, match="without class names"):
        labels("dog", classes=Classes(4))


def test_classes_on_disk(tmp_path: Path) -> None:
    assert load_classes(tmp_path, 4) == Classes(4)
    UNSORTED.save(tmp_path)
    assert load_classes(tmp_path, 4) == UNSORTED
    with pytest.raises(UserError, match="of another model"):
        load_classes(tmp_path, 5)
    (tmp_path / "classes.json").write_text('{"names": ["a"]')
    with pytest.raises(UserError, match="damaged"):
        load_classes(tmp_path, 1)


def test_classes_of_a_data_set() -> None:
    images = open_embedded("emoji", "train", 40)
    found = Classes.of(images)
    assert found.names == images.class_names
    assert found.images is not None
    assert sum(found.images) == 40
    assert found.images[int(images.labels_of([7])[0])] > 0


def test_a_model_without_classes_is_not_guided() -> None:
    for rule in ("random", "balanced", "0"):
        values = {"labels": rule, "images": 5}
        alone = choose_labels(validate(SamplingConfig, values), Classes(1), 0)
        assert alone.values.tolist() == [0] * 5
        for guidance in (2.0, 0.5):
            guided = validate(SamplingConfig, {**values, "guidance_scale": guidance})
            with pytest.raises(UserError, match="unconditional"):
                choose_labels(guided, Classes(1), 0)
            choose_labels(guided, Classes(2), 0)
