"""Trained generators by name: their weights, and the tokenizer whose latents they make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sendvae.registry import Registry
from sendvae.weights import Shipped, Weights

DEMO_SIT = 2_856_256  # parameters


@dataclass(frozen=True)
class DiffusionModelSpec:
    """A row of the trained generators.

    Attributes:
        tokenizer: a name in `TOKENIZERS`; it decodes the latents.
        weights: the weights of the generator, with its classes beside them.
        description: one line for people.
    """

    tokenizer: str
    weights: Weights
    description: str


def _shipped(name: str, tokenizer: str, description: str) -> DiffusionModelSpec:
    """Return a row whose weights are part of this package, all of one architecture."""
    weights = Weights(
        name=name,
        source=Shipped(Path(__file__).parent / "weights" / name),
        files=("model.safetensors", "config.json"),
        licence="Apache-2.0",
        parameters=DEMO_SIT,
    )
    return DiffusionModelSpec(tokenizer, weights, description)


DIFFUSION_MODELS: Registry[DiffusionModelSpec] = Registry(
    "diffusion model",
    {
        "demo-sit-plain": _shipped(
            "demo-sit-plain", "demo-plain", "a small SiT on demo-plain, by the preset shipped/demo-sit-plain"
        ),
        "demo-sit-send": _shipped(
            "demo-sit-send",
            "demo-send-vae",
            "a small SiT on demo-send-vae, by the preset shipped/demo-sit-send",
        ),
    },
)


def named_model(source: str | Path) -> DiffusionModelSpec | None:
    """Return the row of a name, None where a file or folder of that name is there, or no such row."""
    return None if Path(source).exists() else DIFFUSION_MODELS.get(str(source))


def locate_generator(source: str | Path) -> Path:
    """Return the folder of a row of `DIFFUSION_MODELS`, fetched if it is not here; of anything else, its path.

    Raises:
        UserError: the weights of a row cannot be had.
    """
    row = named_model(source)
    return Path(source) if row is None else row.weights.pull()[0].parent
