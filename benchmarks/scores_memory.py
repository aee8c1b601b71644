"""Which memory do the scores of 50,000 latents of 16 x 32 x 32 take?

python benchmarks/scores_memory.py [images] [channels] [side] [scores, with commas]

A file of noise takes the place of the cache of latents, 3.3 GB in the folder for temporary files; a fifth of the images
are test images, 256 pixels a side at 32 positions. Each score runs in a process of its own, of which the most
memory is printed, libraries included, and then with the pages of the file that are mapped, which the system may drop. Decoder and features are
stand-ins of the right shapes. Probes are those that such latents ask for: attributes.method=ridge,
gap.method=minibatch, here of one epoch. `python benchmarks/scores_memory.py 500 4 8` tries the script in a minute.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ALL = "attributes,gap,uniformity,discrimination,spectrum,structure,equivariance,robustness,velocity_floor,ifid,dimension"
MEASURE = """
import resource, sys, threading, time
import numpy as np, torch
from sendvae.config import LatentsConfig, load_config
from sendvae.data import TensorImages
from sendvae.evaluation.networks import FeatureJudge, load_network
from sendvae.evaluation.scorer import Data, score_latents

torch.set_num_threads(1)
path, count, channels, side, score = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
stored = np.memmap(path, np.float32, "r", shape=(count, channels, side, side))
ends = {"train": (0, count * 4 // 5), "test": (count * 4 // 5, count)}

class Rows:
    def __init__(self, split): self.first, self.end = ends[split]
    def __len__(self): return self.end - self.first
    def batch(self, positions): return torch.from_numpy(stored[self.first + positions])

class Images:
    class_names, split, source, fingerprint = tuple(map(str, range(100))), "x", "noise", "noise"
    block = torch.randint(0, 256, (64, 3, 8 * side, 8 * side), dtype=torch.uint8)
    def __init__(self, split): self.rows = Rows(split)
    def __len__(self): return len(self.rows)
    def labels_of(self, indices): return torch.as_tensor(np.asarray(indices)) % 100
    def batch(self, indices):
        from sendvae.data import ImageBatch
        return ImageBatch(self.block[torch.as_tensor(np.asarray(indices)) % 64], self.labels_of(indices))

class Judge(FeatureJudge):
    def features(self, images): return torch.cat([one.flatten(1)[:, :1280].clone() for one in images])

def decode(z): return torch.nn.functional.interpolate(z[:, :3], scale_factor=8).tanh()

random = torch.Generator().manual_seed(1)
attributes = {s: torch.randint(0, 2, (len(Rows(s)), 40), generator=random).bool() for s in ends}
data = Data(
    {s: Images(s) for s in ends}, attributes, tuple(map(str, range(40))),
    {s: Images(s).labels_of(range(len(Rows(s)))) for s in ends}, None, "noise",
)
protocol = load_config(LatentsConfig, "evaluate/latents-all", [
    f"scores=[{score}]", "attributes.method=ridge", "gap.method=minibatch", "gap.weight_decay=0", "minibatch.epochs=1",
])
def anonymous():
    fields = dict(line.split(":") for line in open("/proc/self/status"))
    return int(fields["RssAnon"].split()[0]) / 2**20

peaks, done = [anonymous()], threading.Event()
def watch():
    while not done.wait(0.02):
        peaks.append(anonymous())

watcher, start = threading.Thread(target=watch), time.process_time()
watcher.start()
judge = Judge(load_network("mobilenet-v2", torch.device("cpu")), torch.device("cpu")) if score == "ifid" else None
score_latents("noise", protocol, data, {s: Rows(s) for s in ends}, decode, False, judge)
done.set(); watcher.join()
resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(f"{score:16} {max(peaks):6.2f} GiB, {resident:6.2f} with mapped pages; {time.process_time() - start:8.1f} s")
"""


def main(count: int, channels: int, side: int, names: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, random = Path(folder) / "latents", np.random.default_rng(0)
        with path.open("wb") as file:
            for start in range(0, count, 1000):
                shape = (min(1000, count - start), channels, side, side)
                file.write(random.standard_normal(shape, dtype=np.float32).tobytes())
        print(f"{count:,} latents of {channels} x {side} x {side}; CPU seconds of one thread", flush=True)
        for name in names.split(","):
            sizes = [str(number) for number in (count, channels, side)]
            subprocess.run([sys.executable, "-c", MEASURE, str(path), *sizes, name], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=50_000)
    parser.add_argument("channels", type=int, nargs="?", default=16)
    parser.add_argument("side", type=int, nargs="?", default=32)
    parser.add_argument("names", nargs="?", default=ALL)
    given = parser.parse_args()
    main(given.count, given.channels, given.side, given.names)
