"""Tokenizers, which encode images to latents and decode latents to images."""

from sendvae.tokenizers.architecture import ARCHITECTURES, Architecture
from sendvae.tokenizers.autoencoder import Autoencoder, build_tokenizer
from sendvae.tokenizers.load import check_trainable, load_strictly, load_tokenizer
from sendvae.tokenizers.posterior import Posterior
from sendvae.tokenizers.protocol import Tokenizer, TrainableTokenizer, check_fit, trainable
from sendvae.tokenizers.save import save_tokenizer
from sendvae.tokenizers.sliced import decode_sliced, encode_sliced
from sendvae.tokenizers.spec import TokenizerSpec
from sendvae.tokenizers.statistics import LatentStats
from sendvae.tokenizers.zoo import TOKENIZERS

__all__ = [
    "ARCHITECTURES",
    "TOKENIZERS",
    "Architecture",
    "Autoencoder",
    "LatentStats",
    "Posterior",
    "Tokenizer",
    "TokenizerSpec",
    "TrainableTokenizer",
    "build_tokenizer",
    "check_fit",
    "check_trainable",
    "decode_sliced",
    "encode_sliced",
    "load_strictly",
    "load_tokenizer",
    "save_tokenizer",
    "trainable",
]
