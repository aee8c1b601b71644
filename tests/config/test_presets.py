"""The presets of the paper: what their headers promise, and that each changes only what it is named after."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sendvae.config import (
    DiffusionConfig,
    JointConfig,
    LatentsConfig,
    SampleConfig,
    TokenizerConfig,
    load_config,
    load_expected,
    preset_names,
)
from sendvae.config.load import PRESETS
from sendvae.config.schema_common import Section
from sendvae.errors import UserError
from sendvae.latents import SCORES
from sendvae.latents.scores.ifid import NEIGHBOURS, SHARE
from sendvae.vision import BACKBONES

SCHEMAS: dict[str, type[Section]] = {
    "tokenizer": TokenizerConfig, "diffusion": DiffusionConfig, "joint": JointConfig,
}  # fmt: skip
PAPER = [name for name in preset_names() if name.startswith(("imagenet", "ablations/"))]
HEADER = re.compile(r"sendvae train (tokenizer|diffusion|joint) (\S+)((?: \S+=\S+)*)\n")
MAIN = "imagenet256-f16d32-send"
EPOCH = 1_281_167


def text(name: str) -> str:
    return (PRESETS / f"{name}.yaml").read_text()


def load(name: str) -> TokenizerConfig | DiffusionConfig | JointConfig:
    header = HEADER.search(text(name))
    assert header is not None, name
    config = load_config(SCHEMAS[header[1]], name)
    assert isinstance(config, TokenizerConfig | DiffusionConfig | JointConfig)
    return config


def differing(a: str, b: str) -> set[str]:
    """Dotted keys in which two presets differ."""

    def flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in values.items():
            found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        return found

    first, second = (flat(load(name).model_dump()) for name in (a, b))
    return {key for key in first | second if first.get(key) != second.get(key)}


@pytest.mark.parametrize("name", PAPER)
def test_headers_say_command_cost_and_expectation(name: str) -> None:
    comments = text(name).partition("\n\n")[0]
    header = HEADER.search(text(name))
    assert header is not None
    assert header[2] == name
    assert re.search(r"# Cost: \d\.\de\+\d\d FLOP, [\d,]+ H100 hours", comments)
    assert "# Expected: " in comments
    load_config(SCHEMAS[header[1]], name, header[3].split())


@pytest.mark.parametrize("name", PAPER)
def test_no_preset_repeats_what_it_extends(name: str) -> None:
    own = yaml.safe_load(text(name))
    if "extends" not in own:
        return
    base = load(own.pop("extends")).model_dump()

    def repeated(values: dict[str, object], beneath: dict[str, object]) -> list[str]:
        found = []
        for key, value in values.items():
            if isinstance(value, dict) and isinstance(beneath.get(key), dict):
                found += repeated(value, beneath[key])  # type: ignore[arg-type]
            elif key in beneath and beneath[key] == value:
                found.append(key)
        return found

    assert not repeated(own, base)


def test_the_papers_setting() -> None:
    """Section 4.1, and the weights of REPA-E's code that it follows."""
    config = load(MAIN)
    assert isinstance(config, TokenizerConfig)
    losses, alignment, optimizer = config.losses, config.alignment, config.optimizer
    assert alignment is not None
    assert (losses.reconstruction, losses.reconstruction_weight, losses.perceptual_weight) == ("l1", 1.0, 1.0)
    assert (losses.kl_weight, losses.adversarial_weight, losses.adversarial_weighting) == (1e-6, 0.1, "fixed")
    assert (losses.discriminator_start, losses.adversarial_start, losses.discriminator_lr) == (0, 0, None)
    assert (losses.discriminator_width, losses.discriminator_layers) == (64, 3)
    assert losses.perceptual == "lpips-vgg"
    assert (alignment.method, alignment.weight, alignment.weighting) == ("send", 1.0, "fixed")
    assert (alignment.noise, alignment.depth, alignment.hidden, alignment.normalisation) == (
        True,
        1,
        2048,
        "running",
    )
    assert (optimizer.lr, optimizer.betas, optimizer.weight_decay, optimizer.clip) == (
        3e-4,
        [0.9, 0.999],
        0.0,
        1.0,
    )
    assert (config.loop.batch_size, config.loop.images, config.ema) == (1024, 80 * EPOCH, None)


def test_vavae_and_its_kl_weight() -> None:
    config = load("imagenet256-f16d32-vavae")
    assert isinstance(config, TokenizerConfig)
    assert config.alignment is not None
    # Its pixel losses are summed over an image.
    assert config.losses.kl_weight == pytest.approx(1e-6 / (3 * 256 * 256), rel=1e-3)
    assert (config.alignment.cosine_margin, config.alignment.distance_margin) == (0.5, 0.25)
    assert (config.alignment.weight, config.alignment.weighting) == (0.1, "adaptive")
    assert config.optimizer.clip == float("inf")
    assert config.loop.images == 50 * EPOCH
    assert (config.alignment.backbone, config.data.crop) == ("dinov2-l-vavae", "random")


