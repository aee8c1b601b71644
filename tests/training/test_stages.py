"""Training stages on a small tokenizer: who is updated, by which gradient, and exact resume."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from tests.training.conftest import WIDTH, Data
from torch import Tensor

from sendvae.autoencoding import Transformation, draw_transformation
from sendvae.config import DiffusionConfig, TokenizerConfig, load_config
from sendvae.data import batch_indices, to_float
from sendvae.diffusion import SiT
from sendvae.errors import UserError
from sendvae.randomness import stream
from sendvae.runs import RunFolder, latest_checkpoint, read_journal
from sendvae.tokenizers import Architecture, Autoencoder, LatentStats
from sendvae.training import Stopped, train
from sendvae.training.micro_batches import micro_batches
from sendvae.training.networks import tokenizer_networks
from sendvae.training.source import Batch, Source
from sendvae.training.stages import DiffusionStage, TokenizerStage

SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 1, 2, 2), num_res_blocks=1, norm_groups=4, resolution=64)
CPU = torch.device("cpu")


def tokenizer_stage(
    data: Data, *overrides: str, method: str = "send-vae", device: torch.device = CPU
) -> TokenizerStage:
    config = load_config(
        TokenizerConfig,
        f"demo/{method}",
        [
            "loop.images=24", "loop.batch_size=4", "loop.precision=fp32", "loop.log_every=8", "loop.checkpoint_every=8",
            "losses.discriminator_width=4", "optimizer.warmup=0", *overrides,
        ],
    )  # fmt: skip
    if config.alignment is not None:
        small = config.alignment.model_copy(update={"width": 16, "heads": 2, "hidden": 16})
        config = config.model_copy(update={"alignment": small})
    torch.manual_seed(0)
    tokenizer = Autoencoder(
        SMALL, LatentStats(torch.tensor([0.5, -1.0, 0.25, 2.0]), torch.tensor([1.5, 0.5, 2.0, 0.75]))
    )
    images, tokens = data
    source = Source(images, tokens=tokens if config.alignment else None)
    return TokenizerStage(config, tokenizer_networks(config, tokenizer, 64, WIDTH), source, device)


def diffusion_stage(data: Data, *overrides: str, device: torch.device = CPU) -> DiffusionStage:
    config = load_config(
        DiffusionConfig,
        "demo/sit-tiny",
        ["loop.images=24", "loop.batch_size=4", "loop.precision=fp32", "loop.log_every=8", "loop.checkpoint_every=8",
         "optimizer.warmup=0", *overrides],
    )  # fmt: skip
    torch.manual_seed(0)
    sit = SiT(latent_channels=4, latent_size=8, patch_size=2, width=16, depth=2, heads=2, num_classes=10,
              repa_width=WIDTH, repa_depth=1, repa_hidden=16)  # fmt: skip
    tokenizer = Autoencoder(SMALL).eval().to(device)
    stats = LatentStats(torch.tensor([0.5, -1.0, 0.25, 2.0]), torch.tensor([1.5, 0.5, 2.0, 0.75]))
    return DiffusionStage(config, sit, stats, Source(data[0], tokens=data[1]), device, tokenizer)  # type: ignore[arg-type]


def weights(stage: TokenizerStage | DiffusionStage) -> dict[str, Tensor]:
    return {f"{g}/{n}": t.clone() for g, named in stage.state.tensors().items() for n, t in named.items()}


def run_in(folder: Path, stage: TokenizerStage | DiffusionStage) -> None:
    with RunFolder(folder).prepare({}, {}) as run:
        train(stage, run, stage.config.loop, seed=0)


def journal(folder: Path) -> dict[str, list[float | None]]:
    """What does not depend on the machine's speed and memory."""
    columns = read_journal(folder / "metrics.jsonl")
    return {
        name: column
        for name, column in columns.items()
        if name not in ("images_per_second", "tflops", "mfu", "memory_gib")
    }


def first_batch(stage: TokenizerStage | DiffusionStage) -> Batch:
    return stage.source.__getitems__([0, 1, 2, 3])


