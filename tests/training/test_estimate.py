"""Estimates against counted steps of the real stages, and against arithmetic by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sendvae.config import DiffusionConfig, JointConfig, TokenizerConfig, load_config
from sendvae.data import open_embedded
from sendvae.diffusion import GENERATORS, build_sit
from sendvae.errors import UserError
from sendvae.tokenizers import build_tokenizer, load_tokenizer
from sendvae.training.cost import Estimate, Network
from sendvae.training.estimate import estimate, estimate_passes
from sendvae.training.meta import COUNTED, META, Counter
from sendvae.training.networks import tokenizer_networks, vae_networks
from sendvae.training.source import Batch, Source
from sendvae.training.stages import DiffusionStage, JointStage, TokenizerStage

CPU = torch.device("cpu")
SMALL = ["loop.batch_size=2", "loop.precision=fp32", "loop.images=1000"]
BIG_SIT = ["data.size=256", "data.classes=1000", "tokenizer=fresh:f16d32", "repa.backbone=dinov3-b"]


def counted(step: object, *arguments: object) -> int:
    """FLOPs of a real step; attention as the products that the meta device counts."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        step(*arguments)  # type: ignore[operator]
    return counter.get_total_flops()


def real_batch(grid: int | None, latents: bool = False) -> tuple[Source, Batch]:
    images = open_embedded("emoji", "train", limit=2)
    batch = images.batch([0, 1])
    tokens = torch.randn(2, grid * grid, 1280) if grid else None
    latent = torch.rand(2, 16, 8, 8) if latents else None
    return Source(images), Batch(batch.images, batch.labels, latent, latent, tokens)


@pytest.mark.parametrize(
    ("preset", "overrides"),
    [("plain", []), ("direct", []), ("send-vae", []), ("send-vae", ["trained=encoder"])],
)
def test_tokenizer_flops_are_those_of_a_step(preset: str, overrides: list[str]) -> None:
    """Adaptive weights and a frozen decoder included."""
    config = load_config(TokenizerConfig, f"demo/{preset}", [*SMALL, *overrides])
    source, batch = real_batch(4 if config.alignment else None)
    width = 1280 if config.alignment else None
    networks = tokenizer_networks(config, load_tokenizer("demo-f8d16"), 64, width)
    stage = TokenizerStage(config, networks, source, CPU)
    found = estimate(config)
    assert counted(stage.step, batch, 20_004) == found.flops_per_step


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_results_on_the_meta_device_have_the_shapes_of_real_ones(memory_format: torch.memory_format) -> None:
    """Those of the operations that are answered without running them: activations and groups, there and back.

    And batches, there.
    """

    def results(device: torch.device, asked: bool) -> list[tuple[torch.Size, torch.dtype, tuple[int, ...]]]:
        x = torch.randn(3, 8, 4, 6, device=device).to(memory_format=memory_format).requires_grad_()
        weight, bias = (torch.ones(8, device=device, requires_grad=asked) for _ in range(2))
        y = nn.functional.silu(nn.functional.group_norm(nn.functional.hardtanh(x), 2, weight, bias))
        (y * y).sum().backward()
        found = [tensor for tensor in (y, x.grad, weight.grad, bias.grad) if tensor is not None]
        for training in (True, False):
            mean, variance = torch.zeros(8, device=device), torch.ones(8, device=device)
            normalised = torch.ops.aten.native_batch_norm(
                x, weight, bias, mean, variance, training, 0.1, 1e-5
            )
            found += [tensor.detach() for tensor in normalised]
        return [(tensor.shape, tensor.dtype, tensor.stride()) for tensor in found]

    for asked, count in ((True, 10), (False, 8)):
        with Counter()("part"):
            found = results(META, asked)
        assert len(found) == count
        assert found == results(CPU, asked)


def test_diffusion_flops_are_those_of_a_step() -> None:
    config = load_config(DiffusionConfig, "demo/sit-tiny", SMALL)
    source, batch = real_batch(4, latents=True)
    sit = build_sit("SiT-Tiny/2", latent_channels=16, latent_size=8, num_classes=10, repa_width=1280)
    stats = load_tokenizer("demo-f8d16").latent_stats
    assert stats is not None
    stage = DiffusionStage(config, sit, stats, source, CPU)
    assert counted(stage.step, batch, 0) == estimate(config).flops_per_step


