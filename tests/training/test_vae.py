"""L_VAE as a whole: every term again in float64, adaptive weights by hand, warm starts, what is left untrained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sendvae.autoencoding import PatchDiscriminator, load_perceptual
from sendvae.config import TokenizerConfig, load_config
from sendvae.data import open_embedded, to_float
from sendvae.errors import UserError
from sendvae.randomness import Draws
from sendvae.tokenizers import Architecture, Autoencoder, LatentStats, save_tokenizer
from sendvae.training.micro_batches import MicroBatch
from sendvae.training.networks import tokenizer_networks, vae_networks
from sendvae.training.source import Batch, Source
from sendvae.training.stages import TokenizerStage
from sendvae.training.stages.vae import VAETraining

SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 1, 2, 2), num_res_blocks=1, norm_groups=4, resolution=64)
CPU, SIZE, WIDTH, COUNT = torch.device("cpu"), 64, 12, 4
WEIGHTS = {"reconstruction": 1.0, "perceptual": 0.7, "kl": 1e-3, "adversarial": 0.05}
OVERRIDES = [
    "loop.images=100", "loop.batch_size=4", "loop.precision=fp32", "optimizer.warmup=0", "losses.discriminator_width=4",
    *(f"losses.{name}_weight={weight}" for name, weight in WEIGHTS.items()),
]  # fmt: skip


def tokenizer(stats: bool = True) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(SMALL, LatentStats(torch.full((4,), 0.5), torch.full((4,), 2.0)) if stats else None)


def config_of(*overrides: str, preset: str = "send-vae") -> TokenizerConfig:
    small = [] if preset == "plain" else ["alignment.width=16", "alignment.heads=2", "alignment.hidden=16"]
    return load_config(TokenizerConfig, f"demo/{preset}", [*OVERRIDES, *small, *overrides])


def stage_of(*overrides: str, preset: str = "send-vae", stats: bool = True) -> TokenizerStage:
    source = Source(open_embedded("emoji", "train", limit=COUNT))
    config = config_of(*overrides, preset=preset)
    return TokenizerStage(config, tokenizer_networks(config, tokenizer(stats), SIZE, WIDTH), source, CPU)


def training_of(*overrides: str) -> VAETraining:
    config = config_of(*overrides)
    return VAETraining(config, vae_networks(config, tokenizer()), CPU)


def batch() -> Batch:
    images = open_embedded("emoji", "train", limit=COUNT).batch(range(COUNT))
    tokens = torch.randn(COUNT, 16, WIDTH, generator=torch.Generator().manual_seed(1))
    return Batch(images.images, images.labels, tokens=tokens)


def images() -> Tensor:
    pixels = batch().images
    assert pixels is not None
    return to_float(pixels)


def noise() -> Tensor:
    return torch.randn(COUNT, 4, 8, 8, generator=torch.Generator().manual_seed(2))


def numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


@pytest.mark.parametrize("reconstruction", ["l1", "l2"])
def test_every_term_in_float64(reconstruction: str) -> None:
    vae = training_of(f"losses.reconstruction={reconstruction}")
    found = vae.terms(images(), noise(), images_seen=0)
    x, y = numbers(images()), numbers(found.reconstruction)
    mean, logvar = numbers(found.posterior.mean), numbers(found.posterior.logvar)
    perceptual = load_perceptual("effnet-lite1-perceptual")(found.reconstruction, images())
    expected = {
        "reconstruction": np.abs(x - y).mean() if reconstruction == "l1" else ((x - y) ** 2).mean(),
        "perceptual": numbers(perceptual).mean(),
        "kl": 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar).sum(axis=(1, 2, 3)).mean(),
        "adversarial": -numbers(vae.discriminator(found.reconstruction)).mean(),
    }
    assert found.scalars.keys() == expected.keys()
    for name, value in expected.items():
        assert float(found.scalars[name].detach()) == pytest.approx(value, rel=1e-5), name
    total = sum(WEIGHTS[name] * value for name, value in expected.items())
    assert float(found.total().detach()) == pytest.approx(total, rel=1e-5)
    z = mean + np.exp(0.5 * logvar) * numbers(noise())
    np.testing.assert_allclose(numbers(found.z), z, atol=1e-5)


def test_the_discriminators_loss_in_float64() -> None:
    vae = training_of()
    real, fake = images(), 0.5 * torch.randn_like(images())
    piece = MicroBatch(batch(), Draws(0, 0, COUNT, slice(None), CPU), 0, reconstruction=fake)
    found = vae.discriminator_losses(piece).total
    judged = [numbers(vae.discriminator(x)) for x in (real, fake)]
    expected = 0.5 * (np.maximum(0, 1 - judged[0]).mean() + np.maximum(0, 1 + judged[1]).mean())
    assert float(found.detach()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("contrast", "clamped"), [(1.0, True), (1000.0, False)])
def test_the_adversarial_weight_adapts_at_the_decoders_end(contrast: float, clamped: bool) -> None:
    """latent-diffusion's objective of summed pixel losses, over the number of values of a 48 x 64 image.

    A fresh discriminator hardly reacts, and the published clamp of 1e4 binds; a contrasty one is weighed freely.
    """
    vae = training_of("losses.adversarial_weighting=adaptive")
    with torch.no_grad():
        vae.discriminator.main[-1].weight *= contrast
    wide, elements = images()[..., :48, :], 3 * 48 * 64
    found = vae.terms(wide, noise()[..., :6, :], images_seen=0)
    layer = vae.tokenizer.decoder.conv_out.weight
    summed = WEIGHTS["reconstruction"] * (found.reconstruction - wide).abs().sum() / COUNT
    summed = summed + WEIGHTS["perceptual"] * vae.perceptual(found.reconstruction, wide).mean() * elements
    (a,) = torch.autograd.grad(summed, layer, retain_graph=True)
    (b,) = torch.autograd.grad(found.scalars["adversarial"], layer, retain_graph=True)
    published = np.linalg.norm(numbers(a)) / (np.linalg.norm(numbers(b)) + 1e-4)
    assert (published > 1e4) == clamped
    ratio = min(published, 1e4) / elements
    assert float(found.scalars["adversarial_ratio"]) == pytest.approx(ratio, rel=1e-4)
    weighted = ratio * WEIGHTS["adversarial"] * float(found.scalars["adversarial"].detach())
    assert float(found.weighted["adversarial"].detach()) == pytest.approx(weighted, rel=1e-4)


def test_the_alignments_weight_adapts_at_the_encoders_end() -> None:
    """VA-VAE: the ratio at encoder.conv_out, times the configured weight."""
    stage = stage_of("alignment.weight=0.1", preset="direct")
    layer = stage.tokenizer.encoder.conv_out.weight
    terms = stage.vae.terms(images(), noise(), images_seen=0)
    assert stage.alignment is not None
    tokens = batch().tokens
    loss = stage.alignment(stage.latent_norm(terms.z), tokens, torch.zeros(COUNT), noise())
    (a,) = torch.autograd.grad(terms.pixels, layer, retain_graph=True)
    (b,) = torch.autograd.grad(loss, layer, retain_graph=True)
    ratio = np.linalg.norm(numbers(a)) / (np.linalg.norm(numbers(b)) + 1e-4)
    weight = stage.alignment_weight(terms, loss)
    assert float(weight) == pytest.approx(0.1 * ratio, rel=1e-4)
    terms.weighted["reconstruction"] = 1e9 * terms.weighted["reconstruction"]
    assert float(stage.alignment_weight(terms, loss)) == pytest.approx(0.1 * 1e8 / (3 * 64 * 64))  # clamped


@pytest.mark.parametrize("preset", ["plain", "send-vae"])
def test_encoder_only_leaves_the_decoder(preset: str) -> None:
    stage = stage_of("trained=encoder", preset=preset)
    before = {name: tensor.clone() for name, tensor in stage.tokenizer.state_dict().items()}
    stage.step(batch(), 0)
    after = stage.tokenizer.state_dict()
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"encoder", "quant_conv"}
    saved = {name.partition(".")[0] for name in stage.state.tensors()["optimizer_tokenizer"]}
    assert saved == {"encoder", "quant_conv"}


def test_encoder_only_refuses_an_adaptive_adversarial_weight() -> None:
    with pytest.raises(UserError, match=r"adversarial_weighting=fixed"):
        stage_of("trained=encoder", "losses.adversarial_weighting=adaptive")


def test_the_discriminator_starts_from_a_released_one(tmp_path: Path) -> None:
    """From the side file of a tokenizer's weights, as REPA-E publishes them, and from a file of its own."""
    torch.manual_seed(7)
    released = PatchDiscriminator(4, layers=2)
    save_tokenizer(tokenizer(), tmp_path / "vae")
    weights = tmp_path / "flat.pt"
    torch.save(tokenizer().state_dict(), weights)
    torch.save(released.state_dict(), tmp_path / "flat-discriminator-ckpt.pt")
    for source in (weights, tmp_path / "flat-discriminator-ckpt.pt"):
        stage = stage_of(f"losses.discriminator_init={source}")
        found, expected = stage.discriminator.state_dict(), released.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    with pytest.raises(UserError, match=r"no discriminator to start from"):
        stage_of(f"losses.discriminator_init={tmp_path / 'vae'}")
    with pytest.raises(UserError, match=r"does not fit(?s:.*)losses\.discriminator_width"):
        stage_of(f"losses.discriminator_init={weights}", "losses.discriminator_width=8")


