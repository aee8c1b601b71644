"""REPA-E's joint step: who is updated by what, the normalisation's two modes, exact resume."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.conftest import WIDTH
from torch import Tensor

from sendvae.config import JointConfig, load_config
from sendvae.data import LatentCache, open_embedded
from sendvae.diffusion import SiT
from sendvae.randomness import Draws
from sendvae.runs import RunFolder
from sendvae.tokenizers import Architecture, Autoencoder, LatentStats
from sendvae.training import train
from sendvae.training.micro_batches import MicroBatch
from sendvae.training.networks import vae_networks
from sendvae.training.parts import Losses
from sendvae.training.source import Batch, Source
from sendvae.training.stages import JointStage

SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 1, 2, 2), num_res_blocks=1, norm_groups=4, resolution=64)
NO_PIXELS = ["losses.reconstruction_weight=0", "losses.perceptual_weight=0", "losses.kl_weight=0", "losses.adversarial_weight=0"]  # fmt: skip


def joint_stage(
    tokens: LatentCache, *overrides: str, device: torch.device = torch.device("cpu")
) -> JointStage:
    config = load_config(
        JointConfig,
        "demo/joint",
        ["loop.images=24", "loop.batch_size=4", "loop.precision=fp32", "loop.log_every=8", "loop.checkpoint_every=8",
         "losses.discriminator_width=4", "optimizer.warmup=0", *overrides],
    )  # fmt: skip
    torch.manual_seed(0)
    tokenizer = Autoencoder(
        SMALL, LatentStats(torch.tensor([0.1, -0.5, 1.0, 0.3]), torch.tensor([2.0, 0.5, 1.5, 3.0]))
    )
    sit = SiT(latent_channels=4, latent_size=8, patch_size=2, width=16, depth=2, heads=2, num_classes=10,
              repa_width=WIDTH, repa_depth=1, repa_hidden=16)  # fmt: skip
    with torch.no_grad():  # away from the zero initialisation, behind which gradients are zero
        for parameter in sit.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    source = Source(open_embedded("emoji", "train", limit=24), tokens=tokens)
    return JointStage(config, vae_networks(config, tokenizer), sit, source, device)


def weights(stage: JointStage) -> dict[str, Tensor]:
    return {f"{g}/{n}": t.clone() for g, named in stage.state.tensors().items() for n, t in named.items()}


def step(stage: JointStage, images_seen: int = 0) -> dict[str, Tensor]:
    return stage.step(stage.source.__getitems__([0, 1, 2, 3]), images_seen)


@pytest.mark.parametrize(
    ("updater", "changed"),
    [("tokenizer", {"tokenizer"}), ("discriminator", {"discriminator"}), ("sit", {"sit", "ema"})],
)
def test_each_optimiser_changes_exactly_its_parameters(
    updater: str, changed: set[str], tokens: LatentCache
) -> None:
    """The other two optimisers are stopped; buffers (BatchNorm's, the latents') move without any."""
    stage = joint_stage(tokens)
    for name, other in stage.state.updaters.items():
        if name != updater:
            other.optimizer.step = lambda: None  # type: ignore[method-assign]
    before = {n: p.detach().clone() for n, p in _parameters(stage)}
    step(stage)
    moved = {n for n, p in _parameters(stage) if not torch.equal(before[n], p)}
    assert {n.partition("/")[0] for n in moved} == changed
    assert "sit/pos_embed" not in moved
    if updater == "tokenizer":
        assert {n.split("/")[1].split(".")[0] for n in moved} == {
            "encoder",
            "decoder",
            "quant_conv",
            "post_quant_conv",
        }


def _parameters(stage: JointStage) -> list[tuple[str, Tensor]]:
    networks = {**stage.state.networks, "ema": stage.ema.network}
    return [(f"{g}/{n}", p) for g, network in networks.items() for n, p in network.named_parameters()]


def test_alignment_reaches_the_encoder_through_the_sit_and_not_the_decoder(tokens: LatentCache) -> None:
    stage = joint_stage(tokens, *NO_PIXELS)
    before = {n: p.detach().clone() for n, p in stage.tokenizer.named_parameters()}
    scalars = step(stage)
    moved = {n.split(".")[0] for n, p in stage.tokenizer.named_parameters() if not torch.equal(before[n], p)}
    assert moved == {"encoder", "quant_conv"}
    assert -1 <= float(scalars["alignment"]) <= 1


def test_the_velocity_loss_never_reaches_the_vae(tokens: LatentCache) -> None:
    """Without pixels and alignment the VAE has no gradient at all."""
    stage = joint_stage(tokens, *NO_PIXELS, "alignment_weight=0")
    scalars = step(stage)
    assert float(scalars["grad_norm_tokenizer"]) == 0.0
    assert float(scalars["grad_norm_sit"]) > 0.0


def test_the_vae_sees_running_statistics_and_the_sit_the_batchs(tokens: LatentCache) -> None:
    stage = joint_stage(tokens)
    seen: list[Tensor] = []
    handle = stage.latent_norm.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0].detach()))
    given: list[Tensor] = []

    def noting(piece: MicroBatch) -> Losses:
        assert piece.latent is not None
        given.append(piece.latent)
        return stage.generator_losses(piece)

    stage.generator_part = replace(stage.generator_part, losses=noting)
    before = copy.deepcopy(stage.latent_norm)
    step(stage)
    handle.remove()
    (z,), (normalised,) = seen, given
    reference = torch.nn.BatchNorm2d(4, eps=1e-4, momentum=0.1, affine=False)
    reference.load_state_dict(before.state_dict())
    torch.testing.assert_close(normalised, reference(z), rtol=1e-4, atol=1e-4)
    for name, expected in reference.state_dict().items():
        torch.testing.assert_close(stage.latent_norm.state_dict()[name], expected, rtol=1e-4, atol=1e-5)


def test_the_vae_drops_no_labels_and_the_sit_is_frozen_meanwhile(tokens: LatentCache) -> None:
    stage = joint_stage(tokens, "label_dropout=1.0")
    stage.generator.label_dropout = 1.0
    labels: list[tuple[str, Tensor]] = []
    trainable: list[bool] = []
    features, both = stage.generator.features, stage.generator.forward_with_features

    def for_the_vae(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        labels.append(("vae", y))
        trainable.append(any(p.requires_grad for p in stage.generator.parameters()))
        return features(x, t, y)

    def for_the_sit(x: Tensor, t: Tensor, y: Tensor) -> object:
        labels.append(("sit", y))
        return both(x, t, y)

    stage.generator.features, stage.generator.forward_with_features = for_the_vae, for_the_sit  # type: ignore[method-assign, assignment]
    step(stage)
    (who, kept), (then, dropped) = labels
    assert (who, then) == ("vae", "sit")
    assert torch.equal(kept, stage.source.__getitems__([0, 1, 2, 3]).labels)
    assert set(dropped.tolist()) == {stage.generator.null_label}
    assert trainable == [False]


def test_the_vae_learns_through_the_generators_path(tokens: LatentCache) -> None:
    stage = joint_stage(tokens)
    stage.generator.path = "cosine"
    normalised: list[Tensor] = []
    handle = stage.latent_norm.register_forward_hook(lambda _m, _i, out: normalised.append(out.detach()))
    seen: list[tuple[Tensor, Tensor]] = []
    features = stage.generator.features

    def noting(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        seen.append((x.detach(), t[:, None, None, None]))
        return features(x, t, y)

    stage.generator.features = noting  # type: ignore[method-assign]
    step(stage)
    handle.remove()
    ((x_t, t),) = seen
    noise = Draws(stage.config.seed, 0, 4, slice(0, 4), torch.device("cpu")).normal(
        "interpolant noise", (4, 8, 8)
    )
    expected = (torch.pi / 2 * t).cos() * normalised[0] + (torch.pi / 2 * t).sin() * noise
    torch.testing.assert_close(x_t, expected, rtol=1e-5, atol=1e-5)


def test_features_are_those_of_the_whole_network(tokens: LatentCache) -> None:
    sit = joint_stage(tokens).generator
    x, t, labels = torch.randn(2, 4, 8, 8), torch.rand(2), torch.tensor([0, 3])
    assert torch.equal(sit.features(x, t, labels), sit.forward_with_features(x, t, labels)[1])


def test_a_resumed_run_ends_bit_equal(tokens: LatentCache, tmp_path: Path) -> None:
    results = []
    for name, lengths in (("unbroken", [24]), ("resumed", [8, 24])):
        for length in lengths:
            stage = joint_stage(tokens, f"loop.images={length}")
            with RunFolder(tmp_path / name).prepare({}, {}) as run:
                train(stage, run, stage.config.loop, seed=0)
        results.append(weights(stage))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_accumulated_pieces_have_the_losses_of_the_whole_batch(tokens: LatentCache) -> None:
    """BatchNorm of the discriminator sees smaller pieces: its terms are left out."""
    off = ["losses.discriminator_start=1000", "losses.adversarial_start=1000"]
    whole, pieces = (step(joint_stage(tokens, *off, f"loop.accumulate={n}")) for n in (1, 2))
    for name in ("reconstruction", "kl", "alignment", "velocity", "repa", "grad_norm_sit"):
        assert float(pieces[name]) == pytest.approx(float(whole[name]), rel=1e-4), name


def test_batches_are_joined_with_their_tokens(tokens: LatentCache) -> None:
    batch: Batch = joint_stage(tokens).source.__getitems__([5, 2])
    assert batch.tokens is not None
    assert torch.equal(batch.tokens, tokens.batch(np.array([5, 2]))["tokens"])
