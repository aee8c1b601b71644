"""Models and streams -> named numbers with intervals: one path per question."""

from sendvae.evaluation.generation import measure_generation, open_reference
from sendvae.evaluation.latents import Encoded, measure_latents
from sendvae.evaluation.preview import Preview
from sendvae.evaluation.reconstruction import measure_reconstruction, reconstruct
from sendvae.evaluation.results import PROTOCOL_VERSION, Number, Result
from sendvae.evaluation.sampling import generate

__all__ = [
    "PROTOCOL_VERSION",
    "Encoded",
    "Number",
    "Preview",
    "Result",
    "generate",
    "measure_generation",
    "measure_latents",
    "measure_reconstruction",
    "open_reference",
    "reconstruct",
]
