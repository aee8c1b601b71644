"""Robustness of decoders for which it is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sendvae.latents import SCORES, Bootstrap, Evidence, TensorRows
from sendvae.latents.scores.robustness import robustness, score_robustness

SCALES = torch.tensor([0.08, 0.02, 0.05]).view(3, 1, 1)
Z = (
    torch.randn(70, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * SCALES + SCALES
)  # two batches, nothing clipped


def evidence(latents: Tensor, **changes: object) -> Evidence:
    given = {"decode": lambda z: z, "bootstrap": Bootstrap(30, 0), **changes}
    return Evidence("x", {"test": TensorRows(latents)}, tuple(latents.shape[1:]), **given)  # type: ignore[arg-type]


def test_an_identity_decoder_loses_a_tenth_of_every_channel() -> None:
    found = score_robustness(evidence(Z)).numbers["robustness"]
    error = (0.01 * Z.double().var((0, 2, 3), correction=0)).mean()  # 0.1 s of each channel
    assert found.value == pytest.approx(float(10 * (4 / error).log10()), abs=0.1)
    assert found.resampled is not None
    assert found.resampled.std() > 0


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_the_scale_of_the_latents_does_not_count_but_the_decoder_s_gain_does(gain: float) -> None:
    plain = robustness(TensorRows(Z), lambda z: z)
    scaled = robustness(TensorRows(Z * 5), lambda z: z / 5)
    torch.testing.assert_close(scaled, plain, rtol=1e-4, atol=1e-4)
    amplified = robustness(TensorRows(Z), lambda z: z * gain)
    expected = 20 * torch.tensor(gain).log10()
    torch.testing.assert_close(plain - amplified, expected.double().expand(70), rtol=0, atol=0.05)


def test_a_decoder_that_reads_the_small_part_is_harmed_more() -> None:
    """Both decode the same images; in the second latent they are a small part of the channel's variance."""
    smooth = 0.4 * torch.randn(70, 3, 1, 1, generator=torch.Generator().manual_seed(1)).expand(Z.shape)

    def detail(z: Tensor) -> Tensor:
        return z - z.mean((-2, -1), keepdim=True)

    alone, hidden = (robustness(TensorRows(z), detail).mean() for z in (Z, Z + smooth))
    assert alone - hidden > 5


def test_errors_are_seeded_and_differ_between_images() -> None:
    same = Z[:1].expand(70, -1, -1, -1) * torch.linspace(0.5, 1.5, 70).view(-1, 1, 1, 1)
    first, again, other = (robustness(TensorRows(same), lambda z: z, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert (first != other).all()
    assert len(first.unique()) == 70
    seeded = score_robustness(evidence(same, seed=3)).numbers["robustness"].value
    assert seeded == pytest.approx(float(first.mean()))


def test_tokens_have_it_too_and_nothing_has_it_without_a_decoder() -> None:
    tokens = torch.randn(5, 3, 9)
    assert score_robustness(evidence(tokens)).numbers.keys() == SCORES["robustness"].quantities.keys()
    none = score_robustness(evidence(Z, decode=None))
    assert none.details == {"no robustness": "no decoder is at hand"}
    assert SCORES["robustness"].quantity("robustness").higher_is_better


def test_what_lies_outside_the_range_of_images_is_clipped() -> None:
    far = robustness(TensorRows(Z), lambda z: z + 3)
    assert far.tolist() == pytest.approx([106.0206] * 70, abs=1e-4)  # equal images
