"""Safe reading of weight files of strangers: safetensors, or pickles from which only plain data is taken."""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file

from sendvae.errors import UserError

PICKLES = (".pt", ".pth", ".ckpt", ".bin")
SUFFIXES = (".safetensors", *PICKLES)
NO_PICKLE = "no file that torch.save writes"


class Ignored:
    """A stand-in for a known harmless object in a training checkpoint. It discards its arguments and state."""

    def __new__(cls, *_args: object, **_kwargs: object) -> Ignored:
        """Return an instance and ignore the arguments that the pickle has for it."""
        return super().__new__(cls)

    def __setstate__(self, _state: object) -> None:
        pass


# Objects that published checkpoints carry beside their tensors. The names resolve to `Ignored` (or to
# argparse's plain record), never to the code they once meant.
STAND_INS: list[Any] = [
    argparse.Namespace,  # the "args" of REPA-E and SiT checkpoints
    *(
        (Ignored, name)
        for name in (
            "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",  # Stable Diffusion's files
            "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
            "numpy.core.multiarray.scalar",
            "numpy._core.multiarray.scalar",
            "numpy.dtype",
        )
    ),
]


def read_weight_file(path: Path) -> dict[str, Any]:
    """Return the content of a weight file, with tensors on the CPU. No code in it is ever run.

    Raises:
        UserError: the file is not a weight file, is damaged, or holds Python objects that are not trusted.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path} is not a weight file", expected="a file named " + ", ".join(SUFFIXES))
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except Exception as error:  # the readers raise errors of any kind for damaged bytes
        pickled = isinstance(error, UnpicklingError)
        objects = re.findall(r"GLOBAL ([\w.]+)", str(error)) if pickled else []
        if not objects:
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"{path} is damaged or holds no weights",
                # PyTorch's own text about pickles advises to load them unsafely.
                given=NO_PICKLE if pickled else f"{type(error).__name__}: {reason}",
                next_step="copy, download or export it again",
            ) from None
        raise UserError(
            f"{path} was not loaded: it holds Python objects beside tensors, which could run code",
            given=", ".join(sorted(set(objects))),
            expected="tensors, numbers and text",
            next_step="if you trust its maker, open it where it was written and save the state dict alone "
            "(torch.save(checkpoint['state_dict'], ...)), or take a .safetensors version",
        ) from None
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds no state dict", given=type(content).__name__)
    return dict(content)


def _unpickle(path: Path) -> Any:
    with torch.serialization.safe_globals(STAND_INS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected pickle protocol")  # an error says the rest
        return torch.load(path, map_location="cpu", weights_only=True)
