"""From which batch a GPU on do steps scale to 8 to 512 GPUs, by DDP and by FSDP2?

Nothing is measured here: FLOPs and parameters are the estimator's, rates those of the data sheets. A step scales as long as
what goes over the links takes no longer than the computation that it can go on beside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from benchmarks.harness import Figures, Report
from benchmarks.stages import load_step
from sendvae.config import DiffusionConfig
from sendvae.training.cost import FLOAT, GENERATOR, Estimate
from sendvae.training.estimate import estimate
from sendvae.training.speed import PEAKS

GPU = "NVIDIA H100 80GB HBM3"
NODE = 8  # GPUs
# Bytes a second in one direction: NVLink of the fourth generation has 900 GB/s a GPU in both together (NVIDIA's H100 data
# sheet), a card of InfiniBand NDR 400 Gb/s (NVIDIA's ConnectX-7 data sheet).
NVLINK, INFINIBAND = 450e9, 50e9
CARDS = (8, 1)  # a node: NVIDIA DGX H100 has one for each GPU, and many clusters one for all
SUSTAINED = 0.35  # of the peak in bf16, as the presets' costs assume
BACKWARD = 2 / 3  # of a step's computation: two products for each of the forward pass
GPUS = (8, 16, 64, 512)
STEPS = (
    ("SiT-B/1 with REPA", "imagenet256-sit-b1"),
    ("SiT-XL/1 with REPA", "imagenet256-sit-xl1"),
    ("Send-VAE of f16d32", "imagenet256-f16d32-send"),
    ("REPA-E of f16d32 and SiT-XL/1", "imagenet256-f16d32-repae"),
)
QUICK = (("SiT-Tiny/2 with REPA", "demo/sit-tiny"),)


@dataclass(frozen=True)
class Traffic:
    """The traffic of a GPU in a step.

    Attributes:
        sent: the bytes that the GPU sends.
        hidden: the share of the computation during which they can be sent.
    """

    sent: float
    hidden: float

    def seconds(self, gpus: int, cards: int) -> float:
        """Return how long that takes at the rates of the data sheets; latency is left out.

        As many rings as there are cards share the bytes, and each leaves a node once: together they pass on what a
        GPU sends, at the rate of all cards.
        """
        between = min(NVLINK, cards * INFINIBAND)
        return self.sent / (NVLINK if gpus <= NODE else between)

    def smallest_batch(self, gpus: int, cards: int, flops_per_image: float) -> int:
        """Return the images a GPU whose computation takes as long."""
        rate = PEAKS[GPU]["bf16"] * 1e12 * SUSTAINED
        return max(1, math.ceil(self.seconds(gpus, cards) * rate / (flops_per_image * self.hidden)))


def ddp(found: Estimate, gpus: int) -> Traffic:
    """Return the traffic of DDP, which sums all gradients in a ring during the backward pass.

    Every one of n GPUs sends 2 (n - 1) / n of the bytes: Patarasu and Yuan (2009), Bandwidth optimal all-reduce
    algorithms.
    """
    return Traffic(2 * _passed(gpus) * FLOAT * sum(network.trained for network in found.networks), BACKWARD)


def fsdp(found: Estimate, gpus: int) -> Traffic:
    """Return the traffic of FSDP2, which gathers the generator's weights for either pass and scatters its gradients.

    Every one of n GPUs sends 3 (n - 1) / n of the weights' bytes, during both passes.
    """
    sent = 3 * _passed(gpus) * FLOAT * sum(n.parameters for n in found.networks if n.name == GENERATOR)
    return Traffic(sent, 1.0)


WAYS = {"DDP": ddp, "FSDP2": fsdp}


def measure(report: Report) -> None:
    """Count the traffic of every step. Joint training and tokenizers are not sharded."""
    rows: list[list[str | float]] = []
    for what, preset in QUICK if report.quick else STEPS:
        config = load_step(preset, 1)
        found = estimate(config)
        for way, traffic_of in WAYS.items():
            if way == "FSDP2" and not isinstance(config, DiffusionConfig):
                continue
            for gpus in GPUS:
                traffic = traffic_of(found, gpus)
                row: list[str | float] = [
                    what,
                    way,
                    str(gpus),
                    state_of(found, way, gpus) / 1e9,
                    traffic.sent / 1e9,
                ]
                for cards in CARDS:
                    smallest = traffic.smallest_batch(gpus, cards, found.flops_per_image)
                    row += [traffic.seconds(gpus, cards) * 1e3, f"{smallest} ({smallest * gpus:,})"]
                rows.append(row)
    head = ["step", "by", "GPUs", "GB of weights and optimiser a GPU", "GB sent a step and GPU"]
    for cards in CARDS:
        head += [f"ms, {cards} {'card' if cards == 1 else 'cards'} a node", "smallest batch a GPU (of all)"]
    report.figures.append(
        Figures(
            f"Computed, for H100 at {SUSTAINED:.0%} of their peak: {NVLINK / 1e9:.0f} GB/s a GPU and direction within a node "
            f"of {NODE}, {INFINIBAND / 1e9:.0f} GB/s a network card between nodes; no latency. With a smaller batch a GPU, "
            "links are what is waited for. Features of the foundation model are cached.",
            head,
            rows,
        )
    )


def state_of(found: Estimate, way: str, gpus: int) -> float:
    """Return the bytes that weights, gradients, moments and averages take on a GPU."""
    memory = replace(found, sharded=way == "FSDP2").memory(gpus)
    return sum(size for name, size in memory.items() if name != "activations")


def _passed(gpus: int) -> float:
    """Return the share of a tensor that one GPU of a ring passes on."""
    return (gpus - 1) / gpus
