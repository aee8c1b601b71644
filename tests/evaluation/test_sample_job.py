"""Samples on disk: whole files, a record, and a folder from which a killed command goes on."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.evaluation.samplable import CLASSES, NAMES, save_run, small_sit, small_tokenizer, tiny_sit

from sendvae.config import SampleConfig, validate
from sendvae.data import open_embedded, open_images
from sendvae.diffusion import load_generator
from sendvae.errors import MachineError, UserError
from sendvae.evaluation import generate
from sendvae.evaluation import sample_job as job
from sendvae.evaluation.diffusion_model import DiffusionModel, is_diffusion_run, load_model
from sendvae.evaluation.labels import choose_labels
from sendvae.evaluation.results import Input
from sendvae.evaluation.sample_files import ArrayBlocks, PngBlocks
from sendvae.evaluation.sample_grid import BORDER, TITLE, write_grid
from sendvae.evaluation.sample_job import samples_of_run, write_samples
from sendvae.evaluation.sample_record import load_record, sampling_of
from sendvae.nn import LatentNorm
from sendvae.runs import Classes, Lock, save_checkpoint
from sendvae.tokenizers import load_tokenizer, save_tokenizer

CPU = torch.device("cpu")


def config(**values: Any) -> SampleConfig:
    base = {"images": 11, "batch_size": 4, "steps": 3, "guidance_scale": 2.0, "labels": "balanced", "seed": 5}
    return validate(SampleConfig, base | values)


@pytest.fixture
def model() -> DiffusionModel:
    origin: dict[str, str | int] = {"run": "here", "sit_digest": "a", "tokenizer": "there"}
    return DiffusionModel("small", small_sit(), small_tokenizer(), Classes(CLASSES), origin)


def expected(model: DiffusionModel, settings: SampleConfig) -> tuple[np.ndarray, list[int]]:
    labels = choose_labels(settings, model.classes, settings.seed).values
    images = torch.cat(list(generate(model.generator, model.tokenizer, labels, settings, settings.seed)))
    return images.permute(0, 2, 3, 1).numpy(), labels.tolist()


class Killed(BaseException):
    pass


def kill_after(count: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ends the process's work, as a signal does, when so many batches are drawn; returns sizes of those drawn."""
    draw, drawn = job.draw_images, []

    def counted(*arguments: Any) -> torch.Tensor:
        if len(drawn) == count:
            raise Killed
        drawn.append(len(arguments[2]))
        return draw(*arguments)

    monkeypatch.setattr(job, "draw_images", counted)
    return drawn


def test_an_npz_holds_images_labels_and_a_record(model: DiffusionModel, tmp_path: Path) -> None:
    target = tmp_path / "new/samples.npz"
    assert write_samples(model, config(), target, CPU)
    pixels, labels = expected(model, config())
    with np.load(target) as found:
        assert found.files == ["arr_0", "arr_1"]
        assert found["arr_0"].dtype == np.uint8
        assert np.array_equal(found["arr_0"], pixels)
        assert found["arr_1"].tolist() == labels
    first = open_images(str(target)).batch([2, 3]).images
    assert np.array_equal(first.permute(0, 2, 3, 1).numpy(), pixels[2:4])
    assert sorted(path.name for path in target.parent.iterdir()) == ["samples.json", "samples.npz"]
    record = load_record(target.with_suffix(".json"))
    assert record is not None
    assert record.digest == "sha256:" + hashlib.sha256(target.read_bytes()).hexdigest()
    content = record.content
    assert (
        content | {"labels": "balanced", "seed": 5, "steps": 3, "guidance_scale": 2.0, "images": 11}
        == content
    )
    assert {"run", "sit_digest", "tokenizer", "method", "guidance_interval", "guided_channels", "precision",
            "rounding", "labels_digest", "size"} <= content.keys()  # fmt: skip
    assert record.environment["torch"] == torch.__version__


