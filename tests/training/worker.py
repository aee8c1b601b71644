"""Small training runs for `test_parallel.py`; started alone or by torchrun."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from threading import Event

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from sendvae import distributed
from sendvae.config import DiffusionConfig, JointConfig, TokenizerConfig, load_config
from sendvae.data import open_embedded
from sendvae.data.mapped_rows import MappedRows
from sendvae.diffusion import SIZES, LightningDiT, SiT
from sendvae.runs import RunFolder, checkpoint_writer
from sendvae.tokenizers import Architecture, Autoencoder, LatentStats
from sendvae.training import train
from sendvae.training.networks import tokenizer_networks, vae_networks
from sendvae.training.source import Batch, Source
from sendvae.training.stages import DiffusionStage, JointStage, TokenizerStage

SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 1, 2, 2), num_res_blocks=1, norm_groups=4, resolution=64)
WIDTH, IMAGES = 12, 24
STATISTICS = LatentStats(torch.tensor([0.5, -1.0, 0.25, 2.0]), torch.tensor([1.5, 0.5, 2.0, 0.75]))
CPU = torch.device("cpu")
SHARED = ["loop.batch_size=8", "loop.precision=fp32", "loop.log_every=8", "loop.checkpoint_every=16", "optimizer.warmup=0"]  # fmt: skip
NEVER = 1_000_000


class Tokens(MappedRows):
    """A cache of random features in place of a foundation model's."""

    def __init__(self, grid: int) -> None:
        rows = torch.randn(IMAGES, grid * grid, WIDTH, generator=torch.Generator().manual_seed(1))
        self.shards, self.names, self.starts = [{"tokens": rows}], ["tokens"], np.array([0, IMAGES])


class Recorded(Source):
    """A source that notes which images this process reads."""

    def __init__(self, grid: int) -> None:
        super().__init__(open_embedded("emoji", "train", limit=IMAGES), tokens=Tokens(grid))
        self.read: list[list[int]] = []

    def __getitems__(self, indices: object) -> Batch:
        self.read.append([int(i) for i in indices])  # type: ignore[attr-defined]
        return super().__getitems__(indices)  # type: ignore[arg-type]


def small_sit() -> SiT:
    torch.manual_seed(0)
    return SiT(latent_channels=4, latent_size=8, patch_size=2, width=16, depth=2, heads=2, num_classes=10,
               repa_width=WIDTH, repa_depth=1, repa_hidden=16)  # fmt: skip


def extra_large_sit() -> SiT:
    """Return SiT-XL/1 with one of its blocks."""
    torch.manual_seed(0)
    size = SIZES["SiT-XL"]
    return SiT(latent_channels=4, latent_size=8, patch_size=1, width=size.width, depth=1, heads=size.heads,
               num_classes=10, repa_width=WIDTH, repa_depth=1, repa_hidden=16)  # fmt: skip


def small_lightningdit() -> LightningDiT:
    torch.manual_seed(0)
    return LightningDiT(latent_channels=4, latent_size=8, patch_size=2, width=16, depth=2, heads=2, num_classes=10,
                        qk_norm=True, repa_width=WIDTH, repa_depth=1, repa_hidden=16)  # fmt: skip


GENERATORS = {
    "diffusion": small_sit, "diffusion-xl": extra_large_sit, "diffusion-lightningdit": small_lightningdit,
}  # fmt: skip


def stage_of(kind: str, overrides: list[str]) -> TokenizerStage | DiffusionStage | JointStage:
    torch.manual_seed(
        distributed.rank()
    )  # processes that start from different weights must end with the same
    if kind.startswith("tokenizer"):
        start = 0 if kind == "tokenizer-synced" else NEVER
        config = load_config(
            TokenizerConfig,
            "demo/send-vae",
            # Unless synced the discriminator's BatchNorm is each process's own, as in the reference: not one's.
            [*SHARED, f"losses.discriminator_start={start}", f"losses.adversarial_start={start}", "losses.discriminator_width=4",
             "alignment.width=16", "alignment.heads=2", "alignment.hidden=16", "optimizer.lr=1e-5", "alignment.lr=1e-5", *overrides],
        )  # fmt: skip
        torch.manual_seed(0)
        tokenizer = Autoencoder(SMALL, STATISTICS)
        networks = tokenizer_networks(config, tokenizer, 64, WIDTH)
        return TokenizerStage(config, networks, Recorded(4), CPU)
    if kind == "joint":
        config = load_config(
            JointConfig,
            "demo/joint",
            [*SHARED, f"losses.discriminator_start={NEVER}", f"losses.adversarial_start={NEVER}",
             "losses.discriminator_width=4", "optimizer.lr=1e-5", *overrides],
        )  # fmt: skip
        torch.manual_seed(0)
        tokenizer = Autoencoder(SMALL, STATISTICS)
        return JointStage(config, vae_networks(config, tokenizer), small_sit(), Recorded(4), CPU)
    config = load_config(DiffusionConfig, "demo/sit-tiny", [*SHARED, "optimizer.lr=1e-3", *overrides])
    generator = GENERATORS[kind]()
    torch.manual_seed(0)
    return DiffusionStage(
        config, generator, STATISTICS, Recorded(generator.grid), CPU, Autoencoder(SMALL).eval()
    )


def hold_writes(stage: TokenizerStage | DiffusionStage | JointStage) -> None:
    """Let no checkpoint be whole before this process has begun the step at image 24."""
    begun, step, flush = Event(), stage.step, checkpoint_writer.flush_file

    def noted(batch: Batch, images_seen: int) -> dict[str, Tensor]:
        if images_seen == 24:
            begun.set()
        return step(batch, images_seen)

    def held(path: Path) -> None:
        assert begun.wait(60), "the training waits for the writer"
        flush(path)

    stage.step, checkpoint_writer.flush_file = noted, held  # type: ignore[method-assign]


def run(folder: str, kind: str, overrides: list[str], held: bool = False) -> None:
    stage = stage_of(kind, overrides)
    if held:
        hold_writes(stage)
    reductions = Counter[str]()
    part = stage.vae_part if isinstance(stage, TokenizerStage) else stage.generator_part
    if isinstance(part.parallel.module, DistributedDataParallel):

        def counted(state, bucket):  # type: ignore[no-untyped-def]
            state["buckets"] += 1
            return allreduce_hook(dist.group.WORLD, bucket)

        part.parallel.module.register_comm_hook(reductions, counted)
    with RunFolder(Path(folder)).prepare({}, {}) as prepared:
        distributed.barrier()
        train(stage, prepared, stage.config.loop, seed=0)
    rank = distributed.rank()
    record = {"read": stage.source.read, "buckets": reductions["buckets"]}  # type: ignore[attr-defined]
    Path(folder, f"record-{rank}.json").write_text(json.dumps(record))
    weights = {f"{g}/{n}": distributed.whole(t.detach()).clone() for g, named in stage.state.tensors().items() for n, t in named.items()}  # fmt: skip
    save_file(weights, Path(folder, f"weights-{rank}.safetensors"))
    distributed.barrier()


if __name__ == "__main__":
    torch.set_num_threads(1)
    with distributed.process_group():
        for job in json.loads(sys.argv[1]):
            run(**job)
