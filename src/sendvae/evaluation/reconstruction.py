"""`sendvae evaluate reconstruction`: what a tokenizer loses, per image and as a distribution."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from sendvae.autoencoding import load_perceptual
from sendvae.config.schema_evaluate import ReconstructionConfig
from sendvae.data import to_float, to_uint8
from sendvae.distributed import is_main, main_value
from sendvae.errors import UserError
from sendvae.evaluation.collect import as_uint8, check_features, shared_batches
from sendvae.evaluation.encoded import check_size, noise
from sendvae.evaluation.gallery import Pair, save_gallery
from sendvae.evaluation.gather import gather_rows, gather_statistics, own_share
from sendvae.evaluation.networks import FeatureNetwork, load_network
from sendvae.evaluation.results import Input, Number, Result, Subject
from sendvae.evaluation.sources import ImageStream, open_stream
from sendvae.files import write_text
from sendvae.metrics import (
    FeatureStatistics,
    bootstrap_mean,
    frechet_distance_of,
    frechet_interval,
    psnr,
    ssim,
    ssim_signed,
)
from sendvae.nn import weights_digest
from sendvae.nn.precision import autocast, resolve_precision
from sendvae.runs import progress
from sendvae.tokenizers import Autoencoder, load_tokenizer

NOT_PROTOCOL = {"batch_size", "worst"}
SPLITS = ("test", "val")  # of a prepared data set with several
CSV, GALLERY = "images.csv", "worst.png"


@dataclass(frozen=True)
class ImageScores:
    """Per image, (N,): PSNR in dB, SSIM, perceptual distance."""

    psnr: Tensor
    ssim: Tensor
    perceptual: Tensor


def score_reconstruction(
    config: ReconstructionConfig,
    tokenizer: str,
    data: str,
    folder: Path,
    device: torch.device,
    network: FeatureNetwork | None = None,
    perceptual: nn.Module | None = None,
) -> Result | None:
    """Reconstruction metrics of a tokenizer; the result on the main process, else None.

    Writes a row per image to `images.csv` and the worst images to `worst.png`.

    Args:
        tokenizer: name, file, folder, run or hub repository.
        data: as `open_stream` understands it.
        folder: of the files.
        network, perceptual: instead of those that the configuration names.

    Raises:
        UserError: unreadable images, images that do not fit the tokenizer, missing weights.
    """
    stream = open_stream(data, config.split, config.size, config.crop, config.limit, SPLITS)
    if len(stream) < 2:
        raise UserError("reconstruction metrics need two images or more", given=f"{len(stream)} in {data}")
    model = load_tokenizer(tokenizer).to(device)
    network = network or load_network(config.features, device)
    perceptual = (perceptual or load_perceptual(config.perceptual)).to(device)
    digest = main_value(stream.digest() if is_main() else "")
    measured = _measure(config, model, stream, network, perceptual, device)
    if measured is None:
        return None
    scores, originals, features = measured
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CSV, _csv(stream.keys, scores, config.perceptual))
    if config.worst:
        order = scores.perceptual.argsort(descending=True, stable=True)[: config.worst].tolist()
        save_gallery(_pairs(config, model, stream, order, scores, device), folder / GALLERY)
    protocol = config.model_dump(mode="json", exclude=NOT_PROTOCOL) | {
        "network": network.identity(),
        "perceptual_weights": weights_digest(perceptual),
        "resolved_precision": resolve_precision(config.precision, device),
    }
    subject = Subject(
        name=Path(tokenizer.rstrip("/")).name,
        input=Input(source=tokenizer, images=len(stream), digest=f"tensors:{weights_digest(model)}"),
        numbers=_numbers(config, network, scores, originals, features),
        details={"files": [CSV, *([GALLERY] if config.worst else [])]},
    )
    given = Input(source=data, images=len(stream), digest=digest)
    return Result(kind="reconstruction", protocol=protocol, inputs={"data": given}, subjects=[subject])


@torch.no_grad()
def _measure(
    config: ReconstructionConfig,
    model: Autoencoder,
    stream: ImageStream,
    network: FeatureNetwork,
    perceptual: nn.Module,
    device: torch.device,
) -> tuple[ImageScores, FeatureStatistics, Float[Tensor, "N D"]] | None:
    """Scores, statistics of the originals' features, features of the reconstructions; None but on the main one."""
    batches = shared_batches(len(stream), config.batch_size)
    share = own_share(batches)
    originals = FeatureStatistics()
    columns: list[list[Tensor]] = [[], [], [], []]
    exact = torch.backends.cudnn.flags(allow_tf32=False)
    with exact, progress("reconstruction", sum(map(len, share))) as bar:
        for positions, images in zip(share, stream.batches(share), strict=True):
            real, copies = _reconstruct(config, model, images.to(device), positions)
            rows = [network.rows(part).pool.float().cpu() for part in (as_uint8(real), to_uint8(copies))]
            for part in rows:
                check_features(part, network.name, positions.start, stream.source)
            originals.update(rows[0])
            values = (*_image_scores(config, real, copies, perceptual), rows[1])
            for column, value in zip(columns, values, strict=True):
                column.append(value.cpu())
            bar.advance(len(positions))
    joined = gather_statistics(originals)
    gathered = [gather_rows(column, batches) for column in columns]
    if joined is None:
        return None
    whole = [column for column in gathered if column is not None]
    return ImageScores(whole[0], whole[1], whole[2]), joined, whole[3]


