"""Golden curves: ten steps of every stage in float32 on one thread, with tiny networks and the embedded images.

    python tests/training/golden_curves.py
        prints the largest differences from the stored curves; with --exact, exit code 1 unless all bits are equal.
    python tests/training/golden_curves.py --save /tmp/before
    python tests/training/golden_curves.py --exact --against /tmp/before
        compares two states of the code on one machine, before and after a refactor.
    python tests/training/golden_curves.py --save tests/training/golden
        rewrites the stored curves after a deliberate change of the numbers.

The stored curves come from one machine, so on another one only the last digits may differ; a refactor compares bits
before and after on its own machine (`--save`, then `--exact --against`). A commit that rewrites the stored curves
says which numbers changed and why.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from sendvae.config import DiffusionConfig, JointConfig, TokenizerConfig, load_config
from sendvae.data import LatentCache, LatentCacheWriter, open_embedded
from sendvae.diffusion import SiT
from sendvae.runs import RunFolder, read_journal
from sendvae.tokenizers import Architecture, Autoencoder, LatentStats
from sendvae.training import train
from sendvae.training.networks import tokenizer_networks, vae_networks
from sendvae.training.source import Source
from sendvae.training.stages import DiffusionStage, JointStage, TokenizerStage

STORED = Path(__file__).parent / "golden"
TOLERANCE = 1e-4  # relative, between machines
# Where a flat background lies on a kink of the discriminator, rounding decides for all its positions together.
KINKED = {"grad_norm_discriminator": 1e-2}
# A step of Adam moves a weight whose gradient is nothing but rounding as far as any other.
WEIGHTS_TOLERANCE = 1e-2
CPU = torch.device("cpu")
IMAGES, STEPS, BATCH, WIDTH = 24, 10, 4, 12  # the ten steps pass the end of the data
ARCHITECTURE = Architecture(
    z_channels=4, ch=8, ch_mult=(1, 1, 2, 2), num_res_blocks=1, norm_groups=4, resolution=64
)
LOOP = [
    f"loop.images={STEPS * BATCH}", f"loop.batch_size={BATCH}", f"loop.log_every={BATCH}", "loop.precision=fp32",
    "optimizer.warmup=12", "optimizer.schedule=cosine", "optimizer.weight_decay=0.01", "seed=7",
]  # fmt: skip
LOSSES = ["losses.discriminator_width=4"]
MAPPER = ["alignment.width=16", "alignment.heads=2", "alignment.hidden=16"]
Curves = dict[str, Any]
Trained = TypeVar("Trained", TokenizerStage, JointStage)


def send(folder: Path, *overrides: str) -> TokenizerStage:
    """Return a stage with Send-VAE's mapper, whose batches are accumulated from two pieces."""
    return _tokenizer(folder, "send-vae", *MAPPER, "loop.accumulate=2", "gradient_share_every=16", *overrides)


def vavae(folder: Path) -> TokenizerStage:
    """Return a stage with VA-VAE's alignment. Ratios of gradients weigh the alignment and the discriminator."""
    return _tokenizer(folder, "direct", "losses.adversarial_weighting=adaptive")


def plain(folder: Path) -> TokenizerStage:
    """Return a stage without alignment, with a late discriminator, mirrored images and an average of the weights."""
    return _tokenizer(
        folder,
        "plain",
        "losses.discriminator_start=8",
        "losses.adversarial_start=16",
        "data.flip=true",
        "ema=0.9",
    )


def diffusion(folder: Path, *overrides: str) -> DiffusionStage:
    """Return a stage of diffusion with REPA on cached latents and tokens of images and mirrored images."""
    config = load_config(DiffusionConfig, "demo/sit-tiny", [*LOOP, "data.flip=true", "ema=0.9", *overrides])
    shapes = {"mean": (4, 8, 8), "std": (4, 8, 8), "mean_flip": (4, 8, 8), "std_flip": (4, 8, 8)}
    generator = torch.Generator().manual_seed(2)
    with LatentCacheWriter(folder / "latents", shapes, IMAGES, "golden") as writer:
        rows = {name: torch.randn(IMAGES, *shape, generator=generator) for name, shape in shapes.items()}
        writer.append(
            {n: 0.5 + 2.0 * row if n.startswith("mean") else (0.3 * row).exp() for n, row in rows.items()}
        )
    source = Source(
        open_embedded("emoji", "train", limit=IMAGES),
        LatentCache(folder / "latents"),
        _tokens(folder),
        flip=True,
    )
    return DiffusionStage(config, _sit(), _statistics(), source, CPU)


def joint(folder: Path, *overrides: str) -> JointStage:
    """Return a stage of joint training, which trains the VAE through the frozen SiT, then the SiT."""
    config = load_config(JointConfig, "demo/joint", [*LOOP, *LOSSES, "ema=0.9", *overrides])
    source = Source(open_embedded("emoji", "train", limit=IMAGES), tokens=_tokens(folder))
    return _steadied(JointStage(config, vae_networks(config, _autoencoder()), _sit(), source, CPU))


STAGES: dict[str, Callable[[Path], TokenizerStage | DiffusionStage | JointStage]] = {
    "send": send,
    "vavae": vavae,
    "plain": plain,
    "diffusion": diffusion,
    "joint": joint,
}


