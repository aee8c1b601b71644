"""Generators by name: networks, their published sizes, and how a name and shapes become one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from sendvae.diffusion.lightningdit import LightningDiT
from sendvae.diffusion.path import LINEAR
from sendvae.diffusion.projectors import MLP
from sendvae.diffusion.sit import SiT
from sendvae.diffusion.transformer import REPA_HIDDEN, DiffusionTransformer
from sendvae.errors import UserError
from sendvae.registry import Registry


@dataclass(frozen=True)
class GeneratorSpec:
    """A network.

    Attributes:
        network: its class.
        holds: whether a state dict is this network's, by its key names.
        needs_grid: whether it takes latents on a grid only.
    """

    network: Callable[..., DiffusionTransformer]
    holds: Callable[[Mapping[str, Tensor]], bool]
    needs_grid: bool = False


GENERATORS: Registry[GeneratorSpec] = Registry(
    "generator",
    {
        "SiT": GeneratorSpec(SiT, lambda weights: "blocks.0.mlp.fc1.weight" in weights),
        "LightningDiT": GeneratorSpec(
            LightningDiT, lambda weights: "blocks.0.mlp.w12.weight" in weights, needs_grid=True
        ),
    },
)


@dataclass(frozen=True)
class GeneratorSize:
    """Depth, width and heads of a network; the block REPA reads by default, and its projector's hidden width."""

    depth: int
    width: int
    heads: int
    repa_depth: int
    repa_hidden: int = REPA_HIDDEN


# SiT's S, B, L, XL are DiT's. REPA reads block 8 of L and XL and block 4 of B, by its author's advice; S like B.
# LightningDiT has no REPA of its own: its sizes read the blocks that SiT's do.
SIZES: Registry[GeneratorSize] = Registry(
    "generator size",
    {
        "SiT-Tiny": GeneratorSize(
            depth=4, width=192, heads=3, repa_depth=2, repa_hidden=512
        ),  # ours, for a CPU
        "SiT-S": GeneratorSize(depth=12, width=384, heads=6, repa_depth=4),
        "SiT-B": GeneratorSize(depth=12, width=768, heads=12, repa_depth=4),
        "SiT-L": GeneratorSize(depth=24, width=1024, heads=16, repa_depth=8),
        "SiT-XL": GeneratorSize(depth=28, width=1152, heads=16, repa_depth=8),
        "LightningDiT-Tiny": GeneratorSize(
            depth=4, width=192, heads=3, repa_depth=2, repa_hidden=512
        ),  # ours
        "LightningDiT-B": GeneratorSize(depth=12, width=768, heads=12, repa_depth=4),
        "LightningDiT-L": GeneratorSize(depth=24, width=1024, heads=16, repa_depth=8),
        "LightningDiT-XL": GeneratorSize(depth=28, width=1152, heads=16, repa_depth=8),
        "LightningDiT-1p0B": GeneratorSize(depth=24, width=1536, heads=24, repa_depth=8),
        "LightningDiT-1p6B": GeneratorSize(depth=28, width=1792, heads=28, repa_depth=8),
    },
)


@dataclass(frozen=True)
class GeneratorName:
    """A generator's name, taken apart: "SiT-B/1" is a network, one of its sizes, and a patch.

    Attributes:
        network: its name in GENERATORS.
        size: its row in SIZES.
        patch_size: latent positions per token along one side.
    """

    network: str
    size: GeneratorSize
    patch_size: int

    @classmethod
    def parse(cls, name: str) -> GeneratorName:
        """Take a name apart.

        Raises:
            UserError: unknown size, or no patch.
        """
        size_name, slash, patch = name.partition("/")
        size = SIZES[size_name]
        if not slash or not patch.isdigit() or int(patch) < 1:
            raise UserError(
                "a generator's name ends in its patch size", given=name, expected=f"for example {size_name}/1"
            )
        return cls(size_name.partition("-")[0], size, int(patch))

    def grid(self, latent_size: int) -> int:
        """Return the tokens along one side of a latent.

        Raises:
            UserError: the patches do not divide it.
        """
        if latent_size % self.patch_size:
            raise UserError(
                f"patches of {self.patch_size} do not divide the latent",
                given=f"{latent_size} positions along one side",
                next_step="choose a model with another patch, or another tokenizer",
            )
        return latent_size // self.patch_size


def build_generator(
    name: str,
    *,
    latent_channels: int,
    latent_size: int,
    num_classes: int,
    repa_width: int | None = None,
    repa_depth: int | None = None,
    label_dropout: float = 0.1,
    projector: str = MLP,
    path: str = LINEAR,
    qk_norm: bool = False,
    one_dimensional: bool = False,
) -> DiffusionTransformer:
    """Return a freshly initialised generator; `name` is a size and a patch, as "SiT-B/1".

    Args:
        latent_channels: the number of channels of the latents it draws.
        latent_size: positions along one side, or tokens where `one_dimensional`.
        num_classes: without the null label.
        repa_width: channels of the patch tokens that are predicted; None for no projector.
        repa_depth: the block they are predicted from, from 1; None for the one of that size's row.
        label_dropout: share of the labels that a training replaces by the null label.
        projector: a name in PROJECTORS.
        path: the path of its velocity, a name in PATHS.
        qk_norm: normalise queries and keys.
        one_dimensional: whether it is for tokens without a grid.

    Raises:
        UserError: unknown size, patch, projector or path.
        ValueError: sizes that do not fit together, or tokens without a grid for a network that needs one.
    """
    parsed = GeneratorName.parse(name)
    size = parsed.size
    return GENERATORS[parsed.network].network(
        latent_channels=latent_channels,
        latent_size=latent_size,
        patch_size=parsed.patch_size,
        width=size.width,
        depth=size.depth,
        heads=size.heads,
        num_classes=num_classes,
        label_dropout=label_dropout,
        repa_width=repa_width,
        repa_depth=repa_depth if repa_depth is not None else size.repa_depth,
        repa_hidden=size.repa_hidden,
        projector=projector,
        path=path,
        qk_norm=qk_norm,
        one_dimensional=one_dimensional,
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
    """Return `build_generator` of a SiT.

    Raises:
        UserError: unknown size or patch, or the name of another network.
    """
    sit = build_generator(
        name,
        latent_channels=latent_channels,
        latent_size=latent_size,
        num_classes=num_classes,
        repa_width=repa_width,
        repa_depth=repa_depth,
        label_dropout=label_dropout,
    )
    if not isinstance(sit, SiT):
        raise UserError(
            f"{name} is no SiT", expected="a name as SiT-B/1", next_step="build it with build_generator"
        )
    return sit
