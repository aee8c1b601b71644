"""Stand-ins on the meta device, where tensors have shapes and no values, and a counter of what runs on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sendvae.data.images import ImageBatch, Indices, Sample
from sendvae.randomness import Draws
from sendvae.tokenizers import TOKENIZERS, LatentStats, Tokenizer, build_tokenizer, load_tokenizer
from sendvae.training.source import Batch
from sendvae.training.start import FRESH

META = torch.device("meta")
COUNTED = 2  # images that go through; everything counted is proportional to them
ATEN = torch.ops.aten


class BlankImages:
    """An image set of one size and no content."""

    class_names: tuple[str, ...] = ()
    split = "train"
    fingerprint = "blank"
    source = "blank"

    def __init__(self, size: int) -> None:
        self.size, self.keys = size, ["blank"]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.batch([index]).images[0], 0, self.keys[index])

    def batch(self, indices: Indices) -> ImageBatch:
        """Return uint8 (B, 3, size, size) and labels (B,), all on the meta device."""
        shape = (len(indices), 3, self.size, self.size)
        return ImageBatch(torch.zeros(shape, dtype=torch.uint8, device=META), self.labels_of(indices))

    def labels_of(self, indices: Indices) -> Tensor:
        """Return int64 (B,)."""
        return torch.zeros(len(indices), dtype=torch.int64, device=META)


class BlankDraws(Draws):
    """Shapes of random numbers for `COUNTED` rows: the meta device has no generator."""

    def __init__(self) -> None:
        super().__init__(0, 0, COUNTED, slice(None), META)

    def draw(self, name: str, function: Callable[[int, Any], Tensor]) -> Tensor:
        """Return a tensor of the right shape."""
        del name
        return function(self.batch_size, None)


def blank_tokenizer(source: str) -> Tokenizer:
    """Return a tokenizer without the values of its weights, with statistics of the right number of channels.

    Of "fresh:ARCHITECTURE" or a name of the zoo no weights are read; of a file or folder they are.
    """
    if source.startswith(FRESH) or source in TOKENIZERS:
        with META:
            tokenizer = (
                TOKENIZERS[source].build()
                if source in TOKENIZERS
                else build_tokenizer(source.removeprefix(FRESH))
            )
    else:
        tokenizer = load_tokenizer(source).to(META)
    channels = tokenizer.latent_channels
    tokenizer.latent_stats = LatentStats(torch.zeros(channels), torch.ones(channels))
    return tokenizer


def blank_batch(size: int, grid: int | None, width: int | None) -> Batch:
    """Return `COUNTED` images of `size` pixels a side, with tokens (grid * grid, width) each if there is a grid."""
    blank = BlankImages(size).batch([0] * COUNTED)
    tokens = None
    if grid is not None and width is not None:
        tokens = torch.zeros(COUNTED, grid * grid, width, device=META)
    return Batch(blank.images, blank.labels, tokens=tokens)


def _like_first(x: Tensor, *_: object) -> Tensor:
    return torch.empty_like(x)


def _normalised_groups(x: Tensor, *more: Any) -> tuple[Tensor, Tensor, Tensor]:
    *_, images, _, _, groups, _ = more
    return torch.empty_like(x), x.new_empty(images, groups), x.new_empty(images, groups)


def _groups_backward(_grad: Tensor, x: Tensor, *more: Any) -> list[Tensor | None]:
    *_, channels, _, _, wanted = more
    found = torch.empty_like(x), x.new_empty(channels), x.new_empty(channels)
    return [tensor if asked else None for tensor, asked in zip(found, wanted, strict=True)]


def _normalised_batch(x: Tensor, *more: Any) -> tuple[Tensor, Tensor, Tensor]:
    *_, training, _, _ = more
    statistics = x.shape[1] if training else 0
    return torch.empty_like(x), x.new_empty(statistics), x.new_empty(statistics)


class _Counted(TorchDispatchMode):
    """Count the FLOPs of what runs by PyTorch's own formulas, and answer frequent operations by shapes alone.

    PyTorch's answers on the meta device run many lines of Python for these, half of the time of an estimate; so
    would its `FlopCounterMode`, which counts for each module, too.
    """

    ANSWERS: ClassVar[dict[Any, Callable[..., Any]]] = {
        ATEN.hardtanh.default: _like_first,
        ATEN.hardtanh_backward.default: _like_first,
        ATEN.silu_backward.default: _like_first,
        ATEN.native_batch_norm.default: _normalised_batch,
        ATEN.native_group_norm.default: _normalised_groups,
        ATEN.native_group_norm_backward.default: _groups_backward,
    }

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        del types
        given = kwargs or {}
        found = self.ANSWERS.get(func, func)(*args, **given)
        if (formula := flop_registry.get(func.overloadpacket)) is not None:
            self.flops += formula(*args, **given, out_val=found)
        return found


class Counter:
    """Collect FLOPs, and activations saved for the backward pass, of the parts of a step.

    Attributes:
        flops: an image, by part.
        activations: bytes an image of the part that saves most. What views share counts once; weights do not
            count.

    Args:
        networks: all whose weights a backward pass may need.
    """

    def __init__(self, *networks: nn.Module | None) -> None:
        self.flops: dict[str, float] = {}
        self.activations = 0.0
        self.weights = {
            _storage(tensor)
            for network in networks
            if network is not None
            for tensor in (*network.parameters(), *network.buffers())
        }

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count what runs inside, on `COUNTED` images."""
        kept: dict[int, Tensor] = {}

        def pack(tensor: Tensor) -> Tensor:
            if _storage(tensor) not in self.weights:
                kept[_storage(tensor)] = tensor
            return tensor

        with (
            _Counted() as counted,
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        ):
            yield
        self.flops[part] = counted.flops / COUNTED
        total = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
        self.activations = max(self.activations, total / COUNTED)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
