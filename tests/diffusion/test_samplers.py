"""Samplers against a Gaussian, whose velocity field is known."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

import pytest
import torch
from scipy.integrate import RK45

from sendvae.diffusion import PATHS, SAMPLERS, SiT, diffusion_objective, sample
from sendvae.diffusion.guidance import guided_velocity

dopri5 = importlib.import_module("sendvae.diffusion.samplers.dopri5")  # the package's name is the function

MEAN, STD = 2.0, 0.5
LINEAR = PATHS["linear"]


def noise_like(x: torch.Tensor, seed: int = 0) -> Callable[[], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(x.shape, dtype=x.dtype, generator=generator)


def gaussian_velocity(x: torch.Tensor, t: float) -> torch.Tensor:
    """E[noise - data | x_t] for data N(MEAN, STD^2), x_t = (1 - t) data + t noise, by linear regression."""
    variance = (1 - t) ** 2 * STD**2 + t**2
    covariance = t - (1 - t) * STD**2  # of (noise - data) with x_t
    return -MEAN + covariance / variance * (x - (1 - t) * MEAN)


@pytest.mark.parametrize(
    ("method", "steps"), [("euler", 400), ("heun", 100), ("dopri5", 20), ("euler-maruyama", 400)]
)
def test_mean_and_variance_of_a_gaussian(method: str, steps: int) -> None:
    count = 40_000
    noise = torch.randn(count, 1, 1, 1, generator=torch.Generator().manual_seed(1)).double()
    out = SAMPLERS[method](gaussian_velocity, noise, steps, noise_like(noise, 2))  # linear, without a shift
    assert float(out.mean()) == pytest.approx(MEAN, abs=5 * STD / math.sqrt(count) + 5e-3)
    # The last, noiseless step of 0.04 shrinks Euler-Maruyama's spread a little, by construction.
    assert float(out.std()) == pytest.approx(STD, rel=0.03 if method == "euler-maruyama" else 0.015)


@pytest.mark.parametrize("method", ["euler", "euler-maruyama"])
def test_mean_and_variance_of_a_gaussian_on_the_cosine_path(method: str) -> None:
    """The SDE ends at the data only with that path's score and noise."""
    count, path = 40_000, PATHS["cosine"]

    def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
        alpha, sigma = math.cos(math.pi / 2 * t), math.sin(math.pi / 2 * t)
        variance = alpha**2 * STD**2 + sigma**2
        data = MEAN + alpha * STD**2 / variance * (x - alpha * MEAN)
        noise = sigma / variance * (x - alpha * MEAN)
        return math.pi / 2 * (alpha * noise - sigma * data)

    noise = torch.randn(count, 1, 1, 1, generator=torch.Generator().manual_seed(1)).double()
    out = SAMPLERS[method](velocity, noise, 400, noise_like(noise, 2), path, 1.0)
    assert float(out.mean()) == pytest.approx(MEAN, abs=5 * STD / math.sqrt(count) + 1e-2)
    assert float(out.std()) == pytest.approx(STD, rel=0.03)


def test_orders_of_convergence() -> None:
    """The flow maps x to MEAN + STD x exactly: halving the step halves Euler's error and quarters Heun's."""
    x = torch.linspace(-2, 2, 9).double().view(-1, 1, 1, 1)
    exact = MEAN + STD * x
    for method, order in (("euler", 1), ("heun", 2)):
        errors = [
            float((SAMPLERS[method](gaussian_velocity, x, n, noise_like(x), LINEAR, 1.0) - exact).abs().max())
            for n in (80, 160)
        ]
        assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25), method
    torch.testing.assert_close(
        SAMPLERS["dopri5"](gaussian_velocity, x, 20, noise_like(x), LINEAR, 1.0), exact, atol=2e-2, rtol=0
    )


def test_euler_maruyama_step_by_step() -> None:
    """Two steps by hand: times 1, 0.04, 0 with one noisy step."""
    x = torch.randn(3, 1, 2, 2).double()
    out = SAMPLERS["euler-maruyama"](gaussian_velocity, x, 2, noise_like(x, 5), LINEAR, 1.0)
    noise = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    v = gaussian_velocity(x, 1.0)
    score = -(x + 0.0 * v) / 1.0
    y = x + (v - 0.5 * 2.0 * score) * -0.96 + math.sqrt(2.0) * math.sqrt(0.96) * noise
    v = gaussian_velocity(y, 0.04)
    score = -(y + 0.96 * v) / 0.04
    torch.testing.assert_close(out, y + (v - 0.5 * 0.08 * score) * -0.04)


def test_every_method_counts_its_evaluations() -> None:
    calls: list[float] = []

    def counted(x: torch.Tensor, t: float) -> torch.Tensor:
        calls.append(t)
        return torch.zeros_like(x)

    for method, expected in (("euler", 10), ("heun", 19), ("euler-maruyama", 10)):
        calls.clear()
        x = torch.zeros(1, 1, 1, 1).double()
        SAMPLERS[method](counted, x, 10, noise_like(x), LINEAR, 1.0)
        assert len(calls) == expected
        assert calls[0] == 1.0
        assert min(calls) > 0.0


