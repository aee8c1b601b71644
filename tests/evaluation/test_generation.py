from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from tests.evaluation.small import pictures, save_npz, small_network
from torch import Tensor

from sendvae.config import GenerationConfig, validate
from sendvae.config.schema_evaluate import IntervalConfig
from sendvae.errors import UserError
from sendvae.evaluation import measure_generation
from sendvae.evaluation.networks import FeatureNetwork, load_network
from sendvae.evaluation.results import Result
from sendvae.runs import list_caches

CPU = torch.device("cpu")
CONFIG = GenerationConfig(batch_size=16, score_chunk=20, intervals=IntervalConfig(bootstrap=200, jackknife=5))


def config(**changes: object) -> GenerationConfig:
    return validate(GenerationConfig, {**CONFIG.model_dump(), **changes})


def features(network: FeatureNetwork, images: np.ndarray) -> tuple[Tensor, ...]:
    return tuple(network.rows(torch.from_numpy(images).permute(0, 3, 1, 2)))  # type: ignore[arg-type]


def frechet(a: Tensor, b: Tensor) -> float:
    """By the definition, with scipy's matrix root."""
    x, y = a.double().numpy(), b.double().numpy()
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.real(np.trace(sqrtm(first @ second)))
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * root)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    return (
        save_npz(tmp_path / "samples.npz", pictures(50, seed=1)),
        save_npz(tmp_path / "reference.npz", pictures(60, seed=2)),
    )


def score(
    files: tuple[str, str], cache: Path, configuration: GenerationConfig = CONFIG, name: str = "inception"
) -> Result:
    result = measure_generation(*files, configuration, CPU, cache=cache, network=small_network(name))
    assert result is not None
    return result


def test_numbers_by_their_definitions(files: tuple[str, str], tmp_path: Path) -> None:
    from torch_fidelity.metric_prc import prc_features_to_metric

    network = small_network()
    numbers = score(files, tmp_path).subjects[0].numbers
    fake, real = features(network, pictures(50, seed=1)), features(network, pictures(60, seed=2))
    assert numbers["fid"].value == pytest.approx(frechet(real[0], fake[0]), rel=1e-6)
    assert numbers["sfid"].value == pytest.approx(frechet(real[1], fake[1]), rel=1e-6)
    theirs = prc_features_to_metric(fake[0], real[0], prc_neighborhood=3, verbose=False)
    assert numbers["precision"].value == pytest.approx(theirs["precision"])
    assert numbers["recall"].value == pytest.approx(theirs["recall"])
    p = fake[2].double().softmax(1).numpy()  # ADM's chunks of 20, 20 and 10, each counting as much
    chunks = [p[:20], p[20:40], p[40:]]
    scores = [np.exp((c * np.log(c / c.mean(0))).sum(1).mean()) for c in chunks]
    assert numbers["is"].value == pytest.approx(np.mean(scores))
    for number in numbers.values():
        assert number.interval is not None
        assert number.method is not None
        low, high = number.interval
        assert low <= number.value <= high


def test_stored_statistics_win_and_precision_uses_the_images_beside_them(tmp_path: Path) -> None:
    network = small_network()
    whole, shown = pictures(300, seed=5), pictures(40, seed=2)
    pool, spatial, _ = features(network, whole)
    statistics = {}
    for (mu, sigma), rows in (
        (("mu", "sigma"), pool),
        (("mu_s", "sigma_s"), spatial),
    ):
        x = rows.double().numpy()
        statistics |= {mu: x.mean(0), sigma: np.cov(x, rowvar=False)}
    samples = save_npz(tmp_path / "s.npz", pictures(50, seed=1))
    reference = save_npz(tmp_path / "r.npz", shown, **statistics)
    numbers = score((samples, reference), tmp_path).subjects[0].numbers
    fake = features(network, pictures(50, seed=1))
    assert numbers["fid"].value == pytest.approx(frechet(pool, fake[0]), rel=1e-6)
    assert numbers["sfid"].value == pytest.approx(frechet(spatial, fake[1]), rel=1e-6)
    images_only = save_npz(tmp_path / "i.npz", shown)
    expected = score((samples, images_only), tmp_path).subjects[0].numbers
    assert numbers["precision"] == expected["precision"]
    assert numbers["recall"] == expected["recall"]
    np.savez(tmp_path / "bare.npz", **statistics)
    bare = score((samples, str(tmp_path / "bare.npz")), tmp_path).subjects[0]
    assert bare.numbers["fid"] == numbers["fid"]
    assert "precision" not in bare.numbers
    assert "no precision" in bare.details


