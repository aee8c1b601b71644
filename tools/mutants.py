"""Puts deliberate faults into a copy of the code, one by one, and names those that no test notices.

    python tools/mutants.py                  all of them (`make mutants`); exit code 1 if one survives
    python tools/mutants.py --list           what they break, and which tests must die of it
    python tools/mutants.py --only NAME      one; again for several

A mutant replaces a text that occurs exactly once in its file. Where the code has changed so that it does not, the
mutant is stale: write it anew for the code that now does the same. A claim that this list does not break is not
known to be tested: add a mutant with every wire between two parts that gives numbers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("src", "tests", "tools", "pyproject.toml")  # of the copy
TIMEOUT = 900  # seconds of a mutant's tests
TESTS_FAILED = 1  # pytest's exit code; higher ones are mistakes in the call


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        name: of the command line.
        fault: what the changed code does, as a sentence.
        file: below `src/sendvae`.
        old, new: the text and what takes its place.
        tests: files or node ids below `tests`, of which one must fail.
    """

    name: str
    fault: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


RANDOMNESS = ("test_randomness.py",)
GRADIENTS = ("training/test_gradients.py",)
DEMO = ("end_to_end/test_pinned_demo.py",)
STATE = ("training/test_state.py",)
WEIGHTS = tuple(f"weights/test_{part}.py" for part in ("published", "table", "reach"))
MUTANTS = [
    Mutant(
        "draws-position",
        "Draws ignores the images seen: every step has the same noise.",
        "randomness.py",
        "stream(self.seed, self.images_seen, name,",
        "stream(self.seed, 0, name,",
        RANDOMNESS,
    ),
    Mutant(
        "draws-name",
        "One name's stream is another's: time and noise are drawn alike.",
        "randomness.py",
        "stream(self.seed, self.images_seen, name,",
        'stream(self.seed, self.images_seen, "",',
        RANDOMNESS,
    ),
    Mutant(
        "draws-seed",
        "Draws ignores the seed.",
        "randomness.py",
        "stream(self.seed, self.images_seen, name,",
        "stream(0, self.images_seen, name,",
        RANDOMNESS,
    ),
    Mutant(
        "stream-name-as-a-set",
        "Names of the same letters share a stream.",
        "randomness.py",
        "*name.encode()]",
        "*sorted(name.encode())]",
        RANDOMNESS,
    ),
    Mutant(
        "piece-rows",
        "Every accumulated piece has the first one's numbers.",
        "training/micro_batches.py",
        "range(first, first + share, size)",
        "[first] * count",
        ("training/test_micro_batches.py",),
    ),
    Mutant(
        "process-rows",
        "Every process has the first one's numbers.",
        "training/micro_batches.py",
        "share * distributed.rank()",
        "0",
        ("training/test_micro_batches.py",),
    ),
    Mutant(
        "discriminator-not-frozen",
        "The generator's loss leaves a gradient in the discriminator.",
        "training/stages/vae.py",
        "frozen(self.discriminator.parameters()):",
        "frozen([]):",
        GRADIENTS,
    ),
    Mutant(
        "sit-not-frozen",
        "The VAE's loss leaves a gradient in the SiT.",
        "training/stages/joint.py",
        "frozen(self.sit.parameters()):",
        "frozen([]):",
        GRADIENTS,
    ),
    Mutant(
        "sit-raw-latents",
        "The SiT is trained on latents that are not normalised.",
        "training/stages/diffusion.py",
        "z = self.stats.normalize(posterior.sample(noise=noise).float())",
        "z = posterior.sample(noise=noise).float()",
        GRADIENTS,
    ),
    Mutant(
        "joint-sit-running-statistics",
        "The SiT of joint training sees latents normalised by the running statistics, not by the batch's.",
        "training/stages/joint.py",
        "normalised = self.latent_norm.by_batch(z, distributed.all_reduce_mean)",
        "normalised = self.latent_norm(z)",
        GRADIENTS,
    ),
    Mutant(
        "updater-not-restored",
        "A resumed run begins the last optimiser anew.",
        "training/state.py",
        """        for name, updater in self.updaters.items():
            tensors =""",
        """        for name, updater in list(self.updaters.items())[:-1]:
            tensors =""",
        STATE,
    ),
    Mutant(
        "average-not-restored",
        "A resumed run begins the average anew.",
        "training/state.py",
        "for name, network in self._modules().items():\n            load_state",
        "for name, network in self.networks.items():\n            load_state",
        STATE,
    ),
    Mutant(
        "average-not-saved",
        "A checkpoint lacks the average, and a resumed run does not ask for it.",
        "training/state.py",
        "return {**self.networks, **{name: average.network for name, average in self.averages.items()}}",
        "return {**self.networks}",
        STATE,
    ),
    Mutant(
        "rates-of-the-first-network",
        "Every network's rate is reported as the first one's.",
        "training/state.py",
        'self._labelled("lr", name): updater.lr for name, updater in self.updaters.items()',
        'self._labelled("lr", name): next(iter(self.updaters.values())).lr for name in self.updaters',
        STATE,
    ),
    Mutant(
        "pieces-summed",
        "Accumulated pieces add their gradients up instead of averaging them.",
        "training/parts.py",
        "(found.total / len(pieces)).backward()",
        "found.total.backward()",
        ("training/test_parts.py",),
    ),
    Mutant(
        "estimate-without-discriminator",
        "An estimate leaves a part of a step out.",
        "training/estimate.py",
        "for part in parts:",
        'for part in (part for part in parts if part.name != "discriminator"):',
        ("training/test_estimate.py",),
    ),
    Mutant(
        "joint-exports-variance",
        "Joint training stores the latents' variance as their std.",
        "training/jobs.py",
        "norm.running_var.sqrt().cpu()",
        "norm.running_var.cpu()",
        ("training/test_jobs.py::test_a_joint_export_has_the_averaged_statistics",),
    ),
    Mutant(
        "raw-weights-exported",
        "A tokenizer job exports the raw weights where an average was asked for.",
        "training/jobs.py",
        "tokenizer = stage.ema.network if stage.ema else stage.tokenizer",
        "tokenizer = stage.tokenizer",
        ("training/test_jobs.py::test_a_tokenizer_job_exports_the_average_where_one_was_asked",),
    ),
    Mutant(
        "sit-seed-ignored",
        "The SiT's first weights do not depend on the seed.",
        "training/jobs.py",
        """        torch.manual_seed(config.seed)
        size =""",
        """        torch.manual_seed(0)
        size =""",
        ("training/test_jobs.py::test_a_sits_first_weights_follow_the_seed",),
    ),
    Mutant(
        "joint-seed-ignored",
        "The first weights of joint training's SiT do not depend on the seed.",
        "training/jobs.py",
        """        torch.manual_seed(config.seed)
        sit = build_sit(""",
        """        torch.manual_seed(0)
        sit = build_sit(""",
        ("training/test_jobs.py::test_a_sits_first_weights_follow_the_seed",),
    ),
    Mutant(
        "times-of-another-part",
        "The VAE and the SiT of joint training see other times.",
        "training/stages/velocity.py",
        'draws.draw("time",',
        'draws.draw(f"time {z.requires_grad}",',
        GRADIENTS,
    ),
    Mutant(
        "discriminator-swapped",
        "The discriminator learns real images as reconstructions.",
        "training/stages/vae.py",
        "hinge_discriminator_loss(real, fake)",
        "hinge_discriminator_loss(fake, real)",
        GRADIENTS,
    ),
    Mutant(
        "rate-ignores-position",
        "The learning rate does not follow the images seen.",
        "training/optim.py",
        "learning_rate(self.config, self.peak, images_seen, self.total)",
        "learning_rate(self.config, self.peak, 0, self.total)",
        ("training/test_golden.py",),
    ),
    Mutant(
        "mirrored-tokens",
        "Mirrored images meet the tokens of the images as they are.",
        "training/source.py",
        'self.tokens.batch(picked, mirrored)["tokens"]',
        'self.tokens.batch(picked, None)["tokens"]',
        ("training/test_golden.py::test_ten_steps_follow_the_stored_curve",),
    ),
    Mutant(
        "posterior-without-std",
        "A posterior sample is mean plus noise.",
        "tokenizers/posterior.py",
        "return self.mean + self.std * noise",
        "return self.mean + noise",
        ("tokenizers/test_autoencoder.py::test_a_posterior_sample_is_mean_plus_std_times_noise",),
    ),
    Mutant(
        "guidance-off",
        "Samples are drawn without guidance.",
        "evaluation/sampling.py",
        "guidance_scale=sampling.guidance_scale,",
        "guidance_scale=1.0,",
        ("evaluation/test_sampling.py::test_every_setting_arrives",),
    ),
    Mutant(
        "guidance-interval-ignored",
        "Guidance applies at all noise levels.",
        "evaluation/sampling.py",
        "guidance_interval=(low, high),",
        "guidance_interval=(0.0, 1.0),",
        ("evaluation/test_sampling.py::test_every_setting_arrives",),
    ),
    Mutant(
        "samples-not-denormalised",
        "Latents are decoded as the SiT gives them.",
        "evaluation/sampling.py",
        "tokenizer.decode(tokenizer.latent_stats.denormalize(z))",
        "tokenizer.decode(z)",
        ("evaluation/test_sampling.py::test_noise_of_every_step_is_each_images_own",),
    ),
    Mutant(
        "same-noise-in-every-batch",
        "Images are numbered anew in every batch.",
        "evaluation/sampling.py",
        "numbers.tolist(), labels[numbers]",
        "list(range(len(numbers))), labels[numbers]",
        ("evaluation/test_sampling.py::test_an_image_is_the_same_in_batches_of_any_size",),
    ),
    Mutant(
        "sampling-seed-ignored",
        "Samples do not depend on the seed.",
        "evaluation/sampling.py",
        "ImageNoise(seed, numbers,",
        "ImageNoise(0, numbers,",
        ("evaluation/test_sampling.py::test_images_of_one_label_differ_and_seeds_differ",),
    ),
    Mutant(
        "evaluated-sample-without-std",
        "With latent=sample, scores see mean plus noise.",
        "evaluation/encoded.py",
        "posterior.std.float().cpu() * noise(mean, picked, self.seed)",
        "noise(mean, picked, self.seed)",
        ("evaluation/test_encoded.py",),
    ),
    Mutant(
        "evaluated-sample-for-mean",
        "With latent=mean, scores see posterior samples.",
        "evaluation/encoded.py",
        'if self.latent == "sample":',
        "if True:",
        ("evaluation/test_encoded.py",),
    ),
    Mutant(
        "noising-unchecked",
        "Noise of another shape than the latent broadcasts.",
        "alignment/noising.py",
        "if alpha.shape != z.shape[:1] or noise.shape != z.shape:",
        "if False:",
        ("alignment/test_alignment.py::test_noise_refuses_shapes_that_would_broadcast",),
    ),
    Mutant(
        "alignment-unchecked",
        "Tokens of another shape than the prediction broadcast.",
        "alignment/loss.py",
        "if predicted.shape != target.shape:",
        "if False:",
        ("alignment/test_alignment.py::test_loss_refuses_unequal_shapes",),
    ),
    Mutant(
        "mapper-unchecked",
        "A latent of another size than the mapper's broadcasts over its positions.",
        "alignment/mapper.py",
        "if x.shape[1] != len(self.positions):",
        "if False:",
        ("alignment/test_alignment.py::test_mapper_refuses_another_grid",),
    ),
    Mutant(
        "sit-unchecked",
        "A latent of another size than the SiT's broadcasts over its positions.",
        "diffusion/sit.py",
        "if x_t.shape[1:] != expected:",
        "if False:",
        ("diffusion/test_sit.py::test_wrong_latents_and_missing_features_are_refused",),
    ),
    Mutant(
        "psnr-unchecked",
        "Images of another shape broadcast.",
        "metrics/psnr_ssim.py",
        "if a.shape != b.shape or a.dtype != b.dtype:",
        "if False:",
        ("metrics/test_psnr_ssim.py",),
    ),
    Mutant(
        "frechet-unchecked",
        "Statistics of other shapes broadcast.",
        "metrics/frechet.py",
        "if mean_a.shape != mean_b.shape or cov_a.shape != cov_b.shape or cov_a.shape != 2 * mean_a.shape:",
        "if False:",
        ("metrics/test_frechet.py",),
    ),
    Mutant(
        "weights-digest",
        "A weight file's digest is not compared with the published one.",
        "weights/published.py",
        "if not given.startswith(self.digest):",
        "if False:",
        WEIGHTS,
    ),
    Mutant(
        "weights-size",
        "A weight file's size is not compared with the published one.",
        "weights/published.py",
        "if self.size is not None and size != self.size:",
        "if False:",
        WEIGHTS,
    ),
    Mutant(
        "weights-found-unchecked",
        "Files that are found are taken for the published ones.",
        "weights/table.py",
        "            self.source.check(found, stated)\n",
        "",
        WEIGHTS,
    ),
    Mutant(
        "weights-folder",
        "Files put by hand are looked for in the folder of another variable.",
        "weights/table.py",
        '"SENDVAE_WEIGHTS", "~/.cache/sendvae"',
        '"SENDVAE_CACHE", "~/.cache/sendvae"',
        WEIGHTS,
    ),
    Mutant(
        "weights-package-fallback",
        "A package that is not installed gives no weights and no error.",
        "weights/packages.py",
        'raise Unavailable(f"the package {self.package} is not installed")',
        "return []",
        WEIGHTS,
    ),
    Mutant(
        "weights-patience",
        "A silent server is waited for without end.",
        "weights/reach.py",
        "answers.get(timeout=REACH_SECONDS)",
        "answers.get()",
        WEIGHTS,
    ),
    Mutant(
        "weights-offline",
        "The network is asked though it is switched off.",
        "weights/reach.py",
        "if variable := next((name for name in OFFLINE_VARIABLES if _is_true(name)), None):",
        "if variable := None:",
        WEIGHTS,
    ),
    Mutant(
        "weights-code",
        "Code in a stranger's pickle runs.",
        "weights/read.py",
        "weights_only=True",
        "weights_only=False",
        ("weights/test_read.py",),
    ),
    Mutant(
        "sampling-step-noise",
        "The noise of the steps is drawn for the batch, not by each image.",
        "evaluation/sampling.py",
        "            step_noise=noise,\n",
        "            generator=stream(seed, 0, STREAM, device),\n",
        ("evaluation/test_sampling.py::test_noise_of_every_step_is_each_images_own",),
    ),
    Mutant(
        "sampling-one-noise",
        "Every step adds the same noise.",
        "evaluation/sampling.py",
        "            row.normal_(generator=generator)\n",
        "            row.normal_(generator=generator.clone_state())\n",
        ("evaluation/test_sampling.py::test_seed_number_and_step_each_change_the_noise",),
    ),
    Mutant(
        "sampling-channels",
        "All channels are guided where the first three were asked for.",
        "evaluation/sampling.py",
        'FIRST_CHANNELS if sampling.guided_channels == "first-three" else None',
        "None",
        ("evaluation/test_sampling.py::test_every_setting_arrives",),
    ),
    Mutant(
        "sampling-rounding",
        "Pixels are rounded to the nearest where truncation was asked for.",
        "evaluation/sampling.py",
        "ROUNDINGS[sampling.rounding](images)",
        'ROUNDINGS["nearest"](images)',
        ("evaluation/test_sampling.py::test_every_setting_arrives",),
    ),
    Mutant(
        "sampling-precision",
        "The precision that was asked for is ignored.",
        "evaluation/sampling.py",
        "resolve_precision(sampling.precision, device)",
        'resolve_precision("fp32", device)',
        ("evaluation/test_sampling.py::test_number_formats_are_set_inside_and_restored",),
    ),
    Mutant(
        "sampling-labels-shifted",
        "Every batch gets the labels of the first.",
        "evaluation/sampling.py",
        "labels[numbers]",
        "labels[: len(numbers)]",
        ("evaluation/test_sampling.py::test_an_image_is_the_same_in_batches_of_any_size",),
    ),
    Mutant(
        "sampling-float64",
        "A device without float64 is asked for it.",
        "diffusion/sample.py",
        "        return torch.float32\n",
        "        return torch.float64\n",
        ("evaluation/test_sampling.py::test_a_device_without_float64_integrates_in_float32_and_says_so",),
    ),
    Mutant(
        "guidance-null-guided",
        "Channels that are not guided follow the unconditional velocity.",
        "diffusion/guidance.py",
        "conditional[:, channels:]",
        "unconditional[:, channels:]",
        ("diffusion/test_samplers.py::test_only_the_first_channels_are_guided",),
    ),
    Mutant(
        "labels-in-order",
        "Balanced labels come class after class.",
        "evaluation/labels.py",
        "Labels(_shuffled(_balanced(count, classes.count, seed), seed), given)",
        "Labels(_balanced(count, classes.count, seed).sort().values, given)",
        ("evaluation/test_labels.py::test_balanced_labels_are_shuffled_by_the_seed",),
    ),
    Mutant(
        "labels-first-favoured",
        "The first classes always get the images that are left over.",
        "evaluation/labels.py",
        'torch.randperm(classes, generator=stream(seed, 0, "balanced classes"))',
        "torch.arange(classes)",
        ("evaluation/test_labels.py::test_which_classes_have_one_more_follows_from_the_seed",),
    ),
    Mutant(
        "labels-seed",
        "Random labels ignore the seed.",
        "evaluation/labels.py",
        'stream(seed, 0, "labels")',
        'stream(0, 0, "labels")',
        ("evaluation/test_labels.py::test_random_labels",),
    ),
    Mutant(
        "samples-block-labels",
        "Every batch on disk is drawn with the labels of the first.",
        "evaluation/sample_job.py",
        "labels.values[numbers.start : numbers.stop]",
        "labels.values[: len(numbers)]",
        ("evaluation/test_sample_job.py::test_an_npz_holds_images_labels_and_a_record",),
    ),
    Mutant(
        "samples-begun-anew",
        "A killed command draws everything again.",
        "evaluation/sample_files.py",
        "return [numbers for numbers in self.batches if not self._path(numbers).is_file()]",
        "return list(self.batches)",
        ("evaluation/test_sample_job.py::test_killed_work_goes_on_and_ends_the_same",),
    ),
    Mutant(
        "samples-others-taken",
        "Unfinished samples of other settings are taken for those that were asked for.",
        "evaluation/sample_files.py",
        "            check_same(found, record, folder)\n",
        "            pass\n",
        ("evaluation/test_sample_job.py::test_other_samples_are_refused_by_the_fields_that_differ",),
    ),
    Mutant(
        "samples-raw-as-average",
        "The weights as trained are sampled where their average was asked for.",
        "evaluation/diffusion_model.py",
        'checkpoint.tensors("sit" if raw else "ema")',
        'checkpoint.tensors("sit")',
        ("evaluation/test_sample_job.py::test_a_run_gives_its_model",),
    ),
    Mutant(
        "samples-record-unchecked",
        "A record is believed whatever images lie beside it.",
        "evaluation/sample_record.py",
        "if record.digest != digest:",
        "if False:",
        ("evaluation/test_sample_job.py::test_a_record_is_held_against_the_samples",),
    ),
    Mutant(
        "generation-labels",
        "Results do not say by which rule samples were labelled.",
        "evaluation/generation.py",
        '"labels": labels,',
        '"labels": None,',
        ("cli/test_sample.py::test_a_run_is_sampled_and_measured",),
    ),
    Mutant(
        "precision-is-recall",
        "Recall stands in precision's column.",
        "metrics/table.py",
        "_share(_covered(e, s)[0], s)",
        "_share(_covered(e, s)[1], s)",
        ("experiments/test_demo_measurements.py::test_samples_are_held_against_the_training_images",),
    ),
    Mutant(
        "pools-swapped",
        "The gap of pooled latents is called that of flat ones.",
        "evaluation/scorer.py",
        'name = f"gap_{pool}"',
        'name = f"gap_{chosen.pools[chosen.pools.index(pool) - 1]}"',
        ("experiments/test_demo_measurements.py::test_scores_of_the_latent_space",),
    ),
    Mutant(
        "mixture-on-train",
        "The mixture is scored on the latents that it was fitted on.",
        "evaluation/scorer.py",
        """            self.rows["test"],
            chosen.components,""",
        """            self.rows["train"],
            chosen.components,""",
        ("experiments/test_demo_measurements.py::test_scores_of_the_latent_space",),
    ),
    Mutant(
        "demo-samples-for-means",
        "The demo scores posterior samples instead of means.",
        "experiments/demo_measurements.py",
        """            split: cached_latents(self.cache, tokenizer, images, self.device, f"{name}: {split} latents")
            .fields["mean"]
            .float()""",
        """            split: (
                cache := cached_latents(
                    self.cache, tokenizer, images, self.device, f"{name}: {split} latents"
                )
            )
            .fields["mean"]
            .float()
            + cache.fields["std"].float() * torch.randn(cache.fields["std"].shape)""",
        ("experiments/test_demo_measurements.py::test_latents_are_posterior_means",),
    ),
    Mutant(
        "demo-reference-of-test",
        "The demo holds its samples against the test images.",
        "experiments/demo_measurements.py",
        'open_reference(self.images["train"], protocol',
        'open_reference(self.images["test"], protocol',
        ("experiments/test_demo_measurements.py::test_samples_are_held_against_the_training_images",),
    ),
    Mutant(
        "demo-reconstructs-train",
        "The demo measures reconstructions of training images.",
        "experiments/demo_measurements.py",
        """            self.images["test"],
            protocol,""",
        """            self.images["train"],
            protocol,""",
        ("experiments/test_demo_measurements.py::test_reconstruction_is_of_the_test_images",),
    ),
    Mutant(
        "probe-stops-early",
        "A probe stops after a few steps and is still called converged.",
        "latents/logistic.py",
        "return bool((self.excess <= TOLERANCE).all())",
        "return True",
        ("latents/test_logistic.py::test_a_looser_solver_is_found_out",),
    ),
    Mutant(
        "probe-without-certificate",
        "The certificate forgets the gradient: every fit lies at its optimum.",
        "latents/logistic.py",
        "norm, square / (2 * weight_decay) / loss, iterations",
        "norm, 0 * square, iterations",
        ("latents/test_logistic.py::test_a_looser_solver_is_found_out",),
    ),
    Mutant(
        "probe-without-intercept",
        "The solver never moves the bias.",
        "latents/logistic.py",
        "z = self.x.new_ones(",
        "z = self.x.new_zeros(",
        ("latents/test_logistic.py",),
    ),
    Mutant(
        "probe-intercept-penalised",
        "The bias is penalised as the weights are.",
        "latents/newton.py",
        "penalty[0] = 0.0",
        "penalty[0] = weight_decay",
        ("latents/test_logistic.py",),
    ),
    Mutant(
        "weight-decay-on-test",
        "The weight decay is chosen on the test split.",
        "latents/attributes.py",
        "f1_averages(p, val.attributes, threshold)[0] for p in _probabilities(fits, val, method)",
        "f1_averages(p, test.attributes, threshold)[0] for p in _probabilities(fits, test, method)",
        ("latents/test_fitting.py::test_a_probe_tells_how_it_was_fitted",),
    ),
    Mutant(
        "grid-never-widened",
        "A weight decay at the end of the grid is taken as it is, and called interior.",
        "latents/fitting.py",
        "if best == strongest",
        "if best == -1.0",
        ("latents/test_fitting.py::test_the_grid_is_widened_until_the_best_is_interior",),
    ),
    Mutant(
        "demo-guidance-off",
        "The demo samples without guidance.",
        "experiments/demo.py",
        """                self.config.sampling,
                seed,""",
        """                self.config.sampling.model_copy(update={"guidance_scale": 1.0}),
                seed,""",
        DEMO,
    ),
    Mutant(
        "demo-sampling-seed-ignored",
        "The demo samples every seed's SiT with one seed.",
        "experiments/demo.py",
        """                self.config.sampling,
                seed,""",
        """                self.config.sampling,
                0,""",
        DEMO,
    ),
    Mutant(
        "demo-training-seed-ignored",
        "The demo trains tokenizers and SiTs of every seed alike.",
        "experiments/demo.py",
        'return [f"seed={seed}", ',
        'return ["seed=0", ',
        DEMO,
    ),
    Mutant(
        "demo-sit-on-the-base",
        "The demo trains its SiTs on the base tokenizer's latents.",
        "experiments/demo.py",
        'f"tokenizer={tokenizer}"',
        'f"tokenizer={base}"',
        DEMO,
    ),
    Mutant(
        "demo-decodes-with-the-base",
        "The demo decodes samples with the base tokenizer.",
        "experiments/demo.py",
        """                load_tokenizer(tokenizer).to(self.device),
                self._sample_labels(),""",
        """                load_tokenizer(base).to(self.device),
                self._sample_labels(),""",
        DEMO,
    ),
]


