"""The VAE's shapes, published sizes and key layout."""

from __future__ import annotations

import pytest
import torch

from sendvae.tokenizers import ARCHITECTURES, Architecture, Autoencoder, Posterior, build_tokenizer

# Parameter counts of the published networks.
PUBLISHED = {"f8d4": 83_653_863, "f16d16": 69_610_963, "f16d32": 69_836_067, "f16d64": 70_293_955}


@pytest.fixture
def small() -> Autoencoder:
    return Autoencoder(Architecture(z_channels=4, ch=8, ch_mult=(1, 2), num_res_blocks=1, norm_groups=4))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        tokenizer = build_tokenizer(name)
    assert sum(p.numel() for p in tokenizer.parameters()) == PUBLISHED[name]


def test_keys_follow_latent_diffusion() -> None:
    with torch.device("meta"):
        keys = set(build_tokenizer("f16d32").state_dict())
    attention = {
        key.rpartition(".attn.")[0] + ".attn." + key.rpartition(".attn.")[2][0]
        for key in keys
        if ".attn." in key
    }
    assert attention == {f"encoder.down.4.attn.{i}" for i in range(2)} | {
        f"decoder.up.4.attn.{i}" for i in range(3)
    }
    assert {
        "encoder.conv_in.weight",
        "encoder.down.3.downsample.conv.weight",
        "encoder.mid.attn_1.proj_out.bias",
    } <= keys
    assert {"decoder.up.0.block.2.conv2.weight", "decoder.up.1.upsample.conv.bias", "quant_conv.bias"} <= keys
    assert not any(key.startswith("decoder.up.0.upsample") for key in keys)
    assert "encoder.down.4.block.0.nin_shortcut.weight" in keys


def test_shapes_follow_the_downsampling(small: Autoencoder) -> None:
    images = torch.randn(2, 3, 16, 24)
    posterior = small.encode(images)
    assert posterior.mean.shape == posterior.logvar.shape == (2, 4, 8, 12)
    assert small.decode(posterior.mode()).shape == images.shape
    with pytest.raises(ValueError, match="multiples of 2"):
        small.encode(torch.randn(1, 3, 15, 16))


def test_batch_rows_do_not_influence_each_other(small: Autoencoder) -> None:
    images = torch.randn(3, 3, 16, 16)
    together = small.decode(small.encode(images).mode())
    alone = torch.cat([small.decode(small.encode(image[None]).mode()) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_attention_equals_the_explicit_softmax() -> None:
    from sendvae.tokenizers.autoencoder import AttnBlock

    block = AttnBlock(8, norm_groups=4).double()
    x = torch.randn(2, 8, 3, 5, dtype=torch.float64)
    y = block.norm(x)
    q, k, v = (f(y).flatten(2) for f in (block.q, block.k, block.v))
    weights = torch.softmax(torch.einsum("bci,bcj->bij", q, k) * 8**-0.5, dim=-1)
    expected = x + block.proj_out(torch.einsum("bij,bcj->bci", weights, v).view(x.shape))
    torch.testing.assert_close(block(x), expected)


def test_nominal_resolution_decides_on_attention() -> None:
    """At 512 pixels the f16 network still attends in its last level."""
    assert [attention for _, attention in ARCHITECTURES["f16d32"].levels] == [
        False,
        False,
        False,
        False,
        True,
    ]
    assert not any(attention for _, attention in ARCHITECTURES["f8d4"].levels)


def test_posterior_against_torch_distributions() -> None:
    mean, logvar = torch.randn(2, 3, 4, 4).double(), torch.randn(2, 3, 4, 4).double()
    posterior = Posterior.from_moments(torch.cat([mean, logvar], 1))
    prior = torch.distributions.Normal(torch.zeros(()).double(), 1.0)
    kl = torch.distributions.kl_divergence(torch.distributions.Normal(mean, (0.5 * logvar).exp()), prior)
    torch.testing.assert_close(posterior.kl(), kl.sum(dim=(1, 2, 3)))
    assert Posterior.from_moments(torch.full((1, 2, 1, 1), 99.0)).logvar.item() == 20.0


def test_sample_is_reparameterised_and_seeded() -> None:
    moments = torch.randn(2, 8, 2, 2, requires_grad=True)
    posterior = Posterior.from_moments(moments)
    draws = [posterior.sample(torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(*draws)
    draws[0].square().sum().backward()
    assert moments.grad is not None
    assert bool((moments.grad != 0).all())  # mean and log variance alike


def test_a_posterior_sample_is_mean_plus_std_times_noise() -> None:
    """With a std other than 1, for noise that is given as for noise that is drawn."""
    mean, logvar = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4) - 1.0
    posterior, noise = Posterior(mean, logvar), torch.randn(2, 3, 4, 4)
    expected = mean.double() + (logvar.double() / 2.0).exp() * noise.double()
    torch.testing.assert_close(posterior.sample(noise=noise).double(), expected, rtol=1e-5, atol=1e-5)
    drawn = posterior.sample(torch.Generator().manual_seed(3))
    noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(drawn, posterior.sample(noise=noise))
    assert torch.equal(posterior.mode(), mean)