def test_every_kind_of_source_gives_the_same_numbers(tmp_path: Path) -> None:
    from PIL import Image

    from sendvae.data.prepare import Preparation, Recipe
    from sendvae.data.sources import Columns

    images = pictures(24, seed=7)
    folder = tmp_path / "folder"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:03d}.png")
    prepared = tmp_path / "prepared"
    job = Preparation(str(folder), prepared, Recipe(16, "png", 10, 0.0), Columns(), None)
    job.run(lambda _: None, 1)
    sources = [save_npz(tmp_path / "s.npz", images), str(folder), str(prepared)]
    reference = save_npz(tmp_path / "r.npz", pictures(30, seed=2))
    first, *others = [score((source, reference), tmp_path).subjects[0].numbers for source in sources]
    assert others == [first, first]
    as_reference = [score((reference, source), tmp_path).subjects[0].numbers for source in sources]
    assert as_reference[1:] == as_reference[:-1]


def test_references_are_measured_once(files: tuple[str, str], tmp_path: Path) -> None:
    network = small_network()

    def seen(configuration: GenerationConfig = CONFIG) -> int:
        before = network.module.seen  # type: ignore[attr-defined]
        measure_generation(*files, configuration, CPU, cache=tmp_path / "cache", network=network)
        return int(network.module.seen) - before  # type: ignore[attr-defined,arg-type]

    first = score(files, tmp_path / "cache")
    assert seen() == 50  # the samples only
    assert score(files, tmp_path / "cache").subjects == first.subjects
    assert seen(config(precision_recall_reference=10)) == 110  # other images for precision: measured again
    save_npz(Path(files[1]), pictures(60, seed=9))
    assert seen() == 110  # the same name, other content
    for file in (tmp_path / "cache").glob("*/*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    assert seen() == 110  # a damaged cache is no cache


def test_another_crop_of_a_reference_is_another_reference(tmp_path: Path) -> None:
    folder = tmp_path / "reference"
    folder.mkdir()
    for i, image in enumerate(pictures(20, seed=2, size=24)):
        Image.fromarray(image).save(folder / f"{i}.png")
    network = small_network()
    found = {}
    for size in (8, 16):
        samples = save_npz(tmp_path / f"{size}.npz", pictures(12, seed=1, size=size))
        for cache in ("shared", f"alone-{size}"):
            result = measure_generation(
                samples, str(folder), CONFIG, CPU, cache=tmp_path / cache, network=network
            )
            assert result is not None
            found[size, cache] = result
        assert found[size, "shared"].subjects == found[size, f"alone-{size}"].subjects
    assert found[8, "shared"].inputs != found[16, "shared"].inputs
    assert len(list_caches(tmp_path / "shared")) == 2


def test_batches_do_not_matter_and_order_of_the_bootstrap_is_seeded(
    files: tuple[str, str], tmp_path: Path
) -> None:
    first, second = (score(files, tmp_path / str(b), config(batch_size=b)) for b in (7, 50))
    assert first.protocol == second.protocol
    for name, number in first.subjects[0].numbers.items():
        assert second.subjects[0].numbers[name].value == pytest.approx(number.value, rel=1e-6)


def test_another_network_never_gives_a_fid(files: tuple[str, str], tmp_path: Path) -> None:
    numbers = score(files, tmp_path, name="mobilenet-v2").subjects[0].numbers
    assert "fd-mobilenet-v2" in numbers
    assert not {"fid", "is", "precision"} & numbers.keys()


def test_precision_and_recall_see_a_spread_of_the_reference(files: tuple[str, str], tmp_path: Path) -> None:
    subject = score(files, tmp_path, config(precision_recall_reference=20)).subjects[0]
    assert subject.details["images for precision and recall"] == 20
    picked = np.linspace(0, 59, 20).round().astype(int)
    reference = save_npz(tmp_path / "picked.npz", pictures(60, seed=2)[picked])
    expected = score((files[0], reference), tmp_path).subjects[0].numbers
    assert subject.numbers["recall"] == expected["recall"]


def test_a_limit_takes_the_first_images_of_the_reference(files: tuple[str, str], tmp_path: Path) -> None:
    limited = score(files, tmp_path, config(reference_limit=33))
    first = save_npz(tmp_path / "first.npz", pictures(60, seed=2)[:33])
    expected = score((files[0], first), tmp_path)
    assert limited.subjects[0].numbers == expected.subjects[0].numbers
    assert limited.inputs["reference"].images == 33
    folder = tmp_path / "folder"
    folder.mkdir()
    for i, image in enumerate(pictures(60, seed=2)):
        Image.fromarray(image).save(folder / f"{i:03d}.png")
    of_folder = score((files[0], str(folder)), tmp_path, config(reference_limit=33))
    assert of_folder.subjects[0].numbers == expected.subjects[0].numbers
    stored = save_npz(tmp_path / "stored.npz", pictures(60, seed=2), mu=np.zeros(6), sigma=np.eye(6))
    with pytest.raises(UserError, match="statistics of a file are of all its images"):
        score((files[0], stored), tmp_path, config(reference_limit=33))


def test_sets_that_cannot_be_compared(tmp_path: Path) -> None:
    good = save_npz(tmp_path / "good.npz", pictures(10))
    few = save_npz(tmp_path / "few.npz", pictures(3))
    with pytest.raises(UserError, match=r"samples: too few images for neighbours=3(?s:.*)3 in"):
        score((few, good), tmp_path)
    with pytest.raises(UserError, match="reference: too few images"):
        score((good, few), tmp_path)
    np.savez(tmp_path / "nothing.npz", x=np.zeros(3))
    with pytest.raises(UserError, match=r"holds nothing to compare with(?s:.*)x"):
        score((good, str(tmp_path / "nothing.npz")), tmp_path)
    np.savez(tmp_path / "adm.npz", mu=np.zeros(2048), sigma=np.eye(2048, dtype=np.float32))
    with pytest.raises(UserError, match="of Inception: use features=inception"):
        score((good, str(tmp_path / "adm.npz")), tmp_path, config(features="mobilenet-v2"), "mobilenet-v2")
    with pytest.raises(UserError, match="fid cannot be computed"):
        score((good, str(tmp_path / "adm.npz")), tmp_path)


def test_features_that_are_not_finite_name_the_image(files: tuple[str, str]) -> None:
    network = small_network()

    def broken(images: Tensor) -> object:
        rows = network.rows(images)
        rows.pool[1] = torch.nan
        return rows

    bad = FeatureNetwork("inception", network.module, broken)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"NaN or infinite(?s:.*)image 1\n"):
        measure_generation(*files, CONFIG, CPU, network=bad)


def test_missing_weights_offer_the_embedded_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match="--features mobilenet-v2"):
        load_network("inception", CPU)
    with pytest.raises(UserError, match="did you mean 'inception'"):
        load_network("incepton", CPU)


def test_a_distance_of_too_few_images_is_said_to_be_biased(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dimension = features(small_network(), pictures(2, seed=1))[0].shape[1]
    reference = save_npz(tmp_path / "reference.npz", pictures(30, seed=2))
    for count, warned in ((2 * dimension - 1, True), (2 * dimension, False)):
        samples = save_npz(tmp_path / f"{count}.npz", pictures(count, seed=1))
        score((samples, reference), tmp_path, config(metrics=["fd"]))
        said = capsys.readouterr().err
        assert ("is biased upwards" in said) == warned, (count, dimension)
        assert (f"{count:,} images in {dimension:,} dimensions" in said) == warned
