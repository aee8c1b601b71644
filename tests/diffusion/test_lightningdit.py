"""LightningDiT: published sizes and keys, and its equations computed anew."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sendvae.diffusion import LightningDiT, build_generator, load_checkpoint_file, load_generator, load_sit
from sendvae.diffusion.lightningdit import RMSNorm
from sendvae.errors import UserError

# Parameters at 16x16x32 latents and 1000 classes: all, and those that are trained (the fixed positions are not).
PUBLISHED = {
    "B/1": (130_556_192, 130_359_584),
    "B/2": (130_556_288, 130_507_136),
    "L/2": (458_153_056, 458_087_520),
    "XL/1": (675_256_736, 674_961_824),
    "XL/2": (675_256_832, 675_183_104),
    "1p0B/1": (1_029_401_120, 1_029_007_904),
    "1p0B/2": (1_029_401_216, 1_029_302_912),
    "1p6B/1": (1_631_767_120, 1_631_308_368),
    "1p6B/2": (1_631_767_216, 1_631_652_528),
}
# Shapes in the released LightningDiT-XL/1; N is a block.
XL1 = {
    "pos_embed": (1, 256, 1152),
    "x_embedder.proj.weight": (1152, 32, 1, 1),
    "x_embedder.proj.bias": (1152,),
    "t_embedder.mlp.0.weight": (1152, 256),
    "t_embedder.mlp.0.bias": (1152,),
    "t_embedder.mlp.2.weight": (1152, 1152),
    "t_embedder.mlp.2.bias": (1152,),
    "y_embedder.embedding_table.weight": (1001, 1152),
    "feat_rope.freqs_cos": (256, 72),
    "feat_rope.freqs_sin": (256, 72),
    "blocks.N.norm1.weight": (1152,),
    "blocks.N.norm2.weight": (1152,),
    "blocks.N.attn.qkv.weight": (3456, 1152),
    "blocks.N.attn.qkv.bias": (3456,),
    "blocks.N.attn.proj.weight": (1152, 1152),
    "blocks.N.attn.proj.bias": (1152,),
    "blocks.N.mlp.w12.weight": (6144, 1152),
    "blocks.N.mlp.w12.bias": (6144,),
    "blocks.N.mlp.w3.weight": (1152, 3072),
    "blocks.N.mlp.w3.bias": (1152,),
    "blocks.N.adaLN_modulation.1.weight": (6912, 1152),
    "blocks.N.adaLN_modulation.1.bias": (6912,),
    "final_layer.norm_final.weight": (1152,),
    "final_layer.linear.weight": (32, 1152),
    "final_layer.linear.bias": (32,),
    "final_layer.adaLN_modulation.1.weight": (2304, 1152),
    "final_layer.adaLN_modulation.1.bias": (2304,),
}
DEPTH_XL = 28


def on_meta(size: str, **options: bool) -> LightningDiT:
    with torch.device("meta"):
        network = build_generator(
            f"LightningDiT-{size}", latent_channels=32, latent_size=16, num_classes=1000, **options
        )
    assert isinstance(network, LightningDiT)
    return network


def tiny(patch: int = 2, qk_norm: bool = False) -> LightningDiT:
    """Three rows and columns, so that a mistaken axis shows; every weight drawn, so that none is 0 or 1."""
    network = LightningDiT(
        heads=2, qk_norm=qk_norm, latent_channels=3, latent_size=3 * patch, patch_size=patch, width=16, depth=2,
        num_classes=5, repa_width=7, repa_depth=1, repa_hidden=9,
    )  # fmt: skip
    for parameter in network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return network.double().eval()


@pytest.mark.parametrize("size", PUBLISHED)
def test_parameter_counts(size: str) -> None:
    network = on_meta(size)
    counts = [(p.numel(), p.requires_grad) for p in network.parameters()]
    assert (sum(n for n, _ in counts), sum(n for n, trained in counts if trained)) == PUBLISHED[size]


def test_keys_and_shapes_are_the_released_ones() -> None:
    expected = {
        name.replace(".N.", f".{block}."): shape for name, shape in XL1.items() for block in range(DEPTH_XL)
    }
    assert {name: tuple(t.shape) for name, t in on_meta("XL/1").state_dict().items()} == expected
    added = on_meta("XL/1", qk_norm=True).state_dict().keys() - expected.keys()
    norms = {f"blocks.{i}.attn.{n}_norm.weight" for i in range(DEPTH_XL) for n in "qk"}
    assert added == norms


def recomputed(w: dict[str, Tensor], x: Tensor, t: Tensor, y: Tensor, heads: int, patch: int) -> list[Tensor]:
    """Their network at their time (t = 1 is data), from the equations: data - noise, then the output of each block."""
    side = x.shape[-1] // patch

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def normed(name: str, x: Tensor) -> Tensor:
        if name not in w:
            return x
        return torch.stack([row / math.sqrt(float((row**2).mean()) + 1e-6) for row in x.flatten(0, -2)]).view(
            x.shape
        ) * w[name]  # fmt: skip

    def rotated(head: Tensor) -> Tensor:
        """Pairs of neighbours as complex numbers, turned by the row in the first half and the column in the second."""
        out = torch.zeros_like(head)
        half = head.shape[-1] // 2
        for n in range(head.shape[1]):
            for axis, position in enumerate(divmod(n, side)):
                for pair in range(half // 2):
                    angle = position * 10_000.0 ** (-2 * pair / half)
                    i = axis * half + 2 * pair
                    a, b = head[:, n, i], head[:, n, i + 1]
                    out[:, n, i] = a * math.cos(angle) - b * math.sin(angle)
                    out[:, n, i + 1] = a * math.sin(angle) + b * math.cos(angle)
        return out

    frequencies = torch.tensor([10_000 ** (-i / 128) for i in range(128)], dtype=x.dtype)
    waves = torch.cat([torch.cos(t[:, None] * frequencies), torch.sin(t[:, None] * frequencies)], dim=1)
    c = linear("t_embedder.mlp.2", F.silu(linear("t_embedder.mlp.0", waves)))
    c = F.silu(c + w["y_embedder.embedding_table.weight"][y])[:, None]
    tokens = F.unfold(x, patch, stride=patch).transpose(1, 2)
    h = tokens @ w["x_embedder.proj.weight"].flatten(1).T + w["x_embedder.proj.bias"] + w["pos_embed"]
    hidden = []
    for i in range(2):
        b = f"blocks.{i}"
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = linear(f"{b}.adaLN_modulation.1", c).chunk(6, -1)
        modulated = normed(f"{b}.norm1.weight", h) * (1 + scale_a) + shift_a
        q, k, v = linear(f"{b}.attn.qkv", modulated).chunk(3, dim=-1)
        mixed = []
        for q_h, k_h, v_h in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
            q_r = rotated(normed(f"{b}.attn.q_norm.weight", q_h))
            k_r = rotated(normed(f"{b}.attn.k_norm.weight", k_h))
            scores = q_r @ k_r.transpose(1, 2) / math.sqrt(q_h.shape[-1])
            mixed.append(scores.softmax(-1) @ v_h)
        h = h + gate_a * linear(f"{b}.attn.proj", torch.cat(mixed, dim=-1))
        inner = linear(f"{b}.mlp.w12", normed(f"{b}.norm2.weight", h) * (1 + scale_m) + shift_m)
        first, second = inner.chunk(2, dim=-1)
        h = h + gate_m * linear(f"{b}.mlp.w3", first * torch.sigmoid(first) * second)
        hidden.append(h)
    shift, scale = linear("final_layer.adaLN_modulation.1", c).chunk(2, -1)
    out = linear("final_layer.linear", normed("final_layer.norm_final.weight", h) * (1 + scale) + shift)
    velocity = torch.zeros_like(x)
    for n in range(out.shape[1]):  # a token's values run over rows, columns, channels of its patch
        row, column = (patch * i for i in divmod(n, side))
        square = out[:, n].reshape(len(x), patch, patch, -1).movedim(-1, 1)
        velocity[:, :, row : row + patch, column : column + patch] = square
    return [velocity, *hidden]


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_forward_against_the_equations_at_the_other_time(patch: int, qk_norm: bool) -> None:
    """Where their t is 1 - ours, noise - data is minus their data - noise."""
    network = tiny(patch, qk_norm)
    x = torch.randn(3, *network.latent_shape, dtype=torch.float64)
    t, labels = torch.tensor([0.1, 0.35, 0.98], dtype=torch.float64), torch.tensor([0, 4, 5])
    with torch.no_grad():
        velocity, features = network.forward_with_features(x, t, labels)
        theirs, first, _ = recomputed(network.state_dict(), x, 1.0 - t, labels, heads=2, patch=patch)
        torch.testing.assert_close(velocity, -theirs, atol=1e-5, rtol=1e-5)  # t is embedded in float32
        torch.testing.assert_close(features, network.projectors[0](first), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(network(x, t, labels), velocity)


def test_statistics_of_rms_norm_are_float32_under_bfloat16() -> None:
    """Only the result is rounded: neither squares, nor their mean, nor its root."""
    norm = RMSNorm(256)
    torch.nn.init.normal_(norm.weight)
    x = 3.0 * torch.randn(64, 256, generator=torch.Generator().manual_seed(0)).bfloat16()
    exact = x.double() / (x.double().square().mean(-1, keepdim=True) + 1e-6).sqrt()
    with torch.no_grad():
        found = norm(x)
    torch.testing.assert_close(found, exact.bfloat16().float() * norm.weight, atol=0, rtol=1e-6)


def released_file(path: Path, network: LightningDiT, *, average: bool = True) -> Path:
    """As its trainer writes it: weights below DDP's prefix, their average without."""
    weights = network.state_dict()
    content = {
        "model": {f"module.{name}": tensor + 1.0 for name, tensor in weights.items()},
        "ema": weights,
        "opt": {"state": {}},
        "config": {"model": {"model_type": "LightningDiT-XL/1"}},
    }
    if not average:
        del content["ema"]
    torch.save(content, path)
    return path


