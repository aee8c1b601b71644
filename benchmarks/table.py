"""Draw the table of docs/performance.md from benchmarks/results: python -m benchmarks.table"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, Figures

PAGE = Path(__file__).parents[1] / "docs/performance.md"
BEGIN, END = "<!-- from benchmarks/results: python -m benchmarks.table -->", "<!-- end -->"


def table(folder: Path = RESULTS) -> str:
    """Return Markdown: a table for each machine, a row for each comparison; then a section for each set of figures."""
    documents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    machines: dict[str, list[str]] = {}
    for document in documents:
        rows = machines.setdefault(_machine(document), [_with_ceilings(document), "", *HEAD])
        for row in document["rows"]:
            rows.append(
                f"| {row['what']} | {row['seconds']:.3g} s | {row['against']} | {row['theirs']:.3g} s | "
                f"**{row['ratio']:.2f}** | {row['note']} |"
            )
    compared = ["\n".join(rows) for rows in machines.values() if len(rows) > 2 + len(HEAD)]
    return "\n\n".join([*compared, *(_section(document) for document in documents if document["figures"])])


def _machine(document: dict[str, Any]) -> str:
    found = document["machine"]
    return (
        f"{found['processor']}, {found['cores']} cores, {found['memory_gib']:.0f} GiB, PyTorch {found['torch']}, "
        f"{found['threads']} {'thread' if found['threads'] == 1 else 'threads'}"
    )


def _with_ceilings(document: dict[str, Any]) -> str:
    ceilings = document["ceilings"]
    product = f"{ceilings['fp32']:.0f} GFLOP/s in float32, {ceilings['bf16']:.0f} in bf16"
    return f"{_machine(document)}; a large matrix product: {product}."


def _section(document: dict[str, Any]) -> str:
    """Return the figures of one benchmark under its question."""
    parts = [f"## {document['question']}", f"{_machine(document)}."]
    for content in document["figures"]:
        figures = Figures(**content)
        lines = [_line(figures.head), _line(["---"] * len(figures.head)), *map(_line, figures.texts())]
        parts += [figures.title, "\n".join(lines)]
    return "\n\n".join(parts)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


HEAD = ["| what | ours | against | theirs | times faster | |", "|---|---|---|---|---|---|"]


def drawn(page: str) -> str:
    """Return a page with its table drawn anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