def _reconstruct(
    config: ReconstructionConfig, model: Autoencoder, images: Tensor, positions: range
) -> tuple[Tensor, Float[Tensor, "B 3 H W"]]:
    """Originals, as they were given, and float reconstructions, not clamped."""
    x = to_float(images) if images.dtype == torch.uint8 else images
    check_size(model, x)
    with autocast(resolve_precision(config.precision, x.device), x.device):
        posterior = model.encode(x)
        z = posterior.mode()
        if config.latent == "sample":
            z = posterior.sample(noise=noise(z, positions, config.seed))
        copies = model.decode(z).float()
    finite = copies.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        raise UserError(
            "the tokenizer gives reconstructions that are NaN or infinite",
            given=f"of image {positions[int(finite.int().argmin())]}",
            next_step="check its weights; precision=fp32 if it ran in bf16",
        )
    return images, copies


def _image_scores(
    config: ReconstructionConfig, real: Tensor, copies: Float[Tensor, "B 3 H W"], perceptual: nn.Module
) -> tuple[Tensor, Tensor, Tensor]:
    """PSNR of 8-bit images, SSIM and perceptual distance by the configuration's choices, each (B,)."""
    real_bytes, copy_bytes = as_uint8(real), to_uint8(copies)
    floats = to_float(real) if real.dtype == torch.uint8 else real
    similarity = ssim_signed(copies, floats) if config.ssim == "signed" else ssim(copy_bytes, real_bytes)
    shown = copies.clamp(-1.0, 1.0) if config.perceptual_clamped else copies
    return psnr(copy_bytes, real_bytes), similarity, perceptual(shown, floats)


def _numbers(
    config: ReconstructionConfig,
    network: FeatureNetwork,
    scores: ImageScores,
    originals: FeatureStatistics,
    features: Float[Tensor, "N D"],
) -> dict[str, Number]:
    copies = FeatureStatistics()
    copies.update(features)
    groups = config.intervals.jackknife
    interval = frechet_interval(originals.mean, originals.cov, features, groups)
    numbers = {
        f"r{network.distance}": Number(
            value=frechet_distance_of(originals, copies),
            interval=interval,
            method=f"jackknife over {groups} groups of reconstructions" if interval else None,
        )
    }
    named = {"psnr": scores.psnr, "ssim": scores.ssim, config.perceptual: scores.perceptual}
    for name, values in named.items():
        around = bootstrap_mean(values, config.intervals.bootstrap, config.seed)
        numbers[name] = Number(
            value=float(values.double().mean()),
            interval=around,
            method="bootstrap over images" if around else None,
        )
    return numbers


def _csv(keys: Sequence[str], scores: ImageScores, perceptual: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "psnr", "ssim", perceptual])
    columns = (scores.psnr.tolist(), scores.ssim.tolist(), scores.perceptual.tolist())
    writer.writerows([key, *values] for key, *values in zip(keys, *columns, strict=True))
    return text.getvalue()


@torch.no_grad()
def _pairs(
    config: ReconstructionConfig,
    model: Autoencoder,
    stream: ImageStream,
    order: Sequence[int],
    scores: ImageScores,
    device: torch.device,
) -> list[Pair]:
    """The images at `order`, reconstructed once more: keeping all of them until it is known which is too much."""
    pairs: dict[int, tuple[UInt8[Tensor, "3 H W"], UInt8[Tensor, "3 H W"]]] = {}
    wanted = [range(i, i + 1) for i in sorted(order)]
    for positions, images in zip(wanted, stream.batches(wanted), strict=True):
        real, copies = _reconstruct(config, model, images.to(device), positions)
        pairs[positions.start] = as_uint8(real)[0].cpu(), to_uint8(copies)[0].cpu()
    return [
        Pair(
            *pairs[i],
            f"{stream.keys[i]}: {config.perceptual} {float(scores.perceptual[i]):.3f}, "
            f"PSNR {float(scores.psnr[i]):.2f} dB, SSIM {float(scores.ssim[i]):.3f}",
        )
        for i in order
    ]
