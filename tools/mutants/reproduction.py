"""The paper as experiments: published rows, scales, kept results, verdicts."""

from __future__ import annotations

from tools.mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "published-systems-lend-tokenizers",
        "A system's row is shown with the reconstruction of its label's tokenizer even where none is given.",
        "published/tables.py",
        "return rows[tokenizer].values.get(column.metric) if tokenizer in rows else None",
        'return rows[tokenizer or "sdvae"].values.get(column.metric)',
        ("published/test_published.py::test_tables_print_what_the_paper_prints",),
    ),
    Mutant(
        "scale-seed-ignored",
        "Trainings of every seed of a cell are those of seed 0.",
        "experiments/scale.py",
        'f"seed={seed}"])',
        '"seed=0"])',
        ("experiments/test_scale.py::test_what_a_row_is_trained_by",),
    ),
    Mutant(
        "scale-init-ignored",
        "A variant that starts from another one starts from the preset's tokenizer.",
        "experiments/scale.py",
        "if variant.init is not None else config.init",
        "if variant.init is None else config.init",
        ("experiments/test_scale.py::test_from_what_a_row_starts",),
    ),
    Mutant(
        "scale-reference-ignored",
        "Samples are held against the images that latents are scored on, not the generator's reference.",
        "experiments/scale.py",
        "            reference=generator.reference,\n",
        "",
        ("experiments/test_scale.py::test_the_data_of_a_scale_are_everywhere",),
    ),
    Mutant(
        "milestones-are-the-end",
        "Samples of a milestone are drawn from the finished model.",
        "experiments/stages.py",
        "_sample(job, job.config.step)",
        "_sample(job)",
        ("experiments/test_cells.py::test_joint_training_milestones_and_probes",),
    ),
    Mutant(
        "kept-results-of-any-declaration",
        "A kept result is used whatever it was declared as.",
        "experiments/kept.py",
        "differing = differing_fields(kept.declaration, declaration_of(cell))",
        "differing: list[str] = []",
        ("experiments/test_kept.py::test_another_declaration_is_named_and_not_used",),
    ),
    Mutant(
        "kept-results-of-any-files",
        "A kept result is used whatever images and weights it was made from.",
        "experiments/kept.py",
        "if not differing and digests is not None and cell.name in digests:",
        "if differing and digests is not None and cell.name in digests:",
        ("experiments/test_kept.py::test_other_images_or_weights_are_named_and_not_used",),
    ),
    Mutant(
        "verdicts-of-unpaired-seeds",
        "Differences are taken in the order of the numbers instead of by seed.",
        "experiments/verdicts.py",
        "differences = [own[seed] - other[seed] for seed in seeds]",
        "differences = [a - b for a, b in zip(own.values(), other.values(), strict=False)]",
        ("experiments/test_verdicts.py::test_pairs_are_of_equal_seeds",),
    ),
    Mutant(
        "verdicts-without-direction",
        "A claim of more is judged like a claim of less.",
        "experiments/verdicts.py",
        "interval if claim.lower_is_better else (-interval[1], -interval[0])",
        "interval",
        ("experiments/test_verdicts.py::test_a_difference_of_pairs_decides",),
    ),
    Mutant(
        "two-runners-do-it-twice",
        "A stage that another process works on is begun once more.",
        "experiments/runner.py",
        "            if not lock.take():",
        "            if not lock.take() and False:",
        ("experiments/test_runner.py::test_stages_of_a_lists_side_by_side_in_two_threads_run_once",),
    ),
    Mutant(
        "budget-ignored",
        "A budget of time stops nothing.",
        "experiments/runner.py",
        "                        received.append(signal.SIGTERM)",
        "                        pass",
        ("experiments/test_runner.py::test_a_budget_stops_what_runs_and_keeps_what_is_done",),
    ),
]
