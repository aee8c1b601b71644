"""What a study says of a new tokenizer: analytic lines, the protocol's guard, and the study that ships."""

from __future__ import annotations

import math
from html import unescape
from pathlib import Path

import pytest
from tools.study import study_of
from typer.testing import CliRunner

from sendvae.cli.main import app
from sendvae.config import LatentsConfig, load_config
from sendvae.errors import UserError
from sendvae.evaluation import wording
from sendvae.evaluation.results import Input, Number, Result, Subject
from sendvae.experiments import standing
from sendvae.experiments.standing import (
    StudiedTokenizers,
    check_protocol,
    findings_of,
    load_study,
    protocol_of,
    standings,
)
from sendvae.quantities import Quantity
from sendvae.report import write_report

RESULTS = Path(__file__).parents[2] / "docs/results"
WOBBLE = [0.3, -0.2, 0.1, -0.4, 0.2, 0.0, -0.1, 0.4, -0.3, 0.2, -0.2, 0.1]
runner = CliRunner()


def study(**changes: object) -> StudiedTokenizers:
    """Twelve tokenizers: "exact" lies on a line with the distance, "rough" near one, "rare" on nine of them."""
    points = {
        f"t{i}": {"exact": float(i), "rough": i + 5 * WOBBLE[i], "distance": 100.0 - 3.0 * i}
        | ({"rare": 100.0 - 3.0 * i} if i < 9 else {})
        for i in range(12)
    }
    values = {
        "title": "toy", "limits": "none", "targets": ["distance"], "scores": ["rough", "exact", "rare"],
        "points": points, "quantities": {"distance": Quantity("Distance", "generation", False, 1, "of samples")},
    }  # fmt: skip
    return StudiedTokenizers.model_validate(values | changes)


def test_the_best_score_predicts_and_says_where_it_lies() -> None:
    (found,) = standings(study(), {"exact": 4.5, "rough": 3.0, "rare": 0.0})
    assert (found.target, found.label, found.score) == ("distance", "Distance", "exact")
    assert found.value == pytest.approx(100.0 - 13.5)
    assert found.interval == pytest.approx((86.5, 86.5))
    assert found.share == pytest.approx(0.0, abs=1e-9)
    assert (found.below, found.n) == (5, 12)
    assert str(found).startswith(
        "Distance: 86.5 [86.5, 86.5] by exact, which is above that of 5 of 12 tokenizers"
    )


@pytest.mark.parametrize("missing", [{}, {"exact": math.nan}])
def test_a_score_that_was_not_measured_leaves_it_to_the_next(missing: dict[str, float]) -> None:
    """The one that only nine tokenizers have is no choice, although it is exact on them."""
    (found,) = standings(study(), {"rough": 6.0, "rare": 70.0} | missing)
    assert found.score == "rough"
    assert 0.0 < found.share < 1.0
    assert found.interval is not None
    assert found.interval[0] < found.value < found.interval[1]  # type: ignore[operator]


def test_where_nothing_helps_nothing_is_predicted() -> None:
    flat = {f"t{i}": {"noise": WOBBLE[i], "distance": WOBBLE[(5 * i + 3) % 12]} for i in range(12)}
    (found,) = standings(study(points=flat, scores=["noise"]), {"noise": 0.0})
    assert found.score is None
    assert found.value is None
    assert found.share > 1.0
    assert (
        f"no score of this result predicts it better than the study's mean does (the best has {found.share:.0%}"
        in str(found)
    )
    (nothing,) = standings(study(), {"other": 1.0})
    assert nothing.score is None
    assert str(nothing).endswith("than the study's mean does")


def test_every_target_has_its_own_line() -> None:
    two = study()
    rows = {name: row | {"loss": -row["rough"]} for name, row in two.points.items()}
    quantities = two.quantities | {"loss": Quantity("Loss", "generation", False, 1, "of the SiT")}
    found = standings(
        study(points=rows, targets=["distance", "loss"], quantities=quantities), {"exact": 1.0, "rough": 2.0}
    )
    assert [(one.label, one.score) for one in found] == [("Distance", "exact"), ("Loss", "rough")]
    assert found[1].value == pytest.approx(-2.0)


def test_another_protocol_is_refused_by_its_fields() -> None:
    own = protocol_of("tiny")
    check_protocol("tiny", load_config(LatentsConfig, own))
    check_protocol(
        "tiny",
        load_config(LatentsConfig, own, ["scores=[gap]", "batch_size=3", "bootstrap=0", "precision=fp32"]),
    )
    changed = load_config(LatentsConfig, own, ["latent=sample", "gap.weight_decay=0.5"])
    with pytest.raises(UserError, match=r"latent: mean \| sample; gap\.weight_decay: 0\.01 \| 0\.5"):
        check_protocol("tiny", changed)
    with pytest.raises(UserError, match=r"'tiny'(?s:.*)size: None \| 256"):
        check_protocol("tiny", LatentsConfig())


def test_what_ships_is_what_the_committed_results_say() -> None:
    found, protocol = study_of("tiny", RESULTS)
    assert load_study("tiny") == found
    assert load_config(LatentsConfig, protocol_of("tiny")) == protocol
    assert len(found.points) >= 10
    assert set(protocol.scores) >= {"attributes", "gap", "structure"}
    assert found.targets[:2] == ["fd-mobilenet-v2", "fd-mobilenet-v2 (guided)"]


def test_a_damaged_study_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(standing.STUDIES, "mine", tmp_path)
    (tmp_path / "points.json").write_text("{}")
    with pytest.raises(UserError, match=r"points\.json is damaged"):
        load_study("mine")
    with pytest.raises(UserError, match=r"unknown study 'tniy'(?s:.*)did you mean 'tiny'"):
        load_study("tniy")


def test_the_command_measures_by_the_studys_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints a line for every number of generation of every tokenizer, and keeps them in the result."""
    monkeypatch.chdir(tmp_path)
    asked: list[LatentsConfig] = []

    def measured(names: list[str], data: str, config: LatentsConfig, *_: object, **__: object) -> Result:
        asked.append(config)
        subjects = [
            Subject(
                name=name, input=Input(source=name, digest=name), numbers={"gap_mean": Number(value=value)}
            )
            for name, value in zip(names, (0.64, 0.58), strict=True)
        ]
        given = Input(source=data, images=3, digest="d")
        return Result(
            kind="latents",
            protocol=config.model_dump(mode="json"),
            inputs={"images": given},
            subjects=subjects,
        )

    monkeypatch.setattr("sendvae.evaluation.measure_latents", measured)
    done = runner.invoke(
        app,
        ["evaluate", "latents", "demo-plain", "demo-send-vae", "--study", "tiny", "--output", "out"],
        env={"COLUMNS": "400"},
    )
    assert done.exit_code == 0, done.output
    assert asked[0] == load_config(LatentsConfig, protocol_of("tiny"))
    result = Result.load(tmp_path / "out")
    expected = findings_of("tiny", {"demo-plain": {"gap_mean": 0.64}, "demo-send-vae": {"gap_mean": 0.58}})
    lines = wording.standing(result.findings["standing"])
    assert lines == wording.standing(expected)
    assert len(lines) == 1 + 2 * len(load_study("tiny").targets)
    assert all(line in done.output for line in lines)
    page = unescape(write_report(tmp_path / "out").read_text())
    assert all(line.strip() in page for line in lines)
    refused = runner.invoke(app, ["evaluate", "latents", "demo-plain", "--study", "tiny", "latent=sample"])
    assert "another protocol" in str(refused.exception)
    assert len(asked) == 1
