"""Where does the time of `sendvae evaluate latents` go, and is it the encoder's own forward pass?

python benchmarks/evaluate_latents.py [images] [size] [scores, with commas]

Scores a freshly initialised f8d4 tokenizer (83.7 million parameters; time does not depend on weights) on images of
noise, two thirds of them for training, with 40 attributes and 10 classes. Times are of the CPU, of one thread, so that
other work on the machine counts little. With more images the shares of what is done once fall. t-SNE, which takes its
minutes whatever the encoder, is replaced by PCA, as in evaluate/latents-quick.
`python benchmarks/evaluate_latents.py 90 64` tries the script in a minute.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

import torch
from torch import Tensor

from sendvae.config import LatentsConfig, load_config
from sendvae.data import AttributeTable, TensorImages
from sendvae.evaluation import latents
from sendvae.latents import SCORES
from sendvae.tokenizers import build_tokenizer, save_tokenizer

ATTRIBUTES, CLASSES = 40, 10
DEFAULT = "attributes,gap,uniformity,discrimination"


class NoiseImages(TensorImages):
    """Noise with attributes and classes, which are noise, too."""

    def __init__(self, count: int, size: int, split: str, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        pixels = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=random)
        super().__init__(pixels, split)
        self.class_names = tuple(map(str, range(CLASSES)))
        values = torch.randint(0, 2, (count, ATTRIBUTES), generator=random).bool().numpy()
        names = tuple(map(str, range(ATTRIBUTES)))
        self.attributes = AttributeTable(tuple(self.keys), names, values, tuple(self.keys))

    def labels_of(self, indices: Any) -> Tensor:
        return torch.as_tensor(indices) % CLASSES


def main(count: int, size: int, names: str) -> None:
    torch.set_num_threads(1)
    spent: dict[str, float] = {}

    def timed(name: str, function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            start = process_time()
            try:
                return function(*arguments, **options)
            finally:
                spent[name] = spent.get(name, 0.0) + process_time() - start

        return call

    data = {
        "train": NoiseImages(count * 2 // 3, size, "train", 0),
        "test": NoiseImages(count // 3, size, "test", 1),
    }
    protocol = load_config(LatentsConfig, "evaluate/latents-quick", [f"scores=[{names}]"])
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        save_tokenizer(build_tokenizer("f8d4"), Path(folder) / "f8d4")
        load = latents.load_tokenizer

        def loaded(source: str, **options: Any) -> Any:
            tokenizer = load(source, **options)
            tokenizer.encode = timed("the encoder's forward pass", tokenizer.encode)
            return tokenizer

        latents.load_tokenizer = timed("loading the tokenizer", loaded)
        for name, score in SCORES.items():
            object.__setattr__(score, "compute", timed(name, score.compute))
        start = process_time()
        latents.measure_latents(
            [f"{folder}/f8d4"], data, protocol, torch.device("cpu"), cache=Path(folder) / "cache"
        )
        total = process_time() - start
    spent["all else: reading, caching, digests, tables"] = total - sum(spent.values())
    print(f"{count} images of {size} x {size}, {names}; CPU seconds")
    for name, seconds in spent.items():
        print(f"{name:45} {seconds:8.2f}  {seconds / total:6.1%}")
    print(f"{'in all':45} {total:8.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=90)
    parser.add_argument("size", type=int, nargs="?", default=256)
    parser.add_argument("names", nargs="?", default=DEFAULT)
    given = parser.parse_args()
    main(given.count, given.size, given.names)
