"""The interface of scores of a latent space: their inputs, their results, and how results are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from jaxtyping import Float, Float64, Int64
from torch import Tensor

from sendvae.latents.bootstrap import Bootstrap
from sendvae.latents.minibatch import MinibatchFit
from sendvae.latents.rows import LatentRows
from sendvae.quantities import Quantity

Value = TypeVar("Value")
MIRRORED = "train mirrored"  # rows of the mirrored training images, where uniformity asks for them
GROUP = "latent space"


class Distance(NamedTuple):
    """The distance of two sets of images, and the distances without each part of them."""

    value: float
    without: Sequence[float] = ()


@runtime_checkable
class Judge(Protocol):
    """A feature network that holds sets of images against each other."""

    def features(self, images: Iterable[Float[Tensor, "B 3 H W"]]) -> Float[Tensor, "N D"]:
        """Return the features of batches of images in [-1, 1]."""
        ...

    def distances(
        self, a: Float[Tensor, "N D"], b: Float[Tensor, "N D"], parts: Sequence[Int64[Tensor, " _"]] = ()
    ) -> Mapping[str, Distance]:
        """Return the Frechet and the kernel distance, under the names that the network gives them.

        Args:
            parts: positions of the rows of both sets that are left out together, one part after the other.
        """
        ...


@dataclass(frozen=True)
class Evidence:
    """The inputs of scores: a latent space and the images that were encoded.

    Attributes:
        source: the name of the images in messages.
        rows: the latents by split ("train", "test", perhaps "val"), and those of mirrored images under `MIRRORED`.
        shape: the shape of a latent, (C, h, w), or (C, N) for one-dimensional tokens.
        attributes: the binary attributes (N, A) by split; empty where none are known.
        attribute_names: the names of the A attributes.
        labels: the class labels by split.
        images: the pixels (B, 3, H, W) in [-1, 1] by split, which are read as latents are.
        decode: the decoder, from latents (B, C, h, w) to images in [-1, 1]; None where the tokenizer is not at hand.
        judge: the judge of decoded images; None where no score asked for one.
        one_size: whether the decoder takes latents of this shape only.
        bootstrap: the resamples of the test images.
        minibatch: how probes are fitted that do not fit into memory.
        seed: the seed of everything that is drawn.
        shared: the values that `once` has found. The tokenizers of a comparison share them, as they share their images.
    """

    source: str
    rows: Mapping[str, LatentRows]
    shape: tuple[int, ...]
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    attribute_names: Sequence[str] = ()
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    images: Mapping[str, LatentRows] = field(default_factory=dict)
    decode: Callable[[Float[Tensor, "B C *n"]], Float[Tensor, "B 3 H W"]] | None = None
    judge: Judge | None = None
    one_size: bool = False
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    minibatch: MinibatchFit = field(default_factory=MinibatchFit)
    seed: int = 0
    shared: dict[str, Any] = field(default_factory=dict)

    def once(self, name: str, compute: Callable[[], Value]) -> Value:
        """Return what `compute` gives, of images and protocol alone: computed for the first tokenizer, kept for the rest.

        Args:
            name: the name of the value, which says everything in which scores that ask for it may differ.
        """
        if name not in self.shared:
            self.shared[name] = compute()
        return self.shared[name]


@dataclass(frozen=True)
class Measured:
    """A number, and what its interval comes from: resamples of the test images, parts of them, or repeats; or nothing.

    Attributes:
        resampled: the number on every resample.
        without: the number without each part of the test images: a jackknife's.
        repeats: the numbers whose mean `value` is.
    """

    value: float
    resampled: Float64[Tensor, " R"] | None = None
    without: Float64[Tensor, " g"] | None = None
    repeats: Sequence[float] | None = None


@dataclass(frozen=True)
class Found:
    """The result of a score.

    Attributes:
        numbers: the numbers by name; empty where the evidence lacks what the score needs, which `details` then say.
        details: everything that is no number, ready for JSON.
    """

    numbers: Mapping[str, Measured] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """A row of the table of scores.

    Attributes:
        compute: a function of the evidence and, by name, of the options that the protocol has for the score.
        quantities: the quantity of every number that the score can give, by its name. A name that ends in "*"
            stands for all that begin so.
        cost: the work besides encoding, in words.
        source: the place where the score is defined.
    """

    compute: Callable[..., Found]
    quantities: Mapping[str, Quantity]
    cost: str
    source: str

    def quantity(self, number: str) -> Quantity:
        """Return how a number is read.

        Raises:
            KeyError: the row does not know it.
        """
        if number in self.quantities:
            return self.quantities[number]
        for name, quantity in self.quantities.items():
            if name.endswith("*") and number.startswith(name[:-1]):
                return replace(quantity, label=quantity.label.replace("{}", number[len(name) - 1 :]))
        raise KeyError(f"{number} has no quantity in its score's row")


def quantity(label: str, higher_is_better: bool, explanation: str, digits: int = 3) -> Quantity:
    """Return how a number of a latent space is read."""
    return Quantity(label, GROUP, higher_is_better, digits, explanation)


def noted(name: str, notes: Sequence[str]) -> dict[str, str]:
    """Return what a reader of a score has to know, as a detail; nothing where there is nothing."""
    return {f"note on {name}": "; ".join(notes)} if notes else {}
