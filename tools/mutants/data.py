"""What is seen of images: order, mirroring, windows, and by what caches of them are known."""

from __future__ import annotations

from tools.mutants.mutant import Mutant

SOURCE = ("training/test_source.py",)
MUTANTS = [
    Mutant(
        "epochs-alike",
        "Every pass over the data has the first one's order.",
        "data/sampler.py",
        "(seed, int(epoch))",
        "(seed, 0)",
        ("data/test_sampler.py::test_every_epoch_sees_every_image_in_another_order",),
    ),
    Mutant(
        "crop-of-the-coin",
        "A window's place and the coin of mirroring are drawn from one stream.",
        "data/sampler.py",
        'b"crop"',
        'b"mirrored"',
        ("data/test_random_crops.py::test_places_are_independent_of_each_other_and_of_coins",),
    ),
    Mutant(
        "crop-to-the-right-alone",
        "A window lies as far down as to the right.",
        "data/random_crops.py",
        "top = (place >> BITS) * (down + 1) >> BITS",
        "top = (place & (1 << BITS) - 1) * (down + 1) >> BITS",
        ("data/test_random_crops.py::test_every_window_inside_is_as_likely",),
    ),
    Mutant(
        "crops-at-the-centre",
        "data.crop=random shows the central window.",
        "training/source.py",
        "images.cropped(picked, places) if isinstance(images, CroppedImages) else images.batch(picked)",
        "images.batch(picked)",
        ("training/test_jobs.py::test_random_crops_are_a_function_of_the_position",),
    ),
    Mutant(
        "crop-ignored",
        "data.crop=random is ignored.",
        "training/jobs.py",
        'if config.crop == "random":',
        "if False:",
        ("training/test_jobs.py::test_random_crops_are_a_function_of_the_position",),
    ),
    Mutant(
        "crops-of-the-first-step",
        "Every step crops as the first one.",
        "training/source.py",
        "batch_crops(position, ",
        "batch_crops(0, ",
        SOURCE,
    ),
    Mutant(
        "crops-of-the-first-pass",
        "Every pass over the data crops as the first one.",
        "training/source.py",
        "batch_crops(position, ",
        "batch_crops(position % self.length, ",
        SOURCE,
    ),
    Mutant(
        "crops-of-the-first-process",
        "Every process crops as the first one.",
        "training/source.py",
        "batch_crops(position, self.batch_size, self.seed, rank, world)",
        "batch_crops(position, self.batch_size, self.seed, 0, world)",
        SOURCE,
    ),
    Mutant(
        "mirrored-as-the-first-process",
        "Every process mirrors as the first one.",
        "training/source.py",
        "batch_mirrored(position, self.batch_size, self.seed, rank, world)",
        "batch_mirrored(position, self.batch_size, self.seed, 0, world)",
        SOURCE,
    ),
    Mutant(
        "labels-of-other-images",
        "Cached latents meet the labels of other images of their batch.",
        "training/source.py",
        "return Batch(None, self.images.labels_of(picked), mean",
        "return Batch(None, self.images.labels_of(np.sort(picked)), mean",
        ("training/test_golden.py::test_ten_steps_follow_the_stored_curve",),
    ),
    Mutant(
        "latents-cache-of-other-images",
        "Posteriors of one data set are taken for those of another of that name.",
        "training/caching.py",
        '        "images": images.fingerprint,\n',
        "",
        ("training/test_caching.py::test_every_dependency_of_latents_gives_another_name",),
    ),
    Mutant(
        "latents-cache-of-other-weights",
        "Posteriors of one tokenizer are taken for another's.",
        "training/caching.py",
        '        "weights": weights_digest(tokenizer),\n',
        "",
        ("training/test_caching.py::test_every_dependency_of_latents_gives_another_name",),
    ),
    Mutant(
        "raw-images-of-another-crop",
        "A crop is no part of what images that are not prepared are known by.",
        "data/files.py",
        '{total.hexdigest()}, {self.view}"',
        '{total.hexdigest()}"',
        ("data/test_opening.py::test_crops_are_part_of_the_content",),
    ),
]
