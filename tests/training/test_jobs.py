"""Jobs from a configuration to exported models: features at every step, the data set they are for, joint training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLFlux2
from PIL import Image
from torch import Tensor

from sendvae.config import DiffusionConfig, JointConfig, TokenizerConfig, load_config
from sendvae.config.schema_common import DataConfig
from sendvae.config.schema_sample import SamplingConfig
from sendvae.data import LatentCache, LatentCacheWriter, open_embedded, to_float
from sendvae.data.prepare import Preparation, Recipe
from sendvae.diffusion import Generator, LightningDiT, load_generator, load_sit
from sendvae.errors import UserError
from sendvae.evaluation.diffusion_model import load_model
from sendvae.evaluation.sampling import draw_images
from sendvae.runs import RunFolder, latest_checkpoint, read_journal
from sendvae.tokenizers import Architecture, Autoencoder, load_tokenizer, save_tokenizer
from sendvae.tokenizers.export import export_tokenizer
from sendvae.training import (
    cached_latents,
    cached_tokens,
    measure_statistics,
    train_diffusion,
    train_joint,
    train_tokenizer,
)
from sendvae.training.export import export_generator
from sendvae.training.images import open_training_images
from sendvae.training.source import Source, batches
from sendvae.vision import load_backbone

SHORT = ["loop.images=8", "loop.batch_size=4", "loop.log_every=4", "loop.precision=fp32", "data.limit=8", "optimizer.warmup=0"]  # fmt: skip
JOBS = {
    "tokenizer": (train_tokenizer, TokenizerConfig, "demo/send-vae", ["statistics_images=8"]),
    "diffusion": (train_diffusion, DiffusionConfig, "demo/sit-tiny", []),
    "joint": (train_joint, JointConfig, "demo/joint", []),
}


def run(job: str, folder: Path, *overrides: str) -> Path:
    train, schema, preset, more = JOBS[job]
    config = load_config(schema, preset, [*SHORT, *more, *overrides])
    return train(config, folder / "run", folder / "cache")  # type: ignore[operator]


@pytest.mark.parametrize(
    "job", ["tokenizer", *(pytest.param(job, marks=pytest.mark.slow) for job in ("diffusion", "joint"))]
)
def test_features_at_every_step_are_the_cached_ones(job: str, tmp_path: Path) -> None:
    """Up to the half precision of the cache, and without one on the disk."""
    journals = {}
    for tokens in ("cached", "online"):
        run(job, tmp_path / tokens, f"data.tokens={tokens}")
        journals[tokens] = read_journal(tmp_path / tokens / "run/metrics.jsonl")
        cached = list((tmp_path / tokens / "cache").glob("tokens-*"))
        assert bool(cached) == (tokens == "cached")
    name = "alignment" if job == "tokenizer" else "repa"
    cached, online = journals["cached"][name], journals["online"][name]
    assert len(online) == 2
    assert online == pytest.approx(cached, abs=2e-3)
    assert online[0] != 0.0


def test_latents_at_every_step_are_the_cached_ones(tmp_path: Path) -> None:
    journals = {}
    for latents in ("cached", "online"):
        run("diffusion", tmp_path / latents, f"data.latents={latents}")
        journals[latents] = read_journal(tmp_path / latents / "run/metrics.jsonl")
        assert bool(list((tmp_path / latents / "cache").glob("latents-*"))) == (latents == "cached")
    assert journals["online"]["velocity"] == pytest.approx(journals["cached"]["velocity"], rel=2e-2)


@pytest.mark.parametrize(
    "job", ["diffusion", *(pytest.param(job, marks=pytest.mark.slow) for job in ("tokenizer", "joint"))]
)
def test_flips_are_trained_on(job: str, tmp_path: Path) -> None:
    name = "alignment" if job == "tokenizer" else "repa"
    for flip in ("true", "false"):
        run(job, tmp_path / flip, f"data.flip={flip}")
    flipped, plain = (read_journal(tmp_path / flip / "run/metrics.jsonl")[name] for flip in ("true", "false"))
    assert flipped != pytest.approx(plain, abs=1e-5)


def test_mirrored_images_meet_their_own_tokens_and_latents(tmp_path: Path) -> None:
    images, device = open_embedded("emoji", "train", limit=4), torch.device("cpu")
    backbone, tokenizer = load_backbone("effnet-lite0"), load_tokenizer("demo-f8d16")
    tokens = cached_tokens(tmp_path, backbone, images, 4, device, flip=True)
    latents = cached_latents(tmp_path, tokenizer, images, device, flip=True)
    batch = Source(images, latents, tokens, pixels=True, flip=True).__getitems__([2, 4 + 2, 4 + 0, 3])
    assert batch.images is not None
    pixels = to_float(batch.images)
    with torch.no_grad():
        mean, expected = tokenizer.encode(pixels).mean, backbone.patch_tokens(pixels, 4)
    # The caches are fp16, and computed in bf16 where the processor has it.
    assert batch.latent_mean is not None
    assert batch.tokens is not None
    for found, exact in ((batch.latent_mean, mean), (batch.tokens.float(), expected)):
        error = (found - exact).pow(2).mean((*range(1, exact.ndim),)) / exact.var()
        other = (found - exact[[1, 0, 3, 2]]).pow(2).mean((*range(1, exact.ndim),)) / exact.var()
        assert error.max() < 0.01 < 0.1 < other.min()


def test_a_mirrored_image_has_an_index_of_its_own() -> None:
    images = open_embedded("emoji", "train", limit=4)
    mirrored = Source(images, flip=True).__getitems__([2, 4 + 2]).images
    assert mirrored is not None
    assert torch.equal(mirrored[1], mirrored[0].flip(-1))
    assert torch.equal(mirrored[0], images[2].image)


def test_joint_training_exports_both(tmp_path: Path) -> None:
    folder = run("joint", tmp_path)
    tokenizer, sit = load_tokenizer(folder), load_sit(folder)
    stats = tokenizer.latent_stats
    assert stats is not None
    assert (sit.latent_channels, sit.null_label) == (16, 10)
    start = load_tokenizer("demo-f8d16")
    assert start.latent_stats is not None
    moved = [not torch.equal(a, b) for a, b in zip(tokenizer.parameters(), start.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2
    assert not torch.equal(stats.mean, start.latent_stats.mean)
    torch.testing.assert_close(
        stats.mean, start.latent_stats.mean, atol=0.5, rtol=0.0
    )  # an average of few steps
    assert run("joint", tmp_path) == folder  # finished: nothing is done again


def test_a_joint_export_has_the_averaged_statistics(tmp_path: Path) -> None:
    """Mean and std, not the variance, of the average that the SiT is exported from."""
    stats = load_tokenizer(run("joint", tmp_path, "ema=0.5")).latent_stats
    checkpoint = latest_checkpoint(tmp_path / "run/checkpoints")
    assert stats is not None
    assert checkpoint is not None
    averaged, raw = checkpoint.tensors("ema"), checkpoint.tensors("latent_norm")
    std = averaged["latent_norm.running_var"].sqrt()
    assert float((std.square() / std - 1.0).abs().min()) > 1e-3  # a std of 1 would be its variance
    torch.testing.assert_close(stats.mean, averaged["latent_norm.running_mean"])
    torch.testing.assert_close(stats.std, std)
    assert not torch.allclose(stats.std, raw["running_var"].sqrt(), rtol=1e-4)
    sit = load_sit(tmp_path / "run").state_dict()
    assert all(torch.equal(sit[name], averaged[f"sit.{name}"]) for name in sit)


@pytest.mark.parametrize("ema", ["0.5", "null"])
def test_a_tokenizer_job_exports_the_average_where_one_was_asked(ema: str, tmp_path: Path) -> None:
    """Weights and statistics alike; else the weights themselves."""
    tokenizer = load_tokenizer(run("tokenizer", tmp_path, f"ema={ema}", "optimizer.lr=1e-2"))
    checkpoint = latest_checkpoint(tmp_path / "run/checkpoints")
    assert checkpoint is not None
    expected = checkpoint.tensors("tokenizer" if ema == "null" else "ema")
    found = tokenizer.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    if ema != "null":
        raw = checkpoint.tensors("tokenizer")
        assert not torch.allclose(found["decoder.conv_out.weight"], raw["decoder.conv_out.weight"], rtol=1e-3)
    images = open_embedded("emoji", "train", limit=8)
    measured = measure_statistics(tokenizer, images, 8, 0, torch.device("cpu"))
    assert tokenizer.latent_stats is not None
    torch.testing.assert_close(tokenizer.latent_stats.mean, measured.mean)
    torch.testing.assert_close(tokenizer.latent_stats.std, measured.std)


@pytest.mark.parametrize("job", ["diffusion", pytest.param("joint", marks=pytest.mark.slow)])
def test_a_sits_first_weights_follow_the_seed(job: str, tmp_path: Path) -> None:
    """Training at a rate of next to nothing leaves them visible; the global generator has no part in them."""
    found = []
    for i, seed in enumerate((0, 1, 0)):
        torch.manual_seed(100 + i)
        folder = tmp_path / str(i)
        run(job, folder, f"seed={seed}", "optimizer.lr=1e-12", "ema=0.0")
        found.append(load_sit(folder / "run").state_dict()["blocks.0.attn.qkv.weight"])
    assert not torch.allclose(found[0], found[1], atol=1e-3)
    torch.testing.assert_close(found[0], found[2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("job", ["diffusion", pytest.param("joint", marks=pytest.mark.slow)])
def test_a_sit_is_what_its_configuration_says(job: str, tmp_path: Path) -> None:
    """The exported network, and the previews, are the average; dropout of labels, REPA's depth, its projector and the path are as configured."""
    train, schema, preset, _ = JOBS[job]
    overrides = [
        "label_dropout=0.3",
        "repa.depth=3",
        "path=cosine",
        "repa.projector=conv",
        "optimizer.lr=1e-2",
        "ema=0.5",
    ]
    config = load_config(
        schema, preset, [*SHORT, *overrides, *(["preview.every=4"] if job == "diffusion" else [])]
    )
    shown: list[dict[str, Tensor]] = []

    def preview(*_: object) -> Callable[[Generator, int], dict[str, float]]:
        def draw(sit: Generator, _: int) -> dict[str, float]:
            shown.append({name: tensor.clone() for name, tensor in sit.state_dict().items()})
            return {}

        return draw

    train(
        config, tmp_path / "run", tmp_path / "cache", **({"preview": preview} if job == "diffusion" else {})
    )  # type: ignore[operator]
    sit = load_sit(tmp_path / "run")
    assert (sit.label_dropout, sit.repa_depth, sit.path) == (0.3, 3, "cosine")
    assert sit.arguments["projector"] == "conv"
    checkpoint = latest_checkpoint(tmp_path / "run/checkpoints")
    assert checkpoint is not None
    prefix = "" if job == "diffusion" else "sit."
    averaged, raw = checkpoint.tensors("ema"), checkpoint.tensors("sit")
    assert len(shown) == (2 if job == "diffusion" else 0)
    for found in (sit.state_dict(), *shown[-1:]):
        assert all(torch.equal(found[name], averaged[prefix + name]) for name in found)
    name = "final_layer.linear.weight"
    assert not torch.allclose(raw[name], averaged[prefix + name], rtol=1e-2)