def test_lightningdits_recipe() -> None:
    """Its configuration files: 64 and 800 epochs of batches of 1,024; sampling at the times of a shift of .3."""
    config = load("imagenet256-lightningdit-xl1-64")
    assert isinstance(config, DiffusionConfig)
    assert (config.repa, config.time_sampling, config.direction_weight) == (None, "lognormal", 1.0)
    assert (config.time_shift, config.qk_norm, config.path, config.ema) == (1.0, False, "linear", 0.9999)
    optimizer = config.optimizer
    assert (optimizer.lr, optimizer.betas, optimizer.weight_decay) == (2e-4, [0.9, 0.95], 0.0)
    assert (optimizer.clip, optimizer.warmup) == (float("inf"), 0)
    steps = {"xl1-64": 80_000, "xl1-800": 1_000_000, "b1": 100_000}
    for name, count in steps.items():
        loop = load(f"imagenet256-lightningdit-{name}").loop
        assert loop.images == count * loop.batch_size == count * 1024
    guided = {"64": (5.14, 2.11, 10.0, 0.10), "800": (2.17, 1.35, 6.7, 0.125)}
    for epochs, (plain, best, scale, start) in guided.items():
        expected = load_expected(f"imagenet256-lightningdit-xl1-{epochs}")
        assert [one.value for one in expected if one.metric == "fid"] == [plain, best]
        sampling = load_config(SampleConfig, f"sample/lightningdit-{epochs}-guided")
        assert (sampling.guidance_scale, sampling.guided_channels) == (scale, "first-three")
        assert sampling.guidance_interval == [0.0, 1.0 - start]  # their time runs the other way
        assert (sampling.method, sampling.steps) == ("euler", 249)
        assert sampling.time_shift == pytest.approx(1 / 0.3)


def test_ifid_as_its_authors_measure_it() -> None:
    """Their evalvae.py: every image, posterior samples, pytorch-fid's network; what differs is named in the header."""
    config = load_config(LatentsConfig, "evaluate/ifid")
    assert (config.scores, config.latent, config.latent_space) == (["ifid"], "sample", "diffusion")
    assert (config.ifid.features, config.ifid.samples, config.ifid.repeats) == (
        "inception-pytorch-fid",
        None,
        1,
    )
    assert (NEIGHBOURS, SHARE) == (10, 0.5)
    assert SCORES["ifid"].quantity("ifid-pytorch").label == "iFID-pytorch"
    assert "rounded to 8 bits" in text("evaluate/ifid")


@pytest.mark.parametrize(
    ("name", "base", "keys"),
    [
        ("imagenet256-f16d32-send-dinov3", MAIN, {"alignment.backbone"}),
        ("imagenet256-f16d32-send-from-invae", MAIN, {"init", "losses.discriminator_init"}),
        ("imagenet256-f8d4-send", MAIN, {"init", "losses.discriminator_init", "loop.accumulate"}),
        ("imagenet512-f8d4-send", "imagenet256-f8d4-send", {"data.source", "data.size", "alignment.grid", "loop.accumulate", "losses.discriminator_sync"}),
        ("ablations/no-noise", MAIN, {"alignment.noise"}),
        ("ablations/depth-0", "ablations/no-noise", {"alignment.depth"}),
        ("ablations/depth-2", "ablations/no-noise", {"alignment.depth"}),
        ("ablations/l2", MAIN, {"losses.reconstruction"}),
        ("ablations/ema", MAIN, {"ema"}),
        ("ablations/encoder-only", MAIN, {"trained"}),
        ("ablations/normalisation-none", MAIN, {"alignment.normalisation"}),
        ("ablations/normalisation-fixed", MAIN, {"alignment.normalisation"}),
        ("ablations/vfm-siglip-b", MAIN, {"alignment.backbone"}),
        *((f"ablations/vfm-{m}", MAIN, {"alignment.backbone", "alignment.heads"})
          for m in ("mae-l", "clip-l", "ijepa-h", "siglip-l", "dinov2-l", "dinov3-l")),
        ("imagenet256-sit-s1", "imagenet256-sit-b1", {"model"}),
        ("imagenet256-sit-b1-depth8", "imagenet256-sit-b1", {"repa.depth"}),
        ("imagenet256-sit-b2-depth8", "imagenet256-sit-b2", {"repa.depth"}),
        ("imagenet256-sit-l1", "imagenet256-sit-b1", {"model", "repa.depth", "loop.checkpoint_every"}),
        ("imagenet256-sit-xl1", "imagenet256-sit-l1", {"model"}),
        ("imagenet256-lightningdit-xl1-800", "imagenet256-lightningdit-xl1-64", {"loop.images", "loop.milestone_every"}),
        ("imagenet256-lightningdit-b1", "imagenet256-lightningdit-xl1-64", {"model", "loop.images", "loop.checkpoint_every"}),
        ("imagenet256-sit-b2", "imagenet256-sit-b1", {"model", "tokenizer"}),
        ("imagenet256-sit-xl2", "imagenet256-sit-xl1", {"model", "tokenizer"}),
    ],
)  # fmt: skip
def test_a_variant_changes_what_it_is_named_after(name: str, base: str, keys: set[str]) -> None:
    assert differing(name, base) == keys