def test_latents_are_normalised_as_configured() -> None:
    """None: raw. Fixed: the tokenizer's statistics, which stay. Running: those at first, which then move."""
    seen: dict[str, Tensor] = {}
    for kind in ("none", "fixed", "running"):
        stage = stage_of(f"alignment.normalisation={kind}", "alignment.noise=false")
        assert stage.alignment is not None
        stage.alignment.register_forward_pre_hook(
            lambda _m, inputs, k=kind: seen.__setitem__(k, inputs[0].detach())
        )
        before = stage.latent_norm.running_mean.clone()
        stage.step(batch(), 0)
        assert torch.equal(before, stage.latent_norm.running_mean) == (kind != "running")
    torch.testing.assert_close(seen["fixed"], (seen["none"] - 0.5) / (4.0 + 1e-4) ** 0.5)
    assert torch.equal(seen["fixed"], seen["running"])
    with pytest.raises(UserError, match=r"statistics of the latents"):
        stage_of("alignment.normalisation=fixed", stats=False)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(UserError, match=r"alignment\.heads"):
        stage_of("alignment.heads=3")


def test_every_network_has_the_rate_that_it_was_given() -> None:
    rates = {}
    for own in ([], ["losses.discriminator_lr=2e-5", "alignment.lr=3e-4"]):
        stage = stage_of("optimizer.lr=1e-4", "alignment.lr=null", *own)
        stage.step(batch(), 0)
        rates[bool(own)] = stage.state.rates()
    assert rates[False] == {"lr_tokenizer": 1e-4, "lr_discriminator": 1e-4, "lr_alignment": 1e-4}
    assert rates[True] == {"lr_tokenizer": 1e-4, "lr_discriminator": 2e-5, "lr_alignment": 3e-4}


