"""Feature networks by name: how they are loaded, what they return, and the names of their distances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from sendvae.data import to_uint8
from sendvae.errors import UserError
from sendvae.latents import Distance
from sendvae.metrics import (
    InceptionFeatures,
    frechet_distance,
    frechet_distances_without,
    gaussian_of,
    kernel_distance,
    kernel_distances,
    load_inception,
    load_mobilenet_v2,
)
from sendvae.nn import weights_digest
from sendvae.registry import Registry
from sendvae.vision import Backbone, load_backbone

OFFLINE = "mobilenet-v2"  # its weights come as a package
INCEPTION = "inception"  # ADM's: the one network whose distance is the FID of papers on generation
DINO_SIZE = 224  # pixels: Stein et al. (2023), dgm-eval


class FeatureRows(NamedTuple):
    """Features of a batch, float32: those of the Frechet distance, and Inception's spatial features and logits."""

    pool: Float[Tensor, "B D"]
    spatial: Float[Tensor, "B S"] | None = None
    logits: Float[Tensor, "B K"] | None = None


@dataclass(frozen=True)
class FeatureNetwork:
    """A frozen network.

    Attributes:
        name: the name that the user gave.
        module: the network, in evaluation mode.
        rows: images (B, 3, H, W), uint8, to features; an image has the same in any batch, up to rounding.
    """

    name: str
    module: nn.Module
    rows: Callable[[UInt8[Tensor, "B 3 H W"]], FeatureRows]

    def fields(self) -> dict[str, str]:
        """Return the words that complete metrics' names and labels; only ADM's Inception gives a FID."""
        row = NETWORKS[self.name]
        kind = f"-{row.fid}" if row.fid else ""
        own = {"network": row.label, "suffix": "" if row.fid is not None else f"-{self.name}"}
        if row.fid is not None:
            names = {"distance": f"fid{kind}", "kernel": f"kid{kind}", "caveat": ""}
            labels = {"distance_label": f"FID{kind}", "kernel_label": f"KID{kind}"}
        else:
            names = {"distance": f"fd-{self.name}", "kernel": f"kd-{self.name}", "caveat": "; not FID"}
            labels = {"distance_label": f"FD-{row.label}", "kernel_label": f"KD-{row.label}"}
        return own | names | labels

    def identity(self) -> dict[str, str]:
        """Return the name with a digest of the weights, which identifies stored feature statistics."""
        return {"name": self.name, "weights": weights_digest(self.module)}


def _inception(**options: Any) -> tuple[nn.Module, Callable[[Tensor], FeatureRows]]:
    network: InceptionFeatures = load_inception(**options)
    return network, lambda images: FeatureRows(*network.outputs(images))


def _mobilenet() -> tuple[nn.Module, Callable[[Tensor], FeatureRows]]:
    network = load_mobilenet_v2()
    return network, lambda images: FeatureRows(network(images).contiguous())


def _dino(name: str, **options: Any) -> tuple[nn.Module, Callable[[Tensor], FeatureRows]]:
    backbone = load_backbone(name, **options)
    return backbone, lambda images: FeatureRows(class_token(backbone, images))


@torch.no_grad()
def class_token(backbone: Backbone, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
    """Return the class token of a timm transformer after its final norm, for images resized to 224 pixels.

    After Stein et al. (2023), who resize with PIL's antialiased bicubic; this is torch's, unrounded.
    """
    size = (DINO_SIZE, DINO_SIZE)
    pixels = F.interpolate(images.float() / 255.0, size=size, mode="bicubic", antialias=True).clamp(0, 1)
    network: Any = backbone.trunk.network
    return network.forward_features((pixels - backbone.mean) / backbone.std)[:, 0]


class NetworkRow(NamedTuple):
    """A row of the table of feature networks.

    Attributes:
        build: a function that returns the module and its `rows`.
        label: the label in tables.
        fid: what follows "fid" in the name of its distance; None: the distance is no FID.
    """

    build: Callable[..., tuple[nn.Module, Callable[[Tensor], FeatureRows]]]
    label: str
    fid: str | None = None


NETWORKS: Registry[NetworkRow] = Registry(
    "feature network",
    {
        INCEPTION: NetworkRow(_inception, "Inception", fid=""),
        "inception-pytorch-fid": NetworkRow(
            partial(_inception, resize="pytorch-fid"), "Inception", fid="pytorch"
        ),
        OFFLINE: NetworkRow(_mobilenet, "MobileNetV2"),
        "dinov2-b": NetworkRow(partial(_dino, "dinov2-b"), "DINOv2-B"),
        "dinov2-l": NetworkRow(partial(_dino, "dinov2-l"), "DINOv2-L"),
    },
)


class FeatureJudge:
    """Compares sets of images by the features of a network.

    Args:
        network: the feature network, on `device`.
    """

    def __init__(self, network: FeatureNetwork, device: torch.device) -> None:
        self.network, self.device = network, device

    @torch.no_grad()
    def features(self, images: Iterable[Float[Tensor, "B 3 H W"]]) -> Float[Tensor, "N D"]:
        """Return the features of batches of images in [-1, 1], which are rounded to 8 bits first; on the CPU."""
        return torch.cat([self.network.rows(to_uint8(one).to(self.device)).pool.cpu() for one in images])

    def distances(
        self, a: Float[Tensor, "N D"], b: Float[Tensor, "N D"], parts: Sequence[Int64[Tensor, " _"]] = ()
    ) -> dict[str, Distance]:
        """Return the Frechet and the kernel distance, under the names that the network gives them.

        Args:
            parts: positions of the rows of both sets that are left out together, one part after the other.
        """
        fields = self.network.fields()
        frechet = frechet_distance(*gaussian_of(a), *gaussian_of(b))
        kernel, without = kernel_distances(a, b, parts) if parts else (kernel_distance(a, b), [])
        return {
            fields["distance"]: Distance(frechet, frechet_distances_without(a, b, parts)),
            fields["kernel"]: Distance(kernel, without),
        }


def load_network(name: str, device: torch.device) -> FeatureNetwork:
    """Load a feature network to a device.

    Raises:
        UserError: unknown name, or weights that are not on this machine; says what to put where.
    """
    build = NETWORKS[name].build
    try:
        module, rows = build()
    except UserError as error:
        if name == OFFLINE:
            raise
        raise error.or_else(f"use --features {OFFLINE}, which is no FID") from None
    module.to(device).eval()
    return FeatureNetwork(name, module, rows)