def test_a_tokenizer_step_updates_every_network(data: Data) -> None:
    stage = tokenizer_stage(data)
    before = weights(stage)
    scalars = stage.step(first_batch(stage), 0)
    after = weights(stage)
    moved = {name.partition("/")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"tokenizer", "discriminator", "alignment", "latent_norm"}
    assert {
        "reconstruction",
        "perceptual",
        "kl",
        "adversarial",
        "discriminator",
        "alignment",
    } <= scalars.keys()
    assert all(value.ndim == 0 and not value.requires_grad for value in scalars.values())
    parameters = dict(stage.tokenizer.named_parameters())
    assert all(
        not torch.equal(before[f"tokenizer/{n}"], p)
        for n, p in parameters.items()
        if not n.endswith(("norm.bias", "k.bias"))
    )


def test_alignment_reaches_the_encoder_and_not_the_decoder(data: Data) -> None:
    stage = tokenizer_stage(
        data,
        "losses.reconstruction_weight=0",
        "losses.perceptual_weight=0",
        "losses.kl_weight=0",
        "losses.adversarial_weight=0",
    )
    before = weights(stage)
    stage.step(first_batch(stage), 0)
    after = weights(stage)
    moved = {
        n.split("/")[1].split(".")[0]
        for n in before
        if n.startswith("tokenizer/") and not torch.equal(before[n], after[n])
    }
    assert moved == {"encoder", "quant_conv"}


def test_normalisation_stands_on_the_alignment_side_only(data: Data) -> None:
    """Other running statistics change the alignment loss and leave the reconstruction as it is."""
    losses = []
    for shift in (0.0, 5.0):
        stage = tokenizer_stage(data)
        stage.latent_norm.initialise(torch.full((4,), shift), torch.ones(4))
        losses.append(stage.step(first_batch(stage), 0))
    assert torch.equal(losses[0]["reconstruction"], losses[1]["reconstruction"])
    assert not torch.equal(losses[0]["alignment"], losses[1]["alignment"])


@pytest.mark.usefixtures("unchecked")
def test_the_backbone_is_never_trained(data: Data) -> None:
    from sendvae.vision import load_backbone

    backbone = load_backbone("effnet-lite0", pretrained=False)
    stage = tokenizer_stage(data)
    stage.source.tokens = None
    stage.backbone = backbone
    with pytest.raises(
        ValueError, match="differ in shape"
    ):  # the stage expects 12 channels, the backbone gives 1280
        stage.step(first_batch(stage), 0)
    tokens = backbone.patch_tokens(torch.rand(2, 3, 64, 64, requires_grad=True) * 2 - 1, 2)
    assert not tokens.requires_grad
    assert not any(p.requires_grad for p in backbone.parameters())
    assert not backbone.train().training


def test_methods_start_from_the_same_weights_and_draws(data: Data) -> None:
    first = {
        m: tokenizer_stage(data, method=m).step(first_batch(tokenizer_stage(data)), 0)
        for m in ("plain", "send-vae")
    }
    assert torch.equal(first["plain"]["reconstruction"], first["send-vae"]["reconstruction"])


def test_direct_alignment_is_weighted_by_the_ratio_of_gradients(data: Data) -> None:
    """Ten times the configured weight leaves the ratio as it is and moves the encoder elsewhere."""
    results = []
    for weight in (0.1, 1.0):
        stage = tokenizer_stage(data, f"alignment.weight={weight}", method="direct")
        scalars = stage.step(first_batch(stage), 0)
        results.append((float(scalars["alignment_ratio"]), stage.tokenizer.encoder.conv_out.weight.detach()))
    assert results[0][0] == results[1][0] > 0
    assert not torch.equal(results[0][1], results[1][1])


def test_adversarial_and_discriminator_start_when_told(data: Data) -> None:
    stage = tokenizer_stage(data, "losses.discriminator_start=4", "losses.adversarial_start=8")
    seen = [stage.step(first_batch(stage), images_seen).keys() for images_seen in (0, 4, 8)]
    assert ["discriminator" in keys for keys in seen] == [False, True, True]
    assert ["adversarial" in keys for keys in seen] == [False, False, True]


