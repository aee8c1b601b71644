from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.evaluation.small import small_network
from torch import Tensor, nn

from sendvae.config import ReconstructionConfig, load_config, validate
from sendvae.data import open_embedded, to_float, to_uint8
from sendvae.errors import UserError
from sendvae.evaluation import measure_reconstruction, reconstruct
from sendvae.evaluation.networks import FeatureNetwork
from sendvae.evaluation.results import Result
from sendvae.metrics import psnr, ssim, ssim_signed
from sendvae.nn import Moments
from sendvae.randomness import stream
from sendvae.tokenizers import Architecture, Autoencoder, load_tokenizer, save_tokenizer

CPU = torch.device("cpu")
SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 1, 2, 2), num_res_blocks=1, norm_groups=4, resolution=64)
COUNT = 8


class Distance(nn.Module):
    """A perceptual network's stand-in: mean absolute difference."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tokenizer") / "small"
    save_tokenizer(Autoencoder(SMALL).eval(), folder)
    return str(folder)


def config(**changes: object) -> ReconstructionConfig:
    base = {
        "size": None,
        "limit": COUNT,
        "batch_size": 5,
        "worst": 3,
        "intervals": {"bootstrap": 100, "jackknife": 4},
    }
    return validate(ReconstructionConfig, {**base, **changes})


def score(tokenizer: str, folder: Path, network: FeatureNetwork | None = None, **changes: object) -> Result:
    result = measure_reconstruction(
        tokenizer,
        "embedded:emoji",
        config(**changes),
        CPU,
        folder=folder,
        network=network or small_network(),
        perceptual=Distance(),
    )
    assert result is not None
    return result


def expected(tokenizer: str, latent: str = "mean", seed: int = 0) -> tuple[Tensor, Tensor]:
    """Originals, uint8, and reconstructions, float, one image at a time."""
    model = load_tokenizer(tokenizer)
    originals = open_embedded("emoji", "test", COUNT).pixels
    copies = []
    with torch.no_grad():
        for i, image in enumerate(originals):
            posterior = model.encode(to_float(image[None]))
            noise = torch.randn(posterior.mean.shape[1:], generator=stream(seed, i, "posterior"))
            z = posterior.mean + (posterior.std * noise if latent == "sample" else 0.0)
            copies.append(model.decode(z))
    return originals, torch.cat(copies)


@pytest.mark.parametrize("latent", ["mean", "sample"])
def test_numbers_by_their_definitions(latent: str, tokenizer: str, tmp_path: Path) -> None:
    numbers = score(tokenizer, tmp_path, latent=latent, seed=3).subjects[0].numbers
    originals, copies = expected(tokenizer, latent, seed=3)
    quantised = to_uint8(copies)
    assert numbers["psnr"].value == pytest.approx(float(psnr(quantised, originals).mean()), rel=1e-4)
    assert numbers["ssim"].value == pytest.approx(float(ssim(quantised, originals).mean()), abs=1e-4)
    distance = Distance()(copies.clamp(-1, 1), to_float(originals))
    assert numbers["lpips-vgg"].value == pytest.approx(float(distance.mean()), rel=1e-4)
    from sendvae.metrics import frechet_distance_of

    statistics = []
    for images in (originals, quantised):
        statistics.append(Moments())
        statistics[-1].update(small_network().rows(images).pool)
    assert numbers["rfid"].value == pytest.approx(frechet_distance_of(*statistics), rel=1e-3)


def test_what_is_shown_are_decoded_means(tokenizer: str) -> None:
    originals, copies = expected(tokenizer)
    found = reconstruct(load_tokenizer(tokenizer), originals)
    assert int((found.short() - to_uint8(copies).short()).abs().max()) <= 1


def test_lightningdits_choices(tokenizer: str, tmp_path: Path) -> None:
    preset = load_config(ReconstructionConfig, "evaluate/lightningdit")
    assert (preset.crop, preset.latent, preset.ssim) == ("lightningdit", "sample", "signed")
    assert preset.features == "inception-pytorch-fid"
    numbers = score(tokenizer, tmp_path, latent="mean", ssim="signed", perceptual_clamped=False)
    originals, copies = expected(tokenizer)
    signed = float(ssim_signed(copies, to_float(originals)).mean())
    assert numbers.subjects[0].numbers["ssim"].value == pytest.approx(signed, abs=1e-4)
    distance = float(Distance()(copies, to_float(originals)).mean())
    assert numbers.subjects[0].numbers["lpips-vgg"].value == pytest.approx(distance, rel=1e-4)


def test_batches_and_places_do_not_matter(tokenizer: str, tmp_path: Path) -> None:
    first, second = (score(tokenizer, tmp_path / str(b), batch_size=b) for b in (3, 8))
    assert first.protocol == second.protocol
    for name, number in first.subjects[0].numbers.items():
        assert second.subjects[0].numbers[name].value == pytest.approx(number.value, rel=1e-3)


def test_every_image_has_a_row_and_the_worst_are_shown(tokenizer: str, tmp_path: Path) -> None:
    result = score(tokenizer, tmp_path, latent="mean")
    rows = list(csv.DictReader((tmp_path / "images.csv").read_text().splitlines()))
    assert [row["image"] for row in rows] == open_embedded("emoji", "test", COUNT).keys
    for name in ("psnr", "ssim", "lpips-vgg"):
        mean = np.mean([float(row[name]) for row in rows])
        assert mean == pytest.approx(result.subjects[0].numbers[name].value, rel=1e-6)
    gallery = Image.open(tmp_path / "worst.png")
    worst = max(range(COUNT), key=lambda i: float(rows[i]["lpips-vgg"]))
    original = open_embedded("emoji", "test", COUNT).pixels[worst].repeat_interleave(2, 1)
    shown = np.array(gallery)[18 : 18 + 128, 4 : 4 + 128]  # below the caption, beside the margin
    assert np.array_equal(shown, original.repeat_interleave(2, 2).permute(1, 2, 0).numpy())
    assert gallery.height == 3 * (128 + 8 + 14)


def test_raw_images_are_cropped(tokenizer: str, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 256, (50 + i, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    values = set()
    for crop in ("adm", "lightningdit"):
        settings = config(size=32, crop=crop, limit=None, worst=0)
        result = measure_reconstruction(
            tokenizer,
            str(folder),
            settings,
            CPU,
            folder=tmp_path / crop,
            network=small_network(),
            perceptual=Distance(),
        )
        assert result is not None
        assert not (tmp_path / crop / "worst.png").exists()
        values.add(result.subjects[0].numbers["psnr"].value)
    assert len(values) == 2


def test_images_that_do_not_fit(tokenizer: str, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (30, 30), (i, i, i)).save(folder / f"{i}.png")
    settings = config(limit=None)
    with pytest.raises(UserError, match=r"do not fit the tokenizer(?s:.*)30 x 30(?s:.*)multiples of 8"):
        measure_reconstruction(
            tokenizer, str(folder), settings, CPU, network=small_network(), perceptual=Distance()
        )
    with pytest.raises(UserError, match="two images or more"):
        score(tokenizer, tmp_path, limit=1)


def test_a_tokenizer_of_nan_is_noticed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Autoencoder(SMALL).eval()
    with torch.no_grad():
        model.decoder.conv_out.bias.fill_(torch.nan)  # type: ignore[union-attr]
    save_tokenizer(model, tmp_path / "nan")
    with (
        pytest.warns(UserWarning, match="NaN"),
        pytest.raises(UserError, match=r"reconstructions that are NaN(?s:.*)of image 0"),
    ):
        score(str(tmp_path / "nan"), tmp_path)


def test_features_of_the_originals_are_kept_for_other_tokenizers(tokenizer: str, tmp_path: Path) -> None:
    cache, network, seen = tmp_path / "cache", small_network(), []
    counting = replace(network, rows=lambda images: seen.append(len(images)) or network.rows(images))

    def measured(data: str, cache: Path | None, **changes: object) -> Result:
        seen.clear()
        result = measure_reconstruction(
            tokenizer, data, config(**changes), CPU, cache=cache, network=counting, perceptual=Distance()
        )
        assert result is not None
        return result

    alone = measured("embedded:emoji", None)
    assert sum(seen) == 2 * COUNT
    first, again = (measured("embedded:emoji", cache) for _ in range(2))
    assert sum(seen) == COUNT
    assert alone.subjects == first.subjects == again.subjects
    other = measured("embedded:emoji", cache, split="val")
    assert sum(seen) == 2 * COUNT
    assert other.subjects[0].numbers == measured("embedded:emoji", None, split="val").subjects[0].numbers


def test_originals_of_another_crop_are_not_taken_from_the_cache(tokenizer: str, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 256, (50, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "raw" / f"{i}.png")
    for crop in ("adm", "lightningdit"):
        cached, alone = (
            measure_reconstruction(
                tokenizer,
                str(tmp_path / "raw"),
                config(size=32, crop=crop, limit=None),
                CPU,
                cache=cache,
                network=small_network(),
                perceptual=Distance(),
            )
            for cache in (tmp_path / "cache", None)
        )
        assert cached is not None
        assert alone is not None
        assert cached.subjects == alone.subjects
