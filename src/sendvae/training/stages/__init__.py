"""What a step does: one readable class a job."""

from sendvae.training.stages.diffusion import DiffusionStage
from sendvae.training.stages.joint import JointStage
from sendvae.training.stages.tokenizer import TokenizerStage

__all__ = ["DiffusionStage", "JointStage", "TokenizerStage"]
