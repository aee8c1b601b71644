"""A row of the tokenizer zoo, and the weights of a row at a hub address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sendvae.tokenizers.files import choose_files
from sendvae.tokenizers.protocol import Tokenizer
from sendvae.weights import SUFFIXES, Weights
from sendvae.weights.hub import hub_source

DIFFUSERS_FILES = ("diffusion_pytorch_model.safetensors", "config.json")


@dataclass(frozen=True)
class TokenizerSpec:
    """A row of the zoo.

    Attributes:
        build: returns the network, freshly initialised.
        weights: where the weights come from. Their parameters are counted over encoder, decoder and the two 1x1
            convolutions, or over the class of diffusers.
        description: one line for people.
        paper: the arXiv identifier, where there is one.
        untrainable: why the tokenizer can be neither fine-tuned nor exported here; None if it can.
    """

    build: Callable[[], Tokenizer]
    weights: Weights
    description: str
    paper: str | None = None
    untrainable: str | None = None

    @property
    def abilities(self) -> tuple[str, ...]:
        """Return what can be done with the tokenizer: "score" (and generate in its latents), "train", "export"."""
        return ("score", "train", "export") if self.untrainable is None else ("score",)


def on_hub(name: str, address: str, files: tuple[str, ...], parameters: int, licence: str = "MIT") -> Weights:
    """Return the weights of a row at a hub address."""
    return Weights(
        name=name,
        source=hub_source(address, SUFFIXES),
        files=files,
        licence=licence,
        parameters=parameters,
        choose=choose_files,
    )