def test_dopri5_has_scipys_coefficients() -> None:
    assert dopri5.NODES[:-1] == pytest.approx(RK45.C.tolist())
    for ours, theirs in zip(dopri5.STAGES[:-1], RK45.A, strict=True):
        assert ours == pytest.approx(theirs[: len(ours)].tolist())
    assert dopri5.STAGES[-1] == pytest.approx(RK45.B.tolist())
    assert [abs(e) for e in dopri5.ERROR] == pytest.approx(abs(RK45.E).tolist())
    assert sum(dopri5.ERROR) == pytest.approx(0.0)


def test_dopri5_stops_at_a_velocity_that_is_not_finite() -> None:
    x = torch.zeros(1, 1, 1, 1).double()
    with pytest.raises(FloatingPointError, match="finite"):
        SAMPLERS["dopri5"](lambda x, _: x * math.nan, x, 10, noise_like(x), LINEAR, 1.0)


def small_sit() -> SiT:
    sit = SiT(latent_channels=2, latent_size=4, patch_size=2, width=16, depth=1, heads=2, num_classes=3)
    for parameter in sit.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return sit.eval()


def test_guidance_interval_is_closed() -> None:
    sit, labels = small_sit(), torch.tensor([0, 1])
    x = torch.randn(2, 2, 4, 4)
    guided = guided_velocity(sit, labels, scale=2.5, interval=(0.25, 0.75))
    for t in (0.2499, 0.7501):
        torch.testing.assert_close(guided(x, t), sit(x, torch.full((2,), t), labels))
    for t in (0.25, 0.5, 0.75):
        times = torch.full((2,), t)
        conditional, null = sit(x, times, labels), sit(x, times, torch.full((2,), 3))
        torch.testing.assert_close(guided(x, t), null + 2.5 * (conditional - null))


def test_the_batch_doubles_only_inside_the_interval() -> None:
    sit, sizes = small_sit(), []
    sit.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    noise, labels = torch.randn(2, 2, 4, 4), torch.tensor([0, 1])
    sample(sit, noise, labels, "euler", steps=4, guidance_scale=2.0, guidance_interval=(0.5, 0.75))
    assert sizes == [2, 4, 4, 2]  # t = 1, 0.75, 0.5, 0.25


def test_the_network_sees_the_latents_dtype() -> None:
    seen: list[torch.dtype] = []
    for dtype in (torch.float32, torch.float64):
        sit = small_sit().to(dtype)
        sit.register_forward_pre_hook(lambda _, inputs: seen.extend(i.dtype for i in inputs[:2]))
        assert sample(sit, torch.randn(1, 2, 4, 4).to(dtype), torch.tensor([0]), steps=2).dtype == dtype
    assert seen == [torch.float32] * 4 + [torch.float64] * 4


