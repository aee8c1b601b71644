"""From choices to pieces of the page: what they say, and what they refuse."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.evaluation.samplable import save_run, small_tokenizer

from sendvae.app import probe
from sendvae.app.answers import Answers
from sendvae.app.drawing import Order
from sendvae.app.models import Models, open_models
from sendvae.app.refusal import Refusal
from sendvae.app.uploads import square
from sendvae.data import EmbeddedImages, open_embedded
from sendvae.evaluation import reconstruct
from sendvae.tokenizers import Autoencoder, save_tokenizer

CPU = torch.device("cpu")
HOSTILE = "<b>{{1}}${2}</b>"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("answers")
    save_tokenizer(small_tokenizer(), folder / "vae")
    for seed, name in enumerate(("a", "b")):
        save_run(folder / name, folder / "vae", seed)
    models = open_models([str(folder / "a"), str(folder / "b")], CPU)
    return Answers(models, CPU, folder / "cache")


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def pictures(html: str) -> list[np.ndarray]:
    return [
        np.array(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    ]


def test_reconstructions_show_original_copy_difference_and_latent(answers: Answers, upload: Path) -> None:
    html = answers.reconstruct(upload, ["vae"], 64, "crop")
    original, copy, difference, latent = pictures(html)
    expected = square(Image.open(upload), 64, "crop").pixels
    assert np.array_equal(original, expected.permute(1, 2, 0))
    assert np.array_equal(copy, reconstruct(small_tokenizer(), expected[None])[0].permute(1, 2, 0))
    assert np.array_equal(difference, (copy.astype(int) - original + 128).clip(0, 255))
    assert latent.shape == (32, 32, 3)
    assert "100 × 80 pixels: cropped to the centre square and scaled to 64 × 64." in html
    assert "effnet-lite1-perceptual" in html
    error = (copy.astype(float) - original) / 255
    assert f"{-10 * np.log10((error**2).mean()):.2f} dB" in html
    assert str(upload.parent) not in html


@pytest.mark.parametrize(
    ("names", "side", "fit", "problem"),
    [
        ([], 64, "crop", "no tokenizer is chosen"),
        (["none"], 64, "crop", "no such tokenizer"),
        (["vae"], 65, "crop", "no such size"),
        (["vae"], 64, "stretch", "no such way"),
    ],
)
def test_choices_that_are_none(
    answers: Answers, upload: Path, names: list[str], side: int, fit: str, problem: str
) -> None:
    with pytest.raises(Refusal, match=problem):
        answers.reconstruct(upload, names, side, fit)


def test_without_a_picture(answers: Answers) -> None:
    with pytest.raises(Refusal, match="there is no picture"):
        answers.reconstruct(None, ["vae"], 64, "crop")
    with pytest.raises(Refusal, match="there is no picture"):
        answers.read(None, "vae", "pad", lambda *_: None)


def test_samples_are_shown_with_their_classes_and_the_command(answers: Answers) -> None:
    order = Order(["b", "a"], [4, 1], 2.0, 3, 7, 3)
    html = [part for part in answers.draw(order) if part is not None]
    assert [one.count('data-done="yes"') for one in html] == [0] * (len(html) - 1) + [1]
    assert len(pictures(html[0])) == 3
    assert len(pictures(html[-1])) == 6
    captions = re.findall(r"<figcaption>(\w+)</figcaption>", html[-1])
    assert captions == ["ant", "cat", "ant"] * 2
    command = "sendvae sample RUN RUN --grid 1x3 --to grid.png --labels 4,1 --guidance 2 --steps 3 --seed 7"
    assert command in html[-1]
    assert "waits for its turn" in html[0]
    assert "the same noise" in html[0]


@pytest.mark.parametrize(
    ("models", "problem"), [([], "no diffusion model is chosen"), (["c"], "no such diffusion")]
)
def test_models_that_are_none(answers: Answers, models: list[str], problem: str) -> None:
    with pytest.raises(Refusal, match=problem):
        list(answers.draw(Order(models, [], 2.0, 3, 0, 2)))


def test_ways_between_two_pictures(answers: Answers, upload: Path) -> None:
    html = answers.interpolate(upload, upload, ["vae"], 3, "pad")
    found = pictures(html)
    assert len(found) == 6
    assert all(image.shape == (64, 64, 3) for image in found)
    assert "vae, spherical" in html
    for strip in (found[:3], found[3:]):  # from a picture to itself
        assert np.abs(strip[0].astype(int) - strip[1]).max() <= 1


def test_a_way_begins_at_the_first_picture(answers: Answers, upload: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "other.png")
    found = pictures(answers.interpolate(upload, tmp_path / "other.png", ["vae"], 2, "crop"))
    ends = [square(Image.open(path), 64, "crop").pixels for path in (upload, tmp_path / "other.png")]
    expected = reconstruct(small_tokenizer(), torch.stack(ends)).permute(0, 2, 3, 1).numpy()
    for strip in (found[:2], found[2:]):
        assert np.abs(np.stack(strip).astype(int) - expected).max() <= 1


def test_attributes(answers: Answers, upload: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"train": 120, "val": 60}

    def opened(name: str, split: str) -> EmbeddedImages:
        return open_embedded(name, split, few[split])

    monkeypatch.setattr(probe, "open_embedded", opened)
    html = answers.read(upload, "vae", "pad", lambda *_: None)
    rows = re.findall(
        r"<tr[^>]*><th scope=\"row\">([^<]+)</th>\s*<td>.*?</span>([\d.]+)</td>\s*<td>([\d.]+)", html
    )
    assert len(rows) == 47
    probabilities = [float(probability) for _, probability, _ in rows]
    assert probabilities == sorted(probabilities, reverse=True)
    assert "latents of 120 emoji" in html
    assert "padded with white" in html


def test_names_are_text_only(upload: Path, tmp_path: Path) -> None:
    models = Models({HOSTILE: small_tokenizer()}, {})
    answers = Answers(models, CPU, tmp_path)
    for html in (answers.header(), answers.reconstruct(upload, [HOSTILE], 64, "crop")):
        assert "<b>{{" not in html
        assert "&lt;b&gt;" in html


def test_an_emoji_that_trained_nothing(answers: Answers) -> None:
    test = open_embedded("emoji", "test")
    found = np.array(answers.emoji(len(test) + 5))
    assert np.array_equal(found, test.pixels[5].permute(1, 2, 0))


class OneSize(Autoencoder):
    """Takes pictures of 128 pixels alone."""

    one_size, image_size = True, 128  # type: ignore[assignment]


def test_a_tokenizer_of_one_size_refuses_others(answers: Answers, upload: Path) -> None:
    fixed = OneSize(small_tokenizer().architecture).eval()
    here = Answers(Models({"fixed": fixed}, {}), CPU, answers.cache)
    assert pictures(here.reconstruct(upload, ["fixed"], 128, "crop"))
    assert pictures(here.interpolate(upload, upload, ["fixed"], 3, "crop"))
    with pytest.raises(Refusal, match=r"does not take(?s:.*)64(?s:.*)128 x 128"):
        here.reconstruct(upload, ["fixed"], 64, "crop")
    with pytest.raises(Refusal, match=r"does not take(?s:.*)64(?s:.*)128 x 128"):
        here.read(upload, "fixed", "crop", lambda *_: None)