def test_a_folder_of_pictures(model: DiffusionModel, tmp_path: Path) -> None:
    target = tmp_path / "pictures"
    target.mkdir()  # an empty one is as good as none
    assert write_samples(model, config(), target, CPU)
    pixels, labels = expected(model, config())
    assert sorted(path.name for path in target.iterdir()) == [
        *(f"{i:06d}.png" for i in range(11)), "labels.txt", "samples.json",
    ]  # fmt: skip
    for i in (0, 10):
        with Image.open(target / f"{i:06d}.png") as picture:
            assert np.array_equal(np.asarray(picture), pixels[i])
    assert (target / "labels.txt").read_text().split() == [str(label) for label in labels]
    again = choose_labels(config(labels=str(target / "labels.txt")), model.classes, 9)
    assert again.values.tolist() == labels
    assert len(open_images(str(target))) == 11


@pytest.mark.parametrize("name", ["samples.npz", "pictures"])
def test_killed_work_goes_on_and_ends_the_same(
    name: str, model: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_samples(model, config(), tmp_path / "whole" / name, CPU)
    target = tmp_path / "broken" / name
    with monkeypatch.context() as patch:
        kill_after(2, patch)
        with pytest.raises(Killed):
            write_samples(model, config(), target, CPU)
    assert not target.exists()
    leftover = target.with_name(f"{name}.part") / ".block-0000008.npy.0badcafe.part"
    leftover.write_bytes(b"half")
    drawn = kill_after(99, monkeypatch)
    assert write_samples(model, config(), target, CPU)
    assert drawn == [3]  # of 4 + 4 + 3 images
    assert not target.with_name(f"{name}.part").exists()
    assert not list(target.parent.rglob(".*"))
    digests = [
        open_images(str(place / name)).fingerprint for place in (tmp_path / "whole", tmp_path / "broken")
    ]
    assert digests[0] == digests[1]


def test_finished_samples_are_left_alone(
    model: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "samples.npz"
    write_samples(model, config(), target, CPU)
    before = target.stat().st_mtime_ns
    drawn = kill_after(0, monkeypatch)
    assert not write_samples(model, config(), target, CPU)
    assert (drawn, target.stat().st_mtime_ns) == ([], before)


def test_other_samples_are_refused_by_the_fields_that_differ(
    model: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("samples.npz", "pictures"):
        write_samples(model, config(), tmp_path / name, CPU)
        with pytest.raises(UserError, match=r"guidance_scale: 2.0 \| 3.0(?s:.*)--force") as error:
            write_samples(model, config(guidance_scale=3.0, steps=2), tmp_path / name, CPU)
        assert "steps: 3 | 2" in str(error.value)
        assert "seed" not in str(error.value)
        assert write_samples(model, config(guidance_scale=3.0), tmp_path / name, CPU, force=True)
    pixels, _ = expected(model, config(guidance_scale=3.0))
    assert np.array_equal(np.load(tmp_path / "samples.npz")["arr_0"], pixels)
    with monkeypatch.context() as patch:
        kill_after(1, patch)
        with pytest.raises(Killed):
            write_samples(model, config(), tmp_path / "other.npz", CPU)
    with pytest.raises(UserError, match=r"other.npz.part(?s:.*)batch_size: 4 \| 5"):
        write_samples(model, config(batch_size=5), tmp_path / "other.npz", CPU)
    assert write_samples(model, config(batch_size=5), tmp_path / "other.npz", CPU, force=True)


def test_weights_decide_not_where_they_lay(model: DiffusionModel, tmp_path: Path) -> None:
    target = tmp_path / "samples.npz"
    write_samples(model, config(), target, CPU)
    moved = DiffusionModel(
        "moved", model.generator, model.tokenizer, model.classes, model.origin | {"run": "elsewhere"}
    )
    assert not write_samples(moved, config(), target, CPU)
    trained = DiffusionModel(
        "on", model.generator, model.tokenizer, model.classes, model.origin | {"sit_digest": "b"}
    )
    with pytest.raises(UserError, match=r"sit_digest: a \| b"):
        write_samples(trained, config(), target, CPU)


def test_nothing_of_others_is_touched(model: DiffusionModel, tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(b"mine")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/me.png").write_bytes(b"mine")
    (tmp_path / "new.npz.part").mkdir()
    (tmp_path / "new.npz.part/mine").write_bytes(b"mine")
    (tmp_path / "results.json").write_text("{}")
    (tmp_path / "results.npz").write_bytes(b"mine")
    for name in ("mine.npz", "photos", "new.npz", "results.npz"):
        with pytest.raises(UserError, match=r"none of sendvae sample's|something else|no record"):
            write_samples(model, config(), tmp_path / name, CPU, force=True)
    assert [path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [
        b"mine", b"mine", b"mine", b"{}", b"mine",
    ]  # fmt: skip


def test_where_nothing_can_be_written_is_said_before_anything_is_drawn(
    model: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="nothing can be written into") as below:
        write_samples(model, config(), tmp_path / "file" / "samples.npz", CPU)
    assert below.value.exit_code == 2

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(MachineError, match="Read-only file system"):
        write_samples(model, config(), tmp_path / "samples.npz", CPU)


def test_one_command_at_a_time(model: DiffusionModel, tmp_path: Path) -> None:
    lock = Lock(tmp_path / "samples.npz.part")
    assert lock.take()
    with pytest.raises(UserError, match="another process is sampling"):
        write_samples(model, config(), tmp_path / "samples.npz", CPU)
    lock.release()
    assert write_samples(model, config(), tmp_path / "samples.npz", CPU)


@pytest.mark.parametrize("name", ["samples.npz", "samples"])
def test_what_another_command_finished_meanwhile_is_left_alone(
    name: str, model: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Lock.take

    def late(lock: Lock) -> bool:
        monkeypatch.setattr(Lock, "take", take)
        assert write_samples(model, config(), tmp_path / name, CPU)
        return take(lock)

    monkeypatch.setattr(Lock, "take", late)
    assert not write_samples(model, config(), tmp_path / name, CPU)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {name} | ({"samples.json"} if name.endswith(".npz") else set())


def test_blocks_that_are_not_whole_are_missing(tmp_path: Path) -> None:
    images = torch.arange(4 * 3 * 2 * 2, dtype=torch.uint8).view(4, 3, 2, 2)
    arrays, pictures = ArrayBlocks(tmp_path, 10, 4), PngBlocks(tmp_path, 10, 4)
    assert arrays.missing() == pictures.missing() == [range(4), range(4, 8), range(8, 10)]
    arrays.save(range(4, 8), images)
    pictures.save(range(4, 8), images)
    assert arrays.missing() == pictures.missing() == [range(4), range(8, 10)]
    (tmp_path / "000005.png").unlink()
    assert range(4, 8) in pictures.missing()


@pytest.mark.parametrize("name", ["samples.npz", "pictures"])
def test_a_record_is_held_against_the_samples(name: str, model: DiffusionModel, tmp_path: Path) -> None:
    target = tmp_path / name
    write_samples(model, config(), target, CPU)
    given = Input(source=str(target), images=11, digest=open_images(str(target)).fingerprint)
    rule, content = sampling_of(given, None)
    assert (rule, content["steps"]) == ("balanced", 3)
    first = open_images(str(target), limit=5)
    some = Input(source=str(target), images=len(first), digest=first.fingerprint)
    assert sampling_of(some, "balanced") == (rule, content)
    with pytest.raises(UserError, match="about other images"):
        sampling_of(given.model_copy(update={"digest": "sha256:0"}), None)
    with pytest.raises(UserError, match=r"labels=random(?s:.*)balanced"):
        sampling_of(given, "random")
    assert sampling_of(Input(source=str(tmp_path / "other.npz"), digest="x"), "random") == ("random", {})
    for name in ("table.tar", "table.npz", "table.json"):  # no record, whatever stands in the last
        (tmp_path / name).write_text("{}")
    for name in ("table.tar", "table.npz"):
        assert sampling_of(Input(source=str(tmp_path / name), digest="x"), None) == (None, {})


def test_a_grid_of_two_models(tmp_path: Path) -> None:
    models = [
        DiffusionModel(name, small_sit(seed), small_tokenizer(), Classes(CLASSES), {"sit_digest": name})
        for seed, name in enumerate(("first", "second"))
    ]
    settings = config(images=6, labels="1,3")
    assert write_grid(models, settings, 2, tmp_path / "grid.png", CPU)
    assert not write_grid(models, settings, 2, tmp_path / "grid.png", CPU)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grid.json", "grid.png"]
    with Image.open(tmp_path / "grid.png") as picture:
        sheet = np.asarray(picture)
    step = 8 + BORDER
    left = 3 * step - BORDER + 16
    for panel, model in enumerate(models):
        pixels, labels = expected(model, settings)
        assert labels == [1, 3, 1, 3, 1, 3]
        for i in range(6):
            top, side = TITLE + i // 3 * step, panel * left + i % 3 * step
            assert np.array_equal(sheet[top : top + 8, side : side + 8], pixels[i])
    with pytest.raises(UserError, match=r"rows: 2 \| 3"):
        write_grid(models, settings, 3, tmp_path / "grid.png", CPU)
    other = DiffusionModel("third", small_sit(), small_tokenizer(), Classes(4), {})
    with pytest.raises(UserError, match="different classes"):
        write_grid([models[0], other], settings, 2, tmp_path / "x.png", CPU)


def test_a_run_gives_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = small_tokenizer()
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    exported = save_run(tmp_path / "run", tmp_path / "tokenizer")
    found = load_model(str(tmp_path / "run"))
    assert found.classes.names == NAMES
    assert found.origin | {"checkpoint": "last", "weights": "ema"} == found.origin
    assert (found.latent_shape, found.pixels, found.name) == ((4, 4, 4), 8, "run")
    assert same(found.generator, exported)
    assert same(found.tokenizer, tokenizer)
    step = str(tmp_path / "run/checkpoints/step-000000007")
    for model, weights in (
        (load_model(str(tmp_path / "run"), step=7), tiny_sit(1)),
        (load_model(step), tiny_sit(1)),
        (load_model(str(tmp_path / "run"), step=7, raw=True), tiny_sit(2)),
        (load_model(str(tmp_path / "run"), raw=True), tiny_sit(2)),
    ):
        assert same(model.generator, weights)
        assert model.origin["checkpoint"] == "7"
    assert len({load_model(step, raw=raw).origin["sit_digest"] for raw in (False, True)}) == 2
    assert is_diffusion_run(str(tmp_path / "run"))
    assert not is_diffusion_run(str(tmp_path / "tokenizer"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/sit").rename(tmp_path / "sit")
    (tmp_path / "run/classes.json").unlink()
    with pytest.raises(UserError, match=r"not finished(?s:.*)--checkpoint 7"):
        load_model("run")
    assert load_model("run", step=7).classes == Classes(CLASSES)
    with pytest.raises(UserError, match=r"no such checkpoint(?s:.*)one of 7"):
        load_model("run", step=8)
    with pytest.raises(UserError, match="which tokenizer"):
        load_model("sit")
    alone = load_model("sit", "tokenizer")
    assert same(alone.generator, exported)
    with pytest.raises(UserError, match="belong to a run"):
        load_model("sit", "tokenizer", raw=True)


def test_a_model_that_goes_by_name_brings_its_tokenizer_and_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = load_model("demo-sit-send")
    assert same(model.tokenizer, load_tokenizer("demo-send-vae"))
    assert same(model.generator, load_generator("demo-sit-send"))
    assert model.classes.names == open_embedded("emoji", "train").class_names
    assert sum(model.classes.images or ()) == len(open_embedded("emoji", "train"))
    assert (model.name, model.pixels, model.origin["run"]) == ("demo-sit-send", 64, "demo-sit-send")
    assert same(load_model("demo-sit-send", "demo-plain").tokenizer, load_tokenizer("demo-plain"))
    assert is_diffusion_run("demo-sit-send")
    with pytest.raises(
        UserError, match=r"--checkpoint and --raw-weights belong to a run(?s:.*)demo-sit-send"
    ):
        load_model("demo-sit-send", step=3)
    target = samples_of_run("demo-sit-send", config(images=3, labels="random"), CPU)
    assert target.parent == Path("runs/demo-sit-send")  # not where the package lies
    assert np.load(target)["arr_0"].shape == (3, 64, 64, 3)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_mistakes_about_models_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bare = small_tokenizer()
    bare.latent_stats = None
    save_tokenizer(bare, tmp_path / "bare")
    save_run(tmp_path / "run", Path("gone/tokenizer"))
    with pytest.raises(UserError, match="no such run"):
        load_model("absent")
    with pytest.raises(
        UserError, match=r"tokenizer of run cannot be loaded(?s:.*)gone/tokenizer(?s:.*)--tokenizer"
    ):
        load_model("run")
    with pytest.raises(UserError, match="no latent statistics"):
        load_model("run", "bare")
    with pytest.raises(UserError, match=r"does not fit(?s:.*)16 channels(?s:.*)4 channels"):
        load_model("run", "demo-f8d16")
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae/config.yaml").write_text("kind: tokenizer\n")
    with pytest.raises(UserError, match=r"no run to draw images from(?s:.*)tokenizer=vae"):
        load_model("vae")


def test_a_joint_run_brings_tokenizer_and_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """REPA-E's SiT carries the statistics of its latents; an older checkpoint has its own tokenizer and its own."""
    monkeypatch.setattr("sendvae.tokenizers.infer.NORM_GROUPS", 4)
    tokenizer, kept = small_tokenizer(), small_tokenizer(3)
    run = tmp_path / "joint"
    save_run(run, tmp_path / "unused", kind="joint")
    save_tokenizer(tokenizer, run / "tokenizer")
    norms = {name: LatentNorm(4) for name in ("ema", "raw")}
    norms["ema"].initialise(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([2.0, 3.0, 4.0, 5.0]))
    norms["raw"].initialise(torch.tensor([5.0, 6.0, 7.0, 8.0]), torch.tensor([6.0, 7.0, 8.0, 9.0]))
    sits = {"ema": tiny_sit(8), "raw": tiny_sit(9)}
    averaged = {f"sit.{k}": v for k, v in sits["ema"].state_dict().items()}
    averaged |= {f"latent_norm.{k}": v for k, v in norms["ema"].state_dict().items()}
    groups = {
        "ema": averaged,
        "sit": sits["raw"].state_dict(),
        "latent_norm": norms["raw"].state_dict(),
        "tokenizer": kept.state_dict(),
    }
    save_checkpoint(run / "checkpoints", 9, 90, groups, {})
    last = load_model(str(run))
    assert same(last.tokenizer, tokenizer)
    for name in ("ema", "raw"):
        found = load_model(str(run), step=9, raw=name == "raw")
        assert same(found.generator, sits[name])
        assert same(found.tokenizer, kept)
        stats = found.tokenizer.latent_stats
        assert stats is not None
        torch.testing.assert_close(stats.mean, norms[name].running_mean)
        torch.testing.assert_close(stats.std, norms[name].running_var.sqrt())
    assert json.loads((run / "classes.json").read_text())["names"] == list(NAMES)