@pytest.mark.parametrize("job", ["diffusion", pytest.param("joint", marks=pytest.mark.slow)])
def test_lightningdit_is_trained_and_sampled_like_a_sit(job: str, tmp_path: Path) -> None:
    """Its own objective in the log, its own network in the export and in a checkpoint, images from both."""
    overrides = ["model=LightningDiT-Tiny/2", "qk_norm=true", "direction_weight=1", "time_sampling=lognormal",
                 "time_shift=dimension", "repa.depth=3", "optimizer.lr=1e-3"]  # fmt: skip
    run(job, tmp_path, *overrides)
    folder = tmp_path / "run"
    found = load_generator(folder)
    assert isinstance(found, LightningDiT)
    assert (found.arguments["qk_norm"], found.repa_depth) == (True, 3)
    columns = read_journal(folder / "metrics.jsonl")
    directions = columns["direction"]
    assert len(directions) == 2
    assert all(value is not None and 0.0 < value < 2.0 for value in directions)
    sampling = SamplingConfig(method="euler", steps=2, time_shift="dimension", guidance_scale=2.0)
    for model in (
        load_model(str(folder)),
        load_model(str(folder), step=2),
        load_model(str(folder), raw=True),
    ):
        assert model.generator.arguments == found.arguments | {"label_dropout": 0.1}
        images = draw_images(model.generator, model.tokenizer, [0, 1], torch.tensor([0, 1]), sampling, 0)
        assert images.shape == (2, 3, 64, 64)
        assert len(images.unique()) > 10


