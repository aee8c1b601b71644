"""The labels, directions and digits with which the numbers of papers are shown."""

from __future__ import annotations

from sendvae.quantities import Quantity

QUANTITIES = {
    "fid": Quantity("gFID", "generation", False, 2, "distance of samples to real images in Inception"),
    "sfid": Quantity("sFID", "generation", False, 2, "the same of spatial features"),
    "is": Quantity("IS", "generation", True, 1, "inception score"),
    "precision": Quantity("Precision", "generation", True, 2, "samples among real images"),
    "recall": Quantity("Recall", "generation", True, 2, "real images among samples"),
    "rfid": Quantity("rFID", "reconstruction", False, 2, "distance of reconstructions to their originals"),
    "psnr": Quantity("PSNR (dB)", "reconstruction", True, 2, "peak signal-to-noise ratio"),
    "ssim": Quantity("SSIM", "reconstruction", True, 2, "structural similarity"),
    "lpips-vgg": Quantity("LPIPS", "reconstruction", False, 3, "perceptual distance in VGG"),
    "f1": Quantity("F1", "latent space", True, 4, "linear probes of attributes"),
}


def published_heading(metric: str, view: str = "") -> str:
    """Return the label and the direction of a metric, and the view of its protocol in brackets if it has one."""
    quantity = QUANTITIES[metric]
    return f"{quantity.label} {quantity.arrow}" + (f" ({view})" if view else "")


def published_figure(metric: str, value: float) -> str:
    """Return a number as text with the digits of its metric, or with more if the number has more."""
    shown = f"{value:g}"
    return max(shown, f"{value:.{QUANTITIES[metric].digits}f}", key=len)
