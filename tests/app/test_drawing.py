"""Samples in the app are those of `sendvae sample`; previews change nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluation.samplable import NAMES, save_run, small_tokenizer
from typer.testing import CliRunner

from sendvae.app import drawing
from sendvae.app.drawing import MAX_IMAGES, MAX_STEPS, PREVIEWS, Order, Panel, draw, labels_of
from sendvae.app.refusal import Refusal
from sendvae.cli.main import app
from sendvae.evaluation.diffusion_model import DiffusionModel, load_model
from sendvae.runs import Classes
from sendvae.tokenizers import save_tokenizer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawing")
    save_tokenizer(small_tokenizer(), folder / "vae")
    for seed, name in enumerate(("a", "b")):
        save_run(folder / name, folder / "vae", seed)
    return folder


@pytest.fixture
def models(place: Path) -> dict[str, DiffusionModel]:
    return {name: load_model(str(place / name)) for name in ("a", "b")}


def order(**values: object) -> Order:
    return Order(
        **{"models": ["a"], "classes": [], "guidance": 2.5, "steps": 20, "seed": 3, "images": 6, **values}
    )  # type: ignore[arg-type]


def drawn(models: dict[str, DiffusionModel], wanted: Order) -> list[dict[str, Panel]]:
    chosen = {title: models[title] for title in wanted.models}
    config = wanted.config()
    return [panels for panels in draw(chosen, config, labels_of(chosen, config)) if panels is not None]


@pytest.mark.parametrize(("classes", "labels"), [([], "random"), ([3, 0], "bee,zebra")])
def test_images_are_those_of_the_command(
    place: Path, models: dict[str, DiffusionModel], tmp_path: Path, classes: list[int], labels: str
) -> None:
    """Bit for bit, with classes by name, and each model from the same noise."""
    panels = drawn(models, order(models=["b", "a"], classes=classes))[-1]
    assert list(panels) == ["b", "a"]
    for name, panel in panels.items():
        target = tmp_path / f"{name}.npz"
        result = CliRunner().invoke(
            app,
            ["sample", str(place / name), "--to", str(target), "--images", "6", "--guidance", "2.5", "--steps", "20",
             "--seed", "3", "--labels", labels],
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        expected = np.load(target)["arr_0"]
        assert np.array_equal(panel.images.permute(0, 2, 3, 1).numpy(), expected)
        assert (panel.step, panel.steps) == (20, 20)
    assert not torch.equal(panels["a"].images, panels["b"].images)
    assert NAMES.index("bee") == 3


def test_previews_come_in_steps_and_approach_the_samples(models: dict[str, DiffusionModel]) -> None:
    found = drawn(models, order(steps=40))
    steps = [panels["a"].step for panels in found]
    assert steps == [*range(0, 40, 40 // PREVIEWS), 40]
    last = found[-1]["a"].images.float()
    errors = [float((panels["a"].images.float() - last).square().mean()) for panels in found]
    assert errors[-1] == 0.0
    assert errors[-2] < errors[len(errors) // 2] < errors[0]
    assert all(panels["a"].images.shape == (6, 3, 8, 8) for panels in found)


def test_the_second_model_waits_for_the_first(models: dict[str, DiffusionModel]) -> None:
    found = drawn(models, order(models=["a", "b"], steps=2))
    assert [list(panels) for panels in found] == [["a"]] * 3 + [["a", "b"]] * 3
    assert [panel.step for panel in (panels["b"] for panels in found[3:])] == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"images": 0}, "number of images"),
        ({"images": MAX_IMAGES + 1}, "number of images"),
        ({"steps": 0}, "steps"),
        ({"steps": MAX_STEPS + 1}, "steps"),
        ({"guidance": -1.0}, "guidance scale"),
        ({"guidance": 0.0}, "guidance_scale"),
        ({"guidance": float("nan")}, "guidance scale"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_out_of_range(change: dict[str, object], problem: str) -> None:
    with pytest.raises(Refusal, match=problem):
        order(**change).config()


def test_classes_that_are_none(models: dict[str, DiffusionModel]) -> None:
    config = order(classes=[1, 5]).config()
    with pytest.raises(Refusal, match="no such class"):
        labels_of({"a": models["a"]}, config)


def test_models_of_different_classes(models: dict[str, DiffusionModel]) -> None:
    a, b = models["a"], models["b"]
    fewer = DiffusionModel("b", b.generator, b.tokenizer, Classes(4), b.origin)
    with pytest.raises(Refusal, match="different classes"):
        labels_of({"a": a, "b": fewer}, order().config())


def test_whoever_leaves_ends_the_sampler(models: dict[str, DiffusionModel]) -> None:
    before, evaluations = threading.active_count(), 0

    def count(*_: object) -> None:
        nonlocal evaluations
        evaluations += 1

    hook = models["a"].generator.register_forward_pre_hook(count)
    config = order(steps=900).config()
    panels = draw({"a": models["a"]}, config, labels_of({"a": models["a"]}, config))
    next(panels)
    panels.close()  # type: ignore[attr-defined]
    hook.remove()
    assert threading.active_count() == before
    assert 0 < evaluations < 450  # it did not go on to the end


def test_one_may_leave_between_two_previews(
    models: dict[str, DiffusionModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "PATIENCE", 0.001)
    config = order(steps=200).config()
    found = list(draw({"a": models["a"]}, config, labels_of({"a": models["a"]}, config)))
    assert None in found
    assert [panels["a"].step for panels in found if panels] == [*range(0, 200, 200 // PREVIEWS), 200]


def test_what_the_sampler_raises_arrives(
    models: dict[str, DiffusionModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("in the sampler")

    monkeypatch.setattr(drawing, "draw_images", broken)
    with pytest.raises(ZeroDivisionError, match="in the sampler"):
        drawn(models, order())