def find(names: Iterable[str]) -> list[Mutant]:
    """Return the mutants of these names, all without any.

    Raises:
        KeyError: there is no mutant of a name.
    """
    known = {mutant.name: mutant for mutant in MUTANTS}
    return [known[name] for name in names] or MUTANTS


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """Return the text of the mutant's file with the fault in it.

    Raises:
        ValueError: the mutant is stale.
    """
    text = (root / "src/sendvae" / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.name} is stale: its text occurs {text.count(mutant.old)} times in {mutant.file}"
        )
    return text.replace(mutant.old, mutant.new)


def run_tests(root: Path, tests: Sequence[str], timeout: float = TIMEOUT) -> tuple[int, str]:
    """Run tests of the tree at `root` in a process of their own; return pytest's exit code and its output.

    Tests that take longer than `timeout` seconds have failed.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, *(f"tests/{test}" for test in tests)],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return TESTS_FAILED, f"stopped after {timeout:.0f} s"
    return done.returncode, done.stdout + done.stderr


@contextmanager
def copy_of(root: Path) -> Iterator[Path]:
    """Give a copy of the tree that may be changed."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for part in PARTS:
            source, target = root / part, Path(folder) / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)
        yield Path(folder)


def killer(output: str) -> str:
    """Return the first test that failed, from pytest's output."""
    failed = [line.split()[1] for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].removeprefix("tests/") if failed else output.strip().splitlines()[-1]


