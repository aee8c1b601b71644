"""What every row of the table of generators keeps: shapes, independence, determinism, files, objective, samplers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sendvae.diffusion import (
    GENERATORS,
    SAMPLERS,
    SIZES,
    Generator,
    GeneratorName,
    build_generator,
    build_sit,
    diffusion_objective,
    load_generator,
    sample,
    save_generator,
)
from sendvae.errors import UserError

SHAPE = (3, 6, 6)
CLASSES = 5
VARIANTS = [(name, qk_norm) for name in GENERATORS for qk_norm in (False, True)]


def a_generator(name: str, qk_norm: bool = False, seed: int = 0) -> Generator:
    """The smallest size of a network, with weights on which a mistake shows: none is 0 or 1."""
    torch.manual_seed(seed)
    generator = build_generator(
        f"{name}-Tiny/2", latent_channels=SHAPE[0], latent_size=SHAPE[1], num_classes=CLASSES, repa_width=7,
        repa_depth=3, qk_norm=qk_norm,
    )  # fmt: skip
    for parameter in generator.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    return generator.eval()


def inputs(batch: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(batch, *SHAPE, generator=draws)
    return x, torch.rand(batch, generator=draws), torch.arange(batch) % (CLASSES + 1)


@pytest.mark.parametrize("name", SIZES)
def test_every_size_belongs_to_a_network(name: str) -> None:
    parsed = GeneratorName.parse(f"{name}/2")
    assert parsed.network in GENERATORS
    assert parsed.patch_size == 2
    assert parsed.grid(6) == 3
    with pytest.raises(UserError, match="patches of 2 do not divide"):
        parsed.grid(7)
    assert parsed.size.width % (4 * parsed.size.heads) == 0
    assert parsed.size.repa_depth <= parsed.size.depth


@pytest.mark.parametrize("name", GENERATORS)
def test_the_contract(name: str) -> None:
    generator = a_generator(name)
    assert isinstance(generator, Generator)
    assert (generator.latent_shape, generator.grid, generator.num_classes) == (SHAPE, 3, CLASSES)
    assert generator.null_label == CLASSES
    assert len(generator.blocks) == SIZES[f"{name}-Tiny"].depth
    x, t, labels = inputs()
    with torch.no_grad():
        velocity, features = generator.forward_with_features(x, t, labels)
        assert features is not None
        assert velocity.shape == x.shape
        assert features.shape == (4, 9, 7)
        torch.testing.assert_close(generator(x, t, labels), velocity)
        torch.testing.assert_close(generator.features(x, t, labels), features)


@pytest.mark.parametrize(("name", "qk_norm"), VARIANTS)
def test_rows_are_independent_and_all_inputs_matter(name: str, qk_norm: bool) -> None:
    generator = a_generator(name, qk_norm)
    x, t, labels = inputs()
    with torch.no_grad():
        out = generator(x, t, labels)
        torch.testing.assert_close(generator(x[1:2], t[1:2], labels[1:2])[0], out[1], atol=1e-5, rtol=1e-4)
        for changed in ((x.flip(0), t, labels), (x, t.flip(0), labels), (x, t, labels.flip(0))):
            assert not torch.allclose(generator(*changed), out, atol=1e-3)
        for axis in (2, 3):  # positions matter: a mirrored latent has another velocity than the mirrored one
            mirrored = generator(x.flip(axis), t, labels)
            assert not torch.allclose(mirrored, out.flip(axis), atol=1e-3)
        assert torch.equal(generator(x, t, labels), out)


@pytest.mark.parametrize("name", GENERATORS)
def test_first_weights_follow_the_seed_and_give_exactly_zero(name: str) -> None:
    def fresh(seed: int) -> Generator:
        torch.manual_seed(seed)
        return build_generator(f"{name}-Tiny/2", latent_channels=3, latent_size=6, num_classes=CLASSES)

    a, b, other = (fresh(seed).state_dict()["blocks.1.attn.qkv.weight"] for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.allclose(a, other)
    velocity = fresh(0)(*inputs())
    assert torch.equal(velocity, torch.zeros_like(velocity))


@pytest.mark.parametrize(("name", "qk_norm"), VARIANTS)
def test_a_folder_holds_the_network_and_what_built_it(name: str, qk_norm: bool, tmp_path: Path) -> None:
    generator = a_generator(name, qk_norm)
    save_generator(generator, tmp_path / "exported")
    again = load_generator(tmp_path / "exported")
    assert type(again) is type(generator)
    assert again.arguments == generator.arguments
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(*inputs()), generator(*inputs()))


@pytest.mark.parametrize("name", GENERATORS)
def test_a_step_changes_what_is_trained_and_nothing_else(name: str) -> None:
    generator = a_generator(name).train()
    before = {key: tensor.clone() for key, tensor in generator.state_dict().items()}
    x, t, labels = inputs()
    terms = diffusion_objective(
        generator, x, labels, time=t, noise=x.flip(0), tokens=torch.randn(4, 9, 7), repa_weight=0.5,
        direction_weight=1.0,
    )  # fmt: skip
    terms["loss"].backward()
    optimizer = torch.optim.AdamW([p for p in generator.parameters() if p.requires_grad], lr=0.1)
    optimizer.step()
    fixed = {"pos_embed", "feat_rope.freqs_cos", "feat_rope.freqs_sin"}
    still = {key for key, tensor in generator.state_dict().items() if torch.equal(tensor, before[key])}
    assert still == fixed & before.keys()


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("method", SAMPLERS)
def test_every_sampler_takes_it(name: str, method: str) -> None:
    generator = a_generator(name)
    noise, labels = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(2)), torch.tensor([0, 3])
    guided, plain = (
        sample(generator, noise, labels, method, steps=3, guidance_scale=scale,
               generator=torch.Generator().manual_seed(3))
        for scale in (2.0, 1.0)
    )  # fmt: skip
    assert guided.shape == noise.shape
    assert bool(guided.isfinite().all())
    assert not torch.allclose(guided, plain)


@pytest.mark.parametrize("name", GENERATORS)
def test_autocast_is_finite_and_near(name: str) -> None:
    generator = a_generator(name, qk_norm=True)
    with torch.no_grad():
        expected = generator(*inputs())
        with torch.autocast("cpu", torch.bfloat16):
            found = generator(*inputs())
    torch.testing.assert_close(found.float(), expected, atol=0.05 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("name", GENERATORS)
def test_mistakes_are_named(name: str) -> None:
    shape = {"latent_channels": 4, "latent_size": 8, "num_classes": 2}
    with pytest.raises(UserError, match="patch size"):
        build_generator(f"{name}-Tiny", **shape)
    with pytest.raises(UserError, match="did you mean 'cosine'"):
        build_generator(f"{name}-Tiny/2", **shape, path="cosin")
    with pytest.raises(ValueError, match="multiple of patch size"):
        build_generator(f"{name}-Tiny/3", **shape)
    with pytest.raises(ValueError, match="not a block"):
        build_generator(f"{name}-Tiny/2", **shape, repa_width=3, repa_depth=5)


def test_a_sit_is_no_other_network() -> None:
    with pytest.raises(UserError, match=r"no SiT(?s:.*)build_generator"):
        build_sit("LightningDiT-Tiny/2", latent_channels=4, latent_size=8, num_classes=2)


class Convolution(Generator):
    """A generator that is no transformer: two convolutions, the label and the time added between them."""

    def __init__(self) -> None:
        super().__init__()
        self.arguments, self.latent_shape, self.grid = {}, SHAPE, SHAPE[1]
        self.num_classes, self.label_dropout, self.path = CLASSES, 0.5, "cosine"
        self.labels = torch.nn.Embedding(CLASSES + 1, 8)
        self.blocks = torch.nn.ModuleList(
            [torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 3, 3, padding=1)]
        )

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.forward_with_features(x_t, t, labels)[0]

    def features(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        hidden = self.blocks[0](x_t) + (self.labels(labels) + t[:, None].to(x_t.dtype))[:, :, None, None]
        return hidden.relu().flatten(2).transpose(1, 2)

    def forward_with_features(
        self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.features(x_t, t, labels)
        return self.blocks[1](features.transpose(1, 2).unflatten(2, SHAPE[1:])), features


def test_objective_and_samplers_ask_for_nothing_but_the_protocol() -> None:
    """It learns one latent a class by velocities, and samples it."""
    torch.manual_seed(0)
    generator = Convolution()
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        labels = torch.randint(CLASSES, (32,))
        z = (labels - 2.0)[:, None, None, None].expand(32, *SHAPE)
        dropped = generator.drop_labels(labels, torch.rand(32))
        terms = diffusion_objective(
            generator, z, dropped, time=torch.rand(32), noise=torch.randn(32, *SHAPE),
            tokens=torch.randn(32, SHAPE[1] * SHAPE[2], 8), repa_weight=0.1, direction_weight=0.1,
            dispersive_weight=0.1,
        )  # fmt: skip
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["velocity"].detach()))
    assert sum(losses[-10:]) < 0.75 * sum(losses[:10])
    low, high = (
        sample(
            generator, torch.randn(8, *SHAPE), torch.full((8,), label), "heun", steps=10, guidance_scale=2.0
        )
        for label in (0, 4)
    )
    assert float(low.mean()) < -0.5 < 0.5 < float(high.mean())
