"""How fast is `data prepare` on all cores against straightforward Pillow code, with equal pixels?"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness import Report
from sendvae.cores import cores
from sendvae.data.prepare import Preparation
from sendvae.data.prepare_shard import Recipe

SIDE = 256
COUNT = 1024  # photographs; with few of them the start of the processes would be timed


def measure(report: Report) -> None:
    """Prepare smooth JPEG photographs of 500 x 375 pixels, ImageNet's usual size."""
    count = 8 if report.quick else COUNT
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder / "photos", count)

        def ours() -> None:
            shutil.rmtree(folder / "shards", ignore_errors=True)
            Preparation(str(folder / "photos"), folder / "shards", Recipe(SIDE, shard_size=32)).run(
                processes=cores()
            )

        def theirs() -> None:
            for path in sorted((folder / "photos").rglob("*.jpg")):
                buffer = io.BytesIO()
                adm(Image.open(path).convert("RGB")).save(buffer, "webp", lossless=True, exact=True, method=0)

        what = f"data prepare of {count} photographs, {cores()} processes"
        report.compare(what, ours, "Pillow in one thread", theirs, "the same crop and encoding", repeats=3)


def make(folder: Path, count: int) -> None:
    """Write photographs: noise of low frequency."""
    random = np.random.default_rng(0)
    for i in range(count):
        small = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        place = folder / str(i % 4)
        place.mkdir(parents=True, exist_ok=True)
        small.resize((500, 375), Image.Resampling.BICUBIC).save(place / f"{i}.jpg", quality=92)


def adm(image: Image.Image) -> Image.Image:
    """Crop as ADM does: halve by boxes, then bicubic to the short side, then the centre."""
    while min(image.size) >= 2 * SIDE:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = SIDE / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - SIDE) // 2, (image.height - SIDE) // 2
    return image.crop((left, top, left + SIDE, top + SIDE))
