"""Samples of one or several models in one picture, with the same noise and labels in the same places."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from sendvae.config import SampleConfig
from sendvae.distributed import barrier, is_main
from sendvae.errors import UserError
from sendvae.evaluation.diffusion_model import DiffusionModel
from sendvae.evaluation.labels import choose_labels
from sendvae.evaluation.sample_files import ArrayBlocks
from sendvae.evaluation.sample_job import draw_missing, shared_unfinished
from sendvae.evaluation.sample_record import SampleRecord, describe_samples, record_path
from sendvae.files import new_file

BORDER, BETWEEN = 2, 16  # pixels between images, and between the models' panels
TITLE = 16
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def write_grid(
    models: Sequence[DiffusionModel],
    config: SampleConfig,
    rows: int,
    target: Path,
    device: torch.device,
    force: bool = False,
) -> bool:
    """Draw `config.images` of each model into a PNG with a panel a model; every process calls this.

    Args:
        models: the models, with the same number of classes. Where their latents have the same shape, image i starts
            from the same noise in every panel.
        rows: the number of rows of images in a panel; `config.images` is a multiple of it.
        target: the file of the picture; the record lies beside it as NAME.json.
        force: replace a picture that was drawn otherwise.

    Returns:
        Whether anything was left to do.

    Raises:
        UserError: models of different classes, or something else at the target.
    """
    _check_classes(models)
    labels = choose_labels(config, models[0].classes, config.seed)
    parts = [describe_samples(m, config, labels, device, {"layout": "grid"}) for m in models]
    content = {"panels": [part.content for part in parts], "rows": rows, "layout": "grid"}
    record = SampleRecord(content=content, environment=parts[0].environment, created=parts[0].created)
    with shared_unfinished(target, record, force) as folder:
        if folder is None:
            return False
        panels = []
        for number, model in enumerate(models):
            place = folder / f"panel-{number}"
            if is_main():
                place.mkdir(exist_ok=True)
            barrier()
            blocks = ArrayBlocks(place, config.images, config.batch_size)
            draw_missing(blocks, model.to(device), config, labels, model.name)
            model.to(torch.device("cpu"))
            if is_main():
                panels.append(panel(np.concatenate(list(blocks.arrays())), rows, model.name))
        if is_main():
            with new_file(folder / "grid.png") as file:
                side_by_side(panels).save(file, format="PNG")
            record.save(record_path(target))
            (folder / "grid.png").replace(target)
            shutil.rmtree(folder)
        barrier()
    return True


def panel(images: UInt8[np.ndarray, "N H W 3"], rows: int, title: str) -> Image.Image:
    """Return a grid of images, filled row by row, under a title."""
    height, width = images.shape[1:3]
    columns = len(images) // rows
    sheet = Image.new(
        "RGB", (columns * (width + BORDER) - BORDER, rows * (height + BORDER) - BORDER + TITLE), WHITE
    )
    ImageDraw.Draw(sheet).text((0, 1), title, fill=BLACK)
    for i, pixels in enumerate(images):
        row, column = divmod(i, columns)
        place = (column * (width + BORDER), TITLE + row * (height + BORDER))
        sheet.paste(Image.fromarray(pixels), place)
    return sheet


def side_by_side(panels: Sequence[Image.Image]) -> Image.Image:
    """Return the panels in a row, their tops level."""
    width = sum(one.width for one in panels) + BETWEEN * (len(panels) - 1)
    sheet = Image.new("RGB", (width, max(one.height for one in panels)), WHITE)
    left = 0
    for one in panels:
        sheet.paste(one, (left, 0))
        left += one.width + BETWEEN
    return sheet


def _check_classes(models: Sequence[DiffusionModel]) -> None:
    counts = {model.name: model.classes.count for model in models}
    if len(set(counts.values())) > 1:
        raise UserError(
            "models of different classes cannot be drawn with the same labels",
            given=", ".join(f"{name}: {count} classes" for name, count in counts.items()),
        )
