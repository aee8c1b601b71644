"""Renaming between latent-diffusion's keys (ours) and those of diffusers' AutoencoderKL, in both directions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

# Each pair names the same module, ours first. {i} is a resolution level, {r} the same level counted from the
# other end (diffusers numbers the decoder's blocks in the order they run), {j} a block within it.
BLOCKS = (
    ("encoder.down.{i}.block.{j}", "encoder.down_blocks.{i}.resnets.{j}"),
    ("decoder.up.{i}.block.{j}", "decoder.up_blocks.{r}.resnets.{j}"),
    ("encoder.mid.block_1", "encoder.mid_block.resnets.0"),
    ("encoder.mid.block_2", "encoder.mid_block.resnets.1"),
    ("decoder.mid.block_1", "decoder.mid_block.resnets.0"),
    ("decoder.mid.block_2", "decoder.mid_block.resnets.1"),
)
ATTENTIONS = (
    ("encoder.down.{i}.attn.{j}", "encoder.down_blocks.{i}.attentions.{j}"),
    ("decoder.up.{i}.attn.{j}", "decoder.up_blocks.{r}.attentions.{j}"),
    ("encoder.mid.attn_1", "encoder.mid_block.attentions.0"),
    ("decoder.mid.attn_1", "decoder.mid_block.attentions.0"),
)
PROJECTIONS = (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0"))
OTHERS = (
    ("encoder.down.{i}.downsample.conv", "encoder.down_blocks.{i}.downsamplers.0.conv"),
    ("decoder.up.{i}.upsample.conv", "decoder.up_blocks.{r}.upsamplers.0.conv"),
    ("encoder.norm_out", "encoder.conv_norm_out"),
    ("decoder.norm_out", "decoder.conv_norm_out"),
)
RULES = (
    *((f"{ours}.nin_shortcut", f"{theirs}.conv_shortcut") for ours, theirs in BLOCKS),
    *BLOCKS,
    *((f"{ours}.norm", f"{theirs}.group_norm") for ours, theirs in ATTENTIONS),
    *((f"{ours}.{a}", f"{theirs}.{b}") for ours, theirs in ATTENTIONS for a, b in PROJECTIONS),
    *OTHERS,
)
# The names of the projections in diffusers before 0.18, which older files still have.
FORMER_PROJECTIONS = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def to_diffusers_state_dict(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our weights under diffusers' names. The 1x1 convolutions of the attention become matrices (C, C)."""
    rename = _renamer(RULES, _levels(weights, "encoder.down"))
    return {rename(key): _squeeze(key, tensor) for key, tensor in weights.items()}


def from_diffusers_state_dict(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return diffusers' weights under our names, the reverse of `to_diffusers_state_dict`.

    Keys without a counterpart stay as they are.
    """
    rename = _renamer([(theirs, ours) for ours, theirs in RULES], _levels(weights, "encoder.down_blocks"))
    renamed = {rename(current_name(key)): tensor for key, tensor in weights.items()}
    return {key: _unsqueeze(key, tensor) for key, tensor in renamed.items()}


def is_diffusers(keys: Iterable[str]) -> bool:
    """Return whether these are the keys of a diffusers AutoencoderKL."""
    return any(key.startswith(("encoder.down_blocks.", "decoder.up_blocks.")) for key in keys)


def _renamer(rules: Iterable[tuple[str, str]], levels: int) -> Callable[[str], str]:
    patterns = [(_pattern(source), target) for source, target in rules]

    def rename(key: str) -> str:
        for pattern, target in patterns:
            if match := pattern.match(key):
                found = {name: int(value) for name, value in match.groupdict().items()}
                if "i" in found:
                    found["r"] = levels - 1 - found["i"]
                elif "r" in found:
                    found["i"] = levels - 1 - found["r"]
                return target.format(**found) + key[match.end() :]
        return key

    return rename


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\d+)", re.escape(template)) + r"(?=\.)")


def _levels(keys: Iterable[str], prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return 1 + max((int(match[1]) for key in keys if (match := pattern.match(key))), default=-1)


def current_name(key: str) -> str:
    """Return the key of a projection under its present name in diffusers; other keys are returned as they are."""
    head, _, leaf = key.rpartition(".")
    place, _, name = head.rpartition(".")
    return f"{place}.{FORMER_PROJECTIONS[name]}.{leaf}" if name in FORMER_PROJECTIONS else key


def _is_projection(key: str) -> bool:
    """Return whether one of our keys is the weight of q, k, v or proj_out in an attention."""
    return re.search(r"\.attn(_1|\.\d+)\.(q|k|v|proj_out)\.weight$", key) is not None


def _squeeze(key: str, tensor: Tensor) -> Tensor:
    return tensor[:, :, 0, 0].contiguous() if _is_projection(key) and tensor.ndim == 4 else tensor


def _unsqueeze(key: str, tensor: Tensor) -> Tensor:
    return tensor[:, :, None, None].contiguous() if _is_projection(key) and tensor.ndim == 2 else tensor