def test_joint_flops_are_those_of_a_step() -> None:
    config = load_config(JointConfig, "demo/joint", SMALL)
    source, batch = real_batch(4)
    sit = build_sit("SiT-Tiny/2", latent_channels=16, latent_size=8, num_classes=10, repa_width=1280)
    stage = JointStage(config, vae_networks(config, load_tokenizer("demo-f8d16")), sit, source, CPU)
    assert counted(stage.step, batch, 0) == estimate(config).flops_per_step


def test_a_checkpoint_is_as_large_as_estimated() -> None:
    """Up to buffers: statistics of latents and of BatchNorm, steps of the optimisers."""
    config = load_config(JointConfig, "demo/joint", SMALL)
    source, batch = real_batch(4)
    sit = build_sit("SiT-Tiny/2", latent_channels=16, latent_size=8, num_classes=10, repa_width=1280)
    stage = JointStage(config, vae_networks(config, load_tokenizer("demo-f8d16")), sit, source, CPU)
    stage.step(batch, 0)
    size = sum(
        t.numel() * t.element_size() for group in stage.state.tensors().values() for t in group.values()
    )
    assert estimate(config).checkpoint == pytest.approx(size, rel=1e-3)


@pytest.mark.parametrize("projection", ["mlp", "conv"])
@pytest.mark.parametrize("network", GENERATORS)
def test_flops_of_a_generator_by_hand(network: str, projection: str) -> None:
    """Multiply-adds of every matrix product of size B/1, three times (forward and two backward) two.

    SwiGLU has three products of two thirds of the MLP's width, and so as many.
    """
    overrides = [
        *BIG_SIT,
        f"model={network}-B/1",
        "repa.backbone=effnet-lite0",
        f"repa.projector={projection}",
    ]
    found = estimate(load_config(DiffusionConfig, "demo/sit-tiny", overrides))
    tokens, width, channels, depth, hidden, target = 256, 768, 32, 12, 2048, 1280
    block = tokens * 12 * width**2 + 2 * tokens**2 * width + 6 * width**2
    embedding, time = tokens * channels * width, 256 * width
    rest = (
        width**2 + 2 * width**2 + tokens * width * channels
    )  # time's second layer, final modulation, output
    projector = tokens * (width * hidden + hidden**2 + hidden * target)
    if projection == "conv":
        projector = tokens * 3 * 3 * width * target
    products = depth * block + embedding + time + rest + projector
    # Nothing needs the gradient of the latents and of the sinusoids.
    assert found.flops["generator"] == 6 * products - 2 * (embedding + time)


def test_numbers_of_the_published_networks() -> None:
    send = estimate(load_config(TokenizerConfig, "imagenet256-f16d32-send"))
    parameters = {network.name: network.parameters for network in send.networks}
    assert parameters["tokenizer"] == 69_836_067
    assert parameters["discriminator"] == 2_765_633
    assert parameters["foundation model"] == 86_579_712
    xl = estimate(load_config(DiffusionConfig, "demo/sit-tiny", [*BIG_SIT, "model=SiT-XL/1"]))
    (network,) = xl.networks
    assert network == Network("generator", 683_279_392, 683_279_392 - 256 * 1152, 683_279_392)
    # The encoder's 69.0 billion multiply-adds.
    assert xl.once["latents"] == pytest.approx(2 * 69.0e9, rel=0.005)
    assert "foundation model" in xl.once  # its tokens are cached there, and computed at every step here
    assert send.flops["foundation model"] == pytest.approx(2 * 23.0e9, rel=0.01)


