"""Several experiments on one page: shared cells once, and no competition between experiments."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sendvae.cli.main import main
from sendvae.errors import UserError
from sendvae.evaluation.results import Number
from sendvae.experiments.about import About, Method
from sendvae.experiments.record import CELLS, CellRecord, CellResult, Record, StageRecord
from sendvae.quantities import Quantity
from sendvae.report import write_common_report
from sendvae.report.cells import Experiment
from sendvae.report.experiment import draw
from sendvae.report.together import together

PSNR = Quantity(
    label="PSNR", group="reconstruction", higher_is_better=True, digits=2, explanation="of the test images"
)


def experiment(title: str, cells: dict[tuple[str, str], float], images: int = 40) -> Experiment:
    """An experiment of (method, address of its stage) -> PSNR."""
    about = About(
        title=title,
        methods=[Method(name="plain", label="Plain", description="without alignment", part="ours")],
        control="plain",
        columns=["psnr"],
        data={"train": images},
        config={"title": title},
    )
    records = [
        CellRecord(
            name=f"{method}-0", method=method, seed=0,
            stages={"tokenizer": StageRecord(kind="tokenizer", folder=f"stages/{address}")},
        )
        for method, address in cells
    ]  # fmt: skip
    results = [
        CellResult(
            record.name,
            record.method,
            0,
            [],
            states={"tokenizer": "finished"},
            metrics={"psnr": Number(value=value)},
            quantities={"psnr": PSNR},
            pictures={"originals": Path(f"{title}.png")},
        )
        for record, value in zip(records, cells.values(), strict=True)
    ]
    record = Record(
        created=f"2026-01-0{len(cells)}", environment={"device": title}, about=about, cells=records
    )
    return Experiment(record, results, {"tokenizer": 60.0 * len(cells)})


@pytest.fixture
def both() -> dict[str, Experiment]:
    return {
        "first": experiment("What?", {("plain", "a1"): 27.5, ("send", "b1"): 26.5}),
        "second": experiment("Why", {("plain", "a2"): 31.5, ("send", "b1"): 26.5, ("joint", "c1"): 24.5}),
    }


def test_one_experiment_is_itself(both: dict[str, Experiment]) -> None:
    assert together({"first": both["first"]}) is both["first"]


def test_shared_cells_are_taken_once_and_other_methods_are_told_apart(both: dict[str, Experiment]) -> None:
    found = together(both)
    names = [method.name for method in found.methods]
    assert names == ["plain (first)", "send", "plain (second)", "joint"]
    assert [method.label for method in found.methods][:2] == ["Plain (first)", "send"]
    assert [found.values("psnr", name) for name in names] == [[27.5], [26.5], [31.5], [24.5]]
    assert [cell.method for cell in found.record.cells] == [cell.method for cell in found.cells] == names
    assert found.seconds == {"tokenizer": 300.0}
    assert found.record.created == "2026-01-03"
    assert found.record.environment == {"device": "What? / Why"}


def test_what_is_said_of_all(both: dict[str, Experiment]) -> None:
    about = together(both).about
    assert (about.title, about.lead) == ("Cells of first and second", "What? Why.")
    assert about.control is None
    assert about.columns == ["psnr"]
    assert about.config == {"first": {"title": "What?"}, "second": {"title": "Why"}}


def test_nothing_competes_across_experiments(both: dict[str, Experiment], tmp_path: Path) -> None:
    found = together(both)
    assert list(found.parts) == ["first: ours", "first", "second: ours", "second"]
    assert found.best("psnr") is None
    found.cells[:] = [replace(cell, pictures={}) for cell in found.cells]  # type: ignore[index]
    text = draw(found, tmp_path / "page.html").read_text()
    assert "Bold" not in text
    assert "Plain (second)" in text


def test_originals_are_shown_where_the_data_are_the_same(both: dict[str, Experiment]) -> None:
    assert all("originals" in cell.pictures for cell in together(both).cells)
    both["second"] = experiment("Why", {("joint", "c1"): 24.5}, images=41)
    found = together(both)
    assert not any("originals" in cell.pictures for cell in found.cells)
    assert found.about.data == {"train": "40 / 41"}


def test_only_experiments_and_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / CELLS).write_text("{}")
    with pytest.raises(UserError, match=r"run, which has no cells\.json"):
        write_common_report([tmp_path / "cells", tmp_path / "run"])
    with pytest.raises(UserError, match="none, which does not exist"):
        write_common_report([tmp_path / "cells", tmp_path / "none"])
    with pytest.raises(UserError, match="given twice"):
        write_common_report([tmp_path / "cells", tmp_path / "run" / ".." / "cells"])
    monkeypatch.setattr(sys, "argv", ["sendvae", "report", str(tmp_path / "cells"), str(tmp_path / "run")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "shows experiments only" in capsys.readouterr().err


def test_folders_are_drawn_under_their_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of stages that have not begun; the page lies in the current folder unless told otherwise."""
    for name, title in (("late", "Late?"), ("early", "Early?")):
        (tmp_path / name).mkdir()
        record = experiment(title, {("plain", f"of-{name}"): 1.0}).record
        about = record.about.model_copy(
            update={"methods": [Method(name="plain", label=title, description="")]}
        )
        record = record.model_copy(update={"about": about})
        (tmp_path / name / CELLS).write_text(record.model_dump_json())
    monkeypatch.chdir(tmp_path)
    for arguments, page in (
        (["late", "early"], "report.html"),
        (["late", "early", "--output", "b.html"], "b.html"),
    ):
        monkeypatch.setattr(sys, "argv", ["sendvae", "report", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
        assert capsys.readouterr().out.strip() == f"report: {tmp_path / page}"
        text = (tmp_path / page).read_text()
        assert "Cells of late and early" in text
        assert "Late? (late)" in text
        assert "Early? (early)" in text


def test_a_headline_needs_the_same_data_and_warnings_are_kept(both: dict[str, Experiment]) -> None:
    def saying(one: Experiment, **changes: object) -> Experiment:
        about = one.about.model_copy(update=changes)
        return replace(one, record=one.record.model_copy(update={"about": about}))

    told = {
        name: saying(one, headline=("f1", "fd"), warning=f"mind {name}", licences=["CC", name])
        for name, one in both.items()
    }
    about = together(told).about
    assert about.headline == ("f1", "fd")
    assert about.warning == "mind first; mind second"
    assert about.licences == ["CC", "first", "second"]
    told["second"] = saying(told["second"], data={"train": 7})
    assert together(told).about.headline is None
    told["second"] = saying(told["first"], headline=("f1", "kd"))
    assert together(told).about.headline is None
