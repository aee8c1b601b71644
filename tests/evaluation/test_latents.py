from __future__ import annotations

import csv
import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from sendvae.config import LatentsConfig, validate
from sendvae.data import open_embedded, to_float, to_uint8
from sendvae.errors import UserError
from sendvae.evaluation.encoded import cache_rows, make_encoder
from sendvae.evaluation.latents import Encoded, described, measure_latents, unique_names
from sendvae.evaluation.networks import load_network
from sendvae.evaluation.results import Result
from sendvae.evaluation.scorer import PixelRows
from sendvae.evaluation.tables import print_result
from sendvae.latents import (
    SCORES,
    Evidence,
    Found,
    Measured,
    Score,
    TensorRows,
    attribute_probe,
    semantic_gap,
    spectrum,
    structure,
    uniformity_repeats,
    velocity_floor,
)
from sendvae.latents.score import quantity
from sendvae.latents.scores import memory
from sendvae.latents.scores.ifid import interpolated, nearest
from sendvae.latents.scores.robustness import robustness
from sendvae.metrics import frechet_distance, gaussian_of, jackknife_interval, mean_interval
from sendvae.randomness import stream
from sendvae.report import write_report
from sendvae.tokenizers import Architecture, Autoencoder, load_tokenizer, save_tokenizer

CPU = torch.device("cpu")
SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 1, 1, 2), num_res_blocks=1, norm_groups=4, resolution=32)
FAST: dict[str, Any] = {
    "limit": 60,
    "uniformity": {"projection": "pca", "samples": 50, "repeats": 2},
    "discrimination": {"components": [2, 3], "headline": 2, "dimensions": 4, "repeats": 1},
}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("tokenizers")
    for seed in range(4):
        torch.manual_seed(seed)
        save_tokenizer(Autoencoder(SMALL).eval(), folder / f"vae{seed}")
    return [str(folder / f"vae{seed}") for seed in range(4)]


def score(
    names: list[str],
    folder: Path,
    known: list[float | None] | None = None,
    cache: bool = True,
    **changes: Any,
) -> Result:
    config = validate(LatentsConfig, {**FAST, **changes})
    result = measure_latents(
        names, config.data, config, CPU, known=known, folder=folder, cache=folder / "cache" if cache else None
    )
    assert result is not None
    return result


def latents_of(source: str, split: str) -> torch.Tensor:
    images = open_embedded("emoji", split, 60).pixels
    with torch.no_grad():
        return load_tokenizer(source).encode(to_float(images)).mean


def test_the_numbers_are_those_of_the_library(tokenizers: list[str], tmp_path: Path) -> None:
    subject = score(tokenizers[:1], tmp_path).subjects[0]
    z = {split: latents_of(tokenizers[0], split) for split in ("train", "val", "test")}
    sets = {split: open_embedded("emoji", split, 60) for split in z}
    y = {split: torch.from_numpy(part.attributes.values) for split, part in sets.items()}
    probe = attribute_probe(
        z["train"], y["train"], z["test"], y["test"], val_latents=z["val"], val_attributes=y["val"]
    )
    assert subject.numbers["f1_micro"].value == pytest.approx(probe.f1_micro, abs=2e-3)
    assert subject.numbers["recall_at_5"].value == pytest.approx(probe.recall_at_5, abs=2e-3)
    assert list(subject.details["f1"]) == list(sets["train"].attributes.names)
    labels = {split: part.labels_of(range(60)) for split, part in sets.items()}
    gap = semantic_gap(z["train"], labels["train"], z["test"], labels["test"], "flatten")
    assert subject.numbers["gap_flatten"].value == pytest.approx(gap, abs=0.02)
    assert {
        "f1_macro",
        "f1_samples",
        "gap_mean",
        "uniformity_gini",
        "discrimination_nll",
    } <= subject.numbers.keys()
    assert subject.numbers["discrimination_nll"] == subject.numbers["discrimination_nll_2"]
    assert next(iter(subject.numbers)) == "f1_micro"
    for name in ("f1_micro", "recall_at_5", "gap_mean", "uniformity_gini", "discrimination_nll"):
        interval = subject.numbers[name].interval
        assert interval is not None, name
        assert interval[0] <= subject.numbers[name].value <= interval[1], name
    # Emoji of one concept are alike: they are drawn together.
    assert subject.numbers["f1_micro"].method == "bootstrap over test images, by their groups"
    none = score(tokenizers[:1], tmp_path, bootstrap=0).subjects[0]
    assert all(number.interval is None for number in none.numbers.values())
    assert none.numbers["f1_micro"].value == subject.numbers["f1_micro"].value


