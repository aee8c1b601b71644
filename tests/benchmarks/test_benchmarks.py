"""Benchmarks run, take turns, and the page holds what they wrote."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import answer, modules
from benchmarks.harness import Report, interleaved
from benchmarks.table import PAGE, drawn, table

from benchmarks import training_steps

SLOW = {
    "busy", "caching", "cpu_precision", "generator_step", "growth", "joint_step", "loader", "logistic_probe", "tokenizer_step", "weak_scaling",
}  # fmt: skip
ANY = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in modules()]


@pytest.mark.parametrize("name", ANY)
@pytest.mark.filterwarnings("ignore")  # of the libraries that ours are held against
def test_a_benchmark_answers(name: str, tmp_path: Path) -> None:
    report = answer(name, modules()[name], quick=True)
    assert report.question.endswith("?")
    assert report.rows or report.figures
    document = json.loads(report.save(tmp_path).read_text())
    assert document["machine"]["cores"] >= 1
    assert document["ceilings"]["fp32"] > 0
    for row, measured in zip(document["rows"], report.rows, strict=True):
        assert row["ratio"] == pytest.approx(row["theirs"] / row["seconds"], rel=2e-3, abs=1e-3)
        assert (row["seconds"], row["theirs"]) == pytest.approx((measured.seconds, measured.theirs), rel=1e-3)
    drawn = table(tmp_path)
    rows = [f"| {row['what']} | {row['seconds']:.3g} s | {row['against']} |" for row in document["rows"]]
    figures = [f"| {' | '.join(cells)} |" for figures in report.figures for cells in figures.texts()]
    for line in (*rows, *figures):
        assert line in drawn


@pytest.mark.slow
def test_the_script_of_training_steps_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["training_steps", "--quick"])
    training_steps.main()
    facts, *lines = capsys.readouterr().out.splitlines()
    assert json.loads(facts)["preset"] == "demo/sit-tiny"
    assert all(
        re.search(r"ms .* img/s .* TFLOP/s .*%", line) for line in lines if not line.startswith("peak")
    )
    assert lines


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate_latents.py", "9", "64", "spectrum,dimension"),
        ("scores_memory.py", "60", "4", "8", "spectrum,robustness,velocity_floor"),
    ],
)
def test_a_script_answers_for_every_score_it_is_asked(arguments: tuple[str, ...]) -> None:
    script, *others = arguments
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}", *others], cwd=PAGE.parents[1], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for score in others[-1].split(","):
        assert re.search(rf"^{score} +\d", done.stdout, re.MULTILINE), done.stdout


def test_cases_take_turns_after_a_warm_up() -> None:
    done: list[str] = []
    found = interleaved({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, 3)
    assert "".join(done) == "ab" + "ababab"
    assert found.keys() == {"a", "b"}


def test_a_ratio_above_one_is_ours_being_faster() -> None:
    report = Report("x", "Is it?", quick=True)
    row = report.compare("nothing", lambda: None, "a sum", lambda: sum(range(200_000)))
    assert row.ratio > 1
    assert row.seconds < row.theirs


def test_the_page_holds_the_results() -> None:
    page = PAGE.read_text()
    assert page == drawn(page)


def test_every_module_is_named_where_people_read() -> None:
    text = (Path(__file__).parents[2] / "benchmarks/README.md").read_text()
    asked = set(modules())
    scripts = {path.stem for path in Path(modules()["sampling"].__file__ or "").parent.glob("*.py")} - asked
    for name in scripts - {"__init__", "__main__", "harness", "table"}:
        assert re.search(rf"`{name}\.py`", text), name
