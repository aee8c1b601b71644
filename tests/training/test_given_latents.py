"""Latents in LightningDiT's layout: written so that a reader of theirs gets them, and trained on, whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests.tokenizers.families import save_small
from torch import Tensor

from sendvae.config import DiffusionConfig, load_config
from sendvae.data import open_embedded, to_float
from sendvae.errors import UserError
from sendvae.evaluation.diffusion_model import load_model
from sendvae.runs import load_measured, read_journal
from sendvae.tokenizers import (
    Architecture,
    Autoencoder,
    LatentStats,
    Tokenizer,
    load_tokenizer,
    save_tokenizer,
)
from sendvae.tokenizers.maetok import MAETok, MAETokShape
from sendvae.training import train_diffusion, write_lightningdit
from sendvae.training.estimate import estimate

CPU = torch.device("cpu")
SHORT = ["loop.images=8", "loop.batch_size=4", "loop.log_every=4", "loop.precision=fp32", "optimizer.warmup=0", "repa=null"]  # fmt: skip


def read_as_they_do(folder: Path) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Their dataset, anew: files in the order of names, a row and its mirror image, normalised, and the label."""
    statistics = torch.load(folder / "latents_stats.pt", weights_only=True)
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt", device="cpu") as file:
            labels = file.get_slice("labels")
            for row in range(labels.get_shape()[0]):
                views = [file.get_slice(name)[row : row + 1] for name in ("latents", "latents_flip")]
                plain, flipped = [((v - statistics["mean"]) / statistics["std"]).squeeze(0) for v in views]
                yield plain, flipped, int(labels[row : row + 1].squeeze(0))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer("demo-f8d16")


@pytest.fixture(scope="module")
def folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latents")
    write_lightningdit(folder, tokenizer, open_embedded("emoji", "train", limit=10), CPU, shard_size=4)
    return folder / "train"


def train(folder: Path, data: Path, *overrides: str) -> Path:
    config = load_config(
        DiffusionConfig, "demo/sit-tiny", [*SHORT, f"data.source=lightningdit:{data}", *overrides]
    )
    return train_diffusion(config, folder / "run", folder / "cache")


def test_their_reader_gets_normalised_samples_of_both_views(tokenizer: Tokenizer, folder: Path) -> None:
    images = open_embedded("emoji", "train", limit=10)
    pixels, stats = to_float(images.batch(range(10)).images), tokenizer.latent_stats
    assert stats is not None
    found = list(read_as_they_do(folder))
    assert [label for *_, label in found] == images.labels_of(range(10)).tolist()
    assert len(list(folder.glob("*.safetensors"))) == 3
    for view, ours in ((0, pixels), (1, pixels.flip(-1))):
        with torch.no_grad():
            posterior = tokenizer.encode(ours)
        z = stats.denormalize(torch.stack([row[view] for row in found]))
        noise = (z - posterior.mean) / posterior.std
        assert 0.95 < noise.std() < 1.05  # samples: N(0, 1) about the mean
        assert noise.mean().abs() < 0.05
    plain, flipped = (torch.stack([row[view] for row in found]) for view in (0, 1))
    assert plain.dtype == torch.float32
    assert not torch.equal(plain.flip(-1), flipped)  # noise of their own


def test_statistics_of_positions_are_written_by_position(tmp_path: Path) -> None:
    """As RAE has them; its latents have no spread, so that what is read is known to the last digits."""
    save_small("RAE by position", tmp_path / "rae", {"patch_size": 16})
    rae, images = load_tokenizer(tmp_path / "rae"), open_embedded("emoji", "train", limit=3)
    assert rae.latent_stats is not None
    write_lightningdit(tmp_path, rae, images, CPU)
    found = torch.stack([plain for plain, *_ in read_as_they_do(tmp_path / "train")])
    with torch.no_grad():
        z = rae.encode(to_float(images.batch(range(3)).images)).mean
    torch.testing.assert_close(found, rae.latent_stats.normalize(z), rtol=1e-4, atol=1e-4)


def test_a_restart_adds_what_is_missing_and_another_tokenizer_is_refused(
    tokenizer: Tokenizer, folder: Path
) -> None:
    images = open_embedded("emoji", "train", limit=10)
    lost, kept = (folder / f"shard-0000{n}.safetensors" for n in (1, 2))
    before = {path: path.read_bytes() for path in (lost, kept)}
    when = kept.stat().st_mtime_ns
    lost.unlink()
    write_lightningdit(folder.parent, tokenizer, images, CPU, shard_size=4)
    assert {path: path.read_bytes() for path in (lost, kept)} == before
    assert kept.stat().st_mtime_ns == when
    for other, more in ((load_tokenizer("demo-plain"), 10), (tokenizer, 11)):
        with pytest.raises(UserError, match="cache of something else"):
            write_lightningdit(folder.parent, other, open_embedded("emoji", "train", limit=more), CPU)