def test_gradient_shares_are_measured_now_and_then_and_add_up(data: Data) -> None:
    """A term without weight has no share; the alignment's grows with its weight."""
    shares = []
    for weight in (1.0, 100.0):
        stage = tokenizer_stage(
            data, "losses.kl_weight=0", f"alignment.weight={weight}", "gradient_share_every=8"
        )
        scalars = stage.step(first_batch(stage), 16)
        found = {
            n.removeprefix("gradient_share_"): float(v)
            for n, v in scalars.items()
            if n.startswith("gradient_share_")
        }
        assert found.keys() == {"reconstruction", "perceptual", "kl", "adversarial", "alignment"}
        assert sum(found.values()) == pytest.approx(1.0, abs=1e-5)
        assert found["kl"] == 0.0
        shares.append(found["alignment"])
        assert not any(name.startswith("gradient_share_") for name in stage.step(first_batch(stage), 20))
    assert 0 < shares[0] < shares[1]


def test_a_diffusion_step_updates_the_sit_and_not_the_tokenizer(data: Data) -> None:
    stage = diffusion_stage(data)
    assert stage.tokenizer is not None
    frozen = {n: t.clone() for n, t in stage.tokenizer.state_dict().items()}
    before = weights(stage)
    stage.step(first_batch(stage), 0)
    stage.step(first_batch(stage), 4)  # the first step leaves what a zero-initialised output layer hides
    after = weights(stage)
    assert torch.equal(before["sit/pos_embed"], after["sit/pos_embed"])
    assert not torch.equal(before["sit/final_layer.linear.weight"], after["sit/final_layer.linear.weight"])
    assert not torch.equal(before["ema/final_layer.linear.weight"], after["ema/final_layer.linear.weight"])
    assert all(torch.equal(frozen[n], t) for n, t in stage.tokenizer.state_dict().items())


def test_ema_is_the_running_average(data: Data) -> None:
    stage = diffusion_stage(data, "ema=0.9")
    name = "final_layer.linear.weight"
    expected = stage.generator.state_dict()[name].clone()
    for position in (0, 4, 8):
        stage.step(first_batch(stage), position)
        expected = 0.9 * expected + 0.1 * stage.generator.state_dict()[name]
    torch.testing.assert_close(stage.ema.tensors()[name], expected)


