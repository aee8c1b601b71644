"""Tokenizers by name: architecture, where the weights are, licence, paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sendvae.registry import Registry


@dataclass(frozen=True)
class TokenizerSpec:
    """A row of the zoo.

    Attributes:
        architecture: name in `ARCHITECTURES`.
        source: "package:FOLDER" for weights that ship with sendvae.
        licence: of the weights.
        description: one line for people.
    """

    architecture: str
    source: str
    licence: str
    description: str

    @property
    def folder(self) -> Path:
        return Path(__file__).parent / self.source.removeprefix("package:")


TOKENIZERS: Registry[TokenizerSpec] = Registry(
    "tokenizer",
    {
        "demo-f8d16": TokenizerSpec(
            architecture="demo-f8d16",
            source="package:weights/demo-f8d16",
            licence="Apache-2.0",
            description="the demo's base: f8, 16 channels, trained on 64-pixel emoji by the preset demo/base",
        ),
    },
)
