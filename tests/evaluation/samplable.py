"""A small SiT and tokenizer on which a mistake in sampling shows: no weight is zero, no statistic 0 or 1."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml

from sendvae.diffusion import SiT, build_sit, save_generator
from sendvae.runs import Classes, save_checkpoint
from sendvae.tokenizers import Architecture, Autoencoder, LatentStats

SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 2), num_res_blocks=1, norm_groups=4, resolution=8)
CLASSES = 5
NAMES = ("zebra", "cat", "dog", "bee", "ant")


def small_sit(seed: int = 0) -> SiT:
    torch.manual_seed(seed)
    sit = SiT(latent_channels=4, latent_size=4, patch_size=2, width=16, depth=2, heads=2, num_classes=CLASSES)
    with torch.no_grad():
        for parameter in sit.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return sit.eval()


def small_tokenizer(seed: int = 1) -> Autoencoder:
    """Return a tokenizer of images of 8 x 8 pixels."""
    torch.manual_seed(seed)
    tokenizer = Autoencoder(SMALL).eval()
    with torch.no_grad():
        tokenizer.decoder.conv_out.weight.mul_(4.0)  # so that pixels reach both ends of their range
    tokenizer.latent_stats = LatentStats(
        torch.tensor([1.5, -2.0, 0.5, 3.0]), torch.tensor([2.0, 0.5, 3.0, 1.5])
    )
    return tokenizer


def save_run(folder: Path, tokenizer: Path, seed: int = 0, kind: str = "diffusion") -> SiT:
    """Write a finished run with one checkpoint, whose average and raw weights differ; return the exported SiT."""
    folder.mkdir(parents=True)
    config = {"kind": kind, "tokenizer": str(tokenizer), "model": "SiT-Tiny/2", "repa": None}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    exported, averaged, raw = (tiny_sit(seed + i) for i in range(3))
    save_generator(exported, folder / "sit")
    tensors = {"ema": averaged.state_dict(), "sit": raw.state_dict()}
    save_checkpoint(folder / "checkpoints", 7, 70, tensors, {})
    Classes(CLASSES, NAMES, (5, 1, 1, 2, 1)).save(folder)
    return exported


def tiny_sit(seed: int) -> SiT:
    """Return a SiT of a published size, so that the number of its heads follows from a checkpoint."""
    torch.manual_seed(seed)
    sit = build_sit("SiT-Tiny/2", latent_channels=4, latent_size=4, num_classes=CLASSES)
    with torch.no_grad():
        for parameter in sit.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return sit.eval()
