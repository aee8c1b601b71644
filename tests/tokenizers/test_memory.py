"""Inference in little memory: peaks against straightforward ports, and sliced computation against the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from sendvae.tokenizers import (
    ARCHITECTURES,
    Architecture,
    Autoencoder,
    build_tokenizer,
    decode_sliced,
    encode_sliced,
)
from sendvae.tokenizers.autoencoder import AttnBlock, Encoder, Half, ResnetBlock

NARROW = replace(ARCHITECTURES["f16d32"], ch=8, norm_groups=8)  # a sixteenth of the width, every module


def peak(compute: Callable[[], object]) -> int:
    """Bytes alive at once on the CPU at the worst moment, as the allocator reports them."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        compute()
    recorded = profiler.profiler
    assert recorded is not None
    events = [event for event in recorded.kineto_results.events() if event.name() == "[memory]"]
    alive = worst = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        alive += event.nbytes()
        worst = max(worst, alive)
    assert worst > 0
    return worst


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def port(encoder: Encoder, images: Tensor, keep: Callable[[Tensor], Tensor]) -> Tensor:
    """The encoder of latent-diffusion, operation by operation; `keep` is told of every intermediate tensor."""

    def resnet(block: ResnetBlock, x: Tensor) -> Tensor:
        h = x
        for norm, convolution in ((block.norm1, block.conv1), (block.norm2, block.conv2)):
            h = keep(norm(h))
            h = keep(swish(h))
            h = keep(convolution(h))
        return keep(block.shortcut(x)) + h

    def attention(block: AttnBlock, x: Tensor) -> Tensor:
        h = block.norm(x)
        b, c, height, width = h.shape
        q, k, v = (keep(to(h)).reshape(b, c, height * width) for to in (block.q, block.k, block.v))
        weights = keep(torch.softmax(keep(torch.bmm(q.transpose(1, 2), k)) * c**-0.5, dim=2))
        h = torch.bmm(v, weights.transpose(1, 2)).reshape(b, c, height, width)
        return x + keep(block.proj_out(h))

    hs = [encoder.conv_in(images)]
    for level in encoder.down:
        for i, block in enumerate(level.block):
            h = resnet(block, hs[-1])
            if level.attn:
                h = attention(level.attn[i], h)
            hs.append(h)
        if hasattr(level, "downsample"):
            hs.append(level.downsample(hs[-1]))
    h = resnet(encoder.mid.block_1, hs[-1])
    h = attention(encoder.mid.attn_1, h)
    h = resnet(encoder.mid.block_2, h)
    return encoder.conv_out(keep(swish(keep(encoder.norm_out(h)))))


@torch.no_grad()
def peaks(tokenizer: Autoencoder, size: int) -> dict[str, float]:
    """Of encoding one image, in units of the largest tensor; the four ways agree on the result."""
    images = torch.rand(1, 3, size, size) * 2 - 1
    unit = tokenizer.architecture.ch * size * size * images.element_size()
    kept: list[Tensor] = []

    def remember(x: Tensor) -> Tensor:
        kept.append(x)
        return x

    ways: dict[str, Callable[[], Tensor]] = {
        "every activation": lambda: tokenizer.quant_conv(port(tokenizer.encoder, images, remember)),
        "latent-diffusion": lambda: tokenizer.quant_conv(port(tokenizer.encoder, images, lambda x: x)),
        "ours": lambda: tokenizer.encode(images).mean,
        "sliced": lambda: encode_sliced(tokenizer, images).mean,
    }
    found, means = {}, []
    for name, way in ways.items():
        found[name] = peak(lambda way=way: means.append(way()[:, : tokenizer.architecture.z_channels])) / unit
        kept.clear()
    for mean in means[1:]:
        torch.testing.assert_close(mean, means[0], atol=1e-4, rtol=1e-4)
    return found


def check(found: dict[str, float]) -> None:
    assert found["ours"] <= found["every activation"] / 4
    # Input, normalised input, output, and one or two workspaces that oneDNN takes for itself; a list would
    # add to them.
    assert found["ours"] <= found["latent-diffusion"] - 0.9
    assert found["sliced"] <= found["latent-diffusion"] / 2
    assert found["sliced"] <= 2.4  # two whole tensors, and strips


def test_peak_memory_of_encoding_at_512() -> None:
    check(peaks(Autoencoder(NARROW).eval(), 512))


@pytest.mark.slow
def test_peak_memory_of_encoding_at_512_in_full_width(capsys: pytest.CaptureFixture[str]) -> None:
    found = peaks(build_tokenizer("f16d32").eval(), 512)
    with capsys.disabled():
        print({name: f"{units * 128:.0f} MiB" for name, units in found.items()})
    check(found)


@torch.no_grad()
def test_peak_memory_of_decoding() -> None:
    tokenizer = Autoencoder(NARROW).eval()
    z = torch.randn(1, 32, 16, 16)
    assert peak(lambda: decode_sliced(tokenizer, z)) < 0.9 * peak(lambda: tokenizer.decode(z))


