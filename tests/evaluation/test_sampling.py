"""Images of a diffusion model: their noise, their guidance, their way to pixels."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.elsewhere import elsewhere
from tests.evaluation.samplable import CLASSES, small_sit, small_tokenizer
from torch import Tensor

from sendvae.config import SamplingConfig, validate
from sendvae.diffusion import sample
from sendvae.evaluation import generate
from sendvae.evaluation.sampling import ImageNoise, decode_samples, draw_images, truncate_to_uint8
from sendvae.nn import precision
from sendvae.nn.precision import number_format
from sendvae.tokenizers import Autoencoder

LABELS = torch.tensor([3, 0, 0, 4, 1, 2, 3, 1, 4, 0])


def sampling(**values: Any) -> SamplingConfig:
    return validate(SamplingConfig, {"steps": 4, "batch_size": 4, "guidance_scale": 2.0, **values})


def drawn(seed: int = 0, **values: Any) -> Tensor:
    return torch.cat(list(generate(small_sit(), small_tokenizer(), LABELS, sampling(**values), seed)))


def levels(a: Tensor, b: Tensor) -> int:
    return int((a.short() - b.short()).abs().max())


@given(seed=st.integers(0, 2**40), numbers=st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_noise_is_a_function_of_seed_number_and_step(seed: int, numbers: list[int]) -> None:
    together = ImageNoise(seed, numbers, (2, 3, 3))
    steps = [together() for _ in range(3)]
    for row, number in enumerate(numbers):
        alone = ImageNoise(seed, [number], (2, 3, 3))
        for step in steps:
            assert torch.equal(alone()[0], step[row])


def test_seed_number_and_step_each_change_the_noise() -> None:
    first = ImageNoise(0, range(3), (4, 16, 16))
    values = [*first(), *first(), *ImageNoise(1, range(3), (4, 16, 16))()]
    rows = torch.stack(values).flatten(1)
    correlations = rows.corrcoef() - torch.eye(len(rows), dtype=torch.float64)
    assert correlations.abs().max() < 6 / math.sqrt(rows.shape[1])
    assert float(rows.mean()) == pytest.approx(0.0, abs=5 / math.sqrt(rows.numel()))
    assert float(rows.std()) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("method", ["euler", "heun", "euler-maruyama"])
def test_an_image_is_the_same_in_batches_of_any_size(method: str) -> None:
    reference = drawn(method=method, batch_size=1)
    for size in (3, 7):
        assert levels(drawn(method=method, batch_size=size), reference) <= 1
    assert len({image.numpy().tobytes() for image in reference}) == len(LABELS)


def test_images_of_one_label_differ_and_seeds_differ() -> None:
    one, other = drawn(0), drawn(1)
    assert torch.equal(one, drawn(0))
    for a, b in zip(one, other, strict=True):
        assert levels(a, b) > 10
    assert levels(one[1], one[2]) > 10  # both of class 0


def test_noise_of_every_step_is_each_images_own() -> None:
    """`generate` gives `sample` the noise of the numbered images, from the start to the last noisy step."""
    sit, tokenizer = small_sit(), small_tokenizer()
    source = ImageNoise(3, [7, 2], (4, 4, 4))
    start = source().float()
    z = sample(sit, start, LABELS[:2], steps=4, guidance_scale=2.0, step_noise=source)
    stats = tokenizer.latent_stats
    assert stats is not None
    with torch.no_grad():
        raw = z * stats.std[:, None, None] + stats.mean[:, None, None]
        expected = (tokenizer.decode(raw) * 127.5 + 127.5).clamp(0, 255).round().byte()
    found = draw_images(sit, tokenizer, [7, 2], LABELS[:2], sampling(), 3)
    assert levels(found, expected) == 0
    assert {0, 255} <= set(found.flatten().tolist())


def test_every_setting_arrives() -> None:
    """Each of them alone changes the images."""
    base = drawn()
    for change in (
        {"guidance_scale": 1.0},
        {"guidance_scale": 3.0},
        {"guidance_interval": [0.0, 0.5]},
        {"guidance_interval": [0.5, 1.0]},
        {"guided_channels": "first-three"},
        {"steps": 5},
        {"method": "euler"},
        {"method": "heun"},
        {"time_shift": 3.0},
        {"time_shift": "dimension"},
        {"rounding": "truncate"},
        {"precision": "bf16"},
    ):
        assert not torch.equal(drawn(**change), base), change
    flipped = torch.cat(list(generate(small_sit(), small_tokenizer(), LABELS.flip(0), sampling(), 0)))
    assert not torch.equal(flipped, base)


def test_three_channels_of_four_are_guided() -> None:
    """As in `forward_with_cfg` of SiT and LightningDiT: after one step the fourth is that of no guidance."""

    class Shown(Autoencoder):
        def decode(self, z: Tensor) -> Tensor:
            latents.append(z)
            return super().decode(z)

    latents: list[Tensor] = []
    own = small_tokenizer()
    tokenizer = Shown(own.architecture, own.latent_stats).eval()
    for scale, channels in ((1.0, "all"), (3.0, "all"), (3.0, "first-three")):
        config = sampling(method="euler", steps=1, guidance_scale=scale, guided_channels=channels)
        draw_images(small_sit(), tokenizer, [0, 1], LABELS[:2], config, 0)
    plain, guided, some = latents
    assert not torch.allclose(plain, guided)
    torch.testing.assert_close(some, torch.cat([guided[:, :3], plain[:, 3:]], dim=1))


def test_the_interval_is_passed_low_end_first() -> None:
    sit, seen = small_sit(), []
    sit.register_forward_pre_hook(lambda _, inputs: seen.append((len(inputs[0]), float(inputs[1][0]))))
    config = sampling(method="euler", steps=4, guidance_interval=[0.5, 0.75])
    list(generate(sit, small_tokenizer(), LABELS[:2], config, 0))
    assert seen == [(2, 1.0), (4, 0.75), (4, 0.5), (2, 0.25)]


def test_truncation_is_repa_es() -> None:
    images = (
        torch.tensor([-1.2, -1.0, -0.5, 0.0, 0.4999, 0.999, 1.0, 7.0]).view(1, 1, 1, 8).expand(1, 3, 1, 8)
    )
    expected = torch.clamp(255.0 * ((images + 1) / 2.0), 0, 255).to(torch.uint8)
    found = truncate_to_uint8(images)
    assert torch.equal(found, expected)
    assert found[0, 0, 0].tolist() == [0, 0, 63, 127, 191, 254, 255, 255]


def test_truncated_pixels_are_never_brighter() -> None:
    difference = drawn().short() - drawn(rounding="truncate").short()
    assert set(difference.unique().tolist()) == {0, 1}


def test_a_tokenizer_without_statistics_is_refused() -> None:
    tokenizer = small_tokenizer()
    tokenizer.latent_stats = None
    with pytest.raises(ValueError, match="no latent statistics"):
        list(generate(small_sit(), tokenizer, LABELS, sampling(), 0))


def test_sampling_elsewhere() -> None:
    """On another device the noise is the same, and nothing stays behind on the CPU."""
    here = drawn()
    with elsewhere() as device:
        sit, tokenizer = small_sit().to(device), small_tokenizer().to(device)
        there = torch.cat(list(generate(sit, tokenizer, LABELS, sampling(), 0)))
    assert there.device.type == "cpu"
    assert levels(there, here) <= 1


def test_a_device_without_float64_integrates_in_float32_and_says_so() -> None:
    here = drawn()
    with elsewhere(float64=False) as device:
        sit, tokenizer = small_sit().to(device), small_tokenizer().to(device)
        images = generate(sit, tokenizer, LABELS, sampling(), 0)
        with pytest.warns(UserWarning, match="no float64") as warned:
            there = torch.cat(list(images))
    assert levels(there, here) <= 1
    assert len({str(one.message) for one in warned}) == 1


def test_number_formats_are_set_inside_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    monkeypatch.setattr(precision, "bf16_is_native", lambda _: True)
    before = (matmul.allow_tf32, cudnn.allow_tf32)
    for name, tf32 in (("fp32", False), ("tf32", True), ("bf16", False)):
        with number_format(name, torch.device("cpu")):
            assert (matmul.allow_tf32, cudnn.allow_tf32, cudnn.enabled) == (tf32, tf32, True)
            assert torch.is_autocast_enabled("cpu") == (name == "bf16")
        assert (matmul.allow_tf32, cudnn.allow_tf32) == before
    seen: list[bool] = []
    sit = small_sit()
    sit.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    for name in ("auto", "fp32"):
        list(generate(sit, small_tokenizer(), LABELS[:1], sampling(precision=name, steps=1), 0))
    assert seen == [True, False]


def test_settings_are_checked() -> None:
    assert int(LABELS.max()) == CLASSES - 1
    for values in ({"guidance_interval": [0.8, 0.2]}, {"guidance_interval": [0.0, 1.5]}, {"labels": 3}):
        with pytest.raises(Exception, match=r"wrong value|must rise"):
            sampling(**values)


@pytest.mark.parametrize(
    ("method", "evaluations"), [("euler", 5), ("euler-maruyama", 5), ("heun", 9), ("dopri5", None)]
)
def test_watching_changes_nothing(method: str, evaluations: int | None) -> None:
    """Samples are bit-equal, whoever watches; the last of Euler's estimates is the sample."""
    sit, tokenizer, config = small_sit(), small_tokenizer(), sampling(method=method, steps=5)
    seen: list[tuple[float, Tensor]] = []

    def watch(estimate: Tensor, t: float) -> None:
        seen.append((t, decode_samples(tokenizer, estimate, config)))
        estimate.zero_()

    alone = draw_images(sit, tokenizer, [4, 1], LABELS[:2], config, 3)
    watched = draw_images(sit, tokenizer, [4, 1], LABELS[:2], config, 3, watch)
    assert torch.equal(alone, watched)
    assert seen[0][0] == 1.0
    assert evaluations is None or len(seen) == evaluations
    if method == "euler":
        assert torch.equal(seen[-1][1], alone)
        assert not torch.equal(seen[0][1], alone)