@pytest.mark.parametrize("job", ["diffusion", "joint"])
def test_patches_that_do_not_divide_the_latent_are_refused_before_any_work(job: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"patches of 3(?s:.*)8 positions"):
        run(job, tmp_path, "model=LightningDiT-Tiny/3")
    assert not (tmp_path / "cache").exists()


def test_joint_training_takes_a_lightningdit(tmp_path: Path) -> None:
    folder = run("joint", tmp_path, "model=LightningDiT-Tiny/2")
    found = load_generator(folder)
    assert isinstance(found, LightningDiT)
    assert all(bool(weight.isfinite().all()) for weight in found.parameters())
    assert max(read_journal(folder / "metrics.jsonl")["images"]) == 8  # type: ignore[type-var]


def test_joint_training_does_not_shard(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"loop\.parallel=ddp"):
        run("joint", tmp_path, "loop.parallel=fsdp")


@pytest.mark.parametrize(("key", "value"), [("size", 256), ("classes", 1000)])
def test_another_data_set_than_configured_is_refused(key: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"another data set(?s:.*)data\.{key}={value}"):
        open_training_images(DataConfig(**{key: value}))
    assert len(open_training_images(DataConfig(size=64, classes=10, limit=3))) == 3


def test_images_are_read_beside_cached_latents_only_on_demand(tmp_path: Path) -> None:
    images = open_embedded("emoji", "train", limit=4)
    with LatentCacheWriter(tmp_path, {"mean": (2, 1, 1), "std": (2, 1, 1)}, 4, "x") as writer:
        writer.append({"mean": torch.zeros(4, 2, 1, 1), "std": torch.ones(4, 2, 1, 1)})
    latents = LatentCache(tmp_path)
    assert Source(images, latents).__getitems__([2, 0]).images is None
    both = Source(images, latents, pixels=True).__getitems__([2, 0])
    assert both.images is not None
    assert torch.equal(both.images, images.batch([2, 0]).images)
    assert both.latent_mean is not None