def run(mutants: Sequence[Mutant], timeout: float = TIMEOUT) -> list[str]:
    """Run every mutant's tests on a copy with its fault; print each one's fate, and return the survivors' names.

    Raises:
        ValueError: a mutant is stale, names no test, or breaks the import; its tests fail without it.
    """
    survivors = []
    with copy_of(ROOT) as root:
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        code, output = run_tests(root, tests, timeout * len(mutants))
        if code:
            raise ValueError(f"the tests fail without any fault:\n{output[-4000:]}")
        for mutant in mutants:
            file, began = root / "src/sendvae" / mutant.file, time.monotonic()
            healthy, faulty = file.read_text(), mutated(mutant, root)
            file.write_text(faulty)
            code, output = run_tests(root, mutant.tests, timeout)
            file.write_text(healthy)
            if code > TESTS_FAILED:
                raise ValueError(f"{mutant.name} breaks more than its tests:\n{output[-4000:]}")
            if code == 0:
                survivors.append(mutant.name)
            fate = "SURVIVES" if code == 0 else f"dies in {killer(output)}"
            print(f"{mutant.name:30} {fate}  ({time.monotonic() - began:.0f} s)", flush=True)
    return survivors


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this one (repeatable)")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT, help="seconds of a mutant's tests (%(default)s)"
    )
    arguments = parser.parse_args()
    try:
        chosen = find(arguments.only)
    except KeyError as error:
        parser.error(f"no mutant {error}; --list shows them")
    if arguments.list:
        for mutant in chosen:
            print(f"{mutant.name:30} {mutant.fault}\n{'':30} {mutant.file}; {', '.join(mutant.tests)}")
        return 0
    try:
        survivors = run(chosen, arguments.timeout)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} die; survivors: {', '.join(survivors) or 'none'}")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
