"""Draw the figures of docs/reliability.md from the record: python -m tools.reliability.page"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.faults.kinds import KINDS
from tests.faults.mishaps import MISHAPS
from tests.faults.stages import STAGES
from tools.reliability.record import RECORD, Machine, Row

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
BEGIN, END = "<!-- from results/reliability.json: python -m tools.reliability -->", "<!-- end -->"
NONE = "–"


def figures(path: Path = RECORD) -> str:
    """Return the figures as Markdown: a sentence on all trials, the mishaps, their cases in each stage, the inputs."""
    document = json.loads(path.read_text())
    rows = {(row["what"], row["stage"]): Row(**row) for row in document["rows"]}
    parts = [
        _sentence(list(rows.values()), document["machines"]),
        *_mishaps(rows),
        *_stages(rows),
        *_inputs(rows),
    ]
    return "\n".join(parts)


def _sentence(rows: Sequence[Row], machines: Sequence[Machine]) -> str:
    befallen = [row for row in rows if row.stage]
    kills = sum(row.cases for row in befallen if row.what == "kill -9")
    others = sum(row.cases for row in befallen) - kills
    inputs = sum(row.cases for row in rows if not row.stage)
    failures = sum(row.failures for row in rows)
    dates = sorted({row.date for row in rows})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    versions = ", ".join(sorted({row.version for row in rows}))
    tried = [sum(row.cases for row in rows if row.machine == number) for number in range(len(machines))]
    alone = sum(map(bool, tried)) == 1
    places = [
        f"{one['processor']}, {one['cores']} cores, {one['memory_gib']:.0f} GiB, Python {one['python']}, PyTorch "
        f"{one['torch']}{'' if alone else f' ({cases:,} cases)'}"
        for one, cases in zip(machines, tried, strict=True)
        if cases
    ]
    return (
        f"**{kills:,} kills, {others:,} other mishaps and {inputs:,} damaged inputs; a promise was broken {failures:,} "
        f"times.** Tried {when} with sendvae {versions} on {'; and on '.join(places)}."
    )


def _mishaps(rows: dict[tuple[str, str], Row]) -> list[str]:
    """Return the table of mishaps, with a row for each: its promise, and the sums over the stages."""
    lines = [
        "",
        "| what happens | what is promised | cases | left finished parts | broken |",
        "|---|---|---|---|---|",
    ]
    for mishap in MISHAPS.values():
        own = [row for (what, stage), row in rows.items() if what == mishap.name and stage]
        cases, good, failures = (
            sum(getattr(row, name) for row in own) for name in ("cases", "good", "failures")
        )
        lines.append(f"| {mishap.name} | {mishap.promise} | {cases:,} | {good:,} | {failures:,} |")
    return lines


def _stages(rows: dict[tuple[str, str], Row]) -> list[str]:
    """Return the table of cases, with a row for each stage and a column for each mishap."""
    lines = [
        "",
        "Cases of each stage; in brackets those in which a promise was broken:",
        "",
        f"| | {' | '.join(MISHAPS)} |",
        "|---" * (len(MISHAPS) + 1) + "|",
    ]
    for name in STAGES:
        cells = [_cell(rows.get((mishap, name))) for mishap in MISHAPS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _cell(row: Row | None) -> str:
    if row is None:
        return NONE
    return f"{row.cases:,}" + (f" ({row.failures:,})" if row.failures else "")


def _inputs(rows: dict[tuple[str, str], Row]) -> list[str]:
    """Return the table of damaged inputs, with a row for each kind."""
    lines = [
        "",
        "Damaged inputs, all different:",
        "",
        "| input | cases | refused in words | good enough to work with | broken |",
        "|---|---|---|---|---|",
    ]
    for name in KINDS:
        row = rows.get((name, ""))
        if row is not None:
            lines.append(
                f"| {name} | {row.cases:,} | {row.good:,} | {row.cases - row.good:,} | {row.failures:,} |"
            )
    return lines


def drawn(page: str, path: Path = RECORD) -> str:
    """Return a page with its figures drawn anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{figures(path)}\n{END}{rest.split(END, 1)[1]}"


def write() -> None:
    """Draw the figures of the page."""
    PAGE.write_text(drawn(PAGE.read_text()))


if __name__ == "__main__":
    write()