def test_what_depends_on_the_images_alone_is_computed_once_for_all_tokenizers(
    tokenizers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ifid = {"features": "mobilenet-v2", "samples": 20, "jackknife": 0}
    settings = {"scores": ["spectrum", "ifid"], "ifid": ifid}
    alone = [score([name], tmp_path, **settings).subjects[0].numbers for name in tokenizers[:2]]
    read = []
    batch = PixelRows.batch

    def counted(self: PixelRows, positions: np.ndarray) -> torch.Tensor:
        read.append(len(positions))
        return batch(self, positions)

    monkeypatch.setattr(PixelRows, "batch", counted)
    score(tokenizers[:1], tmp_path, **settings)
    once = sum(read)
    read.clear()
    together = score(tokenizers[:2], tmp_path, **settings).subjects
    assert sum(read) == once > 0
    assert [subject.numbers for subject in together] == alone


@pytest.mark.parametrize("method", ["ridge", "minibatch"])
def test_streaming_with_and_without_a_cache(method: str, tokenizers: list[str], tmp_path: Path) -> None:
    settings = {
        "scores": ["attributes"],
        "attributes": {"method": method},
        "minibatch": {"epochs": 2, "batch_size": 32},
    }
    with_cache = score(tokenizers[:1], tmp_path, **settings)
    without = score(tokenizers[:1], tmp_path, cache=False, **settings)
    assert with_cache.protocol == without.protocol
    for name, number in with_cache.subjects[0].numbers.items():
        assert without.subjects[0].numbers[name].value == pytest.approx(number.value, abs=5e-3)
    assert with_cache.subjects[0].details["probe"]["method"] == method


def test_uniformity_sees_mirrored_images(tokenizers: list[str], tmp_path: Path) -> None:
    settings = {"scores": ["uniformity"]}
    density = {"projection": "pca", "samples": 50, "repeats": 2}
    flipped, cached, plain = (
        score(tokenizers[:1], tmp_path, cache=cache, uniformity=density | {"flips": flips}, **settings)
        for cache, flips in ((False, True), (True, True), (True, False))
    )
    values = [run.subjects[0].numbers["uniformity_gini"].value for run in (flipped, cached, plain)]
    assert values[0] == pytest.approx(values[1], rel=1e-3)
    assert values[2] != pytest.approx(values[1], rel=1e-3)
    encoder = make_encoder(load_tokenizer(tokenizers[0]), CPU, "mean", "fp32", 0, 16)
    images = open_embedded("emoji", "train", 60)
    rows = cache_rows(replace(encoder, mirrored=True), images, tmp_path / "cache", "again")
    expected = load_tokenizer(tokenizers[0]).encode(to_float(images.pixels.flip(-1))).mean
    torch.testing.assert_close(rows.batch(np.arange(60)), expected, rtol=1e-3, atol=1e-3)
    mirrored = TensorRows(expected.detach())
    own = uniformity_repeats(latents_of(tokenizers[0], "train"), "pca", 50, 2, 0, mirrored)
    assert values[0] == pytest.approx(np.mean([one.gini for one in own]), rel=1e-3)


def test_the_headline_comes_first(tokenizers: list[str], tmp_path: Path) -> None:
    result = score(tokenizers[:1], tmp_path, scores=["attributes"], attributes={"headline": "macro"})
    assert next(iter(result.subjects[0].numbers)) == "f1_macro"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("attributes", {"weight_decay": 50.0}),
        ("attributes", {"threshold": 0.3}),
        ("gap", {"weight_decay": 5.0}),
        ("uniformity", {"samples": 30}),
        ("uniformity", {"repeats": 3}),
        ("discrimination", {"covariance": "full"}),
        ("discrimination", {"dimensions": 3}),
        ("discrimination", {"repeats": 2}),
    ],
)
def test_every_choice_of_a_protocol_arrives(
    kind: str, change: dict[str, Any], tokenizers: list[str], tmp_path: Path
) -> None:
    """Each alone changes the numbers of its score."""
    base = {"attributes": {"method": "ridge"}}.get(kind, FAST.get(kind, {}))
    plain, changed = (
        score(tokenizers[:1], tmp_path, scores=[kind], bootstrap=0, **{kind: base | more}).subjects[0]
        for more in ({}, change)
    )
    assert {name: number.value for name, number in plain.numbers.items()} != {
        name: number.value for name, number in changed.numbers.items()
    }


