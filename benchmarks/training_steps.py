"""How near is a training step to the largest matrix products of the device, whole and compiled block by block?

    python benchmarks/training_steps.py --preset imagenet256-sit-b1 --batch 256
    python benchmarks/training_steps.py --preset imagenet256-f16d32-send --batch 16

Weights, latents, images and tokens are random. The foundation model is left out: its tokens are given, as from a cache.
A line is one setting; its repeats take turns with those of the others. FLOPs are those of `--dry-run`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from statistics import median

import torch

from sendvae.config import DiffusionConfig, TokenizerConfig, kind_of, load_config
from sendvae.nn.precision import bf16_is_native
from sendvae.tokenizers import TOKENIZERS, LatentStats, Tokenizer, build_tokenizer, trainable
from sendvae.training import default_device
from sendvae.training.estimate import estimate
from sendvae.training.meta import BlankImages
from sendvae.training.networks import fresh_generator, generator_shape, tokenizer_networks
from sendvae.training.source import Batch, Source
from sendvae.training.stages import DiffusionStage, TokenizerStage
from sendvae.training.start import FRESH
from sendvae.vision import BACKBONES

WARM_UP = 3  # steps
PRODUCT = {"cuda": 8192, "cpu": 2048}  # side of the matrices of the ceiling
EMBEDDED = 64  # pixels a side of the images that ship
TERA = 1e12
Stage = DiffusionStage | TokenizerStage


def tflops_of_products(device: torch.device, repeats: int) -> float:
    """Return the TFLOP/s of a large bf16 matrix product."""
    side = PRODUCT[device.type]
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / TERA / median(timed(lambda: a @ b, device) for _ in range(repeats + WARM_UP))


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of one call, until the device has done it."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def random_tokenizer(source: str) -> Tokenizer:
    """Return the network behind a name of the zoo, or "fresh:ARCHITECTURE", without trained weights."""
    return TOKENIZERS[source].build() if source in TOKENIZERS else build_tokenizer(source.removeprefix(FRESH))


def diffusion(config: DiffusionConfig, batch: int, device: torch.device) -> tuple[Stage, Batch]:
    """Return the stage of a generator, with cached latents and tokens for a step."""
    tokenizer = random_tokenizer(config.tokenizer)
    size, classes = config.data.size or EMBEDDED, config.data.classes or 1000
    shape = generator_shape(config, tokenizer, size)
    generator = fresh_generator(config, shape, classes)
    stats = LatentStats(torch.zeros(shape[0]), torch.ones(shape[0]))
    stage = DiffusionStage(config, generator, stats, Source(BlankImages(size)), device)
    mean, std = torch.randn(batch, *shape), torch.rand(batch, *shape)
    tokens = None
    if config.repa is not None:
        tokens = torch.randn(batch, generator.grid**2, BACKBONES[config.repa.backbone].width)
    return stage, Batch(None, torch.randint(classes, (batch,)), mean, std, tokens)


def tokenizer(config: TokenizerConfig, batch: int, device: torch.device) -> tuple[Stage, Batch]:
    """Return the stage of a tokenizer, with images and tokens for a step."""
    network, size = trainable(random_tokenizer(config.init), config.init), config.data.size or EMBEDDED
    network.latent_stats = LatentStats(
        torch.zeros(network.latent_channels), torch.ones(network.latent_channels)
    )
    aligned = config.alignment
    width = BACKBONES[aligned.backbone].width if aligned else None
    networks = tokenizer_networks(config, network, size, width, pretrained=False)
    stage = TokenizerStage(config, networks, Source(BlankImages(size)), device)
    images = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8)
    tokens = torch.randn(batch, aligned.grid**2, width) if aligned and width else None
    return stage, Batch(images, torch.zeros(batch, dtype=torch.int64), tokens=tokens)


def compile_blocks(stage: Stage) -> None:
    """Compile every block of the generator, or of the tokenizer's encoder and decoder, by itself."""
    network = stage.generator if isinstance(stage, DiffusionStage) else stage.tokenizer
    for module in network.modules():
        if type(module).__name__ in {"Block", "ResnetBlock", "AttnBlock"}:
            module.compile()


def main() -> None:
    """Time the settings in turns, and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", default="imagenet256-sit-b1")
    parser.add_argument("--batch", type=int, default=256 if torch.cuda.is_available() else 8)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--without-compile", action="store_true")
    options = parser.parse_args()
    device = default_device()
    kind = DiffusionConfig if kind_of(options.preset) == "diffusion" else TokenizerConfig
    config = load_config(kind, options.preset, [f"loop.batch_size={options.batch}", "loop.accumulate=1"])
    build = diffusion if isinstance(config, DiffusionConfig) else tokenizer
    flops = estimate(config).flops_per_image * options.batch
    precisions = ["bf16", "fp32"] if device.type == "cuda" or bf16_is_native(device) else ["fp32"]
    settings = {name: (name, False) for name in precisions}
    if not options.without_compile:
        settings |= {f"{precisions[0]}, blocks compiled": (precisions[0], True)}
    steps: dict[str, Callable[[], object]] = {}
    for name, (precision, compiled) in settings.items():
        torch.manual_seed(0)
        own = config.model_copy(update={"loop": config.loop.model_copy(update={"precision": precision})})
        stage, batch = build(own, options.batch, device)  # type: ignore[arg-type]
        batch = batch.to(device)
        if compiled:
            compile_blocks(stage)
        steps[name] = lambda stage=stage, batch=batch: stage.step(batch, config.loop.images // 2)
    for step in steps.values():
        for _ in range(WARM_UP):
            timed(step, device)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.repeats):
        for name, step in steps.items():
            times[name].append(timed(step, device))
    ceiling = tflops_of_products(device, options.repeats)
    facts = {
        "preset": options.preset,
        "batch": options.batch,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "bf16_products_tflops": round(ceiling, 2),
    }
    print(json.dumps(facts))
    for name, taken in times.items():
        seconds = median(taken)
        rate, share = flops / TERA / seconds, flops / TERA / seconds / ceiling
        print(
            f"{name:24} {seconds * 1e3:9.1f} ms  {options.batch / seconds:9.1f} img/s  {rate:7.2f} TFLOP/s  {share:5.1%}"
        )
    if device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