def test_undeclared_statistics_are_measured_on_the_latents(tmp_path: Path) -> None:
    silent = load_tokenizer("demo-f8d16")
    silent.latent_stats = None
    write_lightningdit(tmp_path, silent, open_embedded("emoji", "train", limit=10), CPU)
    rows = torch.stack([plain for plain, *_ in read_as_they_do(tmp_path / "train")]).double()
    torch.testing.assert_close(rows.mean((0, 2, 3)), torch.zeros(16, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        rows.std((0, 2, 3), correction=0), torch.ones(16).double(), atol=1e-5, rtol=1e-5
    )


def test_a_generator_trains_on_them_and_samples_without_the_images(folder: Path, tmp_path: Path) -> None:
    for flip in ("false", "true"):
        train(tmp_path / flip, folder, f"data.flip={flip}")
    plain, flipped = (read_journal(tmp_path / f / "run/metrics.jsonl")["velocity"] for f in ("false", "true"))
    assert plain != flipped
    model = load_model(str(tmp_path / "true/run"))
    assert model.classes.names == open_embedded("emoji", "train", limit=1).class_names
    assert not (tmp_path / "true/cache").exists()


def test_what_it_costs_is_counted_without_the_images(folder: Path) -> None:
    """As where the images are there, less the encoding of them, which is done."""
    given, usual = (
        estimate(
            load_config(DiffusionConfig, "demo/sit-tiny", [*SHORT, f"data.source={source}", "data.limit=10"])
        )
        for source in (f"lightningdit:{folder}", "embedded:emoji")
    )
    assert given.flops == usual.flops
    assert given.networks == usual.networks
    assert (given.once, sorted(usual.once)) == ({}, ["latents"])


def test_training_sees_the_latents_on_disk_normalised(tmp_path: Path) -> None:
    """Latents that are the mean everywhere are zeros to the generator: a blank one's loss is that of pure noise."""
    data, tokenizer = tmp_path / "data", load_tokenizer("demo-f8d16")
    assert tokenizer.latent_stats is not None
    data.mkdir()
    mean = tokenizer.latent_stats.mean[None, :, None, None].expand(400, 16, 8, 8)
    save_file(
        {"latents": mean.contiguous(), "labels": torch.zeros(400, dtype=torch.int64)}, data / "a.safetensors"
    )
    train(tmp_path, data, "loop.images=400", "loop.batch_size=400", "loop.log_every=400")
    (velocity,) = read_journal(tmp_path / "run/metrics.jsonl")["velocity"]
    assert velocity == pytest.approx(1.0, abs=0.02)  # E |noise - 0|^2, where the head starts at zero


def test_statistics_beside_the_latents_stay_with_the_run(folder: Path, tmp_path: Path) -> None:
    """A tokenizer that declares none takes theirs, or where there are none what the latents say."""
    silent = load_tokenizer("demo-f8d16")
    silent.latent_stats = None
    save_tokenizer(silent, tmp_path / "silent")
    train(tmp_path / "a", folder, f"tokenizer={tmp_path / 'silent'}")
    beside = torch.load(folder / "latents_stats.pt", weights_only=True)
    found = load_measured(tmp_path / "a/run")
    assert found is not None
    assert torch.equal(found.mean, beside["mean"].flatten())
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in folder.glob("*.safetensors"):
        (bare / path.name).symlink_to(path)
    train(tmp_path / "b", bare, f"tokenizer={tmp_path / 'silent'}")
    found = load_measured(tmp_path / "b/run")
    z = torch.stack([plain for plain, *_ in read_as_they_do(folder)])
    z = LatentStats(beside["mean"].flatten(), beside["std"].flatten()).denormalize(z)
    assert found is not None
    torch.testing.assert_close(found.mean, z.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("overrides", "problem", "advice"),
    [
        (["repa={backbone: effnet-lite0}"], "holds latents, and this needs images", "repa=null"),
        (["data.latents=online"], "holds latents, and this needs images", "data.latents=cached"),
        (["data.size=256"], "images of another size", "64 pixels"),
        (["data.classes=2"], "no class numbers", "data.classes"),
        (["tokenizer={OTHER}"], "not of this tokenizer", "32 x 8 x 8"),
    ],
)
def test_what_latents_cannot_give_is_refused_before_anything_is_written(
    overrides: list[str], problem: str, advice: str, folder: Path, tmp_path: Path
) -> None:
    other = Architecture(z_channels=32, ch=8, ch_mult=(1, 2), num_res_blocks=1, norm_groups=4, resolution=32)
    save_tokenizer(Autoencoder(other), tmp_path / "other")
    with pytest.raises(UserError, match=problem) as error:
        train(tmp_path, folder, *(text.replace("{OTHER}", str(tmp_path / "other")) for text in overrides))
    assert advice in str(error.value)


def test_latents_of_another_scale_are_refused(folder: Path, tmp_path: Path) -> None:
    """Normalised ones, say, that have the shape of the tokenizer's."""
    for path in folder.glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    statistics = {"mean": torch.zeros(1, 16, 1, 1), "std": torch.ones(1, 16, 1, 1) * 9}
    torch.save(statistics, tmp_path / "latents_stats.pt")
    with pytest.raises(UserError, match="not those of this tokenizer"):
        train(tmp_path, tmp_path)


def test_statistics_that_run_code_are_not_loaded(folder: Path, tmp_path: Path) -> None:
    for path in folder.glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("evil",))

    torch.save({"mean": Evil(), "std": torch.ones(16)}, tmp_path / "latents_stats.pt")
    with pytest.raises(UserError, match="could run code"):
        train(tmp_path, tmp_path)


def test_flips_that_are_not_there_are_refused(tmp_path: Path) -> None:
    tensors = {"latents": torch.zeros(4, 16, 8, 8), "labels": torch.zeros(4, dtype=torch.int64)}
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="no latents of mirrored images"):
        train(tmp_path, tmp_path, "data.flip=true")


def test_tokens_without_a_grid_are_not_written(tmp_path: Path) -> None:
    images = open_embedded("emoji", "train", limit=2)
    shape = MAETokShape(tokens=10, dims=6, size=64, patch=16, width=128, depth=3, heads=2)
    with pytest.raises(UserError, match="with a grid"):
        write_lightningdit(tmp_path, MAETok(shape), images, CPU)