@pytest.mark.parametrize("qk_norm", [False, True])
def test_a_released_file_gives_its_average(qk_norm: bool, tmp_path: Path) -> None:
    shape = {"latent_channels": 4, "latent_size": 6, "num_classes": 3}
    network = build_generator("LightningDiT-Tiny/2", **shape, qk_norm=qk_norm)
    path = released_file(tmp_path / "lightningdit.pt", network)
    found, norm = load_checkpoint_file(path)
    assert isinstance(found, LightningDiT)
    assert norm is None
    assert found.arguments == network.arguments | {"repa_hidden": found.arguments["repa_hidden"]}
    assert not found.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    with pytest.raises(UserError, match=r"no SiT(?s:.*)LightningDiT(?s:.*)load_generator"):
        load_sit(path)


def test_weights_as_trained_are_taken_with_a_warning(tmp_path: Path) -> None:
    network = build_generator("LightningDiT-Tiny/1", latent_channels=4, latent_size=3, num_classes=3)
    path = released_file(tmp_path / "raw.pt", network, average=False)
    with pytest.warns(UserWarning, match="no average"):
        found = load_generator(path)
    name = "blocks.3.mlp.w3.weight"
    assert torch.equal(found.state_dict()[name], network.state_dict()[name] + 1.0)


def test_other_variants_are_refused_by_what_differs(tmp_path: Path) -> None:
    """Without rotary positions, or with a modulation without shifts."""
    network = build_generator("LightningDiT-Tiny/1", latent_channels=4, latent_size=3, num_classes=3)
    without_rope = {n: t for n, t in network.state_dict().items() if not n.startswith("feat_rope")}
    torch.save({"ema": without_rope}, tmp_path / "rope.pt")
    with pytest.raises(UserError, match=r"feat_rope\.freqs_cos"):
        load_generator(tmp_path / "rope.pt")
    without_shift = dict(network.state_dict())
    for name in ("weight", "bias"):
        key = f"blocks.0.adaLN_modulation.1.{name}"
        without_shift[key] = without_shift[key][: 4 * 192]
    torch.save({"ema": without_shift}, tmp_path / "shift.pt")
    with pytest.raises(UserError, match=r"adaLN_modulation"):
        load_generator(tmp_path / "shift.pt")
