"""docs/reliability.md says what the record says, and the record is of the whole harness."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.faults.kinds import KINDS
from tests.faults.mishaps import MISHAPS
from tests.faults.stages import STAGES
from tools.reliability.page import BEGIN, END, PAGE, drawn, figures
from tools.reliability.record import FACTS, RECORD, Record, Row

KILLS, KILLS_OF_A_STAGE, INPUTS = 50, 5, 2000


def rows_of(path: Path) -> dict[tuple[str, str], Row]:
    return {(row["what"], row["stage"]): Row(**row) for row in json.loads(path.read_text())["rows"]}


def test_the_page_is_drawn_from_the_record() -> None:
    """If it is not: python -m tools.reliability.page."""
    page = PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    assert drawn(page) == page


def test_the_record_is_of_enough_and_nothing_failed() -> None:
    rows = rows_of(RECORD)
    expected = {
        (one.name, stage.name) for one in MISHAPS.values() for stage in STAGES.values() if one.meets(stage)
    }
    inputs = {(name, "") for name in KINDS}
    assert rows.keys() == expected | inputs
    assert not any(row.failures for row in rows.values())
    assert all(row.cases for row in rows.values())
    kills = [row.cases for row in rows.values() if row.what == "kill -9"]
    assert min(kills) >= KILLS_OF_A_STAGE
    assert sum(kills) >= KILLS
    assert sum(row.cases for row in rows.values() if not row.stage) >= INPUTS


def test_the_record_tells_no_names_and_no_paths() -> None:
    document = json.loads(RECORD.read_text())
    assert document.keys() == {"machines", "rows"}
    assert all(set(machine) == set(FACTS) for machine in document["machines"])
    assert {row["machine"] for row in document["rows"]} <= set(range(len(document["machines"])))
    assert "/" not in RECORD.read_text()


def test_a_record_is_kept_row_by_row_and_drawn(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.json"
    record = Record(path)
    stage, other = list(STAGES)[:2]
    record.add(Row("kill -9", stage, 1203, 700, 5, 2, "2026-01-02", "9.8"))
    record.add(Row("SIGTERM", stage, 31, 30, 5, 0, "2026-01-04", "9.9"))
    record.add(Row("images", "", 4321, 4000, 0, 1, "2026-01-03", "9.9"))
    assert Record(path).rows == record.rows
    assert not Record(path, anew=True).rows
    text = figures(path)
    assert "**1,203 kills, 31 other mishaps and 4,321 damaged inputs; a promise was broken 3 times.**" in text
    assert "2026-01-02 to 2026-01-04 with sendvae 9.8, 9.9 on" in text
    assert f"| kill -9 | {MISHAPS['kill -9'].promise} | 1,203 | 700 | 2 |" in text
    assert f"\n| {stage} | 1,203 (2) | 31 | – |" in text
    assert f"\n| {other} | – | – |" in text
    assert "\n| images | 4,321 | 4,000 | 321 | 1 |" in text


def test_what_failed_or_is_too_little_is_tried_again(tmp_path: Path) -> None:
    record = Record(tmp_path / "record.json")
    record.add(Row("a", "s", 8, 8, 1, 0))
    record.add(Row("b", "s", 8, 8, 1, 1))
    assert record.holds("a", "s", 8)
    assert not record.holds("a", "s", 9)
    assert not record.holds("a", "t", 8)
    assert not record.holds("b", "s", 8)


def test_rows_of_two_machines_are_mixed_only_where_that_is_asked_for_and_said(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    Record(path).add(Row("a", "s", 8, 8, 1, 0))
    path.write_text(path.read_text().replace('"cores": ', '"cores": 9'))
    with pytest.raises(ValueError, match="another machine"):
        Record(path)
    record = Record(path, beside=True)
    record.add(Row("b", "s", 7, 7, 1, 0))
    assert [record.rows[what, "s"].machine for what in "ab"] == [0, 1]
    text = figures(path)
    assert f" {record.machines[0]['cores']} cores" in text
    assert "(8 cases); and on " in text
    assert "(7 cases)." in text
    assert not Record(path, anew=True).rows
