from __future__ import annotations

import pytest
import torch

from sendvae.latents import semantic_gap


def clusters(count: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centres = 3 * torch.randn(classes, 6, generator=torch.Generator().manual_seed(7))
    labels = torch.randint(0, classes, (count,), generator=generator)
    noise = torch.randn(count, 6, 2, 2, generator=generator)
    return centres[labels][:, :, None, None] + noise, labels


@pytest.mark.parametrize("pool", ["mean", "flatten"])
def test_separated_classes_are_read_and_shuffled_labels_are_not(pool: str) -> None:
    (train, labels), (test, test_labels) = clusters(400, 6, 0), clusters(300, 6, 1)
    assert semantic_gap(train, labels, test, test_labels, pool) > 0.98
    shuffled = semantic_gap(train, labels[torch.randperm(400)], test, test_labels, pool)
    assert shuffled < 0.45


def test_top_k_grows_to_one() -> None:
    (train, labels), (test, test_labels) = clusters(300, 6, 0), clusters(300, 6, 1)
    train, test = train + 6 * torch.randn_like(train), test + 6 * torch.randn_like(test)
    scores = [semantic_gap(train, labels, test, test_labels, top=top) for top in (1, 3, 6)]
    assert scores[0] < scores[1] < scores[2] == 1.0


def test_scale_of_the_channels_does_not_matter() -> None:
    (train, labels), (test, test_labels) = clusters(300, 4, 0), clusters(300, 4, 1)
    scale = torch.logspace(-2, 2, 6)[:, None, None]
    plain = semantic_gap(train, labels, test, test_labels)
    assert semantic_gap(train * scale + 5, labels, test * scale + 5, test_labels) == pytest.approx(
        plain, abs=0.01
    )


def test_bad_input() -> None:
    z, labels = clusters(50, 3, 0)
    with pytest.raises(ValueError, match="'max'"):
        semantic_gap(z, labels, z, labels, pool="max")
    with pytest.raises(ValueError, match=r"top must be in 1\.\.3"):
        semantic_gap(z, labels, z, labels, top=5)
