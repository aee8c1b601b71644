"""`sendvae sample`: draws images into an npz file or a folder, with any number of processes; resumable."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from sendvae.config import SampleConfig
from sendvae.data import open_images
from sendvae.distributed import barrier, is_main, main_value, world_size
from sendvae.evaluation.diffusion_model import DiffusionModel, load_model
from sendvae.evaluation.gather import own_share
from sendvae.evaluation.labels import Labels, choose_labels
from sendvae.evaluation.sample_files import (
    LABELS,
    ArrayBlocks,
    Blocks,
    PngBlocks,
    remove_traces,
    unfinished,
    write_npz,
)
from sendvae.evaluation.sample_record import (
    SAMPLES,
    SampleRecord,
    describe_samples,
    record_path,
)
from sendvae.evaluation.sampling import draw_images
from sendvae.files import write_text
from sendvae.runs import check_space, progress
from sendvae.runs.profiling import step_done

NPZ = ".npz"
CHANNELS = 3
ADVICE = "make room, or choose another --to"


def write_samples(
    model: DiffusionModel, config: SampleConfig, target: Path, device: torch.device, force: bool = False
) -> bool:
    """Draw images into TARGET.npz, or into a folder of PNG files, with their record; every process calls this.

    What is done so far lies in TARGET.part; the same call goes on with it, and leaves finished samples alone.

    Args:
        model: the model, on any device.
        force: replace samples that were drawn otherwise.

    Returns:
        Whether anything was left to do.

    Raises:
        UserError: something else is at the target or in TARGET.part, labels that are no classes, too little room.
    """
    labels = choose_labels(config, model.classes, config.seed)
    form = {"layout": "npz" if target.suffix == NPZ else "png"}
    record = describe_samples(model, config, labels, device, form)
    with shared_unfinished(target, record, force) as folder:
        if folder is None:
            return False
        model.to(device)
        if target.suffix == NPZ:
            arrays = ArrayBlocks(folder, config.images, config.batch_size)
            waiting = sum(map(len, arrays.missing())) * model.pixels**2 * CHANNELS
            whole = config.images * model.pixels**2 * CHANNELS  # the batches stay until the file is whole
            check_space(target.parent, waiting + whole, f"samples for {target.name}", ADVICE)
            draw_missing(arrays, model, config, labels, model.name)
            if is_main():
                _finish_npz(target, folder, arrays, record, labels, model.pixels)
        else:
            draw_missing(
                PngBlocks(folder, config.images, config.batch_size), model, config, labels, model.name
            )
            if is_main():
                _finish_folder(target, folder, record, labels)
        barrier()
    return True


def samples_of_run(
    run: str, config: SampleConfig, device: torch.device, tokenizer: str | None = None
) -> Path:
    """Return RUN/samples-DIGEST.npz, drawn as far as it is missing; the name stands for all that it depends on.

    Samples of a model that goes by name lie in runs/NAME.
    """
    model = load_model(run, tokenizer)
    labels = choose_labels(config, model.classes, config.seed)
    digest = describe_samples(model, config, labels, device, {"layout": "npz"}).content_digest()
    folder = Path(run) if Path(run).exists() else Path("runs") / run
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"samples-{digest}{NPZ}"
    write_samples(model, config, target, device)
    return target


@contextmanager
def shared_unfinished(target: Path, record: SampleRecord, force: bool) -> Iterator[Path | None]:
    """Enter `unfinished` on the main process, on behalf of all processes."""
    with unfinished(target, record, force) if is_main() else nullcontext() as folder:
        yield main_value(folder)


def draw_missing(
    blocks: Blocks, model: DiffusionModel, config: SampleConfig, labels: Labels, name: str
) -> None:
    """Draw the batches that are not there, each process its share; returns when all of them are."""
    missing = main_value(blocks.missing() if is_main() else [])
    done, several = config.images - sum(map(len, missing)), world_size() > 1
    with progress(name, config.images, start=done) as bar:
        for numbers in own_share(missing):
            images = draw_images(
                model.generator,
                model.tokenizer,
                numbers,
                labels.values[numbers.start : numbers.stop],
                config,
                config.seed,
            )
            blocks.save(numbers, images)
            step_done()
            bar.advance(len(numbers) * world_size(), f"{world_size()} processes" if several else "")
    barrier()


def _finish_npz(
    target: Path, folder: Path, blocks: ArrayBlocks, record: SampleRecord, labels: Labels, size: int
) -> None:
    whole = folder / f"samples{NPZ}"
    write_npz(whole, blocks, labels.values.tolist(), size)
    digest = open_images(str(whole)).fingerprint
    record.model_copy(update={"digest": digest}).save(record_path(target))
    whole.replace(target)
    shutil.rmtree(folder)


def _finish_folder(target: Path, folder: Path, record: SampleRecord, labels: Labels) -> None:
    write_text(folder / LABELS, "".join(f"{label}\n" for label in labels.values.tolist()))
    digest = open_images(str(folder)).fingerprint
    record.model_copy(update={"digest": digest}).save(folder / SAMPLES)
    remove_traces(folder)
    folder.replace(target)
