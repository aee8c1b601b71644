from __future__ import annotations

import hashlib
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluation.small import pictures, save_npz

from sendvae.data import AdmArchive
from sendvae.errors import UserError


def read(archive: AdmArchive, size: int) -> torch.Tensor:
    """All images, in batches."""
    starts = range(0, len(archive), size)
    return torch.cat([archive.batch(range(i, min(i + size, len(archive)))).images for i in starts])


@pytest.mark.parametrize("compressed", [False, True])
def test_streams_what_numpy_reads(tmp_path: Path, compressed: bool) -> None:
    images = pictures(11)
    archive = AdmArchive(Path(save_npz(tmp_path / "s.npz", images, compressed)))
    assert len(archive) == len(archive.keys) == 11
    streamed = read(archive, 4)
    assert torch.equal(streamed, torch.from_numpy(images).permute(0, 3, 1, 2))
    for positions in ([1, 2, 8], [8, 2, 2], [10, 0]):  # any order, as pictures and processes ask for them
        assert torch.equal(archive.batch(positions).images, streamed[positions])
    assert torch.equal(archive[3].image, streamed[3])
    few = AdmArchive(archive.path, limit=4)
    assert (len(few), len(few.keys)) == (4, 4)
    assert few.fingerprint != archive.fingerprint
    assert torch.equal(pickle.loads(pickle.dumps(archive)).batch([5]).images, streamed[[5]])
    assert archive.fingerprint == f"sha256:{hashlib.sha256(archive.path.read_bytes()).hexdigest()}"


def test_never_holds_all_images(tmp_path: Path) -> None:
    images = np.zeros((400, 64, 64, 3), np.uint8)
    archive = AdmArchive(Path(save_npz(tmp_path / "s.npz", images, compressed=True)))
    tracemalloc.start()
    for start in range(0, 400, 10):
        archive.batch(range(start, start + 10))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < images.nbytes / 4


def test_stored_statistics(tmp_path: Path) -> None:
    mu, sigma = np.arange(3.0, dtype=np.float32), np.eye(3)
    path = tmp_path / "ref.npz"
    np.savez(path, mu=mu, sigma=sigma)
    archive = AdmArchive(path)
    assert len(archive) == 0
    found = archive.statistics("pool")
    assert found is not None
    torch.testing.assert_close(found[0], torch.arange(3.0, dtype=torch.float64))
    torch.testing.assert_close(found[1], torch.eye(3, dtype=torch.float64))
    assert archive.statistics("spatial") is None


@pytest.mark.parametrize(
    ("images", "given"),
    [
        (np.zeros((4, 8, 8, 3), np.float32), "float32"),
        (np.zeros((4, 3, 8, 8), np.uint8), r"\(4, 3, 8, 8\)"),
        (np.zeros((4, 8, 8), np.uint8), r"\(4, 8, 8\)"),
        (np.asfortranarray(np.zeros((4, 8, 8, 3), np.uint8)), "Fortran"),
    ],
)
def test_arrays_that_are_no_images(tmp_path: Path, images: np.ndarray, given: str) -> None:
    with pytest.raises(UserError, match=rf"holds no images(?s:.*){given}(?s:.*)uint8 \(N, H, W, 3\)"):
        AdmArchive(Path(save_npz(tmp_path / "s.npz", images)))


def test_truncated_missing_and_other_files(tmp_path: Path) -> None:
    whole = Path(save_npz(tmp_path / "s.npz", pictures(20))).read_bytes()
    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cannot be read(?s:.*)truncated"):
        AdmArchive(cut)
    with pytest.raises(UserError, match="no such file"):
        AdmArchive(tmp_path / "absent.npz")
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255  # one bit of an image: the archive's checksum tells
    cut.write_bytes(bytes(damaged))
    with pytest.raises(UserError, match="cannot be read"):
        read(AdmArchive(cut), 4)


def test_an_array_that_ends_early(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "s.npz", "w") as archive, archive.open("arr_0.npy", "w") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10, 4, 4, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(5 * 48))
    stream = AdmArchive(tmp_path / "s.npz")
    with pytest.raises(UserError, match="ends before image 6"):
        read(stream, 3)


@pytest.mark.parametrize(
    ("mu", "sigma", "reason"),
    [
        (np.zeros(3), np.full((3, 3), np.nan), "NaN"),
        (np.zeros(3), np.eye(4), "no statistics"),
        (np.array([{}, {}, {}], dtype=object), np.eye(3), "mu and sigma"),
    ],
)
def test_bad_statistics(tmp_path: Path, mu: np.ndarray, sigma: np.ndarray, reason: str) -> None:
    np.savez(tmp_path / "ref.npz", mu=mu, sigma=sigma)
    with pytest.raises(UserError, match=reason):
        AdmArchive(tmp_path / "ref.npz").statistics("pool")


def test_pickles_do_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    np.savez(tmp_path / "ref.npz", mu=np.array([Bomb()], dtype=object), sigma=np.eye(1))
    with pytest.raises(UserError):
        AdmArchive(tmp_path / "ref.npz").statistics("pool")
    assert not (tmp_path / "ran").exists()


def test_numbers_beside_the_images_are_their_classes(tmp_path: Path) -> None:
    images = pictures(5)
    archive = AdmArchive(Path(save_npz(tmp_path / "s.npz", images, arr_1=np.array([3, 0, 2, 2, 1]))))
    assert archive.labels_of([4, 0, 2]).tolist() == [1, 3, 2]
    assert archive.batch([3, 1]).labels.tolist() == [2, 0]
    assert archive[0].label == 3
    assert archive.class_names == ("0", "1", "2", "3")


@pytest.mark.parametrize("other", [np.eye(5), np.arange(4), np.array([0, -1, 0, 0, 0]), np.full(5, 2**62)])
def test_other_arrays_beside_the_images_are_no_classes(tmp_path: Path, other: np.ndarray) -> None:
    archive = AdmArchive(Path(save_npz(tmp_path / "s.npz", pictures(5), arr_1=other)))
    assert archive.class_names == ("unlabelled",)
    assert archive.labels_of([4, 0]).tolist() == [0, 0]
