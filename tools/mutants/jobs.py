"""Training jobs: what is computed once before it, and what is exported after it."""

from __future__ import annotations

from tools.mutants.mutant import Mutant

SIT_JOB = ("training/test_jobs.py::test_a_sit_is_what_its_configuration_says",)
MUTANTS = [
    Mutant(
        "joint-exports-variance",
        "Joint training stores the latents' variance as their std.",
        "training/jobs.py",
        "norm.running_var.sqrt().cpu()",
        "norm.running_var.cpu()",
        ("training/test_jobs.py::test_a_joint_export_has_the_averaged_statistics",),
    ),
    Mutant(
        "measured-statistics-lost",
        "Sampling does not find the statistics that its run measured.",
        "evaluation/diffusion_model.py",
        "tokenizer.latent_stats or load_measured(run.path)",
        "tokenizer.latent_stats",
        ("training/test_jobs.py::test_statistics_that_nobody_declared_are_measured_and_kept",),
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
        backbone =""",
        """        torch.manual_seed(0)
        backbone =""",
        ("training/test_jobs.py::test_a_sits_first_weights_follow_the_seed",),
    ),
    Mutant(
        "joint-seed-ignored",
        "The first weights of joint training's SiT do not depend on the seed.",
        "training/jobs.py",
        """        torch.manual_seed(config.seed)
        generator = fresh_generator(""",
        """        torch.manual_seed(0)
        generator = fresh_generator(""",
        ("training/test_jobs.py::test_a_sits_first_weights_follow_the_seed",),
    ),
    Mutant(
        "latents-cached-in-bf16",
        "Posteriors for the cache are computed in the processor's fastest format.",
        "training/caching.py",
        "with full_precision(device):\n            posterior = tokenizer.encode(batch.contig",
        'with autocast(resolve_precision("auto", device), device):\n            posterior = tokenizer.encode(batch.contig',
        ("training/test_caching.py::test_cached_latents_are_computed_in_float32",),
    ),
    Mutant(
        "statistics-in-bf16",
        "Statistics of latents are measured in the processor's fastest format.",
        "training/caching.py",
        "with full_precision(device):\n            posterior = tokenizer.encode(batch)",
        'with autocast(resolve_precision("auto", device), device):\n            posterior = tokenizer.encode(batch)',
        ("training/test_caching.py::test_statistics_are_measured_in_float32",),
    ),
    Mutant(
        "statistics-of-means",
        "Statistics are of posterior means instead of samples.",
        "training/caching.py",
        "channel_rows(posterior.sample(generator))",
        "channel_rows(posterior.mode())",
        ("training/test_caching.py::test_statistics_are_measured_in_float32",),
    ),
    Mutant(
        "statistics-of-the-first-images",
        "Statistics are of the first images of a set, which may be of one class.",
        "training/caching.py",
        "np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64)",
        "np.arange(min(count, len(images)))",
        ("training/test_caching.py::test_statistics_are_measured_in_float32",),
    ),
    Mutant(
        "mirrored-latents-unmirrored",
        "The cache of mirrored images holds the images as they are.",
        "training/caching.py",
        "compute(batch.flip(-1))",
        "compute(batch)",
        ("training/test_caching.py::test_cached_latents_are_computed_in_float32",),
    ),
    Mutant(
        "sit-exports-raw-weights",
        "A SiT is exported as trained instead of its average.",
        "training/jobs.py",
        "for name, t in stage.ema.tensors().items()",
        "for name, t in stage.generator.state_dict().items()",
        SIT_JOB,
    ),
    Mutant(
        "previews-of-raw-weights",
        "Previews are drawn from the weights as trained instead of their average.",
        "training/jobs.py",
        "draw(stage.ema.network, images_seen)",
        "draw(stage.generator, images_seen)",
        SIT_JOB,
    ),
    Mutant(
        "dropped-without-classes",
        "A generator without classes learns two labels for the same images.",
        "training/networks.py",
        "if num_classes > 1 else 0.0",
        "",
        ("end_to_end/test_unconditional.py::test_pictures_without_classes_train_and_sample",),
    ),
    Mutant(
        "dropout-ignored",
        "The configured probability of the null label is ignored.",
        "training/networks.py",
        "        label_dropout=config.label_dropout if num_classes > 1 else 0.0,\n",
        "",
        SIT_JOB,
    ),
    Mutant(
        "repa-depth-ignored",
        "The configured depth of REPA is ignored.",
        "training/networks.py",
        '"repa_depth": repa.depth,',
        '"repa_depth": None,',
        SIT_JOB,
    ),
    Mutant(
        "path-ignored",
        "Every generator is trained on the linear path.",
        "training/networks.py",
        "        path=config.path,\n",
        "",
        SIT_JOB,
    ),
    Mutant(
        "projector-ignored",
        "Every generator has REPA's projector.",
        "training/networks.py",
        '            "projector": repa.projector,\n',
        "",
        SIT_JOB,
    ),
    Mutant(
        "qk-norm-ignored",
        "No generator normalises queries and keys.",
        "training/networks.py",
        "        qk_norm=config.qk_norm,\n",
        "",
        ("training/test_jobs.py::test_lightningdit_is_trained_and_sampled_like_a_sit",),
    ),
]
