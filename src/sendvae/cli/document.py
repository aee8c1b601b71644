"""The document of `sendvae reproduce --markdown`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sendvae.experiments.declaration import Experiment
    from sendvae.experiments.scale import Scale

ALL = "all"
RUNS = Path("runs") / "reproduce"
TITLE = "The paper's tables and figures, reproduced"
LEAD = (
    "A verdict rests on the differences between two rows, seed by seed, or on a correlation over tokenizers: a claim "
    "*holds* or *does not hold* where the interval of 95 % excludes zero, else it is *undecided*; one seed gives no interval. "
    "Arrows say which direction is better. Ours stand beside the paper's numbers and are never mixed with them. "
    "`sendvae reproduce {names} --markdown FILE` drew this page from the results in `docs/results`."
)


def write_document(chosen: Sequence[Experiment], scale: Scale, committed: Path | None, output: Path) -> None:
    """Write the document of experiments from committed results, at a scale and at all others that have results.

    Args:
        chosen: the experiments.
        scale: the first scale of the document.
        committed: the folder of committed results, with a folder for each scale; None: there is none.
        output: the Markdown file to write.
    """
    from sendvae.experiments.predictor_words import load_score_costs
    from sendvae.experiments.scale import load_scale, scale_names
    from sendvae.experiments.study import Study
    from sendvae.report.reproduction import write_markdown

    others = [load_scale(name) for name in scale_names() if name != scale.config.title]
    found = []
    for at in (scale, *others):
        folder = committed / at.config.title if committed else None
        if at is scale or (folder is not None and folder.is_dir()):
            found.append(
                Study(chosen, at, RUNS / at.config.title, folder, fetch=False).reproductions(
                    committed_only=True
                )
            )
    from sendvae.experiments.paper import EXPERIMENTS

    names = ALL if len(chosen) == len(EXPERIMENTS) else " ".join(one.name for one in chosen)
    title = TITLE if len(chosen) > 1 else chosen[0].title
    by_experiment = [list(one) for one in zip(*found, strict=True)]
    costs = load_score_costs(committed) if committed else None
    written = write_markdown(by_experiment, output, title, LEAD.format(names=names), costs)
    typer.echo(f"document: {written}")
