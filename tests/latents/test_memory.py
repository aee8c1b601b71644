"""What scores need in memory, measured in a process of their own; scaled from the sizes of real data sets."""

from __future__ import annotations

import subprocess
import sys

import pytest

MEASURE = """
import resource, numpy as np, torch
torch.set_num_threads(1)
{setup}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
{work}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 - before)
"""
ROWS = """
from sendvae.latents import *
from sendvae.latents.uniformity import kernel_density
from sendvae.latents.ridge import StreamingRidge
from sendvae.metrics import precision_recall
class Rows:
    def __init__(self, count, features): self.count, self.features = count, features
    def __len__(self): return self.count
    def batch(self, positions):
        g = torch.Generator().manual_seed(int(positions[0]))
        return torch.randn(len(positions), self.features, generator=g) + 0.1 * torch.arange(self.features) % 3
"""


def gigabytes(work: str, setup: str = "") -> float:
    """Peak of `work` above what the imports take, GiB."""
    code = MEASURE.format(setup=ROWS + setup, work=work)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
def test_a_streaming_ridge_does_not_grow_with_images() -> None:
    # At F = 8192 and A = 1000 matrices of F x F doubles have .5 GiB: the sum, a batch's product in float32 and
    # float64, then the correlation and its Cholesky factor: below 4 GiB, whatever the number of images.
    # Here F = 2048, of which F x F doubles have 32 MiB: a sixteenth.
    work = """
ridge, rows = StreamingRidge(), Rows({count}, 2048)
for start in range(0, {count}, 512):
    x = rows.batch(np.arange(start, start + 512))
    ridge.update(x, x[:, :250] > 0)
ridge.solve([0.1])
"""
    few, many = (gigabytes(work.format(count=count)) for count in (2048, 16384))
    assert many < 4 / 16
    assert many == pytest.approx(few, abs=0.05)
    # 160,000 latents alone would take 4.9 GiB at 8192 features.


@pytest.mark.slow
def test_a_probe_of_160k_images_fits_in_8_gib_by_scaling() -> None:
    # An eighth of the features and an eighth of the images of CelebA's training split: latents that would
    # take 80 MiB of 5 GiB. What grows with images is 250 attributes as bool and the scores of the test split.
    # .26 GiB are measured, a good part of them drawing the attributes.
    work = """
rows, test = Rows(20_000, 1024), Rows(2_500, 1024)
y, t = torch.rand(20_000, 250) < 0.1, torch.rand(2_500, 250) < 0.1
for method in ("ridge", "minibatch"):
    attribute_probe(rows, y, test, t, method=method, minibatch=MinibatchFit(epochs=1))
"""
    assert gigabytes(work) < 0.35


@pytest.mark.slow
def test_densities_of_50k_points() -> None:
    work = "kernel_density(torch.randn(50_000, 2, dtype=torch.float64))"
    assert gigabytes(work) < 2.0


@pytest.mark.slow
def test_precision_and_recall_of_50k_by_50k() -> None:
    # Narrow features: the distances take the same memory, and less time.
    work = "precision_recall(torch.randn(50_000, 16), torch.randn(50_000, 16))"
    assert gigabytes(work) < 0.3


@pytest.mark.slow
def test_precision_and_recall_of_wide_features() -> None:
    # 20,000 times 2048 features have .15 GiB: both sets, and a centred copy of each. At 50,000 that is 1.5 GiB.
    work = "precision_recall(torch.randn(20_000, 2048), torch.randn(20_000, 2048))"
    assert gigabytes(work) < 4 * 0.153 + 0.2


@pytest.mark.slow
def test_mixtures_of_50k_latents() -> None:
    work = "mixture_scores(Rows(50_000, 512), Rows(5_000, 512), [200], 64)"
    assert gigabytes(work, "from sendvae.latents import mixture_scores") < 2.0


@pytest.mark.slow
def test_a_spectrum_does_not_keep_the_power_of_every_image() -> None:
    # 4,000 images of 3 x 128 x 128 have .5 GiB of power in float64, and twice that while they are joined.
    setup = """
from sendvae.latents.scores.spectrum import spectrum
class Images(Rows):
    def batch(self, positions): return super().batch(positions).unflatten(1, (3, 128, 128))
"""
    few, many = (gigabytes(f"spectrum(Images({n}, 3 * 128 ** 2))", setup) for n in (500, 4000))
    assert many - few < 0.4


RIDGE = """
ridge, rows = StreamingRidge(), Rows(4096, 4096)
for start in range(0, 4096, 512):
    x = rows.batch(np.arange(start, start + 512))
    ridge.update(x, x[:, :40] > 0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "matrices"),
    [(RIDGE, 2.5), (RIDGE + "ridge.solve([0.1, 0.2, 0.3])", 3.2), ("moments_of(Rows(4096, 4096))", 2.9)],
)
def test_moments_take_one_matrix_and_their_solution_another(work: str, matrices: float) -> None:
    # At F = 4096 a matrix of doubles has 1/8 GiB, and a batch with its products almost as much; at F = 16,384 the
    # matrix has 2 GiB and the batch .5: 50,000 latents of 16 x 32 x 32 leave room for the pages of their cache.
    # 1.9, 2.9 and 2.0 to 2.6 are measured; with all products of a batch at once it was up to one more.
    assert gigabytes(work, "from sendvae.latents.moments import moments_of") < matrices / 8