def test_several_tokenizers_and_known_gfids(tokenizers: list[str], tmp_path: Path) -> None:
    settings = {"scores": ["attributes"], "attributes": {"method": "ridge"}}
    result = score(tokenizers, tmp_path, [17.0, 11.0, 9.0, None], **settings)
    assert [subject.name for subject in result.subjects] == ["vae0", "vae1", "vae2", "vae3"]
    assert result.findings["correlations"]["f1_micro"]["n"] == 3
    assert result.findings["predictions"]["vae3"]["from"] == "f1_micro"
    assert (tmp_path / "scatter.png").is_file()
    difference = result.findings["differences"]["vae2"]["f1_micro"]
    first, third = (result.subjects[i].numbers["f1_micro"] for i in (0, 2))
    assert difference["value"] == pytest.approx(third.value - first.value)
    assert difference["interval"][0] <= difference["value"] <= difference["interval"][1]
    path = result.save(tmp_path)
    assert Result.load(path).model_dump_json() == result.model_dump_json()


def test_a_tokenizer_differs_from_its_copy_by_nothing_on_every_resample(
    tokenizers: list[str], tmp_path: Path
) -> None:
    """All tokenizers are scored on the same resamples of the test images, whatever their names."""
    copy = shutil.copytree(tokenizers[0], tmp_path / "copy")
    settings = {
        "scores": ["attributes", "gap"],
        "attributes": {"method": "ridge"},
        "gap": {"pools": ["mean"]},
    }
    result = score([tokenizers[0], str(copy)], tmp_path, **settings)
    differences = result.findings["differences"]["copy"]
    assert {"f1_macro", "f1_micro", "gap_mean"} <= differences.keys()
    for name, difference in differences.items():
        assert (difference["value"], difference["interval"]) == (0.0, (0.0, 0.0)), name


def test_posterior_samples_are_seeded(tokenizers: list[str], tmp_path: Path) -> None:
    settings = {"scores": ["attributes"], "attributes": {"method": "ridge"}, "latent": "sample"}
    runs = [
        score(tokenizers[:1], tmp_path / name, seed=seed, cache=cache, **settings).subjects
        for name, seed, cache in (("a", 0, True), ("b", 0, False), ("c", 1, True))
    ]
    for name, number in runs[0][0].numbers.items():
        assert runs[1][0].numbers[name].value == pytest.approx(number.value, abs=5e-3)
    assert runs[0] != runs[2]