@pytest.mark.parametrize("name", PAPER)
def test_small_shares_have_a_synced_discriminator(name: str) -> None:
    """BatchNorm over fewer than 16 images a process, of the eight that the presets are for, is over all of them."""
    config = load(name)
    if not isinstance(config, DiffusionConfig):
        share = config.loop.batch_size / (8 * config.loop.accumulate)
        assert config.losses.discriminator_sync == (share < 16)
        assert config.losses.precision == "fp32"  # as REPA-E, and VA-VAE throughout


def test_both_depths_of_sit_b_are_presets() -> None:
    for name in ("imagenet256-sit-b1", "imagenet256-sit-b2"):
        four, eight = load(name), load(f"{name}-depth8")
        assert isinstance(four, DiffusionConfig)
        assert isinstance(eight, DiffusionConfig)
        assert four.repa is not None
        assert eight.repa is not None
        assert (four.repa.depth, eight.repa.depth) == (4, 8)


@pytest.mark.parametrize("name", PAPER)
def test_heads_divide_the_targets_width(name: str) -> None:
    config = load(name)
    if isinstance(config, TokenizerConfig) and config.alignment and config.alignment.method == "send":
        a = config.alignment
        assert (a.width or BACKBONES[a.backbone].width) % a.heads == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_costs_are_the_estimators(name: str) -> None:
    from sendvae.training.estimate import estimate

    config = load(name)
    if isinstance(config, TokenizerConfig) and config.init.startswith("runs/"):  # not trained yet: its shape
        channels = re.search(r"f16d\d\d", name)
        assert channels is not None
        config = config.model_copy(update={"init": f"fresh:{channels[0]}"})
    found = estimate(config)
    written = re.search(r"# Cost: (\S+) FLOP, ([\d,]+) H100 hours at 350 TFLOP/s", text(name))
    assert written is not None
    assert float(written[1]) == pytest.approx(found.flops_total, rel=0.06)
    hours = float(written[2].replace(",", ""))  # whole hours: a cost of one digit has no 6 %
    assert hours == pytest.approx(found.hours(tflops=350), rel=0.06, abs=0.5)


def test_what_presets_expect_is_no_part_of_their_configurations() -> None:
    found = {one.metric: one for one in load_expected(MAIN)}
    assert {name: one.value for name, one in found.items()} == {
        "fid": 7.57, "sfid": 5.37, "is": 115.3, "precision": 0.74, "recall": 0.6,
        "rfid": 0.31, "psnr": 27.62, "lpips-vgg": 0.101, "ssim": 0.77,
    }  # fmt: skip
    assert "no guidance" in found["fid"].source
    assert "Tables 3, 4, 6, 7, 8;" in found["fid"].source
    child = load_expected("imagenet256-f8d4-send")  # which extends the other, and is another tokenizer
    assert [one.value for one in child if one.metric == "fid"] == [11.86]
    assert load_expected("demo/plain") == []
    assert "expected" not in load(MAIN).model_dump()


def test_a_preset_that_expects_says_so_in_its_header() -> None:
    for name in PAPER:
        announced = re.search(r"# Expected: the numbers? at the end", text(name))
        assert bool(announced) == bool(load_expected(name)), name


def test_expected_numbers_without_a_source_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: demo/plain\nexpected: [{metric: psnr, value: 3.0}]\n")
    with pytest.raises(UserError, match="'source' is missing"):
        load_expected(path)
    path.write_text("extends: demo/plain\nexpected: [send-vae-sit-b1-80/sendvae]\n")
    with pytest.raises(UserError, match="did you mean 'send-vae'"):
        load_expected(path)
    path.write_text("extends: demo/plain\nexpected: [send-vae]\n")
    with pytest.raises(UserError, match="PROTOCOL/ROW"):
        load_expected(path)
    path.write_text("extends: demo/plain\nexpected: 3\n")
    with pytest.raises(UserError, match="must be a list"):
        load_expected(path)
    assert load_config(TokenizerConfig, path) == load_config(TokenizerConfig, "demo/plain")
