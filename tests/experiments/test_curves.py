"""Learning curves: paired by seed and images, and which of them tell the most."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendvae.errors import UserError
from sendvae.experiments.curves import CURVES, Contrast, Curves, LearningCurve, Point, load_curves

FD = "fd-mobilenet-v2"


def curve(model: str, seed: int, values: dict[int, float], guidance: float = 1.0) -> LearningCurve:
    points = [
        Point(images=images, guidance=guidance, numbers={FD: value}) for images, value in values.items()
    ]
    return LearningCurve(model=model, tokenizer=f"{model}-tokenizer", seed=seed, points=points)


def curves(*given: LearningCurve) -> Curves:
    return Curves(control="plain", contender="send", sampling={}, protocol={}, curves=list(given))


MEASURED = curves(
    curve("send", 1, {50: 80.0, 100: 41.0}),
    curve("plain", 0, {50: 100.0, 100: 50.0, 150: 30.0, 200: 25.0}),
    curve("send", 0, {50: 90.0, 100: 45.0, 150: 31.0}),
    curve("plain", 1, {50: 102.0, 100: 49.0}),
    curve("send", 7, {50: 1.0}),  # of a seed that the control lacks
)


def test_differences_are_of_the_same_seed_and_the_same_images() -> None:
    found = MEASURED.contrasts(FD, 1.0)
    assert [(one.images, one.value, one.seeds) for one in found] == [
        (50, -16.0, 2),
        (100, -6.5, 2),
        (150, 1.0, 1),
    ]
    half = 12.7062 * abs(-5.0 - -8.0) / 2  # t of one degree of freedom; s / sqrt(2) of two values
    assert found[1].interval == pytest.approx((-6.5 - half, -6.5 + half), rel=1e-4)
    assert found[2].interval is None
    assert MEASURED.contrasts(FD, 2.5) == []


def test_the_longest_of_several_seeds_and_the_longest_of_all_are_told() -> None:
    assert [one.images for one in MEASURED.telling(FD, 1.0)] == [100, 150]
    short = curves(*(one for one in MEASURED.curves if one.seed == 1))
    assert list(short.telling(FD, 1.0)) == [
        Contrast(100, -8.0, None, 1),
    ]
    even = curves(*(one.model_copy(update={"points": one.points[:2]}) for one in MEASURED.curves))
    assert [one.images for one in even.telling(FD, 1.0)] == [100]


def test_guidance_scales_are_kept_apart() -> None:
    both = curves(curve("plain", 0, {50: 10.0}), curve("send", 0, {50: 8.0}, guidance=2.5))
    assert both.guidances == [1.0, 2.5]
    assert both.contrasts(FD, 1.0) == both.contrasts(FD, 2.5) == []


def test_a_file_that_is_read_is_the_one_that_was_written(tmp_path: Path) -> None:
    MEASURED.save(tmp_path)
    assert load_curves(tmp_path) == MEASURED
    with pytest.raises(UserError, match="no learning curves"):
        load_curves(tmp_path / "elsewhere")
    (tmp_path / CURVES).write_text('{"control": 3}')
    with pytest.raises(UserError, match=r"curves.json is damaged(?s:.*)control"):
        load_curves(tmp_path)


def test_curves_that_ship_are_of_models_that_ship() -> None:
    from sendvae.diffusion import DIFFUSION_MODELS

    shipped = load_curves()
    assert {shipped.control, shipped.contender} <= DIFFUSION_MODELS.keys()
    for one in shipped.curves:
        assert DIFFUSION_MODELS[one.model].tokenizer == one.tokenizer
        assert one.points
    assert set(shipped.real) <= set(shipped.quantities)
