"""The demo, which puts all rooms together."""

from __future__ import annotations

from tools.mutants.mutant import Mutant

DEMO = ("end_to_end/test_pinned_demo.py",)
MUTANTS = [
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
    Mutant(
        "demo-fine-tunes-another-base",
        "The demo fine-tunes the tokenizer that ships, whatever base it measured.",
        "experiments/demo.py",
        '[f"init={base}", ',
        "[",
        ("experiments/test_demo.py",),
    ),
    Mutant(
        "demo-from-scratch-ignored",
        "The demo trains a base tokenizer and goes on with the one that ships.",
        "experiments/demo.py",
        'return str(train_tokenizer(config, self.folder / "base-run", self.cache, "base"))',
        'train_tokenizer(config, self.folder / "base-run", self.cache, "base")\n'
        "        return self.config.base",
        ("experiments/test_demo.py",),
    ),
    Mutant(
        "demo-budgets-swapped",
        "The demo's tokenizers and SiTs see each other's numbers of images.",
        "experiments/demo.py",
        'f"tokenizer={tokenizer}", f"loop.images={self.config.diffusion_images}"',
        'f"tokenizer={tokenizer}", f"loop.images={self.config.tokenizer_images}"',
        ("experiments/test_demo.py",),
    ),
]
