"""Autoencoder classes of diffusers as tokenizers to score and to generate in. diffusers itself computes them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sendvae.errors import UserError
from sendvae.extras import require
from sendvae.tokenizers.diffusers_families import FAMILIES, RAW_FLUX2, RGB, Family, Network
from sendvae.tokenizers.diffusers_keys import current_name
from sendvae.tokenizers.diffusers_layout import PACKED_CLASS
from sendvae.tokenizers.posterior import Posterior
from sendvae.tokenizers.protocol import Tokenizer

DEFAULT_SIZE = 256  # pixels of a side, where a configuration names no size
# Published configurations may hold these fields although the constructor does not take them: AutoencoderTiny and
# AsymmetricAutoencoderKL save the first two beside their own; Wan 2.2's has the last, but diffusers clips in any case.
NOT_BUILT_FROM = {"block_out_channels", "force_upcast", "clip_output"}


class DiffusersTokenizer(Tokenizer):
    """A network of diffusers, which is frozen and always in evaluation mode.

    Args:
        network: a network of one of the classes in `FAMILIES`, with its weights.
        packed: whether FLUX.2's latents are packed. No statistics are known for the latents before packing.
    """

    def __init__(self, network: Network, packed: bool = True) -> None:
        super().__init__()
        self.network, self.name = network, type(network).__name__
        self.packed = packed or self.name != PACKED_CLASS
        self.family: Family = FAMILIES[self.name] if self.packed else RAW_FLUX2
        self.latent_stats = None
        self.eval().requires_grad_(False)

    def read_statistics(self) -> None:
        """Set `latent_stats` to the statistics that the configuration or the weights declare, or None."""
        statistics = self.family.statistics
        self.latent_stats = None if statistics is None else statistics(self.network)

    def train(self, mode: bool = True) -> DiffusersTokenizer:
        """Stay in evaluation mode."""
        del mode
        return super().train(False)

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> Posterior:
        """Return the posterior q(z|x) of images in [-1, 1]; its std is 0 where the class is deterministic."""
        self.check_size(images)
        return self.family.encode(self.network, images)

    def decode(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Return the images of raw latents, nominally in [-1, 1]."""
        return self.family.decode(self.network, z)

    def latent_shape(self, size: int) -> tuple[int, int, int]:
        """Return (C, h, w) for images of `size` pixels a side."""
        side = size // self.downsampling
        return self.family.channels(self.network.config), side, side

    @property
    def identity(self) -> dict[str, Any]:
        """Return the class, its configuration, and whether latents are packed."""
        config = {key: _plain(value) for key, value in self.network.config.items() if key[0] != "_"}
        return {"class": self.name, "config": config, "packed": self.packed}

    @property
    def image_size(self) -> int:
        """Return the side of the images in pixels that the class or its configuration names, else 256."""
        if self.family.only_size is not None:
            return self.family.only_size(self.network)
        size = self.network.config.get("sample_size", DEFAULT_SIZE)
        return size if isinstance(size, int) else size[0]

    @property
    def downsampling(self) -> int:
        """Return the pixels per latent position along one side."""
        return self.family.downsampling(self.network.config)

    @property
    def one_size(self) -> bool:
        """Return whether the class takes images of one size only."""
        return self.family.only_size is not None

    @property
    def untrainable(self) -> str:
        """Return why the class cannot be fine-tuned."""
        return reason_of(self.name)


def reason_of(name: str) -> str:
    """Return why a class of diffusers cannot be fine-tuned."""
    return f"{name} is computed by diffusers as it is configured, and this library has no training for it"


def build_tokenizer_of(name: str, fields: Mapping[str, Any]) -> DiffusersTokenizer:
    """Return a freshly initialised tokenizer of a class of diffusers, without latent statistics."""
    return DiffusersTokenizer(build_network({"_class_name": name, **fields}, name))


def build_network(config: Mapping[str, Any], source: object) -> Network:
    """Return a freshly initialised network of diffusers. The state of the random generator stays as it was.

    Args:
        config: the configuration of a diffusers folder, whose class is in `FAMILIES`.
        source: where the configuration comes from, for errors.

    Raises:
        UserError: diffusers is not installed or too old for the class, the class does not know a field, or the
            network cannot be built, gives latents without a grid or is not one of RGB images.
    """
    name = config["_class_name"]
    kind = _class(name, source)
    fields = {key: value for key, value in config.items() if not key.startswith("_")}
    known = set(inspect.signature(kind.__init__).parameters)
    unknown = [
        key for key, value in fields.items() if key not in known | NOT_BUILT_FROM and value is not None
    ]
    if unknown:
        raise UserError(
            f"{source} has a field that {name} of the installed diffusers does not know",
            given=f"{unknown[0]}: {fields[unknown[0]]!r}",
            next_step="pip install --upgrade diffusers, if a later version has it",
        )
    if fields.get("reshape_to_2d") is False:
        raise UserError(
            f"{source} gives latents without a grid", given="reshape_to_2d: False", expected="True"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            network = kind(**{key: value for key, value in fields.items() if key in known})
    except Exception as error:  # constructors raise errors of any kind for a bad configuration
        raise UserError(
            f"{name} cannot be built from {source}", given=f"{type(error).__name__}: {error}"
        ) from None
    family = FAMILIES[name]
    channels = RGB * (family.image_patch(network.config) ** 2 if family.image_patch else 1)
    for field in family.image_fields:
        if network.config[field] != channels:
            raise UserError(
                f"{source} is no autoencoder of RGB images",
                given=f"{field}: {network.config[field]}",
                expected=str(channels),
            )
    return network


def fitted(network: Network, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a file under today's names, without those that the class ignores.

    The network gets statistics buffers of the file's shape: AutoencoderRAE keeps its statistics among the weights, and
    its configuration need not tell their shape.
    """
    expected = network.state_dict().keys()
    ignored = [re.compile(pattern) for pattern in network._keys_to_ignore_on_load_unexpected or ()]
    found = {
        name if name in expected else current_name(name): tensor
        for name, tensor in weights.items()
        if not any(pattern.search(name) for pattern in ignored)
    }
    for name in ("_latents_mean", "_latents_std"):
        if name in found and hasattr(network, name):
            setattr(network, name, torch.empty_like(found[name], dtype=torch.float32))
    return found


def check_class(name: str, source: object) -> None:
    """Raise an error for a class of diffusers that is not in `FAMILIES`.

    Raises:
        UserError: the class is not in `FAMILIES`; the error names those that are.
    """
    if name not in FAMILIES:
        raise UserError(
            f"{source} is an autoencoder of a class that cannot be used here",
            given=f"_class_name: {name}",
            expected=f"one of {', '.join(FAMILIES)}",
        )


def _class(name: str, source: object) -> Any:
    check_class(name, source)
    require("diffusers", str(source))
    import diffusers

    kind = getattr(diffusers, name, None)
    if kind is None:
        raise UserError(
            f"the installed diffusers has no {name}",
            given=f"diffusers {diffusers.__version__}",
            expected=f"{FAMILIES[name].since} or later",
            next_step="pip install --upgrade diffusers",
        )
    return kind


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