def perturbed(architecture: Architecture) -> Autoencoder:
    """In float64, with norms that do not start at one and zero."""
    tokenizer = Autoencoder(architecture).double().eval()
    with torch.no_grad():
        for parameter in tokenizer.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return tokenizer


# Widths that change on the way (shortcuts), attention in a level, both directions of resampling.
TINY = Architecture(
    z_channels=3, ch=8, ch_mult=(1, 2, 2), num_res_blocks=1, attn_resolutions=(64,), norm_groups=4
)


@settings(max_examples=12, deadline=None)
@given(rows=st.integers(1, 30), height=st.integers(1, 6), width=st.integers(1, 4), batch=st.integers(1, 2))
def test_sliced_is_the_same_function(rows: int, height: int, width: int, batch: int) -> None:
    """Everywhere, borders and seams of strips included, for any number of rows."""
    tokenizer = perturbed(TINY)
    images = torch.rand(batch, 3, 4 * height, 4 * width, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        whole = tokenizer.encode(images)
        decoded = tokenizer.decode(whole.mean)
    sliced = encode_sliced(tokenizer, images, rows)
    exactly = {"atol": 1e-11, "rtol": 1e-11}
    torch.testing.assert_close(sliced.mean, whole.mean, **exactly)
    torch.testing.assert_close(sliced.logvar, whole.logvar, **exactly)
    torch.testing.assert_close(decode_sliced(tokenizer, whole.mean, rows), decoded, **exactly)


def test_tiles_of_the_image_would_not_give_the_same_latents() -> None:
    """Why the computation is cut and not the image: even far from a seam the statistics of norms differ."""
    tokenizer = perturbed(replace(TINY, attn_resolutions=()))
    images = torch.rand(1, 3, 128, 32, dtype=torch.float64) * torch.linspace(0, 1, 128)[:, None].double()
    with torch.no_grad():
        whole, tile = tokenizer.encode(images).mean, tokenizer.encode(images[:, :, :96]).mean
    assert float((whole[:, :, :2] - tile[:, :, :2]).abs().max()) > 1e-3


@pytest.mark.parametrize("name", ["f8d4", "f16d32"])
def test_sliced_at_published_proportions(name: str) -> None:
    tokenizer = perturbed(replace(ARCHITECTURES[name], ch=16, norm_groups=8))
    images = torch.rand(1, 3, 96, 64, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        z = tokenizer.encode(images).mean
        torch.testing.assert_close(encode_sliced(tokenizer, images).mean, z, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(decode_sliced(tokenizer, z), tokenizer.decode(z), atol=1e-10, rtol=1e-10)


def test_sliced_in_half_precision_stays_in_it() -> None:
    tokenizer = perturbed(TINY).bfloat16()
    images = (torch.rand(1, 3, 32, 32) * 2 - 1).bfloat16()
    with torch.no_grad():
        expected = tokenizer.encode(images).mean
    found = encode_sliced(tokenizer, images, 8).mean
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected.float(), atol=0.1, rtol=0.1)


def test_sliced_leaves_its_input_alone_and_checks_it(small: Autoencoder) -> None:
    images = torch.rand(1, 3, 16, 16)
    before = images.clone()
    z = encode_sliced(small, images, 2).mean
    kept = z.clone()
    decode_sliced(small, z, 2)
    assert torch.equal(images, before)
    assert torch.equal(z, kept)
    with pytest.raises(ValueError, match="multiples of 4"):
        encode_sliced(small, torch.rand(1, 3, 18, 16))
    with pytest.raises(ValueError, match="rows must be positive"):
        encode_sliced(small, images, 0)


def test_gradients_are_those_of_the_plain_formula(small: Autoencoder) -> None:
    """In-place SiLU is for inference only."""
    images = torch.rand(1, 3, 16, 16)
    small.encode(images).mean.square().sum().backward()
    ours = {name: p.grad.clone() for name, p in small.named_parameters() if p.grad is not None}
    small.zero_grad()
    moments = small.quant_conv(port(small.encoder, images, lambda x: x))
    moments[:, :4].square().sum().backward()
    for name, p in small.named_parameters():
        if name.startswith("encoder."):
            torch.testing.assert_close(ours[name], p.grad, atol=1e-4, rtol=1e-3)


def test_halves_are_built_of_the_modules_they_run() -> None:
    """`steps` leaves nothing out: every parameter before the last norm belongs to one of them."""
    tokenizer = Autoencoder(TINY)
    for half in (tokenizer.encoder, tokenizer.decoder):
        assert isinstance(half, Half)
        run = nn.ModuleList([*half.steps(), half.norm_out, half.conv_out])
        assert {id(p) for p in run.parameters()} == {id(p) for p in half.parameters()}