def test_random_crops_are_a_function_of_the_position(tmp_path: Path) -> None:
    """A run that is continued sees the windows that an unbroken one sees, and other ones at every pass."""
    for i, size in enumerate([(24, 16), (16, 30), (20, 20)]):
        noise = torch.randint(0, 256, (size[1], size[0], 3), dtype=torch.uint8)
        path = tmp_path / f"photos/a/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.numpy()).save(path)
    Preparation(str(tmp_path / "photos"), tmp_path / "data", Recipe(16, crop="short-side")).run()
    config = DataConfig(source=str(tmp_path / "data"), size=16, crop="random", tokens="online", flip=True)
    images = open_training_images(config)
    assert tuple(images[1].image.shape) == (3, 16, 16)
    whole, later = (
        [batch.images for batch in batches(Source(images, flip=True), 3, 7, start, 18, workers=0)]
        for start in (0, 9)
    )
    assert [tuple(batch.shape) for batch in whole if batch is not None] == [(3, 3, 16, 16)] * 6
    assert all(
        torch.equal(a, b) for a, b in zip(whole[3:], later, strict=True) if a is not None and b is not None
    )
    seen = {image.numpy().tobytes() for batch in whole if batch is not None for image in batch}
    assert len(seen) > 9  # of three images


def test_a_tokenizer_trains_on_random_crops(tmp_path: Path) -> None:
    for i, size in enumerate([(24, 16), (16, 30), (20, 20), (16, 16)]):
        noise = torch.randint(0, 256, (size[1], size[0], 3), dtype=torch.uint8)
        path = tmp_path / f"photos/a/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.numpy()).save(path)
    Preparation(str(tmp_path / "photos"), tmp_path / "data", Recipe(16, crop="short-side")).run()
    overrides = [f"data.source={tmp_path / 'data'}", "data.crop=random", "data.tokens=online", "data.size=16"]
    config = load_config(TokenizerConfig, "demo/plain", [*SHORT, *overrides, "statistics_images=4"])
    folder = train_tokenizer(config, tmp_path / "run", tmp_path / "cache")
    assert load_tokenizer(folder).latent_stats is not None


ADAPTIVE = ["losses.adversarial_weighting=adaptive", "losses.adversarial_start=0"]
METHODS = {
    "plain": ("tokenizer", ["alignment=null"]),
    "mapper": ("tokenizer", []),
    "vavae": ("tokenizer", ["alignment.method=vavae", "alignment.weighting=adaptive", *ADAPTIVE]),
    "encoder": ("tokenizer", ["trained=encoder"]),
    "joint": ("joint", []),
}
OFTEN = [("mapper", 1), ("joint", 1), ("vavae", 2)]  # the others are slow tests


