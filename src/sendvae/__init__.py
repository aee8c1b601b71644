"""Generation-friendly image tokenizers: fine-tune, score, prove and export VAEs for latent diffusion."""

__version__ = "0.2.0"
