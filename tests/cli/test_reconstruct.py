"""`sendvae reconstruct` as people call it: any size of picture, any number of tokenizers, twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.evaluation.samplable import small_tokenizer
from typer.testing import CliRunner

from sendvae.cli.main import app, main
from sendvae.data import to_float, to_uint8
from sendvae.evaluation import side_by_side
from sendvae.evaluation.gallery import MARGIN, MIN_COLUMN, TITLE
from sendvae.evaluation.side_by_side import output_names, reconstruct_any_size
from sendvae.tokenizers import save_tokenizer

runner = CliRunner()
SIZES = {"cats/tom.png": (16, 12), "cats/tom.webp": (9, 7), "dogs/rex.png": (120, 8), "one.png": (1, 1)}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, seed in (("one", 1), ("two", 2)):
        save_tokenizer(small_tokenizer(seed), tmp_path / name)
    rng = np.random.default_rng(0)
    for name, (width, height) in SIZES.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path, lossless=True)
    return tmp_path


def run(*arguments: str) -> str:
    result = runner.invoke(app, ["reconstruct", *arguments], env={"COLUMNS": "160"})
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_originals_reconstructions_and_differences_side_by_side(place: Path) -> None:
    output = run("one", "two", "--data", "photos", "--to", "out")
    assert "4 pictures, 2 images padded to fit" in output
    names = {path.relative_to("out").as_posix() for path in Path("out").rglob("*.png")}
    assert names == {"cats/tom.png.png", "cats/tom.webp.png", "dogs/rex.png", "one.png"}
    for name, target in (
        ("cats/tom.png", "cats/tom.png.png"),
        ("cats/tom.webp", "cats/tom.webp.png"),
        ("dogs/rex.png", "dogs/rex.png"),
    ):
        original, sheet = pixels(place / "photos" / name), pixels(place / "out" / target)
        height, width = original.shape[:2]
        step = max(width, MIN_COLUMN) + MARGIN
        columns = [sheet[TITLE : TITLE + height, MARGIN + i * step :][:, :width] for i in range(5)]
        assert np.array_equal(columns[0], original)
        for seed, i in ((1, 1), (2, 3)):
            image = torch.from_numpy(original.copy()).permute(2, 0, 1)
            copy = reconstruct_any_size(small_tokenizer(seed), image).permute(1, 2, 0).numpy()
            assert np.array_equal(columns[i], copy)
            wanted = (copy.astype(int) - original + 128).clip(0, 255)
            assert np.array_equal(columns[i + 1], wanted)
        assert not np.array_equal(columns[1], columns[3])


def test_sizes_that_fit_are_reconstructed_as_they_are() -> None:
    tokenizer = small_tokenizer()
    image = torch.randint(0, 256, (3, 6, 10), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        mean = tokenizer.encode(to_float(image)[None]).mean
        expected = to_uint8(tokenizer.decode(mean))[0]
    assert torch.equal(reconstruct_any_size(tokenizer, image), expected)
    odd = reconstruct_any_size(tokenizer, image[:, :5, :9])
    assert odd.shape == (3, 5, 9)


def test_the_same_command_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("one", "--data", "photos", "--to", "out")
    whole = {path: path.read_bytes() for path in Path("out").rglob("*.png")}
    (place / "out/dogs/rex.png").unlink()
    (place / "out/one.png").write_bytes(b"half")
    calls: list[int] = []
    draw = side_by_side.reconstruct_any_size
    monkeypatch.setattr(side_by_side, "reconstruct_any_size", lambda *a: calls.append(1) or draw(*a))
    assert "2 new, 2 were there" in run("one", "--data", "photos", "--to", "out")
    assert len(calls) == 2
    assert {path: path.read_bytes() for path in Path("out").rglob("*.png")} == whole
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save("photos/one.png")
    assert "1 new, 3 were there" in run("one", "--data", "photos", "--to", "out")


def test_other_tokenizers_and_other_work_are_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("one", "--data", "photos", "--to", "out", "--images", "2")
    assert len(list(Path("out").rglob("*.png"))) == 2
    Path("out/mine.png").write_bytes((place / "photos/one.png").read_bytes())
    for arguments, words in (
        (("two", "--data", "photos", "--to", "out"), ["by other tokenizers", "--force"]),
        (("one", "--data", "photos", "--to", "photos"), ["holds something else"]),
        (("one", "one", "--data", "photos", "--to", "new"), ["given twice"]),
        (("one", "--data", "absent", "--to", "new"), ["no such file or folder"]),
        (("nothing", "--data", "photos", "--to", "new"), ["nothing"]),
        (("one", "--data", "photos", "--to", "new", "--precision", "fp8"), ["unknown precision"]),
    ):
        monkeypatch.setattr(sys, "argv", ["sendvae", "reconstruct", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        message = capsys.readouterr().err
        assert stopped.value.code == 2
        assert all(word in message for word in words), message
        assert not Path("new").exists()
    run("two", "--data", "photos", "--to", "out", "--force")
    assert list(json.loads(Path("out/reconstruct.json").read_text())["tokenizers"]) == ["two"]
    assert Path("out/mine.png").is_file()


def test_prepared_images(place: Path) -> None:
    assert place.is_dir()
    assert "3 pictures" in run("one", "--data", "embedded:emoji", "--to", "emoji", "--images", "3")


def test_names_are_kept_and_stay_inside() -> None:
    keys = ["a/x.jpg", "a/x.png", "../../b.png", "/etc/c.gif", "plain"]
    assert output_names(keys) == ["a/x.jpg.png", "a/x.png.png", "b.png", "etc/c.png", "plain.png"]


def test_help_has_examples() -> None:
    assert "sendvae reconstruct runs/plain runs/send-vae --data photos/" in run("--help")
