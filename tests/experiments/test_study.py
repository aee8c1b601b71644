"""A study runs what has no result, keeps what finishes, leaves out what cannot be run, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import toy_stages as toys
from tests.experiments.kept_results import keep_result
from toy_stages import Toy

from sendvae.config import ScaleConfig, load_config
from sendvae.errors import UserError
from sendvae.experiments.cell import Cell, Stage
from sendvae.experiments.declaration import WHOLE, Better, Column, Experiment, Row, View
from sendvae.experiments.graph import Graph
from sendvae.experiments.kept import QUANTITIES, load_kept, load_table
from sendvae.experiments.missing import Missing
from sendvae.experiments.scale import Place, Scale, load_scale
from sendvae.experiments.schedule import StagesFailed
from sendvae.experiments.stages import STAGES
from sendvae.experiments.study import Study, lacking_texts
from sendvae.weights.hub import Hub
from sendvae.weights.web import Web

EXPERIMENT = Experiment(
    "toys", "?", [Row("a"), Row("b")], [Column("x")], [Better("a before b", "a", "b", Column("x"))]
)


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES, "source", toys.SOURCE)
    monkeypatch.setitem(STAGES, "toy", toys.kind())


class Toys(Scale):
    """Two seeds of each row; `b` reads a file."""

    def __init__(self, reads: str | None = None, value: int = 0, does: str = "count") -> None:
        super().__init__(load_config(ScaleConfig, "scales/tiny", ["title=toys"]))
        self.reads, self.value, self.does = reads, value, does

    def lacks(self, row: Row, view: View = WHOLE) -> str | None:
        del row, view
        return None

    def cells(self, experiment: Experiment) -> dict[Place, Cell]:
        found = {}
        for row in experiment.rows:
            for seed in (0, 1):
                name, own = f"{row.name}-{seed}", row.name == "b"
                toy = Toy(
                    value=10 * seed + self.value,
                    does=self.does if own else "count",
                    reads=self.reads if own else None,
                )  # type: ignore[arg-type]
                base = Stage("source", name, toy)
                found[Place(row, WHOLE, seed)] = Cell(name, row.name, seed, {"base": base})
        return found


def study(
    tmp_path: Path, scale: Scale, committed: Path | None = None, **options: bool | Sequence[str]
) -> Study:
    return Study([EXPERIMENT], scale, tmp_path / "run", committed, **options)  # type: ignore[arg-type]


def ran(tmp_path: Path) -> int:
    return len(list(tmp_path.glob("run/stages/*/ran.txt")))


def test_what_is_run_is_kept_and_found_again(tmp_path: Path) -> None:
    first = study(tmp_path, Toys(reads=str(Path(__file__))))
    assert list(first.wanted) == list(first.nodes) == ["a-0", "a-1", "b-0", "b-1"]
    changes: list[int] = []
    first.run("command", watch=lambda: changes.append(len(list((tmp_path / "run/results").glob("*.json")))))
    assert ran(tmp_path) == 4
    assert changes[0] == 0
    assert changes[-1] == 4  # as they finish
    kept = load_kept(tmp_path / "run/results/b-1.json", load_table(tmp_path / "run/results" / QUANTITIES))
    assert kept.stages["base"].digest == first.nodes["b-1"]["base"].digest
    again = study(tmp_path, Toys(reads=str(Path(__file__))))
    assert not again.wanted
    again.run("command")
    assert ran(tmp_path) == 4
    (found,) = again.reproductions()
    assert (found.done, found.wanted) == (4, 4)


def test_committed_results_are_used_and_fresh_ones_held_against_them(tmp_path: Path) -> None:
    committed, scale = tmp_path / "committed", Toys()
    cells = scale.cells(EXPERIMENT).values()
    digests = {cell.name: {"base": Graph(tmp_path).add(cell.stages["base"]).digest} for cell in cells}
    for cell in cells:
        keep_result(committed, cell, {"f1_macro": 0.5 + cell.seed}, digests[cell.name])
    drawn = study(tmp_path, scale, committed)
    assert not drawn.wanted
    assert drawn.reproductions()[0].done == 4
    assert drawn.deviations() == {}  # nothing was computed here
    other = study(tmp_path, Toys(value=1), committed)
    assert len(other.wanted) == 4  # declared otherwise
    assert "base.config.value: 0 | 1" in other.reproductions()[0].refused["a-0"][0]
    fresh = study(tmp_path, scale, committed, fresh=True, only=["a-1"])
    assert list(fresh.wanted) == ["a-1"]
    keep_result(
        tmp_path / "run/results",
        scale.cells(EXPERIMENT)[Place(Row("a"), WHOLE, 1)],
        {"f1_macro": 1.6},
        digests["a-1"],
    )
    assert fresh.deviations() == {"a-1": ("f1_macro", 1.6, 1.5)}


def test_published_results_are_committed_too(tmp_path: Path) -> None:
    committed = tmp_path / "docs"
    study(tmp_path, Toys(), committed, only=["a-0"]).run("command", publish=True)
    assert [path.name for path in committed.iterdir()] == ["a-0.json"]
    assert ran(tmp_path) == 1


class Sampled(Toys):
    """Cells whose only stage draws samples."""

    def cells(self, experiment: Experiment) -> dict[Place, Cell]:
        found = super().cells(experiment)
        return {
            place: replace(cell, stages={"samples": cell.stages["base"]}) for place, cell in found.items()
        }


def test_pictures_of_samples_are_published_and_shown_from_there(tmp_path: Path) -> None:
    experiment, committed = replace(EXPERIMENT, drawn="samples", claims=[]), tmp_path / "docs"

    def studied(run: str, value: int = 0) -> Study:
        return Study([experiment], Sampled(value=value), tmp_path / run, committed, only=["a-0", "a-1"])

    first = studied("run")
    first.run("command")
    for name in ("a-0", "a-1"):
        (first.nodes[name]["samples"].folder / "samples.png").write_text(name)
    first.keep(publish=True)
    assert sorted(path.name for path in committed.glob("*.png")) == ["a-0.png"]  # one seed is shown
    assert (committed / "a-0.png").read_text() == "a-0"
    (found,) = studied("elsewhere").reproductions(committed_only=True)
    assert [(picture.label, picture.path) for picture in found.pictures] == [("a", committed / "a-0.png")]
    (here,) = first.reproductions()
    assert here.pictures[0].path == first.nodes["a-0"]["samples"].folder / "samples.png"
    own = first.folder / "results"  # it has priority over the committed one
    (own / "a-0.png").write_text("own")
    first.nodes["a-0"]["samples"].folder.joinpath("samples.png").unlink()
    (here,) = first.reproductions()
    assert [picture.path for picture in here.pictures] == [own / "a-0.png"]
    (other,) = studied("elsewhere", value=1).reproductions()  # its results are declared otherwise
    assert not other.pictures


def test_cells_whose_data_are_missing_are_left_out_and_named(tmp_path: Path) -> None:
    def refuse(_contents: object, config: Toy) -> str:
        if config.reads is not None:
            raise UserError("no such images", given=config.reads, next_step="prepare them")
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGES, "source", toys.StageKind(toys.work, output="out", reads=refuse))
        partly = study(tmp_path, Toys(reads="nowhere"))
        assert list(partly.nodes) == ["a-0", "a-1"]
        assert list(partly.lacking) == ["b-0", "b-1"]
        (text,) = lacking_texts(partly.lacking)
        assert (
            text
            == "no such images\n  given:    nowhere\n  next:     prepare them\n  needed by 2 cells: b-0, b-1"
        )
        partly.run("command")
    assert ran(tmp_path) == 2


def test_failures_do_not_stop_the_rest(tmp_path: Path) -> None:
    with pytest.raises(StagesFailed, match="the toy b-0 is broken"):
        study(tmp_path, Toys(does="fail")).run("command")
    assert sorted(path.name for path in (tmp_path / "run/results").iterdir()) == ["a-0.json", "a-1.json"]


def test_an_unknown_cell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown cell of these experiments 'a-2'(?s:.*)did you mean"):
        study(tmp_path, Toys(), only=["a-2"])


def test_a_folder_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "holiday.jpg").write_text("x")
    with pytest.raises(UserError, match=r"holds something else than an experiment(?s:.*)holiday.jpg"):
        study(tmp_path, Toys()).run("command")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["holiday.jpg"]


def test_everything_that_a_cell_misses_is_told_at_once_and_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENDVAE_WEIGHTS", str(tmp_path / "weights"))

    def forbidden(*_: object) -> None:
        raise AssertionError("fetched")

    for source in (Hub, Web):
        monkeypatch.setattr(source, "fetch", forbidden)
    cell = load_scale("paper").cell(Row("dinov3"), WHOLE, 0)
    told = "\n".join(str(error) for error in Missing(Graph(tmp_path).contents, fetch=False).of(cell))
    for name in ("vavae-f16d32", "dinov3-b", "dinov2-b", "lpips-vgg", "inception"):
        assert f"the weights of {name} are not on this machine" in told
        assert f"sendvae models pull {name}" in told
    assert "data/imagenet256" in told
    assert "data/VIRTUAL_imagenet256_labeled.npz" in told
    assert (
        Missing(Graph(tmp_path).contents, fetch=False).of(load_scale("tiny").cell(Row("send-vae"), WHOLE, 0))
        == []
    )
