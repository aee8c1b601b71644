"""Write the study that ships, from the committed results of a scale: python -m tools.study tiny

`sendvae evaluate latents --study tiny` holds a tokenizer against it. Run it after results came to docs/results.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

from sendvae.config import LatentsConfig, to_yaml
from sendvae.experiments.kept import Kept
from sendvae.experiments.numbers import seen_from, table_of
from sendvae.experiments.paper import EXPERIMENTS
from sendvae.experiments.predictor_words import family_of
from sendvae.experiments.predictors import FEWEST
from sendvae.experiments.reproduction import results_of
from sendvae.experiments.scale import Place, load_scale
from sendvae.experiments.standing import POINTS, PROTOCOL, STUDIES, StudiedTokenizers
from sendvae.latents import SCORES

RESULTS = Path("docs/results")


def study_of(name: str, results: Path = RESULTS) -> tuple[StudiedTokenizers, LatentsConfig]:
    """Return a scale's study of predictors, and the protocol of its scores.

    What `evaluate latents` does not measure (reconstruction, channels) is left out, and so are scores that too few
    tokenizers of the study have.
    """
    scale, experiment = load_scale(name), EXPERIMENTS["predictors"]
    cells = scale.cells(experiment)
    kept, _ = results_of(list(cells.values()), [results / name])
    numbers: dict[Place, Kept] = {
        place: kept[cell.name] for place, cell in cells.items() if cell.name in kept
    }
    quantities = {key: one for cell in kept.values() for key, one in cell.quantities.items()}
    table = table_of(experiment, scale, cells, numbers, quantities)
    scores = [
        key
        for key in table.scores
        if family_of(key) in SCORES and sum(key in row for row in table.rows.values()) >= FEWEST
    ]
    protocol = scale.config.evaluation.latents
    measured = [family for family in protocol.scores if family in map(family_of, scores)]
    study = StudiedTokenizers(
        title=scale.config.title,
        limits=scale.config.limits,
        quantities={
            key: replace(
                quantity := quantities[scale.metric(column.metric)],
                label=quantity.label + seen_from(column.view),
            )
            for key, column in table.targets.items()
        },
        targets=list(table.targets),
        scores=scores,
        points={
            row: {
                key: float(f"{value:.7g}")
                for key, value in own.items()
                if key in {*scores, *table.targets} and math.isfinite(value)
            }
            for row, own in table.rows.items()
        },
    )
    return study, protocol.model_copy(update={"scores": measured})


if __name__ == "__main__":
    for scale_name in sys.argv[1:]:
        found, settings = study_of(scale_name)
        folder = STUDIES[scale_name]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / POINTS).write_text(found.model_dump_json(indent=1) + "\n")
        (folder / PROTOCOL).write_text(to_yaml(settings))
        print(f"{folder}: {len(found.points)} tokenizers, {len(found.scores)} scores")
