"""Equivariance of decoders for which it is known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sendvae.latents import SCORES, Bootstrap, Evidence, TensorRows
from sendvae.latents.scores.equivariance import TRANSFORMS, equivariance, rotated, score_equivariance

Z = torch.rand(70, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


def enlarge(z: Tensor) -> Tensor:
    return F.interpolate(z, scale_factor=4, mode="nearest")


def evidence(latents: Tensor, images: Tensor, **changes: object) -> Evidence:
    given = {"decode": enlarge, "bootstrap": Bootstrap(30, 0), **changes}
    return Evidence(
        "x",
        {"test": TensorRows(latents)},
        tuple(latents.shape[1:]),
        images={"test": TensorRows(images)},
        **given,
    )  # type: ignore[arg-type]


def test_an_equivariant_decoder_makes_no_error() -> None:
    even = Z[..., ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3)  # halving loses nothing
    found = score_equivariance(evidence(even, enlarge(even))).numbers
    assert found["equivariance_rotation"].value > 100
    assert found["equivariance_scale"].value > 100


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_number_is_the_psnr_of_every_image(name: str) -> None:
    images = enlarge(Z) + 0.1 * torch.randn(70, 3, 16, 16)
    tilt = torch.linspace(-1, 1, 16)[:, None] * 0.2

    def decode(z: Tensor) -> Tensor:
        decoded = enlarge(z)
        return decoded * 3 + tilt[: decoded.shape[-2]]

    found = score_equivariance(evidence(Z, images, decode=decode)).numbers[f"equivariance_{name}"]
    if name == "rotation":
        wanted, given = images.transpose(2, 3).flip(2), decode(Z.transpose(2, 3).flip(2))
    else:
        wanted, given = (F.interpolate(x, scale_factor=0.5, mode="area") for x in (images, Z))
        given = decode(given)
    error = (given.clamp(-1, 1) - wanted).square().mean((1, 2, 3))
    psnr = 10 * (4 / error).log10()
    assert found.value == pytest.approx(float(psnr.mean()), rel=1e-4)
    assert found.resampled is not None
    assert float(found.resampled.std()) == pytest.approx(float(psnr.std()) / 70**0.5, rel=0.5)
    assert SCORES["equivariance"].quantity(f"equivariance_{name}").higher_is_better


def test_rotation_is_a_quarter_turn() -> None:
    assert torch.equal(rotated(torch.tensor([[[[1.0, 2], [3, 4]]]])), torch.tensor([[[[2.0, 4], [1, 3]]]]))
    values = equivariance(TensorRows(Z), TensorRows(enlarge(Z)), enlarge, lambda grid: grid)
    assert len(values) == 70  # more than one batch


def test_what_is_left_out_says_why() -> None:
    none = score_equivariance(evidence(Z, enlarge(Z), decode=None))
    assert none.details == {"no equivariance": "no decoder is at hand"}
    odd = Z[..., :3]
    one_side = score_equivariance(evidence(odd, enlarge(odd)))
    assert one_side.numbers.keys() == {"equivariance_rotation"}
    assert one_side.details == {"no equivariance_scale": "a grid of 3 x 4 has no half"}
    fixed = score_equivariance(evidence(Z, enlarge(Z), one_size=True))
    assert fixed.numbers.keys() == {"equivariance_rotation"}
    assert "one size only" in fixed.details["no equivariance_scale"]
    both = score_equivariance(evidence(odd, enlarge(odd), one_size=True))
    assert both.numbers == {}
    tokens = score_equivariance(Evidence("x", {"test": TensorRows(torch.randn(4, 3, 9))}, (3, 9)))
    assert "without a grid" in str(tokens.details)