@pytest.mark.parametrize("method", SAMPLERS)
def test_sampling_is_a_function_of_the_seed(method: str) -> None:
    sit, labels, noise = small_sit(), torch.tensor([0, 1]), torch.randn(2, 2, 4, 4)
    first, second, other = (
        sample(sit, noise, labels, method, steps=4, generator=torch.Generator().manual_seed(s))
        for s in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert first.dtype == noise.dtype
    assert torch.equal(first, other) == (method != "euler-maruyama")


def test_scale_one_is_the_conditional_model() -> None:
    sit, labels, noise = small_sit(), torch.tensor([0, 1]), torch.randn(2, 2, 4, 4)
    plain = sample(sit, noise, labels, "euler", steps=3)
    assert torch.equal(
        plain, sample(sit, noise, labels, "euler", steps=3, guidance_scale=1.0, guidance_interval=(0.0, 0.5))
    )
    assert not torch.allclose(plain, sample(sit, noise, labels, "euler", steps=3, guidance_scale=2.0))


def test_only_the_first_channels_are_guided() -> None:
    """The others follow the conditional velocity, as in `forward_with_cfg` of SiT."""
    sit, labels, x = small_sit(), torch.tensor([0, 1]), torch.randn(2, 2, 4, 4)
    times = torch.full((2,), 0.5)
    conditional, null = sit(x, times, labels), sit(x, times, torch.full((2,), 3))
    found = guided_velocity(sit, labels, scale=2.5, channels=1)(x, 0.5)
    torch.testing.assert_close(found[:, :1], (null + 2.5 * (conditional - null))[:, :1])
    torch.testing.assert_close(found[:, 1:], conditional[:, 1:])
    assert not torch.allclose(null[:, 1:], conditional[:, 1:])


def test_sample_guides_the_channels_it_is_told() -> None:
    sit, labels, noise = small_sit(), torch.tensor([0, 1]), torch.randn(2, 2, 4, 4)
    sampled = [
        sample(sit, noise, labels, "euler", steps=1, guidance_scale=scale, guided_channels=channels)
        for scale, channels in ((1.0, None), (3.0, None), (3.0, 1))
    ]
    torch.testing.assert_close(sampled[2], torch.cat([sampled[1][:, :1], sampled[0][:, 1:]], dim=1))


def test_step_noise_takes_the_generators_place() -> None:
    sit, labels, noise = small_sit(), torch.tensor([0, 1]), torch.randn(2, 2, 4, 4)
    given = sample(sit, noise, labels, steps=4, step_noise=noise_like(noise.double(), 9))
    drawn = sample(sit, noise, labels, steps=4, generator=torch.Generator().manual_seed(9))
    assert torch.equal(given, drawn)
    with pytest.raises(ValueError, match="either a generator or step_noise"):
        sample(sit, noise, labels, generator=torch.Generator(), step_noise=noise_like(noise))


def test_one_float64_randn_a_noisy_step_and_no_other() -> None:
    """What others rely on: the generator's state after `sample`."""
    sit, labels, noise = small_sit(), torch.tensor([0, 1]), torch.randn(2, 2, 4, 4)
    used, counted = torch.Generator().manual_seed(4), torch.Generator().manual_seed(4)
    sample(sit, noise, labels, steps=5, generator=used)
    for _ in range(4):
        torch.randn(noise.shape, dtype=torch.float64, generator=counted)
    assert torch.equal(used.get_state(), counted.get_state())


def test_a_watcher_sees_where_the_velocity_points() -> None:
    """x_t - t v of every evaluation, in float64, from the state and velocity that the network saw."""
    sit = small_sit()
    seen: list[tuple[torch.Tensor, float]] = []
    noise = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([1, 0])
    sample(sit, noise, labels, "euler", steps=4, guidance_scale=2.0, watch=lambda x, t: seen.append((x, t)))
    v = guided_velocity(sit, labels, 2.0)
    state = noise.double()
    assert [t for _, t in seen] == [1.0, 0.75, 0.5, 0.25]
    with torch.no_grad():
        for estimate, t in seen:
            assert torch.equal(estimate, state - t * v(state, t))
            state = state - 0.25 * v(state, t)


def test_the_models_path_is_the_samplers_and_the_objectives() -> None:
    sit = small_sit()
    noise, labels, time = torch.randn(2, 2, 4, 4), torch.tensor([1, 0]), torch.tensor([0.3, 0.8])
    z = torch.randn(2, 2, 4, 4)
    found = []
    for name in ("linear", "cosine"):
        sit.path = name
        seen: list[torch.Tensor] = []
        sampled = sample(sit, noise, labels, steps=4, step_noise=noise_like(noise.double(), 9),
                         watch=lambda x, _, seen=seen: seen.append(x))  # fmt: skip
        loss = diffusion_objective(sit, z, labels, time=time, noise=noise)["velocity"]
        path = PATHS[name]
        with torch.no_grad():
            predicted = sit(path.interpolate(z, noise, time), time, labels)
        torch.testing.assert_close(loss, (predicted - path.velocity(z, noise, time)).square().mean())
        found.append((sampled, seen[2]))
    assert not torch.allclose(found[0][0], found[1][0], atol=1e-2)
    assert not torch.allclose(found[0][1], found[1][1], atol=1e-2)


@pytest.mark.parametrize(("method", "last"), [("euler", 0.0), ("heun", 0.0), ("euler-maruyama", 0.04)])
def test_shifted_times(method: str, last: float) -> None:
    """A shift of 1 / .3 is LightningDiT's .3 at its own time, t' = .3 t / (1 - .7 t), where t = 1 is data."""
    seen: list[float] = []

    def noting(x: torch.Tensor, t: float) -> torch.Tensor:
        seen.append(t)
        return torch.zeros_like(x)

    x = torch.zeros(1, 1, 1, 1).double()
    SAMPLERS[method](noting, x, 8, noise_like(x), LINEAR, 1 / 0.3)
    times = sorted(set(seen), reverse=True)
    if method == "euler-maruyama":  # its last step stays as short
        assert times[-1] == pytest.approx(last)
        assert sum(t > 0.5 for t in times) > 5
        return
    theirs = [i / 8 for i in range(8)]
    assert times == pytest.approx([1 - 0.3 * t / (1 - 0.7 * t) for t in theirs])


def test_sample_shifts_the_times_it_is_told() -> None:
    sit, noise, labels = small_sit(), torch.randn(2, 2, 4, 4), torch.tensor([0, 1])
    seen: list[float] = []
    sample(sit, noise, labels, "euler", steps=2, time_shift=3.0, watch=lambda _, t: seen.append(t))
    assert seen == [1.0, pytest.approx(0.75)]
    with pytest.raises(ValueError, match="no time shift"):
        sample(sit, noise, labels, "dopri5", time_shift=3.0)
