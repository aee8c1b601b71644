"""Weight files of strangers: tensors, or one error."""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from sendvae.errors import UserError
from sendvae.weights import SUFFIXES, read_weight_file

WEIGHTS = {"encoder.conv_in.bias": torch.arange(3.0)}


class Malice:
    """A pickle that would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.target}",))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tensors_come_back(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    save_file(WEIGHTS, path) if suffix == ".safetensors" else torch.save(WEIGHTS, path)
    content = read_weight_file(path)
    assert content.keys() == WEIGHTS.keys()
    assert torch.equal(content["encoder.conv_in.bias"], torch.arange(3.0))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_no_code_runs(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"evil{suffix}"
    torch.save({"x": Malice(tmp_path / "harm")}, path)
    with pytest.raises(UserError, match=r"was not loaded(?s:.*)system"):
        read_weight_file(path)
    assert not (tmp_path / "harm").exists()


def test_options_of_a_trainer_are_plain_records(tmp_path: Path) -> None:
    torch.save({"ema": WEIGHTS, "args": argparse.Namespace(encoder_depth=8)}, tmp_path / "w.pt")
    assert read_weight_file(tmp_path / "w.pt")["args"].encoder_depth == 8


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("fuzz") / "weights.pt"
    content = {"vae": WEIGHTS, "args": argparse.Namespace(lr=1e-4), "ema": {"bn.running_var": torch.ones(4)}}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path, path.read_bytes()


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 1200), value=st.binary(min_size=1, max_size=8))
def test_bytes_of_strangers_give_contents_or_one_error(
    genuine: tuple[Path, bytes], position: int, value: bytes
) -> None:
    path, content = genuine
    path.write_bytes(content[:position] + value + content[position + len(value) :])
    with contextlib.suppress(UserError):  # any other exception fails the test
        assert isinstance(read_weight_file(path), dict)


def test_no_error_advises_to_load_unsafely(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    for content in (b"garbage here", pickle.dumps({"x": Malice(tmp_path / "harm")}, protocol=4)):
        path.write_bytes(content)
        with pytest.raises(
            UserError, match=r"is damaged or holds no weights\n.*no file that torch\.save writes"
        ) as told:
            read_weight_file(path)
        assert "weights_only" not in str(told.value)
    assert not (tmp_path / "harm").exists()


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("weights?")
    with pytest.raises(UserError, match=r"not a weight file"):
        read_weight_file(tmp_path / "notes.txt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(UserError, match="no state dict"):
        read_weight_file(tmp_path / "list.pt")
