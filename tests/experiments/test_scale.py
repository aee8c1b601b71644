"""From declarations to cells: every experiment at every scale; what a row is trained by, on what, from what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sendvae.config import (
    DiffusionConfig,
    JointConfig,
    LatentsConfig,
    MilestoneConfig,
    SamplesConfig,
    TokenizerConfig,
    TokenizerScoresConfig,
)
from sendvae.errors import UserError
from sendvae.experiments.cell import Cell, Stage
from sendvae.experiments.declaration import GUIDED, WHOLE, Better, Correlates, Row, Strongest, View
from sendvae.experiments.kept import declaration_of
from sendvae.experiments.paper import EXPERIMENTS
from sendvae.experiments.scale import load_scale, scale_names
from sendvae.published import PUBLISHED, TABLES


@pytest.mark.parametrize("name", ["tiny", "small", "paper"])
def test_a_name_is_one_piece_of_work_and_a_piece_of_work_has_one_name(name: str) -> None:
    scale = load_scale(name)
    found: dict[str, str] = {}
    for experiment in EXPERIMENTS.values():
        for place, cell in scale.cells(experiment).items():
            text = json.dumps(declaration_of(cell), sort_keys=True)
            assert found.setdefault(cell.name, text) == text
            fixed = place.view.probe is not None and "tokenizer" not in cell.stages
            assert cell.seed == (0 if fixed else place.seed)
    assert len(set(found.values())) == len(found) > 60


def test_scales_that_ship() -> None:
    assert scale_names() == ["paper", "small", "tiny"]
    tiny = load_scale("tiny")
    for experiment in EXPERIMENTS.values():  # all but the one that asks for 512 pixels have cells on a laptop
        assert bool(tiny.cells(experiment)) == (experiment.name != "table6-512")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_declarations_name_what_is_there(name: str) -> None:
    experiment = EXPERIMENTS[name]
    assert experiment.name == name
    rows = {row.name: row for row in experiment.rows}
    assert len(rows) == len(experiment.rows)
    paper, tiny = load_scale("paper"), load_scale("tiny")
    for row in experiment.rows:
        assert paper.lacks(row) is None or tiny.lacks(row) is None, row  # nothing that no scale has
        if experiment.table is not None and paper.lacks(row) is None:
            assert row.published_row in TABLES[experiment.table].rows
    for claim in experiment.claims:
        if isinstance(claim, Better):
            assert {claim.better, claim.worse} <= rows.keys()
            columns = [claim.column]
        elif isinstance(claim, Correlates):
            columns = [claim.score, claim.against]
        else:
            assert isinstance(claim, Strongest)
            columns = [claim.score, *claim.others, claim.against]
        for column in columns:
            assert column.view in {one.view for one in experiment.columns}
            assert column.protocol is None or column.metric in PUBLISHED[column.protocol].metrics


def cell(name: str, row: Row, view: View = WHOLE, seed: int = 0) -> Cell:
    return load_scale(name).cell(row, view, seed)


def stage(found: Cell, role: str) -> Stage:
    return found.stages[role]


def test_a_cell_that_two_tables_share_is_one() -> None:
    scale = load_scale("tiny")
    two, three = (
        {
            place.seed: one
            for place, one in scale.cells(EXPERIMENTS[name]).items()
            if place.row.variant == "no-noise"
        }
        for name in ("table2", "table3")
    )
    assert sorted(two) == [0, 1, 2, 3, 4]
    assert [one.name for one in two.values()] == [one.name for one in three.values()]
    assert declaration_of(two[3]) == declaration_of(three[3])


def test_what_a_row_is_trained_by() -> None:
    found = cell("tiny", Row("send-vae"), seed=2)
    assert (found.name, found.method, found.seed) == ("send-vae-2", "send-vae", 2)
    tokenizer, diffusion, samples = (stage(found, role) for role in ("tokenizer", "diffusion", "samples"))
    assert isinstance(tokenizer.config, TokenizerConfig)
    assert tokenizer.config.alignment is not None
    assert (tokenizer.config.seed, tokenizer.config.alignment.weight, tokenizer.config.alignment.noise) == (
        2,
        3.0,
        True,
    )
    assert (tokenizer.inputs, tokenizer.config.loop.images) == ({"init": "demo-f8d16"}, 60_000)
    assert isinstance(diffusion.config, DiffusionConfig)
    assert (diffusion.config.seed, diffusion.config.loop.images) == (2, 160_000)
    assert diffusion.inputs == {"tokenizer": tokenizer}
    assert isinstance(samples.config, SamplesConfig)
    assert (samples.config.sampling.seed, samples.config.sampling.guidance_scale) == (2, 1.0)
    assert samples.inputs == {"run": diffusion, "tokenizer": tokenizer}
    assert isinstance(stage(found, "scores").config, TokenizerScoresConfig)
    depth = stage(cell("tiny", Row("depth-2")), "tokenizer").config
    assert isinstance(depth, TokenizerConfig)
    assert depth.alignment is not None
    assert (depth.alignment.depth, depth.alignment.noise) == (2, False)


def test_from_what_a_row_starts() -> None:
    aligned = stage(cell("tiny", Row("f16d16-align"), seed=2), "tokenizer")
    base = aligned.inputs["init"]
    assert isinstance(base, Stage)
    assert isinstance(base.config, TokenizerConfig)
    assert (base.inputs, base.config.seed, base.label) == ({"init": "fresh:demo-f8d4"}, 0, "base-4-0")
    again = stage(cell("tiny", Row("from-vavae"), seed=2), "tokenizer")
    direct = again.inputs["init"]
    assert isinstance(direct, Stage)
    assert isinstance(direct.config, TokenizerConfig)
    assert direct.config.alignment is not None
    assert (direct.config.alignment.method, direct.config.seed) == ("vavae", 2)  # of the same seed
    joint = stage(cell("tiny", Row("e2e-vae"), seed=1), "tokenizer")
    assert isinstance(joint.config, JointConfig)
    assert (joint.kind, joint.config.seed, joint.config.loop.images) == ("joint", 1, 60_000)
    published = cell("paper", Row("vavae"))
    assert "tokenizer" not in published.stages
    assert stage(published, "diffusion").inputs == {"tokenizer": "vavae-f16d32"}
    assert cell("tiny", Row("f16d32-align")).name == cell("tiny", Row("send-vae")).name == "send-vae-0"


def test_the_data_of_a_scale_are_everywhere() -> None:
    found = cell("small", Row("send-vae"), seed=1)
    for role in ("tokenizer", "diffusion"):
        config = stage(found, role).config
        assert isinstance(config, TokenizerConfig | DiffusionConfig)
        assert (config.data.source, config.data.classes) == ("data/imagenet100", 100)
    samples, scores = stage(found, "samples").config, stage(found, "scores").config
    assert isinstance(samples, SamplesConfig)
    assert isinstance(scores, TokenizerScoresConfig)
    assert (samples.reference, scores.latents.data) == ("data/imagenet100", "data/imagenet100")
    full = stage(cell("paper", Row("send-vae")), "samples").config
    assert isinstance(full, SamplesConfig)
    assert (full.reference, full.sampling.images) == ("data/VIRTUAL_imagenet256_labeled.npz", 50_000)


def test_views_of_a_row_share_its_trainings() -> None:
    whole = cell("tiny", Row("send-vae"))
    guided, early = cell("tiny", Row("send-vae"), GUIDED), cell("tiny", Row("send-vae"), View(at=0.125))
    assert [one.name for one in (guided, early)] == ["send-vae-guided-0", "send-vae-at12.5-0"]
    for other in (guided, early):
        for role in ("tokenizer", "diffusion", "scores"):
            assert stage(other, role) == stage(whole, role)
    config = stage(guided, "samples").config
    assert isinstance(config, SamplesConfig)
    assert (config.sampling.guidance_scale, config.sampling.guidance_interval) == (2.0, [0.0, 0.75])
    milestone = stage(early, "samples")
    assert isinstance(milestone.config, MilestoneConfig)
    assert (milestone.kind, milestone.config.at, milestone.config.step) == ("milestone-samples", 20_000, 313)
    probe = cell("paper", Row("send-vae"), View(probe="awa"))
    assert probe.stages.keys() == {"tokenizer", "probe"}
    config = stage(probe, "probe").config
    assert isinstance(config, LatentsConfig)
    assert (config.data, config.scores) == ("awa2:data/awa2", ["attributes"])


def test_generators_of_systems() -> None:
    found = cell("paper", Row("send-vae", "xl-800"))
    config = stage(found, "diffusion").config
    assert isinstance(config, DiffusionConfig)
    assert (found.name, config.model, config.loop.images) == ("send-vae-xl-800-0", "SiT-XL/1", 1_024_000_000)


def test_what_a_scale_lacks_is_said() -> None:
    tiny = load_scale("tiny")
    assert tiny.lacks(Row("sdvae")) == "no sdvae"
    assert tiny.lacks(Row("send-vae", "xl-800")) == "no generator xl-800"
    assert tiny.lacks(Row("send-vae"), View(probe="awa")) == "no images of awa"
    assert tiny.lacks(Row("send-vae")) is None
    assert load_scale("small").lacks(Row("send-vae", "xl-800")) == "no generator xl-800"


def scale_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: scales/tiny\ntitle: mine\n{text}\n")
    return str(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("variants: {send-vae: {tokenizer: demo-f8d16}}", "one of preset, tokenizer and same_as"),
        ("variants: {mine: {tokenizer: demo-f8d16, init: base}}", "belong to a preset"),
        ("generators: {b: {same_as: xl-80}}", "either preset or same_as"),
        ("variants: {mine: {presett: demo/plain}}", "variants.mine.presett(?s:.*)did you mean"),
        ("seeds: 0", "seeds"),
    ],
)
def test_wrong_scales_are_refused(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        load_scale(scale_file(tmp_path, text))


def test_wrong_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown scale 'tny'(?s:.*)did you mean 'tiny'"):
        load_scale("tny")
    with pytest.raises(UserError, match="not found"):
        load_scale("nowhere.yaml")
    with pytest.raises(UserError, match=r"no preset of a tokenizer(?s:.*)demo/sit-tiny, of kind diffusion"):
        load_scale(scale_file(tmp_path, "variants: {mine: {preset: demo/sit-tiny}}")).cell(
            Row("mine"), WHOLE, 0
        )
    with pytest.raises(UserError, match=r"keeps no checkpoint after 30\.0%"):
        load_scale("tiny").cell(Row("send-vae"), View(at=0.3), 0)