def test_a_folder_with_a_csv_file(tokenizers: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    with (tmp_path / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "bright", "red"])
        for i in range(60):
            bright, red = rng.integers(0, 2, 2)
            colour = np.array([60 + 120 * bright + 70 * red, 60 + 120 * bright, 60 + 120 * bright])
            pixels = (colour + rng.normal(0, 8, (40, 50, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:03d}.png")
            writer.writerow([f"{i:03d}.png", bright, red])
    settings = {"data": f"table:{folder}", "attributes_file": str(tmp_path / "table.csv"), "size": 32}
    subject = score(tokenizers[:1], tmp_path, **{**settings, "scores": ["attributes", "gap"]}).subjects[0]
    assert subject.numbers["f1_macro"].value > 0.9  # even a random encoder keeps brightness and colour
    assert subject.details["no gap"].endswith("one class only")
    assert set(subject.details["f1"]) == {"bright", "red"}


SMALLER = ["spectrum", "structure", "velocity_floor", "equivariance", "robustness", "dimension"]


def test_scores_of_the_grid_and_the_decoder_are_wired(tokenizers: list[str], tmp_path: Path) -> None:
    """Each is that of the library, of the split that it says, by the tokenizer's own decoder."""
    result = score(tokenizers[:2], tmp_path, scores=SMALLER, seed=3, bootstrap=40)
    subject = result.subjects[1]
    numbers = subject.numbers
    z = {split: latents_of(tokenizers[1], split) for split in ("train", "test")}
    x = to_float(open_embedded("emoji", "test", 60).pixels)
    slope = spectrum(TensorRows(z["test"])).slopes(torch.ones(1, 60))
    assert numbers["spectrum_slope"].value == pytest.approx(slope.item(), abs=1e-3)
    pixels = spectrum(TensorRows(x)).slopes(torch.ones(1, 60))
    assert numbers["spectrum_slope_gap"].value == pytest.approx((slope - pixels).item(), abs=1e-3)
    lds = structure(TensorRows(z["test"]))["lds"]
    assert numbers["structure_lds"].value == pytest.approx(lds.mean().item(), abs=1e-3)
    flat = (z["train"] - z["train"].mean((0, 2, 3), keepdim=True)) / z["train"].std(
        (0, 2, 3), keepdim=True, correction=0
    )
    floors = [
        velocity_floor(flat.flatten(1).double(), seed=3, repeat=r).floor.mean().item() for r in range(4)
    ]
    assert numbers["velocity_floor"].value == pytest.approx(np.mean(floors), rel=1e-2)
    tokenizer = load_tokenizer(tokenizers[1])
    with torch.no_grad():
        turned = tokenizer.decode(z["test"].rot90(1, (2, 3))).clamp(-1, 1)
    error = (turned - x.rot90(1, (2, 3))).square().mean((1, 2, 3))
    assert numbers["equivariance_rotation"].value == pytest.approx(
        (10 * (4 / error).log10()).mean().item(), abs=0.02
    )
    harmed = robustness(TensorRows(z["test"]), lambda rows: torch.no_grad()(tokenizer.decode)(rows), seed=3)
    assert numbers["robustness"].value == pytest.approx(harmed.mean().item(), abs=0.02)
    assert subject.details["dimension"]["values"] == 4 * 8 * 8
    assert all(number.interval is not None for number in numbers.values())
    (paired,) = result.findings["differences"].values()
    assert paired.keys() == numbers.keys()
    floor = paired["velocity_floor"]  # of repeats with the same draws, so the interval is of their pairs
    apart = np.subtract(*(one.repeats["velocity_floor"] for one in reversed(result.subjects)))
    assert floor["value"] == pytest.approx(apart.mean())
    assert floor["interval"] == pytest.approx(mean_interval(apart.tolist()))


def test_ifid_is_judged_by_the_configured_network(tokenizers: list[str], tmp_path: Path) -> None:
    """Features of MobileNetV2 of the test images and of decoded interpolations, rounded to 8 bits."""
    ifid = {"features": "mobilenet-v2", "repeats": 2, "jackknife": 0}
    result = score(tokenizers[:1], tmp_path, scores=["ifid"], ifid=ifid, seed=5)
    numbers = result.subjects[0].numbers
    assert list(numbers) == ["ifd-mobilenet-v2", "ikd-mobilenet-v2"]
    tokenizer, network = load_tokenizer(tokenizers[0]), load_network("mobilenet-v2", CPU)
    z = {split: TensorRows(latents_of(tokenizers[0], split)) for split in ("train", "test")}
    places = np.arange(60)
    near = nearest(z["test"], places, z["train"], 10)
    known = gaussian_of(network.rows(open_embedded("emoji", "test", 60).pixels).pool)
    distances = []
    for repeat in range(2):
        latents = interpolated(
            z["test"], places, z["train"], near, lambda i, r=repeat: stream(5, 60 * r + i, "iFID neighbour")
        )
        with torch.no_grad():
            decoded = to_uint8(torch.cat([tokenizer.decode(part) for part in latents]))
        distances.append(frechet_distance(*gaussian_of(network.rows(decoded).pool), *known))
    assert numbers["ifd-mobilenet-v2"].value == pytest.approx(np.mean(distances), rel=0.02)
    assert numbers["ifd-mobilenet-v2"].interval is None  # none was asked for
    assert "differences" not in result.findings


def test_interpolations_of_two_tokenizers_have_paired_differences(
    tokenizers: list[str], tmp_path: Path
) -> None:
    ifid = {"features": "mobilenet-v2", "samples": 24, "jackknife": 3}
    result = score(tokenizers[:2], tmp_path, scores=["ifid"], ifid=ifid)
    first, second = result.subjects
    for name in ("ifd-mobilenet-v2", "ikd-mobilenet-v2"):
        interval = first.numbers[name].interval
        assert interval == pytest.approx(jackknife_interval(first.numbers[name].value, first.without[name]))
        method = "jackknife over 3 parts of the test images, by their groups"
        difference = result.findings["differences"]["vae1"][name]
        assert first.numbers[name].method == difference["method"] == method
        assert difference["value"] == second.numbers[name].value - first.numbers[name].value
        without = np.subtract(second.without[name], first.without[name]).tolist()
        assert difference["interval"] == pytest.approx(jackknife_interval(difference["value"], without))
    none = score(tokenizers[:1], tmp_path, scores=["ifid"], ifid=ifid, bootstrap=0).subjects[0]
    assert all(number.interval is None for number in none.numbers.values())


def test_a_judge_that_is_not_here_is_missed_at_once(tokenizers: list[str], tmp_path: Path) -> None:
    """Inception's weights are in no package; nothing is encoded before that is said."""
    with pytest.raises(UserError, match="inception"):
        score(tokenizers[:1], tmp_path, scores=["ifid"], ifid={"features": "inception"})
    assert not (tmp_path / "cache").exists()


def test_without_a_decoder_the_others_are_scored() -> None:
    z = {split: torch.randn(60, 4, 8, 8) for split in ("train", "val", "test")}
    z["train"][:30] += 5.0  # two clusters, whose velocities are ambiguous longer
    encoded = Encoded("mine", {split: TensorRows(rows) for split, rows in z.items()}, "digest")
    config = validate(LatentsConfig, {**FAST, "scores": SMALLER})
    result = measure_latents([encoded], config.data, config, CPU)
    assert result is not None
    (subject,) = result.subjects
    assert subject.details["no equivariance"] == "no decoder is at hand"
    assert subject.details["no robustness"] == "no decoder is at hand"
    assert {"spectrum_high", "structure_rmsc"} <= subject.numbers.keys()
    floors = {}
    for split, rows in z.items():
        std, mean = torch.std_mean(rows.double(), (0, 2, 3), keepdim=True, correction=0)
        found = [velocity_floor(((rows - mean) / std).flatten(1), repeat=repeat) for repeat in range(4)]
        floors[split] = np.mean([one.floor.mean() for one in found])
    assert subject.numbers["velocity_floor"].value == pytest.approx(floors["train"], rel=1e-4)
    assert abs(floors["test"] - floors["train"]) > 1e-3


def test_a_toy_score_is_one_row(
    tokenizers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows in the JSON, the printed table and the page, with its label and direction."""

    def largest(evidence: Evidence) -> Found:
        values = evidence.rows["test"].batch(np.arange(60)).flatten(1).amax(1).double()
        resampled = evidence.bootstrap.scores(60, {"largest": lambda w: (w.double() @ values) / w.sum(1)})
        return Found({"largest": Measured(float(values.mean()), resampled["largest"])}, {"of": "test"})

    row = Score(
        largest, {"largest": quantity("Largest", True, "largest value of a latent", 4)}, "none", "here"
    )
    monkeypatch.setitem(SCORES, "largest", row)
    result = score(tokenizers[:1], tmp_path, scores=["largest"])
    result.save(tmp_path)
    number = Result.load(tmp_path / "results.json").subjects[0].numbers["largest"]
    expected = latents_of(tokenizers[0], "test").flatten(1).amax(1).mean().item()
    assert number.value == pytest.approx(expected, abs=1e-3)
    assert number.interval is not None
    console = Console(file=io.StringIO(), width=160)
    print_result(result, console)
    page = write_report(tmp_path).read_text()
    for text in (console.file.getvalue(), page):  # type: ignore[attr-defined]
        assert "Largest ↑" in text
        assert f"{number.value:.4f}" in text
    with pytest.raises(UserError, match=r"unknown score 'largst'(?s:.*)did you mean 'largest'"):
        score(tokenizers[:1], tmp_path, scores=["largst"])


def test_what_cannot_be_computed_says_why(
    tokenizers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"headline is none of(?s:.*)2, 3"):
        score(tokenizers[:1], tmp_path, discrimination={**FAST["discrimination"], "headline": 5})
    components = {**FAST["discrimination"], "components": [500], "headline": 500}
    with pytest.raises(
        UserError, match=r"'discrimination' cannot be computed for vae0(?s:.*)too few for 500"
    ):
        score(tokenizers[:1], tmp_path, scores=["discrimination"], discrimination=components)
    images = {split: open_embedded("emoji", split, 3) for split in ("train", "val")}
    with pytest.raises(UserError, match=r"no split 'test'(?s:.*)train, val(?s:.*)--test-fraction"):
        described(images)
    with pytest.raises(UserError, match="1 for 2 tokenizers"):
        score(tokenizers[:2], tmp_path, [3.0], scores=["gap"])
    monkeypatch.setattr(memory, "FULL_BATCH_BYTES", 1000)
    with pytest.raises(UserError, match=r"in memory(?s:.*)attributes.method=ridge"):
        score(tokenizers[:1], tmp_path, scores=["attributes"])


def test_latents_of_nan_are_noticed(tokenizers: list[str], tmp_path: Path) -> None:
    model = load_tokenizer(tokenizers[0])
    with torch.no_grad():
        model.encoder.conv_out.bias.fill_(torch.nan)  # type: ignore[union-attr]
    save_tokenizer(model, tmp_path / "nan")
    with pytest.warns(UserWarning, match="NaN"), pytest.raises(UserError, match="contain NaN"):
        score([str(tmp_path / "nan")], tmp_path, scores=["uniformity"])


def test_names() -> None:
    assert unique_names(["a/x", "b/y/", "z"]) == ["x", "y", "z"]
    assert unique_names(["a/x", "b/x", "y"]) == ["a", "b", "y"]
    assert unique_names(["runs/plain/vae", "runs/send-vae/vae/", "demo"]) == ["plain", "send-vae", "demo"]
    assert unique_names(["1/plain/vae", "2/plain/vae"]) == ["1", "2"]
    assert unique_names(["x", "x"]) == ["x", "x"]
    assert unique_names(["only/x"]) == ["x"]
