"""Experiments, which put all rooms together: stages and their names, the demo."""

from __future__ import annotations

from tools.mutants.mutant import Mutant

DEMO = ("end_to_end/test_pinned_demo.py",)
MUTANTS = [
    Mutant(
        "scores-of-samples",
        "Cells score posterior samples instead of means.",
        "experiments/measures.py",
        """        split: cached_latents(cache, tokenizer, part, device, f"{name}: {split} latents")
        .fields["mean"]
        .float()""",
        """        split: (
            known := cached_latents(cache, tokenizer, part, device, f"{name}: {split} latents")
        )
        .fields["mean"]
        .float()
        + known.fields["std"].float() * torch.randn(known.fields["std"].shape)""",
        ("experiments/test_measures.py::test_scores_of_the_latent_space",),
    ),
    Mutant(
        "validation-of-training-images",
        "The validation loss of a SiT is taken on the images that it was trained on.",
        "data/opening.py",
        'HELD_OUT = ("val", "test")',
        'HELD_OUT = ("train", "val", "test")',
        ("data/test_opening.py::test_held_out_images_are_of_another_split_than_was_trained_on",),
    ),
    Mutant(
        "validation-of-means",
        "The validation loss is of posterior means, not of samples.",
        "evaluation/velocity_loss.py",
        "mean.float() + std.float() * sampled",
        "mean.float()",
        (
            "evaluation/test_velocity_loss.py::test_the_loss_of_constant_predictions_is_known",
            "experiments/test_cells.py::test_the_validation_loss_is_of_the_trained_model_on_held_out_images",
        ),
    ),
    Mutant(
        "validation-without-classes",
        "The validation loss takes the first class for every image.",
        "experiments/measures.py",
        "images.labels_of(picked)",
        "0 * images.labels_of(picked)",
        ("experiments/test_cells.py::test_the_validation_loss_is_of_each_images_own_class",),
    ),
    Mutant(
        "validation-times-at-one-end",
        "The validation loss is of noisy times alone.",
        "evaluation/velocity_loss.py",
        "time=((part + inside) / TIMES)",
        "time=((TIMES - 1 + inside) / TIMES)",
        ("evaluation/test_velocity_loss.py::test_times_are_one_from_each_part",),
    ),
    Mutant(
        "reference-of-test",
        "Samples are held against the test images.",
        "evaluation/generation.py",
        'SPLITS = ("train",)',
        'SPLITS = ("test",)',
        ("experiments/test_cells.py::test_the_samples_are_of_the_trained_model_against_the_reference",),
    ),
    Mutant(
        "cells-reconstruct-train",
        "Cells measure reconstructions of training images.",
        "experiments/measures.py",
        """        images["test"],
        config.reconstruction,""",
        """        images["train"],
        config.reconstruction,""",
        ("experiments/test_measures.py::test_reconstruction_is_of_the_test_images",),
    ),
    Mutant(
        "demo-guidance-off",
        "Cells sample without guidance.",
        "experiments/measures.py",
        "config.sampling, target, device)",
        'config.sampling.model_copy(update={"guidance_scale": 1.0}), target, device)',
        DEMO,
    ),
    Mutant(
        "demo-sampling-seed-ignored",
        "Cells sample every seed's SiT with one seed.",
        "experiments/cell.py",
        ".model_dump(), seed=seed)",
        ".model_dump(), seed=0)",
        ("experiments/test_demo.py",),
    ),
    Mutant(
        "demo-training-seed-ignored",
        "The demo trains tokenizers and SiTs of every seed alike.",
        "experiments/demo.py",
        'return [f"seed={seed}", ',
        'return ["seed=0", ',
        ("experiments/test_demo.py",),
    ),
    Mutant(
        "sit-on-the-base",
        "SiTs are trained on the latents that the preset names.",
        "experiments/stages.py",
        'job.config.model_copy(update={"tokenizer": job.inputs["tokenizer"]})',
        "job.config",
        DEMO,
    ),
    Mutant(
        "cells-decode-with-the-base",
        "Samples are decoded with the tokenizer that ships.",
        "experiments/stages.py",
        """        job.inputs["run"],
        job.inputs["tokenizer"],""",
        """        job.inputs["run"],
        "demo-f8d16",""",
        DEMO,
    ),
    Mutant(
        "demo-fine-tunes-another-base",
        "The demo fine-tunes the tokenizer that ships, whatever base it measured.",
        "experiments/demo.py",
        'f"init={config.base}"',
        '"init=demo-f8d16"',
        ("experiments/test_demo.py",),
    ),
    Mutant(
        "demo-from-scratch-ignored",
        "The demo trains a base tokenizer and goes on with the one that ships.",
        "experiments/cell.py",
        '{"init": init or tokenizer.init}',
        '{"init": tokenizer.init}',
        ("experiments/test_demo.py",),
    ),
    Mutant(
        "demo-budgets-swapped",
        "The demo's tokenizers and SiTs see each other's numbers of images.",
        "experiments/demo.py",
        'f"loop.images={config.diffusion_images}"',
        'f"loop.images={config.tokenizer_images}"',
        ("experiments/test_demo.py",),
    ),
    *(
        Mutant(
            f"stage-name-without-{part}",
            f"A stage's name forgets its {part}: what was done otherwise is taken for it.",
            "experiments/graph.py",
            old,
            new,
            ("experiments/test_runner.py::test_every_part_of_the_digest_counts",),
        )
        for part, old, new in (
            ("kind", '"kind": stage.kind,', ""),
            ("version", '"version": row.version,', ""),
            ("configuration", "config_of(stage.config, stage.inputs)", "None"),
            ("inputs", '"inputs": digests,', ""),
            ("images", '"reads": row.reads(self.contents, stage.config),', ""),
        )
    ),
    Mutant(
        "stage-needs-forgotten",
        "A stage begins before those that it needs.",
        "experiments/graph.py",
        "tuple(dict.fromkeys(node.digest for node in needs))",
        "()",
        ("experiments/test_runner.py::test_ready_stages_run_side_by_side_and_a_single_one_has_all_threads",),
    ),
    Mutant(
        "finished-stages-run-again",
        "What is finished is done again.",
        "experiments/runner.py",
        "{node.digest for node in nodes if node.finished}",
        "set()",
        ("experiments/test_runner.py::test_a_stage_runs_once_for_all_cells_and_later_lists",),
    ),
    Mutant(
        "failed-stages-count-as-done",
        "What needs a stage that failed runs all the same.",
        "experiments/runner.py",
        "self.failed.append((one.node, error))",
        "self.failed.append((one.node, error)); self.done.add(one.node.digest)",
        ("experiments/test_runner.py::test_failures_stay_apart_and_are_named",),
    ),
    Mutant(
        "one-stage-at-a-time",
        "Ready stages run one after the other.",
        "experiments/runner.py",
        "room = max(0, min(free, self.most - len(self.running)))",
        "room = 0 if self.running else 1",
        ("experiments/test_runner.py::test_ready_stages_run_side_by_side_and_a_single_one_has_all_threads",),
    ),
    Mutant(
        "stage-threads-ignored",
        "A stage uses as many threads as it likes.",
        "experiments/process.py",
        "    torch.set_num_threads(threads)",
        "    torch.set_num_threads(3)",
        ("experiments/test_runner.py::test_ready_stages_run_side_by_side_and_a_single_one_has_all_threads",),
    ),
    Mutant(
        "orphans",
        "Stages go on when the process that started them was killed.",
        "experiments/process.py",
        "    os.kill(os.getpid(), signal.SIGKILL)",
        "    return",
        ("experiments/test_runner.py::test_killed_leaves_no_orphan_and_goes_on",),
    ),
    Mutant(
        "resamples-of-another-score",
        "Every score of a cell is kept with the same resamples.",
        "experiments/measures.py",
        "        score: [round(value, RESAMPLED_DIGITS) for value in values]",
        '        score: [round(value, RESAMPLED_DIGITS) for value in space.subjects[0].resampled["f1_micro"]]',
        ("experiments/test_cells.py::test_resampled_scores_belong_to_the_same_test_images",),
    ),
]
