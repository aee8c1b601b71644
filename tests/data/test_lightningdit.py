"""Folders of latents in LightningDiT's layout, as others write them: what is read, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sendvae.data import LIGHTNINGDIT, open_images, open_lightningdit
from sendvae.errors import UserError

SHAPE = (4, 2, 2)


def shard(start: int, rows: int, **changes: Any) -> dict[str, Tensor]:
    values = torch.arange(start, start + rows, dtype=torch.float32)[:, None, None, None].expand(rows, *SHAPE)
    tensors = {"latents": values, "latents_flip": -values, "labels": torch.arange(start, start + rows) % 3}
    return {name: t.contiguous() for name, t in (tensors | changes).items() if t is not None}


def write(folder: Path, *shards: dict[str, Tensor]) -> str:
    """Files that are named as that project names them."""
    folder.mkdir(exist_ok=True)
    for number, tensors in enumerate(shards):
        save_file(tensors, folder / f"latents_rank{number:02d}_shard000.safetensors")
    return f"{LIGHTNINGDIT}{folder}"


def test_rows_come_in_the_order_of_the_names_whatever_the_sizes_of_files(tmp_path: Path) -> None:
    found = open_lightningdit(write(tmp_path, shard(0, 3), shard(3, 1), shard(4, 4)))
    assert len(found) == len(found.images) == 8
    rows = found.batch(np.array([7, 0, 3, 4]), np.array([False, False, True, True]))
    assert rows["mean"][:, 0, 0, 0].tolist() == [7, 0, -3, -4]
    assert not rows["std"].any()
    assert found.batch(np.array([7, 2]))["mean"][:, 0, 0, 0].tolist() == [7, 2]
    assert found.images.labels_of([7, 0, 3, 4]).tolist() == [1, 0, 0, 1]
    assert found.images.class_names == ("0", "1", "2")


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    half = {name: t.bfloat16() if t.is_floating_point() else t.int() for name, t in shard(0, 3).items()}
    found = open_lightningdit(write(tmp_path, half))
    assert found.batch(np.array([2]))["mean"].dtype == torch.float32
    assert found.images.labels_of([2]).dtype == torch.int64


def test_limit_classes_and_names(tmp_path: Path) -> None:
    source = write(tmp_path, shard(0, 8))
    assert len(open_lightningdit(source, limit=3).images) == 3
    assert len(open_lightningdit(source, classes=1000).images.class_names) == 1000
    assert open_lightningdit(source, class_names="abc").images.class_names == ("a", "b", "c")
    with pytest.raises(UserError, match="0 to 2") as error:
        open_lightningdit(source, classes=2)
    assert "data.classes" in str(error.value)


def test_latents_without_mirror_images_are_read(tmp_path: Path) -> None:
    found = open_lightningdit(write(tmp_path, shard(0, 3), shard(3, 2, latents_flip=None)))
    assert not found.mirrored
    assert found.batch(np.array([4]))["mean"][0, 0, 0, 0] == 4


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"latents": None}, "no latents"),
        ({"labels": None}, "no labels"),
        ({"labels": torch.zeros(2)}, "no class numbers"),
        ({"labels": torch.zeros(2, 7, dtype=torch.int64)}, "no class numbers"),
        ({"labels": torch.tensor([0, -1])}, "no class numbers"),
        ({"latents": torch.zeros(2, 4, 2, 3)}, "do not fit"),
        ({"latents": torch.zeros(2, *SHAPE, dtype=torch.int32)}, "do not fit"),
        ({"latents_flip": torch.zeros(1, *SHAPE)}, "do not fit"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "do not fit"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_file(
    changes: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    source = write(tmp_path, shard(0, 2), shard(2, 2, **changes))
    with pytest.raises(UserError, match=problem) as error:
        open_lightningdit(source)
    assert str(tmp_path) in str(error.value)


def test_tokens_without_a_grid_are_refused(tmp_path: Path) -> None:
    tokens = {"latents": torch.zeros(2, 128, 32), "labels": torch.zeros(2, dtype=torch.int64)}
    with pytest.raises(UserError, match="do not fit"):
        open_lightningdit(write(tmp_path, tokens))


def test_no_folder_and_no_safetensors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no latents"):
        open_lightningdit(f"{LIGHTNINGDIT}{tmp_path / 'none'}")
    (tmp_path / "a.safetensors").write_bytes(b"not one")
    with pytest.raises(UserError, match=r"a\.safetensors is damaged"):
        open_lightningdit(f"{LIGHTNINGDIT}{tmp_path}")


def test_nobody_gets_images_of_it(tmp_path: Path) -> None:
    source = write(tmp_path, shard(0, 2))
    for ask in (
        lambda: open_images(source),
        lambda: open_lightningdit(source).images.batch([0]),
        lambda: open_lightningdit(source).images[0],
    ):
        with pytest.raises(UserError, match="holds latents, not images"):
            ask()