def test_no_clip_is_an_infinite_one() -> None:
    """A step of the size that the clipped gradient would not have given."""
    steps = []
    for clip in (".inf", "1e-3"):
        stage = stage_of(f"optimizer.clip={clip}", preset="plain")
        norm = float(stage.step(batch(), 0)["grad_norm_tokenizer"])
        state = stage.state.updaters["tokenizer"].optimizer.state
        moments = torch.cat([s["exp_avg"].flatten() for s in state.values()])
        steps.append(float(moments.norm()) / 0.1)  # the first moment after one step: a tenth of the gradient
        assert norm > 1e-3
    assert steps[0] == pytest.approx(norm, rel=1e-3)
    assert steps[1] == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("precision", ["fp32", "as-loop"])
def test_losses_networks_run_in_float32_where_asked(precision: str) -> None:
    """In a bf16 loop: LPIPS and the discriminator of both losses, as REPA-E keeps them; or all in bf16."""
    vae = training_of("loop.precision=bf16", f"losses.precision={precision}")
    found = vae.terms(images(), noise(), images_seen=0)
    fake = found.reconstruction.detach()
    assert fake.dtype == torch.bfloat16  # the VAE itself follows the loop
    piece = MicroBatch(batch(), Draws(0, 0, COUNT, slice(None), CPU), 0, reconstruction=fake)
    found_d = vae.discriminator_losses(piece).total
    with torch.no_grad():
        exact = {
            "perceptual": vae.perceptual(fake.float(), images()).mean(),
            "adversarial": -vae.discriminator(fake.float()).mean(),
            "discriminator": 0.5 * (torch.relu(1 - vae.discriminator(images())).mean()
                                    + torch.relu(1 + vae.discriminator(fake.float())).mean()),
        }  # fmt: skip
    values = {**found.scalars, "discriminator": found_d}
    for name, value in exact.items():
        equal = float(values[name].detach()) == float(value)
        assert equal == (precision == "fp32"), name
