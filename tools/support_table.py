"""Writes README's tables of what works with which tokenizer and generator, from the registries.

    python -m tools.support_table

A row of a registry is a row, or part of one, of a table: nothing here names a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from sendvae.diffusion import GENERATORS, SIZES
from sendvae.tokenizers import TOKENIZERS, Tokenizer
from sendvae.tokenizers.diffusers import DiffusersTokenizer
from sendvae.tokenizers.diffusers_families import FAMILIES
from sendvae.tokenizers.diffusers_layout import CLASS, PACKED_CLASS

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- what works, from the registries: python -m tools.support_table -->", "<!-- end -->"
YES, NO = "yes", "–"
NATIVE = f"VAE of latent-diffusion's architecture (`{CLASS}`, `{PACKED_CLASS}`)"


def tables() -> str:
    """Return both tables as Markdown."""
    return "\n".join([BEGIN, *_markdown(tokenizer_rows()), "", *_markdown(generator_rows()), END])


def tokenizer_rows() -> list[Sequence[str]]:
    """Return the heading, and a row for every family: names, and what can be done with it."""
    families: dict[str, tuple[list[str], tuple[str, ...], bool]] = {}
    for name, spec in TOKENIZERS.items():
        with torch.device("meta"):
            tokenizer = spec.build()
        grid = len(tokenizer.latent_shape(tokenizer.image_size)) == 3
        families.setdefault(_family(tokenizer), ([], spec.abilities, grid))[0].append(name)
    for kind in FAMILIES:
        families.setdefault(_of_diffusers(kind), ([], ("score",), True))
    rows: list[Sequence[str]] = [
        (
            "tokenizer",
            "by name",
            "score, generate in",
            "scores of the grid",
            "train",
            "export",
            "in a pipeline",
        )
    ]
    for family, (names, abilities, grid) in families.items():
        listed = ", ".join(f"`{name}`" for name in names) or "any folder of the class"
        done = ["score" in abilities, grid, "train" in abilities, "export" in abilities, True]
        rows.append((family, listed, *(YES if one else NO for one in done)))
    return rows


def generator_rows() -> list[Sequence[str]]:
    """Return the heading, and a row for every network: its sizes, and what it takes."""
    rows: list[Sequence[str]] = [
        ("generator", "sizes", "train, joint, sample, export", "latents with a grid", "tokens without one")
    ]
    for name, spec in GENERATORS.items():
        sizes = ", ".join(size.partition("-")[2] for size in SIZES if size.startswith(f"{name}-"))
        rows.append((f"`{name}`", sizes, YES, YES, NO if spec.needs_grid else YES))
    return rows


def write(readme: Path = README) -> None:
    """Replace the text between the marks of the README."""
    before, _, rest = readme.read_text().partition(BEGIN)
    readme.write_text(before + tables() + rest.partition(END)[2])


def _family(tokenizer: Tokenizer) -> str:
    if isinstance(tokenizer, DiffusersTokenizer):
        return _of_diffusers(tokenizer.name)
    kind = type(tokenizer).__name__
    return NATIVE if kind == "Autoencoder" else kind


def _of_diffusers(kind: str) -> str:
    text = FAMILIES[kind].description
    return f"`{kind}`: {text}"


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    heading, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    return [heading, "|" + "---|" * len(rows[0]), *rest]


if __name__ == "__main__":
    write()