def curves(name: str) -> Curves:
    """Train one stage for ten steps; return its scalars of every step and what became of its state.

    Returns:
        "scalars": name -> one number a step (None where a step has no such number). "moved": group -> Euclidean
        length of what ten steps changed in it. "digest": group -> SHA-256 of its tensors, of this machine only.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        stage = STAGES[name](folder)
        before = {group: _joined(named) for group, named in stage.state.tensors().items()}
        with RunFolder(folder / "run").prepare({}, {}) as run:
            train(stage, run, stage.config.loop, stage.config.seed)
        after = {group: _joined(named) for group, named in stage.state.tensors().items()}
        columns = read_journal(run.journal_path)
    measured = {"images_per_second", "tflops", "mfu", "memory_gib"}
    return {
        "scalars": {column: columns[column] for column in sorted(columns.keys() - measured)},
        "moved": {
            group: float((after[group] - before[group]).norm())
            for group in sorted(after)
            if before[group].shape == after[group].shape  # an optimiser's state begins empty
        },
        "digest": {
            group: hashlib.sha256(after[group].numpy().tobytes()).hexdigest() for group in sorted(after)
        },
    }


def stored(name: str, folder: Path = STORED) -> Curves:
    """Return the curves that `save` wrote."""
    return json.loads((folder / f"{name}.json").read_text())


def save(name: str, found: Curves, folder: Path) -> None:
    """Write curves with every digit."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


def differences(expected: Curves, found: Curves, part: str) -> dict[str, float]:
    """Return the largest relative difference of every curve in "scalars" or number in "moved".

    A number is compared with the largest of its curve, so that a curve through zero compares, too.

    Raises:
        ValueError: other names, or other steps at which a number exists.
    """
    if expected[part].keys() != found[part].keys():
        raise ValueError(f"other {part}: {sorted(expected[part].keys() ^ found[part].keys())}")
    largest = {}
    for name, curve in expected[part].items():
        here, there = (value if isinstance(value, list) else [value] for value in (curve, found[part][name]))
        if [value is None for value in here] != [value is None for value in there]:
            raise ValueError(f"{name} at other steps")
        pairs = [(a, b) for a, b in zip(here, there, strict=True) if a is not None]
        largest[name] = max(abs(a - b) for a, b in pairs) / (max(abs(a) for a, _ in pairs) or 1.0)
    return largest


class _Perceptual(nn.Module):
    """A smooth network in place of the perceptual one, whose kinks would turn rounding into other curves."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.register_buffer("weight", torch.randn(8, 3, 4, 4, generator=generator) / 7.0)

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        features = [functional.conv2d(x, self.weight, stride=4).tanh() for x in (reconstruction, images)]
        return (features[0] - features[1]).square().mean((1, 2, 3))


def _steadied(stage: Trained) -> Trained:
    """Return the stage without what makes rounding grow, so that machines agree."""
    stage.vae.perceptual = _Perceptual()
    with torch.no_grad():
        bias, weight = list(stage.discriminator.parameters())[:-3:-1]
        weight.mul_(10.0)  # a logit that crosses a hinge in one rounding and not in another is rare
        bias.fill_(0.3)  # with all hinges open the bias has gradient 0, and Adam follows its rounding
    return stage


def _tokenizer(folder: Path, preset: str, *overrides: str) -> TokenizerStage:
    config = load_config(TokenizerConfig, f"demo/{preset}", [*LOOP, *LOSSES, *overrides])
    images = open_embedded("emoji", "train", limit=IMAGES)
    tokens = _tokens(folder) if config.alignment is not None else None
    source = Source(images, tokens=tokens, flip=config.data.flip)
    networks = tokenizer_networks(config, _autoencoder(), images[0].image.shape[-1], WIDTH)
    return _steadied(TokenizerStage(config, networks, source, CPU))


def _autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(ARCHITECTURE, _statistics())


def _statistics() -> LatentStats:
    return LatentStats(torch.tensor([0.5, -1.0, 0.25, 2.0]), torch.tensor([1.5, 0.5, 2.0, 0.75]))


def _sit() -> SiT:
    """Return a SiT away from its zero initialisation, behind which gradients are zero."""
    torch.manual_seed(1)
    sit = SiT(latent_channels=4, latent_size=8, patch_size=2, width=16, depth=2, heads=2, num_classes=10,
              repa_width=WIDTH, repa_depth=1, repa_hidden=16)  # fmt: skip
    with torch.no_grad():
        for parameter in sit.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return sit


def _tokens(folder: Path) -> LatentCache:
    """Return fixed random features of images and mirrored images, in place of a foundation model's."""
    fields = {"tokens": (16, WIDTH), "tokens_flip": (16, WIDTH)}
    generator = torch.Generator().manual_seed(1)
    with LatentCacheWriter(folder / "tokens", fields, IMAGES, "golden") as writer:
        writer.append(
            {name: torch.randn(IMAGES, *shape, generator=generator) for name, shape in fields.items()}
        )
    return LatentCache(folder / "tokens")


def _joined(named: Any) -> Tensor:
    tensors = [tensor.detach().double().flatten() for tensor in named.values()]
    return torch.cat(tensors) if tensors else torch.zeros(0)


def _main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, metavar="FOLDER", help="write the curves instead of comparing them"
    )
    parser.add_argument(
        "--against", type=Path, default=STORED, metavar="FOLDER", help="curves to compare with"
    )
    parser.add_argument("--exact", action="store_true", help="demand equal bits, of every weight, too")
    parser.add_argument("--only", choices=STAGES, help="one stage")
    arguments = parser.parse_args()
    equal = True
    for name in [arguments.only] if arguments.only else STAGES:
        found = curves(name)
        if arguments.save:
            save(name, found, arguments.save)
            continue
        expected = stored(name, arguments.against)
        same = expected == found
        equal &= same
        shown = []
        for part in ("scalars", "moved"):
            largest = differences(expected, found, part)
            worst = max(largest, key=lambda key: largest[key])
            shown.append(f"{part} {largest[worst]:.2g} ({worst})")
        print(f"{name:10} {'equal bits' if same else 'largest differences: ' + ', '.join(shown)}")
    return int(arguments.exact and not equal)


if __name__ == "__main__":
    sys.exit(_main())
