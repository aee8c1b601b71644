"""From counts of parameters, FLOPs and activations to the memory and the hours of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FLOAT = 4  # bytes: weights, gradients and averages are float32
ADAM = 2  # running moments of a parameter
GENERATOR = "generator"  # the network that FSDP2 shards


@dataclass(frozen=True)
class Network:
    """The size of one network.

    Attributes:
        name: the name that people see.
        parameters: all of them.
        trained: those that have a gradient.
        averaged: those that are kept a second time, as an average.
    """

    name: str
    parameters: int
    trained: int
    averaged: int = 0


@dataclass(frozen=True)
class Estimate:
    """What was counted of a run, and what follows from it.

    Attributes:
        networks: everything in memory.
        flops: an image of a step, forward and backward, by part. A multiplication with an addition counts as
            two; normalisation and other elementwise work, and the optimiser, count nothing.
        once: FLOPs an image of the data set, before training: what is cached.
        activations: bytes an image: what the largest part of a step keeps for its backward pass, in float32 and
            with attention weights stored. An upper estimate: bf16 and fused attention keep less.
        images, batch_size, accumulate: the fields of the configuration.
        sharded: whether FSDP2 spreads the generator over the processes.
    """

    networks: Sequence[Network]
    flops: dict[str, float]
    once: dict[str, float]
    activations: float
    images: int
    batch_size: int
    accumulate: int
    sharded: bool

    @property
    def steps(self) -> int:
        """Return the updates of the whole run: images over batch size, rounded up."""
        return -(-self.images // self.batch_size)

    @property
    def flops_per_image(self) -> float:
        """Return the FLOPs of an image of a step, of all parts together."""
        return sum(self.flops.values())

    @property
    def flops_per_step(self) -> float:
        """Return the FLOPs of a whole batch."""
        return self.flops_per_image * self.batch_size

    @property
    def flops_total(self) -> float:
        """Return the FLOPs of all steps, without what is done once before training."""
        return self.flops_per_step * self.steps

    def share(self, processes: int = 1) -> int:
        """Return how many images go through one of `processes` at a time."""
        return -(-self.batch_size // (processes * self.accumulate))

    def memory(self, processes: int = 1) -> dict[str, float]:
        """Return the bytes of one process for weights, gradients, optimiser, average and activations of its share."""
        totals = dict.fromkeys(("weights", "gradients", "optimiser", "average"), 0.0)
        for network in self.networks:
            parts = processes if self.sharded and network.name == GENERATOR else 1
            totals["weights"] += FLOAT * network.parameters / parts
            totals["gradients"] += FLOAT * network.trained / parts
            totals["optimiser"] += ADAM * FLOAT * network.trained / parts
            totals["average"] += FLOAT * network.averaged / parts
        return totals | {"activations": self.activations * self.share(processes)}

    @property
    def checkpoint(self) -> int:
        """Return the bytes of a checkpoint: trained weights, optimiser and average, without a few small buffers."""
        trained = [network for network in self.networks if network.trained]
        return FLOAT * sum(n.parameters + ADAM * n.trained + n.averaged for n in trained)

    def hours(self, images_per_second: float | None = None, tflops: float | None = None) -> float:
        """Return the hours of the whole run.

        Args:
            images_per_second: throughput of all devices together.
            tflops: sustained TFLOP/s of all devices together, where no throughput is given.

        Raises:
            ValueError: neither is given.
        """
        if images_per_second is not None:
            return self.images / images_per_second / 3600
        if tflops is not None:
            return self.flops_total / (tflops * 1e12) / 3600
        raise ValueError("hours need images_per_second or tflops")