@pytest.mark.parametrize("build", [tokenizer_stage, diffusion_stage])
def test_a_stopped_and_resumed_run_ends_bit_equal(build: object, data: Data, tmp_path: Path) -> None:
    def fresh() -> TokenizerStage | DiffusionStage:
        return build(data)  # type: ignore[operator]

    unbroken = fresh()
    run_in(tmp_path / "a", unbroken)
    interrupted = fresh()
    step = interrupted.step

    def stop_at_12(batch: Batch, images_seen: int) -> dict[str, Tensor]:
        if images_seen == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(batch, images_seen)

    interrupted.step = stop_at_12  # type: ignore[method-assign]
    with pytest.raises(Stopped, match="12 images"):
        run_in(tmp_path / "b", interrupted)
    resumed = fresh()
    run_in(tmp_path / "b", resumed)
    expected, found = weights(unbroken), weights(resumed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert journal(tmp_path / "a") == journal(tmp_path / "b")
    checkpoint = latest_checkpoint(tmp_path / "b/checkpoints")
    assert checkpoint is not None
    assert checkpoint.images_seen == 24


def test_a_loss_that_is_not_finite_stops_the_run(data: Data, tmp_path: Path) -> None:
    stage = tokenizer_stage(data, method="plain")
    with torch.no_grad():
        stage.tokenizer.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(UserError, match=r"not finite: reconstruction(?s:.*)5 steps in a row from image 0 on"):
        run_in(tmp_path / "r", stage)
    report = json.loads((tmp_path / "r/not-finite.json").read_text())
    assert [entry["images_seen"] for entry in report] == [0, 4, 8, 12, 16]
    shown = [stage.source.images.keys[i] for i in batch_indices(4, 4, 24, 0)]
    assert report[1]["keys"] == shown
    columns = read_journal(tmp_path / "r/metrics.jsonl")
    assert columns["skipped_steps"] == [2, 2, 2]
    assert "reconstruction" not in columns


@pytest.mark.parametrize("build", [tokenizer_stage, diffusion_stage])
def test_a_step_that_is_not_finite_changes_no_weight(build: object, data: Data, tmp_path: Path) -> None:
    """One bad batch among good ones is skipped, counted and survived."""
    stage = build(data, "loop.images=24")  # type: ignore[operator]
    step, held = stage.step, []

    def poison_at_8(batch: Batch, images_seen: int) -> dict[str, Tensor]:
        if images_seen != 8:
            return step(batch, images_seen)
        before = weights(stage)
        network = stage.tokenizer if isinstance(stage, TokenizerStage) else stage.generator
        trained = next(p for p in network.parameters() if p.requires_grad)
        hook = trained.register_hook(lambda gradient: gradient * float("nan"))
        scalars = step(batch, images_seen)
        hook.remove()
        after = weights(stage)
        held.extend(
            torch.equal(before[n], after[n]) for n in before if n.split("/")[0] in ("tokenizer", "sit")
        )
        return scalars

    stage.step = poison_at_8
    run_in(tmp_path / "r", stage)
    assert held
    assert all(held)
    assert all(tensor.isfinite().all() for tensor in weights(stage).values())
    assert read_journal(tmp_path / "r/metrics.jsonl")["skipped_steps"] == [None, 1, None]


def test_a_batch_that_cannot_be_shared_is_refused(data: Data, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"batch of 4(?s:.*)accumulate=3(?s:.*)a multiple of 3"):
        run_in(tmp_path / "r", diffusion_stage(data, "loop.accumulate=3"))


def test_previews_are_logged_where_their_time_has_come(data: Data, tmp_path: Path) -> None:
    stage, asked = diffusion_stage(data), []

    def preview(images_seen: int) -> dict[str, float]:
        asked.append(images_seen)
        return {"distance": 100.0 - images_seen}

    with RunFolder(tmp_path).prepare({}, {}) as run:
        train(stage, run, stage.config.loop, seed=0, preview=(12, preview))
    assert asked == [16, 24]  # the lines after images 12 and 24
    assert read_journal(tmp_path / "metrics.jsonl")["distance"] == [None, 84.0, 76.0]


def test_latents_at_every_step_are_float32_as_cached_ones(data: Data) -> None:
    """A run in bfloat16 reads the posterior that a cache would hold."""
    stage = diffusion_stage(data, "loop.precision=bf16")
    batch = Batch(data[0].batch(range(4)).images, torch.zeros(4, dtype=torch.long))
    (piece,) = micro_batches(batch, 0, 0, 1, CPU)
    assert stage.tokenizer is not None
    with torch.no_grad():
        exact = stage.tokenizer.encode(piece.images)
    with torch.autocast("cpu", torch.bfloat16):
        found = stage._posterior(piece)
    assert torch.equal(found.mean, exact.mean)
    assert torch.equal(found.logvar, exact.logvar)


def test_a_turned_latent_is_to_decode_to_the_turned_image(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EQ-VAE: reconstruction, perceptual distance and discriminator see the turned and shrunk pair, the mapper neither."""
    stage = tokenizer_stage(data, "equivariance={probability: 1.0, smallest: 0.5}")
    plain = tokenizer_stage(data)
    seen: list[tuple[int, ...]] = []
    inner = stage.discriminator.forward
    monkeypatch.setattr(stage.discriminator, "forward", lambda x: seen.append(tuple(x.shape)) or inner(x))
    drawn = draw_transformation(stream(stage.config.seed, 0, "equivariance"), 8, 1.0, 0.5)
    assert drawn is not None
    assert drawn != Transformation(0, 8)
    pixels = first_batch(stage).images
    assert pixels is not None
    images = to_float(pixels)
    noise = torch.zeros(len(images), 4, 8, 8)
    with torch.no_grad():
        terms, untouched = stage.vae.terms(images, noise, 0), plain.vae.terms(images, noise, 0)
        mean = stage.tokenizer.encode(images).mean
        expected = (stage.tokenizer.decode(drawn.of(mean)) - drawn.of(images, 8)).abs().mean()
    torch.testing.assert_close(terms.scalars["reconstruction"], expected)
    torch.testing.assert_close(terms.z, untouched.z)  # what the mapper sees
    assert terms.scalars["reconstruction"] != untouched.scalars["reconstruction"]
    stage.step(first_batch(stage), 0)
    assert {shape[-1] for shape in seen} == {8 * drawn.side}  # of real and reconstructed images alike
    others = {draw_transformation(stream(0, i, "equivariance"), 8, 1.0, 0.5) for i in range(8)}
    assert len(others) > 3  # it changes from step to step
