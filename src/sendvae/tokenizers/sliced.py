"""Encoding and decoding of large images in little memory, with convolutions computed in strips of rows.

Cutting an image into overlapping tiles and encoding each, as is often done, gives other latents everywhere:
every GroupNorm normalises by statistics of the whole image, and the middle attends to all its positions. So
the computation is cut here, not the image. GroupNorm's statistics are taken over the whole tensor first; then
each strip of a convolution's output needs only the input rows under its kernel. The result is that of
`Autoencoder.encode` and `decode` up to rounding, at every position.

Besides strips, two full-size tensors are in memory at once instead of three to five, and one image at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.tokenizers.autoencoder import Autoencoder, Downsample, Half, ResnetBlock, Upsample
from sendvae.tokenizers.posterior import Posterior

ROWS = 32  # of 34 input rows two are computed twice; at 512 pixels a strip is 1/16 of a tensor

Pointwise = Callable[[Tensor], Tensor]


@torch.no_grad()
def encode_sliced(tokenizer: Autoencoder, images: Float[Tensor, "B 3 H W"], rows: int = ROWS) -> Posterior:
    """Return `tokenizer.encode(images)` in less memory, without gradients.

    Args:
        tokenizer: the tokenizer.
        images: images in [-1, 1], whose sides are multiples of `tokenizer.downsampling`.
        rows: the number of output rows of a convolution that are computed at a time. Fewer take less memory and more
            time.
    """
    tokenizer.check_size(images)
    moments = [_run(tokenizer.encoder, image, rows) for image in images.split(1)]
    return tokenizer.posterior(torch.cat(moments))


@torch.no_grad()
def decode_sliced(
    tokenizer: Autoencoder, z: Float[Tensor, "B C h w"], rows: int = ROWS
) -> Float[Tensor, "B 3 H W"]:
    """Return `tokenizer.decode(z)` in less memory, without gradients; `rows` is as in `encode_sliced`."""
    images = [_run(tokenizer.decoder, tokenizer.decoder_input(one), rows) for one in z.split(1)]
    return torch.cat(images)


def _run(half: Half, x: Float[Tensor, "B C h w"], rows: int) -> Float[Tensor, "B C2 h2 w2"]:
    if rows < 1:
        raise ValueError(f"rows must be positive, got {rows}")
    for step in half.steps():
        match step:
            case nn.Conv2d():
                x = _convolve(step, x, rows)
            case ResnetBlock():
                x = _resnet(step, x, rows)
            case Downsample():
                x = _convolve(step.conv, x, rows, padding=(0, 1))
            case Upsample():
                x = _convolve(step.conv, x, rows, enlarge=2)
            case _:  # attention sees all positions, at a resolution where a tensor is small
                x = step(x)
    return _convolve(half.conv_out, x, rows, _normalizer(half.norm_out, x, rows))


def _resnet(block: ResnetBlock, x: Float[Tensor, "B C h w"], rows: int) -> Float[Tensor, "B C2 h w"]:
    """Return the block's output, which overwrites `x` where the number of channels stays the same."""
    y = _convolve(block.conv1, x, rows, _normalizer(block.norm1, x, rows))
    out = x if y.shape == x.shape else torch.empty_like(y)
    for strip, piece in _strips(block.conv2, y, rows, _normalizer(block.norm2, y, rows)):
        out[:, :, strip] = piece + block.shortcut(x[:, :, strip])
    return out


def _normalizer(norm: nn.GroupNorm, x: Float[Tensor, "B C h w"], rows: int) -> Pointwise:
    """Return a function that applies GroupNorm with the statistics of all of `x`, then SiLU, to any rows of `x`."""
    precise = torch.promote_types(x.dtype, torch.float32)
    pieces = x.unflatten(1, (norm.num_groups, -1)).split(rows, dim=3)  # (B, groups, C / groups, rows, w)
    count = x[0].numel() // norm.num_groups
    inner = (2, 3, 4)
    mean = torch.stack([piece.sum(inner, keepdim=True, dtype=precise) for piece in pieces]).sum(0) / count
    squares = torch.stack([(piece - mean).square().sum(inner, keepdim=True) for piece in pieces]).sum(0)
    inverse = (squares / count + norm.eps).rsqrt()
    weight, bias = (p.to(precise).view(1, norm.num_groups, -1, 1, 1) for p in (norm.weight, norm.bias))
    scale = (weight * inverse).flatten(1, 2)
    shift = (bias - mean * weight * inverse).flatten(1, 2)

    def normalize(part: Tensor) -> Tensor:
        return F.silu(torch.addcmul(shift, part, scale), inplace=True).to(part.dtype)

    return normalize


def _convolve(
    convolution: nn.Conv2d,
    x: Float[Tensor, "B C h w"],
    rows: int,
    before: Pointwise | None = None,
    padding: tuple[int, int] = (1, 1),
    enlarge: int = 1,
) -> Float[Tensor, "B C2 h2 w2"]:
    """Return all strips of `_strips` put together as one tensor."""
    out: Tensor | None = None
    height = _height(convolution, x.shape[2], padding, enlarge)
    for strip, piece in _strips(convolution, x, rows, before, padding, enlarge):
        if out is None:
            out = piece.new_empty(*piece.shape[:2], height, piece.shape[3])
        out[:, :, strip] = piece
    assert out is not None
    return out


def _strips(
    convolution: nn.Conv2d,
    x: Float[Tensor, "B C h w"],
    rows: int,
    before: Pointwise | None = None,
    padding: tuple[int, int] = (1, 1),
    enlarge: int = 1,
) -> Iterator[tuple[slice, Float[Tensor, "B C2 _ w2"]]]:
    """Yield the strips of a convolution's output, each as the slice of its rows and these rows.

    Args:
        convolution: the convolution.
        x: its whole input.
        rows: the number of output rows of a strip.
        before: a function that is applied to the input rows first.
        padding: the numbers of zeros (above and left, below and right); the module's own padding is ignored.
        enlarge: how often every position is repeated along both sides, after `before`.
    """
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    source = x.shape[2] * enlarge
    height = _height(convolution, x.shape[2], padding, enlarge)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        first, last = start * stride - padding[0], (stop - 1) * stride - padding[0] + kernel
        top, bottom = max(first, 0), min(last, source)
        offset = top // enlarge
        part = x[:, :, offset : -(-bottom // enlarge)]
        if before is not None:
            part = before(part)
        if enlarge > 1:
            part = F.interpolate(part, scale_factor=float(enlarge), mode="nearest")
            part = part[:, :, top - offset * enlarge : bottom - offset * enlarge]
        part = F.pad(part, (*padding, top - first, last - bottom))
        yield slice(start, stop), F.conv2d(part, convolution.weight, convolution.bias, convolution.stride)


def _height(convolution: nn.Conv2d, rows: int, padding: tuple[int, int], enlarge: int) -> int:
    return (rows * enlarge + sum(padding) - convolution.kernel_size[0]) // convolution.stride[0] + 1
