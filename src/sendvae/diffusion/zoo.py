"""SiT sizes by name, and SiTs on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from sendvae.diffusion.sit import REPA_HIDDEN, SiT
from sendvae.errors import UserError
from sendvae.files import new_folder
from sendvae.registry import Registry

CONFIG, WEIGHTS = "config.json", "model.safetensors"
EXPORTED = "sit"  # where a training run keeps its result


@dataclass(frozen=True)
class SiTSize:
    """Depth, width and heads of a SiT; the block REPA reads by default, and its projector's hidden width."""

    depth: int
    width: int
    heads: int
    repa_depth: int
    repa_hidden: int = REPA_HIDDEN


# S, B, L, XL: DiT and SiT. REPA reads block 8 of L and XL and block 4 of B, by its author's advice; S like B.
SIZES: Registry[SiTSize] = Registry(
    "SiT size",
    {
        "SiT-Tiny": SiTSize(depth=6, width=256, heads=4, repa_depth=3, repa_hidden=512),  # ours, for a CPU
        "SiT-S": SiTSize(depth=12, width=384, heads=6, repa_depth=4),
        "SiT-B": SiTSize(depth=12, width=768, heads=12, repa_depth=4),
        "SiT-L": SiTSize(depth=24, width=1024, heads=16, repa_depth=8),
        "SiT-XL": SiTSize(depth=28, width=1152, heads=16, repa_depth=8),
    },
)


def build_sit(
    name: str,
    *,
    latent_channels: int,
    latent_size: int,
    num_classes: int,
    repa_width: int | None = None,
    repa_depth: int | None = None,
    label_dropout: float = 0.1,
) -> SiT:
    """A freshly initialised SiT; `name` is a size and a patch, as "SiT-B/1".

    Raises:
        UserError: unknown size or patch.
    """
    size_name, slash, patch = name.partition("/")
    size = SIZES[size_name]
    if not slash or not patch.isdigit() or int(patch) < 1:
        raise UserError("a SiT's name ends in its patch size", given=name, expected=f"for example {size_name}/1")
    return SiT(
        latent_channels=latent_channels,
        latent_size=latent_size,
        patch_size=int(patch),
        width=size.width,
        depth=size.depth,
        heads=size.heads,
        num_classes=num_classes,
        label_dropout=label_dropout,
        repa_width=repa_width,
        repa_depth=repa_depth if repa_depth is not None else size.repa_depth,
        repa_hidden=size.repa_hidden,
    )


def save_sit(sit: nn.Module, folder: Path) -> None:
    """Writes a folder that `load_sit` reads; it appears whole or not at all."""
    assert isinstance(sit, SiT)
    config = {
        "latent_channels": sit.latent_channels,
        "latent_size": sit.latent_size,
        "patch_size": sit.patch_size,
        "width": sit.pos_embed.shape[-1],
        "depth": len(sit.blocks),
        "heads": sit.blocks[0].attn.heads,
        "num_classes": sit.num_classes,
        "label_dropout": sit.label_dropout,
        "repa_width": sit.projectors[0][4].out_features if len(sit.projectors) else None,
        "repa_depth": sit.repa_depth,
        "repa_hidden": sit.projectors[0][0].out_features if len(sit.projectors) else REPA_HIDDEN,
    }
    with new_folder(folder) as temporary:
        (temporary / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
        save_file({name: t.detach().cpu().contiguous() for name, t in sit.state_dict().items()}, temporary / WEIGHTS)


def load_sit(source: str | Path) -> SiT:
    """A SiT from an exported folder or a training run; strict, in evaluation mode.

    Raises:
        UserError: the folder holds none, or its weights do not fit.
    """
    folder = Path(source) / EXPORTED if (Path(source) / EXPORTED).is_dir() else Path(source)
    try:
        sit = SiT(**json.loads((folder / CONFIG).read_text()))
        sit.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} is not a SiT", given=f"no {Path(error.filename).name}", expected=f"{CONFIG} and {WEIGHTS}"
        ) from None
    except RuntimeError as error:
        raise UserError(f"the weights in {folder} do not fit", given=error) from None
    return sit.eval()
