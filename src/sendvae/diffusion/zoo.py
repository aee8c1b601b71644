"""SiT sizes by name."""

from __future__ import annotations

from dataclasses import dataclass

from sendvae.diffusion.sit import REPA_HIDDEN, SiT
from sendvae.errors import UserError
from sendvae.registry import Registry


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
        "SiT-Tiny": SiTSize(depth=4, width=192, heads=3, repa_depth=2, repa_hidden=512),  # ours, for a CPU
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
        raise UserError(
            "a SiT's name ends in its patch size", given=name, expected=f"for example {size_name}/1"
        )
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
