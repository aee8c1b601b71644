"""Results as files: read back as written, small, and never taken for those of another declaration or other files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.experiments.kept_results import DISTANCE, F1, keep_result
from tests.experiments.kept_results import QUANTITIES as QUANTITIES_OF

from sendvae.errors import UserError
from sendvae.experiments.cell import Cell
from sendvae.experiments.declaration import WHOLE, Row
from sendvae.experiments.kept import QUANTITIES, declaration_of, find_kept, keep
from sendvae.experiments.record import CellResult
from sendvae.experiments.scale import load_scale
from sendvae.experiments.stages import STAGES


@pytest.fixture
def cell() -> Cell:
    return load_scale("tiny").cell(Row("send-vae"), WHOLE, 1)


def test_what_is_kept_is_read_back(cell: Cell, tmp_path: Path) -> None:
    path = keep_result(tmp_path, cell, {DISTANCE: 123.456789012, F1: 0.5})
    assert path == tmp_path / "send-vae-1.json"
    found = find_kept(tmp_path, [cell, cell])
    kept = found.results["send-vae-1"]
    assert not found.others
    assert kept.values == {DISTANCE: 123.4568, F1: 0.5}
    assert kept.numbers[F1].interval == (-0.5, 1.5)
    assert kept.quantities[DISTANCE].label == "FD-MobileNetV2"
    assert (kept.seed, kept.method, kept.declaration) == (1, "send-vae", declaration_of(cell))
    assert path.stat().st_size < 7_000
    before = path.stat().st_mtime_ns
    keep_result(tmp_path, cell, {DISTANCE: 123.456789012, F1: 0.5})
    assert path.stat().st_mtime_ns == before  # a repository sees no change


def test_a_cell_that_is_not_finished_is_not_kept(cell: Cell, tmp_path: Path) -> None:
    result = CellResult(
        cell.name, cell.method, cell.seed, [], states={"tokenizer": "finished", "samples": "missing"}
    )
    assert keep(tmp_path, cell, result, {}) is None
    assert not list(tmp_path.iterdir())


def test_another_declaration_is_named_and_not_used(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = keep_result(tmp_path, cell, {F1: 0.5})
    content = json.loads(path.read_text())
    content["declaration"]["tokenizer"]["config"]["loop"]["images"] = 40_000
    path.write_text(json.dumps(content))
    found = find_kept(tmp_path, [cell])
    assert not found.results
    assert found.others == {"send-vae-1": ["tokenizer.config.loop.images: 40000 | 60000"]}
    keep_result(tmp_path, cell, {F1: 0.5})
    assert find_kept(tmp_path, [cell]).results
    # What is measured differently since then is another protocol.
    monkeypatch.setitem(STAGES, "samples", replace(STAGES["samples"], version=STAGES["samples"].version + 1))
    (differing,) = find_kept(tmp_path, [cell]).others["send-vae-1"]
    assert differing.startswith("samples.version: ")


def test_other_images_or_weights_are_named_and_not_used(cell: Cell, tmp_path: Path) -> None:
    digests = {role: f"{i:016x}" for i, role in enumerate(cell.stages)}
    keep_result(tmp_path, cell, {F1: 0.5}, digests)
    assert find_kept(tmp_path, [cell], {cell.name: digests}).results
    assert find_kept(tmp_path, [cell], {}).results  # whose inputs are not here
    other = digests | {"scores": "f" * 16}
    found = find_kept(tmp_path, [cell], {cell.name: other})
    assert not found.results
    assert found.others[cell.name] == [
        f"images or weights that it was made from: scores: {digests['scores']} | {'f' * 16}"
    ]


def test_the_tokenizer_that_another_starts_from_is_part_of_its_declaration() -> None:
    scale = load_scale("tiny")
    one, two = (declaration_of(scale.cell(Row(name), WHOLE, 0)) for name in ("send-vae", "from-vavae"))
    assert one["tokenizer"]["config"] == two["tokenizer"]["config"]
    assert one["tokenizer"]["inputs"] == {"init": "demo-f8d16"}
    assert two["tokenizer"]["inputs"]["init"]["config"]["alignment"]["method"] == "vavae"
    assert one["samples"]["inputs"] == {"run": "the cell's diffusion", "tokenizer": "the cell's tokenizer"}


def test_a_file_that_is_no_result_is_refused(cell: Cell, tmp_path: Path) -> None:
    (tmp_path / "send-vae-1.json").write_text('{"format": 1}')
    with pytest.raises(UserError, match=r"send-vae-1.json is no result of a cell"):
        find_kept(tmp_path, [cell])
    path = keep_result(tmp_path, cell, {F1: 0.5})
    whole = path.read_text()
    path.write_text(whole[:-100])  # half of it
    with pytest.raises(
        UserError, match=r"is no result of a cell\n  given:    Invalid JSON(?s:.*)computed anew"
    ):
        find_kept(tmp_path, [cell])
    path.write_text(whole.replace('"format": 1', '"format": 2'))
    with pytest.raises(
        UserError, match=r"another version of sendvae\n  given:    format: 2\n  expected: format: 1"
    ):
        find_kept(tmp_path, [cell])


def test_how_numbers_are_read_is_kept_once(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = keep_result(tmp_path, cell, {F1: 0.5}), replace(cell, name="other-1")
    assert json.loads(path.read_text())["quantities"] == {}
    keep_result(tmp_path, other, {DISTANCE: 2.0})
    assert set(json.loads((tmp_path / QUANTITIES).read_text())) == {F1, DISTANCE}
    found = find_kept(tmp_path, [cell, other]).results
    assert found[cell.name].quantities == {F1: QUANTITIES_OF[F1]}
    assert found[other.name].quantities == {DISTANCE: QUANTITIES_OF[DISTANCE]}
    # A cell that was measured under another name for the same number keeps that, and the others keep theirs.
    renamed = replace(QUANTITIES_OF[F1], label="F1, of other probes")
    monkeypatch.setitem(QUANTITIES_OF, F1, renamed)
    third = replace(cell, name="third-1")
    assert set(json.loads(keep_result(tmp_path, third, {F1: 0.5}).read_text())["quantities"]) == {F1}
    found = find_kept(tmp_path, [cell, third]).results
    assert [found[one.name].quantities[F1].label for one in (cell, third)] == ["F1 macro", renamed.label]


def test_a_file_with_its_own_table_is_read(cell: Cell, tmp_path: Path) -> None:
    path = keep_result(tmp_path, cell, {F1: 0.5})
    content, table = json.loads(path.read_text()), tmp_path / QUANTITIES
    path.write_text(json.dumps(content | {"quantities": json.loads(table.read_text())}))
    table.unlink()
    assert find_kept(tmp_path, [cell]).results[cell.name].quantities == {F1: QUANTITIES_OF[F1]}


def test_numbers_that_nobody_can_read_are_refused(cell: Cell, tmp_path: Path) -> None:
    keep_result(tmp_path, cell, {F1: 0.5})
    (tmp_path / QUANTITIES).write_text('{"f1_macro": 3}')
    with pytest.raises(UserError, match=r"quantities\.json does not say how numbers are read"):
        find_kept(tmp_path, [cell])
    (tmp_path / QUANTITIES).unlink()
    with pytest.raises(
        UserError, match=r"nothing says how numbers of(?s:.*)f1_macro(?s:.*)restore that file"
    ):
        find_kept(tmp_path, [cell])
