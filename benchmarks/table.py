"""Draw the table of docs/performance.md from benchmarks/results: python -m benchmarks.table"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.harness import RESULTS

PAGE = Path(__file__).parents[1] / "docs/performance.md"
BEGIN, END = "<!-- from benchmarks/results: python -m benchmarks.table -->", "<!-- end -->"


def table(folder: Path = RESULTS) -> str:
    """Return Markdown: a table for each machine, a row for each comparison."""
    documents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    machines: dict[str, list[str]] = {}
    for document in documents:
        found, ceilings = document["machine"], document["ceilings"]
        name = (
            f"{found['processor']}, {found['cores']} cores, {found['memory_gib']:.0f} GiB, PyTorch {found['torch']}, "
            f"{found['threads']} {'thread' if found['threads'] == 1 else 'threads'}"
        )
        product = f"{ceilings['fp32']:.0f} GFLOP/s in float32, {ceilings['bf16']:.0f} in bf16"
        rows = machines.setdefault(name, [f"{name}; a large matrix product: {product}.", "", *HEAD])
        for row in document["rows"]:
            rows.append(
                f"| {row['what']} | {row['seconds']:.3g} s | {row['against']} | {row['theirs']:.3g} s | "
                f"**{row['ratio']:.2f}** | {row['note']} |"
            )
    return "\n\n".join("\n".join(rows) for rows in machines.values())


HEAD = ["| what | ours | against | theirs | times faster | |", "|---|---|---|---|---|---|"]


def drawn(page: str) -> str:
    """Return a page with its table drawn anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