@pytest.mark.parametrize(
    ("method", "packing"),
    [
        pytest.param(method, packing, marks=[] if (method, packing) in OFTEN else [pytest.mark.slow])
        for method in METHODS
        for packing in (1, 2)
    ],
)
def test_every_method_trains_a_vae_without_1x1_convolutions_or_with_packed_latents(
    method: str, packing: int, tmp_path: Path
) -> None:
    """As FLUX.1's and FLUX.2's; the export declares statistics of the trained latents, and diffusers loads it."""
    mult = (1, 1, 1, 2) if packing == 1 else (1, 1, 2)
    small = Architecture(
        4, 8, mult, 1, (), 64, 4, quant_conv=packing > 1, post_quant_conv=packing > 1, packing=packing
    )
    started = Autoencoder(small)
    save_tokenizer(started, tmp_path / "start")
    kind, overrides = METHODS[method]
    run(kind, tmp_path, f"init={tmp_path / 'start'}", *overrides)
    trained = load_tokenizer(tmp_path / "run")
    before, after = started.state_dict(), trained.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert ("decoder.conv_out.weight" in moved) == (method != "encoder")
    assert "encoder.conv_out.weight" in moved
    assert trained.latent_stats is not None
    assert len(trained.latent_stats.mean) == trained.latent_channels == 4 * packing**2
    export_tokenizer(trained, tmp_path / "out", "diffusers")
    network = (AutoencoderKL if packing == 1 else AutoencoderKLFlux2).from_pretrained(tmp_path / "out")
    assert torch.equal(network.decoder.conv_out.weight, after["decoder.conv_out.weight"])
    if method != "joint":  # whose statistics are an average over training
        images = open_embedded("emoji", "train", limit=8)
        measured = measure_statistics(trained, images, 8, 0, torch.device("cpu"))
        torch.testing.assert_close(trained.latent_stats.std, measured.std)


def test_diffusers_own_flux2_is_fine_tuned_and_given_back(tmp_path: Path) -> None:
    """The BatchNorm's statistics are measured anew; what is not trained comes back as it was."""
    blocks = {"block_out_channels": (8, 8, 16), "down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}  # fmt: skip
    theirs = AutoencoderKLFlux2(**blocks, norm_num_groups=4, latent_channels=4)
    theirs.bn.running_mean.fill_(7.0)
    theirs.save_pretrained(tmp_path / "flux2")
    run("tokenizer", tmp_path, f"init={tmp_path / 'flux2'}", "trained=encoder")
    trained = load_tokenizer(tmp_path / "run")
    export_tokenizer(trained, tmp_path / "out", "diffusers")
    back = AutoencoderKLFlux2.from_pretrained(tmp_path / "out")
    before, after = theirs.state_dict(), back.state_dict()
    assert before.keys() == after.keys()
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"encoder", "quant_conv", "bn"}
    images = open_embedded("emoji", "train", limit=8)
    measured = measure_statistics(trained, images, 8, 0, torch.device("cpu"))
    torch.testing.assert_close(back.bn.running_mean, measured.mean)
    torch.testing.assert_close((back.bn.running_var + back.config.batch_norm_eps).sqrt(), measured.std)


def test_statistics_that_nobody_declared_are_measured_and_kept(tmp_path: Path) -> None:
    """Training, and sampling afterwards, normalise by the same ones; the tokenizer's own are not overridden."""
    bare = load_tokenizer("demo-f8d16")
    declared, bare.latent_stats = bare.latent_stats, None
    save_tokenizer(bare, tmp_path / "bare")
    job = (f"tokenizer={tmp_path / 'bare'}", "repa=null", "statistics_images=5")
    run("diffusion", tmp_path, *job)
    images = open_embedded("emoji", "train", limit=8)
    measured = measure_statistics(bare, images, 5, 0, torch.device("cpu"))
    found = load_model(str(tmp_path / "run")).tokenizer.latent_stats
    assert found is not None
    assert torch.equal(found.mean, measured.mean)
    assert torch.equal(found.std, measured.std)
    sit_run = RunFolder(tmp_path / "run")
    export_generator(sit_run, sit_run.path, tmp_path / "exported")
    assert json.dumps(measured.document()) in (tmp_path / "exported/README.md").read_text()
    first = read_journal(tmp_path / "run/metrics.jsonl")["velocity"]
    bare.latent_stats = measured
    save_tokenizer(bare, tmp_path / "bare-2")
    run("diffusion", tmp_path / "second", f"tokenizer={tmp_path / 'bare-2'}", "repa=null")
    assert read_journal(tmp_path / "second/run/metrics.jsonl")["velocity"] == first
    own = load_model(str(tmp_path / "second/run")).tokenizer.latent_stats
    assert own is not None
    assert torch.equal(own.mean, measured.mean)
    assert not (tmp_path / "second/run/latent-stats.json").exists()
    assert declared is not None
    assert not torch.allclose(declared.mean, measured.mean)
