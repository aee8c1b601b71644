"""The speed of a run: images and FLOPs per second, and the share of the devices' peak."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import cache

import torch

from sendvae.distributed import world_size
from sendvae.nn.precision import number_format

TERA = 1e12
# Dense TFLOP/s by precision, of tensor cores that add up in float32: NVIDIA's data sheets of H100, H200, A100, L40S, L4
# and A10, and its whitepapers on the Ada (appendix A) and Ampere GA102 (appendix A) architectures. NVIDIA prints the
# rates of sparse matrices for H100, H200, L40S and L4: these are half of them.
PEAKS: dict[str, dict[str, float]] = {
    r"NVIDIA H100 PCIe": {"bf16": 756.0, "tf32": 378.0, "fp32": 51.0},
    r"NVIDIA H100 80GB HBM3": {"bf16": 989.4, "tf32": 494.7, "fp32": 67.0},
    r"NVIDIA H200": {"bf16": 989.4, "tf32": 494.7, "fp32": 67.0},
    r"NVIDIA A100.*": {"bf16": 312.0, "tf32": 156.0, "fp32": 19.5},
    r"NVIDIA L40S": {"bf16": 362.0, "tf32": 183.0, "fp32": 91.6},
    r"NVIDIA L4": {"bf16": 121.0, "tf32": 60.0, "fp32": 30.3},
    r"NVIDIA A10": {"bf16": 125.0, "tf32": 62.5, "fp32": 31.2},
    r"NVIDIA GeForce RTX 4090": {"bf16": 165.2, "tf32": 82.6, "fp32": 82.6},
    r"NVIDIA GeForce RTX 3090": {"bf16": 71.0, "tf32": 35.6, "fp32": 35.6},
}
SIDES = {
    "cuda": 8192,
    "cpu": 1024,
}  # of the matrices whose product is timed on a device that is not in the table
REPEATS = 5  # the fastest counts: a peak is what the device can do


@dataclass(frozen=True)
class Speed:
    """The constants from which the rates of a run are computed.

    Attributes:
        flops_per_image: the FLOPs of a step with every loss, forward and backward, per image; see `Estimate`.
        device: the device of this process; the others have one of the same kind.
        precision: resolved: "bf16", "tf32" or "fp32".
        memory: bytes that a process needs, an upper estimate; see `Estimate`.
    """

    flops_per_image: float
    device: torch.device
    precision: str
    memory: float

    def rates(self, images_per_second: float) -> dict[str, float]:
        """Return what all processes compute together at a throughput.

        "tflops" is in TFLOP/s; "mfu", the model FLOPs utilisation (PaLM, appendix B), is its share of the peak.
        """
        tflops = images_per_second * self.flops_per_image / TERA
        return {"tflops": tflops, "mfu": tflops / (peak_tflops(self.device, self.precision) * world_size())}


def peak_tflops(device: torch.device, precision: str) -> float:
    """Return the TFLOP/s of one device: from NVIDIA's tables, else measured on a matrix product, once a process.

    On CPUs it is that of the threads in use.
    """
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for pattern, peaks in PEAKS.items():
            if re.fullmatch(pattern, name):
                return peaks[precision]
    return _measured(device, precision, torch.get_num_threads())


@cache
def _measured(device: torch.device, precision: str, _threads: int) -> float:
    side = SIDES.get(device.type, SIDES["cpu"])
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.ones(side, side, device=device, dtype=dtype)
    with torch.no_grad(), number_format("tf32" if precision == "tf32" else "fp32", device):
        seconds = min(
            _seconds(a) for _ in range(REPEATS + 1)
        )  # the first is a warm-up, and never the fastest
    return 2 * side**3 / seconds / TERA


def _seconds(a: torch.Tensor) -> float:
    _wait(a.device)
    began = time.perf_counter()
    a @ a
    _wait(a.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