def test_run_memory_and_hours_by_hand() -> None:
    networks = [Network("generator", 1000, 900, 1000), Network("frozen", 500, 0)]
    whole = Estimate(networks, {"generator": 6e9}, {}, 10.0, 1001, 100, accumulate=2, sharded=False)
    assert whole.steps == 11
    assert whole.flops_total == 6e9 * 1100
    assert whole.memory() == {
        "weights": 6000.0, "gradients": 3600.0, "optimiser": 7200.0, "average": 4000.0, "activations": 500.0,
    }  # fmt: skip
    assert whole.hours(tflops=1.0) == pytest.approx(6.6 / 3600)
    assert whole.hours(images_per_second=10.0) == pytest.approx(100.1 / 3600)
    with pytest.raises(ValueError, match="tflops"):
        whole.hours()
    sharded = Estimate(networks, {"generator": 6e9}, {}, 10.0, 1001, 100, accumulate=2, sharded=True)
    assert sharded.memory(4)["weights"] == 4 * 1000 / 4 + 4 * 500
    assert (
        sharded.memory(4)["activations"] == 10.0 * 13
    )  # 100 images among 4 processes in 2 pieces, rounded up


def test_saved_activations_by_hand() -> None:
    """A linear layer saves its input, a ReLU its output, which is the next layer's input; weights are none."""
    with META:
        network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    count = Counter(network)
    with count("all"):
        network(torch.zeros(COUNTED, 8, device=META)).sum().backward()
    assert count.activations == 4 * (8 + 16)
    # Forward, and backward without the gradient of the input.
    assert count.flops["all"] == 2 * (3 * (8 * 16 + 16 * 4) - 8 * 16)


def test_unknown_sizes_are_asked_for() -> None:
    config = load_config(TokenizerConfig, "demo/plain", ["data.source=nowhere"])
    with pytest.raises(UserError, match=r"size of the images(?s:.*)data\.size"):
        estimate(config)
    known = estimate(load_config(TokenizerConfig, "demo/plain", ["data.source=nowhere", "data.size=64"]))
    assert known.flops == estimate(load_config(TokenizerConfig, "demo/plain")).flops


@pytest.mark.parametrize(
    ("name", "channels"), [("dc-ae-f32c32-sana-1.0", 32), ("wan2.1-f8d16", 16), ("rae-dinov2-b", 768)]
)
def test_networks_of_diffusers_are_estimated_by_their_shapes(name: str, channels: int) -> None:
    """Their encoding counts as that of others does; their training is refused."""
    overrides = ["data.size=256", "data.classes=10", "repa=null", "model=SiT-S/1", f"tokenizer={name}"]
    found = estimate(load_config(DiffusionConfig, "demo/sit-tiny", overrides))
    assert found.once["latents"] > 1e9
    own = estimate(load_config(DiffusionConfig, "demo/sit-tiny", [*overrides, "tokenizer=fresh:f16d16"]))
    (sit,), (other,) = found.networks, own.networks
    assert sit.trained - other.trained == (2 * 384 + 1) * (channels - 16)  # first and last layer
    with pytest.raises(UserError, match="not fine-tuned"):
        estimate(load_config(TokenizerConfig, "demo/plain", [f"init={name}", "data.size=256"]))


def test_no_weight_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("an estimate reads no weights")

    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr("safetensors.torch.load_file", refuse)
    found = estimate(load_config(TokenizerConfig, "imagenet512-f8d4-send"))
    assert found.flops_per_image > 1e13
    assert all(
        p.device.type == "cpu" for p in build_tokenizer("demo-f8d16").parameters()
    )  # META is left again


def test_passes_are_those_of_the_networks() -> None:
    config = load_config(DiffusionConfig, "demo/sit-tiny", SMALL)
    found = estimate_passes(config)
    tokenizer = load_tokenizer("demo-f8d16").eval()
    generator = build_sit("SiT-Tiny/2", latent_channels=16, latent_size=8, num_classes=7).eval()
    latent, labels = torch.randn(2, 16, 8, 8), torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        assert counted(tokenizer.encode, torch.zeros(2, 3, 64, 64)) == 2 * found["encode"]
        assert counted(tokenizer.decode, latent) == 2 * found["decode"]
        assert counted(generator, latent, torch.full((2,), 0.5), labels) == 2 * found["network"]
