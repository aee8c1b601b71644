"""The controls: linear maps of patches, exact where nothing is left out, and the best of their rank otherwise."""

from __future__ import annotations

import pytest
import torch

from sendvae.data import open_embedded, to_float
from sendvae.tokenizers import load_tokenizer
from sendvae.tokenizers.patches import PatchTokenizer, patches_of


def emoji(count: int = 6) -> torch.Tensor:
    return to_float(open_embedded("emoji", "test").batch(range(count)).images)


@pytest.fixture(scope="module")
def train() -> torch.Tensor:
    return to_float(open_embedded("emoji", "train").batch(range(6601)).images)


def test_pixels_come_back_as_they_are() -> None:
    tokenizer, images = load_tokenizer("demo-pixels"), emoji()
    z = tokenizer.encode(images)
    assert z.mean.shape == (6, 192, 8, 8)
    assert not z.std.any()
    torch.testing.assert_close(tokenizer.decode(z.mean), images)
    # Rows, columns and colours of the patch at row 2, column 5.
    expected = images[0, :, 16:24, 40:48].permute(1, 2, 0).flatten()
    torch.testing.assert_close(z.mean[0, :, 2, 5], expected)


def test_principal_components_are_those_of_an_independent_fit(train: torch.Tensor) -> None:
    from sklearn.decomposition import PCA

    tokenizer = load_tokenizer("demo-pca")
    assert isinstance(tokenizer, PatchTokenizer)
    rows = patches_of(train[::3], 8).flatten(0, 2).numpy()
    fitted = PCA(16).fit(rows)
    images = emoji(20)
    own = patches_of(images, 8).flatten(0, 2).numpy()
    theirs = ((fitted.inverse_transform(fitted.transform(own)) - own) ** 2).mean()
    error = ((tokenizer.decode(tokenizer.encode(images).mean) - images) ** 2).mean()
    assert float(error) == pytest.approx(float(theirs), rel=0.01)
    gram = tokenizer.components @ tokenizer.components.T
    torch.testing.assert_close(gram, torch.eye(16), atol=1e-5, rtol=0)


def test_statistics_are_those_of_the_training_latents(train: torch.Tensor) -> None:
    for name in ("demo-pca", "demo-pixels"):
        tokenizer = load_tokenizer(name)
        z = tokenizer.encode(train).mean
        assert tokenizer.latent_stats is not None
        torch.testing.assert_close(
            tokenizer.latent_stats.mean.flatten(), z.mean((0, 2, 3)), atol=1e-4, rtol=0
        )
        torch.testing.assert_close(tokenizer.latent_stats.std.flatten(), z.std((0, 2, 3)), rtol=1e-3, atol=0)


def test_a_side_that_is_no_multiple_of_a_patch_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        load_tokenizer("demo-pca").encode(torch.zeros(1, 3, 60, 64))
