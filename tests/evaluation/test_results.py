from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sendvae.errors import UserError
from sendvae.evaluation.results import Input, Number, Result, Subject
from sendvae.evaluation.tables import print_comparison, print_result

PROTOCOL = {"kind": "evaluate-generation", "neighbours": 3, "intervals": {"bootstrap": 1000}}


def result(value: float = 2.0, images: int = 50, digest: str = "sha256:a", **changes: Any) -> Result:
    numbers = {"fid": Number(value=value, interval=(value - 1, value + 1), method="jackknife")}
    subject = Subject(name="s", input=Input(source="s.npz", images=images, digest="x"), numbers=numbers)
    fields: dict[str, Any] = {
        "kind": "generation",
        "protocol": PROTOCOL,
        "inputs": {"reference": Input(source="r.npz", images=9, digest=digest)},
        "subjects": [subject],
        "environment": {"sendvae": "1"},
    }
    return Result(**{**fields, **changes})


def printed(results: list[Result]) -> str:
    text = io.StringIO()
    console = Console(file=text, width=200)
    if len(results) == 1:
        print_result(results[0], console)
    else:
        print_comparison(results, [f"run{i}" for i in range(len(results))], console)
    return text.getvalue()


@pytest.mark.parametrize("value", [2.5, 1 / 3, math.inf])
def test_saved_and_loaded(value: float, tmp_path: Path) -> None:
    saved = result(value)
    path = saved.save(tmp_path / "new/folder")
    assert Result.load(path) == Result.load(path.parent) == saved
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_files_that_are_no_results(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such result"):
        Result.load(tmp_path / "absent.json")
    for text in ("{", "[]", "{}", '{"kind": "generation", "format": 2}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UserError, match="is no result"):
            Result.load(tmp_path / "bad.json")


def test_a_table_shows_numbers_and_intervals() -> None:
    text = printed([result(2.0)])
    assert "fid" in text
    assert "2 [1, 3]" in text
    assert "50 images" in text


def test_comparison_shows_differences() -> None:
    assert "(+1.5000)" in printed([result(2.0), result(3.5)])


@pytest.mark.parametrize(
    ("other", "field"),
    [
        (result(protocol={**PROTOCOL, "neighbours": 5}), r"protocol.neighbours: 3 \| 5"),
        (
            result(protocol={**PROTOCOL, "intervals": {"bootstrap": 9}}),
            r"intervals.bootstrap: 1000 \| 9",
        ),
        (result(protocol={k: v for k, v in PROTOCOL.items() if k != "neighbours"}), r"3 \| \(none\)"),
        (result(digest="sha256:b"), "reference.digest: sha256:a"),
        (result(images=10), r"images: \[50\] \| \[10\]"),
        (result(kind="reconstruction"), r"kind: generation \| reconstruction"),
    ],
)
def test_other_protocols_are_refused_with_the_fields_that_differ(other: Result, field: str) -> None:
    with pytest.raises(UserError, match=rf"do not compare(?s:.*){field}"):
        printed([result(), other])


def test_where_inputs_lay_and_versions_do_not_matter() -> None:
    moved = result(inputs={"reference": Input(source="elsewhere.npz", images=9, digest="sha256:a")})
    assert "(+0.0000)" in printed([result(), moved.model_copy(update={"environment": {"sendvae": "2"}})])
